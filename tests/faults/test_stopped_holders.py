"""R3: programs that are stopped while they hold the barrier are named, never waited for beyond the time-out, never
claimed to be silent; the withdrawal finishes by itself when they wake or die, and they send nothing after waking."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from counting_peer import CountingPeer

from kalos_connect_sdk import AssertedParked, Config, Connect, ConsentRequired, PermissionState, Position, PromptAnswer
from kalos_connect_sdk.testing import ScriptedPrompter

NAMESPACE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
HOLDER = r"""
import os, sys
from kalos_connect_sdk import AssertedParked, Config, Connect, KalosConnectError, Position
config = Config(state_dir=sys.argv[1], vault=sys.argv[2], service_url=sys.argv[3])
connect = Connect("com.example.test", config=config, vehicle=AssertedParked("a test bench"))
for i in range(50):
    connect.submit(Position(60.0, 24.0 + i * 1e-4))
report = connect.flush()
os.write(1, f"{report.sent} {report.reason.name}\n".encode())
try:
    connect.submit(Position(60.0, 24.0))
    os.write(1, b"ACCEPTED\n")
except KalosConnectError as error:
    os.write(1, f"{error.reason.name}\n".encode())
"""


WITHDRAWER = r"""
import json, sys
from kalos_connect_sdk import AssertedParked, Config, Connect
config = Config(state_dir=sys.argv[1], vault=sys.argv[2], service_url=sys.argv[3])
connect = Connect("com.example.test", config=config, vehicle=AssertedParked("a test bench"))
connect.receipts()  # so that opening takes none of the time
report = connect.withdraw(timeout_s=2)
print(json.dumps([report.complete, report.durable, report.holders, report.remaining]))
"""


class Bench:
    """A service that falls asleep before it answers, a grant, and programs that hold the barrier meanwhile."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.peer = stack.enter_context(CountingPeer(None, "unanswered"))
        self.peer.sleep.armed = True
        self.paths = [str(folder / "state"), f"file:{folder / 'vault'}", self.peer.url]
        config = Config(state_dir=self.paths[0], vault=self.paths[1], service_url=self.peer.url)
        self.connect = stack.enter_context(
            Connect(
                "com.example.test",
                config=config,
                prompter=ScriptedPrompter(PromptAnswer.allow()),
                vehicle=AssertedParked("a test bench"),
            )
        )
        assert self.connect.request_permission(user_action=True).granted
        self._stack = stack

    def holder(self, *prefix: str) -> subprocess.Popen[str]:
        """A program whose request waits for the service, so that it holds the barrier."""
        asleep = self.peer.sleep.asleep
        program = subprocess.Popen(
            [*prefix, sys.executable, "-c", HOLDER, *self.paths], stdout=subprocess.PIPE, text=True
        )
        self._stack.callback(self._end, program)
        assert self.peer.wait_for(lambda: self.peer.sleep.asleep == asleep + 1)
        return program

    @staticmethod
    def _end(program: subprocess.Popen[str]) -> None:
        if program.poll() is None:
            program.kill()
        program.wait(timeout=30)
        assert program.stdout is not None
        program.stdout.close()

    def finished(self) -> bool:
        """Whether the drop has been recorded as done; looked at until it is, for at most a minute."""
        record = lambda: self.connect._opened().state.snapshot.records  # noqa: E731 - one use, one line
        return until(lambda: all(one.erased_epoch >= one.epoch for one in record().values()))


def until(true) -> bool:
    deadline, pause = time.monotonic() + 60, threading.Event()
    while not true():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.01)
    return True


def stop(pid: int) -> None:
    """Stop a program, and see that all its threads are."""
    os.kill(pid, signal.SIGSTOP)

    def states() -> set[str]:
        tasks = Path(f"/proc/{pid}/task").iterdir()
        return {task.joinpath("stat").read_text().rpartition(")")[2].split()[0] for task in tasks}

    assert until(lambda: states() == {"T"})


