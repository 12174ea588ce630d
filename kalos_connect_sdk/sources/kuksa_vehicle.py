"""Gear, speed, ignition and driver out of a KUKSA databroker: whether the vehicle is parked, and whose drive it is.

Everything that is missing, old or not for our token counts as unknown, and unknown is never parked (R12). Who drives is
remembered over a lost connection: silence does not bring another driver's consent back (R18).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from ..errors import SourceUnavailable
from ..model.vehicle import VehicleState
from . import vss
from .databroker import PORT, Broker, May, Where
from .vehicle import PushedVehicle
from .watching import Watching

__all__ = ["KuksaVehicle"]

_SILENCE_S: Final = 10.0


class KuksaVehicle(Watching):
    """Vehicle signals of VSS, watched by a thread from construction to :meth:`close`. A context manager.

    ``gear_on_change``: the gear's provider publishes it only when it changes; then the speed, which must be published
    all the time, shows that the vehicle is still heard. ``profiles``: the app's profile of each driver that the vehicle
    identifies; by default the driver's id itself. ``driver_path``: a signal of one's own instead of VSS's.

    Waits at most ``wait_s`` for the first word, so that a drive goes on where it was when the app starts again. Raises
    :class:`SourceUnavailable` only for a token that would be sent in the clear.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = PORT,
        *,
        token_file: str | None = None,
        ca_file: str | None = None,
        gear_on_change: bool = False,
        profiles: Mapping[str, str] | None = None,
        driver_path: str | None = None,
        wait_s: float = 2.0,
    ) -> None:
        self._where = Where(host, port, token_file, ca_file)
        self._profiles = dict(profiles) if profiles is not None else {}
        self._drivers = (driver_path,) if driver_path is not None else vss.DRIVERS
        self._told = PushedVehicle(gear_on_change=gear_on_change)
        self._latest: dict[str, vss.Value] = {}
        self._broker: Broker | None = None
        self._heard = threading.Event()
        super().__init__("kalos-vehicle", "the KUKSA databroker was not reached yet")
        self._heard.wait(wait_s)

    def __repr__(self) -> str:
        return "<KuksaVehicle>"

    def read(self) -> VehicleState:
        """The latest words and how old they are. At once."""
        return self._told.read()

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` when something changed, on the watching thread; returns an unsubscribe."""
        return self._told.subscribe(callback)

    def close(self) -> None:
        """Stop watching; any thread, any number of times."""
        self._wake.set()
        broker = self._broker
        if broker is not None:
            broker.cancel()
        super().close()

    # -- the watching thread ---------------------------------------------------------------------

    def _lost(self) -> None:
        self._told.forget()

    def _watch(self) -> None:
        """Until the connection is lost."""
        broker = self._broker = Broker(self._where, self._wake)
        try:
            wanted = (vss.GEAR, vss.SPEED, vss.IGNITION, vss.START_TIME, *self._drivers)
            answers = {path: broker.may(path) for path in wanted}
            self.problem = _missing(answers)
            readable = [path for path, answer in answers.items() if answer is May.READ]
            drivers = [path for path in self._drivers if path in readable]
            broker.paths = tuple(path for path in readable if path not in drivers[1:])
            if not readable:
                raise SourceUnavailable(self.problem or "the databroker lets nothing be read")
            broker.subscribe()
            for said in broker.updates(_SILENCE_S):
                if said:
                    self._hear(said)
                    self._heard.set()
                    self._well()
                elif broker.may(broker.paths[0]) is not May.READ:
                    break  # a token that has run out: it is read anew for the next connection
            self.problem = "the KUKSA databroker ended the connection"
        except ConnectionError:
            self.problem = "the KUKSA databroker broke off; start it again"
        finally:
            self._broker = None
            broker.close()

    def _hear(self, said: list[vss.Said]) -> None:
        now_s = time.time()
        for each in said:
            self._latest[each.path] = each.value
            lag_s = vss.lag_s(each.at_s, now_s)
            if each.path == vss.GEAR:
                self._told.tell(gear=vss.gear_of(each.value), lag_s=lag_s)
            elif each.path == vss.SPEED:
                self._told.tell(speed_mps=vss.speed_of(each.value), lag_s=lag_s)
            elif each.path in self._drivers and each.value is not None:
                driver = vss.text_of(each.value)
                self._told.tell(profile=self._profiles.get(driver, driver) if driver is not None else None)
        self._told.tell(drive_id=vss.drive_of(self._latest.get(vss.IGNITION), self._latest.get(vss.START_TIME)))


def _missing(answers: Mapping[str, May]) -> str | None:
    """What is amiss: without a gear nothing is ever parked; of the rest a missing right is worth a word."""
    for path, answer in answers.items():
        if answer is May.NOT_THERE and path == vss.GEAR:
            return f"{path} {answer.value}: the vehicle is never known to be parked"
        if answer in (May.NO_RIGHT, May.UNKNOWN):
            return f"{path} {answer.value}: it counts as unknown; get a token with the scope read:{path}"
    return None
