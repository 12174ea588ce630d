"""Whose program is at the other end of a loopback connection (Linux).

A link on a command line can be read by every user of a device. So a page answers only programs of the user who serves
it: the kernel says whose socket it is. Where it does not say (other systems), the link alone has to do.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

__all__ = ["is_stranger"]

_TABLES: Final = ("/proc/net/tcp", "/proc/net/tcp6")
_NOBODY_S: Final = "0"
"""The inode of a socket that its program has closed: the kernel calls root its owner, whoever it was."""
_TRIES: Final = 3
"""The kernel writes the table out piece by piece: a row may be missed while others come and go."""


def is_stranger(peer: tuple[str, int], own: tuple[str, int]) -> bool:
    """Whether the connection from ``peer`` to ``own`` (IPv4 address and port) belongs to another user, or to nobody
    known on a system that could tell."""
    if not sys.platform.startswith("linux"):
        return False
    for _ in range(_TRIES):
        uid = _owner(_name(peer), _name(own))
        if uid is not None:
            return uid != os.geteuid()
    return True


def _owner(local: str, remote: str) -> int | None:
    for table in _TABLES:
        try:
            rows = Path(table).read_text("ascii").splitlines()[1:]
        except OSError:  # no IPv6 here, or no /proc
            continue
        for row in rows:
            fields = row.split()
            if fields[1].endswith(local) and fields[2].endswith(remote) and fields[9] != _NOBODY_S:
                return int(fields[7])
    return None


def _name(end: tuple[str, int]) -> str:
    """As the tables write it: the address in the byte order of the machine (an IPv4 one ends the IPv6 one)."""
    number = int.from_bytes(bytes(map(int, end[0].split("."))), sys.byteorder)
    return f"{number:08X}:{end[1]:04X}"
