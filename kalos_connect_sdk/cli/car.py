"""A simulated car: follows a route and writes what its satellite receiver would say, as NMEA sentences.

It speeds up, brakes for corners and stands at the end; the receiver adds noise that drifts as real noise does
(a first-order Gauss-Markov process, 3 m, time constant 20 s). The same seed writes the same file.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final, TextIO

__all__ = ["Fix", "drive_along", "sentences", "write_drive"]

_METRES_PER_DEGREE: Final = math.radians(1) * 6_371_008.8
_STEP_M: Final = 2.0
_TOP_MPS: Final = 11.5  # a city street
_ACCELERATION: Final = 1.6  # m/s2
_BRAKING: Final = 2.2
_SLOWEST_MPS: Final = 1.5
# (turn in degrees, speed through it in m/s)
_CORNERS: Final = ((75.0, 4.0), (40.0, 5.5), (20.0, 8.0))
_NOISE_M: Final = 3.0
_NOISE_TIME_S: Final = 20.0


@dataclass(frozen=True, slots=True, repr=False)
class Fix:
    """Where the receiver says the car is, ``second`` seconds after the start."""

    second: int
    latitude: float
    longitude: float
    speed_mps: float
    course_deg: float


def drive_along(line: Sequence[tuple[float, float]], *, seed: int = 1) -> list[Fix]:
    """One fix a second along ``line`` of (longitude, latitude) pairs; at least one."""
    noise = random.Random(seed)  # noqa: S311 - it simulates noise and must repeat
    here = _evenly(line)
    courses = [_course(here[max(0, i - 1)], here[min(len(here) - 1, i + 1)]) for i in range(len(here))]
    speeds = _speeds(courses)
    keep = math.exp(-1 / _NOISE_TIME_S)
    fresh = _NOISE_M * math.sqrt(1 - keep * keep)
    north, east = noise.gauss(0, _NOISE_M), noise.gauss(0, _NOISE_M)
    fixes: list[Fix] = []
    along, second = 0.0, 0
    while True:
        index = min(len(here) - 1, int(along / _STEP_M))
        share = min(1.0, along / _STEP_M - index) if index < len(here) - 1 else 0.0
        (lon, lat), (next_lon, next_lat) = here[index], here[min(index + 1, len(here) - 1)]
        lat += share * (next_lat - lat) + north / _METRES_PER_DEGREE
        lon += share * (next_lon - lon) + east / (_METRES_PER_DEGREE * math.cos(math.radians(lat)))
        fixes.append(Fix(second, lat, lon, speeds[index], courses[index]))
        if index == len(here) - 1:
            return fixes
        for _ in range(10):  # a tenth of a second each: speed changes under way
            along += max(_SLOWEST_MPS, speeds[min(len(here) - 1, int(along / _STEP_M))]) / 10
        second += 1
        north = north * keep + noise.gauss(0, fresh)
        east = east * keep + noise.gauss(0, fresh)


def sentences(fixes: Sequence[Fix], start: datetime) -> Iterator[str]:
    """RMC and GGA for every fix, with checksums. ``start`` is an aware time in UTC."""
    for fix in fixes:
        at = start + timedelta(seconds=fix.second)
        clock, day = f"{at:%H%M%S}.00", f"{at:%d%m%y}"
        place = f"{_angle(fix.latitude, 2, 'NS')},{_angle(fix.longitude, 3, 'EW')}"
        knots = fix.speed_mps * 3600 / 1852
        yield _framed(f"GPRMC,{clock},A,{place},{knots:.2f},{fix.course_deg:.1f},{day},,,A")
        yield _framed(f"GPGGA,{clock},{place},1,11,0.8,12.0,M,18.0,M,,")


def write_drive(stream: TextIO, line: Sequence[tuple[float, float]], start: datetime, *, seed: int = 1) -> int:
    """Write a drive along ``line`` to ``stream``; returns how many positions it has."""
    fixes = drive_along(line, seed=seed)
    for sentence in sentences(fixes, start):
        stream.write(sentence + "\r\n")
    return len(fixes)


def _evenly(line: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The line as points a few metres apart, its first and last included."""
    points = [line[0]]
    for (lon_a, lat_a), (lon_b, lat_b) in pairwise(line):
        length = math.hypot(
            (lon_b - lon_a) * math.cos(math.radians(lat_a)) * _METRES_PER_DEGREE, (lat_b - lat_a) * _METRES_PER_DEGREE
        )
        steps = max(1, round(length / _STEP_M))
        points += [
            (lon_a + (lon_b - lon_a) * step / steps, lat_a + (lat_b - lat_a) * step / steps)
            for step in range(1, steps + 1)
        ]
    return points


def _speeds(courses: Sequence[float]) -> list[float]:
    """The speed at every point: slow through corners, reached and left with bounded acceleration."""
    last = len(courses) - 1
    speeds = [_through(abs(_turn(courses[max(0, i - 4)], courses[min(last, i + 4)]))) for i in range(len(courses))]
    speeds[0] = speeds[last] = 0.0
    for i in range(1, len(speeds)):
        speeds[i] = min(speeds[i], math.sqrt(speeds[i - 1] ** 2 + 2 * _ACCELERATION * _STEP_M))
    for i in range(last - 1, -1, -1):
        speeds[i] = min(speeds[i], math.sqrt(speeds[i + 1] ** 2 + 2 * _BRAKING * _STEP_M))
    return speeds


def _through(turn_deg: float) -> float:
    return next((speed for turn, speed in _CORNERS if turn_deg >= turn), _TOP_MPS)


def _course(a: tuple[float, float], b: tuple[float, float]) -> float:
    east = (b[0] - a[0]) * math.cos(math.radians(a[1]))
    return math.degrees(math.atan2(east, b[1] - a[1])) % 360.0


def _turn(before: float, after: float) -> float:
    return (after - before + 180.0) % 360.0 - 180.0


def _angle(degrees: float, width: int, signs: str) -> str:
    """Degrees as NMEA writes them: whole degrees, then minutes with five decimals."""
    hundred_thousandths = round(abs(degrees) * 60 * 100_000)
    whole, minutes = divmod(hundred_thousandths, 60 * 100_000)
    return f"{whole:0{width}d}{minutes / 100_000:08.5f},{signs[degrees < 0]}"


def _framed(body: str) -> str:
    checksum = 0
    for letter in body.encode("ascii"):
        checksum ^= letter
    return f"${body}*{checksum:02X}"
