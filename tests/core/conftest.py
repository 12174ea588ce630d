"""The tests of approximate location share the geometry of ``globe.py``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode leaves it out
