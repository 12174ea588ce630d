"""A route and its guidance, and the question for one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Manoeuvre", "Route", "RouteQuestion"]


@dataclass(frozen=True, slots=True, repr=False)
class Manoeuvre:
    """One instruction. ``distance_m`` and ``duration_s`` until the next one; ``begin_index`` into the route's line."""

    instruction: str
    kind: str
    distance_m: float
    duration_s: float
    begin_index: int

    def __repr__(self) -> str:
        return f"<Manoeuvre {self.kind}>"


@dataclass(frozen=True, slots=True, repr=False)
class Route:
    """A way from an origin to a destination. ``line`` holds (longitude, latitude) pairs in WGS-84 degrees."""

    distance_m: float
    duration_s: float
    locale: str
    line: tuple[tuple[float, float], ...] = field(repr=False)
    manoeuvres: tuple[Manoeuvre, ...] = ()
    attribution: str = ""

    def __repr__(self) -> str:
        return f"<Route {len(self.manoeuvres)} manoeuvres>"


@dataclass(frozen=True, slots=True, repr=False)
class RouteQuestion:
    """One HTTP request that asks a provider for a way. ``url`` has the provider's own origin; ``headers`` are those of
    ``Accept`` and ``Content-Type``, of our own service ``Authorization`` too."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        return f"<RouteQuestion {self.method}>"
