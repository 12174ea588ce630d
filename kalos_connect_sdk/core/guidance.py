"""Guidance along a route: where on the line are we, what comes next, are we there (pure geometry).

Distances on a sphere of 6,371,008.8 m, flat within one segment: good to a few centimetres at road scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..model.route import Manoeuvre, Route

__all__ = ["Guide", "Step"]

_METRES_PER_DEGREE = math.radians(1) * 6_371_008.8
_ARRIVED_M = 25.0
_OFF_ROUTE_M = 60.0
_SAME_M = 0.5


@dataclass(frozen=True, slots=True)
class Step:
    """What to tell now. ``manoeuvre`` is the next one, ``distance_m`` along the line until it."""

    manoeuvre: Manoeuvre | None
    distance_m: float
    remaining_m: float
    arrived: bool
    off_route: bool


class Guide:
    """Follows one route; remembers how far along it the car has come, so that loops are not taken backwards."""

    def __init__(self, route: Route) -> None:
        self._line = route.line
        self._at = [0.0]
        for (lon_a, lat_a), (lon_b, lat_b) in zip(route.line, route.line[1:], strict=False):
            self._at.append(self._at[-1] + _distance_m(lat_a, lon_a, lat_b, lon_b))
        self._manoeuvres = [(self._at[min(m.begin_index, len(self._at) - 1)], m) for m in route.manoeuvres]
        self._come_m = 0.0

    @property
    def length_m(self) -> float:
        """Length of the line in metres."""
        return self._at[-1]

    def update(self, latitude: float, longitude: float) -> Step:
        """The step for a position in WGS-84 degrees."""
        along, aside = self._nearest(latitude, longitude)
        off_route = aside > _OFF_ROUTE_M
        if not off_route:
            self._come_m = min(self.length_m, max(self._come_m, along))
        remaining = max(0.0, self.length_m - self._come_m)
        arrived = remaining <= _ARRIVED_M and not off_route
        for at, manoeuvre in self._manoeuvres:
            if at > self._come_m + 1.0:
                return Step(manoeuvre, at - self._come_m, remaining, arrived, off_route)
        last = self._manoeuvres[-1][1] if self._manoeuvres else None
        return Step(last, remaining, remaining, arrived, off_route)

    def _nearest(self, latitude: float, longitude: float) -> tuple[float, float]:
        """(metres along, metres aside) of the nearest point of the line, looking at most 500 m back.

        Where the line passes the same place twice, the passage that is next on the way counts.
        """
        scale = math.cos(math.radians(latitude)) * _METRES_PER_DEGREE
        near: list[tuple[float, float]] = []
        for index, ((lon_a, lat_a), (lon_b, lat_b)) in enumerate(zip(self._line, self._line[1:], strict=False)):
            if self._at[index + 1] < self._come_m - 500.0:
                continue
            ax, ay = (lon_a - longitude) * scale, (lat_a - latitude) * _METRES_PER_DEGREE
            bx, by = (lon_b - longitude) * scale, (lat_b - latitude) * _METRES_PER_DEGREE
            dx, dy = bx - ax, by - ay
            square = dx * dx + dy * dy
            share = 0.0 if square == 0 else min(1.0, max(0.0, -(ax * dx + ay * dy) / square))
            aside = math.hypot(ax + share * dx, ay + share * dy)
            near.append((aside, self._at[index] + share * math.sqrt(square)))
        least = min(near)[0]
        aside, along = min((each for each in near if each[0] <= least + _SAME_M), key=self._detour_m)
        return along, aside

    def _detour_m(self, passage: tuple[float, float]) -> float:
        """How far off the way come a passage is; going back counts twice."""
        ahead = passage[1] - self._come_m
        return ahead if ahead >= 0 else -2 * ahead


def _distance_m(lat_a: float, lon_a: float, lat_b: float, lon_b: float) -> float:
    x = (lon_b - lon_a) * math.cos(math.radians((lat_a + lat_b) / 2)) * _METRES_PER_DEGREE
    y = (lat_b - lat_a) * _METRES_PER_DEGREE
    return math.hypot(x, y)
