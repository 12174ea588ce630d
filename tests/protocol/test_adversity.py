"""When the place, the lock, the key or the adapter is not what it should be: unknown means no, and it is said (R1)."""

from __future__ import annotations

import io
import queue
import shutil
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kalos_connect_sdk import (
    ConsentRequired,
    Datum,
    Duration,
    InvalidPosition,
    KalosConnectError,
    OsAnswer,
    PermissionState,
    Position,
    Precision,
    PromptAnswer,
    Purpose,
    Reason,
)
from kalos_connect_sdk.core.notices.default import DEFAULT_NOTICE
from kalos_connect_sdk.storage.datakeys import DataKeys
from kalos_connect_sdk.storage.directory import StateDirectory
from kalos_connect_sdk.storage.locks import Barrier, FileLock
from kalos_connect_sdk.testing import FakeClock, FakeVehicle, MemoryVault, ScriptedPrompter

NOON = datetime(2027, 5, 4, 12, tzinfo=UTC)
WEEK = PromptAnswer.allow(Duration.days(7))
HERE = (60.1699, 24.9384)
SHANGHAI = (31.2304, 121.4737)


def granted(make, *answers: PromptAnswer, **options):
    connect = make(*answers, **options)
    assert connect.request_permission(user_action=True).granted
    return connect


def directory(tmp_path: Path) -> StateDirectory:
    return StateDirectory.open("com.example.test", None, str(tmp_path / "state"), create=False)


# -- the state directory -------------------------------------------------------------------------


def test_r1_a_state_directory_others_can_write_is_not_used(make, tmp_path):
    path = granted(make, WEEK).state_path
    for connect in (make(), make()):
        connect.close()
    path.chmod(0o777)
    connect = make()
    try:
        permission = connect.permission()
        assert permission.state is PermissionState.UNAVAILABLE and permission.reason is Reason.STATE_UNREADABLE
        assert connect.request_permission(user_action=True).state is PermissionState.UNAVAILABLE
        assert connect.flush().reason is Reason.STATE_UNREADABLE
        with pytest.raises(ConsentRequired) as caught:
            connect.submit(Position(*HERE))
        assert caught.value.reason is Reason.STATE_UNREADABLE
        report = connect.withdraw()
        assert not report.complete and not report.durable and report.remaining
        assert not connect.sharing
    finally:
        path.chmod(0o700)


# -- the barrier and the ledger, held by somebody else -------------------------------------------


def test_a_holder_of_the_lock_delays_a_grant_by_a_second_and_is_told(make, tmp_path):
    connect = make()
    connect.permission()
    with Barrier(directory(tmp_path)).exclusive(1.0):
        permission = connect.request_permission(user_action=True)
    assert permission.state is PermissionState.UNAVAILABLE and permission.reason is Reason.BUSY
    assert connect.request_permission(user_action=True).granted


def test_a_holder_of_the_lock_delays_a_downgrade_too_and_the_grant_stays(make, tmp_path):
    connect = granted(make)
    with Barrier(directory(tmp_path)).shared(1.0):
        assert connect.request_permission(precision=Precision.APPROXIMATE).reason is Reason.BUSY
    assert connect.permission().precision is Precision.PRECISE
    assert connect.request_permission(precision=Precision.APPROXIMATE).precision is Precision.APPROXIMATE


def test_a_holder_of_the_lock_delays_sending_and_nothing_is_lost(make, service, tmp_path):
    connect = granted(make)
    connect.submit(Position(*HERE))
    with Barrier(directory(tmp_path)).exclusive(1.0):
        report = connect.flush(timeout_s=0.2)
        assert (report.sent, report.remaining) == (0, 1)
    assert connect.flush().sent == 1


@pytest.mark.once
def test_r5_a_ledger_that_cannot_be_written_stops_no_withdrawal_and_grants_nothing(make, service, tmp_path):
    prompter = ScriptedPrompter(PromptAnswer.allow(), PromptAnswer.dismiss(), PromptAnswer.allow())
    connect = granted(make, prompter=prompter)
    connect.submit(Position(*HERE))
    with FileLock(directory(tmp_path), "writer.lock").try_acquire():
        report = connect.withdraw()
        assert report.complete and report.durable and report.dropped == 1
        assert any("ledger" in item for item in report.remaining), "it says what is not yet recorded"
        assert connect.permission().reason is Reason.WITHDRAWN
        assert not connect.request_permission(user_action=True).granted, "a dismissal that cannot be counted"
        permission = connect.request_permission(user_action=True)
        assert not permission.granted, "an Allow that cannot be recorded is none"
    assert connect.wait_for_notices(10)
    assert [w["epoch"] for w in service.withdrawals] == [1]
    told = [request for request in service.requests if request["path"].endswith("/withdrawals")]
    assert len(told) == 1, "what was acknowledged is not sent again while its row cannot be removed"
    assert connect.request_permission(user_action=True).granted


