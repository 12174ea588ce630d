"""The bench on which a device is crashed: one state directory, a real service, and processes that are forked for it.

The process that uses this module has imported everything and opened nothing: it forks a process for each thing the
device does (:meth:`Bench.run`), so a case costs milliseconds. What stands on disk, in the vault and in the kernel's
keyring can be recorded and put back (:meth:`Bench.record`, :meth:`Bench.restore`).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib
import json
import mmap
import os
import pkgutil
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cryptography.hazmat.primitives.asymmetric.ed25519
import cryptography.hazmat.primitives.ciphers.aead
import requests
import syscall_tap

import kalos_connect_sdk
from kalos_connect_sdk import (
    AssertedParked,
    Config,
    Connect,
    Position,
    Precision,
    PromptAnswer,
    Purpose,
)
from kalos_connect_sdk.storage import keyplaces
from kalos_connect_sdk.storage.datakeys import DataKeys
from kalos_connect_sdk.testing import FakeClock, ScriptedPrompter, ServiceEmulator

__all__ = ["CANARIES", "Bench", "Car", "Told"]

PRELOADED = [cryptography, requests]  # imported before any fork, like every room that a device uses
for _room in ("protocol", "storage", "transport", "core", "crypto"):
    for _module in pkgutil.iter_modules([str(Path(kalos_connect_sdk.__file__).with_name(_room))]):
        PRELOADED.append(importlib.import_module(f"kalos_connect_sdk.{_room}.{_module.name}"))
APP = "com.example.crash"
CANARIES = ("60.1691", "24.9384", "60,1691")
NOON = datetime(2027, 5, 4, 12, tzinfo=UTC)
_NAVIGATION = Purpose.NAVIGATION
RETURNED, ACCEPTED, AFTER = range(3)  # what a process marks in shared memory, where a kill cannot take it back
COMPLETE, DURABLE, GRANTED, DONE = 1, 2, 4, 8


class Told:
    """Numbers shared with the bench, written with a plain store: no system call, and a kill takes none back."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, 4096)
        self.words = memoryview(self._map).cast("Q")

    def clear(self) -> None:
        for index in range(8):
            self.words[index] = 0


class Car:
    """The device, in a process of its own: makes facades, and marks what has been returned to the app."""

    def __init__(self, bench: Bench, told: Told) -> None:
        self.bench = bench
        self._told = told
        self.clock: Any = None
        self.connect: Any = None
        self.more: dict[str, Any] = {}

    def make(self, *answers: PromptAnswer, **options: Any) -> Connect:
        settings = {"service_url": self.bench.url, "state_dir": str(self.bench.root / "state"), **self.bench.settings}
        options.setdefault("clock", self.clock)
        return Connect(
            APP,
            config=Config(**settings),
            vehicle=AssertedParked("a test bench"),
            prompter=ScriptedPrompter(*(answers or (PromptAnswer.allow(),))),
            **options,
        )

    def positions(self, count: int, first: int = 0) -> list[Position]:
        """Positions of the last seconds, each told apart by its time."""
        now = self.clock.now() if self.clock is not None else datetime.now(UTC)
        start = now.replace(microsecond=0) - timedelta(seconds=60)
        return [
            Position(60.1691 + n * 1e-4, 24.9384, accuracy_m=5.0, time=start + timedelta(seconds=n))
            for n in range(first, first + count)
        ]

    def returned(self, value: int) -> None:
        """The call under test has come back with this."""
        self._told.words[RETURNED] = value | DONE

    def accepted(self) -> None:
        """One more position was accepted."""
        self._told.words[ACCEPTED] += 1


