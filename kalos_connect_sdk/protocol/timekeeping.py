"""What time it is, for every thread of one opened state (R13).

``core.lifetime`` judges one reading after the other. Two threads that read the clock at once must not hand it theirs
in the wrong order: a boot time that runs back is another boot to it, and the wall clock would lose its trust; nor may
one undo what an authenticated time said meanwhile.
"""

from __future__ import annotations

from ..core.lifetime import Mark, Now, observe
from ..ports import Clock

__all__ = ["Timekeeper"]


class _Link:
    """One mark, and the one that was made from it: a chain that each reading lengthens."""

    __slots__ = ("later", "mark")

    def __init__(self, mark: Mark | None) -> None:
        self.mark = mark
        self.later: dict[str, _Link] = {}


class Timekeeper:
    """The clock and its high-water mark. Any thread, signal handlers too: nobody waits for the thread it interrupts,
    nor for one that waits for it, so there is no lock here (R11)."""

    def __init__(self, clock: Clock, mark: Mark | None) -> None:
        self._clock = clock
        self._newest = _Link(mark)

    def now(self, confirmed_wall_s: float | None = None) -> Now:
        """The time as far as it can be trusted. ``confirmed_wall_s``: a TLS-verified answer said so just now."""
        while True:
            present = self._last()  # before the clock: whoever comes between us brings a later one
            now, mark = observe(self._clock.read(), present.mark, confirmed_wall_s)
            link = _Link(mark)
            if present.later.setdefault("", link) is link:  # one step of the interpreter: only one can be the next
                self._newest = link
                return now

    def to_text(self) -> str | None:
        """The mark to keep, for the ledger."""
        mark = self._last().mark
        return mark.to_text() if mark is not None else None

    def _last(self) -> _Link:
        link = self._newest  # or an older one, while another thread is about to say so
        while (later := link.later.get("")) is not None:
            link = later
        return link
