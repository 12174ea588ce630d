"""Memory that runs out at the nth allocation inside one call of the SDK, in a process of its own each time.

A server imports everything once. For each case it forks a child that makes the call with the allocator failing, and
then a second, healthy one that opens what the first has left. Run as a program it is that server.
"""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crash_recovery import APP, Facts, _find_out, facade

__all__ = ["CALLS", "Case", "OutOfMemory", "Outcome"]

CALLS = ("grant", "submit", "flush", "withdraw")
_LENGTH = struct.Struct("<Q")
_DEADLINE_S = 40
_WITHOUT_S = 2
"""How long a process without any memory is let stand still."""


@dataclass(frozen=True)
class Case:
    """``call``, with the ``nth`` allocation failing; ``forever``: and every one after it."""

    call: str
    nth: int
    forever: bool = False


@dataclass
class Outcome:
    """``said``: what the call returned (``granted``, ``accepted``, ``complete``... or ``no``), ``raised NAME``,
    ``died`` or ``hung``. ``facts``: what a healthy process then found. ``queued``: positions it found buffered."""

    said: str
    facts: Facts
    queued: int = 0


class OutOfMemory:
    """The server, as its user sees it."""

    def __init__(self, root: Path, url: str) -> None:
        self._server = subprocess.Popen(
            [sys.executable, __file__, str(root), url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # "MemoryError ignored in ..."
        )

    def run(self, case: Case) -> Outcome:
        """Make it happen."""
        assert self._server.stdin is not None and self._server.stdout is not None
        message = pickle.dumps(case)
        self._server.stdin.write(_LENGTH.pack(len(message)) + message)
        self._server.stdin.flush()
        (length,) = _LENGTH.unpack(self._server.stdout.read(_LENGTH.size))
        outcome = pickle.loads(self._server.stdout.read(length))
        assert isinstance(outcome, Outcome)
        return outcome

    def __enter__(self) -> OutOfMemory:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.close()
        self._server.stdout.close()
        self._server.wait(60)


# -- in the server -------------------------------------------------------------------------------


def _serve(root: Path, url: str) -> None:
    from kalos_connect_sdk import KalosConnectError
    from kalos_connect_sdk.protocol import works
    from kalos_connect_sdk.storage.datakeys import DataKeys
    from kalos_connect_sdk.storage.directory import StateDirectory

    works._CLOSE_WAIT_S = 0.0  # nobody answers
    for call in CALLS:
        connect, work = _prepared(call, root, url)
        with suppress(KalosConnectError):
            work()
        connect.withdraw()
        connect.close()  # everything is imported by now, and no thread is left
    slot = StateDirectory.open(APP, None, root / "state", create=False)
    _find_out(root, url, regrant=False, reboot=False, leave=True)
    while head := sys.stdin.buffer.read(_LENGTH.size):
        case = pickle.loads(sys.stdin.buffer.read(_LENGTH.unpack(head)[0]))
        shutil.rmtree(root)
        root.mkdir(0o700)
        DataKeys.choose(slot, "kernel").remove()
        said = _in_child(lambda case=case: _fail(case, root, url), _WITHOUT_S if case.forever else _DEADLINE_S)
        found = _in_child(lambda: _look(root, url))
        facts, queued = found if found is not None else (Facts(error="recovery ended or hung"), 0)
        answer = pickle.dumps(Outcome(said if isinstance(said, str) else "died", facts, queued))
        sys.stdout.buffer.write(_LENGTH.pack(len(answer)) + answer)
        sys.stdout.buffer.flush()
    DataKeys.choose(slot, "kernel").remove()


def _in_child(work: Callable[[], Any], deadline_s: int = _DEADLINE_S) -> Any:
    """What ``work`` returns in a forked child; None when that dies, ``hung`` when it must be stopped."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(deadline_s)
        answer = pickle.dumps(work())
        os.write(writing, answer)
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as come:
        answer = come.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == -signal.SIGALRM:
        return "hung"
    return pickle.loads(answer) if answer else None


def _prepared(call: str, root: Path, url: str) -> tuple[Any, Callable[[], str]]:
    """Everything before the call; the facade and the call itself are what comes back."""
    from kalos_connect_sdk import Position

    connect = facade(root, url, reboot=False)
    connect.permission()
    engine = connect._opened()
    engine.keeper.call(lambda: engine.works)
    if call == "grant":
        return connect, lambda: "granted" if connect.request_permission(user_action=True).granted else "no"
    connect.request_permission(user_action=True)
    connect.submit(Position(60.0, 24.0))
    if call == "submit":
        another = Position(60.0, 25.0)
        return connect, lambda: "accepted" if connect.submit(another).accepted else "no"
    if call == "flush":
        return connect, lambda: f"sent {connect.flush(timeout_s=5).sent}"
    return connect, lambda: "complete" if connect.withdraw(timeout_s=2).complete else "no"


def _fail(case: Case, root: Path, url: str) -> str:
    import _testcapi

    _, call = _prepared(case.call, root, url)
    said = "died"
    _testcapi.set_nomemory(case.nth, 0 if case.forever else case.nth + 1)
    try:
        said = call()
    except BaseException as error:
        _testcapi.remove_mem_hooks()
        return f"raised {type(error).__name__}"
    _testcapi.remove_mem_hooks()
    return said


def _look(root: Path, url: str) -> tuple[Facts, int]:
    facts = _find_out(root, url, regrant=False, reboot=False)
    queued = 0
    if facts.granted:
        connect = facade(root, url, reboot=False)
        box = connect._opened().store.for_sending(facts.granted)
        queued = len(box) if box is not None else 0
    return facts, queued


if __name__ == "__main__":
    import out_of_memory  # under its own name, by which its answers are read

    out_of_memory._serve(Path(sys.argv[1]), sys.argv[2])
