"""The scheduler and the two programs lie beside the tests; a scene of theirs serves a whole module."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="module")
def shared() -> Iterator[Any]:
    """A state in which one person has said Allow."""
    from two_programs import Scene

    scene = Scene()
    yield scene
    scene.close()


@pytest.fixture
def scene(shared: Any) -> Any:
    """The same, put back to that moment."""
    shared.again()
    return shared
