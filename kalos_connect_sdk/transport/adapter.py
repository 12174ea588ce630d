"""``requests`` with everything taken away that a position must not meet.

There is no ``Session``: it would bring a cookie jar, redirects, ``.netrc`` and the environment's proxies and
CA bundles. The adapter alone sends exactly what it is given, once, to the verified peer or not at all.
The TLS context is built by hand: the stock ones read ``SSL_CERT_FILE`` and write keys to ``SSLKEYLOGFILE``.

This module is imported with the first request, because importing ``requests`` costs 100 ms.
"""

from __future__ import annotations

import http.client
import ssl
import time
from typing import TYPE_CHECKING, Any, Final

from requests.adapters import HTTPAdapter
from requests.hooks import default_hooks
from requests.models import PreparedRequest
from requests.structures import CaseInsensitiveDict
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util import SKIP_HEADER

from .sockets import PIECE_BYTES, GuardedTlsSocket, current_voyage, open_socket

if TYPE_CHECKING:
    import socket

    from .lifeline import Lifeline

__all__ = ["DoorAdapter", "tls_context"]

_IDLE_S: Final = 30.0
"""A connection idle for longer is not used again: carriers forget theirs silently, and a send would hang."""


def tls_context(ca_bundle: str | None) -> ssl.SSLContext:
    """TLS 1.2 or newer, verified against ``ca_bundle`` or the bundle of ``requests``. Raises ``OSError``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies chain and host name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cafile=ca_bundle or DEFAULT_CA_BUNDLE_PATH)
    context.sslsocket_class = GuardedTlsSocket
    return context


class _Reply(http.client.HTTPResponse):
    """Reads an answer, or says that it is none, where the standard library would guess.

    A guess is not only wrong about the answer: what it leaves on the connection would be taken for the answer to the
    next request. And of a head that does not parse, urllib3 would log the pieces, which may hold a token (R10).
    """

    def begin(self) -> None:
        super().begin()
        sizes = len(self.headers.get_all("content-length", ())) + len(self.headers.get_all("transfer-encoding", ()))
        codings = self.headers.get("transfer-encoding", "chunked").strip().lower()
        odd = self.headers.defects or self.headers.get_payload()
        if self.status < 200 or sizes > 1 or codings != "chunked" or odd:
            self._close_conn()  # type: ignore[attr-defined]
            raise http.client.HTTPException

    def _read_next_chunk_size(self) -> int:
        size = int(super()._read_next_chunk_size())  # type: ignore[misc]
        if size < 0:  # would be read as: everything, until the end
            raise ValueError
        return size


class _Guarded:
    """What both kinds of connection add: guarded sockets, and one write for head and body together."""

    debuglevel = 0  # R10: a host that turns http.client's printing on does not print our token
    line: Lifeline | None = None
    used_at = 0.0
    _wire: list[bytes] | None = None

    if TYPE_CHECKING:
        _dns_host: str
        port: int
        sock: socket.socket | None

    def _new_conn(self) -> socket.socket:
        sock, self.line = open_socket(current_voyage(), self._dns_host, self.port)
        return sock

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        if self.line is not None and self.sock is not None:
            # TLS inside TLS, through an https proxy, is an object around the outer socket
            self.line.hold(getattr(self.sock, "socket", self.sock))

    @property
    def is_connected(self) -> bool:
        fresh = time.monotonic() - self.used_at < _IDLE_S and self.used_at > current_voyage().not_before
        return fresh and bool(super().is_connected)  # type: ignore[misc]

    def request(self, method: str, url: str, body: Any = None, headers: Any = None, **options: Any) -> None:
        voyage = current_voyage()
        if self.sock is None:
            self.connect()
        if self.line is None or self.sock is None:
            raise ConnectionAbortedError
        voyage.board(self.line)
        self._wire = []
        try:
            super().request(method, voyage.target, body, headers, **options)  # type: ignore[misc]
            wire = memoryview(b"".join(self._wire))
        finally:
            self._wire = None
        voyage.loading()
        for start in range(0, len(wire), PIECE_BYTES):
            self.sock.sendall(wire[start : start + PIECE_BYTES])  # the guarded socket checks each piece
        self.used_at = time.monotonic()

    def send(self, data: Any) -> None:
        if self._wire is not None:
            self._wire.append(data)
        else:
            super().send(data)  # type: ignore[misc]

    def close(self) -> None:
        super().close()  # type: ignore[misc]
        line, self.line = self.line, None
        if line is not None:
            line.retire()


class _PlainConnection(_Guarded, HTTPConnection):
    response_class = _Reply


class _TlsConnection(_Guarded, HTTPSConnection):
    response_class = _Reply


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_ORIGINS: Final = 16
_POOLS: Final = {"http": _PlainPool, "https": _TlsPool}


class DoorAdapter(HTTPAdapter):
    """Sends prepared requests over guarded connections; keeps idle ones for the next. Never retries."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        """``context``: for https; ``None`` for plain http."""
        self._context = context
        self._pools: dict[tuple[str, Any], Any] = {}
        super().__init__(pool_connections=_ORIGINS, pool_maxsize=16, max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        options.update(ssl_context=self._context, proxy_ssl_context=self._context)
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def get_connection_with_tls_context(
        self, request: PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        # Finding the pool again for each request would be a sixth of its time.
        origin = "/".join((request.url or "").split("/", 3)[:3])
        key = (origin, (proxies or {}).get("https"))
        pool = self._pools.get(key)
        if pool is None:
            if len(self._pools) >= _ORIGINS:
                self._pools = {}  # never more than urllib3 keeps, which closes its oldest
            pool = self._pools[key] = super().get_connection_with_tls_context(request, verify, proxies, cert)
        return pool

    def request_url(self, request: PreparedRequest, proxies: Any) -> str:
        # R10: urllib3 logs the target it is given, and a provider may want a place in it: only the connection hears it
        current_voyage().target = request.path_url
        return "/"

    def close(self) -> None:
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            pool.close()  # urllib3 alone would wait for the last reference, which a traceback may hold
        super().close()

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        # The context holds the CA bundle already; naming the file here would load it again for each connection.
        conn.cert_reqs = "CERT_REQUIRED"

    def converse(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None, timeout_s: float, proxy: str | None
    ) -> Any:
        """Send one request and read the head of its answer; the body is read from the returned raw response.

        Raises what ``requests`` and the sockets raise, with the request inside: never let it out (R10).
        """
        request = PreparedRequest()
        request.method = method
        request.url = url
        request.hooks = default_hooks()
        request.body = body
        request.headers = CaseInsensitiveDict(headers)
        request.headers["Accept-Encoding"] = SKIP_HEADER  # none is sent: the answer is read as it comes
        if body is not None or method in ("POST", "PUT"):
            request.headers["Content-Length"] = str(len(body or b""))
        proxies = {"https": proxy} if proxy is not None else None
        return self.send(request, stream=True, timeout=timeout_s, verify=True, proxies=proxies).raw
