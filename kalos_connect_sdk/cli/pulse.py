"""What a live line says of a source: how many positions a second, and how accurate they are. Never where (R10)."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final

from ..model.position import Position

__all__ = ["Pulse"]

_LOOKED_BACK_S: Final = 5.0


class Pulse:
    """Counts positions as they pass; asked now and then, it says their rate since some seconds ago."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._count = 0
        self._accuracy_m: float | None = None
        self._asked: deque[tuple[float, int]] = deque([(now_s(), 0)])

    def beat(self, position: Position) -> None:
        self._count += 1
        self._accuracy_m = position.accuracy_m

    def say(self) -> str:
        """Such as ``1.0/s, 4 m``."""
        now_s = self._now_s()
        while len(self._asked) > 1 and now_s - self._asked[1][0] >= _LOOKED_BACK_S:
            self._asked.popleft()
        since_s, count = self._asked[0]
        self._asked.append((now_s, self._count))
        words = f"{(self._count - count) / max(now_s - since_s, 1e-3):.1f}/s"
        if self._accuracy_m is None:
            return words
        return f"{words}, {self._accuracy_m:.{0 if self._accuracy_m >= 10 else 1}f} m"
