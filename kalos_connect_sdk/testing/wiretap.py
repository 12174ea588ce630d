"""Hears what Python code sends: the methods of ``socket.socket``, of TLS sockets and of ``ssl.SSLObject``."""

from __future__ import annotations

import functools
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any, Final

__all__ = ["Send", "Wiretap"]

Send = Callable[[], Any]
Hear = Callable[[object, bytes, Send], Any]

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
_MISSING: Final = object()


class Wiretap:
    """While installed, every send in this process goes through ``hear(connection, data, send)``, which calls
    ``send()`` or raises, and returns what ``send()`` returned."""

    def __init__(self, hear: Hear) -> None:
        self._hear = hear
        self._inside = threading.local()
        self._before: list[tuple[type, str, Any]] = []

    def install(self) -> None:
        """Begin to hear."""
        for owner, name in _METHODS:
            self._replace(owner, name, self._wrapped(getattr(owner, name), name))
        # os.sendfile() would go past every method above.
        self._replace(socket.socket, "sendfile", _sendfile)

    def remove(self) -> None:
        """Put everything back as it was."""
        while self._before:
            owner, name, before = self._before.pop()
            if before is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, before)

    def _replace(self, owner: type, name: str, replacement: Any) -> None:
        self._before.append((owner, name, owner.__dict__.get(name, _MISSING)))
        setattr(owner, name, replacement)

    def _wrapped(self, original: Callable[..., Any], name: str) -> Callable[..., Any]:
        @functools.wraps(original)
        def send(connection: Any, data: Any, *arguments: Any) -> Any:
            if getattr(self._inside, "now", False):  # a TLS socket before its handshake calls the plain method
                return original(connection, data, *arguments)
            pieces = list(data) if name == "sendmsg" else [data]
            heard = b"".join(bytes(memoryview(piece)) for piece in pieces)
            self._inside.now = True
            try:
                return self._hear(
                    connection, heard, lambda: original(connection, pieces if name == "sendmsg" else data, *arguments)
                )
            finally:
                self._inside.now = False

        return send


def _sendfile(connection: Any, file: Any, offset: int = 0, count: int | None = None) -> int:
    sent: int = connection._sendfile_use_send(file, offset, count)
    return sent
