"""Valhalla's request and answer: a POST whose body holds both places, so that none stands in a URL (R10)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, Final

from ..core.members import LINE_MAX, MANOEUVRES_MAX, amount, array, index, mapping, text
from ..core.strict_json import MalformedDocument
from ..model.position import Datum, Place
from ..model.route import Manoeuvre, Route, RouteQuestion
from . import answers
from .address import checked
from .instructions import chosen, has, language
from .polyline import decoded
from .words import Catalogue

__all__ = ["ATTRIBUTION", "SNAP_M", "Valhalla", "asked", "heard", "told"]

ATTRIBUTION: Final = "© OpenStreetMap contributors, ODbL 1.0"
SNAP_M: Final = 2000
"""A place farther than this from every road, in metres, is off the map."""

_KILOMETRE: Final = 1000.0
_LEGS_MAX: Final = 50
_STREETS_MAX: Final = 100
_NO_WAY: Final = frozenset({154, 170, 171, 442, 443, 444})
"""Too far, not connected, no road nearby, no path."""
_KINDS: Final = {
    1: "depart",
    2: "depart",
    3: "depart",
    4: "arrive",
    5: "arrive-right",
    6: "arrive-left",
    7: "continue",
    8: "continue",
    9: "slight-right",
    10: "right",
    11: "sharp-right",
    12: "u-turn",
    13: "u-turn",
    14: "sharp-left",
    15: "left",
    16: "slight-left",
    17: "ramp",
    18: "ramp-right",
    19: "ramp-left",
    20: "exit-right",
    21: "exit-left",
    22: "keep-straight",
    23: "keep-right",
    24: "keep-left",
    25: "merge",
    26: "roundabout",
    27: "roundabout-exit",
    28: "ferry",
    29: "ferry-exit",
    37: "merge-right",
    38: "merge-left",
}
"""Valhalla's manoeuvre types, by number; what is not here goes straight on."""

_SPEAKS: Final = {
    "bg": "bg-BG",
    "ca": "ca-ES",
    "cs": "cs-CZ",
    "da": "da-DK",
    "de": "de-DE",
    "el": "el-GR",
    "es": "es-ES",
    "et": "et-EE",
    "fi": "fi-FI",
    "fr": "fr-FR",
    "hi": "hi-IN",
    "hu": "hu-HU",
    "it": "it-IT",
    "ja": "ja-JP",
    "nb": "nb-NO",
    "nl": "nl-NL",
    "pl": "pl-PL",
    "pt": "pt-PT",
    "pt-br": "pt-BR",
    "ro": "ro-RO",
    "ru": "ru-RU",
    "sk": "sk-SK",
    "sl": "sl-SI",
    "sv": "sv-SE",
    "tr": "tr-TR",
    "uk": "uk-UA",
    "ar": "en-US",
}
"""By which tag it knows a language. Its Arabic is English with Arabic words in it, so that ours is used."""


@dataclass(frozen=True, slots=True)
class Valhalla:
    """A Valhalla service at ``url``, such as ``http://127.0.0.1:8002`` on the device itself.

    ``recipient``: who runs it, with the name that the notice's ``recipients`` give it; needed off loopback (R14).
    ``region``: the country it stands in (R16). Raises :class:`ConfigError`.
    """

    url: str
    _: KW_ONLY
    recipient: str = ""
    region: str | None = None
    attribution: str = ATTRIBUTION

    def __post_init__(self) -> None:
        known = checked(self.url, self.recipient, self.region)
        for name, value in zip(("url", "recipient", "region"), known, strict=True):
            object.__setattr__(self, name, value)

    def question(self, origin: Place, to: Place, locale: str) -> RouteQuestion:
        """A car's way."""
        body = json.dumps(asked(origin, to, locale), separators=(",", ":")).encode()
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        return RouteQuestion("POST", self.url + "/route", headers, body)

    def answer(self, status: int, headers: Mapping[str, str], body: bytes, locale: str) -> Route:
        """The way, or :class:`TransportError`."""
        return heard(status, headers, body, locale, self.attribution)


