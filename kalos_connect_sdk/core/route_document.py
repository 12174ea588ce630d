"""Routes on the wire: the request for one, and the GeoJSON Feature that answers it.

The answer comes from outside, so everything in it is checked and bounded before it becomes a
:class:`Route`; errors name the field, never the value (R10).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..model.position import Datum, Place, Position
from ..model.route import Manoeuvre, Route
from .feature_reader import check_consent
from .strict_json import MalformedDocument, check_tree

__all__ = ["RouteRequest", "parse_route_request", "route_from_geojson", "route_request", "route_to_geojson"]

_LINE_MAX: Final = 200_000
_MANOEUVRES_MAX: Final = 10_000
_TEXT_MAX: Final = 2000
_AMOUNT_MAX: Final = 1e12
_LOCALE: Final = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8}){0,4}", re.ASCII)


@dataclass(frozen=True, slots=True, repr=False)
class RouteRequest:
    """A route request as the service reads it. ``consent`` is present when ``origin`` is the device's position."""

    origin: Place
    destination: Place
    locale: str
    consent: dict[str, Any] | None

    def __repr__(self) -> str:
        return "<RouteRequest>"


def route_request(
    origin: Place | Position, destination: Place, locale: str, consent: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The document that asks for a route; ``consent`` belongs to an origin that is the device's position."""
    document: dict[str, Any] = {"origin": _point(origin), "destination": _point(destination), "locale": locale}
    if consent is not None:
        document["consent"] = dict(consent)
    return document


def _point(place: Place | Position) -> dict[str, Any]:
    place = place.to(Datum.WGS84)
    return {"type": "Point", "coordinates": [round(place.longitude, 7), round(place.latitude, 7)]}


def parse_route_request(document: Any) -> RouteRequest:
    """The service's reading of :func:`route_request`. Raises :class:`MalformedDocument`."""
    check_tree(document, max_depth=8)
    if not isinstance(document, Mapping):
        raise MalformedDocument("the route request must be an object")
    locale = document.get("locale", "en")
    if not isinstance(locale, str) or not _LOCALE.fullmatch(locale):
        raise MalformedDocument("locale must be a language tag")
    consent = document.get("consent")
    return RouteRequest(
        _place("origin", document.get("origin")),
        _place("destination", document.get("destination")),
        locale,
        None if consent is None else check_consent(consent),
    )


def _place(name: str, point: Any) -> Place:
    if not isinstance(point, Mapping) or point.get("type") != "Point":
        raise MalformedDocument(f"{name} must be a Point")
    longitude, latitude = _pair(name, point.get("coordinates"))
    return Place(latitude, longitude)


def route_to_geojson(route: Route) -> dict[str, Any]:
    """The GeoJSON Feature of a route: a LineString, and its figures and manoeuvres as properties."""
    return {
        "type": "Feature",
        "geometry": {"type": "LineString", "coordinates": [list(pair) for pair in route.line]},
        "properties": {
            "distance_m": route.distance_m,
            "duration_s": route.duration_s,
            "locale": route.locale,
            "attribution": route.attribution,
            "manoeuvres": [
                {
                    "instruction": manoeuvre.instruction,
                    "kind": manoeuvre.kind,
                    "distance_m": manoeuvre.distance_m,
                    "duration_s": manoeuvre.duration_s,
                    "begin_index": manoeuvre.begin_index,
                }
                for manoeuvre in route.manoeuvres
            ],
        },
    }


def route_from_geojson(document: Any) -> Route:
    """The route in a GeoJSON Feature; unknown members are ignored. Raises :class:`MalformedDocument`."""
    check_tree(document, max_depth=8)
    if not isinstance(document, Mapping) or document.get("type") != "Feature":
        raise MalformedDocument("the route must be a Feature")
    geometry, properties = document.get("geometry"), document.get("properties")
    if not isinstance(geometry, Mapping) or geometry.get("type") != "LineString":
        raise MalformedDocument("the route's geometry must be a LineString")
    if not isinstance(properties, Mapping):
        raise MalformedDocument("the route's properties must be an object")
    line = tuple(_pair("the line", pair) for pair in _array("the line", geometry.get("coordinates"), _LINE_MAX))
    if len(line) < 2:
        raise MalformedDocument("the line must have two points at least")
    manoeuvres = _array("manoeuvres", properties.get("manoeuvres", []), _MANOEUVRES_MAX)
    return Route(
        distance_m=_amount(properties, "distance_m"),
        duration_s=_amount(properties, "duration_s"),
        locale=_text(properties, "locale"),
        line=line,
        manoeuvres=tuple(_manoeuvre(item, len(line)) for item in manoeuvres),
        attribution=_text(properties, "attribution"),
    )


def _manoeuvre(item: Any, line_length: int) -> Manoeuvre:
    if not isinstance(item, Mapping):
        raise MalformedDocument("a manoeuvre must be an object")
    begin = item.get("begin_index")
    if type(begin) is not int or not 0 <= begin < line_length:
        raise MalformedDocument("begin_index must be an index into the line")
    return Manoeuvre(
        instruction=_text(item, "instruction"),
        kind=_text(item, "kind"),
        distance_m=_amount(item, "distance_m"),
        duration_s=_amount(item, "duration_s"),
        begin_index=begin,
    )


def _array(name: str, value: Any, longest: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > longest:
        raise MalformedDocument(f"{name} must be an array of at most {longest}")
    return value


def _pair(name: str, pair: Any) -> tuple[float, float]:
    """(longitude, latitude) of a GeoJSON position; a third number is allowed and ignored."""
    if isinstance(pair, list) and len(pair) in (2, 3) and all(type(number) in (int, float) for number in pair):
        longitude, latitude = pair[:2]
        if -180 <= longitude <= 180 and -90 <= latitude <= 90:
            return float(longitude), float(latitude)
    raise MalformedDocument(f"{name} must hold longitude and latitude in degrees")


def _amount(members: Mapping[str, Any], name: str) -> float:
    value = members.get(name)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < _AMOUNT_MAX:
        return float(value)
    raise MalformedDocument(f"{name} must be a number, at least 0")


def _text(members: Mapping[str, Any], name: str) -> str:
    value = members.get(name, "")
    if not isinstance(value, str) or len(value) > _TEXT_MAX:
        raise MalformedDocument(f"{name} must be text of at most {_TEXT_MAX} characters")
    return value
