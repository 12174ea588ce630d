"""Attack what a service gets of a car under an approximate grant: ``python tools/attack_approximate.py DRIVE.json``.

A parked car is watched for long, a recorded drive is followed from cell to cell; the attacker knows the grid, the code
and every moment of a change, and makes the best guess. Prints how far from the truth it is, for docs/approximate.md.
``DRIVE.json`` is a list of ``{"point": "POINT(longitude latitude)", "time": ...}``, as BMW Car IT's barefoot has them.
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from math import cos, hypot, pi, radians, sin
from pathlib import Path
from statistics import fmean, median, quantiles
from typing import Final, NamedTuple

from kalos_connect_sdk.core.coarsen import HYSTERESIS_M, Coarsener, cell
from kalos_connect_sdk.model.position import Position

Point = tuple[float, float]
Track = Sequence[tuple[float, Point]]
"""Seconds and (latitude, longitude)."""

_DEGREE_M: Final = 111_320.0
_TIME: Final = datetime(2026, 1, 1, tzinfo=UTC)
_NOISE_M: Final = 5.0
SHORT_M: Final = 500


def read(path: Path) -> Track:
    """A recorded drive, by time."""
    track = []
    for fix in json.loads(path.read_text()):
        longitude, latitude = map(float, re.findall(r"-?[\d.]+", fix["point"]))
        track.append((datetime.strptime(fix["time"], "%Y-%m-%d %H:%M:%S%z").timestamp(), (latitude, longitude)))
    return sorted(track)


def thrown(seed: float) -> random.Random:
    """Dice that fall the same way every time."""
    return random.Random(seed)  # noqa: S311


def moved(point: Point, north_m: float, east_m: float) -> Point:
    return point[0] + north_m / _DEGREE_M, point[1] + east_m / _DEGREE_M / cos(radians(point[0]))


def apart_m(one: Point, other: Point) -> float:
    return hypot(one[0] - other[0], (one[1] - other[1]) * cos(radians(one[0]))) * _DEGREE_M


def sent(coarsener: Coarsener, point: Point) -> Point:
    """What the service sees of a fix."""
    answer = coarsener.apply(Position(*point, time=_TIME))
    return answer.latitude, answer.longitude


def noisy(dice: random.Random, point: Point) -> Point:
    return moved(point, dice.gauss(0, _NOISE_M), dice.gauss(0, _NOISE_M))


def mean(points: Sequence[Point]) -> Point:
    return fmean(latitude for latitude, _ in points), fmean(longitude for _, longitude in points)


# -- a parked car ------------------------------------------------------------------------------------


def places(many: int) -> Iterator[tuple[Point, random.Random]]:
    """Places anywhere in a band of cells, and dice for each."""
    dice = thrown(1)
    for _ in range(many):
        yield (dice.uniform(48.0, 48.3), dice.uniform(1.0, 21.0)), thrown(dice.random())


def parked(fixes: int, many: int = 300) -> list[float]:
    """The attacker's error at each of many places: the mean of all that was sent."""
    errors = []
    for place, dice in places(many):
        coarsener = Coarsener()
        errors.append(apart_m(mean([sent(coarsener, noisy(dice, place)) for _ in range(fixes)]), place))
    return errors


def blurred(fixes: int, many: int = 300) -> list[float]:
    """The same attack on what we do not do: new noise of 1 km with every fix."""
    dice, place = thrown(1), (48.1, 11.5)
    points = ([moved(place, dice.gauss(0, 1000), dice.gauss(0, 1000)) for _ in range(fixes)] for _ in range(many))
    return [apart_m(mean(list(drawn)), place) for drawn in points]


def started_often(many: int = 3000, starts: int = 50) -> list[float]:
    """The errors where the cell is not the same at every start of the program: only there is more told than a cell."""
    errors = []
    for place, dice in places(many):
        seen = sorted({sent(Coarsener(), noisy(dice, place)) for _ in range(starts)})
        if len(seen) > 1:
            errors.append(apart_m(crossing(seen[0], seen[1], 0.0)[0], place))
    return errors


def arrived(many: int = 3000) -> list[float]:
    """The errors where a car arrives under one cell and starts again under another: the hysteresis held the first."""
    errors = []
    for place, dice in places(many):
        coarsener, course = Coarsener(), dice.uniform(0, 2 * pi)
        for left_m in range(3000, -1, -10):
            last = sent(coarsener, moved(place, left_m * cos(course), left_m * sin(course)))
        first = sent(Coarsener(), place)
        if first != last:
            errors.append(apart_m(crossing(last, first, HYSTERESIS_M / 2)[0], place))
    return errors


# -- a drive -----------------------------------------------------------------------------------------


def elsewhere(track: Track, times: int) -> Iterator[Track]:
    """The same drive laid over the grid at other places, so that no lucky border decides."""
    dice = thrown(3)
    for _ in range(times):
        north, east = dice.uniform(-0.1, 0.1), dice.uniform(-10, 10)  # rows lie differently elsewhere
        yield [(at, (latitude + north, longitude + east)) for at, (latitude, longitude) in track]


