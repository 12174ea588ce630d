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

from ..core.strict_json import MalformedDocument
from ..errors import ServiceRefused, TransportError
from ..model.position import Place
from ..model.route import Route
from ..navigation.answers import ANSWER_MAX_BYTES
from ..navigation.valhalla import ATTRIBUTION, asked, heard, told
from .engine import EngineUnavailable, NoRoute

__all__ = ["HELSINKI", "EmbeddedValhalla", "HttpValhalla"]

HELSINKI: Final = Path(__file__).with_name("data") / "helsinki.tar"
"""Prebuilt tiles of the centre of Helsinki, 2019; ``data/README.md`` says how they were made."""
_TIMEOUT_S: Final = 8.0


class EmbeddedValhalla:
    """Valhalla in this process over a tile extract. Raises :class:`EngineUnavailable` when it cannot be opened."""

    def __init__(self, tiles: str | os.PathLike[str] = HELSINKI, *, attribution: str = ATTRIBUTION) -> None:
        self._attribution = attribution
        self._lock = threading.Lock()
        self._actor = _actor(Path(tiles))

    def route(self, origin: Place, destination: Place, locale: str) -> Route:
        """A car's way. Raises :class:`NoRoute`: off the map, or not connected."""
        question = json.dumps(asked(origin, destination, locale))
        text: str | None = None
        with self._lock:
            try:
                text = self._actor.route(question)
            except RuntimeError:
                pass  # every refusal of Valhalla, whose text may name places
        if text is None:
            raise NoRoute("no way between the two places on this map")
        route: Route | None = None
        try:
            route = told(json.loads(text), locale, self._attribution)
        except MalformedDocument:
            pass
        if route is None:
            raise EngineUnavailable("the routing engine gave no usable answer")
        return route


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
            data=json.dumps(asked(origin, destination, locale)).encode(),
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        status, body = self._ask(request)
        problem: object = None
        try:
            return heard(status, {}, body, locale, self._attribution)
        except ServiceRefused as refused:
            problem = refused.problem["status"]
        except TransportError:
            pass
        if problem == 422:
            raise NoRoute("no way between the two places on this map")
        raise EngineUnavailable("the routing engine gave no usable answer")

    def _ask(self, request: urllib.request.Request) -> tuple[int, bytes]:
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                return answer.status, answer.read(ANSWER_MAX_BYTES + 1)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(ANSWER_MAX_BYTES + 1)
        except (OSError, ValueError):
            return 0, b""


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
