"""What a hostile review found: races, broken places and odd moments in which a rule once gave way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kalos_connect_sdk import (
    Config,
    ConsentRequired,
    Duration,
    KalosConnectError,
    PermissionState,
    Place,
    Position,
    Precision,
    PromptAnswer,
    Purpose,
    Reason,
)
from kalos_connect_sdk.protocol import identity
from kalos_connect_sdk.protocol.clock import SystemClock
from kalos_connect_sdk.protocol.secret import Secret
from kalos_connect_sdk.protocol.worker import Worker
from kalos_connect_sdk.storage.datakeys import DataKeys
from kalos_connect_sdk.storage.directory import StateDirectory
from kalos_connect_sdk.storage.filevault import FileVault
from kalos_connect_sdk.storage.ledger import Ledger
from kalos_connect_sdk.storage.locks import Barrier, FileLock
from kalos_connect_sdk.testing import MemoryVault, ScriptedPrompter

NAVIGATION, BORDER = Purpose.NAVIGATION, Purpose.CROSS_BORDER_TRANSFER
WEEK = PromptAnswer.allow(Duration.days(7))
HELSINKI = (60.17, 24.94)
BEIJING = (39.9, 116.4)
PATIENCE_S = 30.0
"""Longer than anything takes that works, shorter than the stalls it must not wait for."""

PRELUDE = r"""
import faulthandler, os, resource, signal, sys
from kalos_connect_sdk import AssertedParked, Config, Connect, Position, PromptAnswer, Duration, Purpose
from kalos_connect_sdk.testing import ScriptedPrompter
faulthandler.dump_traceback_later(40, exit=True)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
def make():
    return Connect("com.example.test", vehicle=AssertedParked("a test bench"),
        config=Config(state_dir=sys.argv[1], vault=sys.argv[2], service_url=sys.argv[3]),
        prompter=ScriptedPrompter(PromptAnswer.allow(Duration.days(7))))
def say(*words): os.write(1, (" ".join(map(str, words)) + "\n").encode())
def hear(): return sys.stdin.readline()
def full_disk(full):  # EFBIG: no write gets beyond its first byte
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 if full else resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""


