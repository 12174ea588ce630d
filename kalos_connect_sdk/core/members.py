"""Members of a document from outside, each checked and bounded as it is read.

What is missing or wrong raises :class:`MalformedDocument`, which names the member and never its value (R10).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .strict_json import MalformedDocument

__all__ = ["LINE_MAX", "MANOEUVRES_MAX", "amount", "array", "index", "mapping", "pair", "text"]

LINE_MAX: Final = 200_000
"""Points of a route's line."""
MANOEUVRES_MAX: Final = 10_000
_TEXT_MAX: Final = 2000
_AMOUNT_MAX: Final = 1e12


def mapping(name: str, value: Any) -> Mapping[str, Any]:
    """An object."""
    if not isinstance(value, Mapping):
        raise MalformedDocument(f"{name} must be an object")
    return value


def array(name: str, value: Any, longest: int) -> list[Any]:
    """An array of at most ``longest`` items."""
    if not isinstance(value, list) or len(value) > longest:
        raise MalformedDocument(f"{name} must be an array of at most {longest}")
    return value


def pair(name: str, value: Any) -> tuple[float, float]:
    """(longitude, latitude) of a GeoJSON position; a third number is allowed and ignored."""
    if isinstance(value, list) and len(value) in (2, 3) and all(type(number) in (int, float) for number in value):
        longitude, latitude = value[:2]
        if -180 <= longitude <= 180 and -90 <= latitude <= 90:
            return float(longitude), float(latitude)
    raise MalformedDocument(f"{name} must hold longitude and latitude in degrees")


def amount(members: Mapping[str, Any], name: str, *, unit: float = 1.0) -> float:
    """A number, at least 0, times ``unit``."""
    value = members.get(name)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value * unit < _AMOUNT_MAX:
        return float(value * unit)
    raise MalformedDocument(f"{name} must be a number, at least 0")


def index(members: Mapping[str, Any], name: str, length: int) -> int:
    """An index into a line of ``length`` points."""
    value = members.get(name)
    if type(value) is not int or not 0 <= value < length:
        raise MalformedDocument(f"{name} must be an index into the line")
    return value


def text(members: Mapping[str, Any], name: str) -> str:
    """Text of bounded length; empty when it is missing."""
    value = members.get(name, "")
    if not isinstance(value, str) or len(value) > _TEXT_MAX:
        raise MalformedDocument(f"{name} must be text of at most {_TEXT_MAX} characters")
    return value
