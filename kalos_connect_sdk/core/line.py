"""A route's line as a measured thing: where on it a point lies, how far along and how far aside (pure geometry).

Distances on a sphere of 6,371,008.8 m, flat around the point that is asked about: good to a few centimetres at road
scale. Longitudes are compared the short way round, so that a line may cross the antimeridian.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise
from operator import attrgetter
from typing import Final, NamedTuple

__all__ = ["Line", "Passage", "distance_m"]

_METRES_PER_DEGREE: Final = math.radians(1) * 6_371_008.8
_BLOCK: Final = 64
_SAME_M: Final = 0.5
_EQUAL_M: Final = 0.001
_SIMILAR_M: Final = 10.0
"""A way out and the way back on the same road are as near as that to each other."""
_BACK_COUNTS: Final = 2.0
_WRONG_WAY_M: Final = 30.0
"""The other carriageway must be so much nearer to be believed."""


class Passage(NamedTuple):
    """Where a line passes a point: metres aside of it, metres along the line, the segment's number, and whether it is
    nearest ``between`` the segment's ends."""

    aside_m: float
    along_m: float
    segment: int
    between: bool = False


class Line:
    """A line of (longitude, latitude) pairs, measured once. Raises ``ValueError`` for one without a point."""

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        if not points:
            raise ValueError("a line needs a point")
        points = points if len(points) > 1 else (points[0], points[0])
        self._segments: list[tuple[float, float, float, float]] = []
        self._at = [0.0]
        for (lon_a, lat_a), (lon_b, lat_b) in pairwise(points):
            self._segments.append((lon_a, lat_a, _turned(lon_b - lon_a), lat_b - lat_a))
            self._at.append(self._at[-1] + distance_m(lat_a, lon_a, lat_b, lon_b))
        self._blocks = [self._box(low) for low in range(0, len(self._segments), _BLOCK)]

    @property
    def length_m(self) -> float:
        return self._at[-1]

    def at(self, index: int) -> float:
        """Metres along the line of its point ``index``; of its end, for one beyond."""
        return self._at[min(index, len(self._at) - 1)]

    def course_deg(self, index: int) -> float:
        """The way segment ``index`` leads, clockwise from north."""
        _, latitude, east, north = self._segments[index]
        return math.degrees(math.atan2(east * math.cos(math.radians(latitude + north / 2)), north)) % 360.0

    def likeliest(
        self,
        latitude: float,
        longitude: float,
        *,
        expected_m: float,
        low_m: float,
        high_m: float,
        doubt: float,
        wrong_way: Callable[[float], bool] | None = None,
    ) -> Passage:
        """The passage between two distances along the line that is nearest, and nearest to where one is expected.

        ``doubt``: metres aside that a metre along counts; what lies behind the expected place counts twice.
        ``wrong_way``: of a segment's course, whether it speaks against the segment.
        """
        scale = _scale(latitude)
        first = max(0, bisect_right(self._at, low_m) - 1)
        last = max(first + 1, bisect_left(self._at, high_m))
        best, least = None, math.inf
        for index in range(first, min(last, len(self._segments))):
            passage = self._pass(index, latitude, longitude, scale)
            ahead = passage.along_m - expected_m
            cost = passage.aside_m + doubt * (ahead if ahead >= 0 else -_BACK_COUNTS * ahead)
            if wrong_way is not None and wrong_way(self.course_deg(index)):
                cost += _WRONG_WAY_M
            if cost < least:
                best, least = passage, cost
        return best if best is not None else self._pass(len(self._segments) - 1, latitude, longitude, scale)

    def passages(self, latitude: float, longitude: float, within_m: float) -> tuple[Passage, list[Passage]]:
        """Over the whole line: the nearest passage, and each that lies within ``within_m``, in its order."""
        scale = _scale(latitude)
        nearest = Passage(math.inf, 0.0, 0)
        near: list[Passage] = []
        for apart, block in sorted(
            (_apart_m(box, latitude, longitude, scale), at) for at, box in enumerate(self._blocks)
        ):
            if apart > max(within_m, nearest.aside_m):
                break
            for index in range(block * _BLOCK, min((block + 1) * _BLOCK, len(self._segments))):
                passage = self._pass(index, latitude, longitude, scale)
                nearest = min(nearest, passage)
                if passage.aside_m <= within_m:
                    near.append(passage)
        return nearest, [passage for run in _runs(near) for passage in _nearest_of(run)]

    def _pass(self, index: int, latitude: float, longitude: float, scale: float) -> Passage:
        lon, lat, east, north = self._segments[index]
        x, y = _turned(lon - longitude) * scale, (lat - latitude) * _METRES_PER_DEGREE
        dx, dy = east * scale, north * _METRES_PER_DEGREE
        square = dx * dx + dy * dy
        share = 0.0 if square == 0.0 else min(1.0, max(0.0, -(x * dx + y * dy) / square))
        start, end = self._at[index], self._at[index + 1]
        aside = math.hypot(x + share * dx, y + share * dy)
        return Passage(aside, start + share * (end - start), index, 0.0 < share < 1.0)

    def _box(self, low: int) -> tuple[float, float, float, float]:
        """Of a block of segments: lowest and highest latitude, and the middle and half of its longitudes."""
        segments = self._segments[low : low + _BLOCK]
        here = east = west = segments[0][0]
        for _, _, step, _ in segments:
            here += step
            west, east = min(west, here), max(east, here)
        latitudes = [lat + share for _, lat, _, step in segments for share in (0.0, step)]
        return min(latitudes), max(latitudes), (west + east) / 2, (east - west) / 2


def distance_m(lat_a: float, lon_a: float, lat_b: float, lon_b: float) -> float:
    """Between two points that are near each other."""
    x = _turned(lon_b - lon_a) * math.cos(math.radians((lat_a + lat_b) / 2)) * _METRES_PER_DEGREE
    return math.hypot(x, (lat_b - lat_a) * _METRES_PER_DEGREE)


def _runs(passages: list[Passage]) -> list[list[Passage]]:
    """Those of segments that follow each other, together."""
    runs: list[list[Passage]] = []
    for passage in sorted(passages, key=attrgetter("segment")):
        if runs and runs[-1][-1].segment == passage.segment - 1:
            runs[-1].append(passage)
        else:
            runs.append([passage])
    return runs


def _nearest_of(run: Sequence[Passage]) -> list[Passage]:
    """Of segments that follow each other: where the line comes near, and nearer than just before and after."""
    good = min(run).aside_m + _SIMILAR_M
    found: list[Passage] = []
    for before, here, after in zip((None, *run), run, (*run[1:], None), strict=False):
        corner = all(other is None or here.aside_m <= other.aside_m + _EQUAL_M for other in (before, after))
        if (
            (here.between or corner)
            and here.aside_m <= good
            and (not found or here.along_m > found[-1].along_m + _SAME_M)
        ):
            found.append(here)
    return found


def _apart_m(box: tuple[float, float, float, float], latitude: float, longitude: float, scale: float) -> float:
    """No segment of a block is nearer than this."""
    south, north, middle, half = box
    aside = max(0.0, abs(_turned(middle - longitude)) - half) * scale
    return math.hypot(aside, max(0.0, south - latitude, latitude - north) * _METRES_PER_DEGREE)


def _scale(latitude: float) -> float:
    return math.cos(math.radians(latitude)) * _METRES_PER_DEGREE


def _turned(degrees: float) -> float:
    """A difference of longitudes, the short way round."""
    return math.remainder(degrees, 360.0)
