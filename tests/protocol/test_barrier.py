"""R3: when withdraw() returns complete, nothing leaves any more, from any thread of any process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from kalos_connect_sdk import ConsentRequired, KalosConnectError, Position, Reason

HERE = (60.1699, 24.9384)

BUSY = r"""
import itertools, os, sys, threading
from kalos_connect_sdk import AssertedParked, Config, Connect, ConsentRequired, KalosConnectError, Position
state, vault, url, count = sys.argv[1:5]
def work(number):
    config = Config(state_dir=state, vault=vault, service_url=url, batch_max_positions=20)
    connect = Connect("com.example.test", config=config, vehicle=AssertedParked("a test bench"))
    try:
        for i in itertools.count():
            connect.submit(Position(60.0 + number, 24.0 + i * 1e-6))
            if i % 20 == 19:
                connect.flush()
            if i == 20:
                os.write(1, b"busy\n")
    except (ConsentRequired, KalosConnectError) as error:
        os.write(1, f"stopped {type(error).__name__}\n".encode())
threads = [threading.Thread(target=work, args=(n,)) for n in range(int(count))]
[t.start() for t in threads]
[t.join() for t in threads]
"""


class Program:
    """A real process that submits and sends as fast as it can."""

    def __init__(self, tmp_path: Path, url: str, threads: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", BUSY, str(tmp_path / "state"), f"file:{tmp_path / 'vault'}", url, str(threads)],
            stdout=subprocess.PIPE,
            text=True,
        )

    def until(self, word: str, times: int) -> None:
        assert self.process.stdout is not None
        for _ in range(times):
            while word not in (line := self.process.stdout.readline()):
                assert line, "the program ended early"

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(timeout=10)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def program(tmp_path, service):
    started: list[Program] = []

    def start(threads: int = 1) -> Program:
        started.append(Program(tmp_path, service.url, threads))
        return started[-1]

    yield start
    for one in started:
        one.end()


def arrived_after(service, instant: float) -> list[dict]:
    return [r for r in service.requests if r["path"].endswith("/positions") and r["t"] > instant]


def test_r3_eight_busy_senders_in_two_processes_fall_silent(make, service, program):
    connect = make()
    connect.request_permission(user_action=True)
    programs = [program(4), program(4)]
    for one in programs:
        one.until("busy", 4)
    report = connect.withdraw()
    returned = time.monotonic()
    assert report.complete, report
    for one in programs:
        one.until("stopped", 4)
        one.process.wait(timeout=10)
    assert service.positions, "they were busy"
    late = arrived_after(service, returned + 0.05)
    assert late == []


def test_r3_a_request_in_flight_is_cut_while_the_service_stalls(make, service):
    connect = make()
    connect.request_permission(user_action=True)
    connect.submit(Position(*HERE))
    connect.flush()
    service.fail(status=503, times=1, path="/v1/positions", stall_s=30.0, before="answer")
    connect.submit(Position(*HERE))
    seen = len(service.requests)
    done: list[object] = []
    thread = threading.Thread(target=lambda: done.append(connect.flush()))
    thread.start()
    deadline = time.monotonic() + 10
    while not any("t_read" in r for r in service.requests[seen:]) and time.monotonic() < deadline:
        threading.Event().wait(0.005)
    report = connect.withdraw()
    thread.join(timeout=5)
    assert report.complete and report.aborted == 1 and report.possibly_delivered == 1
    assert done and done[0].sent == 0 and done[0].reason is Reason.WITHDRAWN
    assert report.elapsed_s < 2.0


def test_r3_a_stopped_holder_is_named_and_finished_when_it_dies(make, service, program):
    connect = make()
    connect.request_permission(user_action=True)
    one = program(1)
    one.until("busy", 1)
    service.fail(status=503, times=1, path="/v1/positions", stall_s=60.0, before="answer")
    pid = one.process.pid
    wait_until(lambda: pid in connect._opened().state.barrier.holders() and stalled(service))
    os.kill(pid, signal.SIGSTOP)
    try:
        report = connect.withdraw(timeout_s=0.5)
        assert not report.complete
        assert report.holders == (pid,)
        assert report.durable and report.remaining
        with pytest.raises(ConsentRequired):
            connect.submit(Position(*HERE))
    finally:
        os.kill(pid, signal.SIGKILL)
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: connect.withdraw().complete)


def stalled(service) -> bool:
    """The failure has struck: whose request it was waits for an answer, and holds on."""
    return bool(service._faults._stalling)


def wait_until(true, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        pause.wait(0.01)


def test_r5_killed_with_rows_in_its_box_another_process_sends_them(make, service, tmp_path):
    connect = make()
    connect.request_permission(user_action=True)
    script = """
