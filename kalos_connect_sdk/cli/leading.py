"""``stream --to``: the way to a typed place from wherever the first position is, and guidance along it.

The way is asked for under the consent that the drive has, and it needs a precise one; without a way the drive goes on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from ..errors import ConsentRequired, NoPosition, TransportError
from ..model.events import Arrived, BackOnRoute, DriveEvent, Guidance, OffRoute, Rerouted, RerouteFailed
from ..model.position import Place, Position
from ..model.route import Route
from .patience import Watched

if TYPE_CHECKING:
    from ..connect import Connect
    from ..protocol.driving import Drive

__all__ = ["Held", "Leading", "document"]

_NAMES: Final[dict[type, str]] = {
    Guidance: "guidance",
    Arrived: "arrived",
    OffRoute: "off-route",
    BackOnRoute: "back-on-route",
    Rerouted: "rerouted",
    RerouteFailed: "reroute-failed",
}


class Held:
    """A source whose recording waits after its first position until :meth:`release`: by then the way is known."""

    def __init__(self, source: Watched) -> None:
        self._source = source
        self.live = source.live
        self._released = threading.Event()

    def __iter__(self) -> Iterator[Position]:
        for position in self._source:
            yield position
            if not self.live:
                self._released.wait()

    def watch(self, callback: Callable[[str | None], None]) -> Callable[[], None]:
        """See :class:`~..ports.Recovering`."""
        return self._source.watch(callback)

    def release(self) -> None:
        self._released.set()

    def close(self) -> None:
        self._released.set()
        self._source.close()


class Leading:
    """Asks for the way once, when the drive has its first position. ``route`` is it, or ``problem`` says why not."""

    def __init__(self, connect: Connect, source: Held, to: Place, locale: str) -> None:
        self._connect = connect
        self._source = source
        self._to = to
        self._locale = locale
        self._asked = False
        self.route: Route | None = None
        self.problem = ""

    def look(self, drive: Drive) -> bool:
        """Between two events of the drive; true when it has just been asked for."""
        if self._asked or not (drive.stats.accepted or drive.stats.filtered):
            return False
        self._asked = True
        try:
            self.route = self._connect.route(self._to, locale=self._locale)
        except (ConsentRequired, NoPosition, TransportError) as error:
            self.problem = str(error)
        if self.route is not None:
            drive.follow(self.route)
        self._source.release()
        return True


def document(event: DriveEvent) -> dict[str, Any] | None:
    """An event of guidance for a program to read, without the line of a route (R10); ``None`` for other events."""
    name = _NAMES.get(type(event))
    if name is None:
        return None
    if isinstance(event, Rerouted):
        return {"event": name, "distance_m": event.route.distance_m, "duration_s": event.route.duration_s}
    return {"event": name, **asdict(event)}
