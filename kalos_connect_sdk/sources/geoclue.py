"""GeoClue2 as a source: the position service of Linux desktops and of many head units.

``accuracy`` is the most the app asks for; the system may give less, and each position says how exact it is. GeoClue
names metres and no share: they are taken as they are for our 68 %. Switched off in mid-stream it says so and is silent;
what that means for the consent is what :class:`GeoClueOsPermission` is for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from ..errors import SourceUnavailable
from ..model.position import Position
from .address import malformed, options_of
from .bus import Refused
from .geoclue_client import ADVICE, FIRST_S, NOWHERE, REFUSED, Client, Gone, Moved, No, Switched
from .links import Unwanted, said_of
from .live import LiveSource
from .wake import Wake

__all__ = ["LEVELS", "GeoClueSource", "checked", "open_geoclue"]

LEVELS: Final = {"country": 1, "city": 4, "neighborhood": 5, "street": 6, "exact": 8}
"""GeoClue's accuracy levels: what each asks for at most."""
DESKTOP_ID: Final = "kalos-connect"
_AGENT_S: Final = 5.0
_FORM: Final = "geoclue:?accuracy=exact&desktop_id=ID, with country, city, neighborhood, street or exact"
_DESKTOP_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,255}", re.ASCII)


class GeoClueSource(LiveSource[Client]):
    """Positions of the system's location service.

    ``desktop_id``: what the app is called in geoclue.conf; a sandboxed app has its own whatever is given. Raises
    ``ValueError`` for arguments out of range, :class:`SourceUnavailable` when there is no bus, no GeoClue or, for
    five seconds, no agent. Whether the app may start is asked when it is iterated: a person may have to answer.
    """

    def __init__(self, accuracy: str = "exact", *, desktop_id: str = DESKTOP_ID) -> None:
        self._level, self._desktop_id = checked(accuracy, desktop_id)
        super().__init__("GeoClue")

    def _connect(self, wake: Wake) -> Client:
        try:
            return Client(wake, self._desktop_id, self._level, _AGENT_S)
        except Refused as error:
            problem = _refusal(error)
        except TimeoutError:
            problem = f"GeoClue gives no client: {No.NO_AGENT.value}; {ADVICE[No.NO_AGENT]}"
        except OSError as error:
            problem = f"the system bus cannot be reached: {said_of(error)}; start dbus, or choose another source"
        raise SourceUnavailable(problem)

    def _read(self, client: Client, wake: Wake) -> Iterator[Position]:
        client.bus.wake = wake
        try:
            yield from self._told(client)
        except Unwanted:
            return

    def _told(self, client: Client) -> Iterator[Position]:
        no = client.start()
        if no is not None:  # asked once: the agent asks a person
            raise SourceUnavailable(f"GeoClue does not start: {no.value}; {ADVICE[no]}")
        patience_s: float | None = FIRST_S
        while not isinstance(event := client.event(patience_s), Gone):
            if isinstance(event, Moved):
                position = self._at(client, event.path)
                if position is not None:
                    patience_s = None
                    self._tell(None)
                    yield position
            elif isinstance(event, Switched):
                patience_s = FIRST_S if event.on else None
                self._tell(None if event.on else f"{No.SWITCHED_OFF.value}; {ADVICE[No.SWITCHED_OFF]}")
            else:
                self._tell(f"GeoClue says no position; {NOWHERE}")

    @staticmethod
    def _at(client: Client, path: str) -> Position | None:
        try:
            return client.position(path)
        except Refused:  # the next one took its place
            return None


def checked(accuracy: str, desktop_id: str) -> tuple[int, str]:
    """(GeoClue's level, desktop id). Raises ``ValueError``."""
    if accuracy not in LEVELS:
        raise ValueError(f"accuracy must be one of {', '.join(LEVELS)}")
    if not isinstance(desktop_id, str) or not _DESKTOP_ID.fullmatch(desktop_id):
        raise ValueError("desktop_id must be 1 to 255 letters, digits, dots, dashes and underscores")
    return LEVELS[accuracy], desktop_id


def open_geoclue(rest: str, *, speed: float | None = None) -> GeoClueSource:
    """``geoclue:?accuracy=LEVEL&desktop_id=ID``."""
    place, options = options_of(rest, _FORM, ("accuracy", "desktop_id"))
    accuracy, desktop_id = options.get("accuracy", "exact"), options.get("desktop_id", DESKTOP_ID)
    if place or accuracy not in LEVELS or not _DESKTOP_ID.fullmatch(desktop_id):
        raise malformed(_FORM)
    return GeoClueSource(accuracy, desktop_id=desktop_id)


def _refusal(error: Refused) -> str:
    if error.name == "org.freedesktop.DBus.Error.ServiceUnknown":
        return "there is no GeoClue on the system bus; install and start geoclue-2.0"
    if error.name != REFUSED:
        return "GeoClue left the bus before it gave a client; start it again"
    return "GeoClue gives no client to this user: the bus or its policy refused; see geoclue.conf"
