"""Waiting for bytes in a way that another thread can end at once."""

from __future__ import annotations

import selectors
import socket
import threading
from typing import Protocol

__all__ = ["Wake", "ready"]


class _Readable(Protocol):
    def fileno(self) -> int: ...


class Wake:
    """An event that can be waited for together with sockets and devices. Set once, never cleared."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ear, self._mouth = socket.socketpair()
        self._set = False
        self._over = False

    def fileno(self) -> int:
        return self._ear.fileno()

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        """From any thread, any number of times, also after :meth:`close`."""
        with self._lock:
            first, self._set = not self._set, True  # before the byte: who wakes up looks at it
            if first and not self._over:
                self._mouth.send(b"\0")

    def wait(self, timeout_s: float) -> bool:
        """True once it is set."""
        ready((self,), timeout_s)
        return self._set

    def close(self) -> None:
        """Nobody waits any more."""
        with self._lock:
            self._over = True
            self._ear.close()
            self._mouth.close()


def ready(readable: tuple[_Readable, ...], timeout_s: float | None, *, writable: _Readable | None = None) -> bool:
    """Wait until one of them can be read, or ``writable`` written; false when the time was up first."""
    with selectors.DefaultSelector() as selector:
        for each in readable:
            selector.register(each.fileno(), selectors.EVENT_READ)
        if writable is not None:
            selector.register(writable.fileno(), selectors.EVENT_WRITE)
        return bool(selector.select(timeout_s))
