"""One position as one short row of bytes, which is what the outbox seals.

The row is fixed-size, WGS-84 and exact to 1e-7 degrees (about a centimetre). Packing runs for every
accepted position, so it tries the straight way first; a value out of the row's range is clamped where
that stays true and left out where it would not, and never becomes an exception (R10: an exception
could carry the value).
"""

from __future__ import annotations

import struct
from typing import Any, Final, NamedTuple

from ..model.position import Datum, Position

__all__ = ["PRESENT_ALL", "ROW", "Row", "accepted_ms_of", "pack", "unpack"]

ROW: Final = struct.Struct("<BqqiiIIHi")
"""Presence flags, time (ms since 1970), acceptance (ms, the caller's clock), latitude and longitude (1e-7
degrees), accuracy (cm), speed (mm/s), course (0.01 degrees), altitude (cm)."""

_ACCURACY: Final = 1
_SPEED: Final = 2
_COURSE: Final = 4
_ALTITUDE: Final = 8
PRESENT_ALL: Final = 15
"""The flags of a row in which nothing is absent."""

_MS_MAX: Final = 253_402_300_799_999  # the last millisecond of the year 9999
_MS_MIN: Final = -62_135_596_800_000  # the first one of the year 1
_U32_MAX: Final = 2**32 - 1
_ACCEPTED: Final = struct.Struct("<q")
_pack = ROW.pack
_WGS84: Final = Datum.WGS84


class Row(NamedTuple):
    """An unpacked row: milliseconds, degrees in WGS-84, metres, metres a second, degrees clockwise."""

    time_ms: int
    accepted_ms: int
    latitude: float
    longitude: float
    accuracy_m: float | None
    speed_mps: float | None
    course_deg: float | None
    altitude_m: float | None

    def __repr__(self) -> str:
        return "<Row>"  # R10


def pack(position: Position, time_s: float, accepted_ms: int) -> bytes:
    """The row of a position: ``time_s`` is when it was true, in seconds since 1970; ``accepted_ms`` when it was
    accepted, in milliseconds of whatever clock the caller measures retention with.

    A position in another datum is converted to WGS-84, the datum of the wire. Raises nothing.
    """
    if position.datum is not _WGS84:
        position = position.to(_WGS84)
    accuracy = position.accuracy_m
    speed = position.speed_mps
    course = position.course_deg
    altitude = position.altitude_m
    flags = PRESENT_ALL
    if accuracy is None:
        accuracy = 0.0
        flags -= _ACCURACY
    if speed is None:
        speed = 0.0
        flags -= _SPEED
    if course is None:
        course = 0.0
        flags -= _COURSE
    if altitude is None:
        altitude = 0.0
        flags -= _ALTITUDE
    try:
        return _pack(
            flags,
            round(time_s * 1000),
            accepted_ms,
            round(position.latitude * 1e7),
            round(position.longitude * 1e7),
            round(accuracy * 100),
            round(speed * 1000),
            round(course * 100),
            round(altitude * 100),
        )
    except (struct.error, ArithmeticError, ValueError):
        return _pack_clamped(flags, position, time_s, accepted_ms, accuracy, speed, course, altitude)


def _pack_clamped(
    flags: int,
    position: Position,
    time_s: float,
    accepted_ms: int,
    accuracy: float,
    speed: float,
    course: float,
    altitude: float,
) -> bytes:
    # An accuracy larger than the Earth says the same at the bound; a speed beyond it would be a lie.
    if speed * 1000 > _U32_MAX:
        speed = 0.0
        flags &= ~_SPEED
    return _pack(
        flags,
        _clamped(time_s * 1000, _MS_MIN, _MS_MAX),
        _clamped(accepted_ms, _MS_MIN, _MS_MAX),
        round(position.latitude * 1e7),
        round(position.longitude * 1e7),
        _clamped(accuracy * 100, 0, _U32_MAX),
        round(speed * 1000),
        round(course * 100),
        round(altitude * 100),
    )


def _clamped(value: float, low: int, high: int) -> int:
    if not value > low:  # NaN too
        return low
    return high if value >= high else round(value)


def unpack(row: bytes) -> Row:
    """The inverse of :func:`pack`. Raises ``ValueError``, without the bytes, when it is not a row."""
    if len(row) != ROW.size:
        raise ValueError("not a packed position")
    flags, time_ms, accepted_ms, latitude, longitude, accuracy, speed, course, altitude = ROW.unpack(row)
    return Row(
        time_ms,
        accepted_ms,
        latitude / 1e7,
        longitude / 1e7,
        _if_present(flags & _ACCURACY, accuracy / 100),
        _if_present(flags & _SPEED, speed / 1000),
        _if_present(flags & _COURSE, course / 100),
        _if_present(flags & _ALTITUDE, altitude / 100),
    )


def _if_present(flag: int, value: float) -> float | None:
    return value if flag else None


def accepted_ms_of(row: bytes) -> int:
    """When the row was accepted, in milliseconds of the caller's clock, without unpacking the rest."""
    accepted: tuple[Any, ...] = _ACCEPTED.unpack_from(row, 9)
    return int(accepted[0])
