"""Whether the system lets this app have the location, as GeoClue says: switched off, refused or allowed.

GeoClue tells a switch that is turned only to a client that runs. So one runs as long as this is open; it asks for no
position (its thresholds are larger than the Earth and a year), but the system counts the app as using location.
"""

from __future__ import annotations

from typing import Final

from ..model.vehicle import OsAnswer
from .bus import Refused
from .geoclue import DESKTOP_ID, checked
from .geoclue_client import ADVICE, Client, Gone, No, Switched
from .links import said_of
from .os_permission import WatchedOsPermission

__all__ = ["GeoClueOsPermission"]

_TOO_FAR_M: Final = 100_000_000
_TOO_LONG_S: Final = 366 * 86_400
_ASK_AGAIN_S: Final = 2.0
_GONE: Final = "GeoClue left the bus"


class GeoClueOsPermission(WatchedOsPermission):
    """GeoClue's permission for ``desktop_id``; ``accuracy`` as for :class:`GeoClueSource`.

    Denied: location is switched off, or this app is refused. Unknown: no bus, no GeoClue, no agent. An app that was
    refused is not asked about again until GeoClue restarts, or :meth:`ask_again`: the agent may ask a person.
    """

    def __init__(self, accuracy: str = "exact", *, desktop_id: str = DESKTOP_ID) -> None:
        self._level, self._desktop_id = checked(accuracy, desktop_id)
        self._client: Client | None = None
        self._asked_again = False
        super().__init__()

    def ask_again(self) -> None:
        """After a refusal, when the person comes back from the system's settings."""
        self._asked_again = True

    def _watch(self) -> None:
        self.problem = f"GeoClue gives no client yet: {No.NO_AGENT.value}; {ADVICE[No.NO_AGENT]}"
        client = None
        try:
            client = Client(self._wake, self._desktop_id, self._level, None)
            client.set("DistanceThreshold", "u", _TOO_FAR_M)
            client.set("TimeThreshold", "u", _TOO_LONG_S)
            self.problem = "GeoClue asks its agent, which may ask a person"
            self.problem = self._follow(client)
        except Refused:
            self.problem = "there is no GeoClue on the system bus for this user; install and start geoclue-2.0"
        except ConnectionResetError:
            self.problem = _GONE
        except OSError as error:
            self.problem = f"the system bus cannot be reached: {said_of(error)}; start dbus"
        finally:
            if client is not None:
                client.close()

    def _follow(self, client: Client) -> str:
        """Until GeoClue is gone, or has no agent any more: which of them."""
        no = self._start(client)
        while no is not No.NO_AGENT:
            event = client.event(None if no is None else _ASK_AGAIN_S)
            if isinstance(event, Gone):
                return _GONE
            if isinstance(event, Switched):
                self._stands(None if event.on else No.SWITCHED_OFF)
            elif event is None and (no is No.SWITCHED_OFF or self._asked_again):
                no = self._start(client)
        return f"{no.value}; {ADVICE[no]}"

    def _start(self, client: Client) -> No | None:
        self._asked_again = False
        no = client.start()
        if no is not No.NO_AGENT:
            self._stands(no)
        return no

    def _stands(self, no: No | None) -> None:
        if no is None:
            self._say(OsAnswer.GRANTED)
        else:
            self._say(OsAnswer.DENIED, f"{no.value}; {ADVICE[no]}")
