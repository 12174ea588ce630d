"""AMap's (高德) route planning 2.0 for cars, as documented: ``/v5/direction/driving``.

It is asked with a POST, which the documentation allows, so that neither key nor place stands in a URL (R10). AMap
speaks GCJ-02: places go there and the line comes back through :mod:`..core.datum`, once each way. It says what to do at
the END of a step, a :class:`Manoeuvre` at its beginning: each action belongs to the step that follows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar, Final
from urllib.parse import urlencode

from ..core.datum import convert
from ..core.members import LINE_MAX, MANOEUVRES_MAX, array, mapping, text
from ..core.strict_json import MalformedDocument
from ..errors import ConfigError
from ..model.position import Datum, Place
from ..model.route import Manoeuvre, Route, RouteQuestion
from .address import checked
from .amap_actions import kind_of
from .answers import document, no_way, read, refused
from .instructions import catalogue
from .polyline import join
from .words import Catalogue

__all__ = ["AMap"]

_KEY: Final = re.compile(r"[A-Za-z0-9_-]{8,200}", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?", re.ASCII)
_POINT: Final = re.compile(r"(-?[0-9]{1,3}(?:\.[0-9]{1,12})?),(-?[0-9]{1,2}(?:\.[0-9]{1,12})?)", re.ASCII)
_PATHS_MAX: Final = 20
_SHAPE_LETTERS_MAX: Final = 32 * LINE_MAX
_NO_WAY: Final = frozenset({"20800", "20801", "20802", "20803"})
"""Outside China, no road nearby, no way, too far."""
_LIMITS: Final = frozenset({"10003", "10004", "10010", "10014", "10019", "10020", "10021", "10029", "10044", "10045"})
"""A day's, a minute's or a second's quota of a key, a user or an address is used up."""


@dataclass(frozen=True, slots=True)
class AMap:
    """AMap's web service. ``key``: of the kind *Web service*; it is never in a URL, a log or a ``repr``.

    An app whose notice names ``AMap.RECIPIENT`` among its recipients may start a route at the device's position (R14).
    ``url``, ``recipient`` and ``region``: for a gateway that speaks the same format. Raises :class:`ConfigError`.
    """

    RECIPIENT: ClassVar[str] = "AutoNavi Software Co., Ltd. (AMap)"

    key: str = field(repr=False)
    _: KW_ONLY
    url: str = "https://restapi.amap.com"
    recipient: str = RECIPIENT
    region: str | None = "CN"
    attribution: str = "© AMap (高德地图)"

    def __post_init__(self) -> None:
        if not isinstance(self.key, str) or not _KEY.fullmatch(self.key):
            raise ConfigError("key must be the key of an AMap web service: letters and digits, without spaces")
        known = checked(self.url, self.recipient, self.region)
        for name, value in zip(("url", "recipient", "region"), known, strict=True):
            object.__setattr__(self, name, value)

    def question(self, origin: Place, to: Place, locale: str) -> RouteQuestion:
        """A car's way, the one AMap recommends."""
        ends = (place.to(Datum.GCJ02) for place in (origin, to))
        origin_text, to_text = (f"{place.longitude:.6f},{place.latitude:.6f}" for place in ends)
        form = {"key": self.key, "origin": origin_text, "destination": to_text, "show_fields": "cost,navi,polyline"}
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        return RouteQuestion("POST", self.url + "/v5/direction/driving", headers, urlencode(form).encode())

    def answer(self, status: int, headers: Mapping[str, str], body: bytes, locale: str) -> Route:
        """The way, or :class:`TransportError`."""
        if not 200 <= status < 300:
            raise refused(status, headers)
        return read(lambda: self._told(document(body), headers, locale))

    def _told(self, answer: Mapping[str, Any], headers: Mapping[str, str], locale: str) -> Route:
        """The first of the answer's ways."""
        if answer.get("status") == "0":  # a no, which comes with a 200
            code = _text(answer, "infocode")
            raise no_way() if code in _NO_WAY else refused(429 if code in _LIMITS else 403, headers, code)
        if answer.get("status") != "1":
            raise MalformedDocument("status must be 0 or 1")
        paths = array("paths", mapping("route", answer.get("route")).get("paths"), _PATHS_MAX)
        if not paths:
            raise no_way()
        words = catalogue(locale)
        path = mapping("a path", paths[0])
        steps = [mapping("a step", step) for step in array("steps", path.get("steps"), MANOEUVRES_MAX - 1)]
        line: list[tuple[float, float]] = []
        begins = [join(line, _shape(step)) for step in steps]
        if not line or len(line) > LINE_MAX:
            raise MalformedDocument(f"the polylines must have 1 to {LINE_MAX} points")
        if len(line) == 1:
            line *= 2  # a line has two ends, even when one is already there
        return Route(
            distance_m=_amount(path, "distance"),
            duration_s=_amount(mapping("cost", path.get("cost")), "duration"),
            locale=words.locale,
            line=tuple(line),
            manoeuvres=tuple(_manoeuvres(steps, begins, len(line) - 1, words)),
            attribution=self.attribution,
        )


def _manoeuvres(steps: list[Mapping[str, Any]], begins: list[int], end: int, words: Catalogue) -> list[Manoeuvre]:
    """One at the beginning of each step, told by the action at the end of the step before; and the arrival."""
    found = []
    kind = "depart"
    for step, begin in zip(steps, begins, strict=True):
        road = _text(step, "road_name")
        found.append(
            Manoeuvre(
                instruction=words.say(kind, streets=(road,) if road else ()),
                kind=kind,
                distance_m=_amount(step, "step_distance"),
                duration_s=_amount(mapping("cost", step.get("cost", {})), "duration", "0"),
                begin_index=begin,
            )
        )
        said = mapping("navi", step.get("navi", {}))
        kind = kind_of(_text(said, "action"), _text(said, "assistant_action"))
    return [*found, Manoeuvre(words.say("arrive"), "arrive", 0.0, 0.0, end)]


def _text(members: Mapping[str, Any], name: str) -> str:
    """Text; AMap writes an empty one as ``[]``."""
    return "" if members.get(name) == [] else text(members, name)


def _amount(members: Mapping[str, Any], name: str, missing: str = "") -> float:
    """A number, at least 0, which AMap writes as text."""
    value = members.get(name, missing)
    if type(value) is int and value >= 0:
        value = str(value)
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        raise MalformedDocument(f"{name} must be a number, at least 0")
    return float(value)


def _shape(step: Mapping[str, Any]) -> list[tuple[float, float]]:
    """(longitude, latitude) in WGS-84 of ``longitude,latitude;...`` in GCJ-02."""
    said = step.get("polyline")
    if not isinstance(said, str) or not 0 < len(said) <= _SHAPE_LETTERS_MAX:
        raise MalformedDocument("polyline must be longitude,latitude;longitude,latitude and so on")
    points = []
    for pair in said.split(";"):
        point = _POINT.fullmatch(pair)
        longitude, latitude = (float(point[1]), float(point[2])) if point else (999.0, 999.0)
        if abs(longitude) > 180 or abs(latitude) > 90:
            raise MalformedDocument("polyline must hold longitude and latitude in degrees")
        latitude, longitude = convert(latitude, longitude, Datum.GCJ02, Datum.WGS84)
        points.append((round(longitude, 7), round(latitude, 7)))
    return points
