"""Counts what really leaves: TCP packets, seen by a packet socket, by their ports."""

from __future__ import annotations

import errno
import socket
import struct
from contextlib import suppress
from pathlib import Path

__all__ = ["NotPermitted", "Wire", "queued"]


class NotPermitted(Exception):
    """Capturing packets takes CAP_NET_RAW."""


class Wire:
    """Counts TCP packets towards a port on the loopback interface, from another socket than theirs."""

    def __init__(self, port: int) -> None:
        try:
            self._tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        except PermissionError:
            raise NotPermitted from None
        self._tap.bind(("lo", 0x0800))
        self._tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._tap.setblocking(False)
        self._port = port

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._tap.close()

    def take(self, source: int = 0) -> dict[str, int]:
        """What passed since the last time, of all or of one source port: payload bytes, packets with it, resets."""
        seen = {"bytes": 0, "packets": 0, "resets": 0}
        with suppress(BlockingIOError):
            while True:
                try:
                    packet, address = self._tap.recvfrom(65536)
                except OSError as error:
                    if error.errno != errno.ENETDOWN:  # told once, when the interface went down
                        raise
                    continue
                if address[2] != socket.PACKET_OUTGOING:  # loopback shows each packet twice
                    _count(packet, source, self._port, seen)
        return seen


def _count(packet: bytes, source: int, port: int, seen: dict[str, int]) -> None:
    head = (packet[0] & 15) * 4
    ports = struct.unpack_from("!HH", packet, head)
    if packet[9] != socket.IPPROTO_TCP or ports[1] != port or source not in (0, ports[0]):
        return
    offset, flags = packet[head + 12] >> 4, packet[head + 13]
    payload = struct.unpack_from("!H", packet, 2)[0] - head - 4 * offset
    seen["bytes"] += payload
    seen["packets"] += payload > 0
    seen["resets"] += bool(flags & 4)


def queued(port: int) -> tuple[int, int]:
    """(bytes in the send queue, connections) towards the port, as the kernel of this network lists them."""
    rows = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    found = [int(row[4].split(":")[0], 16) for row in rows if int(row[2].split(":")[1], 16) == port]
    return sum(found), len(found)
