"""When to stop waiting for a service that does not answer.

A drive keeps its positions and tries for as long as they may live. That is right in a car that comes out of a
tunnel; somebody at a prompt whose recording has ended wants to know.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

from ..model.events import Progress
from ..model.position import Position
from ..ports import LocationSource, Recovering
from .pulse import Pulse

__all__ = ["Patience", "Watched"]

_GIVE_UP_S: Final = 10.0


class Watched:
    """A source that knows whether it has ended, and its pulse; all else is the source's own."""

    def __init__(self, source: LocationSource) -> None:
        self._source = source
        self.live = source.live
        self.len_hint: int | None = getattr(source, "len_hint", None)
        self.ended = False
        self.pulse = Pulse()

    def __iter__(self) -> Iterator[Position]:
        try:
            for position in self._source:
                self.pulse.beat(position)
                yield position
        finally:
            self.ended = True

    def watch(self, callback: Callable[[str | None], None]) -> Callable[[], None]:
        """Nothing, for a source that does not outlive losses."""
        return self._source.watch(callback) if isinstance(self._source, Recovering) else lambda: None

    def close(self) -> None:
        self._source.close()


class Patience:
    """Runs out ``give_up_s`` seconds after the source ended, if nothing is sent in that time."""

    def __init__(
        self, source: Watched, give_up_s: float = _GIVE_UP_S, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._source = source
        self._give_up_s = give_up_s
        self._now_s = now_s
        self._sent = -1
        self._since_s = now_s()

    def is_over(self, event: object) -> bool:
        """Judged at every event of the drive; those about progress come about once a second."""
        if not isinstance(event, Progress):
            return False
        if not self._source.ended or event.sent != self._sent:
            self._sent, self._since_s = event.sent, self._now_s()
        return event.queued > 0 and self._now_s() - self._since_s >= self._give_up_s
