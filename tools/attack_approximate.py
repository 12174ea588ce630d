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
from math import cos, hypot, radians
from pathlib import Path
from statistics import fmean, median, quantiles
from typing import Final

from kalos_connect_sdk.core.coarsen import HYSTERESIS_M, Cell, Coarsener, cell
from kalos_connect_sdk.model.position import Position

Point = tuple[float, float]
Track = Sequence[tuple[float, Point]]
"""Seconds and (latitude, longitude)."""

_DEGREE_M: Final = 111_320.0
_TIME: Final = datetime(2026, 1, 1, tzinfo=UTC)
_NOISE_M: Final = 5.0


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


def parked(fixes: int, places: int = 300, restarts: bool = False) -> list[float]:
    """The attacker's error at each of many places: the mean of all that was sent. ``restarts``: the memory of the cell
    is lost before every fix, as it is when the program starts anew."""
    dice, errors = thrown(1), []
    for _ in range(places):
        place = (dice.uniform(48.0, 48.3), dice.uniform(11.3, 11.8))
        coarsener, its = Coarsener(), thrown(dice.random())
        points = [sent(Coarsener() if restarts else coarsener, noisy(its, place)) for _ in range(fixes)]
        errors.append(apart_m(mean(points), place))
    return errors


def blurred(fixes: int, places: int = 300) -> list[float]:
    """The same attack on what we do not do: new noise of 1 km with every fix."""
    dice, place = thrown(1), (48.1, 11.5)
    points = ([moved(place, dice.gauss(0, 1000), dice.gauss(0, 1000)) for _ in range(fixes)] for _ in range(places))
    return [apart_m(mean(list(drawn)), place) for drawn in points]


def undecided(fixes: int = 50, places: int = 3000) -> float:
    """The share of places whose cell changes from one start of the program to the next."""
    dice, flips = thrown(2), 0
    for _ in range(places):
        place = (dice.uniform(48.0, 48.3), dice.uniform(11.3, 11.8))
        flips += len({sent(Coarsener(), noisy(dice, place)) for _ in range(fixes)}) > 1
    return flips / places


# -- a drive -----------------------------------------------------------------------------------------


def elsewhere(track: Track, times: int) -> Iterator[Track]:
    """The same drive laid over the grid at other places, so that no lucky border decides."""
    dice = thrown(3)
    for _ in range(times):
        north, east = dice.uniform(-0.1, 0.1), dice.uniform(-0.1, 0.1)
        yield [(at, (latitude + north, longitude + east)) for at, (latitude, longitude) in track]


def changes(track: Track, noise: random.Random | None = None) -> list[tuple[float, Point, Point]]:
    """Every moment the cell changes: when, where the car is, and where the attacker says it is."""
    coarsener, found = Coarsener(), []
    before: Point | None = None
    for at, point in track:
        seen = sent(coarsener, point if noise is None else noisy(noise, point))
        if before is not None and seen != before:
            found.append((at, point, crossing(cell(*before), cell(*seen))))
        before = seen
    return found


def crossing(left: Cell, entered: Cell) -> Point:
    """The middle of the side that two cells share, and as far beyond it as one has to be."""
    guess = []
    for name, half in (("latitude", "half_height_deg"), ("longitude", "half_width_deg")):
        a, b, a_half, b_half = getattr(left, name), getattr(entered, name), getattr(left, half), getattr(entered, half)
        low, high = max(a - a_half, b - b_half), min(a + a_half, b + b_half)
        beyond = 0.0 if high - low > 1e-6 else HYSTERESIS_M / _DEGREE_M * (1 if b > a else -1)
        guess.append((low + high) / 2 + beyond)
    return guess[0], guess[1]


def followed(track: Track, found: Sequence[tuple[float, Point, Point]]) -> list[float]:
    """The errors of a line through the guessed crossings, second by second between the first and the last."""
    errors = []
    for (start, _, one), (end, _, other) in pairwise(found):
        for at, point in track:
            if start <= at < end:
                part = (at - start) / (end - start)
                guess = (one[0] + (other[0] - one[0]) * part, one[1] + (other[1] - one[1]) * part)
                errors.append(apart_m(guess, point))
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
        for _, point, guess in changes(track, noise):
            guesses.setdefault(guess, []).append(point)
    return [apart_m(guess, mean(points)) for guess, points in guesses.items()]


# -- the table ---------------------------------------------------------------------------------------


def row(name: str, errors: Sequence[float]) -> str:
    parts = quantiles(errors, n=20)
    return f"| {name} | {parts[0]:.0f} | {median(errors):.0f} | {parts[-1]:.0f} |"


def table(track: Track, times: int = 200) -> str:
    """Rows of Markdown; about half a minute."""
    tracks = list(elsewhere(track, times))
    found = [changes(each) for each in tracks]
    rows = ["| attack | 5 % | median | 95 % |", "| --- | --- | --- | --- |"]
    rows += [row(f"parked, mean of {fixes:,} fixes", parked(fixes)) for fixes in (1, 2000)]
    rows += [row("parked, mean of 2,000 starts of the program", parked(2000, restarts=True))]
    rows += [row(f"*not ours:* noise of 1 km, mean of {fixes:,} fixes", blurred(fixes)) for fixes in (1, 2000)]
    rows += [row("driving, the cell's centre", [error for each in tracks for error in centred(each)])]
    lines = (followed(each, one) for each, one in zip(tracks, found, strict=True))
    rows += [row("driving, a line through the crossings", [error for each in lines for error in each])]
    crossings = [apart_m(point, guess) for each in found for _, point, guess in each]
    rows += [row(f"at a change of cell ({len(crossings)} of them)", crossings)]
    again = [error for each in tracks[:20] for error in driven_again(each, 50)]
    rows += [row("at a change of cell, 50 drives of the same way", again)]
    return "\n".join(rows) + f"\n\nPlaces that change their cell from start to start: {undecided():.1%}."


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tools/attack_approximate.py DRIVE.json")
    print(table(read(Path(sys.argv[1]))))
