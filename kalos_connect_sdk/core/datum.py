"""WGS-84, and the two datums that Chinese map providers speak: GCJ-02 and BD-09.

GCJ-02 moves a point by 20 to 700 metres of smooth, fixed noise; it is published nowhere and known
everywhere, so it is no privacy. BD-09 moves it once more. Both apply in mainland China and nowhere else
(:mod:`.borders`, never a bounding box): outside, the three datums are one. The ways back are found by fixed
point, to a billionth of a degree.

Within 700 m outside the outline a GCJ-02 pair can mean two places; it is read as the one inside.
"""

from __future__ import annotations

from collections.abc import Callable
from math import atan2, cos, hypot, pi, radians, sin, sqrt
from typing import Final

from ..model.position import Datum
from .borders import in_mainland_china, near_mainland_china

__all__ = ["convert"]

# The Krasovsky ellipsoid of 1940; a = 6378137 is a common mistake and wrong by up to 20 mm.
_A: Final = 6_378_245.0
_EE: Final = 0.00669342162296594323
_BAIDU_WAVE: Final = pi * 3000 / 180
_STEPS: Final = 8  # each leaves at most a fiftieth of the error of 0.013 degrees: 4e-16 in the end

_Pair = tuple[float, float]


def convert(latitude: float, longitude: float, from_datum: Datum, to_datum: Datum) -> tuple[float, float]:
    """(latitude, longitude) in ``to_datum`` of a pair in ``from_datum``; degrees. Raises nothing."""
    if from_datum is to_datum or not near_mainland_china(latitude, longitude):
        return latitude, longitude
    if from_datum is Datum.WGS84:
        if not in_mainland_china(latitude, longitude):
            return latitude, longitude
        gcj = _gcj(latitude, longitude)
        return gcj if to_datum is Datum.GCJ02 else _baidu(*gcj)
    gcj = (latitude, longitude) if from_datum is Datum.GCJ02 else _inverse(_baidu, latitude, longitude)
    wgs = _inverse(_gcj, *gcj)
    if not in_mainland_china(*wgs):
        return latitude, longitude
    if to_datum is Datum.WGS84:
        return wgs
    return gcj if to_datum is Datum.GCJ02 else _baidu(*gcj)


def _gcj(latitude: float, longitude: float) -> _Pair:
    """WGS-84 to GCJ-02, wherever it is."""
    x, y = longitude - 105.0, latitude - 35.0
    common = _wave(x, 20.0, 1 / 6) + _wave(x, 20.0, 1 / 2)
    root = sqrt(abs(x))
    north_m = -100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * root + common
    north_m += _wave(y, 20.0, 1) + _wave(y, 40.0, 3) + _wave(y, 160.0, 12) + _wave(y, 320.0, 30)
    east_m = 300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * root + common
    east_m += _wave(x, 20.0, 1) + _wave(x, 40.0, 3) + _wave(x, 150.0, 12) + _wave(x, 300.0, 30)
    parallel = radians(latitude)
    flattening = 1.0 - _EE * sin(parallel) ** 2
    meridian_m = _A * (1.0 - _EE) / (flattening * sqrt(flattening)) * pi / 180
    parallel_m = _A / sqrt(flattening) * cos(parallel) * pi / 180
    return latitude + north_m / meridian_m, longitude + east_m / parallel_m


def _wave(degrees: float, metres: float, half_length: float) -> float:
    return metres * 2.0 / 3.0 * sin(degrees / half_length * pi)


def _baidu(latitude: float, longitude: float) -> _Pair:
    """GCJ-02 to BD-09, wherever it is."""
    radius = hypot(longitude, latitude) + 2e-5 * sin(latitude * _BAIDU_WAVE)
    angle = atan2(latitude, longitude) + 3e-6 * cos(longitude * _BAIDU_WAVE)
    return radius * sin(angle) + 0.006, radius * cos(angle) + 0.0065


def _inverse(forward: Callable[[float, float], _Pair], latitude: float, longitude: float) -> _Pair:
    """What ``forward`` takes to this pair, by fixed point: both shifts change slowly from place to place."""
    found_latitude, found_longitude = latitude, longitude
    for _ in range(_STEPS):
        shifted_latitude, shifted_longitude = forward(found_latitude, found_longitude)
        found_latitude += latitude - shifted_latitude
        found_longitude += longitude - shifted_longitude
    return found_latitude, found_longitude
