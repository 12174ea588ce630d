"""R3, proven from outside: whoever withdraws, whatever the service is doing, this host falls silent.

Evidence of both sides: the peer counts the bytes that reached it, what waits in its kernel included, and asks its
kernel when the last ones came; each sender keeps a record of what it sent.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme
from counting_peer import CountingPeer

from kalos_connect_sdk import AssertedParked, Config, Connect, ConsentRequired, Position, PromptAnswer, Reason
from kalos_connect_sdk.testing import ScriptedPrompter

SENDERS = 8
TICK_S = 0.01  # the kernel's clock of "last data received" goes in steps of up to this
PROGRAM = Path(__file__).with_name("busy_sender.py")
CLI = "import sys; from kalos_connect_sdk.cli.main import main; sys.exit(main())"

SCHEMES = ("http", "https")
PLACES = ("unread", "reading", "unanswered", "fast")
CROWDS = ("8 threads", "3 programs")
WITHDRAWERS = ("a sender's program", "another program", "the command line", "a signal handler")
EVERY = list(itertools.product(SCHEMES, PLACES, CROWDS, WITHDRAWERS))


def chosen() -> list[tuple[str, str, str, str]]:
    """All 64, or 16 in which every pair of place and withdrawer meets, and every scheme and crowd with each of them."""
    if os.environ.get("KALOS_SWEEP") == "full":
        return EVERY
    some = []
    for row, place in enumerate(PLACES):
        for column, withdrawer in enumerate(WITHDRAWERS):
            scheme, crowd = SCHEMES[(row + column) % 2], CROWDS[(row // 2 + column // 2 + row + column) % 2]
            some.append((scheme, place, crowd, withdrawer))
    return some


class Program:
    """A real process that submits and sends as fast as it can."""

    def __init__(self, scene: Scene, threads: int) -> None:
        self.threads = threads
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), scene.state, scene.vault, scene.peer.url, scene.bundle, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._heard: list[dict[str, Any]] = []

    def tell(self, word: str) -> None:
        assert self.process.stdin is not None
        print(word, file=self.process.stdin, flush=True)

    def hear(self, event: str, times: int) -> list[dict[str, Any]]:
        """The next ``times`` reports of one kind; the others wait their turn."""
        assert self.process.stdout is not None
        while sum(one["event"] == event for one in self._heard) < times:
            line = self.process.stdout.readline()
            assert line, "the program ended early"
            self._heard.append(json.loads(line))
        found = [one for one in self._heard if one["event"] == event]
        self._heard = [one for one in self._heard if one["event"] != event]
        return found

    def end(self) -> None:
        self.process.kill()
        self.process.wait(timeout=30)
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()


class Scene:
    """One service, one state, several senders, and this process's own facade."""

    def __init__(self, stack: ExitStack, folder: Path, scheme: str, place: str) -> None:
        context, self.bundle = None, ""
        if scheme == "https":
            import ssl

            authority = trustme.CA()
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert("127.0.0.1").configure_cert(context)
            self.bundle = str(folder / "ca.pem")
            authority.cert_pem.write_to_path(self.bundle)
        self.peer = stack.enter_context(CountingPeer(context, place))
        self.state, self.vault = str(folder / "state"), f"file:{folder / 'vault'}"
        self.connect = stack.enter_context(
            Connect(
                "com.example.test",
                config=Config(
                    state_dir=self.state, vault=self.vault, service_url=self.peer.url, ca_bundle=self.bundle or None
                ),
                prompter=ScriptedPrompter(PromptAnswer.allow()),
                vehicle=AssertedParked("a test bench"),
            )
        )
        self.programs: list[Program] = []
        self._stack = stack

    def grant(self) -> None:
        assert self.connect.request_permission(user_action=True).granted

    def start(self, crowd: str) -> None:
        for threads in [SENDERS] if crowd == "8 threads" else [3, 3, 2]:
            program = Program(self, threads)
            self._stack.callback(program.end)
            self.programs.append(program)
        for program in self.programs:
            program.hear("busy", program.threads)

    def withdraw(self, withdrawer: str) -> tuple[float, dict[Any, int]]:
        """When it returned, and how many bytes had reached the peer by then."""
        first = self.programs[0]
        if withdrawer == "another program":
            report = self.connect.withdraw(timeout_s=30)
            arrived, returned = self.peer.arrived(), time.monotonic()
            assert report.complete, report.remaining
            return returned, arrived
        if withdrawer == "the command line":
            settings = {"STATE_DIR": self.state, "VAULT": self.vault, "SERVICE_URL": self.peer.url}
            settings |= {"CA_BUNDLE": self.bundle} if self.bundle else {}
            done = subprocess.run(
                [sys.executable, "-c", CLI, "consent", "withdraw", "--app", "com.example.test", "--json"],
                env={**os.environ, **{f"KALOS_CONNECT_{name}": value for name, value in settings.items()}},
                capture_output=True,
                timeout=60,
            )
            arrived, returned = self.peer.arrived(), time.monotonic()
            assert done.returncode == 0, done.stderr.decode()
            assert json.loads(done.stdout)["complete"] is True
            return returned, arrived
        if withdrawer == "a signal handler":
            os.kill(first.process.pid, signal.SIGUSR1)
        else:
            first.tell("withdraw")
        (report,) = first.hear("withdrawn", 1)
        arrived = self.peer.arrived()
        assert report["complete"], report["remaining"]
        return report["returned"], arrived


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Callable[[str, str], Scene]]:
    with ExitStack() as stack:
        yield lambda scheme, place: Scene(stack, tmp_path, scheme, place)


