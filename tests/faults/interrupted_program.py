"""A program whose main thread is interrupted by ``withdraw()`` at a chosen line of the SDK, as a signal would.

Python runs a signal handler between two steps of the main thread, whatever that thread holds at the time: a lock, half
an import, half a list. So every line that the main thread executes is a place to try. For each, a child is forked from
this process, which has imported other people's modules only, plays the same story, and calls ``withdraw()`` when it first reaches
the line. Arguments: a folder, the service's address, then the indexes of the places (none: only count them). Prints one
JSON line for each: what became of the withdrawal, and how long it took.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

import kalos_connect_sdk
from kalos_connect_sdk import AssertedParked, Config, Connect, KalosConnectError, Place, Position, PromptAnswer
from kalos_connect_sdk.model.consent import Duration

HOUSE = str(Path(kalos_connect_sdk.__file__).parent) + os.sep
DEADLOCK_S = 60.0


class Prompter:
    """Answers at once, without importing more than the SDK itself does."""

    driver_facing = False

    def ask(self, request: Any) -> PromptAnswer:
        return PromptAnswer.allow(Duration.days(7))


class Source:
    """Three positions, then nothing more."""

    live = False

    def __iter__(self) -> Any:
        return iter([Position(60.3, 24.0 + n * 1e-5) for n in range(3)])

    def close(self) -> None:
        """Nothing is open."""


def make(folder: str, url: str) -> Connect:
    config = Config(state_dir=f"{folder}/state", vault=f"file:{folder}/vault", service_url=url)
    return Connect("com.example.test", config=config, vehicle=AssertedParked("a test bench"), prompter=Prompter())


def story(connect: Connect) -> None:
    """What an app does, on its main thread; a withdrawal in between makes calls fail, and that is all."""

    def drive() -> None:
        with connect.drive(Source()) as driving:
            driving.wait(10.0)
            next(iter(driving))

    for call in (
        connect.permission,
        lambda: connect.request_permission(user_action=True),
        lambda: connect.on_change(lambda _: None)(),
        lambda: connect.submit(Position(60.0, 24.0)),
        lambda: connect.submit(Position(60.1, 24.0)),
        lambda: connect.sharing,
        connect.flush,
        drive,
        lambda: connect.route(Place(60.1, 24.1), origin=Place(60.0, 24.0)),
        lambda: connect.route(Place(60.1, 24.1)),
        connect.receipts,
        lambda: connect.submit(Position(60.2, 24.0)),
        connect.withdraw,
        lambda: connect.request_permission(user_action=True),
        lambda: connect.submit(Position(60.4, 24.0)),
        connect.close,
    ):
        try:
            call()
        except KalosConnectError:
            pass


class Places:
    """Counts the lines of the SDK that this thread reaches for the first time; ``at`` one of them it interrupts."""

    def __init__(self, connect: Connect, at: int | None) -> None:
        self._connect, self._at = connect, at
        self._inside = False
        self.seen: dict[tuple[str, int], int] = {}
        self.result: dict[str, Any] | None = None

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(HOUSE):
            return None
        if event == "line" and not self._inside:
            place = (frame.f_code.co_filename, frame.f_lineno)
            if place not in self.seen:
                number = self.seen[place] = len(self.seen)
                if number == self._at:
                    self._interrupt(place)
        return self

    def _interrupt(self, place: tuple[str, int]) -> None:
        self._inside = True
        begun = time.monotonic()
        report = self._connect.withdraw()
        self.result = {
            "place": f"{place[0].removeprefix(HOUSE)}:{place[1]}",
            "complete": report.complete,
            "durable": report.durable,
            "remaining": list(report.remaining),
            "seconds": round(time.monotonic() - begun, 2),
        }


def child(folder: str, url: str, at: int | None, out: int) -> None:
    """Play the story once, interrupted ``at`` a place, and say what came of it."""
    faulthandler.dump_traceback_later(DEADLOCK_S, exit=True)
    connect = make(folder, url)
    places = Places(connect, at)
    sys.settrace(places)
    story(connect)
    sys.settrace(None)
    if at is None:
        answer: Any = {"places": len(places.seen)}
    else:
        answer = places.result or {"place": None}
        again = make(folder, url)
        left = again.withdraw()
        answer["ends"] = left.complete and not again.permission().granted
        again.close()
    os.write(out, json.dumps(answer).encode() + b"\n")


def one(folder: str, url: str, at: int | None) -> dict[str, Any]:
    """The answer of one forked child; a dead or a deaf one is an answer too."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reading)
            child(folder, url, at, writing)
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    _, status = os.waitpid(pid, 0)
    answer: dict[str, Any] = json.loads(said) if said else {"place": None}
    return {"at": at, "status": status, **answer}


def main() -> None:
    for foreign in ("requests", "sqlite3", "cryptography.hazmat.primitives.ciphers.aead", "urllib3.util", "uuid"):
        importlib.import_module(foreign)  # the SDK's own modules stay where they are: half an import is a place, too
    folder, url, *wanted = sys.argv[1:]
    for number in [int(each) for each in wanted] or [None]:
        print(json.dumps(one(f"{folder}/{number}", url, number)), flush=True)


if __name__ == "__main__":
    main()
