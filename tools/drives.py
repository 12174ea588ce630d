"""Drives to be guided, and roads for them: a simulated car in Helsinki that misses a turn, a recorded one in Munich.

The Helsinki car drives what the embedded Valhalla finds on the map of the package. There is no map of Munich here, so
the road of a recording is made of the recording: its fixes, simplified to 10 m, with a manoeuvre at each bend of 30
degrees. That keeps what guidance has to cope with (real noise, standing, a tunnel, real bends) and says nothing about a
map.
"""

from __future__ import annotations

import math
import sys
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parent))

from attack_approximate import Track

from kalos_connect_sdk import Manoeuvre, Place, Position, Route
from kalos_connect_sdk.cli.car import Fix, drive_along
from kalos_connect_sdk.core.guidance import Guide
from kalos_connect_sdk.core.line import Line
from kalos_connect_sdk.navigation.instructions import catalogue
from kalos_connect_sdk.service.engine import Engine, NoRoute

__all__ = ["EROTTAJA", "HAKANIEMI", "RecordedRoad", "as_positions", "missed_turn", "positions_of", "shortcut"]

HAKANIEMI: Final = Place(60.1788, 24.9505)
EROTTAJA: Final = Place(60.1661, 24.9430)
_STRAIGHT_ON: Final = Place(60.1655, 24.9520)
"""Who drives there from Hakaniemi passes the turn onto Pohjoisesplanadi."""
_ACCURACY_M: Final = 4.0
_SIMPLIFIED_M: Final = 10.0
_BEND_DEG: Final = 30.0
_AROUND_M: Final = 40.0
_BENDS_APART_M: Final = 60.0
_KINDS: Final = ((150.0, "u-turn"), (115.0, "sharp-"), (55.0, ""), (_BEND_DEG, "slight-"))
_TOWN_MPS: Final = 10.0

Points = Sequence[tuple[float, float]]
"""(longitude, latitude) pairs."""


# -- Helsinki ----------------------------------------------------------------------------------------


def missed_turn(engine: Engine, locale: str) -> tuple[Route, list[Position]]:
    """The way from Hakaniemi to Erottaja, and a car that drives straight on where it should turn right, until guidance
    notices; from there it drives the way that the service finds."""
    route = engine.route(HAKANIEMI, EROTTAJA, locale)
    fixes = drive_along(engine.route(HAKANIEMI, _STRAIGHT_ON, locale).line, seed=1)
    guide = Guide(route)
    noticed = next(
        index for index, position in enumerate(as_positions(fixes)) if guide.update(**_known(position)).off_route
    )
    here = Place(fixes[noticed].latitude, fixes[noticed].longitude)
    onwards = drive_along(engine.route(here, EROTTAJA, locale).line, seed=2)
    later = [replace(fix, second=fix.second + noticed + 1) for fix in onwards]
    return route, as_positions([*fixes[: noticed + 1], *later])


def as_positions(fixes: Sequence[Fix]) -> list[Position]:
    """What a good receiver says of a simulated drive that ended just now."""
    begun = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=fixes[-1].second + 1)
    return [
        Position(
            fix.latitude,
            fix.longitude,
            accuracy_m=_ACCURACY_M,
            speed_mps=fix.speed_mps,
            course_deg=fix.course_deg,
            time=begun + timedelta(seconds=fix.second),
        )
        for fix in fixes
    ]


def _known(position: Position) -> dict[str, float | None]:
    assert position.time is not None
    return {
        "latitude": position.latitude,
        "longitude": position.longitude,
        "accuracy_m": position.accuracy_m,
        "speed_mps": position.speed_mps,
        "course_deg": position.course_deg,
        "time_s": position.time.timestamp(),
    }


# -- Munich ------------------------------------------------------------------------------------------


def positions_of(track: Track) -> list[Position]:
    """A recorded drive as it is: where and when, no accuracy, no speed, no course."""
    return [Position(*point, time=datetime.fromtimestamp(second, UTC)) for second, point in track]