def test_r3_a_withdrawal_behind_an_earlier_task_claims_no_more_than_it_did(make, service):
    connect = granted(make)
    connect.submit(Position(*HERE))
    release = threading.Event()
    connect._opened().keeper.post(lambda: release.wait(30))
    report = connect.withdraw(timeout_s=0.1)
    assert not report.complete and report.durable and report.remaining and report.notice == "pending"
    release.set()
    with pytest.raises(ConsentRequired):
        connect.submit(Position(HERE[0], 25.0))
    assert connect.wait_for_notices(10) and connect.withdraw().complete
    assert service.positions == []


def test_r11_an_allow_that_comes_after_a_withdrawal_of_another_facade_is_void(make, service):
    other = make()

    def late(request):
        other.withdraw()
        return PromptAnswer.allow()

    connect = make(prompter=ScriptedPrompter(late))
    assert not connect.request_permission(user_action=True).granted
    assert not connect.permission().granted


def test_r8_an_allow_to_a_history_that_broke_meanwhile_is_none(make, tmp_path):
    def damage(request):
        (ledger,) = (tmp_path / "state").rglob("ledger.db")
        ledger.write_bytes(b"\xff" * ledger.stat().st_size)
        return PromptAnswer.allow()

    connect = make(prompter=ScriptedPrompter(damage))
    permission = connect.request_permission(user_action=True)
    assert permission.state is PermissionState.UNAVAILABLE and permission.reason is Reason.STATE_UNREADABLE
    connect.reset()
    connect._defaults._prompter.will(PromptAnswer.allow())
    assert connect.request_permission(user_action=True).granted


def test_r12_a_vault_that_could_ask_is_left_alone_where_the_vehicle_says_nothing(make):
    class Silent(FakeVehicle):
        def read(self):
            raise OSError("the bus is off")

    vault = MemoryVault(persistent=True, may_prompt=True)
    granted(make, WEEK, vault=vault).close()
    permission = make(vault=vault, vehicle=Silent()).permission()
    assert permission.state is PermissionState.UNAVAILABLE and permission.reason is Reason.VAULT_UNAVAILABLE
    assert make(vault=vault).permission().granted


def test_a_machine_without_a_boot_id_has_one_boot(monkeypatch, tmp_path):
    from kalos_connect_sdk.protocol import clock

    monkeypatch.setattr(clock, "_BOOT_ID", tmp_path / "none")
    reading = clock.SystemClock().read()
    assert reading.boot_id == "unknown-boot" and reading.suspended_s >= 0


# -- the data key --------------------------------------------------------------------------------


def test_r4_after_a_reboot_the_key_is_gone_and_what_it_sealed_is_dropped(make, service, tmp_path):
    connect = granted(make, WEEK)
    for i in range(3):
        connect.submit(Position(HERE[0], HERE[1] + i * 1e-5))
    connect.close()
    DataKeys.choose(directory(tmp_path), None).remove()  # what a power cut does to RAM
    again = make()
    assert again.permission().granted
    assert again.flush().sent == 0
    assert again.submit(Position(*HERE)).accepted
    assert again.flush().sent == 1 and len(service.positions) == 1


def test_r4_a_key_that_vanishes_takes_its_positions_with_it(make, service, tmp_path):
    connect = granted(make)
    for i in range(3):
        connect.submit(Position(HERE[0], HERE[1] + i * 1e-5))
    DataKeys.choose(directory(tmp_path), None).remove()
    assert connect.flush().sent == 0
    assert service.positions == []
    assert connect.submit(Position(*HERE)).accepted
    assert connect.flush().sent == 1


