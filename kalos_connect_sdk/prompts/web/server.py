"""A small HTTP server on 127.0.0.1 for pages of our own: the prompt, and the consent centre.

Other programs of this machine, other local users and every web page in a browser can reach a loopback port, so:

- A link works once. The page it answers with carries a key of its own, and every later request must show it in a
  header or a form field; there is no cookie, since a browser would send that to every other port as well.
- ``Host`` must be the literal address and port (DNS rebinding), ``Origin`` our own wherever a browser sends one, and a
  request that a browser marks as coming from another site, or as a frame, is refused before it uses up a link.
- A strict content security policy: nothing from elsewhere, no frames, no inline script or style; nothing is cached.
- On Linux only programs of our own user are answered, unless the app says that its web view is another's.
- Bodies are small and requests short-lived, and an error quotes nothing of the request (R10).
- Of connections that have shown neither a link nor a key only the newest few are kept: whoever opens many keeps no
  reader out, and leaves this program its descriptors and threads, which a withdrawal needs too (R11).
"""

from __future__ import annotations

import hmac
import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs

from .peers import is_stranger

__all__ = ["Answer", "Asked", "Page", "PageServer"]

_MAX_BODY: Final = 4096
_TIMEOUT_S: Final = 40.0
_LOOKS_S: Final = 0.05  # how long an answered question may wait for its server to end
_STRANGERS: Final = 32
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), camera=(), microphone=()",
    "Cache-Control": "no-store",
}
KEY_HEADER: Final = "X-Kalos-Key"
KEY_FIELD: Final = "key"


@dataclass(frozen=True, slots=True, repr=False)
class Asked:
    """A request that has shown the key of its page. ``fields``: of the form, each once. ``scripted``: the page's script
    asks, which wants a text and no page."""

    method: str
    path: str
    fields: Mapping[str, str] = field(default_factory=dict)
    scripted: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """What a page answers."""

    body: str | bytes
    media_type: str = "text/html; charset=utf-8"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class Page:
    """One page: the document behind its link, and what its later requests get.

    ``document(key)``: called once, when the link is opened. ``handle(asked)``: every request that shows the key;
    ``None`` is a 404. Both run on a thread of the server.
    """

    def __init__(self, document: Callable[[str], Answer], handle: Callable[[Asked], Answer | None]) -> None:
        self.document = document
        self.handle = handle
        self.link = secrets.token_urlsafe(32)
        self.key = secrets.token_urlsafe(32)
        self.opened = False
        self.lock = threading.Lock()

    def __repr__(self) -> str:
        return "<Page>"  # R10: link and key are secrets