@pytest.mark.once
@pytest.mark.fault(19, 22, 52)
@pytest.mark.parametrize(("scheme", "place", "crowd", "withdrawer"), chosen())
def test_r3_silence_after_withdrawal(scene, scheme, place, crowd, withdrawer):
    stage = scene(scheme, place)
    stage.grant()
    stage.start(crowd)
    if place != "fast":
        stage.peer.sleep.armed = True
        assert stage.peer.wait_for(lambda: stage.peer.sleep.asleep == SENDERS), "every sender waits for the service"
    returned, arrived = stage.withdraw(withdrawer)
    records = [record for program in stage.programs for record in program.hear("stopped", program.threads)]

    # The peer's evidence: not one byte more, and none that its kernel received later.
    assert stage.peer.arrived() == arrived
    assert len(arrived) >= SENDERS and all(arrived.values())
    assert max(line.last_arrival() for line in arrived) <= returned + TICK_S
    # The senders' evidence: no successful send was begun, the next submit and flush say no, in every program.
    assert all(began < returned for record in records for began, _ in record["sends"])
    assert {record["reason"] for record in records} == {"WITHDRAWN"}
    assert {record["next_submit"] for record in records} == {"WITHDRAWN"}
    assert [record["next_flush"] for record in records] == [[0, True]] * SENDERS
    with pytest.raises(ConsentRequired) as refused:
        stage.connect.submit(Position(60.0, 24.0))
    assert refused.value.reason is Reason.WITHDRAWN

    # A later grant revives nothing (R6).
    stage.peer.sleep.armed = False
    stage.peer.sleep.awake.set()
    before = len(stage.peer.batches)
    stage.grant()
    for program in stage.programs:
        program.tell("again")
    later = [record for program in stage.programs for record in program.hear("again", program.threads)]
    assert all(record["revived"] == [0, 0] and record["accepted"] for record in later)
    fresh = [batch for batch in stage.peer.batches[before:] if batch[0] != 1]  # 1: what it had in its own kernel
    assert fresh == [(2, 1)] * SENDERS
    if place != "fast":  # awake again, the peer would have taken what was left in the senders' kernels
        assert {line: line.arrived() for line in arrived} == arrived
