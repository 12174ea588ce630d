"""Positions an app has of its own and pushes: ``put()`` from any thread, ``close()`` when there are no more.

An app of coroutines hands over its own stream: :func:`feed` pushes an asynchronous iterable.

Live: when nobody keeps up, the oldest is dropped. What is left when the reader goes away is forgotten (R4):
nothing waits here for a later grant.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncIterable, Iterator

from ..errors import InvalidPosition, KalosConnectError, SourceError
from ..model.position import Position

__all__ = ["PushSource", "feed"]


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
        self._problem: str | None = None
        self.dropped = 0
        """Positions dropped because nobody read them in time."""

    def __repr__(self) -> str:
        return f"<PushSource {'closed' if self._closed else 'open'}>"

    def __iter__(self) -> Iterator[Position]:
        """Positions as they come, until :meth:`close`; those already put are still given out.

        Raises :class:`SourceError` after them when it was closed with a problem.
        """
        with self._changed:
            self._readers += 1
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._waiting or self._closed)
                    if not self._waiting:
                        break
                    position = self._waiting.popleft()
                yield position
        finally:
            with self._changed:
                self._readers -= 1
                self._forget()
        if self._problem is not None:
            raise SourceError(self._problem)

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

    def close(self, problem: str | None = None) -> None:
        """No more positions, because of ``problem`` if there is one. A blocked reader ends; any thread, and twice."""
        with self._changed:
            if not self._closed:
                self._problem = problem
            self._closed = True
            self._forget()
            self._changed.notify_all()

    def _forget(self) -> None:
        if self._closed and not self._readers:  # R4: nobody will read them
            self._waiting.clear()


async def feed(source: PushSource, positions: AsyncIterable[Position]) -> None:
    """Push what an asynchronous iterable gives until it ends or the source is closed; then the source is closed."""
    problem: str | None = "the feed of positions was cancelled"
    try:
        async for position in positions:
            if not source.put(position):
                break
        problem = None
    except KalosConnectError as error:
        problem = str(error)
    except Exception:  # R10: the text of a foreign error may hold anything
        problem = "the source failed with an error of its own"
    finally:
        source.close(problem)