def test_without_a_key_and_without_the_lock_nothing_is_buffered(make, tmp_path):
    connect = granted(make, WEEK)
    connect.close()
    DataKeys.choose(directory(tmp_path), None).remove()
    again = make()
    with Barrier(directory(tmp_path)).shared(1.0):
        submission = again.submit(Position(*HERE))
    assert not submission.accepted and submission.reason is Reason.OUTBOX_UNAVAILABLE
    assert again.submit(Position(HERE[0], 24.0)).accepted


def test_an_outbox_that_cannot_be_written_accepts_nothing(make, tmp_path):
    connect = granted(make)
    outbox = connect.state_path / "outbox"
    shutil.rmtree(outbox, ignore_errors=True)
    outbox.write_bytes(b"")
    submission = connect.submit(Position(*HERE))
    assert not submission.accepted and submission.reason is Reason.OUTBOX_UNAVAILABLE
    outbox.unlink()


# -- what is submitted ---------------------------------------------------------------------------


@pytest.mark.parametrize("value", [(60.0, 24.0), None, "60.0 24.0"])
def test_r10_only_a_position_is_a_position(make, value):
    with pytest.raises(InvalidPosition) as caught:
        granted(make).submit(value)
    assert "60.0" not in str(caught.value)


def test_positions_of_any_datum_leave_in_wgs84(make, service):
    connect = granted(make)
    assert connect.submit(Position(*SHANGHAI).to(Datum.GCJ02)).accepted
    assert connect.flush().sent == 1
    (sent,) = service.positions
    assert (sent["latitude"], sent["longitude"]) == pytest.approx(SHANGHAI, abs=1e-6)


def test_r16_positions_in_mainland_china_stay_until_the_separate_consent(make):
    connect = granted(make, settings={"service_url": None})  # it stands nowhere that is known
    with pytest.raises(ConsentRequired) as caught:
        connect.submit(Position(*SHANGHAI))
    assert caught.value.reason is Reason.CROSS_BORDER
    assert connect.submit(Position(*HERE)).accepted
    assert connect.request_permission(Purpose.CROSS_BORDER_TRANSFER, user_action=True).granted
    assert connect.submit(Position(*SHANGHAI)).accepted
    connect.withdraw(Purpose.CROSS_BORDER_TRANSFER)
    with pytest.raises(ConsentRequired):
        connect.submit(Position(*SHANGHAI))


def test_r16_a_service_that_stands_in_china_needs_none(make):
    connect = granted(make, settings={"service_url": None, "service_region": "CN"})
    assert connect.submit(Position(*SHANGHAI)).accepted


def test_the_filters_say_why(make):
    clock = FakeClock(NOON)
    connect = granted(make, clock=clock)

    def submitted(seconds: float, longitude: float = 24.9):
        time = datetime.fromtimestamp(NOON.timestamp() + seconds, UTC)
        submission = connect.submit(Position(60.0, longitude, time=time))
        return submission.reason

    assert submitted(-901) is Reason.STALE
    assert submitted(31) is Reason.FUTURE
    assert submitted(0) is Reason.ALLOWED
    assert submitted(0) is Reason.DUPLICATE
    assert submitted(-1) is Reason.OUT_OF_ORDER
    assert submitted(0, 25.0) is Reason.ALLOWED


def test_a_full_outbox_drops_its_oldest(make, service):
    connect = granted(make, settings={"outbox_max_positions": 5})
    for i in range(12):
        assert connect.submit(Position(60.0, 24.0 + i * 1e-3)).accepted
    assert connect.flush().sent == 5
    assert [p["longitude"] for p in service.positions] == pytest.approx([24.0 + i * 1e-3 for i in range(7, 12)])


# -- asking --------------------------------------------------------------------------------------


def test_r12_another_facade_joins_the_open_prompt(make):
    prompter = ScriptedPrompter(None)
    first, second = make(prompter=prompter), make(PromptAnswer.deny())
    asked = first.request_permission_future(user_action=True)
    while not prompter.requests:
        pass
    joined = second.request_permission_future(user_action=True)
    prompter.requests[0].answer(WEEK)
    assert asked.result(5).granted and joined.result(5).granted


def test_r12_closing_resolves_an_open_prompt(make):
    prompter = ScriptedPrompter(None)
    connect = make(prompter=prompter)
    future = connect.request_permission_future(user_action=True)
    while not prompter.requests:
        pass
    connect.close()
    error = future.exception(5)
    assert isinstance(error, KalosConnectError) or not future.result().granted
    assert prompter.requests[0].cancelled.wait(5)


