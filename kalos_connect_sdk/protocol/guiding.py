"""Guidance of a drive: positions in, events out, and a new route when the old one was left.

A live source never waits for the new route: it is taken up at the first position after it came, if it is still wanted.
A recording waits for it, as it waits for room in the outbox: it would be over before.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..core.guidance import Guide, Step
from ..core.rerouting import Pace
from ..core.telling import Telling, ahead
from ..errors import ConsentRequired, KalosConnectError, TransportError
from ..model.decision import Reason
from ..model.events import DriveEvent, Guidance, Rerouted, RerouteFailed
from ..model.position import Datum, Position
from ..model.route import Route
from .worker import Reply

if TYPE_CHECKING:
    from .rerouting import Rerouting

__all__ = ["Guiding"]

_SLICE_S = 0.1


class Guiding:
    """Follows a route on the thread that reads the positions.

    ``rerouting``: asks for new routes; ``None``: nobody does. ``why``: the reason why consent is over, if it is.
    """

    def __init__(
        self,
        route: Route,
        rerouting: Rerouting | None,
        why: Callable[[], Reason],
        tell: Callable[[DriveEvent], None],
    ) -> None:
        self._rerouting = rerouting
        self._why = why
        self._tell = tell
        self._pace = Pace()
        self._asked: Reply[Route] | None = None
        self._stopped = False
        self.ahead: Guidance | None = None
        """The next manoeuvre, as near as it is now."""
        self._take_up(route)

    def along(self, position: Position, *, live: bool) -> None:
        """One position. Raises :class:`ConsentRequired` when consent was lost while a route was asked for."""
        here = position.to(Datum.WGS84)
        if self._asked is not None:
            self._hear(0.0)
        step = self._follow(here)
        if step.off_route and self._rerouting is not None and self._ask(here) and not live:
            while self._asked is not None and not self._stopped:
                self._hear(_SLICE_S)
            if not self._stopped:
                self._follow(here)

    def stop(self) -> None:
        """No new route is wanted any more. Any thread; returns when none is being asked for."""
        self._stopped = True
        rerouting = self._rerouting
        if rerouting is not None:
            rerouting.cancel()

    # -- on the reader's thread ------------------------------------------------------------------

    def _take_up(self, route: Route) -> None:
        self._route, self._guide, self._telling = route, Guide(route), Telling()
        self._off = False

    def _follow(self, here: Position) -> Step:
        step = self._guide.update(
            here.latitude,
            here.longitude,
            accuracy_m=here.accuracy_m,
            speed_mps=here.speed_mps,
            course_deg=here.course_deg,
            time_s=_time_s(here),
        )
        self._off = step.off_route
        self.ahead = ahead(step)
        for event in self._telling.of(step):
            self._tell(event)
        return step

    def _ask(self, here: Position) -> bool:
        """Ask for a new route, unless one is being asked for or it is too soon."""
        now_s = _time_s(here)
        if self._asked is not None or self._stopped or not self._pace.is_due(now_s):
            return False
        assert self._rerouting is not None
        self._pace.begins(now_s)
        self._asked = self._rerouting.begin(here, self._route)
        return True

    def _hear(self, timeout_s: float) -> None:
        """What came of it, if it came."""
        assert self._asked is not None
        route, failure = None, None
        try:
            route = self._asked.get(timeout_s)
        except TimeoutError:
            return
        except Exception as error:
            failure = error
        self._asked = None
        if self._stopped:
            return
        if failure is not None:
            self._fail(failure)
        elif route is not None:
            self._pace.succeeded()
            if self._off:  # who has come back by himself needs none
                self._take_up(route)
                self._tell(Rerouted(route))

    def _fail(self, failure: Exception) -> None:
        reason = failure.reason if isinstance(failure, ConsentRequired) else None
        if reason is not None and self._why() is not Reason.ALLOWED:
            raise ConsentRequired(self._why())
        retrying = isinstance(failure, TransportError) or reason is Reason.BUSY
        known = isinstance(failure, KalosConnectError)
        self._pace.failed(random.random())  # noqa: S311 - spreads retries, is no secret
        if not retrying:
            self._rerouting = None
        # R10: the text of a foreign error may hold anything
        self._tell(RerouteFailed(str(failure) if known else "a new route could not be asked for", retrying))


def _time_s(position: Position) -> float:
    assert position.time is not None
    return position.time.timestamp()
