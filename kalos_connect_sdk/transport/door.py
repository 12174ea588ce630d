"""The one door: every byte this SDK sends over the network leaves here (R2).

- A request that carries a position needs a position :class:`Clearance` and a flight that can be aborted; a place
  a person typed needs a clearance of the other kind, and neither passes as the other (R2, R19).
- Plain http goes to literal loopback addresses only, and never through a proxy.
- Headers come from an allow-list; no cookie, redirect, ``.netrc`` or environment variable is ever obeyed (R10).
- One total deadline covers connecting, writing and reading; the answer's size is bounded; nothing is retried.
- The HTTP library's errors, which hold the request, end here: ours are raised after its ``except`` block (R10).
"""

from __future__ import annotations

import gzip as gzip_format
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple
from urllib.parse import urlsplit

from .. import __version__
from ..config import is_loopback
from ..core.gate import require_place, require_position
from ..errors import ConfigError, ServiceUnreachable
from .answer import Answer, http_date_s
from .cause import Unfit, cause_of
from .flight import Aborted, Flight
from .lifeline import fork_generation
from .names import Names
from .sockets import Voyage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..core.gate import Clearance
    from .adapter import DoorAdapter

__all__ = ["Aborted", "Answer", "Carries", "Door"]

Carries = Literal["nothing", "position", "place"]

_ANSWER_MAX_BYTES: Final = 1024 * 1024
_GZIP_LEVEL: Final = 6
_USER_AGENT: Final = f"kalos-connect-sdk/{__version__}"

# Host, Content-Length and User-Agent are written here or by http.client; everything else is the caller's.
_CALLERS_HEADERS: Final = frozenset(
    {"accept", "authorization", "content-encoding", "content-type", "idempotency-key", "if-none-match"}
)


class _Target(NamedTuple):
    """Whom a URL leads to, and whom to connect to: the proxy when there is one."""

    tls: bool
    host: str
    port: int


