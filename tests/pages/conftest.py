"""One browser and one driven device for all that is measured and compared."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kalos_connect_sdk import Connect

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode leaves it out

from page_scenes import driven


@pytest.fixture(scope="module")
def device() -> Iterator[Connect]:
    """A device that was driven, in a machine whose clock shows UTC."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    with driven() as connect:
        yield connect
    os.environ.pop("TZ")
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()