class _Service:
    """The service, in a process of its own, on one port for ever; a fresh one for each case."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            with contextlib.suppress(BaseException):
                _serve(theirs)
            os._exit(0)
        theirs.close()
        self._file = ours.makefile("rw")
        self.url: str = self.ask("fresh")

    def ask(self, word: str) -> Any:
        self._file.write(word + "\n")
        self._file.flush()
        return json.loads(self._file.readline())

    def end(self) -> None:
        self._file.close()
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def _serve(channel: socket.socket) -> None:
    file = channel.makefile("rw")
    emulator: ServiceEmulator | None = None
    port, running = 0, False
    for line in file:
        word, answer = line.strip(), None
        if word in ("fresh", "away") and emulator is not None and running:
            emulator.stop()
            running = False
        if word == "fresh":
            emulator = ServiceEmulator()
            emulator._port = port
            emulator.start()
            running, port = True, emulator._port
            answer = emulator.url
        elif word == "back" and emulator is not None and not running:
            emulator.start()
            running = True
        elif word == "seen" and emulator is not None:
            answer = {
                "withdrawals": [[entry["notice_id"], entry["epoch"]] for entry in emulator.withdrawals],
                "positions": [[entry["time"], entry["epoch"]] for entry in emulator.positions],
                "status": [known["status"] for known in emulator.consents.values()],
            }
        file.write(json.dumps(answer) + "\n")
        file.flush()


class Bench:
    """One state directory under ``root``, which must be short-lived and private."""

    def __init__(self, root: Path, *, vault: str = "file", place: str = "kernel") -> None:
        self.root = root
        self.place = place
        self.settings = {"vault": "memory" if vault == "memory" else f"file:{root / 'vault'}"}
        self.told = Told()
        self.folder: str | None = None
        if place == "tmpfs":  # the kernel's keyring is forbidden to every process of this bench, as in a container
            self.folder = f"/dev/shm/kalos-crash-{os.getpid()}-{root.name}"
            os.mkdir(self.folder, 0o700)
            os.environ["XDG_RUNTIME_DIR"] = self.folder
        self.service = _Service()
        self.url = self.service.url
        _name_threads()

    # -- processes -------------------------------------------------------------------------------

    def fork(self, work: Callable[[Car, Callable[[Any], None]], None]) -> tuple[int, int, int]:
        """``work(car, say)`` in a child; what it says arrives as JSON lines. (pid, reading end, writing end)."""
        reading, writing = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.close(reading)
                errors = os.open(self.root / "stderr", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
                os.dup2(errors, 2)
                if self.place == "tmpfs":
                    syscall_tap.forbid(("add_key", "keyctl"), errno.EPERM)

                def say(what: Any) -> None:
                    os.write(writing, json.dumps(what).encode() + b"\n")

                work(Car(self, self.told), say)
                status = 0
            except BaseException as error:
                with contextlib.suppress(BaseException):
                    import traceback

                    os.write(writing, json.dumps({"crash": traceback.format_exception(error)}).encode() + b"\n")
            finally:
                os._exit(status)
        return pid, reading, writing

    def run(self, work: Callable[[Car, Callable[[Any], None]], None]) -> list[Any]:
        """``work`` in a child to its end; everything it said. Raises ``RuntimeError`` when it failed."""
        pid, reading, writing = self.fork(work)
        os.close(writing)
        said = _read(reading)
        os.waitpid(pid, 0)
        for one in said:
            if isinstance(one, dict) and "crash" in one:
                raise RuntimeError("".join(one["crash"]))
        return said

    # -- what stands -----------------------------------------------------------------------------

    def record(self) -> dict[str, Any]:
        """Everything the device keeps, as it is now."""
        found: dict[str, Any] = {}
        for base in (self.root / "state", self.root / "vault", self.root / "vault.lock"):
            for path in [base, *sorted(base.rglob("*"))] if base.is_dir() else [base] * base.exists():
                found[str(path)] = path.read_bytes() if path.is_file() else None
        return {"files": found, "key": self._key_places_content()}

    def restore(self, recorded: dict[str, Any]) -> None:
        """Put it back."""
        shutil.rmtree(self.root / "state", ignore_errors=True)
        for path in self.root.glob("vault*"):
            path.unlink()
        with contextlib.suppress(FileNotFoundError):
            (self.root / "stderr").unlink()
        for name, content in recorded["files"].items():
            if content is None:
                os.mkdir(name, 0o700)
            else:
                with os.fdopen(os.open(name, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
                    file.write(content)
        for place, content in zip(self._key_places(), recorded["key"], strict=True):
            if content is None:
                place.remove()
            else:
                place.write(content, secret=True)
        self.told.clear()

    def empty(self) -> dict[str, Any]:
        """What :meth:`record` answers before anything was there."""
        return {"files": {}, "key": [None] * len(self._key_places())}

    @property
    def _slot(self) -> str:
        leaf = self.root / "state" / APP / "_default"
        return hashlib.sha256(f"{APP}\n\n{os.path.realpath(leaf)}".encode()).hexdigest()[:32]

    def _key_places(self) -> list[Any]:
        """Every place in RAM where this machine could keep the entry, looked at without the product's choice."""
        places: list[Any] = [keyplaces.KernelPlace(self._slot)]
        if self.folder is not None:
            own = Path(self.folder) / "kalos-connect"
            if own.is_dir():
                places.append(keyplaces.TmpfsPlace(own, self._slot))
        return places

    def _key_places_content(self) -> list[bytes | None]:
        return [place.read() for place in self._key_places()]

    def standing(self) -> dict[str, Any]:
        """Data keys and ciphertext as they stand, read around the product."""
        keys = []
        for blob in self._key_places_content():
            keyed = DataKeys(None, "", _Only(blob)).read() if blob is not None else None  # type: ignore[arg-type]
            if keyed is not None and keyed.key is not None:
                keys.append(keyed.epoch)
        return {"keys": keys, "boxes": len(list((self.root / "state").glob("*/*/outbox/*")))}

    def errors(self) -> str:
        """What the last processes wrote to their standard error."""
        path = self.root / "stderr"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def close(self) -> None:
        """Leave nothing behind."""
        self.service.end()
        for place in self._key_places():
            with contextlib.suppress(Exception):
                place.remove()
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            os.environ.pop("XDG_RUNTIME_DIR", None)


