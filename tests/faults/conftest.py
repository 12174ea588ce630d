"""Faults that are made to happen; the tests here share what makes and judges them."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode leaves it out, and the tests share their tools
