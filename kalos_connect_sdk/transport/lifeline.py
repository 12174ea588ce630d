"""A second handle on a connection's socket, by which another thread can kill it.

Closing a socket object, or a session, from another thread stops nothing, and ``SSLSocket.shutdown()`` from
another thread lets a racing write go out in plain text. What works is ``connect(AF_UNSPEC)``: the kernel
drops the send buffer, sends a reset, and every later write fails (R3). It is made on a duplicate of the
descriptor that only this module closes, under the lock that severs, so a descriptor number that was closed
and used again can never be hit.

A forked child must hold no copy of a socket, or the parent's close would not end the connection: the
descriptors are closed in the child before it runs anything else.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LINGER_NONE", "Lifeline", "fork_generation"]

LINGER_NONE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER that makes the last close a reset: a killed process leaves nothing in the send buffer either."""

_UNSPEC: Final = struct.pack("=H14x", socket.AF_UNSPEC)

_lines: Final[set[Lifeline]] = set()
_generation = 0


def fork_generation() -> int:
    """A number that differs between a process and its forked children, cheaper than asking for the pid."""
    return _generation


def _find_connect() -> Callable[[int, bytes, int], int] | None:
    # PyDLL keeps the interpreter lock: the call does not block, and no sender runs between two aborts.
    if not sys.platform.startswith("linux"):
        return None
    function: Any = ctypes.PyDLL(None).connect
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
    function.restype = ctypes.c_int
    found: Callable[[int, bytes, int], int] = function
    return found


_connect = _find_connect()


class Lifeline:
    """Belongs to one connection for the connection's life, and to one flight at a time."""

    __slots__ = ("_fd", "_flight", "_lock", "_number", "_retired", "_sock")

    def __init__(self, sock: socket.socket) -> None:
        """Raises ``OSError`` when no descriptor is left."""
        self._lock = threading.Lock()
        self._sock = sock
        self._number = sock.fileno()
        self._fd = os.dup(self._number)
        self._flight: object | None = None
        self._retired = False
        _lines.add(self)

    def hold(self, sock: socket.socket) -> None:
        """The TLS socket has taken the descriptor over from the plain one."""
        self._sock = sock

    def bind(self, flight: object) -> None:
        """``flight`` uses the connection now, and alone may sever it."""
        with self._lock:
            self._flight = flight

    def release(self, flight: object) -> None:
        """``flight`` is done; does nothing when another uses the connection already."""
        with self._lock:
            if self._flight is flight:
                self._flight = None
                if self._retired:
                    self._close()

    def retire(self) -> None:
        """The connection was closed. The handle stays until the flight lands: its answer may still be read,
        and what an early answer left in the send buffer must stay within reach."""
        with self._lock:
            self._retired = True
            if self._flight is None:
                self._close()

    def sever(self, flight: object) -> bool:
        """Kill the socket if ``flight`` still uses it. True: nothing of ``flight`` can leave any more."""
        with self._lock:
            if self._flight is not flight or self._fd < 0:
                return True
            if _connect is not None and _connect(self._fd, _UNSPEC, len(_UNSPEC)) == 0:
                return True
            self._shut()
            return False

    def _shut(self) -> None:
        # Wakes the sender. The queue is dropped only when its close turns into the reset, so this proves nothing.
        try:
            with socket.socket(fileno=os.dup(self._fd)) as twin:
                twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)
                twin.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # not connected: nothing is queued, and the latch stops what comes

    def _close(self) -> None:
        _lines.discard(self)
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _leave_to_parent(self) -> None:
        """In a forked child: close our copies without a word on the wire. No lock may be waited for here."""
        self._lock = threading.Lock()
        if self._fd < 0:
            return
        number = socket.socket.detach(self._sock)
        if number < 0 and _same(self._number, self._fd):
            number = self._number  # a TLS handshake was under way: its socket object never reached us
        for descriptor in (number, self._fd):
            if descriptor >= 0:
                os.close(descriptor)
        self._fd = -1


def _same(one: int, other: int) -> bool:
    try:
        return os.path.sameopenfile(one, other)
    except OSError:
        return False


def _after_fork_in_child() -> None:
    global _generation
    _generation += 1
    for line in tuple(_lines):
        line._leave_to_parent()
    _lines.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
