"""Programs that share one state, taken apart so that each step of theirs can be called on a thread of the test.

A program here has the real state, gate, box, sender, grants and endings, and no threads: its keeper works where it is
called. The network is the one stand-in: it writes down who began to send, and when.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from statement_scheduler import PoliteLock, PoliteThreading, PoliteTime

from kalos_connect_sdk import Config, Position, PromptAnswer, Purpose, Reason
from kalos_connect_sdk.core.notices.default import CROSS_BORDER_NOTICE, DEFAULT_NOTICE
from kalos_connect_sdk.errors import ConsentRequired, TransportError
from kalos_connect_sdk.model.notice import Notice
from kalos_connect_sdk.model.reports import Submission, WithdrawalReport
from kalos_connect_sdk.protocol import sending, store, submitting
from kalos_connect_sdk.protocol.causes import CAUSES
from kalos_connect_sdk.protocol.clock import SystemClock
from kalos_connect_sdk.protocol.ending import Ending, Silence
from kalos_connect_sdk.protocol.granting import Granting, Shown
from kalos_connect_sdk.protocol.identity import Identity
from kalos_connect_sdk.protocol.link import Link
from kalos_connect_sdk.protocol.sending import Sender
from kalos_connect_sdk.protocol.state import State
from kalos_connect_sdk.protocol.store import Store
from kalos_connect_sdk.protocol.submitting import Submitter
from kalos_connect_sdk.protocol.view import View
from kalos_connect_sdk.protocol.worker import Worker
from kalos_connect_sdk.storage import locks, outbox
from kalos_connect_sdk.storage.directory import StateDirectory
from kalos_connect_sdk.testing import MemoryVault, ScriptedPrompter
from kalos_connect_sdk.transport import flight
from kalos_connect_sdk.transport.answer import Answer

NAVIGATION = Purpose.NAVIGATION
APP = "com.example.interleaved"
HERE = Position(60.17, 24.94)


def notice_of(purpose: Purpose) -> Notice:
    return CROSS_BORDER_NOTICE if purpose is Purpose.CROSS_BORDER_TRANSFER else DEFAULT_NOTICE


@contextmanager
def polite_locks() -> Iterator[None]:
    """Whoever would block on a lock hands over to the other thread instead; everything else stays as it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(locks, "time", PoliteTime)
        for module in (outbox, store, submitting, flight):
            patch.setattr(module, "threading", PoliteThreading)
        patch.setattr("kalos_connect_sdk.protocol.link.threading", PoliteThreading)
        yield


class Keeper(Worker):
    """The keeper without its thread: one job at a time, on the thread that asks for it."""

    def __init__(self) -> None:
        super().__init__("interleaved")
        self._inline = True
        self._busy = PoliteLock()
        self._worker: int | None = None

    def call(self, job: Callable[[], Any], timeout_s: float | None = None) -> Any:
        if self._worker == threading.get_ident():
            return job()
        with self._busy:
            self._worker = threading.get_ident()
            try:
                return job()
            finally:
                self._worker = None


