"""Position and Place: validated on construction, silent about their value ever after (R10)."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, datetime
from enum import Enum

from ..errors import InvalidPosition

__all__ = ["Datum", "Place", "Position"]


class Datum(Enum):
    """The datum a pair of coordinates is expressed in. The wire speaks WGS-84 only."""

    WGS84 = "WGS84"
    GCJ02 = "GCJ02"
    BD09 = "BD09"


class _Refused(Exception):
    """A value is not taken; the text names the field and the rule, never the value."""


def _number(name: str, value: object, low: float, high: float, unit: str) -> float:
    """A finite float in range. Raises :class:`_Refused`."""
    problem = None
    number = 0.0
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        problem = "must be a number"
    else:
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            problem = "must be finite"
        elif not low <= number <= high:
            bound = f"between {low:g} and {high:g}" if math.isfinite(high) else f"at least {low:g}"
            problem = f"must be {bound} {unit}"
    if problem is not None:
        raise _Refused(f"{name} {problem}")
    return number


@dataclass(frozen=True, slots=True, repr=False, init=False)
class Place:
    """A point a person chose: a destination or a typed origin. Not the device's position (R2).

    ``latitude`` and ``longitude`` in degrees, in ``datum``. Raises :class:`InvalidPosition`.
    """

    latitude: float
    longitude: float
    _: KW_ONLY
    name: str | None = None
    datum: Datum = Datum.WGS84

    def __init__(
        self, latitude: float, longitude: float, *, name: str | None = None, datum: Datum = Datum.WGS84
    ) -> None:
        put = object.__setattr__
        problem = None
        try:
            put(self, "latitude", _number("latitude", latitude, -90, 90, "degrees"))
            put(self, "longitude", _number("longitude", longitude, -180, 180, "degrees"))
        except _Refused as refused:
            problem = str(refused)
        if name is not None and not isinstance(name, str):
            problem = problem or "name must be text"
        if not isinstance(datum, Datum):
            problem = problem or "datum must be a Datum"
        if problem is not None:
            del self, latitude, longitude, name, datum  # R10: a traceback keeps the locals of this frame
            raise InvalidPosition(problem)
        put(self, "name", name)
        put(self, "datum", datum)

    def __repr__(self) -> str:
        return f"<Place {self.datum.value}>"

    def to(self, datum: Datum) -> Place:
        """The same place in another datum; itself when it is there already."""
        if datum is self.datum:
            return self
        from ..core.datum import convert

        latitude, longitude = convert(self.latitude, self.longitude, self.datum, datum)
        return Place(latitude, longitude, name=self.name, datum=datum)


@dataclass(frozen=True, slots=True, repr=False, init=False)
class Position:
    """Where the device was at one time.

    ``latitude``, ``longitude`` in degrees in ``datum``; ``accuracy_m`` horizontal, 68 %, in metres;
    ``speed_mps`` in metres a second; ``course_deg`` clockwise from true north, 0-360; ``altitude_m``
    above the ellipsoid or the sea as the receiver says; ``time`` an aware datetime, ``None`` is now.

    Raises :class:`InvalidPosition`, whose text holds no value. ``repr`` shows no coordinate.
    """

    latitude: float
    longitude: float
    _: KW_ONLY
    accuracy_m: float | None = None
    speed_mps: float | None = None
    course_deg: float | None = None
    altitude_m: float | None = None
    time: datetime | None = None
    datum: Datum = Datum.WGS84
    time_implied: bool = field(default=False, init=False, compare=False)
    """True when no time was given: a simulated clock then says what *now* was."""

    def __init__(
        self,
        latitude: float,
        longitude: float,
        *,
        accuracy_m: float | None = None,
        speed_mps: float | None = None,
        course_deg: float | None = None,
        altitude_m: float | None = None,
        time: datetime | None = None,
        datum: Datum = Datum.WGS84,
    ) -> None:
        put = object.__setattr__
        problem = None
        try:
            put(self, "latitude", _number("latitude", latitude, -90, 90, "degrees"))
            put(self, "longitude", _number("longitude", longitude, -180, 180, "degrees"))
            if accuracy_m is not None:
                accuracy_m = _number("accuracy_m", accuracy_m, 0, math.inf, "metres")
            if speed_mps is not None:
                speed_mps = _number("speed_mps", speed_mps, 0, math.inf, "m/s")
            if course_deg is not None:
                course_deg = _number("course_deg", course_deg, 0, 360, "degrees")
            if altitude_m is not None:
                altitude_m = _number("altitude_m", altitude_m, -20_000, 10_000_000, "metres")
        except _Refused as refused:
            problem = str(refused)
        implied = time is None
        if time is None:
            time = datetime.now(UTC)
        elif not isinstance(time, datetime):
            problem = problem or "time must be a datetime"
        elif time.utcoffset() is None:
            problem = problem or "time must carry a time zone; use datetime.now(UTC) or .astimezone()"
        if not isinstance(datum, Datum):
            problem = problem or "datum must be a Datum"
        if problem is not None:
            del self, latitude, longitude, accuracy_m, speed_mps, course_deg, altitude_m, time, datum
            raise InvalidPosition(problem)  # R10: a traceback keeps the locals of this frame
        put(self, "accuracy_m", accuracy_m)
        put(self, "speed_mps", speed_mps)
        put(self, "course_deg", course_deg)
        put(self, "altitude_m", altitude_m)
        put(self, "time", time)
        put(self, "datum", datum)
        put(self, "time_implied", implied)

    def __repr__(self) -> str:
        return f"<Position {self.datum.value}>"

    def to(self, datum: Datum) -> Position:
        """The same position in another datum (section 6); itself when it is there already, so never converted twice."""
        if datum is self.datum:
            return self
        from ..core.datum import convert

        latitude, longitude = convert(self.latitude, self.longitude, self.datum, datum)
        there = Position(
            latitude,
            longitude,
            accuracy_m=self.accuracy_m,
            speed_mps=self.speed_mps,
            course_deg=self.course_deg,
            altitude_m=self.altitude_m,
            time=self.time,
            datum=datum,
        )
        object.__setattr__(there, "time_implied", self.time_implied)
        return there
