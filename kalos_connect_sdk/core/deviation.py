"""What it takes to believe that a car has left its route: a distance that knows the fix's accuracy, and evidence.

One fix proves nothing. Three that go 30 m, or two that go 100 m, are believed: counted in metres between the first and
the latest, so that a fast receiver believes no sooner, a slow one no later, and a parked car's noise goes nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .line import distance_m

__all__ = ["USELESS_M", "Evidence", "Fix", "allowed_m", "leads_against"]

USELESS_M: Final = 100.0
"""A fix less accurate than this says nothing about the route, for or against."""
_ROAD_M: Final = 30.0
"""Half a wide road, and what the map is wrong by."""
_UNSAID_M: Final = 20.0
_STANDING_MPS: Final = 1.0
_HEADING_MPS: Final = 3.0
"""The course of a receiver means something from here."""
_AGAINST_DEG: Final = 120.0
_BELIEVED: Final = ((3, 30.0), (2, 100.0))


@dataclass(frozen=True, slots=True, repr=False)
class Fix:
    """A position in WGS-84 degrees and what is known of it; ``None`` is unknown."""

    latitude: float
    longitude: float
    accuracy_m: float | None = None
    speed_mps: float | None = None
    course_deg: float | None = None
    time_s: float | None = None

    def __repr__(self) -> str:
        return "<Fix>"

    @property
    def standing(self) -> bool:
        """Known to stand: it leaves no route, and comes no further on one."""
        return self.speed_mps is not None and self.speed_mps < _STANDING_MPS

    @property
    def heading(self) -> float | None:
        """Its course, where it is known and the speed makes it mean something."""
        return self.course_deg if self.speed_mps is not None and self.speed_mps >= _HEADING_MPS else None

    def apart_m(self, other: Fix) -> float:
        return distance_m(self.latitude, self.longitude, other.latitude, other.longitude)


def allowed_m(accuracy_m: float | None) -> float:
    """How far aside of the line a car on it may seem to be."""
    return _ROAD_M + (_UNSAID_M if accuracy_m is None else accuracy_m)


def leads_against(fix: Fix, line_course_deg: float) -> bool:
    """The car is known to drive against the line."""
    heading = fix.heading
    return heading is not None and abs((heading - line_course_deg + 180.0) % 360.0 - 180.0) > _AGAINST_DEG


class Evidence:
    """Fixes in a row that say the same."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """One said otherwise."""
        self.first: Fix | None = None
        self._count = 0

    def grows(self, fix: Fix) -> bool:
        """One more; true when it is enough to be believed."""
        if self.first is None:
            self.first = fix
        self._count += 1
        driven = self.first.apart_m(fix)
        return any(self._count >= count and driven >= metres for count, metres in _BELIEVED)
