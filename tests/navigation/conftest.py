"""The tests of this folder share their stand-ins; what looks for canaries is that of the margins."""

import sys
from pathlib import Path

for folder in (Path(__file__).parent, Path(__file__).parents[1] / "margins"):
    sys.path.insert(0, str(folder))  # importlib mode leaves them out

# The wheels for Python 3.12 and newer hold the daemons, those for 3.11 do not.
collect_ignore = [] if sys.version_info >= (3, 12) else ["test_real_daemons.py"]
