"""Asking for a new route from where the device is, in the background and through the same gate as everything (R2, R3).

It runs on the sender's thread, as every request with the device's position does. Consent is read when it is made and
again under the barrier; a withdrawal cuts it in flight. A drive that is stopped cuts it too.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ..errors import KalosConnectError
from ..model.position import Place, Position
from ..model.route import Route
from .routing import ask_route, clearance_from_here
from .worker import Reply

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["Rerouting"]

_LOOK_S = 0.02


class Rerouting:
    """The requests of one drive, one at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._flying = False
        self._cancelled = False
        self._ended = threading.Event()

    def begin(self, here: Position, route: Route) -> Reply[Route]:
        """Ask for the way from ``here`` to the end of ``route``, in its locale. The reply holds the new route, or why
        there is none: :class:`ConsentRequired`, :class:`TransportError`."""
        return self._engine.sender.worker.begin(lambda: self._perform(here, route))

    def cancel(self) -> None:
        """Nobody waits for it any more: cut what flies, and begin nothing that waits for its turn."""
        self._cancelled = True
        while self._flying:  # it may take off after the first cut
            self._ended.clear()
            self._engine.link.cut()
            self._ended.wait(_LOOK_S)

    def _perform(self, here: Position, route: Route) -> Route:
        self._flying = True
        try:
            if self._cancelled:
                raise KalosConnectError("the drive is over")
            return self._ask(here, route)
        finally:
            self._flying = False
            self._ended.set()

    def _ask(self, here: Position, route: Route) -> Route:
        engine = self._engine
        clearance = clearance_from_here(engine)
        longitude, latitude = route.line[-1]
        origin = Place(here.latitude, here.longitude, datum=here.datum)
        locale = route.locale or engine.parts.config.locale or "en"
        return ask_route(engine, clearance, origin, Place(latitude, longitude), locale)
