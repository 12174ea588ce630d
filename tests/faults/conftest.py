"""The modules that the tests of this folder share are importable by name; so are the peers of ``tests/transport``."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
for folder in (HERE.parent / "transport", HERE):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))  # importlib mode leaves them out