class _Only:
    """One blob, as a place."""

    def __init__(self, blob: bytes) -> None:
        self._blob = blob

    def read(self) -> bytes:
        return self._blob


def _read(fd: int) -> list[Any]:
    with os.fdopen(fd, "rb") as file:
        return [json.loads(line) for line in file.read().splitlines() if line.endswith((b"}", b"]"))]


read_all = _read


def _name_threads() -> None:
    """The kernel learns the names of threads (Python 3.14 does it by itself): points are told apart by them."""
    import ctypes

    library = ctypes.CDLL(None)
    plain = threading.Thread.run

    def run(self: threading.Thread) -> None:
        library.prctl(15, self.name.encode()[:15], 0, 0, 0)
        plain(self)

    if sys.version_info < (3, 14) and threading.Thread.run.__module__ == "threading":
        threading.Thread.run = run  # type: ignore[method-assign]


def survey(car: Car, say: Callable[[Any], None]) -> None:
    """What a fresh process finds, says and finishes after a crash: opened, recovered, told, looked at."""
    facts: dict[str, Any] = {}
    connect = car.make()
    permission = connect.permission()
    facts["granted"], facts["reason"] = permission.granted, permission.reason.name
    facts["precision"] = permission.precision.value if permission.precision else None
    engine = connect._opened()
    ending = engine.ending
    if permission.reason.name == "EXPIRED":
        until_ended(engine)
    facts["finished"] = any(not engine.keeper.call(ending.settle) for _ in range(500))
    if car.more.get("flush") and permission.granted:
        connect.flush(timeout_s=20)
    facts["told"] = connect.wait_for_notices(20)
    facts.update(engine.keeper.call(lambda: _state(engine)))
    facts["granted_after"] = connect.permission().granted
    say(facts)


def until_ended(engine: Any) -> bool:
    """Until the watcher has ended what is over, at most a minute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        record = engine.keeper.call(lambda: engine.state.reload().records[_NAVIGATION])
        if not record.status.active and record.erased_epoch == record.epoch:
            return True
        engine.courier.worker.nap(0.01)
    return False


def _state(engine: Any) -> dict[str, Any]:
    state = engine.state
    record = state.reload().records[_NAVIGATION]
    facts = {
        "unreadable": state.unreadable.name if state.unreadable else None,
        "problem": state.problem,
        "status": record.status.value,
        "epoch": record.epoch,
        "erased": record.erased_epoch,
        "ended": bool(record.epoch) and state.page.ended(_NAVIGATION, record.epoch),
        "notices": [],
        "kinds": [],
    }
    if state.unreadable is None:
        facts["notices"] = [[row.notice_id, row.epoch, row.awake] for row in state.ledger.notices()]
        facts["kinds"] = [
            [body["kind"], body["epoch"]]
            for body in (json.loads(row.body) for row in state.ledger.events())
            if body["purpose"] == _NAVIGATION.value
        ]
    return facts


def live_on(car: Car, say: Callable[[Any], None]) -> None:
    """After the survey the device is used again, through ``reset()`` if need be: nothing may stand in the way."""
    connect = car.make()
    facts: dict[str, Any] = {"reset": False}
    if connect._opened().state.unreadable is not None:
        connect.reset()
        facts["reset"] = True
    before = connect._opened().state.snapshot.records[_NAVIGATION].epoch
    if connect.permission().granted:
        report = connect.withdraw()
        facts["first"] = [report.complete, report.durable]
    again = connect.request_permission(user_action=True)
    facts["again"], facts["newer"] = again.granted, (again.epoch or 0) > before
    facts["accepted"] = connect.submit(car.positions(1, 50)[0]).accepted
    report = connect.withdraw()
    facts["last"] = [report.complete, report.durable]
    facts["told"] = connect.wait_for_notices(20)
    say(facts)


APPROXIMATE = Precision.APPROXIMATE
FAKE = FakeClock
