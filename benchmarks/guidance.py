"""Measure a fix on a long route: ``python benchmarks/guidance.py``. Prints the table of docs/guidance.md.

A line of 500 km in 30,000 segments, a fix every 15 m for 300 fixes somewhere in its middle. Compared are a walk over every
segment for each fix, as guidance once did, the window it looks at on the route, and the whole line when it is lost.
The three take turns, so that a drifting machine shifts all of them.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable

from kalos_connect_sdk import Manoeuvre, Route
from kalos_connect_sdk.core.guidance import Guide

SEGMENTS = 30_000
LENGTH_M = 500_000.0
FIXES = 300
ROUNDS = 7
_DEGREE_M = math.radians(1) * 6_371_008.8


def long_route() -> Route:
    """A road that winds to the north and the east."""
    step = LENGTH_M / SEGMENTS / _DEGREE_M
    line, latitude, longitude = [(11.0, 48.0)], 48.0, 11.0
    for i in range(SEGMENTS):
        course = math.radians(45 + 60 * math.sin(i / 40))
        latitude += step * math.cos(course)
        longitude += step * math.sin(course) / math.cos(math.radians(latitude))
        line.append((longitude, latitude))
    turns = tuple(Manoeuvre("Turn left.", "left", 2500.0, 100.0, index) for index in range(0, SEGMENTS, 150))
    return Route(LENGTH_M, LENGTH_M / 25, "en", tuple(line), turns)


def every_segment(route: Route, fixes: list[tuple[float, float]]) -> None:
    """The nearest point of the line by looking at all of it."""
    for latitude, longitude in fixes:
        scale, least = math.cos(math.radians(latitude)) * _DEGREE_M, math.inf
        for (lon_a, lat_a), (lon_b, lat_b) in zip(route.line, route.line[1:], strict=False):
            ax, ay = (lon_a - longitude) * scale, (lat_a - latitude) * _DEGREE_M
            dx, dy = (lon_b - lon_a) * scale, (lat_b - lat_a) * _DEGREE_M
            square = dx * dx + dy * dy
            share = 0.0 if square == 0 else min(1.0, max(0.0, -(ax * dx + ay * dy) / square))
            least = min(least, math.hypot(ax + share * dx, ay + share * dy))


def timed(work: Callable[[], object], count: int) -> float:
    """Microseconds for each of ``count``."""
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) / count * 1e6


def followed(guide: Guide, fixes: list[tuple[float, float]]) -> None:
    for latitude, longitude in fixes:
        guide.update(latitude, longitude)


def main() -> None:
    route = long_route()
    middle = route.line[SEGMENTS // 2 : SEGMENTS // 2 + FIXES]
    on = [(latitude + 2e-5, longitude) for longitude, latitude in middle]
    beside = [(latitude, longitude + 0.01) for longitude, latitude in middle]
    seen: dict[str, list[float]] = {"every segment": [], "on the route": [], "lost": [], "made": []}
    for _ in range(ROUNDS):
        seen["every segment"].append(timed(lambda: every_segment(route, on[:3]), 3))
        seen["made"].append(timed(lambda: Guide(route), 1))
        guide = Guide(route)
        followed(guide, on[:1])
        seen["on the route"].append(timed(lambda guide=guide: followed(guide, on), FIXES))
        followed(guide, beside[:20])
        assert guide.update(*beside[20]).off_route
        seen["lost"].append(timed(lambda guide=guide: followed(guide, beside[20:]), FIXES - 20))
    now = {name: statistics.median(values) for name, values in seen.items()}
    before = now["every segment"]
    print("| a fix on 500 km, 30,000 segments | us | against before |")
    print("| --- | --- | --- |")
    print(f"| before: every segment | {before:,.0f} | 1 |")
    print(f"| on the route: a window | {now['on the route']:,.0f} | 1/{before / now['on the route']:,.0f} |")
    print(f"| lost: the whole line, in blocks of 64 | {now['lost']:,.0f} | 1/{before / now['lost']:,.0f} |")
    print(f"| once, when a route begins | {now['made']:,.0f} | |")


if __name__ == "__main__":
    main()
