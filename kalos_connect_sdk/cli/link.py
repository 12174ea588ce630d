"""A link with the latency of a mobile network between the demo's device and its service.

Requests pass at once, answers arrive 0.4 seconds later: so there is a time in which a request is in
flight, and the demo can withdraw in it. What the device sent before stays sent; nothing is held back on the way up.
"""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Final

__all__ = ["SlowLink"]

_CHUNK: Final = 65536
_POSITIONS: Final = b"POST /v1/positions"


class SlowLink:
    """A context manager: :attr:`url` leads to the service on ``port``, with answers ``latency_s`` late."""

    def __init__(self, port: int, latency_s: float = 0.4) -> None:
        self._port = port
        self._latency_s = latency_s
        self._over = threading.Event()
        self._changed = threading.Condition()
        self._begun = 0
        self._ends: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> SlowLink:
        threading.Thread(target=self._accept, name="kalos-connect-link", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        # accept() is not woken by a close in another thread; a connection wakes it.
        socket.create_connection(self._listener.getsockname()).close()
        with self._changed:
            for end in self._ends:
                _shut(end)

    def wait_for_positions(self, timeout_s: float) -> bool:
        """Wait for the next request with positions to set out; true when it did. Its answer is still to come."""
        with self._changed:
            before = self._begun
            return self._changed.wait_for(lambda: self._begun > before, timeout_s)

    def _accept(self) -> None:
        with self._listener:
            while True:
                near, _ = self._listener.accept()
                if self._over.is_set():
                    near.close()
                    return
                threading.Thread(target=self._carry, args=(near,), name="kalos-connect-link", daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        """One connection, both ways, until either end closes it."""
        with near, socket.create_connection(("127.0.0.1", self._port)) as far:
            with self._changed:
                self._ends |= {near, far}
            back = threading.Thread(target=self._back, args=(far, near), name="kalos-connect-link", daemon=True)
            back.start()
            try:
                while chunk := near.recv(_CHUNK):
                    if chunk.startswith(_POSITIONS):
                        self._note_positions()
                    far.sendall(chunk)
            except OSError:  # the device cut the request: that is the point
                pass
            _shut(far)
            back.join()
            with self._changed:
                self._ends -= {near, far}

    def _back(self, far: socket.socket, near: socket.socket) -> None:
        try:
            while chunk := far.recv(_CHUNK):
                self._over.wait(self._latency_s)
                near.sendall(chunk)
        except OSError:
            pass
        _shut(near)

    def _note_positions(self) -> None:
        with self._changed:
            self._begun += 1
            self._changed.notify_all()


def _shut(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:  # closed already
        pass
