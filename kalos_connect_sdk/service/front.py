"""The front: one request in, one answer out, for any HTTP server (section 7).

Every error is an RFC 9457 problem that quotes nothing of the request (R10), bodies are bounded before and
after inflation, and no answer sets a cookie or redirects.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, unquote

from ..core.wire import (
    GEOJSON_TYPE,
    PROBLEM_TYPE,
    MalformedDocument,
    OversizedDocument,
    RouteRequest,
    parse_route_request,
    route_to_geojson,
    strict_json,
)
from ..model.route import Route
from .bulletin import notice_document
from .desk import Desk, Receipt
from .engine import Engine, EngineUnavailable, NoRoute
from .refusal import Refusal

__all__ = ["MAX_BODY_BYTES", "Front", "Registered", "Request", "Response", "Withdrawn"]

MAX_BODY_BYTES: Final = 4 * 1024 * 1024
"""Of a body as sent, and of what it inflates to."""
_DOCUMENT_BYTES: Final = 256 * 1024
_JSON: Final = "application/json"
_CONSENT: Final = re.compile(r"/v1/consents/([^/]{1,200})", re.ASCII)
_REQUEST: Final = re.compile(r"/v1/requests/([^/]{1,200})", re.ASCII)
_WITHDRAWALS: Final = re.compile(r"/v1/consents/([^/]{1,200})/withdrawals", re.ASCII)


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """A request after HTTP: header names in lower case, ``body`` as sent."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def __repr__(self) -> str:
        return f"<Request {self.method}>"  # R10


@dataclass(frozen=True, slots=True, repr=False)
class Response:
    """An answer before HTTP. ``effect``: what the request changed, for those who watch (the emulator, tests)."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    effect: Any = None

    def __repr__(self) -> str:
        return f"<Response {self.status}>"


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The effect of a withdrawal notice: a consent ended at the service, once."""

    record_id: str
    notice_id: str
    epoch: int
    dropped: int
    withdrawn_at: str | None
    public_key: str


@dataclass(frozen=True, slots=True)
class Registered:
    """The effect of a registration: the record has a grant in force."""

    record_id: str


class Front:
    """Answers requests with a desk and, when there is one, a routing engine. Safe from several threads."""

    def __init__(self, desk: Desk, engine: Engine | None = None) -> None:
        self._desk = desk
        self._engine = engine

    def answer(self, request: Request) -> Response:
        """The answer, whatever the request; refusals are problems."""
        try:
            return self._dispatch(request)
        except Refusal as refusal:
            return refused(refusal)

    def _dispatch(self, request: Request) -> Response:
        method, path = request.method, request.path
        if match := _WITHDRAWALS.fullmatch(path):
            _only(method, "POST")
            return self._withdraw(unquote(match[1]), request)
        if match := _CONSENT.fullmatch(path):
            _only(method, "PUT", "GET")
            record_id = unquote(match[1])
            return self._register(record_id, request) if method == "PUT" else self._status(record_id, request)
        if path == "/v1/positions":
            _only(method, "POST")
            return self._positions(request)
        if path == "/v1/routes":
            _only(method, "POST")
            return self._route(request)
        if path == "/v1/requests":
            _only(method, "POST")
            return answered(*self._desk.ask(_document(request)))
        if match := _REQUEST.fullmatch(path):
            _only(method, "GET")
            return answered(200, self._desk.case(unquote(match[1]), _authorization(request)))
        if path == "/v1/notice":
            _only(method, "GET")
            return self._notice(request)
        raise Refusal(404, "not-found")

    def _register(self, record_id: str, request: Request) -> Response:
        status, body = self._desk.register(record_id, _document(request), authorization=_authorization(request))
        return answered(status, body, effect=Registered(record_id))

    def _status(self, record_id: str, request: Request) -> Response:
        body, tag = self._desk.status(record_id, _authorization(request))
        headers = {"ETag": tag}
        asked = request.headers.get("if-none-match", "")
        if tag in (part.strip().removeprefix("W/") for part in asked.split(",")):
            return Response(304, headers, b"")
        return answered(200, body, headers=headers)

    def _withdraw(self, record_id: str, request: Request) -> Response:
        document = _document(request)
        body, effect = self._desk.withdraw(record_id, document)
        done = Withdrawn(
            record_id=record_id,
            notice_id=document["notice_id"],
            epoch=body["epoch"],
            dropped=body["dropped"],
            withdrawn_at=document.get("withdrawn_at"),
            public_key=document["public_key"],
        )
        return answered(200, body, effect=done if effect else None)

    def _positions(self, request: Request) -> Response:
        _expect(request, GEOJSON_TYPE)
        receipt: Receipt = self._desk.positions(
            inflate(request.body, request.headers.get("content-encoding")),
            authorization=_authorization(request),
            key=request.headers.get("idempotency-key"),
        )
        return answered(202, receipt.document(), effect=receipt)

    def _route(self, request: Request) -> Response:
        asked = _route_request(_document(request))
        self._desk.may_route(asked, _authorization(request))
        if self._engine is None:
            raise Refusal(503, "routing-unavailable", retry_after_s=3600)
        refusal: Refusal | None = None
        route: Route | None = None
        try:
            route = self._engine.route(asked.origin, asked.destination, asked.locale)
        except NoRoute:
            refusal = Refusal(422, "no-route")
        except EngineUnavailable:
            refusal = Refusal(503, "routing-unavailable", retry_after_s=60)
        if refusal is not None or route is None:
            raise refusal or Refusal(422, "no-route")
        return answered(200, route_to_geojson(route), media_type=GEOJSON_TYPE)

    def _notice(self, request: Request) -> Response:
        if self._desk.notice is None:
            raise Refusal(404, "no-notice")
        locale = parse_qs(request.query).get("locale", [None])[0]
        return answered(200, notice_document(self._desk.notice, locale, self._desk.change))


