"""The steps of a GeoClue client: obtained, started, told where the device is, switched off and on again.

GeoClue gives a client only while a location agent runs for this user, and asks that agent whether the app may start.
What it tells is believed from the owner of its name alone: anybody on the bus can send a signal straight to us.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

from jeepney import DBusAddress, HeaderFields, MatchRule, Message, Properties, new_method_call

from ..errors import InvalidPosition
from ..model.position import Position
from .bus import SYSTEM, Bus, Refused, left
from .wake import Wake

__all__ = ["ADVICE", "FIRST_S", "NOWHERE", "REFUSED", "Client", "Gone", "Moved", "No", "Switched", "position_of"]

_NAME: Final = "org.freedesktop.GeoClue2"
_MANAGER: Final = DBusAddress("/org/freedesktop/GeoClue2/Manager", _NAME, f"{_NAME}.Manager")
REFUSED: Final = "org.freedesktop.DBus.Error.AccessDenied"
"""What a no is called on the bus; other names are of something that went wrong."""
FIRST_S: Final = 10.0
"""Without a position by then something is amiss. Later silence is none: who stands still is told nothing."""
NOWHERE: Final = "check that GeoClue has a receiver or a network to go by, and how exactly this app may know it"
_UNKNOWN_ALTITUDE: Final = -sys.float_info.max


class No(Enum):
    """Why GeoClue does not let a client start."""

    SWITCHED_OFF = "location is switched off for this user"
    NO_AGENT = "no location agent runs for this user"
    REFUSED = "the system does not allow location for this app"


ADVICE: Final = {
    No.SWITCHED_OFF: "switch location on in the system's settings",
    No.NO_AGENT: "start the desktop's location agent, or GeoClue's own demo agent, and name it in geoclue.conf",
    No.REFUSED: "allow this app in the system's location settings, or its desktop id in geoclue.conf",
}


class Gone:
    """GeoClue left the bus."""


class Switched:
    """The client was stopped or started by the system: ``on`` is how it stands."""

    def __init__(self, on: bool) -> None:
        self.on = on


class Moved:
    """There is a new position, at ``path``."""

    def __init__(self, path: str) -> None:
        self.path = path


class Client:
    """A GeoClue client on a connection of its own. Raises ``OSError`` without a bus or, in ``timeout_s``, without an
    agent; :class:`Refused` when there is no GeoClue; ``Unwanted`` once ``wake`` is set."""

    def __init__(self, wake: Wake, desktop_id: str, level: int, timeout_s: float | None) -> None:
        self.bus = Bus(SYSTEM, wake)
        self.opened_s = time.monotonic()
        try:
            # Not before there is an agent; without one this call is not answered.
            self._path = str(self.bus.call(new_method_call(_MANAGER, "GetClient"), timeout_s)[0])
            self._owner = self.bus.owner(_NAME)
            self._me = DBusAddress(self._path, self._owner, f"{_NAME}.Client")
            self.bus.listen(MatchRule(type="signal", sender=_NAME, path=self._path))
            self.set("DesktopId", "s", desktop_id)
            self.set("RequestedAccuracyLevel", "u", level)
        except BaseException:
            self.close()
            raise

    def set(self, name: str, signature: str, value: Any) -> None:
        """One property of the client."""
        self.bus.call(Properties(self._me).set(name, signature, value))

    def start(self) -> No | None:
        """Why GeoClue does not let it start; None when it does. Waits for the agent, which may ask a person.

        Raises ``OSError`` when GeoClue or its agent went away meanwhile: nobody has refused then.
        """
        no = None
        try:
            self.bus.call(new_method_call(self._me, "Start"), None)
            return None
        except Refused as error:
            no = _why(error)
        if no is None:
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        return no

    def event(self, timeout_s: float | None = None) -> Gone | Switched | Moved | None:
        """What happens next; None when nothing did in time."""
        while (signal := self.bus.signal(timeout_s)) is not None:
            heard = self._understood(signal)
            if heard is not None:
                return heard
        return None

    def position(self, path: str) -> Position | None:
        """The position at ``path``; None for one that cannot be true. Raises :class:`Refused` once it is gone."""
        where = DBusAddress(path, self._owner, f"{_NAME}.Location")
        found: dict[str, tuple[str, Any]] = self.bus.call(Properties(where).get_all())[0]
        return position_of(found)

    def drain(self) -> None:
        """Nothing waits here: it is told nothing before it is started."""

    def close(self) -> None:
        """GeoClue forgets a client whose connection ends."""
        self.bus.close()

    def _understood(self, signal: Message) -> Gone | Switched | Moved | None:
        if left(signal, _NAME):
            return Gone()
        fields = signal.header.fields
        member = fields.get(HeaderFields.member)
        if fields.get(HeaderFields.sender) != self._owner or fields.get(HeaderFields.path) != self._path:
            return None
        if member == "LocationUpdated":
            return Moved(str(signal.body[1]))
        if member == "PropertiesChanged" and "Active" in signal.body[1]:
            return Switched(signal.body[1]["Active"][1] is True)
        return None


def _why(refusal: Refused) -> No | None:
    """Which of its reasons GeoClue gave: one name stands for all of them. None: another name, and no reason at all."""
    if refusal.name != REFUSED:
        return None
    if "disabled" in refusal.text:
        return No.SWITCHED_OFF
    return No.NO_AGENT if "no agent" in refusal.text else No.REFUSED


def position_of(properties: dict[str, tuple[str, Any]]) -> Position | None:
    """The position in what GeoClue, or the portal in its place, says of it; None for one that cannot be true.

    Minus one and the lowest number stand for *unknown*. So does an accuracy of 0: GeoClue gives it for a good HDOP, and
    together with 0, 0 for a receiver that has no fix.
    """
    said = {name: value for name, (_, value) in properties.items()}
    accuracy, speed, course = said.get("Accuracy", 0), said.get("Speed", -1), said.get("Heading", -1)
    altitude = said.get("Altitude", _UNKNOWN_ALTITUDE)
    if not (said.get("Latitude") or said.get("Longitude") or accuracy):
        return None
    seconds, microseconds = said.get("Timestamp", (0, 0))
    try:
        return Position(
            said.get("Latitude"),  # type: ignore[arg-type] # refused like every other value that is no number
            said.get("Longitude"),  # type: ignore[arg-type]
            accuracy_m=accuracy or None,
            speed_mps=speed if speed >= 0 else None,
            course_deg=course if course >= 0 else None,
            altitude_m=altitude if altitude > _UNKNOWN_ALTITUDE else None,
            time=datetime.fromtimestamp(seconds + microseconds / 1e6, UTC) if seconds else None,
        )
    except (InvalidPosition, TypeError, ValueError, OverflowError, OSError):
        return None
