"""xdg-desktop-portal as a source: how a sandboxed app on a Linux desktop gets the location.

The portal asks a person once and keeps the answer; it gives at most the accuracy that was allowed. An app outside a
sandbox is not asked about: there GeoClue says what the person wants.
"""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Iterator
from typing import Any, Final

from jeepney import DBusAddress, HeaderFields, MatchRule, Message, new_method_call

from ..errors import SourceUnavailable
from ..model.position import Position
from .address import malformed, options_of
from .bus import SESSION, Bus, Refused, left
from .geoclue_client import FIRST_S, NOWHERE, position_of
from .links import Unwanted, said_of
from .live import LiveSource
from .wake import Wake

__all__ = ["PortalSource", "open_portal"]

_LEVELS: Final = {"country": 1, "city": 2, "neighborhood": 3, "street": 4, "exact": 5}
_NAME: Final = "org.freedesktop.portal.Desktop"
_PORTAL: Final = DBusAddress("/org/freedesktop/portal/desktop", _NAME, "org.freedesktop.portal.Location")
_FORM: Final = "portal:?accuracy=exact, or country, city, neighborhood or street"
_PERSON_S: Final = 120.0
_DENIED: Final = 1
_LOCKED: Final = "org.freedesktop.portal.Error.NotAllowed"


class _Session:
    """One session of the location portal, on a connection of its own. Raises ``OSError``, :class:`Refused`."""

    def __init__(self, wake: Wake, level: int) -> None:
        self.bus = Bus(SESSION, wake)
        self.opened_s = time.monotonic()
        try:
            ours = {"session_handle_token": ("s", _token()), "accuracy": ("u", level)}
            self._path = str(self.bus.call(new_method_call(_PORTAL, "CreateSession", "a{sv}", (ours,)))[0])
            self._owner = self.bus.owner(_NAME)
            self.bus.listen(MatchRule(type="signal", sender=_NAME))
        except BaseException:
            self.close()
            raise

    def start(self) -> str | None:
        """Why it does not start, and what to do; None when it does. A person may be asked meanwhile.

        Raises ``OSError`` when the portal went away: nobody has answered then.
        """
        token = _token()
        request = f"/org/freedesktop/portal/desktop/request/{self.bus.name[1:].replace('.', '_')}/{token}"
        body = (self._path, "", {"handle_token": ("s", token)})
        gone = False
        try:
            self.bus.call(new_method_call(_PORTAL, "Start", "osa{sv}", body))
        except Refused as error:
            if error.name == _LOCKED:
                return _refusal(error)
            gone = True
        deadline = time.monotonic() + _PERSON_S
        while not gone and (signal := self.bus.signal(max(0.0, deadline - time.monotonic()))) is not None:
            if _is(signal, self._owner, request, "Response"):
                return _meaning(signal.body[0])
            gone = left(signal, _NAME)
        if gone:
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        return "nobody answered the portal's question; start again when somebody can"

    def positions(self) -> Iterator[Position | None]:
        """Until the session is closed or the portal leaves the bus. None: there is still no first one."""
        patience_s: float | None = FIRST_S
        while True:
            signal = self.bus.signal(patience_s)
            if signal is None:
                yield None
            elif left(signal, _NAME) or _is(signal, self._owner, self._path, "Closed"):
                return
            elif _is(signal, self._owner, _PORTAL.object_path, "LocationUpdated") and signal.body[0] == self._path:
                position = position_of(signal.body[1])
                if position is not None:
                    patience_s = None
                    yield position

    def drain(self) -> None:
        """Nothing waits here: it is told nothing before it is started."""

    def close(self) -> None:
        """The portal forgets a session whose connection ends."""
        self.bus.close()


class PortalSource(LiveSource[_Session]):
    """Positions through the portal. Raises :class:`SourceUnavailable` when there is no session bus or no portal.

    The person is asked, if ever, when it is iterated; the portal's question stands for two minutes. A no, then or
    earlier, is :class:`SourceUnavailable`.
    """

    def __init__(self, accuracy: str = "exact") -> None:
        if accuracy not in _LEVELS:
            raise ValueError(f"accuracy must be one of {', '.join(_LEVELS)}")
        self._level = _LEVELS[accuracy]
        super().__init__("the portal")

    def _connect(self, wake: Wake) -> _Session:
        try:
            return _Session(wake, self._level)
        except Refused as error:
            problem = _refusal(error)
        except OSError as error:
            problem = f"the session bus cannot be reached: {said_of(error)}; run inside a desktop session"
        raise SourceUnavailable(problem)

    def _read(self, session: _Session, wake: Wake) -> Iterator[Position]:
        session.bus.wake = wake
        try:
            problem = session.start()
            if problem is None:
                for position in session.positions():
                    self._tell(None if position is not None else f"the portal says no position; {NOWHERE}")
                    if position is not None:
                        yield position
        except Unwanted:
            return
        if problem is not None:  # asked once: the portal asks a person
            raise SourceUnavailable(problem)


def open_portal(rest: str, *, speed: float | None = None) -> PortalSource:
    """``portal:?accuracy=LEVEL``."""
    place, options = options_of(rest, _FORM, ("accuracy",))
    accuracy = options.get("accuracy", "exact")
    if place or accuracy not in _LEVELS:
        raise malformed(_FORM)
    return PortalSource(accuracy)


def _is(signal: Message, owner: str, path: str, member: str) -> bool:
    fields: dict[Any, Any] = signal.header.fields
    where = (fields.get(HeaderFields.sender), fields.get(HeaderFields.path), fields.get(HeaderFields.member))
    return where == (owner, path, member)


def _meaning(response: int) -> str | None:
    if response == 0:
        return None
    if response == _DENIED:
        return "the person does not allow location for this app; it can be changed in the desktop's privacy settings"
    return "the portal could not start; check that GeoClue runs and that location is switched on"


def _refusal(error: Refused) -> str:
    if error.name == _LOCKED:  # a lockdown: nobody is asked
        return "the portal does not allow location here: the system's administrator has switched it off"
    return "there is no location portal on the session bus; install and start xdg-desktop-portal"


def _token() -> str:
    return f"kalos{secrets.token_hex(8)}"
