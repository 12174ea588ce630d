"""From NMEA sentences to positions: one position an epoch, and only with a fix.

An epoch is everything that carries one time of day; it ends when another time begins. RMC, GGA, GNS and GLL
give the coordinates (those with the most digits are taken, and of equally exact ones the last), RMC and VTG speed
and course, GST or the HDOP the accuracy, RMC and ZDA the date. One sentence that says *no fix* (status V, quality 0,
mode N) voids its epoch: nothing of it is believed, neither the place nor the date.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from ..errors import InvalidPosition
from ..model.position import Position
from .dating import EARLIEST, Calendar
from .dilution import accuracy_from_hdop

__all__ = ["EARLIEST", "Assembler"]

_KNOT_MPS: Final = 1852 / 3600
_LATE_MS: Final = 2_000
_DAY_MS: Final = 86_400_000
_ROUNDED_MS: Final = 5
_NUMBER: Final = re.compile(r"-?(?:\d{1,12}(?:\.\d{0,12})?|\.\d{1,12})", re.ASCII)
_ANGLE: Final = re.compile(r"(\d{1,3})(\d\d(?:\.\d{0,12})?)", re.ASCII)
_CLOCK: Final = re.compile(r"(\d\d)(\d\d)(\d\d(?:\.\d{0,9})?)", re.ASCII)
_DATE: Final = re.compile(r"(\d\d)(\d\d)(\d\d)", re.ASCII)

Fields = Sequence[str]


@dataclass(slots=True, repr=False)  # R10
class _Epoch:
    """What the sentences of one time of day said."""

    tod_ms: int
    void: bool = False
    digits: int = -1
    latitude: float = 0.0
    longitude: float = 0.0
    day: date | None = None
    day_is_full: bool = False
    speed_mps: float | None = None
    course_deg: float | None = None
    altitude_m: float | None = None
    hdop: float | None = None
    quality: int = 1
    error_m: float | None = None


class Assembler:
    """Takes sentences in the order of the stream, gives a position when an epoch with a fix is complete."""

    def __init__(self, not_before: date = EARLIEST, *, now: date | None = None) -> None:
        """``now``: the stream is live, and of no earlier day."""
        self._calendar = Calendar(not_before, now)
        self._epoch: _Epoch | None = None
        self._finished_ms: int | None = None
        self.undated = 0
        """Fixes that came before any date and were left out."""

    def add(self, kind: str, fields: Fields) -> Position | None:
        """One sentence; the position of the epoch that it ends, if it ends one with a fix."""
        if kind == "VTG":
            if self._epoch is not None:
                _vtg(self._epoch, fields)
            return None
        timed = _TIMED.get(kind)
        if timed is None:
            return None
        at, read = timed
        tod_ms = _clock(_get(fields, at))
        if tod_ms is None:
            return None
        position = None
        epoch = self._epoch
        if epoch is None or not _is_same(tod_ms, epoch.tod_ms):
            if _is_late(tod_ms, self._finished_ms) or (epoch is not None and _is_late(tod_ms, epoch.tod_ms)):
                return None  # its epoch was given out already
            position = self.finish()
            epoch = self._epoch = _Epoch(tod_ms)
        read(epoch, fields)
        return position

    @property
    def pending(self) -> bool:
        """An epoch is begun."""
        return self._epoch is not None

    def finish(self) -> Position | None:
        """The position of the epoch so far: the stream ended, or the next epoch begins."""
        epoch, self._epoch = self._epoch, None
        if epoch is None:
            return None
        self._finished_ms = epoch.tod_ms
        if epoch.void:
            return None
        when = self._calendar.at(epoch.tod_ms, epoch.day)
        if epoch.digits < 0:
            return None
        if when is None:
            self.undated += 1
            return None
        try:
            return Position(
                epoch.latitude,
                epoch.longitude,
                accuracy_m=epoch.error_m or accuracy_from_hdop(epoch.hdop, epoch.quality),
                speed_mps=epoch.speed_mps,
                course_deg=epoch.course_deg,
                altitude_m=epoch.altitude_m,
                time=when,
            )
        except InvalidPosition:
            return None


def _is_same(one_ms: int, other_ms: int) -> bool:
    """Whether two times are one: some receivers write hundredths in one sentence and thousandths in another."""
    return (one_ms - other_ms + _ROUNDED_MS) % _DAY_MS <= 2 * _ROUNDED_MS


def _is_late(tod_ms: int, finished_ms: int | None) -> bool:
    """Whether a time is that of an epoch that is over, or of one just before it."""
    return finished_ms is not None and (finished_ms - tod_ms) % _DAY_MS <= _LATE_MS


# -- the sentences ---------------------------------------------------------------------------------


def _rmc(epoch: _Epoch, fields: Fields) -> None:
    # Field 12 is the navigational status of NMEA 4.1: receivers write V there with a perfect fix.
    if _get(fields, 1) != "A" or _get(fields, 11) == "N":
        epoch.void = True
        return
    _place(epoch, fields, 2)
    knots = _number(_get(fields, 6), 0)
    if knots is not None:
        epoch.speed_mps = knots * _KNOT_MPS
    course = _number(_get(fields, 7), 0, 360)
    if course is not None:
        epoch.course_deg = course
    match = _DATE.fullmatch(_get(fields, 8))
    if match is not None and not epoch.day_is_full:
        day, month, year = (int(part) for part in match.groups())
        epoch.day = _day(year + (1900 if year >= 80 else 2000), month, day)


def _gga(epoch: _Epoch, fields: Fields) -> None:
    quality = _get(fields, 5)
    if not (quality.isascii() and quality.isdecimal()) or not 0 < int(quality[:3]) <= 9:
        epoch.void = True
        return
    epoch.quality = int(quality[:3])
    _place(epoch, fields, 1)
    epoch.hdop = _number(_get(fields, 7), 0)
    _altitude(epoch, _get(fields, 8))


def _gns(epoch: _Epoch, fields: Fields) -> None:
    if not _get(fields, 5).strip("N"):  # one letter for each constellation
        epoch.void = True
        return
    _place(epoch, fields, 1)
    if epoch.hdop is None:
        epoch.hdop = _number(_get(fields, 7), 0)
    if epoch.altitude_m is None:
        _altitude(epoch, _get(fields, 8))


def _gll(epoch: _Epoch, fields: Fields) -> None:
    if _get(fields, 5) == "V" or _get(fields, 6) == "N":
        epoch.void = True
        return
    _place(epoch, fields, 0)


def _gst(epoch: _Epoch, fields: Fields) -> None:
    north, east = _number(_get(fields, 5), 0), _number(_get(fields, 6), 0)
    if north is not None and east is not None and (north or east):
        epoch.error_m = math.hypot(north, east)


def _zda(epoch: _Epoch, fields: Fields) -> None:
    parts = [_get(fields, at) for at in (3, 2, 1)]
    if len(parts[0]) == 4 and all(part.isascii() and part.isdecimal() and len(part) <= 4 for part in parts):
        day = _day(*(int(part) for part in parts))
        if day is not None:
            epoch.day, epoch.day_is_full = day, True


def _vtg(epoch: _Epoch, fields: Fields) -> None:
    if _get(fields, 8) == "N":
        return
    kmh, knots = _number(_get(fields, 6), 0), _number(_get(fields, 4), 0)
    if epoch.speed_mps is None and (kmh is not None or knots is not None):
        epoch.speed_mps = kmh / 3.6 if kmh is not None else (knots or 0.0) * _KNOT_MPS
    if epoch.course_deg is None:
        epoch.course_deg = _number(_get(fields, 0), 0, 360)


_TIMED: Final[dict[str, tuple[int, Callable[[_Epoch, Fields], None]]]] = {
    "RMC": (0, _rmc),
    "GGA": (0, _gga),
    "GNS": (0, _gns),
    "GLL": (4, _gll),
    "GST": (0, _gst),
    "ZDA": (0, _zda),
}


# -- the fields ------------------------------------------------------------------------------------


def _get(fields: Fields, at: int) -> str:
    return fields[at].strip() if at < len(fields) else ""


def _place(epoch: _Epoch, fields: Fields, at: int) -> None:
    """Latitude, N/S, longitude, E/W from ``at`` on, if they are more exact than what the epoch has."""
    latitude = _angle(_get(fields, at), _get(fields, at + 1), "NS")
    longitude = _angle(_get(fields, at + 2), _get(fields, at + 3), "EW")
    digits = len(_get(fields, at).partition(".")[2])
    if latitude is None or longitude is None or digits < epoch.digits:
        return
    if latitude == 0 and longitude == 0:
        return  # how some receivers say nothing, with status A
    epoch.latitude, epoch.longitude, epoch.digits = latitude, longitude, digits


def _angle(text: str, hemisphere: str, signs: str) -> float | None:
    match = _ANGLE.fullmatch(text)
    if match is None or len(hemisphere) != 1 or hemisphere not in signs:
        return None
    minutes = float(match[2])
    if minutes >= 60:
        return None
    degrees = int(match[1]) + minutes / 60
    return degrees if hemisphere == signs[0] else -degrees


def _altitude(epoch: _Epoch, text: str) -> None:
    altitude = _number(text, -20_000, 100_000)
    if altitude is not None:
        epoch.altitude_m = altitude


def _number(text: str, low: float, high: float = 1e9) -> float | None:
    if not _NUMBER.fullmatch(text):
        return None
    number = float(text)
    return number if low <= number <= high else None


def _clock(text: str) -> int | None:
    """Milliseconds since midnight UTC; a leap second is the first of the next minute."""
    match = _CLOCK.fullmatch(text)
    if match is None:
        return None
    hour, minute, second = int(match[1]), int(match[2]), float(match[3])
    if hour > 23 or minute > 59 or second >= 61:
        return None
    return ((hour * 60 + minute) * 60) * 1000 + round(second * 1000)


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None
