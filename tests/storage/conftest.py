"""A state directory to use up, and other processes that really share it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kalos_connect_sdk.storage.directory import StateDirectory

ROOT = Path(__file__).resolve().parents[2]
PRELUDE = r"""
import os, sys
from kalos_connect_sdk.model.consent import Purpose
from kalos_connect_sdk.storage.directory import StateDirectory
directory = StateDirectory.open("app", None, sys.argv[1])
def say(*words): os.write(1, (" ".join(map(str, words)) + "\n").encode())  # one write, also beside a forked child
def wait(): return sys.stdin.readline()
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def directory(base: Path) -> StateDirectory:
    return StateDirectory.open("app", None, base)


class Peer:
    """Another process: ``say`` sends it a line, ``hear`` waits for one of its own."""

    def __init__(self, script: str, base: Path, **more: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + script, str(base)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            **more,  # type: ignore[call-overload]
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def say(self, word: str = "go") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def end(self, *, kill: bool = False) -> int:
        if kill:
            self.process.kill()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()
        return self.process.wait(30)


@pytest.fixture
def peer(base: Path) -> Iterator[Callable[..., Peer]]:
    made: list[Peer] = []

    def start(script: str, **more: object) -> Peer:
        made.append(Peer(script, base, **more))
        return made[-1]

    yield start
    for one in made:
        if one.process.returncode is None:
            one.end(kill=True)