class PageServer:
    """Serves pages between :meth:`add` and :meth:`remove`; listens only while there is one."""

    def __init__(self, assets: Mapping[str, tuple[str, bytes]], *, same_user: bool = True) -> None:
        """``assets``: path -> (media type, content), the same for every page and no secret. ``same_user``: answer
        programs of this user only, where the system tells."""
        self.assets = assets
        self.same_user = same_user
        self._pages: list[Page] = []
        self._lock = threading.Lock()
        self._server: _Listener | None = None

    def add(self, page: Page) -> str:
        """The link that opens ``page``, once. Raises ``OSError`` when no port can be had."""
        with self._lock:
            if self._server is None:
                self._server = _Listener(self)
                serve = self._server.serve_forever
                threading.Thread(target=serve, args=(_LOOKS_S,), name="kalos-pages", daemon=True).start()
            self._pages.append(page)
            return f"{self._server.origin}/open/{page.link}"

    def remove(self, page: Page) -> None:
        """Its link and its key open nothing any more."""
        with self._lock:
            server = self._server if self._pages in ([], [page]) else None
            if server is not None:
                server.over, self._server = True, None
            if page in self._pages:
                self._pages.remove(page)
        if server is not None:
            server.shutdown()
            server.server_close()

    def by_link(self, link: str) -> Page | None:
        """The page of a link, opened or not."""
        with self._lock:
            pages = list(self._pages)
        return next((page for page in pages if hmac.compare_digest(page.link.encode(), link.encode())), None)

    def by_key(self, key: str) -> Page | None:
        """The page of a key; only a page that was opened has told its key to anybody."""
        with self._lock:
            pages = [page for page in self._pages if page.opened]
        return next((page for page in pages if hmac.compare_digest(page.key.encode(), key.encode())), None)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = False
    request_queue_size = 64  # a crowd waits in the queue, not for the kernel to try again after seconds

    def __init__(self, pages: PageServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages = pages
        self.over = False
        """It has no page left and is about to stop."""
        self._strangers: dict[Any, None] = {}
        self._lock = threading.Lock()
        self.authority = f"127.0.0.1:{self.server_address[1]}"
        self.origin = f"http://{self.authority}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """A new connection is a stranger's; of too many, the oldest is cut."""
        with self._lock:
            self._strangers[request] = None
            oldest = next(iter(self._strangers)) if len(self._strangers) > _STRANGERS else None
            if oldest is not None:
                del self._strangers[oldest]
        if oldest is not None:
            with suppress(OSError):
                oldest.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """It is over."""
        self.know(request)
        super().shutdown_request(request)

    def know(self, request: Any) -> None:
        """It has shown a link or a key."""
        with self._lock:
            self._strangers.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away is no error, and nothing of a request is printed (R10)."""


class _Handler(BaseHTTPRequestHandler):
    server: _Listener
    timeout = _TIMEOUT_S
    server_version = "kalos-connect"
    sys_version = ""

    def do_GET(self) -> None:
        refusal = self._refusal()
        if refusal is not None:
            self._say(refusal)
        elif self.path in self.server.pages.assets:
            media_type, content = self.server.pages.assets[self.path]
            self._say(Answer(content, media_type))
        elif self.path.startswith("/open/"):
            self._open(self.path.removeprefix("/open/"))
        else:
            self._handle({})

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _MAX_BODY or "Transfer-Encoding" in self.headers:
            self._say(_plain(413, "too large"))
            return
        body = self.rfile.read(int(length))
        refusal = self._refusal()
        if refusal is None and self.headers.get("Origin") != self.server.origin:
            refusal = _plain(403, "not from this page")
        if refusal is not None:
            self._say(refusal)
            return
        try:
            read = parse_qs(body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=16)
        except ValueError:
            self._say(_plain(400, "not a form"))
            return
        self._handle({name: values[0] for name, values in read.items() if len(values) == 1})

    def _refusal(self) -> Answer | None:
        """Why a request cannot have come from a page of ours, whatever it shows."""
        if self.headers.get_all("Host") != [self.server.authority]:
            return _plain(421, "not this host")
        if self.headers.get("Origin", self.server.origin) != self.server.origin:
            return _plain(403, "not from this page")
        if self.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            return _plain(403, "not from this page")
        if self.headers.get("Sec-Fetch-Dest", "document") in ("iframe", "frame", "embed", "object"):
            return _plain(403, "not in a frame")
        if self.server.pages.same_user and is_stranger(self.client_address, self.connection.getsockname()):
            return _plain(403, "a program of another user; see same_user")
        return None

    def _open(self, link: str) -> None:
        page = self.server.pages.by_link(link)
        if page is None:
            self._say(_plain(404, "not found"))
            return
        self.server.know(self.connection)
        with page.lock:
            first, page.opened = not page.opened, True
        self._say(page.document(page.key) if first else _plain(410, "this link was used already"))

    def _handle(self, fields: dict[str, str]) -> None:
        shown = self.headers.get(KEY_HEADER)
        key = shown or fields.pop(KEY_FIELD, "")
        page = self.server.pages.by_key(key)
        if page is None and key and self.server.over:
            self.close_connection = True  # as a moment later, when nobody listens: not "forbidden", but gone
            return
        if page is None:
            self._say(_plain(403 if key else 404, "not found"))
            return
        self.server.know(self.connection)
        self._say(page.handle(Asked(self.command, self.path, fields, shown is not None)) or _plain(404, "not found"))

    def _say(self, answer: Answer) -> None:
        body = answer.body if isinstance(answer.body, bytes) else answer.body.encode()
        self.send_response(answer.status)
        for name, value in {**_HEADERS, **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", answer.media_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged: a request line holds a link (R10)."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the standard library refuses by itself, in our form."""
        self._say(_plain(code, "refused"))


def _plain(status: int, text: str) -> Answer:
    return Answer(text + "\n", "text/plain; charset=utf-8", status)
