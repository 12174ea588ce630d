"""Whether a point is in mainland China: R16 asks it of every position that goes abroad, the datums of where they apply.

The polygon (:mod:`.outline`) holds the land and about 12 nautical miles of sea, without Hong Kong, Macau and
Taiwan, and is right to about 2 km. A bounding box will not do: it takes in Seoul, Hanoi and Ulaanbaatar.
Answers are quick: a comparison for most of the world, and a count of the few edges at the same latitude inside.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from .outline import POINTS

__all__ = ["in_mainland_china", "near_mainland_china"]

_BANDS_A_DEGREE: Final = 10
# The outline's bounds, a little rounded outwards: longitude, then latitude.
_WEST, _EAST, _SOUTH, _NORTH = 73.0, 136.0, 15.0, 54.0


class _Edge(NamedTuple):
    """A side of the outline as a line over latitude, from ``south`` up to but without ``north``."""

    south: float
    north: float
    longitude: float
    """Where it is at ``south``."""
    slope: float
    """Degrees of longitude for one degree of latitude."""


def in_mainland_china(latitude: float, longitude: float) -> bool:
    """True for a WGS-84 point in mainland China or its waters, give or take 2 km; degrees."""
    if not (_WEST < longitude < _EAST and _SOUTH < latitude < _NORTH):
        return False
    inside = False
    for south, north, start, slope in _bands()[int((latitude - _SOUTH) * _BANDS_A_DEGREE)]:
        if south <= latitude < north and longitude < start + (latitude - south) * slope:
            inside = not inside  # one more side to the east
    return inside


def near_mainland_china(latitude: float, longitude: float) -> bool:
    """False for a point more than 0.1 degrees outside the box around the mainland, in whatever datum."""
    return _WEST - 0.1 < longitude < _EAST + 0.1 and _SOUTH - 0.1 < latitude < _NORTH + 0.1


@lru_cache(maxsize=1)
def _bands() -> tuple[tuple[_Edge, ...], ...]:
    """The sides that touch each tenth of a degree of latitude, made at the first question (a few milliseconds)."""
    bands: list[list[_Edge]] = [[] for _ in range(int((_NORTH - _SOUTH) * _BANDS_A_DEGREE))]
    for ring in _rings():
        for (west, low), (east, high) in zip(ring, ring[1:] + ring[:1], strict=True):
            if low == high:
                continue  # a level side is never crossed by a level ray
            if low > high:
                west, low, east, high = east, high, west, low
            edge = _Edge(low, high, west, (east - west) / (high - low))
            first, last = (int((latitude - _SOUTH) * _BANDS_A_DEGREE) for latitude in (low, high))
            for band in bands[first : last + 1]:
                band.append(edge)
    return tuple(tuple(band) for band in bands)


def _rings() -> list[list[tuple[float, float]]]:
    """The rings of the outline as (longitude, latitude) pairs in degrees."""
    steps = iter(list(_integers(zlib.decompress(base64.b85decode(POINTS)))))
    rings = []
    for _ in range(next(steps)):
        ring, x, y = [], 0, 0
        for _ in range(next(steps)):
            x += next(steps)
            y += next(steps)
            ring.append((x / 1000, y / 1000))
        rings.append(ring)
    return rings


def _integers(data: bytes) -> Iterator[int]:
    """Signed integers of 7 bits a byte, the lowest first, the sign in the last bit."""
    value = shift = 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield value >> 1 if not value & 1 else ~(value >> 1)
            value = shift = 0