def asked(origin: Place, to: Place, locale: str) -> dict[str, Any]:
    """What Valhalla is asked, over HTTP or embedded. Places have six decimals, its own resolution."""
    return {
        "locations": [
            {"lat": round(place.latitude, 6), "lon": round(place.longitude, 6), "search_cutoff": SNAP_M}
            for place in (origin.to(Datum.WGS84), to.to(Datum.WGS84))
        ],
        "costing": "auto",
        "units": "kilometers",
        "language": _language(locale),
    }


def _language(locale: str) -> str:
    """The tag to ask for. A region that Valhalla does not know would be answered in English."""
    if has(locale):
        return "en-US"  # we say it ourselves
    tag = locale.replace("_", "-")
    return _SPEAKS.get(tag.lower()) or _SPEAKS.get(language(tag), tag)


def heard(status: int, headers: Mapping[str, str], body: bytes, locale: str, attribution: str) -> Route:
    """What a Valhalla service answered. Raises :class:`TransportError`."""
    return answers.heard(status, headers, body, lambda answer: told(answer, locale, attribution), "error_code", _NO_WAY)


def told(answer: Mapping[str, Any], locale: str, attribution: str) -> Route:
    """Valhalla's answer as a :class:`Route`: in our words, or in Valhalla's where it speaks the language and ours are
    not reviewed. Raises :class:`MalformedDocument`."""
    trip = mapping("trip", answer.get("trip"))
    spoken = text(trip, "language")
    words = chosen(locale, spoken)
    line: list[tuple[float, float]] = []
    manoeuvres: list[Manoeuvre] = []
    for leg in array("legs", trip.get("legs"), _LEGS_MAX):
        leg = mapping("a leg", leg)
        shape = decoded(leg.get("shape"))
        items = array("maneuvers", leg.get("maneuvers"), MANOEUVRES_MAX)
        manoeuvres += [_manoeuvre(mapping("a maneuver", item), len(line), len(shape), words) for item in items]
        line += shape
    if not line or len(line) > LINE_MAX:
        raise MalformedDocument(f"the shapes must have 1 to {LINE_MAX} points")
    if len(line) == 1:
        line *= 2  # a line has two ends, even when one is already there
    summary = mapping("summary", trip.get("summary"))
    return Route(
        distance_m=round(amount(summary, "length", unit=_KILOMETRE), 1),
        duration_s=round(amount(summary, "time"), 1),
        locale=words.locale if words is not None else spoken,
        line=tuple(line),
        manoeuvres=tuple(manoeuvres),
        attribution=attribution,
    )


def _manoeuvre(item: Mapping[str, Any], offset: int, length: int, words: Catalogue | None) -> Manoeuvre:
    number = item.get("type")
    kind = _KINDS.get(number, "continue") if isinstance(number, int) else "continue"
    if words is None:
        instruction = text(item, "instruction")
    else:
        instruction = words.say(kind, streets=_streets(item, kind), exit_number=_exit(item))
    return Manoeuvre(
        instruction=instruction,
        kind=kind,
        distance_m=round(amount(item, "length", unit=_KILOMETRE), 1),
        duration_s=round(amount(item, "time"), 1),
        begin_index=offset + index(item, "begin_shape_index", length),
    )


def _exit(item: Mapping[str, Any]) -> int | None:
    count = item.get("roundabout_exit_count")
    return count if type(count) is int and 0 < count < 100 else None


def _streets(item: Mapping[str, Any], kind: str) -> tuple[str, ...]:
    """The names a driver looks for: a sign where there is one, else the street that begins here."""
    if kind == "roundabout":
        return ()  # its own name helps nobody
    sign = mapping("sign", item.get("sign", {}))
    for part in ("exit_branch_elements", "exit_toward_elements"):
        elements = array(part, sign.get(part, []), _STREETS_MAX)
        if elements:
            return tuple(text(mapping(part, element), "text") for element in elements)
    names = item.get("begin_street_names") or item.get("street_names") or []
    return tuple(text({"street_names": name}, "street_names") for name in array("street_names", names, _STREETS_MAX))
