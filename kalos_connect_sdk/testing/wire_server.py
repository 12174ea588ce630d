"""HTTP/1.1 over the standard library, for the emulator: keep-alive, chunked bodies, and an end that cuts.

``http.server`` alone would go on serving kept-alive connections after it was closed, and would print the
traceback of every aborted request; a test that aborts requests needs neither.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import TCPServer
from typing import Any
from urllib.parse import urlsplit

from ..service.front import MAX_BODY_BYTES, Response, refused
from ..service.refusal import Refusal

__all__ = ["WireServer"]

Entry = dict[str, Any]
Handle = Callable[[Entry, Callable[[], bytes]], Response | None]


class WireServer:
    """Serves ``handle`` on 127.0.0.1 until :meth:`close`; ``note`` hears of every request head."""

    def __init__(self, port: int, handle: Handle, note: Callable[[Entry], None]) -> None:
        self.errors: list[BaseException] = []
        """Errors of ``handle``, which are the emulator's own. A client that hangs up is none."""
        self._open: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()
        self._http = _Http(("127.0.0.1", port), _Handler, self, handle, note)
        self.port: int = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self, release: Callable[[], None]) -> None:
        """Listen no more, cut every connection, ``release`` what is stalled, and return when no thread serves."""
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
        with self._lock:
            connections = dict(self._open)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        release()
        for thread in connections.values():
            thread.join()

    def opened(self, connection: socket.socket, thread: threading.Thread) -> None:
        """A connection was accepted; ``thread`` is going to serve it."""
        with self._lock:
            self._open[connection] = thread

    def closed(self, connection: socket.socket) -> None:
        """A connection is about to be closed."""
        with self._lock:
            self._open.pop(connection, None)


class _Http(HTTPServer):
    request_queue_size = 128

    def __init__(
        self,
        address: tuple[str, int],
        handler: type[BaseHTTPRequestHandler],
        owner: WireServer,
        handle: Handle,
        note: Callable[[Entry], None],
    ) -> None:
        self.owner, self.handle, self.note = owner, handle, note
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """As TCPServer binds: HTTPServer would look the address's name up besides."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(target=self._converse, args=(request, client_address), daemon=True)
        self.owner.opened(request, thread)
        thread.start()

    def _converse(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except Exception:
            self.handle_error(request, client_address)
        finally:
            self.owner.closed(request)
            self.shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, (ConnectionError, TimeoutError)):
            self.owner.errors.append(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Http

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed (R10)."""

    def version_string(self) -> str:
        return "kalos-connect-emulator"

    def _serve(self) -> None:
        target = urlsplit(self.path)
        entry: Entry = {
            "method": self.command,
            "path": target.path,
            "query": target.query,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "bytes": 0,
            "t": time.monotonic(),
            "t_read": None,
            "status": None,
        }
        self.server.note(entry)
        try:
            answer = self.server.handle(entry, lambda: self._body(entry))
        except Refusal as refusal:
            entry["status"] = refusal.status
            answer = refused(refusal)
        if entry["t_read"] is None or answer is None:
            self.close_connection = True  # what is unread would be taken for the next request
        if answer is not None:
            self._send(answer)

    do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = _serve

    def _send(self, answer: Response) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        if answer.status != 304:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if answer.body and answer.status != 304 and self.command != "HEAD":
            self.wfile.write(answer.body)

    def _body(self, entry: Entry) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return b"".join(self._chunks(entry))
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal():
            raise Refusal(400, "malformed-request")
        if int(length) > MAX_BODY_BYTES:
            raise Refusal(413, "body-too-large")
        return self._exactly(int(length), entry)

    def _chunks(self, entry: Entry) -> Iterator[bytes]:
        while True:
            try:
                size = int(self.rfile.readline(32).partition(b";")[0], 16)
            except ValueError:
                raise ConnectionAbortedError from None
            piece = self._exactly(size, entry)
            self._exactly(2, None)
            if not size:
                return
            if entry["bytes"] > MAX_BODY_BYTES:
                raise Refusal(413, "body-too-large")
            yield piece

    def _exactly(self, length: int, entry: Entry | None) -> bytes:
        pieces = []
        while length:
            piece = self.rfile.read1(min(length, 65536))
            if not piece:
                raise ConnectionAbortedError  # the client is gone in the middle of a body
            pieces.append(piece)
            length -= len(piece)
            if entry is not None:
                entry["bytes"] += len(piece)
        return b"".join(pieces)
