"""A vehicle's own position, out of its VSS signals in a KUKSA databroker.

What nobody says any more is not where the vehicle is: a fix whose time is more than five seconds from this device's
clock is left out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from ..errors import SourceUnavailable
from ..model.position import Position
from . import vss
from .databroker import PORT, Broker, May, Where, where_of
from .links import Unwanted
from .live import LiveSource
from .wake import Wake

__all__ = ["KuksaSource", "open_kuksa"]

_STALE_S: Final = 5.0
_SILENCE_S: Final = 10.0
_NEEDED: Final = (vss.LATITUDE, vss.LONGITUDE)
_WELCOME: Final = (vss.ACCURACY, vss.ALTITUDE, vss.COURSE, vss.FIX_TYPE, vss.SPEED)
_SCOPE: Final = "get a token with the scope read:Vehicle.CurrentLocation"


class KuksaSource(LiveSource[Broker]):
    """``Vehicle.CurrentLocation`` as positions, with accuracy, course, altitude and speed where they may be read.

    ``token_file`` holds the databroker's token; without ``ca_file`` the connection is not encrypted, and then a token
    is sent to loopback addresses only. Raises :class:`SourceUnavailable` when no databroker answers, and when latitude
    or longitude are not there or not for us. VSS does not say what its accuracy means: it is taken for our 68 %.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = PORT,
        *,
        token_file: str | None = None,
        ca_file: str | None = None,
    ) -> None:
        self._where = Where(host, port, token_file, ca_file)
        self._broker: Broker | None = None
        super().__init__("the KUKSA databroker")

    def close(self) -> None:
        """Stop. A reader that waits ends at once; any thread, any number of times."""
        super().close()
        broker = self._broker
        if broker is not None:
            broker.cancel()

    def _connect(self, wake: Wake) -> Broker:
        broker = Broker(self._where, wake)
        try:
            problem = self._judged(broker)
        except BaseException:
            broker.close()
            raise
        if problem is not None:
            broker.close()
            raise SourceUnavailable(problem)
        return broker

    def _judged(self, broker: Broker) -> str | None:
        """Why positions cannot be read here; None when they can."""
        try:
            answers = {path: broker.may(path) for path in (*_NEEDED, *_WELCOME)}
        except ConnectionError:
            return "the KUKSA databroker broke off; start it again"
        for path in _NEEDED:
            if answers[path] is not May.READ:
                advice = "use a tree that has it" if answers[path] is May.NOT_THERE else _SCOPE
                return f"{path} {answers[path].value}; {advice}"
        broker.paths = tuple(path for path, answer in answers.items() if answer is May.READ)
        return None

    def _read(self, broker: Broker, wake: Wake) -> Iterator[Position]:
        broker.wake = wake
        self._broker = broker
        if wake.is_set():  # who closed us just now saw no broker to cancel
            return
        try:
            broker.subscribe()
            yield from self._assembled(broker)
        except Unwanted:
            return
        finally:
            self._broker = None

    def _assembled(self, broker: Broker) -> Iterator[Position]:
        fixes = vss.Fixes()
        for said in broker.updates(_SILENCE_S):
            if not said:
                if broker.may(vss.LATITUDE) is not May.READ:
                    return  # a token that has run out: it is read anew for the next connection
                self._tell("the KUKSA databroker says no position; check its provider")
                continue
            position = fixes.add(said)
            if position is None:
                continue
            assert position.time is not None
            if vss.lag_s(position.time.timestamp(), time.time()) > _STALE_S:
                self._tell("the KUKSA databroker's position is not of now; check its provider and both clocks")
                continue
            self._tell(None)
            yield position


def open_kuksa(rest: str, *, speed: float | None = None) -> KuksaSource:
    """``kuksa://HOST:PORT?token_file=FILE&ca_file=FILE``."""
    where = where_of(rest)
    return KuksaSource(where.host, where.port, token_file=where.token_file, ca_file=where.ca_file)
