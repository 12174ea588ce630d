"""Sockets that ask before every read and write.

Python sends nothing through one of these outside a :class:`Voyage`: the exchange this thread is making, with
its total deadline and, when it carries a position, its flight. So an answer that comes in drips ends at the
deadline (a socket time-out is per read), and every piece is written only after consent was read again (R2).
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from .lifeline import LINGER_NONE, Lifeline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .flight import Flight
    from .names import Names

__all__ = ["PIECE_BYTES", "GuardedSocket", "GuardedTlsSocket", "Voyage", "current_voyage", "open_socket"]

PIECE_BYTES: Final = 16 * 1024
"""Consent is read again at least this often while a request is written."""

_SEND_BUFFER_BYTES: Final = 32 * 1024
_GIVE_WAY_S: Final = 0.005

_here = threading.local()


class Voyage:
    """What one exchange is bound to: a total deadline, a flight or none, the names it may connect to.

    ``laden``: it says where the device is, in its body or, where a provider wants it there, in its target.
    ``not_before``: in seconds of ``time.monotonic()``; a connection that was used earlier is not used again (R3).
    ``target``: path and query as they go over the wire; only the guarded connection reads it (R10).
    """

    __slots__ = ("ends_at", "flight", "laden", "names", "not_before", "target")

    def __init__(
        self, names: Names, timeout_s: float, flight: Flight | None, *, laden: bool = False, not_before: float = 0.0
    ) -> None:
        self.names = names
        self.ends_at = time.monotonic() + timeout_s
        self.flight = flight
        self.laden = laden
        self.not_before = not_before
        self.target = "/"

    def __enter__(self) -> Voyage:
        _here.voyage = self
        return self

    def __exit__(self, *_: object) -> None:
        _here.voyage = None

    def remaining_s(self) -> float:
        """Seconds left, more than zero. Raises ``TimeoutError`` when there are none."""
        remaining = self.ends_at - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        return remaining

    def check(self) -> float:
        """Seconds left if the exchange may go on; raises ``ConnectionAbortedError`` or ``TimeoutError``."""
        if self.flight is not None:
            self.flight.check()
        return self.remaining_s()

    def give_way(self) -> None:
        """Who was cut while it waited for an answer has nothing left to do but to unwind. Who withdraws has keys to
        destroy: for a moment the processor and the interpreter's lock are theirs."""
        if self.flight is not None and self.flight.drained:
            time.sleep(_GIVE_WAY_S)

    def board(self, line: Lifeline) -> None:
        """Tie the flight, if there is one, to a connection."""
        if self.flight is not None:
            self.flight.board(line)

    def loading(self) -> None:
        """The request is about to be written, head and body together."""
        if self.flight is not None and self.laden:
            self.flight.check()
            self.flight.wrote = True


def current_voyage() -> Voyage:
    """The exchange this thread is making. Raises ``ConnectionAbortedError`` when it makes none."""
    voyage: Voyage | None = getattr(_here, "voyage", None)
    if voyage is None:
        raise ConnectionAbortedError
    return voyage


class GuardedSocket(socket.socket):
    """A TCP socket on which only the present voyage can read and write."""

    def send(self, data: Any, flags: int = 0) -> int:
        self.settimeout(current_voyage().check())
        return super().send(data, flags)

    def sendall(self, data: Any, flags: int = 0) -> None:
        self.settimeout(current_voyage().check())
        return super().sendall(data, flags)

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        self.settimeout(current_voyage().remaining_s())
        return super().recv(bufsize, flags)

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        voyage = current_voyage()
        self.settimeout(voyage.remaining_s())
        try:
            return super().recv_into(buffer, nbytes or 0, flags)
        finally:
            voyage.give_way()


class GuardedTlsSocket(ssl.SSLSocket):
    """The same over TLS; ``sendall`` of the base class goes through ``send``."""

    def send(self, data: Any, flags: int = 0) -> int:
        self.settimeout(current_voyage().check())
        return super().send(data, flags)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        self.settimeout(current_voyage().remaining_s())
        return super().recv(buflen, flags)

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        voyage = current_voyage()
        self.settimeout(voyage.remaining_s())
        try:
            return super().recv_into(buffer, nbytes, flags)
        finally:
            voyage.give_way()


def open_socket(voyage: Voyage, host: str, port: int) -> tuple[GuardedSocket, Lifeline]:
    """Connect to one of the host's resolved addresses; what is left of the deadline is shared among them.

    Raises ``OSError``: the last address's, ``TimeoutError`` or ``ConnectionAbortedError``.
    """
    failure: OSError | None = None
    for family, address, share_s in _shares(voyage, host, port):
        sock = GuardedSocket(family, socket.SOCK_STREAM)
        line: Lifeline | None = None
        connected = False
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)  # before the first byte
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line = Lifeline(sock)
            voyage.board(line)
            sock.settimeout(share_s)
            sock.connect(address)
            # An abort that came before the connection stood could not sever it: the latch tells.
            sock.settimeout(voyage.check())
            connected = True
            return sock, line
        except OSError as error:
            failure = error
        finally:
            if not connected:
                sock.close()
                if line is not None:
                    line.retire()
    raise failure if failure is not None else ConnectionError


def _shares(voyage: Voyage, host: str, port: int) -> Iterator[tuple[int, Any, float]]:
    addresses = voyage.names.addresses(host, port)
    for index, (family, address) in enumerate(addresses):
        yield family, address, voyage.check() / (len(addresses) - index)
