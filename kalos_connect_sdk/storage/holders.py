"""Who holds a ``flock``: the pids a withdrawal names when it cannot finish (R3)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["holders_of"]


def holders_of(path: Path) -> tuple[int, ...]:
    """The live pids that hold a ``flock`` on ``path``, ascending. Empty where ``/proc`` does not tell."""
    try:
        found = os.stat(path)
        text = Path("/proc/locks").read_text("ascii", "replace")
    except OSError:
        return ()
    pids = {pid for pid in _pids(text, found) if _has_open(pid, found)}
    # The kernel lists who took the lock; a copy kept by a child of a dead taker shows only in its fdinfo.
    return tuple(sorted(pids or set(_by_fdinfo(found))))


def _pids(text: str, found: os.stat_result) -> Iterator[int]:
    """Pids of the FLOCK lines about that inode; the device is left to :func:`_has_open`, because some file
    systems show another one here than in ``stat``."""
    for line in text.splitlines():
        words = line.split()
        if "->" in words or len(words) < 6 or words[1] != "FLOCK":
            continue  # "->" waits, it does not hold
        if words[5].rpartition(":")[2] == str(found.st_ino) and words[4].isdecimal():
            yield int(words[4])


def _has_open(pid: int, found: os.stat_result) -> bool:
    """Whether that process has the file open; yes when it does not let us look (it may be undumpable)."""
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except PermissionError:
        return True
    except OSError:
        return False
    return any(_same(f"/proc/{pid}/fd/{name}", found) for name in names)


def _by_fdinfo(found: os.stat_result) -> Iterator[int]:
    for pid in _names("/proc"):
        if not pid.isdecimal():
            continue
        for fd in _names(f"/proc/{pid}/fd"):
            if _same(f"/proc/{pid}/fd/{fd}", found) and "FLOCK" in _read(f"/proc/{pid}/fdinfo/{fd}"):
                yield int(pid)
                break


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _read(path: str) -> str:
    try:
        return Path(path).read_text("ascii", "replace")
    except OSError:
        return ""


def _same(path: str, found: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path), found)
    except OSError:
        return False