class Program:
    """One program with the shared state open. ``begun``: sends that began after a withdrawal was complete are here."""

    def __init__(self, base: Path, vault: MemoryVault, *, sender: type[Sender] = Sender) -> None:
        self.config = Config(service_url="http://127.0.0.1:9", state_dir=str(base), vault="memory")
        directory = StateDirectory.open(APP, None, str(base))
        self.state = State(directory, Identity(directory.slot, lambda: vault, lambda: True), SystemClock())
        self.keeper = Keeper()
        self.link = Link(self.config, lambda _: None)
        self.link.client = self._client  # type: ignore[assignment,method-assign]
        self.view = View(
            self.config,
            notice_of,
            None,
            None,
            None,
            lambda: ScriptedPrompter(PromptAnswer.allow()),
            self.state,
            self._refresh,
        )
        self.store = Store(self.state, self.keeper)
        silence = Silence(cut=self.link.cut, take_cut=self.link.take_cut, forget=self.store.forget)
        self.ending = Ending(self.state, silence, lambda: None)
        self.granting = Granting(self.state, self.config, silence, self.ending)
        courier: Any = SimpleNamespace(worker=self.keeper)
        self.sender = sender(self.state, self.config, self.view, self.store, courier, courier, self.link, lambda: None)
        parts = SimpleNamespace(clock=SystemClock(), config=self.config)
        self.submitter = Submitter(SimpleNamespace(view=self.view, store=self.store, parts=parts))  # type: ignore[arg-type]
        self.report: WithdrawalReport | None = None
        self.granted: Reason | None = None
        self.submitted: Submission | None = None
        self.wrote: list[bool] = []
        """For each piece of a body: whether a withdrawal had been reported complete before it was written."""
        self.over: Callable[[], bool] = lambda: False

    def _refresh(self) -> Any:
        return self.keeper.call(self._reload)

    def _reload(self) -> Any:
        if self.state.snapshot.version != self.state.page.version:
            self.state.reload()
        return self.state.snapshot

    def _client(self, _: str) -> Any:
        return SimpleNamespace(send_positions=self._send)

    def _send(self, clearance: Any, body: bytes, *, key: str, token: str, flight: Any) -> Answer:
        flight.depart()
        try:
            for _ in range(2):
                self._write(flight)
        except ConnectionAbortedError:
            raise TransportError("cut") from None
        finally:
            flight.land()
        return Answer(202, {}, b'{"accepted": 1, "rejected": []}')

    def _write(self, flight: Any) -> None:
        flight.check()
        flight.check()  # the kernel refuses what a cut socket is given: the latch is looked at in the same step
        self.wrote.append(self.over())

    # -- the steps of a program --------------------------------------------------------------------

    def shown(self) -> Shown:
        notice = notice_of(NAVIGATION)
        count = self.state.page.withdrawals(NAVIGATION)
        return Shown(NAVIGATION, notice, notice.text("en"), count, None, False)

    def allow(self, shown: Shown) -> None:
        self.granted = self.keeper.call(lambda: self.granting.grant(shown, PromptAnswer.allow()))

    def withdraw(self) -> None:
        """``Engine.withdraw``'s own part, then the keeper's."""
        epoch = max(self.state.page.granted(NAVIGATION), self.state.snapshot.records[NAVIGATION].epoch)
        self.view.latch[NAVIGATION] = max(self.view.latch[NAVIGATION], epoch)
        written = {NAVIGATION: (epoch, self.state.page.end(NAVIGATION, epoch, withdrawn=True))}
        self.view.changed()
        self.report = self.keeper.call(lambda: self.ending.end([NAVIGATION], CAUSES["subject"], 5.0, written=written))

    def submit(self) -> None:
        try:
            self.submitted = self.submitter.submit(Position(60.17, 24.94, time=datetime.now(UTC)))
        except ConsentRequired:
            self.submitted = None

    def send(self) -> None:
        """The sender's step under the barrier, as ``Sender._attempt`` comes to it."""
        decision = self.view.decide(NAVIGATION)
        if decision.clearance is None:
            return
        box = self.store.for_sending(decision.clearance.epoch)
        if box is not None and len(box):
            work = sending._Round()
            self.sender._exchange(work, decision.clearance.epoch, box, 100, "token", time.monotonic() + 10.0)

    def close(self) -> None:
        self.store.close()
        self.state.close()


class Scene:
    """A state in which one person has said Allow, put back to that moment for every schedule."""

    def __init__(self) -> None:
        memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
        self.base = Path(tempfile.mkdtemp(dir=memory))
        self.vault = MemoryVault(persistent=True)
        self._open: list[Program] = []
        first = Program(self.base / "state", self.vault)
        first.allow(first.shown())
        assert first.granted is Reason.ALLOWED
        self._place = first.state.keys._place
        assert self._place is not None
        self._entry = self._place.read()
        self._secrets = self.vault.copy()
        first.close()
        shutil.copytree(self.base / "state", self.base / "template")

    def again(self) -> None:
        """Close what is open and put everything back: state, vault, and the entry in RAM."""
        while self._open:
            self._open.pop().close()
        shutil.rmtree(self.base / "state")
        shutil.copytree(self.base / "template", self.base / "state")
        self.vault._secrets = dict(self._secrets._secrets)
        assert self._place is not None and self._entry is not None
        self._place.write(self._entry, secret=True)

    def program(self, **options: Any) -> Program:
        made = Program(self.base / "state", self.vault, **options)
        self._open.append(made)
        return made

    def rows(self) -> list[Path]:
        """Boxes of buffered positions on disk."""
        return list((self.base / "state").glob("*/*/outbox/*"))

    def close(self) -> None:
        while self._open:
            self._open.pop().close()
        assert self._place is not None
        self._place.remove()
        shutil.rmtree(self.base)
