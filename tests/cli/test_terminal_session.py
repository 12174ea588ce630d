"""A person at a real terminal: the question, the answer, Ctrl-C, and output that looks right there."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path

ROOT = Path(__file__).parents[2]
# The pseudo-terminal becomes the controlling one, so that Ctrl-C would be a signal.
LAUNCH = (
    "import fcntl, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "from kalos_connect_sdk.cli.main import main; sys.exit(main(sys.argv[1:]))"
)


class Session:
    """One command on a terminal of 100 columns."""

    def __init__(self, folder: Path, *words: str, stdout: int | None = None) -> None:
        self._far, near = pty.openpty()
        ioctl(near, termios.TIOCSWINSZ, bytes([40, 0, 100, 0, 0, 0, 0, 0]))
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TERM": "xterm-256color",
            "KALOS_CONNECT_VAULT": f"file:{folder}/vault",
            "KALOS_CONNECT_STATE_DIR": f"{folder}/state",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, *words],
            stdin=near,
            stdout=near if stdout is None else stdout,
            stderr=near,
            env=environment,
            start_new_session=True,
        )
        os.close(near)
        self.screen = ""

    def type(self, text: str) -> None:
        os.write(self._far, text.encode())

    def read_until(self, wanted: str, times: int = 1) -> None:
        deadline = time.monotonic() + 30
        while self.screen.count(wanted) < times:
            assert time.monotonic() < deadline, f"{wanted!r} is not on the screen: {self.screen!r}"
            self._drain()

    def code(self) -> int:
        """The exit code, once the command has ended and everything it wrote was read."""
        deadline = time.monotonic() + 30
        while self._drain():
            assert time.monotonic() < deadline, self.screen
        return self._process.wait(10)

    def _drain(self) -> bool:
        if select.select([self._far], [], [], 0.1)[0]:
            try:
                chunk = os.read(self._far, 65536)
            except OSError:  # the other end is closed
                return False
            self.screen += chunk.decode().replace("\r\n", "\n")
        return True

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._far)


@contextmanager
def session(folder: Path, *words: str, stdout: int | None = None) -> Iterator[Session]:
    opened = Session(folder, *words, stdout=stdout)
    try:
        yield opened
    finally:
        opened.close()


def test_a_person_allows_at_the_terminal(tmp_path: Path) -> None:
    with session(tmp_path, "consent", "request") as person:
        person.read_until("press Enter:")
        person.type("1\n")
        person.read_until("How exactly?")
        person.read_until("  3  ", 2)
        person.type("1\n")
        assert person.code() == 0
        assert "Allowed: precise location" in person.screen
        assert "simulated" not in person.screen
    with session(tmp_path, "consent", "show") as person:
        assert person.code() == 0
        assert "simulated" not in person.screen
        assert "╭" in person.screen


def test_r12_ctrl_c_closes_the_question_and_grants_nothing(tmp_path: Path) -> None:
    with session(tmp_path, "consent", "request") as person:
        person.read_until("press Enter:")
        person.type("1\n")
        person.read_until("How exactly?")
        person.read_until("  3  ", 2)
        person.type("\x03")
        assert person.code() == 3
        assert "Traceback" not in person.screen
    with session(tmp_path, "status", "--json") as person:
        assert person.code() == 0
        assert '"granted": false' in person.screen


def test_the_question_never_mixes_with_json(tmp_path: Path) -> None:
    with (tmp_path / "out.json").open("w+") as out:
        with session(tmp_path, "consent", "request", "--json", stdout=out.fileno()) as person:
            person.read_until("press Enter:")
            person.type("4\n")
            assert person.code() == 3
        out.seek(0)
        assert out.read().startswith("{")
