"""Fixtures for prompts that are shown as pages."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode leaves it out, and the tests share their questions

from web_questions import Question, asking


@pytest.fixture
def ask() -> Iterator[Callable[..., Question]]:
    """Put a question on a page. Whatever is still open at the end is cancelled."""
    with asking() as put:
        yield put
