"""Real HTTP servers in the place of navigation providers, plain or over TLS: they keep what they are asked."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["Asked", "ProviderStandIn"]


@dataclass(frozen=True)
class Asked:
    """One request, as it came over the wire."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Reply = tuple[int, bytes]


@dataclass
class ProviderStandIn:
    """A context manager. ``reply`` makes the answer to each request; ``stall``: until :meth:`let_go` none is given.

    Over TLS it is called ``localhost``: a name is no literal loopback address, so that it counts as somebody elsewhere.
    """

    reply: Callable[[Asked], Reply]
    tls: ssl.SSLContext | None = None
    asked: list[Asked] = field(default_factory=list)
    stall: bool = False

    def __post_init__(self) -> None:
        self._came = threading.Condition()
        self._go = threading.Event()
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status, said = stand_in._answer(Asked(self.command, self.path, headers, body))
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            do_GET = do_POST = _serve

            def log_message(self, *_: object) -> None:
                """Silent."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """A client that hangs up is what some tests are about."""

        self._server = Server(("127.0.0.1", 0), Handler)
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        host, port = ("localhost" if self.tls else "127.0.0.1"), self._server.server_address[1]
        return f"{'https' if self.tls else 'http'}://{host}:{port}"

    def _answer(self, asked: Asked) -> Reply:
        with self._came:
            self.asked.append(asked)
            self._came.notify_all()
        if self.stall:
            self._go.wait(60)
        return self.reply(asked)

    def wait_for_a_question(self, count: int = 1) -> bool:
        with self._came:
            return self._came.wait_for(lambda: len(self.asked) >= count, 30)

    def let_go(self) -> None:
        self._go.set()

    def __enter__(self) -> ProviderStandIn:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
