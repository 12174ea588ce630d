"""One browser and one driven device for all that is measured and compared."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kalos_connect_sdk import Connect

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode leaves it out

sys.path.insert(0, str(Path(__file__).parents[1] / "prompts"))

from page_scenes import driven
from web_questions import Question, asking


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


@pytest.fixture
def ask() -> Iterator[Callable[..., Question]]:
    """Put a question on a page. Whatever is still open at the end is cancelled."""
    with asking() as put:
        yield put