class Change(NamedTuple):
    """A change of cell: when, where the car is, where the attacker says it is, how long the crossed side is."""

    at: float
    truth: Point
    guess: Point
    side_m: float

    @property
    def error_m(self) -> float:
        return apart_m(self.guess, self.truth)


def changes(track: Track, noise: random.Random | None = None) -> list[Change]:
    coarsener, found = Coarsener(), []
    before: Point | None = None
    for at, point in track:
        seen = sent(coarsener, point if noise is None else noisy(noise, point))
        if before is not None and seen != before:
            found.append(Change(at, point, *crossing(before, seen, HYSTERESIS_M)))
        before = seen
    return found


def crossing(left: Point, entered: Point, beyond_m: float) -> tuple[Point, float]:
    """The middle of the side that two cells share and ``beyond_m`` more, and the side's length; 0 for a corner."""
    a, b = cell(*left), cell(*entered)
    extents = (
        (a.latitude, a.half_height_deg, b.latitude, b.half_height_deg, 1.0),
        (a.longitude, a.half_width_deg, b.longitude, b.half_width_deg, cos(radians(b.latitude))),
    )
    guess, side_m = [], 0.0
    for of_a, half_a, of_b, half_b, narrow in extents:
        low, high = max(of_a - half_a, of_b - half_b), min(of_a + half_a, of_b + half_b)
        length_m = (high - low) * narrow * _DEGREE_M
        side_m = max(side_m, length_m if length_m > 1 else 0.0)
        beyond = 0.0 if length_m > 1 else beyond_m / narrow / _DEGREE_M * (1 if of_b > of_a else -1)
        guess.append((low + high) / 2 + beyond)
    return (guess[0], guess[1]), side_m


def followed(track: Track, found: Sequence[Change]) -> list[float]:
    """The errors of a line through the guessed crossings, second by second between the first and the last."""
    errors = []
    for one, other in pairwise(found):
        for at, point in track:
            if one.at <= at < other.at:
                part = (at - one.at) / (other.at - one.at)
                guess = tuple(a + (b - a) * part for a, b in zip(one.guess, other.guess, strict=True))
                errors.append(apart_m((guess[0], guess[1]), point))
    return errors


def centred(track: Track) -> list[float]:
    """The errors of the cell's centre."""
    coarsener = Coarsener()
    return [apart_m(sent(coarsener, point), point) for _, point in track]


def driven_again(track: Track, drives: int) -> list[float]:
    """The errors at the changes of cell when the same way is driven ``drives`` times and the guesses are averaged."""
    noise = thrown(4)
    guesses: dict[Point, list[Point]] = {}
    for _ in range(drives):
        for change in changes(track, noise):
            guesses.setdefault(change.guess, []).append(change.truth)
    return [apart_m(guess, mean(points)) for guess, points in guesses.items()]


# -- the table ---------------------------------------------------------------------------------------


def row(name: str, errors: Sequence[float]) -> str:
    parts = quantiles(errors, n=20)
    return f"| {name} | {parts[0]:,.0f} | {median(errors):,.0f} | {parts[-1]:,.0f} |"


def table(track: Track, times: int = 200) -> str:
    """Rows of Markdown; about half a minute."""
    tracks = list(elsewhere(track, times))
    found = [changes(each) for each in tracks]
    lines = [followed(each, one) for each, one in zip(tracks, found, strict=True)]
    every = [change for one in found for change in one]
    short = [change for change in every if change.side_m < SHORT_M]
    again = [error for each in tracks[:20] for error in driven_again(each, 50)]
    many = 3000
    often, arrivals = started_often(many), arrived(many)
    return "\n".join(
        [
            "| attack: the error of the best guess, in metres | 5 % | median | 95 % |",
            "| --- | --- | --- | --- |",
            row("parked, one fix", parked(1)),
            row("parked, the mean of 2,000 fixes", parked(2000)),
            row("for comparison, new noise of 1 km each time: one fix", blurred(1)),
            row("for comparison, new noise of 1 km each time: the mean of 2,000 fixes", blurred(2000)),
            row("driving, the centre of the cell", [error for each in tracks for error in centred(each)]),
            row("driving, a line through the crossings", [error for line in lines for error in line]),
            row(f"at a change of cell ({len(every):,})", [change.error_m for change in every]),
            row("at a change of cell, the mean of 50 drives of the same way", again),
            row(f"at a change of cell across a side below {SHORT_M} m ({len(short)})", [c.error_m for c in short]),
            row(f"parked, another cell from start to start ({len(often) / many:.1%} of places)", often),
            row(f"parked, another cell at start than on arrival ({len(arrivals) / many:.1%} of places)", arrivals),
        ]
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tools/attack_approximate.py DRIVE.json")
    print(table(read(Path(sys.argv[1]))))
