"""What a child process looks at and does: a module, so that ``multiprocessing`` can import it in a fresh interpreter."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any

from kalos_connect_sdk import AssertedParked, Config, Connect, Position
from kalos_connect_sdk.transport import lifeline

__all__ = ["inherited", "own_facade", "sockets_of_the_sdk", "work"]


def inherited(state_dir: str, sockets: Collection[int]) -> list[str]:
    """What this process has open of its parent's SDK: these sockets, by inode, locks and boxes of the state directory.

    The mapped page and the ledger are no locks: a copy of their descriptors holds nothing, and the child never uses
    them (closing SQLite's would be worse: it says so itself).
    """
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            inode = os.fstat(int(name)).st_ino
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if (target.startswith("socket:") and inode in sockets) or (
            target.startswith(state_dir) and not os.path.basename(target).startswith(("page", "ledger.db"))
        ):
            found.append(target)
    return found


def sockets_of_the_sdk() -> list[int]:
    """The inodes of the sockets this process's door has open."""
    return [os.fstat(line._fd).st_ino for line in tuple(lifeline._lines) if line._fd >= 0]


def own_facade(state_dir: str, vault: str, url: str) -> str:
    """Use the SDK here, on the same state."""
    config = Config(state_dir=state_dir, vault=vault, service_url=url)
    with Connect("com.example.test", config=config, vehicle=AssertedParked("a test bench")) as connect:
        granted = connect.permission().granted
        accepted = connect.submit(Position(61.0, 25.0)).accepted if granted else None
        return f"{granted} {accepted}"


def work(pipe: Any, sockets: list[int], state_dir: str, vault: str, url: str) -> None:
    """Say what was inherited and what works, then live on until the other end is closed."""
    pipe.send((inherited(state_dir, sockets), own_facade(state_dir, vault, url)))
    try:
        pipe.recv()
    except EOFError:
        pass