import os, signal, sys
from kalos_connect_sdk import AssertedParked, Config, Connect, Position
config = Config(state_dir=sys.argv[1], vault=sys.argv[2], service_url=sys.argv[3])
connect = Connect("com.example.test", config=config, vehicle=AssertedParked("a test bench"))
for i in range(30):
    assert connect.submit(Position(60.0, 24.0 + i * 1e-5)).accepted
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "state"), f"file:{tmp_path / 'vault'}", service.url],
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert connect.flush().sent == 30
    assert len(service.positions) == 30


def test_r4_nothing_readable_is_in_the_state_directory(make, service, tmp_path):
    connect = make()
    connect.request_permission(user_action=True)
    for i in range(300):
        connect.submit(Position(60.123456, 24.654321 + i * 1e-6, speed_mps=12.5))
    found = b"".join(path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file())
    for text in (b"60.12", b"24.65", b"601234560", b"latitude"):
        assert text not in found
    for number in (601234560, 246543210):
        assert number.to_bytes(4, "little") not in found and number.to_bytes(4, "big") not in found


@pytest.mark.fault(52)
def test_r11_withdraw_in_a_signal_handler_does_not_deadlock(tmp_path, service):
    script = """
import signal, sys, json
from kalos_connect_sdk import AssertedParked, Config, Connect, Position, PromptAnswer, ConsentRequired
from kalos_connect_sdk.testing import ScriptedPrompter
config = Config(state_dir=sys.argv[1], vault="file:" + sys.argv[1] + "-vault", service_url=sys.argv[2])
connect = Connect("com.example.test", config=config, vehicle=AssertedParked("a test bench"),
                  prompter=ScriptedPrompter(PromptAnswer.allow()))
assert connect.request_permission(user_action=True).granted
reports = []
signal.signal(signal.SIGALRM, lambda *_: reports.append(connect.withdraw()))
signal.setitimer(signal.ITIMER_REAL, 0.2)
try:
    while True:
        connect.submit(Position(60.0, 24.0))
except ConsentRequired as error:
    print(json.dumps([error.reason.name, reports[0].complete if reports else None]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "s"), service.url], capture_output=True, timeout=60, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["WITHDRAWN", True]


@pytest.mark.fault(52)
def test_r11_withdraw_in_atexit(tmp_path, service):
    script = """
import atexit, sys
from kalos_connect_sdk import AssertedParked, Config, Connect, Position, PromptAnswer
from kalos_connect_sdk.testing import ScriptedPrompter
config = Config(state_dir=sys.argv[1], vault="file:" + sys.argv[1] + "-vault", service_url=sys.argv[2])
connect = Connect("com.example.test", config=config, vehicle=AssertedParked("a test bench"),
                  prompter=ScriptedPrompter(PromptAnswer.allow()))
assert connect.request_permission(user_action=True).granted
connect.submit(Position(60.0, 24.0))
atexit.register(lambda: print(connect.withdraw().complete))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "s"), service.url], capture_output=True, timeout=60, text=True
    )
    assert done.stdout.strip() == "True", done.stderr


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.fault(23)
def test_a_forked_child_inherits_nothing_and_opens_anew(make, service):
    connect = make()
    connect.request_permission(user_action=True)
    connect.submit(Position(*HERE))
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            granted = connect.permission().granted
            accepted = connect.submit(Position(*HERE)).accepted
            os.write(writing, f"{granted} {accepted}".encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(writing)
    assert os.read(reading, 100) == b"True True"
    os.close(reading)
    assert connect.withdraw().complete
    with pytest.raises((ConsentRequired, KalosConnectError)):
        connect.submit(Position(*HERE))
