"""COVESA VSS in our words: which signals are read, what their values mean, and how two of them make a fix.

Latitude and longitude are two signals. They make one position only when both have come anew and their times are at
most half a second apart: an old latitude never meets a new longitude. Pure: values and times in, positions out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from ..errors import InvalidPosition
from ..model.position import Position
from ..model.vehicle import Gear

__all__ = [
    "ACCURACY", "ALTITUDE", "COURSE", "DRIVERS", "FIX_TYPE", "GEAR", "IGNITION", "LATITUDE", "LONGITUDE", "SPEED",
    "START_TIME", "Fixes", "Said", "drive_of", "gear_of", "lag_s", "speed_of", "text_of",
]  # fmt: skip

LATITUDE: Final = "Vehicle.CurrentLocation.Latitude"
LONGITUDE: Final = "Vehicle.CurrentLocation.Longitude"
ALTITUDE: Final = "Vehicle.CurrentLocation.Altitude"
COURSE: Final = "Vehicle.CurrentLocation.Heading"
ACCURACY: Final = "Vehicle.CurrentLocation.HorizontalAccuracy"
FIX_TYPE: Final = "Vehicle.CurrentLocation.GNSSReceiver.FixType"
SPEED: Final = "Vehicle.Speed"
GEAR: Final = "Vehicle.Powertrain.Transmission.SelectedGear"
IGNITION: Final = "Vehicle.LowVoltageSystemState"
START_TIME: Final = "Vehicle.StartTime"
DRIVERS: Final = ("Vehicle.Driver.Identifier.Subject", "Vehicle.Occupant.Row1.DriverSide.Identifier.Subject")
"""Who drives: VSS up to 5 and, since 6, the occupant of the driver's seat."""

_TOGETHER_S: Final = 0.5
_WITH_IT_S: Final = 2.0
_PARK, _DRIVE = 126, 127
_NEVER_STARTED: Final = "0000-01-01"

Value = str | bool | int | float | None


@dataclass(frozen=True, slots=True)
class Said:
    """One signal as the broker has it: its value, ``None`` when it has none, and when that was, in Unix seconds."""

    path: str
    value: Value
    at_s: float

    def __repr__(self) -> str:
        return f"<Said {self.path}>"


def gear_of(value: Value) -> Gear | None:
    """VSS: 126 park, 127 drive, 0 neutral, 1 and up forward, -1 and down reverse; anything else says nothing (R12)."""
    if isinstance(value, bool) or not isinstance(value, int) or not -128 <= value <= 127:
        return None
    if value == _PARK:
        return Gear.PARK
    if value == 0:
        return Gear.NEUTRAL
    return Gear.REVERSE if value < 0 else Gear.DRIVE


def speed_of(value: Value) -> float | None:
    """m/s of VSS's km/h, forward or backward; None for what is no speed."""
    number = _number(value)
    return abs(number) / 3.6 if number is not None else None


def text_of(value: Value) -> str | None:
    """A text that says something."""
    return value if isinstance(value, str) and value.strip() else None


def drive_of(ignition: Value, start_time: Value) -> str | None:
    """The id of this ignition cycle. Off ends a drive; the accessory position neither begins nor ends one."""
    if ignition in ("OFF", "LOCK"):
        return "ignition-off"
    started = text_of(start_time)
    if ignition not in ("ON", "START") or started is None or started.startswith(_NEVER_STARTED):
        return None
    return f"trip-{started}"


def lag_s(at_s: float, now_s: float) -> float:
    """How far the time of a value is from now, either way: a clock that is ahead vouches for nothing."""
    return abs(now_s - at_s)


class Fixes:
    """Assembles positions out of signals, in the order in which they come."""

    def __init__(self) -> None:
        self._latest: dict[str, Said] = {}
        self._new: set[str] = set()
        self.skipped = 0
        """Pairs that made no position: out of range, not a number, without a fix."""

    def add(self, said: Iterable[Said]) -> Position | None:
        """What came together in one message; the position that it completes, if it completes one."""
        for each in said:
            self._latest[each.path] = each
            if each.path in (LATITUDE, LONGITUDE):
                self._new.add(each.path)
        latitude, longitude = self._latest.get(LATITUDE), self._latest.get(LONGITUDE)
        if len(self._new) < 2 or latitude is None or longitude is None:
            return None
        if abs(latitude.at_s - longitude.at_s) > _TOGETHER_S:
            self._new.discard(min((latitude, longitude), key=lambda one: one.at_s).path)
            return None
        self._new.clear()
        position = self._position(latitude, longitude)
        self.skipped += position is None
        return position

    def _position(self, latitude: Said, longitude: Said) -> Position | None:
        fix = self._latest.get(FIX_TYPE)
        if (fix is not None and fix.value == "NONE") or (latitude.value == 0 and longitude.value == 0):
            return None
        at_s = max(latitude.at_s, longitude.at_s)
        accuracy, course = self._beside(ACCURACY, at_s), self._beside(COURSE, at_s)
        altitude, speed = self._beside(ALTITUDE, at_s), self._beside(SPEED, at_s)
        try:
            return Position(
                latitude.value,  # type: ignore[arg-type] # refused like every other value that is no number
                longitude.value,  # type: ignore[arg-type]
                accuracy_m=accuracy if accuracy is not None and accuracy > 0 else None,
                speed_mps=speed_of(speed),
                course_deg=course if course is not None and 0 <= course <= 360 else None,
                altitude_m=altitude if altitude is not None and -20_000 <= altitude <= 100_000 else None,
                time=datetime.fromtimestamp(at_s, UTC),
            )
        except (InvalidPosition, ValueError, OverflowError, OSError):
            return None

    def _beside(self, path: str, at_s: float) -> float | None:
        """A number that belongs to a fix of ``at_s``: at most two seconds from it."""
        said = self._latest.get(path)
        return _number(said.value) if said is not None and abs(said.at_s - at_s) <= _WITH_IT_S else None


def _number(value: Value) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None
