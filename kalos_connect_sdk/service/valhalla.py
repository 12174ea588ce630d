"""Routes from Valhalla: embedded in this process, or a Valhalla service elsewhere.

The embedded engine is silent on the terminal and used by one thread at a time. Places go to a service in the
body of a POST, never in a URL, and no error quotes what an engine said about them (R10).
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from ..model.position import Place
from ..model.route import Manoeuvre, Route
from .engine import EngineUnavailable, NoRoute
from .instructions import Catalogue, catalogue, has

__all__ = ["ATTRIBUTION", "HELSINKI", "EmbeddedValhalla", "HttpValhalla"]

HELSINKI: Final = Path(__file__).with_name("data") / "helsinki.tar"
"""Prebuilt tiles of the centre of Helsinki, 2019; ``data/README.md`` says how they were made."""
ATTRIBUTION: Final = "© OpenStreetMap contributors, ODbL 1.0"

_SNAP_M: Final = 2000
_ANSWER_BYTES: Final = 16 * 1024 * 1024
_TIMEOUT_S: Final = 8.0
# the kinds of Valhalla's manoeuvre types, by number
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


class EmbeddedValhalla:
    """Valhalla in this process over a tile extract. Raises :class:`EngineUnavailable` when it cannot be opened."""

    def __init__(self, tiles: str | os.PathLike[str] = HELSINKI, *, attribution: str = ATTRIBUTION) -> None:
        self._attribution = attribution
        self._lock = threading.Lock()
        self._actor = _actor(Path(tiles))

    def route(self, origin: Place, destination: Place, locale: str) -> Route:
        """A car's way. Raises :class:`NoRoute`: off the map, or not connected."""
        question = json.dumps(_question(origin, destination, locale))
        text: str | None = None
        with self._lock:
            try:
                text = self._actor.route(question)
            except RuntimeError:
                pass  # every refusal of Valhalla, whose text may name places
        if text is None:
            raise NoRoute("no way between the two places on this map")
        return _route(json.loads(text), locale, self._attribution)


class HttpValhalla:
    """A Valhalla service at ``url``, asked directly: no proxy, no redirect, answers bounded in size and time."""

    def __init__(self, url: str, *, attribution: str = ATTRIBUTION, timeout_s: float = _TIMEOUT_S) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise EngineUnavailable("the engine's URL must look like http://127.0.0.1:8002")
        self._url = url.rstrip("/") + "/route"
        self._attribution = attribution
        self._timeout_s = timeout_s
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)

    def route(self, origin: Place, destination: Place, locale: str) -> Route:
        """A car's way. Raises :class:`NoRoute`, or :class:`EngineUnavailable` when the service does not answer."""
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked
            self._url,
            data=json.dumps(_question(origin, destination, locale)).encode(),
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        status, document = self._ask(request)
        if status == 400:
            raise NoRoute("no way between the two places on this map")
        if not isinstance(document, dict) or "trip" not in document:
            raise EngineUnavailable("the routing engine gave no usable answer")
        return _route(document, locale, self._attribution)

    def _ask(self, request: urllib.request.Request) -> tuple[int, Any]:
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                return answer.status, json.loads(answer.read(_ANSWER_BYTES))
        except urllib.error.HTTPError as error:
            with error:
                return error.code, None
        except (OSError, ValueError):
            return 0, None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        return None


def _actor(tiles: Path) -> Any:
    """Valhalla's actor for a tile extract, configured to print nothing."""
    try:
        from valhalla import Actor, get_config
    except ImportError:
        Actor = None
    if Actor is None:
        raise EngineUnavailable("Valhalla is not installed; pip install 'kalos-connect-sdk[valhalla]'")
    if not tiles.is_file():
        raise EngineUnavailable("the map tiles are missing; give the path of a Valhalla tile extract (.tar)")
    config = get_config(tile_extract=str(tiles.absolute()), tile_dir=str(tiles.absolute().parent))
    _silence(config)
    handle, name = tempfile.mkstemp(prefix="kalos-connect-valhalla-", suffix=".json")
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(config, file)
        return Actor(name)  # reads the file now and never again
    finally:
        os.unlink(name)


def _silence(config: dict[str, Any]) -> None:
    """Turn every part's logging off, and the statistics that would go to a port of their own."""
    for part in config.values():
        if isinstance(part, dict) and "logging" in part:
            part["logging"] = {"type": ""}
    config.setdefault("mjolnir", {})["logging"] = {"type": ""}
    config.pop("statsd", None)


def _question(origin: Place, destination: Place, locale: str) -> dict[str, Any]:
    return {
        "locations": [
            {"lat": place.latitude, "lon": place.longitude, "search_cutoff": _SNAP_M} for place in (origin, destination)
        ],
        "costing": "auto",
        "units": "kilometers",
        "language": "en-US" if has(locale) else locale.replace("_", "-"),
    }


def _route(document: dict[str, Any], locale: str, attribution: str) -> Route:
    """Valhalla's answer as a :class:`Route`: told in our own words, or in Valhalla's where it knows the language."""
    trip = document["trip"]
    words: Catalogue | None = catalogue(locale)
    spoken = str(trip.get("language", ""))
    if not has(locale) and spoken.split("-")[0].lower() == locale.replace("_", "-").split("-")[0].lower():
        words = None
    line: list[tuple[float, float]] = []
    manoeuvres: list[Manoeuvre] = []
    for leg in trip["legs"]:
        offset = len(line)
        line += _decoded(leg["shape"])
        manoeuvres += [_manoeuvre(item, offset, words) for item in leg["maneuvers"]]
    if len(line) == 1:
        line *= 2  # a line has two ends, even when one is already there
    return Route(
        distance_m=round(trip["summary"]["length"] * 1000, 1),
        duration_s=round(trip["summary"]["time"], 1),
        locale=words.locale if words is not None else spoken,
        line=tuple(line),
        manoeuvres=tuple(manoeuvres),
        attribution=attribution,
    )


def _manoeuvre(item: dict[str, Any], offset: int, words: Catalogue | None) -> Manoeuvre:
    kind = _KINDS.get(item["type"], "continue")
    exits = item.get("roundabout_exit_count")
    said = item["instruction"] if words is None else words.say(kind, streets=_streets(item, kind), exit_number=exits)
    return Manoeuvre(
        instruction=said,
        kind=kind,
        distance_m=round(item["length"] * 1000, 1),
        duration_s=round(item["time"], 1),
        begin_index=offset + item["begin_shape_index"],
    )


def _streets(item: dict[str, Any], kind: str) -> tuple[str, ...]:
    """The names a driver looks for: a sign where there is one, else the street that begins here."""
    if kind == "roundabout":
        return ()  # its own name helps nobody
    sign = item.get("sign", {})
    for part in ("exit_branch_elements", "exit_toward_elements"):
        if sign.get(part):
            return tuple(element["text"] for element in sign[part])
    return tuple(item.get("begin_street_names") or item.get("street_names") or ())


def _decoded(shape: str) -> list[tuple[float, float]]:
    """(longitude, latitude) pairs of an encoded polyline with six decimals."""
    values, value, shift = [], 0, 0
    for letter in shape:
        bits = ord(letter) - 63
        value |= (bits & 31) << shift
        shift += 5
        if bits < 32:
            values.append(~(value >> 1) if value & 1 else value >> 1)
            value = shift = 0
    line, latitude, longitude = [], 0, 0
    for index in range(0, len(values) - 1, 2):
        latitude += values[index]
        longitude += values[index + 1]
        line.append((longitude / 1e6, latitude / 1e6))
    return line
