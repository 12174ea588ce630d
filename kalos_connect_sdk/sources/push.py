"""Positions an app has of its own and pushes: ``put()`` from any thread, ``close()`` when there are no more.

Live: when nobody keeps up, the oldest is dropped. What is left when the reader goes away is forgotten (R4):
nothing waits here for a later grant.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator

from ..errors import InvalidPosition
from ..model.position import Position

__all__ = ["PushSource"]


class PushSource:
    """A live source fed by the app. One reader at a time is served; ``capacity`` positions may wait for it."""

    live = True

    def __init__(self, capacity: int = 256) -> None:
        """Raises ``ValueError`` for a ``capacity`` below 1."""
        if capacity < 1:
            raise ValueError("capacity must be at least 1")
        self._capacity = capacity
        self._changed = threading.Condition()
        self._waiting: deque[Position] = deque()
        self._readers = 0
        self._closed = False
        self.dropped = 0
        """Positions dropped because nobody read them in time."""

    def __repr__(self) -> str:
        return f"<PushSource {'closed' if self._closed else 'open'}>"

    def __iter__(self) -> Iterator[Position]:
        """Positions as they come, until :meth:`close`; those already put are still given out."""
        with self._changed:
            self._readers += 1
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._waiting or self._closed)
                    if not self._waiting:
                        return
                    position = self._waiting.popleft()
                yield position
        finally:
            with self._changed:
                self._readers -= 1
                self._forget()

    def put(self, position: Position) -> bool:
        """Hand over a position; false when the source is closed. Raises :class:`InvalidPosition` for anything else."""
        if not isinstance(position, Position):
            del position  # R10: it may be a bare pair of numbers
            raise InvalidPosition("put takes a Position")
        with self._changed:
            if self._closed:
                return False
            if len(self._waiting) >= self._capacity:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(position)
            self._changed.notify_all()
        return True

    def close(self) -> None:
        """No more positions. A blocked reader ends; any thread, any number of times."""
        with self._changed:
            self._closed = True
            self._forget()
            self._changed.notify_all()

    def _forget(self) -> None:
        if self._closed and not self._readers:  # R4: nobody will read them
            self._waiting.clear()
