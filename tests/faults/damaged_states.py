"""States to be damaged: made once by the real thing, kept as bytes, put back before every case.

``glance`` opens a state the way a program does, up to the gate's answer, and changes nothing. ``whole_way`` runs a
program on it: ask, submit, flush, doctor, withdraw, reset, grant anew.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kalos_connect_sdk import (
    AssertedParked,
    Config,
    Connect,
    ConsentRequired,
    Duration,
    Position,
    PromptAnswer,
    Purpose,
    Reason,
    StateError,
)
from kalos_connect_sdk.core.notices.default import CROSS_BORDER_NOTICE, DEFAULT_NOTICE
from kalos_connect_sdk.errors import ServiceUnreachable
from kalos_connect_sdk.protocol import identity
from kalos_connect_sdk.protocol.clock import SystemClock
from kalos_connect_sdk.protocol.identity import Identity
from kalos_connect_sdk.protocol.state import State
from kalos_connect_sdk.protocol.view import View
from kalos_connect_sdk.storage.datakeys import DataKeys
from kalos_connect_sdk.storage.directory import StateDirectory
from kalos_connect_sdk.storage.vault import FileVault
from kalos_connect_sdk.testing import ScriptedPrompter, ServiceEmulator

APP = "com.example.test"
NAVIGATION = Purpose.NAVIGATION
WEEK = PromptAnswer.allow(Duration.days(7))
PLACES = [(60.17, 24.94), (60.18, 24.95), (60.19, 24.96)]
LATER = (60.21, 24.99)
STORIES = ("given", "withdrawn", "regranted")
OWN_REASONS = frozenset({Reason.STATE_UNREADABLE, Reason.STATE_ROLLED_BACK, Reason.VAULT_UNAVAILABLE})
"""What closes the gate because of damage, and nothing else does."""
VEHICLE = AssertedParked("a test bench")


@dataclass
class Bench:
    """One state directory, its vault and its entry in RAM; ``kept`` is how they were."""

    base: Path
    story: str
    port: int
    kept: dict[Path, bytes] = field(default_factory=dict, repr=False)
    ram: bytes | None = field(default=None, repr=False)
    baseline: Any = field(default=None, repr=False)

    @property
    def leaf(self) -> Path:
        return self.base / "state" / APP / "_default"

    @property
    def vault(self) -> Path:
        return self.base / "vault"

    @property
    def config(self) -> Config:
        return Config(
            service_url=f"http://127.0.0.1:{self.port}",
            state_dir=str(self.base / "state"),
            vault=f"file:{self.vault}",
            timeout_s=5,
        )

    def path(self, name: str) -> Path:
        """The file called ``name``: ``page``, ``ledger.db``, ``vault`` or ``box``."""
        if name == "vault":
            return self.vault
        return next((self.leaf / "outbox").glob("*.box")) if name == "box" else self.leaf / name

    def connect(self, *answers: PromptAnswer, **options: Any) -> Connect:
        options.setdefault("config", self.config)
        return Connect(APP, vehicle=VEHICLE, prompter=ScriptedPrompter(*(answers or (WEEK,))), **options)

    def keys(self) -> DataKeys:
        directory = StateDirectory.open(APP, None, str(self.base / "state"))
        return DataKeys.choose(directory, None)

    def keep(self) -> None:
        """Remember everything as it is now."""
        self.kept = {path: path.read_bytes() for path in self.base.rglob("*") if path.is_file()}
        self.ram = self.keys()._place.read()
        self.baseline = self.glance()

    def restore(self) -> None:
        """Put everything back, whatever a case has made of it."""
        identity._this_run.clear()  # a case without a usable vault leaves a consent of this run
        for path in list(self.base.iterdir()):
            _remove(path)
        for path, content in self.kept.items():
            for step in reversed(path.relative_to(self.base).parents):
                (self.base / step).mkdir(mode=0o700, exist_ok=True)
            path.write_bytes(content)
            path.chmod(0o600)
        place = self.keys()._place
        if self.ram is None:
            place.remove()
        else:
            place.write(self.ram, secret=True)

    def forget(self) -> None:
        """Leave nothing in RAM."""
        self.restore()
        self.keys().remove()

    def glance(self) -> tuple[Reason, Any]:
        """(the gate's answer, everything it rests on). Raises only :class:`StateError`."""
        directory = StateDirectory.open(APP, None, str(self.base / "state"))
        who = Identity(directory.slot, lambda: FileVault(self.vault), lambda: True)
        state = State(directory, who, SystemClock())
        try:
            view = View(
                self.config,
                lambda purpose: CROSS_BORDER_NOTICE if purpose is not NAVIGATION else DEFAULT_NOTICE,
                None,
                VEHICLE,
                None,
                lambda: None,
                state,
                state.reload,
            )
            decision = view.decide(NAVIGATION)
            assert decision.allowed is (decision.reason is Reason.ALLOWED)
            snapshot = state.snapshot
            try:
                notices = state.ledger.notices()
            except StateError:
                notices = None
            rests_on = (snapshot.records, snapshot.record_ids, snapshot.authentic, snapshot.floor, notices)
            secret = state.secret
            named = (secret.signing.public, dict(secret.tokens)) if secret is not None else None
            return decision.reason, (rests_on, named)
        finally:
            state.close()

    def judge(self) -> str:
        """Look at the state as it lies: ``unchanged`` or the reason why it is refused. Fails for anything else."""
        try:
            reason, rests_on = self.glance()
        except StateError as error:
            return type(error).__name__
        if (reason, rests_on) == self.baseline:
            return "unchanged"
        assert reason in OWN_REASONS, f"{self.story}: damage changed the state unnoticed, the gate says {reason.name}"
        return reason.name


def tell(bench: Bench, service: ServiceEmulator) -> None:
    """Make the state of ``bench`` what its story says."""
    with bench.connect() as connect:
        assert connect.request_permission(user_action=True).granted
        if bench.story == "given":
            for place in PLACES:
                assert connect.submit(Position(*place)).accepted
    if bench.story == "given":
        return
    service.stop()
    with bench.connect() as connect:
        assert connect.withdraw().complete
        if bench.story == "regranted":
            assert connect.request_permission(user_action=True).epoch == 2
            for place in PLACES:
                assert connect.submit(Position(*place)).accepted
    service.start()


@contextmanager
def bench_of(base: Path, story: str) -> Iterator[Bench]:
    """A bench with a state of ``story``; its service is stopped afterwards, ``service_of`` starts another there."""
    base.mkdir(mode=0o700, exist_ok=True)
    with ServiceEmulator() as service:
        bench = Bench(base, story, int(service.url.rpartition(":")[2]))
        tell(bench, service)
    bench.keep()
    try:
        yield bench
    finally:
        bench.forget()


def flip_in_place(bench: Bench, name: str, offsets: Iterable[int], bit_of: Callable[[int], int]) -> Counter[str]:
    """Flip one bit of each byte of the file, look, and put it back: what the gate said, and how often.

    Looking must change nothing: the file is compared afterwards, and whatever else it made is a failure.
    """
    path, found = bench.path(name), Counter[str]()
    content = path.read_bytes()
    for offset in offsets:
        damaged = bytearray(content)
        damaged[offset] ^= 1 << bit_of(offset)
        _overwrite(path, bytes(damaged))
        found[bench.judge()] += 1
        assert path.read_bytes() == damaged, f"{name}: byte {offset} is not kept for inspection"
    _overwrite(path, content)
    assert bench.judge() == "unchanged"
    return found


def flip_in_ram(bench: Bench, bits: Iterable[int]) -> Counter[str]:
    """The same for the entry of the data keys in RAM."""
    place, found = bench.keys()._place, Counter[str]()
    assert bench.ram is not None
    for bit in bits:
        damaged = bytearray(bench.ram)
        damaged[bit // 8] ^= 1 << bit % 8
        place.write(bytes(damaged), secret=True)
        found[bench.judge()] += 1
        assert place.read() == damaged
    place.write(bench.ram, secret=True)
    return found


def _overwrite(path: Path, content: bytes) -> None:
    with open(path, "r+b") as file:
        file.write(content)
        file.truncate()


def service_of(bench: Bench) -> ServiceEmulator:
    """A service that knows nothing yet, where the state expects it."""
    service = ServiceEmulator()
    service._port = bench.port
    return service


def whole_way(bench: Bench, service: ServiceEmulator, *, damaged: Path | None, notices: set[int]) -> str:
    """Run a program on the damaged state, from the first question to a new grant. The reason the gate gave.

    ``damaged``: a file that must be kept as it is while it is refused, and aside after ``reset()``. ``notices``: epochs
    of notices that can be read and must reach the service.
    """
    before = damaged.read_bytes() if damaged is not None else b""
    with bench.connect() as connect:
        permission = connect.permission()
        was_given = bench.story != "withdrawn"
        assert was_given or not permission.granted, "withdrawn never comes up granted"
        if not permission.granted:
            _nothing_leaves(connect, service)
            _doctor_names_it(connect, permission.reason)
        if damaged is not None and permission.reason in OWN_REASONS:
            assert _still_damaged(damaged.read_bytes(), before, bench.kept[damaged]), "kept for inspection"
        sent_before = len(service.positions)
        report = connect.withdraw()
        assert not connect.permission().granted
        assert report.complete or report.remaining, "what is not complete says what remains"
        _nothing_leaves(connect, service)
        assert len(service.positions) == sent_before
        connect.reset()
        reason = permission.reason.name
    with bench.connect() as connect:
        assert not connect.permission().granted and connect.permission().reason not in OWN_REASONS
        assert connect.wait_for_notices(20)
        epochs = {withdrawal["epoch"] for withdrawal in service.withdrawals}
        assert notices <= epochs, f"told {epochs}, not {notices}"
        if damaged is not None and permission.reason in OWN_REASONS and damaged.parent == bench.leaf:
            aside = [path.read_bytes() for path in bench.leaf.glob(f"{damaged.name}.*") if path.is_file()]
            assert any(_still_damaged(content, before, bench.kept[damaged]) for content in aside), "kept aside"
        again = connect.request_permission(user_action=True)
        assert again.granted and again.epoch > max({0} | notices)
        assert connect.submit(Position(*LATER)).accepted
        connect.flush()
        assert [(p["latitude"], p["longitude"]) for p in service.positions[sent_before:]] == [LATER]
        connect.withdraw()
        assert connect.wait_for_notices(20)
    return reason


def _nothing_leaves(connect: Connect, service: ServiceEmulator) -> None:
    sent = len(service.positions)
    try:
        connect.submit(Position(*PLACES[0]))
    except ConsentRequired:
        pass
    else:
        raise AssertionError("a position was accepted")
    try:
        assert connect.flush(timeout_s=5).sent == 0
    except ServiceUnreachable:
        pass
    assert len(service.positions) == sent


def _doctor_names_it(connect: Connect, reason: Reason) -> None:
    rows = [row for row in connect.doctor() if not row["ok"] and row["name"] in ("state", "vault")]
    if reason in OWN_REASONS:
        assert rows and all(row["detail"] and row["advice"] for row in rows), "doctor says which and what to do"


def _still_damaged(content: bytes, before: bytes, whole: bytes) -> bool:
    """Nothing was mended: where the damage is, the file is as it was found. A withdrawal may still have written its
    tombstone into a page, and woken a notice in a ledger whose rows can be trusted."""
    wrong = [at for at, (found, right) in enumerate(zip(before, whole, strict=False)) if found != right]
    return len(content) >= len(before) and all(content[at] == before[at] for at in wrong)


def _remove(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    os.chmod(path, 0o700)
    shutil.rmtree(path)