class RecordedRoad:
    """A routing engine whose only road is that of a recording."""

    def __init__(self, track: Track) -> None:
        self.line = simplified([(longitude, latitude) for _, (latitude, longitude) in track], _SIMPLIFIED_M)
        self._measured = Line(self.line)

    def route(self, origin: Place, destination: Place, locale: str) -> Route:
        """Along the road, from where it is nearest to ``origin`` to where it is nearest to ``destination``."""
        start, end = (self._measured.passages(p.latitude, p.longitude, 0.0)[0] for p in (origin, destination))
        if start.along_m >= end.along_m:
            raise NoRoute("the recording leads the other way")
        return road(self.between(start.along_m, end.along_m), locale)

    def between(self, low_m: float, high_m: float) -> list[tuple[float, float]]:
        """The road between two distances from its beginning."""
        return [self.at(low_m), *(p for i, p in enumerate(self.line) if low_m < self._measured.at(i) < high_m),
                self.at(high_m)]  # fmt: skip

    def at(self, metres: float) -> tuple[float, float]:
        """The point so far from its beginning."""
        return _point_at(self.line, self._measured, metres)

    @property
    def length_m(self) -> float:
        return self._measured.length_m


def shortcut(whole: RecordedRoad, leaves_m: float, returns_m: float, locale: str) -> Route:
    """A route that goes straight from one place of the road to a later one, where the recorded car did not."""
    line = [*whole.between(0.0, leaves_m), *whole.between(returns_m, whole.length_m)]
    return road(line, locale)


def road(line: Points, locale: str) -> Route:
    """A route along ``line``, with a manoeuvre at each bend, in words of the service's own."""
    measured, words = Line(line), catalogue(locale)
    steps = [("depart", 0), *bends(line, measured), ("arrive", len(line) - 1)]
    marks = [*(measured.at(index) for _, index in steps), measured.length_m]
    manoeuvres = tuple(
        Manoeuvre(words.say(kind), kind, after - at, (after - at) / _TOWN_MPS, index)
        for (kind, index), at, after in zip(steps, marks, marks[1:], strict=False)
    )
    return Route(measured.length_m, measured.length_m / _TOWN_MPS, words.locale, tuple(line), manoeuvres)


def bends(line: Points, measured: Line) -> list[tuple[str, int]]:
    """The kind and place of each bend: the point where the courses 40 m before and after differ most."""
    turns = [(_turn_at(line, measured, index), index) for index in range(1, len(line) - 1)]
    found: list[tuple[str, int]] = []
    for turn, index in sorted(turns, key=lambda each: -abs(each[0])):
        apart = all(abs(measured.at(index) - measured.at(other)) > _BENDS_APART_M for _, other in found)
        if abs(turn) >= _BEND_DEG and apart:
            kind = next(name for least, name in _KINDS if abs(turn) >= least)
            side = "right" if turn > 0 else "left"
            found.append((kind if kind == "u-turn" else kind + side, index))
    return sorted(found, key=lambda each: each[1])


def simplified(points: Points, within_m: float) -> list[tuple[float, float]]:
    """The fewest of ``points`` that no other is further from than ``within_m`` (Douglas and Peucker)."""
    kept, open_spans = {0, len(points) - 1}, [(0, len(points) - 1)]
    while open_spans:
        low, high = open_spans.pop()
        chord = Line([points[low], points[high]])
        asides = [(chord.passages(points[i][1], points[i][0], 0.0)[0].aside_m, i) for i in range(low + 1, high)]
        farthest, middle = max(asides, default=(0.0, low))
        if farthest > within_m:
            kept.add(middle)
            open_spans += [(low, middle), (middle, high)]
    return [points[index] for index in sorted(kept)]


def _turn_at(line: Points, measured: Line, index: int) -> float:
    here = measured.at(index)
    before, after = _point_at(line, measured, here - _AROUND_M), _point_at(line, measured, here + _AROUND_M)
    return (_course(line[index], after) - _course(before, line[index]) + 180.0) % 360.0 - 180.0


def _point_at(line: Points, measured: Line, metres: float) -> tuple[float, float]:
    metres = min(max(metres, 0.0), measured.length_m)
    marks = [measured.at(index) for index in range(len(line))]
    index = min(bisect_right(marks, metres) - 1, len(line) - 2)
    share = (metres - marks[index]) / ((marks[index + 1] - marks[index]) or 1.0)
    (lon_a, lat_a), (lon_b, lat_b) = line[index], line[index + 1]
    return lon_a + share * (lon_b - lon_a), lat_a + share * (lat_b - lat_a)


def _course(a: tuple[float, float], b: tuple[float, float]) -> float:
    return math.degrees(math.atan2((b[0] - a[0]) * math.cos(math.radians(a[1])), b[1] - a[1]))