def needs_namespaces() -> None:
    if subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode:
        pytest.skip("a pid namespace cannot be made here")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(stack, tmp_path)


@pytest.mark.once
@pytest.mark.fault(20)
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("then", [signal.SIGCONT, signal.SIGKILL])
def test_r3_stopped_holders_are_named_and_finished_when_they_wake_or_die(bench, count, then):
    seen: list[PermissionState] = []
    bench.connect.on_change(lambda permission: seen.append(permission.state))
    programs = [bench.holder() for _ in range(count)]
    arrived = bench.peer.arrived()
    for program in programs:
        stop(program.pid)

    report = bench.connect.withdraw(timeout_s=0.2)
    assert not report.complete and report.durable
    assert report.holders == tuple(sorted(program.pid for program in programs))
    assert report.remaining and report.elapsed_s < 10  # bounded; not a claim of speed
    assert bench.connect.permission().state is PermissionState.BLOCKED
    with pytest.raises(ConsentRequired):
        bench.connect.submit(Position(60.0, 24.0))
    again = bench.connect.withdraw(timeout_s=2)
    assert not again.complete and again.holders == report.holders, "it still claims no more than it did"
    assert any("waiting for the named programs" in line for line in again.remaining)

    for program in programs:
        os.kill(program.pid, then)
    assert bench.finished(), "in the background, without another call"
    again = bench.connect.withdraw()
    assert again.complete and not again.holders and not again.remaining
    assert until(lambda: PermissionState.BLOCKED in seen)
    if then is signal.SIGCONT:
        for program in programs:
            assert program.stdout is not None
            assert program.stdout.readline() == "0 WITHDRAWN\n", "its request was cut and its positions are gone"
            assert program.stdout.readline() == "WITHDRAWN\n"
    assert {line: line.arrived() for line in arrived} == arrived, "it sent nothing after waking"


@pytest.mark.once
@pytest.mark.fault(20)
def test_r3_one_of_two_stopped_holders_dies_and_the_other_still_counts(bench):
    first, second = bench.holder(), bench.holder()
    stop(first.pid)
    stop(second.pid)
    assert bench.connect.withdraw(timeout_s=0).holders == tuple(sorted((first.pid, second.pid)))
    first.kill()
    first.wait(timeout=30)
    report = bench.connect.withdraw(timeout_s=0)
    assert not report.complete and report.holders == (second.pid,)
    second.kill()
    assert bench.finished()
    assert bench.connect.withdraw().complete


@pytest.mark.once
@pytest.mark.fault(20)
def test_r3_a_stopped_holder_in_a_pid_namespace_is_named_by_the_pid_it_has_here(bench):
    """A container below ours: the kernel translates its pids for us."""
    needs_namespaces()
    outer = bench.holder(*NAMESPACE)
    children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
    (inside,) = [int(child) for child in children]
    stop(inside)
    report = bench.connect.withdraw(timeout_s=0.2)
    assert not report.complete and report.holders == (inside,)
    os.kill(inside, signal.SIGCONT)
    assert bench.finished() and bench.connect.withdraw().complete


@pytest.mark.once
@pytest.mark.fault(20)
def test_r3_a_stopped_holder_outside_the_withdrawers_pid_namespace_is_admitted_without_a_name(bench):
    """From inside a container the kernel shows no pid of a program outside: no pid is made up, nothing is claimed."""
    needs_namespaces()
    outside = bench.holder()
    stop(outside.pid)
    done = subprocess.run(
        [*NAMESPACE, sys.executable, "-c", WITHDRAWER, *bench.paths], capture_output=True, timeout=60, text=True
    )
    assert done.returncode == 0, done.stderr
    complete, durable, holders, remaining = json.loads(done.stdout)
    assert (complete, durable, holders) == (False, True, [])
    assert any("cannot be named from this container" in line for line in remaining), remaining
    os.kill(outside.pid, signal.SIGCONT)
    assert bench.connect.withdraw().complete
