"""Hears what Python code sends: the methods of ``socket.socket``, of TLS sockets and of ``ssl.SSLObject``, and what the
functions of ``os`` write into a socket's descriptor."""

from __future__ import annotations

import functools
import os
import socket
import ssl
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Line", "Send", "Wiretap"]

Send = Callable[[], Any]
Hear = Callable[["Line", bytes, Send], Any]

# sendall of a TLS socket goes through its send; write is the other way into the TLS object.
_METHODS: Final = (
    (socket.socket, "send"),
    (socket.socket, "sendall"),
    (socket.socket, "sendto"),
    (socket.socket, "sendmsg"),
    (ssl.SSLSocket, "send"),
    (ssl.SSLSocket, "write"),
    (ssl.SSLObject, "write"),
)
_WRITES: Final = ("write", "writev", "pwrite")
_MISSING: Final = object()
_PIECE: Final = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """Where something is sent: ``key`` is the same object for all that goes the same way."""

    key: object
    address: object = None
    """The address given with a datagram."""

    def peer(self) -> str:
        """``host:port`` in words that are always safe to print."""
        try:
            named = getattr(self.key, "server_hostname", None)  # an SSLObject has no socket
            address = self.address or self.key.getpeername()  # type: ignore[attr-defined]
        except (OSError, AttributeError):
            return named or "an unknown peer"
        if isinstance(address, tuple) and len(address) >= 2:
            return f"{address[0]}:{address[1]}"
        return "a local socket"


class _Descriptor:
    """A socket that is written to by its number."""

    __slots__ = ("__weakref__", "_fd")

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def getpeername(self) -> Any:
        duplicate = socket.socket(fileno=os.dup(self._fd))
        try:
            return duplicate.getpeername()
        finally:
            duplicate.close()


class Wiretap:
    """While installed, every send in this process goes through ``hear(line, data, send)``, which calls ``send()`` or
    raises, and returns what ``send()`` returned."""

    def __init__(self, hear: Hear) -> None:
        self._hear = hear
        self._inside = threading.local()
        self._before: list[tuple[Any, str, Any]] = []
        self._descriptors: dict[tuple[int, int], _Descriptor] = {}

    def install(self) -> None:
        """Begin to hear."""
        for owner, name in _METHODS:
            self._replace(owner, name, self._wrapped(getattr(owner, name), name))
        for name in _WRITES:
            if hasattr(os, name):
                self._replace(os, name, self._wrapped_write(getattr(os, name)))
        if hasattr(os, "sendfile"):
            self._replace(os, "sendfile", self._wrapped_sendfile(os.sendfile))
        # socket.sendfile() would look os.sendfile up where no wrapper is.
        self._replace(socket.socket, "sendfile", _sendfile)

    def remove(self) -> None:
        """Put everything back as it was."""
        while self._before:
            owner, name, before = self._before.pop()
            if before is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, before)
        self._descriptors.clear()

    def _replace(self, owner: Any, name: str, replacement: Any) -> None:
        self._before.append((owner, name, vars(owner).get(name, _MISSING)))
        setattr(owner, name, replacement)

    def _told(self, line: Line, heard: bytes, send: Send) -> Any:
        __tracebackhide__ = True  # R10: pytest would show the arguments of this frame
        self._inside.now = True
        try:
            return self._hear(line, heard, send)
        finally:
            self._inside.now = False

    def _wrapped(self, original: Callable[..., Any], name: str) -> Callable[..., Any]:
        @functools.wraps(original)
        def send(connection: Any, data: Any, *arguments: Any) -> Any:
            __tracebackhide__ = True
            if getattr(self._inside, "now", False):  # a TLS socket before its handshake calls the plain method
                return original(connection, data, *arguments)
            pieces = list(data) if name == "sendmsg" else [data]
            heard = b"".join(bytes(memoryview(piece)) for piece in pieces)
            address = arguments[-1] if name == "sendto" or (name == "sendmsg" and len(arguments) == 3) else None
            return self._told(
                Line(connection, address),
                heard,
                lambda: original(connection, pieces if name == "sendmsg" else data, *arguments),
            )

        return send

    def _wrapped_write(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def write(fd: Any, data: Any, *arguments: Any) -> Any:
            __tracebackhide__ = True
            known = None if getattr(self._inside, "now", False) else self._descriptor(fd)
            if known is None:
                return original(fd, data, *arguments)
            pieces = list(data) if original.__name__ == "writev" else [data]
            heard = b"".join(bytes(memoryview(piece)) for piece in pieces)
            given = pieces if original.__name__ == "writev" else data
            return self._told(Line(known), heard, lambda: original(fd, given, *arguments))

        return write

    def _wrapped_sendfile(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def sendfile(out_fd: Any, in_fd: Any, offset: Any, count: int, **options: Any) -> Any:
            __tracebackhide__ = True
            known = None if getattr(self._inside, "now", False) else self._descriptor(out_fd)
            if known is None or offset is None or options:
                return original(out_fd, in_fd, offset, count, **options)
            count = min(count, _PIECE)
            heard = os.pread(in_fd, count, offset)
            return self._told(Line(known), heard, lambda: original(out_fd, in_fd, offset, len(heard)))

        return sendfile

    def _descriptor(self, fd: Any) -> _Descriptor | None:
        """One object for each socket that is written to by number; None for anything else."""
        try:
            status = os.fstat(fd)
        except (OSError, TypeError, ValueError):
            return None
        if not stat.S_ISSOCK(status.st_mode):
            return None
        return self._descriptors.setdefault((status.st_dev, status.st_ino), _Descriptor(fd))


def _sendfile(connection: Any, file: Any, offset: int = 0, count: int | None = None) -> int:
    sent: int = connection._sendfile_use_send(file, offset, count)
    return sent
