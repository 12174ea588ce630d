"""Real processes beside the test: they share its state directory, and never outlive it."""

from __future__ import annotations

import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

__all__ = ["Program", "Start", "eventually", "starter"]

PRELUDE = r"""
import faulthandler, json, os, random, signal, sys, threading, time
faulthandler.dump_traceback_later(90, exit=True)
from kalos_connect_sdk import *
from kalos_connect_sdk.model.consent import Duration
from kalos_connect_sdk.testing import ScriptedPrompter
STATE, VAULT, URL, *REST = sys.argv[1:]
WEEK = PromptAnswer.allow(Duration.days(7))
def make(*answers, **options):
    config = {"state_dir": STATE, "vault": VAULT, "service_url": URL, **options.pop("settings", {})}
    options.setdefault("prompter", ScriptedPrompter(*(answers or (WEEK,))))
    return Connect("com.example.test", config=Config(**config), vehicle=AssertedParked("a test bench"), **options)
def say(*words): os.write(1, (" ".join(map(str, words)) + "\n").encode())
def hear(): return sys.stdin.readline().strip()
"""


class Program:
    """A process that runs ``script`` after the prelude. A deadlock in it prints every stack and ends it with 1."""

    def __init__(self, script: str, *arguments: str, under: Sequence[str] = (), python: str = sys.executable) -> None:
        self._process = subprocess.Popen(
            [*under, python, "-c", PRELUDE + script, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def hear(self, timeout_s: float = 60.0) -> str:
        """Its next line. A program that ended or says nothing fails the test, with what it wrote to stderr."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], timeout_s)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            self._process.kill()
            _, errors = self._process.communicate()
            raise AssertionError(f"the program said nothing; its stderr ends: {errors[-3000:]}")
        return str(line).strip()

    def say(self, word: str = "go") -> None:
        """One line to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()

    def signal(self, number: int) -> None:
        """Send it a signal, if it is still there."""
        self._process.send_signal(number)

    def end(self, timeout_s: float = 60.0) -> tuple[int, list[str], str]:
        """(exit code, what it still said, its stderr)."""
        said, errors = self._process.communicate(timeout=timeout_s)
        return self._process.returncode, said.splitlines(), errors

    def kill(self) -> None:
        """kill -9, and gone."""
        if self._process.returncode is None:
            self._process.kill()
            self._process.communicate()

    @property
    def over(self) -> bool:
        """It has ended."""
        return self._process.poll() is not None


Start = Callable[..., Program]


def starter(tmp_path: Path, url: str) -> Iterator[Start]:
    """For a fixture: starts programs on the test's own state directory, and ends them."""
    started: list[Program] = []

    def start(script: str, *more: str, url: str = url, **options: object) -> Program:
        one = Program(script, str(tmp_path / "state"), f"file:{tmp_path / 'vault'}", url, *more, **options)  # type: ignore[arg-type]
        started.append(one)
        return one

    yield start
    for one in started:
        one.kill()


def eventually(true: Callable[[], object], timeout_s: float = 20.0) -> None:
    """Wait until it is true; the test fails when it never is."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.002)
