"""Our own service as a provider: one question about a route, with or without the device's consent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..core.wire import problem_from, route_from_geojson, route_request
from ..errors import ServiceRefused
from ..model.position import Place
from ..model.route import Route, RouteQuestion
from .answers import document, read

__all__ = ["ConnectService"]


@dataclass(frozen=True, slots=True)
class ConnectService:
    """The Connect service at ``url``, made for one request. ``consent`` and ``token`` belong to an origin that is the
    device's position; between two typed places there are none (R19)."""

    url: str
    recipient: str = ""
    region: str | None = None
    consent: Mapping[str, Any] | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    def question(self, origin: Place, to: Place, locale: str) -> RouteQuestion:
        """``POST /v1/routes``."""
        body = route_request(origin, to, locale, self.consent)
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        data = json.dumps(body, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
        return RouteQuestion("POST", self.url + "/v1/routes", headers, data)

    def answer(self, status: int, headers: Mapping[str, str], body: bytes, locale: str) -> Route:
        """The way, or :class:`TransportError`; of a problem its name and status."""
        if not 200 <= status < 300:
            raise ServiceRefused(problem_from(status, headers, body))
        return read(lambda: route_from_geojson(document(body)))
