"""What becomes of a state directory after a power cut: opened by a fresh process, in a new boot, with RAM empty.

A server imports everything once and forks a child for each state, which lays the files out, opens them as an app
would, and says what it found. Run as a program it is that server.
"""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import socket
import struct
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recorded_writes import Tree

__all__ = ["APP", "NOON", "WEEK_DAYS", "Facts", "Recoverer", "facade", "reserved_port"]

APP = "com.example.test"
NOON = datetime(2027, 5, 4, 12, tzinfo=UTC)
WEEK_DAYS = 7
_LENGTH = struct.Struct("<Q")
_DEADLINE_S = 60


@dataclass
class Facts:
    """What the recovered program says and holds. Epochs count from 1, 0 is none."""

    granted: int = 0
    reason: str = ""
    records: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    """Purpose -> (status, epoch, erased up to)."""
    notices: list[tuple[str, str, int, bool]] = field(default_factory=list)
    """(id, purpose, epoch, awake)."""
    ciphertext: int = 0
    """Files left in the outbox."""
    key: bool = False
    again: int = 0
    """The epoch of a grant given after recovery, when asked for."""
    error: str = ""


def facade(root: Path, url: str, *, reboot: bool) -> Any:
    """A Connect on ``root``: a week's grant, a key file, a clock that stands at noon or an hour later in a new boot."""
    from kalos_connect_sdk import AssertedParked, Config, Connect, Duration, PromptAnswer
    from kalos_connect_sdk.testing import FakeClock, ScriptedPrompter

    clock = FakeClock(NOON)
    if reboot:
        clock.reboot(datetime(2027, 5, 4, 13, tzinfo=UTC))
    return Connect(
        APP,
        vehicle=AssertedParked("a test bench"),
        config=Config(state_dir=str(root / "state"), vault=f"file:{root / 'vault'}", service_url=url),
        prompter=ScriptedPrompter(PromptAnswer.allow(Duration.days(WEEK_DAYS))),
        clock=clock,
    )


def reserved_port() -> socket.socket:
    """A bound socket that does not listen: its port refuses, and nobody else gets it."""
    reserved = socket.socket()
    reserved.bind(("127.0.0.1", 0))
    return reserved


class Recoverer:
    """The server, as its user sees it. ``root``: where every state is laid out (the vault knows the place)."""

    def __init__(self, root: Path, url: str) -> None:
        self._server = subprocess.Popen(
            [sys.executable, __file__, str(root), url], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def recover(self, tree: Tree, *, regrant: bool = False) -> Facts:
        """Lay ``tree`` out, recover, and say what came of it. ``regrant``: and ask for consent once more."""
        assert self._server.stdin is not None and self._server.stdout is not None
        message = pickle.dumps((tree, regrant))
        self._server.stdin.write(_LENGTH.pack(len(message)) + message)
        self._server.stdin.flush()
        (length,) = _LENGTH.unpack(self._server.stdout.read(_LENGTH.size))
        facts = pickle.loads(self._server.stdout.read(length))
        assert isinstance(facts, Facts)
        return facts

    def __enter__(self) -> Recoverer:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.close()
        self._server.stdout.close()
        self._server.wait(30)


# -- in the server -------------------------------------------------------------------------------


def _serve(root: Path, url: str) -> None:
    from kalos_connect_sdk.storage.datakeys import DataKeys
    from kalos_connect_sdk.storage.directory import StateDirectory

    _find_out(root, url, regrant=True, leave=True)  # everything is imported by now, and no thread is left
    slot = StateDirectory.open(APP, None, root / "state", create=False)
    while head := sys.stdin.buffer.read(_LENGTH.size):
        tree, regrant = pickle.loads(sys.stdin.buffer.read(_LENGTH.unpack(head)[0]))
        shutil.rmtree(root)
        root.mkdir(0o700)
        tree.write(root)
        DataKeys.choose(slot, "kernel").remove()  # RAM is empty after a power cut
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            signal.alarm(_DEADLINE_S)
            answer = pickle.dumps(_find_out(root, url, regrant=regrant))
            with open(writing, "wb") as out:
                out.write(answer)
            os._exit(0)
        os.close(writing)
        with open(reading, "rb") as come:
            answer = come.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if not answer:
            answer = pickle.dumps(Facts(error=f"ended with {status}"))
        sys.stdout.buffer.write(_LENGTH.pack(len(answer)) + answer)
        sys.stdout.buffer.flush()
    DataKeys.choose(slot, "kernel").remove()


def _find_out(root: Path, url: str, *, regrant: bool, reboot: bool = True, leave: bool = False) -> Facts:
    from kalos_connect_sdk.model.consent import Purpose
    from kalos_connect_sdk.protocol import works

    facts = Facts()
    try:
        connect = facade(root, url, reboot=reboot)
        permission = connect.permission()  # the very first answer counts
        facts.granted, facts.reason = permission.epoch or 0 if permission.granted else 0, permission.reason.name
        engine = connect._opened()
        engine.keeper.call(lambda: engine.works.ending.settle())
        state = engine.state
        rows = engine.keeper.call(state.ledger.notices)
        facts.notices = [(row.notice_id, row.purpose.value, row.epoch, row.awake) for row in rows]
        for purpose in Purpose:
            record = engine.keeper.call(state.reload).records[purpose]
            facts.records[purpose.value] = (record.status.value, record.epoch, record.erased_epoch)
        folder = state.directory.path / "outbox"
        facts.ciphertext = len(list(folder.iterdir())) if folder.is_dir() else 0
        ram = state.keys.read()
        facts.key = ram is not None and ram.key is not None
        if facts.granted != (connect.permission().epoch or 0 if connect.permission().granted else 0):
            facts.error = "it changed its answer"
        if regrant and not facts.granted:
            again = connect.request_permission(user_action=True)
            facts.again = again.epoch or 0 if again.granted else 0
        if leave:
            works._CLOSE_WAIT_S = 0.0  # nobody answers
            connect.withdraw()
            connect.close()
    except Exception as error:
        facts.error = f"{type(error).__name__}: {error}"
    return facts


if __name__ == "__main__":
    import crash_recovery  # under its own name, by which its answers are read

    crash_recovery._serve(Path(sys.argv[1]), sys.argv[2])
