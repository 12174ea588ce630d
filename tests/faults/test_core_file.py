"""What a core file of the process shows: written down, bounded, and not written at all where a host hardens itself."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kalos_connect_sdk.storage.datakeys import DataKeys
from kalos_connect_sdk.storage.directory import StateDirectory
from kalos_connect_sdk.testing import ServiceEmulator

ROOT = Path(__file__).resolve().parents[2]
APP = "com.example.test"
CANARIES = [(47.1234567 + n * 0.0123457, 8.7654321 + n * 0.0234567) for n in range(1, 20)]
COPIES_LEFT = 64
"""More 8-byte copies of coordinates than this, of 19 positions, stay in no process after a withdrawal and a garbage
collection (docs/hardening.md)."""

KEYS_LEFT = 4
"""The same of the data key."""

PROGRAM = r"""
import gc, os, resource, sys
from kalos_connect_sdk import AssertedParked, Config, Connect, Duration, Position, PromptAnswer
from kalos_connect_sdk.testing import ScriptedPrompter
def say(word): os.write(1, (word + "\n").encode())
if sys.argv[3] == "hardened":
    import ctypes
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    assert ctypes.CDLL(None).prctl(4, 0, 0, 0, 0) == 0
else:
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
os.chdir(sys.argv[4])
connect = Connect("com.example.test", vehicle=AssertedParked("a test bench"),
    config=Config(state_dir=sys.argv[1], vault="file:" + sys.argv[1] + ".vault", service_url=sys.argv[2]),
    prompter=ScriptedPrompter(PromptAnswer.allow(Duration.days(7))))
assert connect.request_permission(user_action=True).granted
def submit(first, last):
    for n in range(first, last):
        assert connect.submit(Position(47.1234567 + n * 0.0123457, 8.7654321 + n * 0.0234567)).accepted
submit(0, 10)
assert connect.flush().sent == 10
submit(10, 20)
say("active")
sys.stdin.readline()
assert connect.withdraw().complete
gc.collect()
say("withdrawn")
sys.stdin.readline()
"""


class Subject:
    """A real process with consent, whose memory is looked at."""

    def __init__(self, folder: Path, url: str, how: str) -> None:
        self.state = folder / "state"
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(self.state), url, how, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def say(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def keys(self) -> DataKeys:
        return DataKeys.choose(StateDirectory.open(APP, None, str(self.state)), None)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self.keys().remove()


@pytest.fixture
def subject(tmp_path: Path) -> Iterator[Callable[[str], Subject]]:
    made: list[Subject] = []
    with ServiceEmulator() as service:

        def start(how: str) -> Subject:
            made.append(Subject(tmp_path, service.url, how))
            return made[-1]

        yield start
        for one in made:
            one.end()


def core_of(pid: int) -> bytes:
    """What a core file of the process would hold: every byte of its writable memory."""
    kept = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            span, rights, *_ = line.split()
            if not rights.startswith("rw"):
                continue
            start, end = (int(part, 16) for part in span.split("-"))
            memory.seek(start)
            try:
                kept.append(memory.read(end - start))
            except OSError:
                continue  # a mapping of the kernel's own
    return b"".join(kept)


def copies(core: bytes) -> int:
    """How often a coordinate stands there, as the processor holds it."""
    return sum(core.count(struct.pack("<d", value)) for place in CANARIES for value in place)


@pytest.mark.once
@pytest.mark.fault(46, 47)
def test_r4_after_a_withdrawal_copies_in_the_heap_are_bounded(
    subject: Callable[[str], Subject],
) -> None:
    """Half of them sent, half buffered. Not promised to be none: an interpreter keeps what it has freed until it needs
    the room (docs/hardening.md)."""
    one = subject("open")
    assert one.hear() == "active"
    ram = one.keys().read()
    assert ram is not None and ram.key is not None
    before = core_of(one.process.pid)
    one.say()
    assert one.hear() == "withdrawn"
    after = core_of(one.process.pid)
    found = {"before": (copies(before), before.count(ram.key)), "after": (copies(after), after.count(ram.key))}
    assert found["before"][1] >= 1, "the search finds a key that is in use"
    assert found["after"][0] <= COPIES_LEFT, found
    assert found["before"][0] >= 1, "and coordinates that wait"
    assert found["after"][1] <= KEYS_LEFT, found


@pytest.mark.once
@pytest.mark.fault(46)
def test_r10_a_hardened_host_leaves_no_core_file(subject: Callable[[str], Subject], tmp_path: Path) -> None:
    """What docs/hardening.md offers. Without it the same death leaves one, where the system writes them into the
    process's directory."""
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    for how, written in (("open", True), ("hardened", False)):
        one = subject(how)
        assert one.hear() == "active"
        one.process.send_signal(signal.SIGABRT)
        assert one.process.wait(60) == -signal.SIGABRT
        found = list(tmp_path.glob("core*"))
        if not written or ("/" not in pattern and "|" not in pattern):
            assert bool(found) is written, pattern
        for path in found:
            path.unlink()
        one.end()