class Program:
    """A real process that runs a script beside this one; it never outlives the test."""

    def __init__(self, script: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + script, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def hear(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def say(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def end(self) -> tuple[int, list[str]]:
        """(exit code, what it still said)."""
        said, _ = self._process.communicate(timeout=60)
        return self._process.returncode, said.splitlines()

    def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
            self._process.communicate()


@pytest.fixture
def program(tmp_path: Path, service) -> Iterator[Callable[[str], Program]]:
    started: list[Program] = []

    def start(script: str) -> Program:
        started.append(Program(script, str(tmp_path / "state"), f"file:{tmp_path / 'vault'}", service.url))
        return started[-1]

    yield start
    for one in started:
        one.kill()


@pytest.fixture
def abroad(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service on loopback counts as one that stands in a place nobody knows (R16)."""
    monkeypatch.setattr(Config, "service_is_loopback", property(lambda _: False))


def granted(connect, purpose: Purpose = NAVIGATION):
    assert connect.request_permission(purpose, user_action=True).granted
    return connect


def directory(tmp_path: Path) -> StateDirectory:
    return StateDirectory.open("com.example.test", None, str(tmp_path / "state"), create=False)


def wait_until(true: Callable[[], object]) -> None:
    deadline, pause = time.monotonic() + PATIENCE_S, threading.Event()
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        pause.wait(0.005)


def settled(connect) -> Any:
    """The engine, once its keeper has done everything that was queued."""
    engine = connect._opened()
    engine.keeper.call(lambda: engine.works)
    engine.keeper.call(lambda: None)
    return engine


def nothing_is_kept(connect) -> bool:
    """R4: no data key, no ciphertext."""
    state = connect._opened().state
    ram = state.keys.read()
    return (ram is None or ram.key is None) and not list((state.directory.path / "outbox").glob("*.box"))


class Background:
    """A call on a thread of its own: its answer, or what it raised."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._outcome: list[Any] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._outcome.append(self._call())
        except KalosConnectError as error:
            self._outcome.append(error)

    def outcome(self, timeout_s: float = PATIENCE_S) -> Any:
        self._thread.join(timeout_s)
        assert not self._thread.is_alive(), "it is still waiting"
        return self._outcome[0]


# -- an Allow and a withdrawal at the same time --------------------------------------------------


class GatedVault(FileVault):
    """A keyring that takes its time: a store waits for ``go``."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.storing, self.go = threading.Event(), threading.Event()

    def store(self, slot: str, secret: bytes) -> None:
        self.storing.set()
        assert self.go.wait(PATIENCE_S)
        super().store(slot, secret)


def test_r11_an_allow_in_another_process_loses_to_a_withdrawal(make, service, program, tmp_path):
    other = program(
        "c = make(); c.permission(); say('ready'); hear(); r = c.withdraw(timeout_s=30); say(r.complete, r.remaining)\n"
        "hear(); c.close()"
    )
    assert other.hear() == "ready"
    vault = GatedVault(tmp_path / "vault")
    connect = make(WEEK, vault=vault)
    connect.permission()
    future = connect.request_permission_future(user_action=True)
    assert vault.storing.wait(PATIENCE_S), "the person said Allow; it is being committed behind the barrier"
    other.say()
    ledger = Ledger.open(directory(tmp_path))
    wait_until(lambda: any(b"withdraw-again" in row.body for row in ledger.events()))  # it saw no grant, and waits
    ledger.close()
    vault.go.set()
    assert other.hear() == "True ()"
    permission = connect.permission()
    assert not permission.granted and permission.reason is Reason.NOT_ASKED, "it was void before it was recorded"
    assert not future.result(PATIENCE_S).granted
    with pytest.raises(ConsentRequired):
        connect.submit(Position(*HELSINKI))
    assert connect.flush().sent == 0 and service.positions == []
    other.say()
    assert other.end() == (0, [])


@pytest.mark.fault(24)
@pytest.mark.parametrize("anew", [False, True], ids=["asked first", "downgraded"])
def test_r11_an_allow_on_its_way_is_void_although_the_program_that_withdrew_is_gone(make, monkeypatch, anew):
    """The Allow stands still behind the barrier, before its epoch is known: who withdraws finds no grant to end, and
    exits before the Allow is recorded. Nobody is left to end it afterwards."""
    connect, other = make(WEEK), make()
    if anew:
        granted(connect)
    granting = connect._opened().asking._granting
    finish_drop = granting._finish_drop

    def withdrawn_meanwhile(purpose):
        assert not other.withdraw(timeout_s=0.05).complete
        other.close()
        finish_drop(purpose)

    monkeypatch.setattr(granting, "_finish_drop", withdrawn_meanwhile)
    wanted = Precision.APPROXIMATE if anew else Precision.PRECISE
    assert not connect.request_permission(precision=wanted, user_action=True).granted
    assert not settled(connect).view.permission(Purpose.NAVIGATION).granted
    assert not make().permission().granted
    with pytest.raises(ConsentRequired):
        connect.submit(Position(*HELSINKI))


@pytest.mark.fault(43)
def test_r4_a_withdrawal_whose_data_key_cannot_be_destroyed_is_not_complete(make, tmp_path):
    connect = granted(make(WEEK))
    assert connect.submit(Position(*HELSINKI)).accepted
    engine = connect._opened()
    lease = FileLock(directory(tmp_path), "keys.lock").try_acquire()  # its holder stands still
    assert lease is not None
    report = connect.withdraw(timeout_s=10)
    entry = engine.state.keys.read()
    assert entry is not None and entry.key is not None
    assert not report.complete and report.durable and "destroying the data key" in report.remaining
    lease.release()
    wait_until(lambda: engine.state.keys.read().key is None)
    assert connect.withdraw().complete


@pytest.mark.parametrize("end", ["close", "reset"])
def test_r11_a_withdrawal_that_another_thread_overtakes_with_a_close_is_complete(make, monkeypatch, end):
    connect = granted(make(WEEK))
    assert connect.submit(Position(*HELSINKI)).accepted
    engine = connect._opened()
    withdraw = engine.withdraw

    def overtaken(*arguments):
        over = threading.Thread(target=getattr(connect, end))
        over.start()
        over.join(PATIENCE_S)
        return withdraw(*arguments)

    monkeypatch.setattr(engine, "withdraw", overtaken)
    report = connect.withdraw()
    assert report.complete and report.durable
    assert not make().permission().granted


def test_r6_an_unfinished_drop_never_ends_a_later_grant(make, tmp_path, monkeypatch):
    connect = granted(make(WEEK))
    holder = Barrier(directory(tmp_path)).shared(1.0)
    report = connect.withdraw(timeout_s=0.05)
    assert not report.complete and report.remaining
    granting = connect._opened().asking._granting
    grant = granting.grant

    def let_go_and_grant(*arguments):
        holder.release()  # on the keeper: no other attempt at the drop comes first
        return grant(*arguments)

    monkeypatch.setattr(granting, "grant", let_go_and_grant)
    assert connect.request_permission(user_action=True).epoch == 2
    stays_granted(connect, 2)


def test_r6_an_unfinished_drop_never_ends_a_later_grant_of_another(make, tmp_path):
    connect, other = granted(make(WEEK)), make(WEEK)
    assert other.permission().granted
    holder = Barrier(directory(tmp_path)).shared(1.0)
    assert not connect.withdraw(timeout_s=0.05).complete
    busy, go = threading.Event(), threading.Event()
    connect._opened().keeper.post(lambda: (busy.set(), go.wait(PATIENCE_S)))
    assert busy.wait(PATIENCE_S)
    holder.release()
    try:
        assert other.request_permission(user_action=True).epoch == 2
        assert other.submit(Position(*HELSINKI)).accepted
    finally:
        go.set()
    stays_granted(connect, 2)
    assert len(other._opened().store.box) == 1, "nor does it drop what the later grant buffered"
    assert other.flush().sent == 1


def test_r19_withdrawing_what_was_never_granted_costs_nothing(make):
    connect = granted(make(WEEK))
    assert connect.submit(Position(*HELSINKI)).accepted
    report = connect.withdraw(BORDER)
    assert report.complete and report.dropped == 0
    assert connect.flush().sent == 1


def stays_granted(connect, epoch: int) -> None:
    engine = settled(connect)
    assert not engine.keeper.call(engine.ending.settle), "nothing is left to finish"
    permission = connect.permission()
    assert permission.granted and permission.epoch == epoch
    assert engine.state.snapshot.records[NAVIGATION].status.active


# -- the border ----------------------------------------------------------------------------------


def routes(service) -> list[dict]:
    return [request for request in service.requests if "route" in request["path"]]


def test_r16_a_border_closed_by_another_process_stops_a_route_from_here(make, service, program, abroad):
    connect = granted(granted(make(WEEK)), BORDER)
    assert connect.submit(Position(*BEIJING)).accepted
    other = program("r = make().withdraw(Purpose.CROSS_BORDER_TRANSFER); say(r.complete)")
    assert other.hear() == "True"
    with pytest.raises(ConsentRequired) as caught:
        connect.route(Place(40.0, 116.5))
    assert caught.value.reason is Reason.CROSS_BORDER
    assert routes(service) == []
    assert connect.flush().sent == 0 and service.positions == []
    assert connect.permission().granted, "the other purpose is untouched"
    assert other.end()[0] == 0


def test_r16_a_route_that_waits_for_its_turn_hears_the_border_close(make, service, abroad):
    connect = granted(granted(make(WEEK)), BORDER)
    assert connect.submit(Position(*BEIJING)).accepted
    worker, go = connect._opened().sender.worker, threading.Event()
    worker.post(lambda: go.wait(PATIENCE_S))
    route = Background(lambda: connect.route(Place(40.0, 116.5)))
    wait_until(lambda: not worker._jobs.empty())
    assert connect.withdraw(BORDER).complete
    go.set()
    outcome = route.outcome()
    assert isinstance(outcome, ConsentRequired) and outcome.reason is Reason.CROSS_BORDER
    assert routes(service) == []


class GatedClock(SystemClock):
    """A clock that keeps the thread which asks it between the check of a position and its box."""

    def __init__(self) -> None:
        super().__init__()
        self.armed, self.inside, self.go = False, threading.Event(), threading.Event()

    def stamp(self):
        if self.armed:
            self.inside.set()
            assert self.go.wait(PATIENCE_S)
        return super().stamp()


def test_r16_a_position_between_its_check_and_its_box_stays_when_the_border_closes(make, service, abroad):
    clock = GatedClock()
    connect = granted(granted(make(WEEK, clock=clock)), BORDER)
    clock.armed = True
    submission = Background(lambda: connect.submit(Position(*BEIJING)))
    assert clock.inside.wait(PATIENCE_S)
    assert connect.withdraw(BORDER).complete
    clock.armed = False
    clock.go.set()
    submission.outcome()
    assert connect.submit(Position(HELSINKI[0], 25.0)).accepted
    connect.flush()
    assert [position["longitude"] for position in service.positions] == [25.0]


# -- the disk, the descriptors, the files --------------------------------------------------------


def test_r5_a_full_disk_still_tells_the_service(service, program):
    one = program(
        "c = make(); c.request_permission(user_action=True); c.submit(Position(60.17, 24.94)); full_disk(True)\n"
        "r = c.withdraw(); say(r.notice, bool(r.remaining), c.permission().granted); say(c.wait_for_notices(30))"
    )
    assert one.hear() == "pending True False"
    assert one.hear() == "True"
    assert [withdrawal["epoch"] for withdrawal in service.withdrawals] == [1]
    assert one.end()[0] == 0


def test_r5_durable_only_when_synced(program):
    one = program(
        "c = make(); c.request_permission(user_action=True); full_disk(True)\n"
        "say(c.withdraw().durable, c.withdraw().durable); full_disk(False); say(c.withdraw().durable)"
    )
    assert one.hear() == "False False"
    assert one.hear() == "True", "now the ledger has it"
    assert one.end()[0] == 0


def test_r5_without_a_descriptor_to_spare_a_withdrawal_is_finished_later(make, service, program):
    one = program(
        "c = make(); c.request_permission(user_action=True); c.submit(Position(60.17, 24.94)); c.permission()\n"
        "hold = []\n"
        "try:\n"
        "    while True: hold.append(os.open('/dev/null', os.O_RDONLY))\n"
        "except OSError: pass\n"
        "r = c.withdraw()\n"
        "for fd in hold: os.close(fd)\n"
        "say(c.permission().granted)\n"
        "while not c.withdraw().complete: pass\n"
        "say(c.wait_for_notices(30)); c.close()"
    )
    assert one.hear() == "False"
    assert one.hear() == "True"
    assert one.end() == (0, [])
    assert [withdrawal["epoch"] for withdrawal in service.withdrawals] == [1]
    connect = make()
    assert connect.permission().reason is Reason.WITHDRAWN
    assert nothing_is_kept(connect)


def test_r3_a_removed_barrier_is_reported_not_raised(make, service):
    connect = granted(make(WEEK))
    assert connect.submit(Position(*HELSINKI)).accepted
    (connect.state_path / "barrier").unlink()
    report = connect.withdraw()
    assert not report.complete, "nobody can say who is sending"
    assert report.durable and any("barrier" in item for item in report.remaining)
    assert connect.permission().reason is Reason.WITHDRAWN
    assert service.wait_for(lambda s: s.withdrawals), "the service is told all the same"
    again = make()
    assert again.permission().reason is Reason.WITHDRAWN
    wait_until(lambda: nothing_is_kept(again))
    wait_until(lambda: not connect._opened().ending.unfinished)
    assert connect.withdraw().complete


def test_r8_a_ledger_damaged_while_running_stops_no_withdrawal(make):
    connect = granted(make(WEEK))
    assert connect.submit(Position(*HELSINKI)).accepted
    ledger = connect.state_path / "ledger.db"
    with ledger.open("r+b") as file:
        file.write(b"X" * 4096)
    report = connect.withdraw()
    assert report.notice != "delivered" and report.durable, "the tombstone is on disk"
    assert not connect.permission().granted
    assert nothing_is_kept(connect)


def test_r8_an_unreadable_ledger_claims_no_delivered_notice(make, service):
    connect = granted(make(WEEK))
    ledger = connect.state_path / "ledger.db"
    connect.close()
    for path in ledger.parent.glob("ledger*"):
        path.write_bytes(b"X" * 4096)
    again = make()
    assert again.permission().reason is Reason.STATE_UNREADABLE
    report = again.withdraw()
    assert report.notice != "delivered" or service.withdrawals
    assert ledger.read_bytes() == b"X" * 4096, "it is kept as it is"


def test_r8_a_truncated_page_can_be_withdrawn_from_and_reset(make, service):
    connect = granted(make(WEEK))
    assert connect.submit(Position(*HELSINKI)).accepted
    page = connect.state_path / "page"
    connect.close()
    os.truncate(page, 100)
    again = make(WEEK)
    permission = again.permission()
    assert permission.state is PermissionState.UNAVAILABLE and permission.reason is Reason.STATE_UNREADABLE
    with pytest.raises(ConsentRequired):
        again.submit(Position(*HELSINKI))
    report = again.withdraw()
    assert not again.permission().granted
    assert report.notice != "none"
    assert service.wait_for(lambda s: s.withdrawals)
    again.reset()
    assert page.stat().st_size == 4096
    assert any(path.stat().st_size == 100 for path in page.parent.glob("page.*")), "the old one is kept"
    assert nothing_is_kept(again)
    assert again.permission().state is PermissionState.PROMPT
    assert again.request_permission(user_action=True).epoch == 2, "above what has ended"
    assert again.submit(Position(*HELSINKI)).accepted and again.flush().sent == 1
    assert service.consents and service.positions[-1]["epoch"] == 2


@pytest.mark.fault(44)
def test_r4_orphans_are_destroyed_at_open(make):
    connect = granted(make(WEEK))
    for i in range(3):
        assert connect.submit(Position(HELSINKI[0], HELSINKI[1] + i * 1e-3)).accepted
    path = connect.state_path
    connect.close()
    assert list((path / "outbox").glob("*.box"))
    for file in path.glob("ledger*"):
        file.unlink()
    again = make()
    assert not again.permission().granted
    settled(again)
    assert nothing_is_kept(again)


@pytest.mark.once
def test_r4_a_reset_beside_a_holder_of_the_lock_still_drops_everything(make, tmp_path):
    connect = granted(make(WEEK))
    assert connect.submit(Position(*HELSINKI)).accepted
    connect.close()
    again = make(WEEK)
    again.permission()
    holder = Barrier(directory(tmp_path)).shared(1.0)
    try:
        again.reset()
    except KalosConnectError:
        pass  # it may say that it cannot finish now
    holder.release()
    again.permission()
    wait_until(lambda: nothing_is_kept(again))
    assert granted(again).submit(Position(*HELSINKI)).accepted


# -- the vault -----------------------------------------------------------------------------------


def counted(vault: MemoryVault) -> list[int]:
    return [Secret.from_bytes(stored).counter(NAVIGATION) for stored in vault._secrets.values()]


def test_r7_the_vaults_counter_follows_later_in_the_same_run(make):
    vault = MemoryVault(persistent=True)
    connect = granted(make(WEEK, vault=vault))
    vault.available = False
    assert connect.withdraw().complete, "withdrawing needs no vault"
    assert counted(vault) == [0]
    engine = settled(connect)
    assert engine.ending._vault_due is not None, "it is tried again"
    vault.available = True
    engine.keeper.call(engine.ending.raise_vault_counters)
    assert counted(vault) == [1]


def test_r7_the_vaults_counter_follows_later_at_the_next_opening(make, service, tmp_path):
    vault = MemoryVault(persistent=True)
    connect = granted(make(WEEK, vault=vault))
    connect.close()
    shutil.copytree(tmp_path / "state", tmp_path / "backup")
    connect = granted(make(WEEK, vault=vault))
    service.stop()  # offline as well
    vault.available = False
    assert connect.withdraw().complete
    connect.close()
    assert counted(vault) == [0]
    vault.available = True
    again = make(vault=vault)
    assert again.permission().reason is Reason.WITHDRAWN
    settled(again)
    assert counted(vault) == [1]
    again.close()
    DataKeys.choose(directory(tmp_path), None).remove()  # a power cut
    shutil.rmtree(tmp_path / "state")
    shutil.move(tmp_path / "backup", tmp_path / "state")  # and an old copy of the state
    restored = make(vault=vault)
    assert restored.permission().reason is Reason.STATE_ROLLED_BACK
    service.start()


def test_r7_killed_right_after_withdrawing_the_counter_follows_at_the_next_opening(make, program, tmp_path):
    connect = granted(make(WEEK))
    slot = directory(tmp_path).slot
    connect.close()
    one = program("c = make(); c.permission(); c.withdraw(); os.kill(os.getpid(), signal.SIGKILL)")
    assert one.end()[0] == -signal.SIGKILL
    again = make()
    assert again.permission().reason is Reason.WITHDRAWN
    settled(again)
    stored = FileVault(tmp_path / "vault").load(slot)
    assert stored is not None and Secret.from_bytes(stored).counter(NAVIGATION) == 1


def test_r9_an_unreadable_vault_entry_is_never_overwritten(make):
    vault = MemoryVault(persistent=True)
    connect = granted(make(WEEK, vault=vault))
    connect.withdraw()
    connect.close()
    ((slot, stored),) = vault._secrets.items()
    newer = json.dumps({**json.loads(stored), "v": 2}).encode()
    vault.store(slot, newer)
    again = make(WEEK, vault=vault)
    permission = again.request_permission(user_action=True)
    assert vault.load(slot) == newer
    if permission.granted:
        assert again._opened().state.snapshot.run_only, "it lives in memory, for this run"
    again.withdraw()
    settled(again)
    again.close()
    assert vault.load(slot) == newer


# -- odd moments ---------------------------------------------------------------------------------


def test_r11_signal_inside_drive_stop(program):
    one = program(r"""
class Endless:
    live = True
    def __init__(self): self.over = False
    def __iter__(self):
        longitude = 24.94
        while not self.over:
            longitude += 1e-6
            yield Position(60.17, longitude)
    def close(self): self.over = True
c = make(); c.request_permission(user_action=True)
drive = c.drive(Endless())
reports = []
signal.signal(signal.SIGUSR1, lambda *_: reports.append(c.withdraw()))
with drive._stopping._cond, drive._work._cond, drive._over._cond:  # what an interrupted Event.set() holds
    signal.raise_signal(signal.SIGUSR1)
say(reports[0].complete)
drive.stop()
say(drive.running, c.permission().granted)
c.close()
""")
    assert one.hear() == "True"
    assert one.hear() == "False False"
    assert one.end() == (0, [])


@pytest.mark.parametrize("before", ["never opened", "closed"])
@pytest.mark.parametrize("threads", ["as they are", "none can start"])  # the latter is Python 3.12 and later
def test_r11_atexit_without_an_open_engine(make, service, program, before, threads):
    connect = granted(make(WEEK))
    assert connect.submit(Position(*HELSINKI)).accepted
    connect.close()
    one = program(f"""
import atexit, threading
c = make()
if {before == "closed"}: c.permission(); c.close()
def refuse(thread): raise RuntimeError("can't create new thread at interpreter shutdown")
def leave():
    if {threads != "as they are"}: threading.Thread.start = refuse
    r = c.withdraw()
    say(r.complete, r.durable)
atexit.register(leave)
""")
    assert one.end() == (0, ["True True"])
    again = make()
    assert again.permission().reason is Reason.WITHDRAWN
    assert nothing_is_kept(again)
    assert again.wait_for_notices(PATIENCE_S)
    assert [withdrawal["epoch"] for withdrawal in service.withdrawals] == [1]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_fork_while_the_identity_lock_is_held(make):
    connect = granted(make(WEEK))
    reading, writing = os.pipe()
    with identity._this_run_lock:  # another thread is in there at the moment of the fork
        pid = os.fork()
        if pid == 0:
            try:
                signal.alarm(int(PATIENCE_S))
                os.write(writing, str(connect.withdraw().complete).encode())
            finally:
                os._exit(0)
    os.close(writing)
    _, status = os.waitpid(pid, 0)
    with os.fdopen(reading) as file:
        assert (status, file.read()) == (0, "True")
    assert not connect.permission().granted


def test_r12_a_prompt_closed_with_its_facade_keeps_nobody_waiting_and_a_late_allow_is_void(make):
    prompter = ScriptedPrompter(None, driver_facing=False)
    connect = make(prompter=prompter)
    future = connect.request_permission_future(user_action=True)
    request = prompter.wait_asked()
    connect.close()
    assert request.cancelled.is_set() and future.done(), "both before close() returned"
    request.answer(WEEK)
    again = make(PromptAnswer.deny())
    permission = again.request_permission(user_action=True)
    assert permission.reason is Reason.REFUSED and permission.epoch == 0
    assert not future.result().granted


def test_r3_close_cuts_requests_in_flight(make, service):
    connect = granted(make(WEEK, settings={"timeout_s": 120.0}))
    assert connect.submit(Position(*HELSINKI)).accepted
    service.fail(503, stall_s=120.0, path="/v1/positions")
    flush = Background(connect.flush)
    assert service.wait_for(lambda s: any(r["path"] == "/v1/positions" for r in s.requests))
    connect.close()
    flush.outcome()
    report = make().withdraw(timeout_s=PATIENCE_S)
    assert report.complete and report.holders == (), "nobody holds the barrier any more"
    service.clear_failures()
    assert service.positions == []


def test_r3_flush_ends_within_a_second_of_a_withdrawal_while_the_courier_hangs(make, service):
    granted(make(WEEK))
    connect = make(settings={"timeout_s": 120.0})
    assert connect.submit(Position(*HELSINKI)).accepted
    seen = len(service.requests)
    service.fail(stall_s=120.0, times=None, path="/v1/consents", before="effect")
    flush = Background(connect.flush)
    assert service.wait_for(lambda s: len(s.requests) > seen), "its courier asks, and waits"
    report = connect.withdraw()
    assert report.complete and report.dropped == 1
    assert flush.outcome(10.0).reason is Reason.WITHDRAWN
    service.clear_failures()
    assert service.positions == []


def test_a_job_that_comes_as_a_worker_ends_is_answered():
    class Slow(Worker):
        """Loses the processor after its last look at the queue."""

        looked, go = threading.Event(), threading.Event()

        def _refuse_the_rest(self) -> None:
            super()._refuse_the_rest()
            if self.here:
                self.looked.set()
                assert self.go.wait(PATIENCE_S)

    worker = Slow("slow")
    worker.start(lambda: False)
    worker.stop(0.0)
    assert worker.looked.wait(PATIENCE_S)
    reply = worker.begin(lambda: 1)
    try:
        with pytest.raises(KalosConnectError):
            reply.get(PATIENCE_S)
    finally:
        worker.go.set()
        worker.stop()


@pytest.mark.fault(20)
def test_r11_a_withdrawal_beside_a_program_that_keeps_the_ledger_locked_is_durable(make, service, tmp_path):
    connect = make()
    granted(connect)
    connect.close()
    (path,) = (tmp_path / "state").glob("*/*/ledger.db")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    report = make().withdraw()
    holder.execute("ROLLBACK")
    holder.close()
    assert not report.complete and report.durable and report.remaining
    again = make()
    assert not again.permission().granted
    assert again.wait_for_notices(10) and [entry["epoch"] for entry in service.withdrawals] == [1]


def test_r8_a_grant_of_another_program_waits_for_a_reset_and_is_not_lost_in_the_archive(make, monkeypatch, service):
    """The other program records its Allow after the old ledger was read, or before: the new one knows it, or its end."""
    from kalos_connect_sdk.protocol import reset

    connect, other = make(WEEK), make(WEEK)
    assert not other.permission().granted
    asked = []
    begin_anew = reset._begin_anew

    def asked_meanwhile(*arguments):
        asked.append(other.request_permission_future(user_action=True))
        with pytest.raises(TimeoutError):
            asked[0].result(0.3)
        begin_anew(*arguments)

    monkeypatch.setattr(reset, "_begin_anew", asked_meanwhile)
    connect.reset()
    found = asked[0].result(PATIENCE_S)
    assert (found.granted, found.epoch) == (connect.permission().granted, connect.permission().epoch)
    if not found.granted:  # it waited too long for the barrier
        assert other.request_permission(user_action=True).granted
    report = connect.withdraw()
    assert report.complete and not report.remaining and not other.permission().granted
    assert connect.wait_for_notices(PATIENCE_S) and [told["epoch"] for told in service.withdrawals] == [1]


def test_r8_a_reset_and_a_new_grant_are_seen_by_a_program_that_knew_the_old_history(make):
    connect, other = granted(make(WEEK)), make(WEEK)
    for _ in range(3):
        assert connect.withdraw().complete
        assert connect.request_permission(user_action=True).granted
    assert other.permission().epoch == 4
    connect.reset()
    assert not other.permission().granted
    assert connect.request_permission(user_action=True).epoch == 5
    assert other.permission().epoch == 5
    assert other.submit(Position(*HELSINKI)).accepted
    assert other.withdraw().complete and not connect.permission().granted
