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
from .members import LINE_MAX, MANOEUVRES_MAX, amount, array, index, mapping, pair, text
from .strict_json import MalformedDocument, check_tree

__all__ = ["RouteRequest", "parse_route_request", "route_from_geojson", "route_request", "route_to_geojson"]

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
    longitude, latitude = pair(name, point.get("coordinates"))
    return Place(latitude, longitude)


def route_to_geojson(route: Route) -> dict[str, Any]:
    """The GeoJSON Feature of a route: a LineString, and its figures and manoeuvres as properties."""
    return {
        "type": "Feature",
        "geometry": {"type": "LineString", "coordinates": [list(point) for point in route.line]},
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
    geometry, properties = document.get("geometry"), mapping("the route's properties", document.get("properties"))
    if not isinstance(geometry, Mapping) or geometry.get("type") != "LineString":
        raise MalformedDocument("the route's geometry must be a LineString")
    line = tuple(pair("the line", point) for point in array("the line", geometry.get("coordinates"), LINE_MAX))
    if len(line) < 2:
        raise MalformedDocument("the line must have two points at least")
    manoeuvres = array("manoeuvres", properties.get("manoeuvres", []), MANOEUVRES_MAX)
    return Route(
        distance_m=amount(properties, "distance_m"),
        duration_s=amount(properties, "duration_s"),
        locale=text(properties, "locale"),
        line=line,
        manoeuvres=tuple(_manoeuvre(item, len(line)) for item in manoeuvres),
        attribution=text(properties, "attribution"),
    )


def _manoeuvre(item: Any, line_length: int) -> Manoeuvre:
    item = mapping("a manoeuvre", item)
    return Manoeuvre(
        instruction=text(item, "instruction"),
        kind=text(item, "kind"),
        distance_m=amount(item, "distance_m"),
        duration_s=amount(item, "duration_s"),
        begin_index=index(item, "begin_index", line_length),
    )
