"""A program of the machine: a real facade in a process of its own, told what to do over a pipe, killed at will.

Processes come from a fork server that has imported the SDK already, so that a crash and a restart cost milliseconds.
"""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from typing import Any

from kalos_connect_sdk import (
    AssertedParked,
    Config,
    Connect,
    ConsentRequired,
    Duration,
    KalosConnectError,
    Position,
    Precision,
    PromptAnswer,
    Purpose,
)
from kalos_connect_sdk.core.record import verify_record
from kalos_connect_sdk.crypto.sign import verify
from kalos_connect_sdk.testing import FakeClock, ScriptedPrompter

__all__ = ["APP", "START", "Machine", "Program", "Raised"]

APP = "com.example.machine"
START = datetime(2027, 5, 4, 12, tzinfo=UTC)
ANSWERS = {
    "drive": PromptAnswer.allow(),
    "days": PromptAnswer.allow(Duration.days(2)),
    "always": PromptAnswer.allow(Duration.UNTIL_WITHDRAWN),
    "deny": PromptAnswer.deny(),
    "dismiss": PromptAnswer.dismiss(),
}
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(
    ["machine_peer", "kalos_connect_sdk.protocol.works", "kalos_connect_sdk.transport.door"]
)


@dataclass
class Machine:
    """What every program of one imaginary head unit shares."""

    folder: str
    url: str
    boots: int = 0
    passed_s: float = 0.0
    """Since ``START``, on the wall."""
    up_s: float = 0.0
    asleep_s: float = 0.0

    def clock(self) -> FakeClock:
        clock = FakeClock(START)
        for _ in range(self.boots):
            clock.reboot()
        clock.advance(self.up_s)
        clock.suspend(self.asleep_s)
        clock.set_wall(START + timedelta(seconds=self.passed_s))
        return clock


class Raised(AssertionError):
    """A program raised something that no documentation mentions."""


class Program:
    """One process with one facade."""

    def __init__(self, machine: Machine) -> None:
        self._pipe, other = _processes.Pipe()
        self._process = _processes.Process(target=_serve, args=(other, machine), daemon=True)
        self._process.start()
        other.close()

    def ask(self, name: str, *args: Any) -> Any:
        """The answer to one call. Raises :class:`Raised`; a documented error is ``{"raised": its name}``."""
        self._pipe.send((name, args))
        return _judged(self._pipe.recv())

    def begin(self, name: str, *args: Any) -> None:
        """Ask, and do not wait."""
        self._pipe.send((name, args))

    def begin_behind(self, gate: str, name: str, *args: Any) -> None:
        """Ask for a call that sets out when nobody locks the file ``gate`` any more."""
        self._pipe.send(("wait", (gate,)))
        assert self._pipe.recv() == ("ok", "waiting")
        self._pipe.send((name, args))

    def answer(self) -> Any:
        """Of what was begun."""
        return _judged(self._pipe.recv())

    def heard(self, within_s: float) -> tuple[bool, Any]:
        """(True, the answer), or (False, None) when none came in time."""
        return (True, _judged(self._pipe.recv())) if self._pipe.poll(within_s) else (False, None)

    def kill(self) -> None:
        """As the system does when memory is short: SIGKILL."""
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.join(60)
        self._process.close()
        self._pipe.close()


def _judged(answer: tuple[str, Any]) -> Any:
    kind, value = answer
    if kind == "undocumented":
        raise Raised(f"a program raised {value}")
    return value


def _serve(pipe: Connection, machine: Machine) -> None:
    program = _Calls(machine)
    while True:
        try:
            name, args = pipe.recv()
        except EOFError:
            os._exit(0)
        if name == "wait":
            with open(args[0]) as gate:
                pipe.send(("ok", "waiting"))
                fcntl.flock(gate, fcntl.LOCK_SH)
            continue
        try:
            pipe.send(("ok", getattr(program, name)(*args)))
        except KalosConnectError as error:
            reason = error.reason.name if isinstance(error, ConsentRequired) else ""
            pipe.send(("ok", {"raised": type(error).__name__, "reason": reason}))
        except BaseException as error:
            pipe.send(("undocumented", f"{type(error).__name__} from {name}"))


class _Calls:
    def __init__(self, machine: Machine) -> None:
        self._clock = machine.clock()
        self._prompter = ScriptedPrompter(PromptAnswer.dismiss(), driver_facing=False)
        self._connect = Connect(
            APP,
            config=Config(
                service_url=machine.url,
                state_dir=f"{machine.folder}/state",
                vault=f"file:{machine.folder}/vault",
                timeout_s=5.0,
                batch_max_positions=3,
            ),
            clock=self._clock,
            vehicle=AssertedParked("a test bench"),
            prompter=self._prompter,
        )

    def permission(self) -> tuple[bool, int, str, str]:
        found = self._connect.permission()
        return found.granted, found.epoch, found.reason.name, found.precision.value if found.precision else ""

    def request(self, answer: str, precision: str, purpose: str) -> tuple[bool, int, str, str]:
        self._prompter.will(ANSWERS[answer])
        found = self._connect.request_permission(Purpose(purpose), precision=Precision(precision), user_action=True)
        return found.granted, found.epoch, found.reason.name, found.precision.value if found.precision else ""

    def submit(self, latitude: float) -> bool:
        return self._connect.submit(Position(latitude, 24.0)).accepted

    def flush(self) -> dict[str, Any]:
        report = self._connect.flush(timeout_s=20)
        return {"sent": report.sent, "left": report.remaining, "notices": report.notices_pending}

    def withdraw(self, purpose: str | None) -> dict[str, Any]:
        report = self._connect.withdraw(Purpose(purpose) if purpose else None, timeout_s=20)
        return {"complete": report.complete, "possibly": report.possibly_delivered, "durable": report.durable}

    def reset(self) -> None:
        self._connect.reset()

    def notices(self) -> tuple[list[tuple[str, int, str]], list[str]]:
        """Of every notice of navigation, due or asleep: record id, epoch, id; and the record ids that are navigation's."""
        engine = self._connect._opened()
        rows = engine.keeper.call(engine.state.ledger.notices)
        ours = [row for row in rows if row.purpose is Purpose.NAVIGATION]
        names = [row.record_id for row in ours] + [engine.view.snapshot().record_ids[Purpose.NAVIGATION]]
        return [(row.record_id, row.epoch, row.notice_id) for row in ours], names

    def receipts(self) -> list[bool]:
        return [verify_record(record, verify=verify).valid for record in self._connect.receipts()]

    def deliver(self) -> bool:
        return self._connect.wait_for_notices(10)

    def passes(self, seconds: float, asleep: bool) -> None:
        (self._clock.suspend if asleep else self._clock.advance)(seconds)
