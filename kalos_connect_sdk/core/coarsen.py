"""Approximate location: the centre of a cell of a fixed grid (R15, section 6).

* A cell is at least ``side_m`` squared everywhere on Earth, measured on the ellipsoid: 4 km2 by default, never
  less than 1 km2 (California's 1,850 ft circle is 0.9989 km2).
* The answer depends on the cell alone, so moving inside it changes nothing and averaging repeats gains nothing.
  Rows of cells are fixed in latitude, and a row's cells share one width, so longitude says nothing about latitude
  inside a cell, nor the other way round.
* Accuracy reaches the cell's farthest corner, and is at least the input's, in steps: doubled until it covers it.
  Speed, course and altitude are dropped.
* A cell is left only by more than 50 m, so that jitter on a border does not tell that one is on it. What the moment of
  a change tells, and what else is not hidden: docs/approximate.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import atanh, ceil, cos, degrees, hypot, pi, radians, sin
from sys import float_info
from typing import Final

from ..model.position import Datum, Position

__all__ = ["DEFAULT_SIDE_M", "HYSTERESIS_M", "Cell", "Coarsener", "cell"]

DEFAULT_SIDE_M: Final = 2000.0
HYSTERESIS_M: Final = 50.0
_SIDE_MIN_M: Final = 1000.0
_SIDE_MAX_M: Final = 100_000.0

# WGS-84
_B_M: Final = 6_356_752.314245
_E: Final = 0.0818191908426215
_DEGREE_MIN_M: Final = 110_574.0  # a degree of latitude at the equator, where it is shortest
_DEGREE_MAX_M: Final = 111_695.0  # at the poles, where it is longest; a degree of longitude is never longer


@dataclass(frozen=True, slots=True, repr=False)
class Cell:
    """One cell: its centre and half its extent in degrees, and the metres from its centre that cover all of it."""

    latitude: float
    longitude: float
    half_height_deg: float
    half_width_deg: float
    reach_m: float

    def __repr__(self) -> str:
        return "<Cell>"

    def outside_m(self, latitude: float, longitude: float) -> float:
        """How far outside the cell a point is at least, in metres; 0 inside."""
        north_deg = max(abs(latitude - self.latitude) - self.half_height_deg, 0.0)
        turn = abs(longitude - self.longitude)
        east_deg = max(min(turn, 360.0 - turn) - self.half_width_deg, 0.0)
        east_deg = degrees(sin(radians(min(east_deg, 90.0))))  # the straight way: near a pole it is shorter
        return hypot(north_deg * _DEGREE_MIN_M, east_deg * _DEGREE_MIN_M * cos(radians(latitude)))


def cell(latitude: float, longitude: float, *, side_m: float = DEFAULT_SIDE_M) -> Cell:
    """The cell a WGS-84 point is in; degrees. Raises ``ValueError`` for a ``side_m`` outside 1 to 100 km."""
    if not _SIDE_MIN_M <= side_m <= _SIDE_MAX_M:
        raise ValueError("side_m must be from 1000 to 100000 metres")
    rows = int(180.0 * _DEGREE_MIN_M / side_m)
    height = 180.0 / rows
    row = min(int((latitude + 90.0) / height), rows - 1)
    south, north = row * height - 90.0, (row + 1) * height - 90.0
    columns = int((_area_below(north) - _area_below(south)) / (side_m * side_m))
    width = 360.0 / columns
    column = int((longitude + 180.0) / width) % columns  # 180 east is 180 west
    widest = cos(radians(min(abs(south), abs(north)))) if south * north > 0 else 1.0
    reach_m = hypot(height / 2 * _DEGREE_MAX_M, width / 2 * _DEGREE_MAX_M * widest) + HYSTERESIS_M
    return Cell(
        latitude=(south + north) / 2,
        longitude=(column + 0.5) * width - 180.0,
        half_height_deg=height / 2,
        half_width_deg=width / 2,
        reach_m=float(ceil(reach_m / 100) * 100),
    )


def _area_below(latitude: float) -> float:
    """Square metres of the ellipsoid between the equator and a latitude; negative in the south."""
    sine = sin(radians(latitude))
    return pi * _B_M * _B_M * (sine / (1 - (_E * sine) ** 2) + atanh(_E * sine) / _E)


class Coarsener:
    """Coarsens the positions of one device, remembering the cell it is in. Not thread-safe."""

    __slots__ = ("_cell", "_side_m")

    def __init__(self, side_m: float = DEFAULT_SIDE_M) -> None:
        """``side_m``: the cell's side in metres. Raises ``ValueError`` outside 1 to 100 km."""
        cell(0.0, 0.0, side_m=side_m)
        self._side_m = side_m
        self._cell: Cell | None = None

    def apply(self, position: Position) -> Position:
        """The approximate position, in WGS-84 and with the time of ``position``."""
        position = position.to(Datum.WGS84)
        here = self._cell
        if here is None or here.outside_m(position.latitude, position.longitude) > HYSTERESIS_M:
            here = self._cell = cell(position.latitude, position.longitude, side_m=self._side_m)
        accuracy_m = here.reach_m
        while position.accuracy_m is not None and accuracy_m < position.accuracy_m:
            accuracy_m = min(accuracy_m * 2, float_info.max)
        return Position(here.latitude, here.longitude, accuracy_m=accuracy_m, time=position.time)
