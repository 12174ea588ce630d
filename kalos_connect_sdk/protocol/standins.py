"""Opening ledger and page, or standing in for one that cannot be read, so that withdrawing still works (R8)."""

from __future__ import annotations

import os
from typing import Any, NoReturn

from ..errors import StateUnreadable
from ..model.consent import Purpose
from ..storage.directory import StateDirectory
from ..storage.failure import StorageFailure
from ..storage.ledger import NAME as LEDGER
from ..storage.ledger import Ledger
from ..storage.page import NAME as PAGE
from ..storage.page import Page

__all__ = ["UnreadableLedger", "open_ledger", "open_page"]


def open_ledger(directory: StateDirectory) -> Ledger | UnreadableLedger:
    """The ledger; a stand-in when it is damaged or newer. Raises :class:`StateUnreadable` for a foreign directory."""
    problem: str | None = None
    try:
        return Ledger.open(directory)
    except StateUnreadable as error:
        problem = str(error)
    return UnreadableLedger(problem)


def open_page(directory: StateDirectory) -> Page:
    """The page; a stand-in, on which everything has ended, when the file is not one, and when it is gone from beside a
    ledger: a tombstone may have stood on it alone (R5)."""
    try:
        if not os.path.lexists(directory.path / PAGE) and os.path.lexists(directory.path / LEDGER):
            return Page.stand_in(directory)
        return Page.open(directory)
    except StateUnreadable:
        return Page.stand_in(directory)


class UnreadableLedger:
    """Knows nothing, records nothing, and keeps the file: every reading of events says why."""

    fresh = False
    identity = (0, 0)

    def __init__(self, problem: str) -> None:
        self._problem = problem

    def in_place(self) -> bool:
        """It is refused as it stands."""
        return True

    def events(self, after_seq: int = 0) -> NoReturn:
        """Raises :class:`StateUnreadable`."""
        raise StateUnreadable(self._problem)

    def notices(self) -> NoReturn:
        """Raises :class:`StateUnreadable`."""
        raise StateUnreadable(self._problem)

    def settings(self, prefix: str) -> NoReturn:
        """Raises :class:`StateUnreadable`."""
        raise StateUnreadable(self._problem)

    def record_id(self, purpose: Purpose) -> str:
        """None can be read."""
        return ""

    def meta(self, key: str) -> str | None:
        """None can be read."""
        return None

    def commit(self, **changes: Any) -> NoReturn:
        """Raises :class:`StorageFailure`: an unreadable ledger is never written to."""
        raise StorageFailure(self._problem)

    def close(self) -> None:
        """Nothing is open."""
