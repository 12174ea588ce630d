"""A TCP proxy between the SDK and a service that breaks what passes through it, at the very byte it is told to.

A *cut* ends the connection after byte N of a direction, with FIN or with RST. In plain http the proxy knows where
a message ends, and counts the bytes of each request and of each answer; what it cannot read (TLS) it counts from the
beginning of the connection.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Cut", "CuttingProxy", "Exchange", "TlsFront", "records_in"]

_RESET = struct.pack("ii", 1, 0)
_PATIENCE_S = 20.0


@dataclass(frozen=True)
class Cut:
    """Where to end the connection: after ``at`` bytes of the ``way`` (of what came first, of what went back).

    ``reset``: with RST instead of FIN. ``match``: only requests that hold this. ``records``: ``at`` counts whole TLS
    records instead of bytes.
    """

    way: Literal["request", "answer"]
    at: int
    reset: bool = False
    match: bytes = b""
    records: bool = False


@dataclass
class Exchange:
    """What passed: as it came from the client, and as it went back to it; ``cut`` once it was cut."""

    request: bytearray = field(default_factory=bytearray)
    answer: bytearray = field(default_factory=bytearray)
    cut: bool = False


class CuttingProxy:
    """Listens on loopback and passes everything to ``target``. ``cut`` is applied to all that match, while it is set.

    ``readable``: plain http, one :class:`Exchange` for each request; else one for each connection.
    """

    def __init__(self, target: tuple[str, int], *, readable: bool = True) -> None:
        self.target = target
        self.cut: Cut | None = None
        self.stalled = threading.Event()
        """While set, connections are taken and nothing is passed."""
        self.hold = b""
        """Requests that hold this are read whole (``held``) and passed on only after ``let_go``."""
        self.held, self.let_go = threading.Event(), threading.Event()
        self.exchanges: list[Exchange] = []
        self._readable = readable
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._over = False
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._spawn(self._accept)

    @property
    def url(self) -> str:
        """As a service's address in plain http."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> CuttingProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self.let_go.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()
        for thread in self._threads:
            thread.join(_PATIENCE_S)

    def drop(self) -> None:
        """End every connection there is."""
        with self._lock:
            left = list(self._open)
        for sock in left:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def replay(self, exchange: Exchange) -> bytes:
        """Hand the request of an old exchange to the service once more, as a network that duplicates would."""
        with socket.create_connection(self.target, _PATIENCE_S) as again:
            again.sendall(bytes(exchange.request))
            return _one_message(again)

    # -- connections -----------------------------------------------------------------------------

    def _spawn(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads = [one for one in self._threads if one.is_alive()]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._over:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._spawn(self._pass, near)

    def _pass(self, near: socket.socket) -> None:
        with self._lock:
            self._open.add(near)
        reset = False
        try:
            near.settimeout(_PATIENCE_S)
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.stalled.is_set():
                _await_end(near)
            elif self._readable:
                reset = self._messages(near)
            else:
                reset = self._streams(near)
        except OSError:
            pass
        finally:
            self._close(near, reset=reset)

    def _reach(self) -> socket.socket:
        far = socket.create_connection(self.target, _PATIENCE_S)
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open.add(far)
        return far

    def _close(self, sock: socket.socket, *, reset: bool) -> None:
        with self._lock:
            self._open.discard(sock)
        if reset:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        sock.close()

    def _messages(self, near: socket.socket) -> bool:
        """Pass whole messages until one is cut or the client has gone; true for a cut with RST."""
        while request := _one_message(near):
            exchange = Exchange(bytearray(request))
            with self._lock:
                self.exchanges.append(exchange)
            cut = self._due(request)
            if self.hold and self.hold in request:
                self.held.set()
                self.let_go.wait(_PATIENCE_S)
            far = self._reach()
            reset = False
            try:
                if cut is not None and cut.way == "request" and cut.at < len(request):
                    exchange.cut, reset = True, cut.reset
                    far.sendall(request[: cut.at])
                    return reset
                far.sendall(request)
                answer = _one_message(far)
                if cut is not None and cut.way == "answer" and cut.at < len(answer):
                    exchange.cut, reset = True, cut.reset
                    answer = answer[: cut.at]
                exchange.answer += answer
                near.sendall(answer)
                if exchange.cut:
                    return reset
            finally:
                self._close(far, reset=reset)
        return False

    def _due(self, first: bytes) -> Cut | None:
        cut = self.cut
        return cut if cut is not None and cut.match in first else None

    def _streams(self, near: socket.socket) -> bool:
        """Bytes of unknown meaning (TLS): each direction on its own thread, ended together by the cut."""
        cut, exchange, over = self.cut, Exchange(), threading.Event()
        with self._lock:
            self.exchanges.append(exchange)
        far = self._reach()

        def one_way(source: socket.socket, sink: socket.socket, passed: bytearray, way: str) -> None:
            try:
                while piece := source.recv(65536):
                    room = len(piece)
                    if cut is not None and cut.way == way:
                        room = max(0, min(room, _room(cut, bytes(passed), piece)))
                    passed += piece[:room]
                    sink.sendall(piece[:room])
                    if room < len(piece):
                        exchange.cut = True
                        break
            except OSError:
                pass
            over.set()

        self._spawn(one_way, near, far, exchange.request, "request")
        self._spawn(one_way, far, near, exchange.answer, "answer")
        over.wait(_PATIENCE_S)
        reset = exchange.cut and cut is not None and cut.reset
        for sock in (near, far):
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._close(far, reset=reset)
        return reset


class TlsFront:
    """The reference service behind TLS: terminates it and passes the plain bytes on to ``target``."""

    def __init__(self, target: tuple[str, int], context: object) -> None:
        self._context = context
        self._target = target
        self._over = False
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self._spawn(self._accept)

    def __enter__(self) -> TlsFront:
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._open:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(_PATIENCE_S)

    def _spawn(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads = [one for one in self._threads if one.is_alive()]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._over:
            try:
                conn, _ = self._listener.accept()
            except OSError:
                return
            self._open = [sock for sock in self._open if sock.fileno() >= 0]
            self._open.append(conn)
            self._spawn(self._serve, conn)

    def _serve(self, conn: socket.socket) -> None:
        """One message there and its answer back, as often as the client likes."""
        try:
            conn.settimeout(_PATIENCE_S)
            with self._context.wrap_socket(conn, server_side=True) as secure:  # type: ignore[attr-defined]
                self._open.append(secure)
                while request := _one_message(secure):
                    with socket.create_connection(self._target, _PATIENCE_S) as far:
                        far.sendall(request)
                        secure.sendall(_one_message(far))
        except (OSError, ValueError):
            conn.close()


def _room(cut: Cut, passed: bytes, piece: bytes) -> int:
    """How many bytes of ``piece`` may still pass."""
    if not cut.records:
        return cut.at - len(passed)
    ends = [0, *records_in(passed + piece)]
    return (ends[cut.at] if cut.at < len(ends) else len(passed) + len(piece)) - len(passed)


def records_in(stream: bytes) -> list[int]:
    """The offsets at which the TLS records of one direction end."""
    ends, at = [], 0
    while at + 5 <= len(stream):
        at += 5 + int.from_bytes(stream[at + 3 : at + 5], "big")
        ends.append(at)
    return ends


def _one_message(sock: socket.socket) -> bytes:
    """One HTTP message with its body, by its Content-Length; what came until then when the peer ends early."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        if not piece:
            return data
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    size = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            size = int(value)
    while len(body) < size:
        piece = sock.recv(65536)
        if not piece:
            break
        body += piece
    return head + b"\r\n\r\n" + body


def _await_end(sock: socket.socket) -> None:
    """Read nothing of value until the other side has gone."""
    sock.settimeout(_PATIENCE_S)
    while sock.recv(65536):
        pass
