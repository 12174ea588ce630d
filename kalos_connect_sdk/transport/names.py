"""Host names, resolved before any lock is taken.

``getaddrinfo`` can be neither timed out nor aborted, so it never runs while a sender holds the barrier (R3):
:meth:`Names.resolve` is called first, and connections are made only to what it found.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from typing import Any, Final, NamedTuple

__all__ = ["Address", "Names"]

_KEPT_S: Final = 60.0


class Address(NamedTuple):
    """Where to connect to."""

    family: int
    sockaddr: Any


class Names:
    """A small cache of resolved hosts. Safe from any thread: each entry is replaced whole."""

    __slots__ = ("_found",)

    def __init__(self) -> None:
        self._found: dict[tuple[str, int], tuple[float, tuple[Address, ...]]] = {}

    def resolve(self, host: str, port: int) -> None:
        """Look the host up unless that was done within the last minute; may block. Raises ``OSError``."""
        entry = self._found.get((host, port))
        if entry is None or entry[0] < time.monotonic():
            self._look_up(host, port, flags=0)

    def addresses(self, host: str, port: int) -> tuple[Address, ...]:
        """What :meth:`resolve` found, however long ago. A literal address needs no resolving. Raises ``OSError``."""
        entry = self._found.get((host, port))
        if entry is not None:
            return entry[1]
        if not _is_literal(host):
            raise socket.gaierror(socket.EAI_AGAIN, "not resolved")
        return self._look_up(host, port, flags=socket.AI_NUMERICHOST)

    def _look_up(self, host: str, port: int, *, flags: int) -> tuple[Address, ...]:
        rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=flags)
        found = tuple(dict.fromkeys(Address(row[0], row[4]) for row in rows))
        self._found[host, port] = (time.monotonic() + _KEPT_S, found)
        return found


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
