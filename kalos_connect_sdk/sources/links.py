"""One connection to where positions come from: over TCP, over UDP, or a device; read without blocking.

Everything that could take long (a name, a peer that does not answer) is given up the moment ``wake`` is set.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
import time
from typing import Any, Final

from ..errors import SourceUnavailable
from .address import Address
from .wake import Wake, ready

__all__ = ["Link", "Unwanted", "listening", "said_of", "tcp", "unreachable"]

_PIECE: Final = 64 * 1024
_CONNECT_S: Final = 5.0
_DRAINED_MAX: Final = 8 * 1024 * 1024
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""A peer that vanished without a word is noticed after 25 s."""


class Unwanted(Exception):
    """The source was closed while a connection was being made."""


class Link:
    """An open connection. ``read`` never blocks."""

    def __init__(self, handle: socket.socket | None = None, *, fd: int = -1, datagrams: bool = False) -> None:
        self._handle = handle
        self._fd = handle.fileno() if handle is not None else fd
        self._datagrams = datagrams
        self.opened_s = time.monotonic()
        self.rest = b""
        """Bytes read already that belong to the next :meth:`read`."""

    def fileno(self) -> int:
        return self._fd

    def read(self) -> bytes | None:
        """What has arrived; ``b""`` when nothing has, None when there will be no more. Raises ``OSError``."""
        if self.rest:
            rest, self.rest = self.rest, b""
            return rest
        try:
            data = os.read(self._fd, _PIECE)
        except BlockingIOError:
            return b""
        if self._datagrams:
            return data + b"\n"  # a sentence does not go on in the next datagram
        return data or None

    def drain(self) -> None:
        """Forget what has arrived so far: it is from before anybody wanted it. Raises ``OSError``."""
        left = _DRAINED_MAX
        while left > 0 and ready((self,), 0) and (data := self.read()):
            left -= len(data)

    def write(self, data: bytes) -> None:
        """A short request. Raises ``OSError``."""
        assert self._handle is not None
        self._handle.sendall(data)

    def close(self) -> None:
        if self._handle is not None:
            self._handle.close()
        elif self._fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self._fd)
        self._fd = -1


def tcp(address: Address, wake: Wake) -> Link:
    """A connection. Raises ``OSError``, and :class:`Unwanted` once ``wake`` is set."""
    failure: OSError | None = None
    for family, sockaddr in _found(address, wake, socket.SOCK_STREAM):
        try:
            return _connected(family, sockaddr, wake)
        except OSError as error:
            failure = error
    raise failure or OSError(errno.EADDRNOTAVAIL, "no address")


def listening(address: Address, wake: Wake) -> Link:
    """A bound UDP socket. Raises like :func:`tcp`."""
    failure: OSError | None = None
    for family, sockaddr in _found(address, wake, socket.SOCK_DGRAM):
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.bind(sockaddr)
            return Link(sock, datagrams=True)
        except OSError as error:
            sock.close()
            failure = error
    raise failure or OSError(errno.EADDRNOTAVAIL, "no address")


def said_of(error: OSError) -> str:
    """The system's word for it, and nothing else of the error."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        return "the name is not known"
    return (os.strerror(error.errno) if error.errno else "unknown error").lower()


def unreachable(what: str, error: OSError, advice: str) -> SourceUnavailable:
    """To be raised outside the ``except`` block (R10)."""
    return SourceUnavailable(f"{what} cannot be reached: {said_of(error)}; {advice}")


def _connected(family: int, sockaddr: Any, wake: Wake) -> Link:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        number = sock.connect_ex(sockaddr)
        if number in (errno.EINPROGRESS, errno.EWOULDBLOCK):
            if not ready((wake,), _CONNECT_S, writable=sock):
                raise TimeoutError(errno.ETIMEDOUT, "timed out")
            if wake.is_set():
                raise Unwanted
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, os.strerror(number))
        return Link(sock)
    except BaseException:
        sock.close()
        raise


def _found(address: Address, wake: Wake, kind: int) -> list[tuple[int, Any]]:
    """What the name stands for. A name is looked up beside us, for that can be neither bounded nor ended."""
    host = address.host or "127.0.0.1"
    try:
        return _look_up(host, address.port, kind, socket.AI_NUMERICHOST)
    except socket.gaierror:
        pass
    found: list[list[tuple[int, Any]]] = []
    failed: list[OSError] = []
    done = Wake()

    def look_up() -> None:
        try:
            found.append(_look_up(host, address.port, kind, 0))
        except OSError as error:
            failed.append(error)
        done.set()

    threading.Thread(target=look_up, name="kalos-names", daemon=True).start()
    try:
        ready((wake, done), _CONNECT_S)
    finally:
        done.close()
    if wake.is_set():
        raise Unwanted
    if failed:
        raise failed[0]
    if not found:
        raise TimeoutError(errno.ETIMEDOUT, "timed out")
    return found[0]


def _look_up(host: str, port: int, kind: int, flags: int) -> list[tuple[int, Any]]:
    try:
        return [(row[0], row[4]) for row in socket.getaddrinfo(host, port, type=kind, flags=flags)]
    except UnicodeError:  # a label that is empty or too long; the error would repeat it (R10)
        pass
    raise socket.gaierror(socket.EAI_NONAME, "not a name")
