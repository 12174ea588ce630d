"""``python -m kalos_connect_sdk.cli``: the command line without an installed script."""

from .main import main

raise SystemExit(main())
