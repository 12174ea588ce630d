"""A thread that watches something from construction to ``close()``, and comes back to it when it is lost.

Whatever goes wrong, nothing is known from then on: that is said before it tries again, at once, then after 0.25 s,
doubling up to 10 s.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Final, Self

from ..errors import SourceUnavailable
from .links import Unwanted
from .wake import Wake

__all__ = ["Watching"]

_FIRST_PAUSE_S: Final = 0.25
_LONGEST_PAUSE_S: Final = 10.0


class Watching(ABC):
    """A context manager. Subclasses are complete before they call this ``__init__``: the thread starts in it."""

    def __init__(self, name: str, problem: str) -> None:
        self.problem: str | None = problem
        """Why nothing is known, or not enough, and what to do; None when all is well."""
        self._wake = Wake()
        self._pause_s = 0.0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop watching, at once; any thread, any number of times."""
        self._wake.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=5)

    @abstractmethod
    def _watch(self) -> None:
        """Until it is lost, and then :attr:`problem` says why. Raises :class:`SourceUnavailable`, :class:`Unwanted`."""

    @abstractmethod
    def _lost(self) -> None:
        """Nothing is known any more."""

    def _well(self) -> None:
        """Something is known: the next loss is tried again at once."""
        self._pause_s = 0.0

    def _run(self) -> None:
        while not self._wake.is_set():
            try:
                self._watch()
            except Unwanted:
                self.problem = None
            except SourceUnavailable as error:
                self.problem = str(error)
            except Exception:  # R1: whatever it was, nobody knows now
                self.problem = "watching failed with an error of its own"
            self._lost()
            self._wake.wait(self._pause_s)
            self._pause_s = min(max(self._pause_s * 2, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
        self._wake.close()
