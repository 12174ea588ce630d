"""OSRM's request and answer.

Its documented request is a GET with both places in the path. Over TLS the network sees none of it, and our logs and
errors never do (R10); the server's own log does, and that of a proxy before it. Newer servers also take a POST.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, Final

from ..core.members import LINE_MAX, MANOEUVRES_MAX, amount, array, mapping, text
from ..core.strict_json import MalformedDocument
from ..errors import ConfigError
from ..model.position import Datum, Place
from ..model.route import Manoeuvre, Route, RouteQuestion
from .address import checked
from .answers import heard
from .instructions import catalogue
from .polyline import decoded, join
from .valhalla import ATTRIBUTION, SNAP_M
from .words import Catalogue

__all__ = ["Osrm"]

_PROFILE: Final = re.compile(r"[A-Za-z0-9_-]{1,40}", re.ASCII)
_LEGS_MAX: Final = 50
_OPTIONS: Final = {
    "alternatives": False,
    "generate_hints": False,
    "geometries": "polyline6",
    "overview": "false",
    "steps": True,
}
"""The line comes step by step, so that each step's place in it is known."""
_NO_WAY: Final = frozenset({"NoRoute", "NoSegment"})
_BY_SIDE: Final = {
    "uturn": "u-turn",
    "sharp right": "sharp-right",
    "right": "right",
    "slight right": "slight-right",
    "straight": "continue",
    "slight left": "slight-left",
    "left": "left",
    "sharp left": "sharp-left",
}
_WITH_A_SIDE: Final = {"arrive": "arrive", "on ramp": "ramp", "merge": "merge", "fork": "keep", "off ramp": "exit"}
_WITHOUT_ONE: Final = {**_WITH_A_SIDE, "fork": "keep-straight", "off ramp": "ramp"}
_FIXED: Final = {
    "depart": "depart",
    "roundabout": "roundabout",
    "rotary": "roundabout",
    "exit roundabout": "roundabout-exit",
    "exit rotary": "roundabout-exit",
    "new name": "continue",
    "notification": "continue",
}
"""OSRM's manoeuvre types whatever their modifier. The others (a turn, the end of a road, a small roundabout taken as a
turn, and types that are new) are told by the side they go to."""


@dataclass(frozen=True, slots=True)
class Osrm:
    """An OSRM service at ``url``, such as ``http://127.0.0.1:5000`` on the device itself.

    ``recipient``, ``region``: as for :class:`Valhalla`. ``profile``: the part of the path that names the vehicle.
    ``post``: ask with a POST, which needs a server that takes it (26.10 does). Raises :class:`ConfigError`.
    """

    url: str
    _: KW_ONLY
    recipient: str = ""
    region: str | None = None
    profile: str = "driving"
    post: bool = False
    attribution: str = ATTRIBUTION

    def __post_init__(self) -> None:
        known = checked(self.url, self.recipient, self.region)
        for name, value in zip(("url", "recipient", "region"), known, strict=True):
            object.__setattr__(self, name, value)
        if not isinstance(self.profile, str) or not _PROFILE.fullmatch(self.profile):
            raise ConfigError("profile must be 1 to 40 letters, digits, hyphens or underscores, such as driving")

    def question(self, origin: Place, to: Place, locale: str) -> RouteQuestion:
        """A way for the profile's vehicle."""
        ends = (origin.to(Datum.WGS84), to.to(Datum.WGS84))
        places = [[f"{place.longitude:.6f}", f"{place.latitude:.6f}"] for place in ends]
        url = f"{self.url}/route/v1/{self.profile}"
        if self.post:
            coordinates = [[float(number) for number in place] for place in places]
            asked = {"coordinates": coordinates, "radiuses": [SNAP_M, SNAP_M], **_OPTIONS}
            headers = {"Accept": "application/json", "Content-Type": "application/json"}
            return RouteQuestion("POST", url, headers, json.dumps(asked, separators=(",", ":")).encode())
        options = {"radiuses": f"{SNAP_M};{SNAP_M}", **{name: str(value).lower() for name, value in _OPTIONS.items()}}
        query = "&".join(f"{name}={value}" for name, value in options.items())
        path = ";".join(",".join(place) for place in places)
        return RouteQuestion("GET", f"{url}/{path}?{query}", {"Accept": "application/json"})

    def answer(self, status: int, headers: Mapping[str, str], body: bytes, locale: str) -> Route:
        """The way, or :class:`TransportError`."""
        return heard(status, headers, body, lambda answer: _told(answer, locale, self.attribution), "code", _NO_WAY)


def _told(answer: Mapping[str, Any], locale: str, attribution: str) -> Route:
    """The first of the answer's routes."""
    words = catalogue(locale)  # OSRM says nothing itself
    routes = array("routes", answer.get("routes"), 10)
    if not routes:
        raise MalformedDocument("routes must have one route at least")
    first = mapping("a route", routes[0])
    line: list[tuple[float, float]] = []
    manoeuvres: list[Manoeuvre] = []
    sailing = False
    for leg in array("legs", first.get("legs"), _LEGS_MAX):
        for item in array("steps", mapping("a leg", leg).get("steps"), MANOEUVRES_MAX):
            step = mapping("a step", item)
            begin = join(line, decoded(step.get("geometry")))
            aboard, sailing = sailing, text(step, "mode") == "ferry"
            manoeuvres.append(_manoeuvre(step, begin, words, aboard, sailing))
    if not line or len(line) > LINE_MAX or len(manoeuvres) > MANOEUVRES_MAX:
        raise MalformedDocument(f"the geometries must have 1 to {LINE_MAX} points")
    if len(line) == 1:
        line *= 2  # a line has two ends, even when one is already there
    return Route(
        distance_m=round(amount(first, "distance"), 1),
        duration_s=round(amount(first, "duration"), 1),
        locale=words.locale,
        line=tuple(line),
        manoeuvres=tuple(manoeuvres),
        attribution=attribution,
    )


def _manoeuvre(step: Mapping[str, Any], begin: int, words: Catalogue, aboard: bool, sailing: bool) -> Manoeuvre:
    said = mapping("maneuver", step.get("maneuver"))
    kind = _kind(text(said, "type"), text(said, "modifier"))
    if aboard is not sailing and not kind.startswith("arrive"):
        kind = "ferry" if sailing else "ferry-exit"
    count = said.get("exit")
    exits = count if type(count) is int and 0 < count < 100 else None
    return Manoeuvre(
        instruction=words.say(kind, streets=_streets(step, kind), exit_number=exits),
        kind=kind,
        distance_m=round(amount(step, "distance"), 1),
        duration_s=round(amount(step, "duration"), 1),
        begin_index=begin,
    )


def _kind(name: str, side: str) -> str:
    if name in _FIXED:
        return _FIXED[name]
    if name not in _WITH_A_SIDE:
        return _BY_SIDE.get(side, "continue")
    hand = side.rpartition(" ")[2]
    return f"{_WITH_A_SIDE[name]}-{hand}" if hand in ("left", "right") else _WITHOUT_ONE[name]


def _streets(step: Mapping[str, Any], kind: str) -> tuple[str, ...]:
    """The names a driver looks for: where a ramp leads to, else the street that begins here, with its number."""
    towards = text(step, "destinations") if kind.startswith(("ramp", "exit")) else ""
    return (towards,) if towards else tuple(name for name in (text(step, "name"), text(step, "ref")) if name)
