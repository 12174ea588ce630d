"""The port to a routing engine, and the one engine that needs no map.

An engine is asked for one route at a time and keeps nothing of it (R19). It may be called from several
threads at once, and raises nothing but :class:`NoRoute` and :class:`EngineUnavailable`, neither of which
holds a coordinate (R10).
"""

from __future__ import annotations

import math
from typing import Protocol

from ..model.position import Place
from ..model.route import Manoeuvre, Route
from ..navigation.instructions import catalogue

__all__ = ["Engine", "EngineUnavailable", "NoRoute", "StraightLine"]

_RADIUS_M = 6_371_008.8


class NoRoute(Exception):
    """There is no way between the two places on this engine's map."""


class EngineUnavailable(Exception):
    """The engine cannot answer now, or cannot be used at all; the text says what to do about it."""


class Engine(Protocol):
    """Finds a route."""

    def route(self, origin: Place, destination: Place, locale: str) -> Route:
        """The way from ``origin`` to ``destination``, told in ``locale`` or the nearest language there is."""


class StraightLine:
    """As the crow flies, at ``speed_mps``: for tests, where there is no map."""

    def __init__(self, speed_mps: float = 13.9) -> None:
        self._speed_mps = speed_mps

    def route(self, origin: Place, destination: Place, locale: str) -> Route:
        """Never fails: a departure, an arrival and the line between them."""
        words = catalogue(locale)
        distance_m = _distance_m(origin, destination)
        duration_s = distance_m / self._speed_mps
        return Route(
            distance_m=round(distance_m, 1),
            duration_s=round(duration_s, 1),
            locale=words.locale,
            line=((origin.longitude, origin.latitude), (destination.longitude, destination.latitude)),
            manoeuvres=(
                Manoeuvre(words.say("depart"), "depart", round(distance_m, 1), round(duration_s, 1), 0),
                Manoeuvre(words.say("arrive"), "arrive", 0.0, 0.0, 1),
            ),
        )


def _distance_m(a: Place, b: Place) -> float:
    """Great-circle distance on the mean sphere."""
    lat_a, lat_b = math.radians(a.latitude), math.radians(b.latitude)
    half_lat, half_lon = (lat_b - lat_a) / 2, math.radians(b.longitude - a.longitude) / 2
    chord = math.sin(half_lat) ** 2 + math.cos(lat_a) * math.cos(lat_b) * math.sin(half_lon) ** 2
    return 2 * _RADIUS_M * math.asin(math.sqrt(min(1.0, chord)))
