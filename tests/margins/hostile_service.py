"""A Connect service gone bad: it registers like a real one, then says everything it was told back, wherever it can."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["MOODS", "HostileService"]

ACCESS_TOKEN = "canary-access-token-Zk3vQ9wLr7"


def _problem(handler: _Handler, status: int, body: str, **headers: str) -> None:
    """A problem document with the request in every member, in the reason phrase and in headers."""
    flat = " ".join(body.split())[:2000]
    document = {
        "type": f"https://example.org/problems/{flat[:200]}",
        "title": flat,
        "detail": body,
        "instance": "/" + flat[:100],
        "status": status,
        "errors": [body],
        body[:100]: body,
    }
    handler.answer(status, json.dumps(document).encode(), reason=flat[:500], **headers)


def _echo(status: int):
    def mood(handler: _Handler, body: str) -> None:
        flat = " ".join(body.split())[:500]
        _problem(
            handler,
            status,
            body,
            **{"Retry-After": flat, "Location": f"/v1/positions?q={flat}", "ETag": f'"{flat}"', "Set-Cookie": flat},
        )

    return mood


def _redirect(handler: _Handler, body: str) -> None:
    place = f"http://127.0.0.1:{handler.server.server_address[1]}/elsewhere?where={' '.join(body.split())[:500]}"
    handler.answer(308, body.encode(), Location=place)


def _cookies(handler: _Handler, body: str) -> None:
    handler.answer(500, body.encode(), **{"Set-Cookie": f"where={' '.join(body.split())[:500]}; Path=/"})


def _garbage(handler: _Handler, body: str) -> None:
    handler.wfile.write(body.encode() + b"\r\n\r\n" + body.encode())
    handler.close_connection = True


def _not_json(handler: _Handler, body: str) -> None:
    handler.answer(400, b"{" + body.encode())


def _cut(handler: _Handler, body: str) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body) + 100))
    handler.end_headers()
    handler.wfile.write(body.encode())
    handler.close_connection = True


def _chunks(handler: _Handler, body: str) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(body.encode() + b"\r\n")
    handler.close_connection = True


def _hang_up(handler: _Handler, body: str) -> None:
    with contextlib.suppress(OSError):
        handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def _encoded(handler: _Handler, body: str) -> None:
    handler.answer(200, gzip.compress(body.encode()), **{"Content-Encoding": "gzip"})


def _headers(handler: _Handler, body: str) -> None:
    flat = " ".join(body.split())
    handler.answer(200, b"{}", **{f"X-{number}-{flat[:50].replace(':', '')}": flat for number in range(120)})


MOODS: dict[str, Any] = {
    **{f"echo {status}": _echo(status) for status in (400, 401, 404, 413, 422, 429, 500, 503)},
    "redirect": _redirect,
    "cookies": _cookies,
    "garbage": _garbage,
    "not json": _not_json,
    "cut": _cut,
    "broken chunks": _chunks,
    "hang up": _hang_up,
    "encoded": _encoded,
    "too many headers": _headers,
}
"""How it answers positions and routes. All but 403, 409 and 410, which end the grant."""

ENDINGS = {f"echo {status}": _echo(status) for status in (403, 409, 410)}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _serve(self) -> None:
        service = self.server.service
        if service.cut_after is not None and self.path.startswith(("/v1/positions", "/v1/routes")):
            self.rfile.read(service.cut_after)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            return
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        text = (gzip.decompress(raw) if self.headers.get("Content-Encoding") == "gzip" else raw).decode()
        service.heard.append((f"{self.requestline}\r\n{self.headers}".encode(), text.encode()))
        mood = service.mood
        if mood is not None and (self.path.startswith(("/v1/positions", "/v1/routes")) or service.everything):
            {**MOODS, **ENDINGS}[mood](self, text + str(self.headers.get("Authorization")))
        elif self.command == "PUT":
            service.epoch = json.loads(text)["epoch"]
            self.answer(201, json.dumps({"access_token": ACCESS_TOKEN, "encodings": service.encodings}).encode())
        elif self.path.endswith("/withdrawals"):
            self.answer(200, json.dumps({"epoch": json.loads(text)["epoch"], "dropped": 1}).encode())
        elif self.path.startswith("/v1/positions"):
            self.answer(202, b'{"accepted": 1, "rejected": []}')
        elif self.path.startswith("/v1/consents"):
            self.answer(200, json.dumps({"record_id": "x", "status": "given", "epoch": service.epoch}).encode())
        else:
            self.answer(404, b"{}")

    do_GET = do_PUT = do_POST = _serve

    def answer(self, status: int, body: bytes, reason: str | None = None, **headers: str) -> None:
        self.send_response(status, reason)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    service: HostileService

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class HostileService:
    """At :attr:`url` inside ``with``. ``mood``: how it treats positions and routes (``None``: well); ``everything``: also
    the rest; ``cut_after``: bytes of a body after which it resets the connection. ``heard``: (head, body without compression) of every request. ``context``: for TLS."""

    def __init__(self, context: Any = None, encodings: tuple[str, ...] = ("gzip",)) -> None:
        self.mood: str | None = None
        self.everything = False
        self.cut_after: int | None = None
        self.epoch = 0
        self.encodings = list(encodings)
        self.heard: list[tuple[bytes, bytes]] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.service = self
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.url = f"https://localhost:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> HostileService:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