def answered(
    status: int,
    document: Any,
    *,
    media_type: str = _JSON,
    headers: Mapping[str, str] | None = None,
    effect: Any = None,
) -> Response:
    """An answer with a JSON body; nothing of it may be kept by a cache on the way."""
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    return Response(status, {"Content-Type": media_type, "Cache-Control": "no-store", **(headers or {})}, body, effect)


def refused(refusal: Refusal) -> Response:
    """A refusal as a problem, with the headers its status calls for."""
    headers = {}
    if refusal.retry_after_s is not None:
        headers["Retry-After"] = str(refusal.retry_after_s)
    if refusal.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if refusal.status == 405:
        headers["Allow"] = ", ".join(refusal.members["allow"])
    return answered(refusal.status, refusal.document(), media_type=PROBLEM_TYPE, headers=headers)


def inflate(body: bytes, encoding: str | None) -> bytes:
    """The body without its content coding, bounded. Raises :class:`Refusal` 413, 415 or 422."""
    coding = (encoding or "identity").strip().lower()
    if coding not in ("identity", "gzip"):
        raise Refusal(415, "unsupported-encoding")
    if len(body) > MAX_BODY_BYTES:
        raise Refusal(413, "body-too-large")
    if coding == "identity":
        return body
    machine = zlib.decompressobj(wbits=31)
    plain, whole = b"", False
    try:
        plain = machine.decompress(body, MAX_BODY_BYTES + 1)
        whole = machine.eof and not machine.unused_data
    except zlib.error:
        pass
    if len(plain) > MAX_BODY_BYTES:
        raise Refusal(413, "body-too-large")
    if not whole:
        raise Refusal(422, "malformed-document", member="body")
    return plain


def _document(request: Request) -> dict[str, Any]:
    """The JSON object a request carries."""
    _expect(request, _JSON)
    refusal: Refusal | None = None
    document: Any = None
    try:
        plain = inflate(request.body, request.headers.get("content-encoding"))
        document = strict_json(plain, max_bytes=_DOCUMENT_BYTES, max_depth=24)
    except OversizedDocument:
        refusal = Refusal(413, "body-too-large")
    except MalformedDocument:
        refusal = Refusal(422, "malformed-document", member="body")
    if refusal is not None:
        raise refusal
    if not isinstance(document, dict):
        raise Refusal(422, "malformed-document", member="body")
    return document


def _route_request(document: Any) -> RouteRequest:
    asked: RouteRequest | None = None
    try:
        asked = parse_route_request(document)
    except MalformedDocument:
        pass
    if asked is None:
        raise Refusal(422, "malformed-document", member="body")
    return asked


def _expect(request: Request, media_type: str) -> None:
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent != media_type:
        raise Refusal(415, "unsupported-media-type", expected=media_type)


def _only(method: str, *allowed: str) -> None:
    if method not in allowed:
        raise Refusal(405, "method-not-allowed", allow=list(allowed))


def _authorization(request: Request) -> str | None:
    return request.headers.get("authorization")