class Door:
    """Hardened HTTP over abortable sockets. Safe from any thread; after a fork the child's door starts anew.

    ``timeout_s``: total seconds of an exchange unless it says otherwise. ``ca_bundle``: path of a PEM file
    that replaces the stock bundle. ``proxy``: URL of an HTTP proxy for https services; with one, host names
    of services are resolved by the proxy. ``on_date``: told the time of the TLS-verified answers of peers whose date is
    believed, in seconds since 1970 (R13).
    """

    def __init__(
        self,
        *,
        timeout_s: float,
        ca_bundle: str | None,
        proxy: str | None,
        on_date: Callable[[float], None] | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._ca_bundle = ca_bundle
        self._proxy = proxy
        self._on_date = on_date
        self._not_before = 0.0
        self._begin()

    def _begin(self) -> None:
        self._generation = fork_generation()
        self._lock = threading.Lock()
        self._names = Names()
        self._adapters: dict[bool, DoorAdapter] = {}
        self._targets: dict[str, _Target] = {}

    def resolve(self, url: str) -> None:
        """Everything slow and unabortable, before any lock is taken: names, TLS context, importing ``requests``.

        Names are kept for a minute. Raises :class:`ServiceUnreachable` when the name cannot be resolved and
        :class:`ConfigError` for a URL or CA bundle that cannot be used.
        """
        if self._generation != fork_generation():
            self._begin()
        target = self._target(url)
        self._adapter(target.tls)
        failed = False
        try:
            self._names.resolve(target.host, target.port)
        except OSError:
            failed = True
        if failed:
            raise ServiceUnreachable("no answer from the service: name not resolved")

    def exchange(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        deadline_s: float | None = None,
        clearance: Clearance | None = None,
        flight: Flight | None = None,
        carries: Carries = "nothing",
        gzip: bool = False,
        answer_max_bytes: int = _ANSWER_MAX_BYTES,
        tells_time: bool = True,
    ) -> Answer:
        """One request and its whole answer, whatever its status; redirects are answers like any other.

        ``deadline_s``: total seconds from now, by default the door's ``timeout_s``. ``gzip``: compress the
        body. ``carries``: what the request reveals; a position needs ``clearance`` and ``flight``. With a flight
        call :meth:`resolve` first: an exchange in flight looks no name up. ``tells_time``: the peer is one whose
        date is believed (R13).

        Raises ``TypeError`` without the right clearance, ``ValueError`` for a header that is not allowed,
        :class:`Aborted` when the flight was cut, :class:`ServiceUnreachable` with one word for any other
        failure. None of them holds anything of the request.
        """
        _require(carries, clearance, flight)
        if self._generation != fork_generation() or flight is None:
            self.resolve(url)
        target = self._target(url)
        sent = _all_headers(headers, body, gzip)
        if body is not None and gzip:
            body = gzip_format.compress(body, _GZIP_LEVEL, mtime=0)
        if flight is not None:
            flight.depart()
        answer: Answer | None = None
        cause = "failed"
        try:
            adapter = self._adapter(target.tls)
            deadline_s = deadline_s or self._timeout_s
            laden = carries == "position"
            with Voyage(self._names, deadline_s, flight, laden=laden, not_before=self._not_before) as voyage:
                answer = self._converse(adapter, voyage, method, url, sent, body, answer_max_bytes)
        except Exception as error:
            cause = cause_of(error)
        finally:
            if flight is not None:
                flight.land()
        if answer is not None:
            if tells_time and answer.date_s is not None and self._on_date is not None:
                self._on_date(answer.date_s)  # R13
            return answer
        if flight is not None and flight.aborted:
            raise Aborted
        raise ServiceUnreachable(f"no answer from the service: {cause}")

    def _converse(
        self,
        adapter: DoorAdapter,
        voyage: Voyage,
        method: str,
        url: str,
        headers: dict[str, str],
        body: bytes | None,
        answer_max_bytes: int,
    ) -> Answer:
        voyage.check()
        size = 0 if body is None else len(body)
        raw = adapter.converse(method, url, headers, body, voyage.remaining_s(), self._proxy)
        try:
            if voyage.flight is not None:
                voyage.flight.answered = True
            if raw.headers.get("content-encoding", "identity") != "identity":
                raise Unfit("encoded answer")  # none was asked for, and inflating is unbounded
            content = _whole_body(raw, answer_max_bytes)
            received = {name.lower(): value for name, value in raw.headers.items() if name.lower() != "set-cookie"}
            date_s = http_date_s(received.get("date")) if url.startswith("https:") else None
            return Answer(int(raw.status), received, content, date_s, size)
        finally:
            raw.close()  # a fully read answer has given its connection back already

    def _adapter(self, tls: bool) -> DoorAdapter:
        adapter = self._adapters.get(tls)
        if adapter is not None:
            return adapter
        with self._lock:
            adapter = self._adapters.get(tls)
            if adapter is None:
                adapter = self._adapters[tls] = self._build(tls)
            return adapter

    def _build(self, tls: bool) -> DoorAdapter:
        from .adapter import DoorAdapter, tls_context

        context = None
        if tls:
            try:
                context = tls_context(self._ca_bundle)
            except OSError:  # also ssl.SSLError
                pass
            if context is None:
                raise ConfigError("ca_bundle must be a readable PEM file with at least one certificate")
        return DoorAdapter(context)

    def _target(self, url: str) -> _Target:
        origin = url.partition("://")[0] + "://" + url.partition("://")[2].partition("/")[0]
        target = self._targets.get(origin)
        if target is None:
            target = self._targets[origin] = self._examine(origin)
        return target

    def _examine(self, origin: str) -> _Target:
        parts = urlsplit(origin)
        host = parts.hostname or ""
        if parts.scheme not in ("http", "https") or not host.isascii() or not host or "@" in parts.netloc:
            raise ConfigError("service_url must look like https://host[:port], with an ASCII host name")
        tls = parts.scheme == "https"
        if not tls and not is_loopback(origin):
            raise ConfigError("plain http goes to literal loopback addresses only; write https://")
        if tls and self._proxy:
            parts = urlsplit(self._proxy)
        return _Target(tls, (parts.hostname or "").rstrip("."), parts.port or (443 if parts.scheme == "https" else 80))

    def begin_anew(self) -> None:
        """What was used until now is not used again: whatever comes next has a connection of its own. A connection that
        carried positions then carries nothing after the end of consent, not even the notice of it, so that a packet
        capture shows the silence to who cannot read it (R3). Takes no lock and closes nothing."""
        self._not_before = time.monotonic()

    def close(self) -> None:
        """Close idle connections. The door may be used again."""
        if self._generation != fork_generation():
            self._begin()
        with self._lock:
            adapters = list(self._adapters.values())
            self._adapters = {}
        for adapter in adapters:
            adapter.close()


def _whole_body(raw: Any, most: int) -> bytes:
    """Reads until the end is reached, because only there is a body that was cut short seen to be."""
    content = b""
    while piece := raw.read(most + 1 - len(content), decode_content=False):
        content += piece
        if len(content) > most:
            raise Unfit("answer too large")
    return content


def _require(carries: str, clearance: Clearance | None, flight: Flight | None) -> None:
    if carries == "position":
        require_position(clearance)  # R2
        if flight is None:
            raise TypeError("a position leaves only in a flight, which a withdrawal can abort")  # R3
    elif carries == "place":
        require_place(clearance)  # R2, R19
    elif carries != "nothing" or clearance is not None:
        raise TypeError("say what the request carries: nothing, position or place")


def _all_headers(headers: Mapping[str, str], body: bytes | None, gzip: bool) -> dict[str, str]:
    sent = {"User-Agent": _USER_AGENT}
    for name, value in headers.items():
        if name.lower() not in _CALLERS_HEADERS:
            raise ValueError("a header is not on the list of allowed ones")  # R10
        sent[name] = value
    if body is not None and gzip:
        sent["Content-Encoding"] = "gzip"
    return sent
