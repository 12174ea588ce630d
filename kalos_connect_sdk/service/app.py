"""The reference service as a FastAPI application: HTTP around :class:`~.front.Front`, and nothing else.

Every error, also one of FastAPI's own, is an RFC 9457 problem that quotes nothing of the request; bodies are
bounded while they arrive; the interactive pages are off, since they load scripts from elsewhere.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi import Request as HttpRequest
from fastapi import Response as HttpResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from ..model.notice import Notice
from .contract import API_VERSION, TITLE, contract
from .desk import Desk, Receipt
from .engine import Engine
from .front import MAX_BODY_BYTES, Front, Registered, Request, Response, Withdrawn, answered, refused
from .refusal import Refusal
from .store import Store
from .watch import Watch

__all__ = ["create_app"]

_log = logging.getLogger(__name__)
_PATHS = (
    ("/v1/consents/{record_id}", ("PUT", "GET")),
    ("/v1/consents/{record_id}/withdrawals", ("POST",)),
    ("/v1/positions", ("POST",)),
    ("/v1/routes", ("POST",)),
    ("/v1/requests", ("POST",)),
    ("/v1/requests/{request_id}", ("GET",)),
    ("/v1/notice", ("GET",)),
)
_NAMES = {404: "not-found", 405: "method-not-allowed", 413: "body-too-large"}


def create_app(
    store: Store,
    engine: Engine | None = None,
    *,
    observe: bool = False,
    notice: Notice | None = None,
    region: str | None = None,
    enrolment_token: str | None = None,
    now_s: Callable[[], float] = time.time,
) -> FastAPI:
    """The Connect Location API v1 over ``store``.

    ``engine``: makes routes; without one ``POST /v1/routes`` answers 503. ``observe``: also serve counts for each
    record at ``/observed``, to measure silence in demonstrations; never on a service that people use. ``notice``:
    published at ``/v1/notice``. ``region``: ISO 3166 code of where the service stands (R16). ``enrolment_token``:
    what registering takes besides a signature. ``now_s``: seconds since 1970.
    """
    desk = Desk(store, now_s=now_s, notice=notice, region=region, enrolment_token=enrolment_token)
    watch = Watch() if observe else None
    serve = _Door(Front(desk, engine), desk, watch).serve
    app = FastAPI(title=TITLE, version=API_VERSION, docs_url=None, redoc_url=None)
    app.openapi = contract  # type: ignore[method-assign]
    app.add_exception_handler(HTTPException, _as_problem)
    for path, methods in _PATHS:
        app.add_api_route(path, serve, methods=list(methods))
    if watch is not None:
        _observe(app, watch, desk)
    return app


class _Door:
    """One endpoint for every path: the front knows them all."""

    def __init__(self, front: Front, desk: Desk, watch: Watch | None) -> None:
        self._front = front
        self._desk = desk
        self._watch = watch

    async def serve(self, request: HttpRequest) -> HttpResponse:
        """Read the body, ask the front, answer."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        watched = self._watched(request.url.path, headers)
        try:
            body = await self._body(request, headers, watched)
        except Refusal as refusal:
            return _http(refused(refusal), close=True)
        except ClientDisconnect:
            return HttpResponse(status_code=400)  # nobody is there to read it
        asked = Request(request.method, request.scope["path"], request.url.query, headers, body)
        answer = await run_in_threadpool(self._answer, asked)
        if self._watch is not None:
            _count(self._watch, answer)
        return _http(answer)

    def _answer(self, asked: Request) -> Response:
        try:
            return self._front.answer(asked)
        except Exception as error:
            _log.error("request failed: %s", type(error).__name__)  # R10: the name and no more
        return refused(Refusal(500, "internal-error"))

    def _watched(self, path: str, headers: dict[str, str]) -> str | None:
        if self._watch is None or path != "/v1/positions":
            return None
        record_id = self._desk.owner_of(headers.get("authorization")) or "unknown"
        self._watch.request(record_id)
        return record_id

    async def _body(self, request: HttpRequest, headers: dict[str, str], watched: str | None) -> bytes:
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > MAX_BODY_BYTES:
            raise Refusal(413, "body-too-large")
        pieces, size = [], 0
        async for piece in request.stream():
            if self._watch is not None and watched is not None:
                self._watch.received(watched, len(piece))
            pieces.append(piece)
            size += len(piece)
            if size > MAX_BODY_BYTES:
                raise Refusal(413, "body-too-large")
        return b"".join(pieces)


def _count(watch: Watch, answer: Response) -> None:
    if isinstance(answer.effect, Withdrawn):
        watch.withdrawn(answer.effect.record_id)
    elif isinstance(answer.effect, Registered):
        watch.granted(answer.effect.record_id)
    elif isinstance(answer.effect, Receipt) and answer.effect.new:
        watch.accepted(answer.effect.new[0].record_id, len(answer.effect.new))


def _http(answer: Response, *, close: bool = False) -> HttpResponse:
    headers = {**answer.headers, **({"Connection": "close"} if close else {})}
    return HttpResponse(answer.body, answer.status, headers)


async def _as_problem(request: HttpRequest, error: Exception) -> HttpResponse:
    """A refusal of the framework (no such path, wrong method) in the service's own form."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 405:
        known = dict(_PATHS)
        methods = next((list(known[path]) for path in known if _fits(path, request.url.path)), ["GET"])
        return _http(refused(Refusal(405, "method-not-allowed", allow=methods)))
    return _http(refused(Refusal(status, _NAMES.get(status, "malformed-request"))))


def _fits(template: str, path: str) -> bool:
    pieces, parts = template.split("/"), path.split("/")
    return len(pieces) == len(parts) and all(
        piece.startswith("{") or piece == part for piece, part in zip(pieces, parts, strict=True)
    )


def _observe(app: FastAPI, watch: Watch, desk: Desk) -> None:
    def observed() -> HttpResponse:
        kept = {record_id: desk.kept(record_id) for record_id in watch.records()}
        return _http(answered(200, watch.document(kept)))

    def mark() -> HttpResponse:
        watch.mark()
        return HttpResponse(status_code=204)

    endpoints: dict[str, tuple[str, Any]] = {"/observed": ("GET", observed), "/observed/mark": ("POST", mark)}
    for path, (method, endpoint) in endpoints.items():
        app.add_api_route(path, endpoint, methods=[method], include_in_schema=False)
