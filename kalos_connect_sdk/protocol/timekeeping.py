"""What time it is, for every thread of one opened state (R13).

``core.lifetime`` judges one reading after the other. Two threads that read the clock at once must not hand it theirs
in the wrong order: a boot time that runs back is another boot to it, and the wall clock would lose its trust; nor may
one undo what an authenticated time said meanwhile.
"""

from __future__ import annotations

import threading

from ..core.lifetime import Mark, Now, observe
from ..ports import Clock

__all__ = ["Timekeeper"]


class Timekeeper:
    """The clock and its high-water mark. Any thread, signal handlers too: nobody waits for the thread it interrupts."""

    def __init__(self, clock: Clock, mark: Mark | None) -> None:
        self._clock = clock
        self._mark = mark
        self._lock = threading.RLock()

    def now(self, confirmed_wall_s: float | None = None) -> Now:
        """The time as far as it can be trusted. ``confirmed_wall_s``: a TLS-verified answer said so just now."""
        with self._lock:
            mark = self._mark  # before the clock: a handler that interrupts us may bring a later one
            now, self._mark = observe(self._clock.read(), mark, confirmed_wall_s)
            return now

    def to_text(self) -> str | None:
        """The mark to keep, for the ledger."""
        return self._mark.to_text() if self._mark is not None else None