def test_r14_an_allow_on_a_new_notice_renews(make, service):
    granted(make, WEEK).close()
    changed = replace(DEFAULT_NOTICE, version="2", recipients=(*DEFAULT_NOTICE.recipients, "another recipient"))
    connect = make(WEEK, notice=changed)
    assert connect.permission().reason is Reason.NOTICE_CHANGED
    with pytest.raises(ConsentRequired):
        connect.submit(Position(*HERE))
    assert connect.request_permission(user_action=True).epoch == 2
    assert connect.submit(Position(*HERE)).accepted and connect.flush().sent == 1
    assert [receipt.to_json().count("another recipient") > 0 for receipt in connect.receipts()][-1]


def test_the_terminal_of_a_person_is_the_prompter_where_nobody_chose_one(make, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert make(prompter=None).permission().reason is Reason.NOT_ASKED


# -- the vehicle and the system say no -----------------------------------------------------------


class System:
    """The operating system's permission, with a switch."""

    def __init__(self) -> None:
        self.answer = OsAnswer.GRANTED
        self._tell: list = []

    def read(self) -> OsAnswer:
        return self.answer

    def subscribe(self, callback):
        self._tell.append(callback)
        return lambda: self._tell.remove(callback)

    def set(self, answer: OsAnswer) -> None:
        self.answer = answer
        for tell in list(self._tell):
            tell()


def reasons_until(heard: queue.Queue, reason: Reason) -> None:
    while heard.get(timeout=10).reason is not reason:
        pass


def test_r3_the_privacy_switch_ends_the_grant_with_the_same_drop(make, service):
    vehicle = FakeVehicle()
    connect = granted(make, vehicle=vehicle)
    connect.submit(Position(*HERE))
    vehicle.set_privacy(True)
    with pytest.raises(ConsentRequired) as caught:
        connect.submit(Position(HERE[0], 25.0))
    assert caught.value.reason is Reason.VEHICLE_PRIVACY
    assert service.wait_for(lambda s: s.withdrawals), "the service is told"
    vehicle.set_privacy(False)
    permission = connect.permission()
    assert not permission.granted and permission.state is PermissionState.PROMPT
    assert connect.flush().sent == 0 and service.positions == []


def test_r1_a_permission_taken_away_by_the_system_ends_the_grant(make, service):
    system = System()
    connect = granted(make, os_permission=system)
    connect.submit(Position(*HERE))
    system.set(OsAnswer.DENIED)
    assert service.wait_for(lambda s: s.withdrawals)
    system.set(OsAnswer.GRANTED)
    assert not connect.permission().granted
    assert connect.flush().sent == 0
    connect.close()
    assert system._tell == [], "nothing is left subscribed"


def test_a_system_that_does_not_know_closes_the_gate_and_ends_nothing(make, service):
    system = System()
    connect = granted(make, os_permission=system)
    connect.submit(Position(*HERE))
    system.set(OsAnswer.UNKNOWN)
    assert connect.permission().reason is Reason.OS_UNKNOWN
    assert connect.flush().sent == 0
    system.set(OsAnswer.GRANTED)
    assert connect.flush().sent == 1


# -- subscribers ---------------------------------------------------------------------------------


def test_a_subscriber_that_fails_keeps_nothing_from_the_others(make):
    connect = make()
    heard: queue.Queue = queue.Queue()

    def broken(permission) -> None:
        raise RuntimeError("a widget that is gone")

    connect.on_change(broken)
    connect.on_change(heard.put)
    silent: queue.Queue = queue.Queue()
    connect.on_change(silent.put)()
    connect.request_permission(user_action=True)
    reasons_until(heard, Reason.ALLOWED)
    connect.withdraw()
    reasons_until(heard, Reason.WITHDRAWN)
    assert silent.empty(), "who unsubscribed hears nothing"


def test_sharing_is_about_precise_positions_that_may_be_leaving(make):
    connect = granted(make)
    assert not connect.sharing
    connect.submit(Position(*HERE))
    assert connect.sharing
    connect.flush()
    assert not connect.sharing
    connect.request_permission(precision=Precision.APPROXIMATE)
    connect.submit(Position(*HERE))
    assert not connect.sharing
    connect.close()
    assert not connect.sharing
