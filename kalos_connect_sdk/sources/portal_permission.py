"""Whether a person allowed a sandboxed app the location, as the desktop's permission store says. Asks nobody.

The store tells every change of its answers at once. Inside most sandboxes it cannot be read: there the answer stays
unknown, and the app tells a ``PushedOsPermission`` what its ``PortalSource`` met.
"""

from __future__ import annotations

import re
from typing import Any, Final

from jeepney import DBusAddress, HeaderFields, MatchRule, Message, new_method_call

from ..model.vehicle import OsAnswer
from .bus import SESSION, Bus, Refused, left
from .links import said_of
from .os_permission import WatchedOsPermission

__all__ = ["PortalOsPermission"]

_NAME: Final = "org.freedesktop.impl.portal.PermissionStore"
_STORE: Final = DBusAddress("/org/freedesktop/impl/portal/PermissionStore", _NAME, _NAME)
_APP_ID: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+", re.ASCII)
_ALLOWING: Final = ("COUNTRY", "CITY", "NEIGHBORHOOD", "STREET", "EXACT")


class PortalOsPermission(WatchedOsPermission):
    """The stored answer for ``app_id``, such as ``com.example.Navigation``: granted at any accuracy, or denied.

    Unknown while nobody was asked, without a session bus, and where the store cannot be read. Raises ``ValueError``
    for an ``app_id`` that is none: an app outside a sandbox has none, and no such permission.
    """

    def __init__(self, app_id: str) -> None:
        if not isinstance(app_id, str) or not _APP_ID.fullmatch(app_id):
            raise ValueError("app_id must be the id of a sandboxed app, such as com.example.Navigation")
        self._app_id = app_id
        super().__init__()

    def _watch(self) -> None:
        bus = None
        try:
            bus = Bus(SESSION, self._wake)
            self._follow(bus)
            self.problem = "the permission store left the bus"
        except Refused:
            self.problem = "the desktop's permission store cannot be read here; install and start xdg-desktop-portal"
        except OSError as error:
            self.problem = f"the session bus cannot be reached: {said_of(error)}; run inside a desktop session"
        finally:
            if bus is not None:
                bus.close()

    def _follow(self, bus: Bus) -> None:
        """Until the store leaves the bus."""
        bus.listen(MatchRule(type="signal", sender=_NAME, interface=_NAME, member="Changed"))
        _looked_up(bus)  # the bus starts the store for it
        owner = bus.owner(_NAME)
        self._judge(_looked_up(bus))
        while (signal := bus.signal()) is not None:
            if left(signal, _NAME):
                return
            answers = _changed(signal, owner)
            if answers is not None:
                self._judge(answers)

    def _judge(self, answers: dict[str, list[str]]) -> None:
        answer = (answers.get(self._app_id) or [""])[0]
        if answer in _ALLOWING:
            self._say(OsAnswer.GRANTED)
        elif answer == "NONE":
            self._say(OsAnswer.DENIED, "the person does not allow location for this app; see the privacy settings")
        else:
            self._say(OsAnswer.UNKNOWN, "nobody was asked yet: the portal asks when a PortalSource is read")


def _looked_up(bus: Bus) -> dict[str, list[str]]:
    try:
        answers: dict[str, list[str]] = bus.call(new_method_call(_STORE, "Lookup", "ss", ("location", "location")))[0]
        return answers
    except Refused as error:
        if error.name != "org.freedesktop.portal.Error.NotFound":
            raise
    return {}


def _changed(signal: Message, owner: str) -> dict[str, list[str]] | None:
    """The answers that a change of the location table brought."""
    fields: dict[Any, Any] = signal.header.fields
    if fields.get(HeaderFields.sender) != owner or fields.get(HeaderFields.member) != "Changed":
        return None
    table, entry, deleted, _, answers = signal.body
    if (table, entry) != ("location", "location"):
        return None
    return {} if deleted else dict(answers)
