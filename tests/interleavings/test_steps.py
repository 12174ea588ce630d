"""Each step of an ending and of a grant, taken alone: what it leaves when the step before or after it cannot be done."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from two_programs import NAVIGATION, Program, Scene, notice_of

from kalos_connect_sdk import Config, PromptAnswer, Purpose, Reason
from kalos_connect_sdk.core.lifecycle import Event
from kalos_connect_sdk.model.consent import Precision
from kalos_connect_sdk.model.reports import WithdrawalReport
from kalos_connect_sdk.model.vehicle import OsAnswer, VehicleState
from kalos_connect_sdk.protocol import granting
from kalos_connect_sdk.protocol.causes import CAUSES
from kalos_connect_sdk.protocol.granting import Shown
from kalos_connect_sdk.protocol.sending import _Round
from kalos_connect_sdk.protocol.state import WRITER_WAIT_S
from kalos_connect_sdk.storage.datakeys import DataKeys, Place
from kalos_connect_sdk.storage.failure import StorageFailure
from kalos_connect_sdk.storage.locks import FileLock, try_lock
from kalos_connect_sdk.testing import MemoryVault

BORDER = Purpose.CROSS_BORDER_TRANSFER
SUBJECT = CAUSES["subject"]
UNREACHABLE = "tmpfs:/proc/nowhere"


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Program]:
    """A program whose state holds no grant."""
    program = Program(tmp_path / "state", MemoryVault(persistent=True))
    yield program
    program.state.keys.remove()
    program.close()


def kinds(program: Program) -> list[str]:
    return [json.loads(row.body)["kind"] for row in program.state.ledger.events()]


def buffer(program: Program, count: int) -> None:
    for _ in range(count):
        program.submit()
    assert program.store.box is not None and len(program.store.box) == count


def border(program: Program) -> Shown:
    notice = notice_of(BORDER)
    return Shown(BORDER, notice, notice.text("en"), program.state.page.withdrawals(BORDER), None, False)


def when_one_waits(program: Program, then: Callable[[], None]) -> threading.Thread:
    """Do ``then`` as soon as somebody stands in the turnstile before the barrier that ``program`` holds."""

    def wait() -> None:
        while True:
            probe = try_lock(program.state.barrier._turnstile, exclusive=False)
            if probe is None:
                return then()
            probe.release()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


# -- endings -------------------------------------------------------------------------------------


def test_r11_withdrawing_nothing_drops_nothing_and_is_written_down_once(empty):
    report = empty.ending.end([NAVIGATION, BORDER], SUBJECT, 0.0)
    assert (report.complete, report.dropped, report.remaining, report.notice) == (True, 0, (), "none")
    assert kinds(empty) == ["withdraw-again", "withdraw-again"]
    assert empty.ending.unfinished == {}


def test_r4_withdrawing_nothing_removes_ciphertext_that_belongs_to_no_grant(empty):
    outbox = empty.state.directory.path / "outbox"
    outbox.mkdir(mode=0o700, exist_ok=True)
    (outbox / "0.box").write_bytes(b"left")
    assert empty.ending.end([NAVIGATION], SUBJECT, 0.0).complete
    assert list(outbox.iterdir()) == []


def test_r3_a_withdrawal_waits_for_a_holder_within_its_time_and_writes_each_step_down_once(scene):
    holds, withdraws = scene.program(), scene.program()
    lease = holds.state.barrier.shared(0)
    thread = when_one_waits(holds, lease.release)
    report = withdraws.ending.end([NAVIGATION], SUBJECT, 20.0)
    thread.join()
    assert (report.complete, report.holders, report.remaining) == (True, (), ())
    assert kinds(withdraws) == ["allow", "withdraw", "erased"]
    assert withdraws.ending.end([NAVIGATION], SUBJECT, 0.0).complete
    assert kinds(withdraws) == ["allow", "withdraw", "erased", "withdraw-again"]


def test_r5_the_person_is_answered_when_the_key_is_gone_and_the_history_follows(scene):
    program = scene.program()
    buffer(program, 3)
    seen = []

    def answer(report: WithdrawalReport) -> None:
        assert program.state.keys.read().key is None and not list((program.state.directory.path / "outbox").iterdir())
        assert program.state.page.ended(NAVIGATION, program.state.snapshot.records[NAVIGATION].epoch)
        seen.append((report, kinds(program)))

    last = program.ending.end([NAVIGATION], SUBJECT, 5.0, answer=answer)
    [(first, before)] = seen
    assert before == ["allow"] and kinds(program) == ["allow", "withdraw", "erased"]
    assert (first.complete, first.durable, first.dropped, first.remaining) == (True, True, 3, ())
    assert replace(first, elapsed_s=0.0) == replace(last, elapsed_s=0.0), "nothing it says became untrue"
    assert not program.ending.unfinished


@pytest.mark.parametrize("why", ["another program writes", "the disk is full", "a tombstone is not on disk"])
def test_r5_where_the_history_may_not_follow_the_answer_waits_for_the_attempt(scene, monkeypatch, why):
    program, other = scene.program(), scene.program()
    program.state.writer_wait_s = 0.0
    written = {NAVIGATION: (program.state.snapshot.records[NAVIGATION].epoch, why != "a tombstone is not on disk")}
    early: list[WithdrawalReport] = []
    with ExitStack() as stack:
        if why == "another program writes":
            stack.enter_context(FileLock(other.state.directory, "writer.lock").try_acquire())
        elif why == "the disk is full":
            monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=63, f_frsize=4096, f_flag=0))
        report = program.ending.end([NAVIGATION], SUBJECT, 5.0, written=written, answer=early.append)
    assert report.complete and early == []
    unrecorded = why == "another program writes"
    assert report.remaining == (("the ledger entry; the tombstone stands for it",) if unrecorded else ())
    assert kinds(program) == (["allow"] if unrecorded else ["allow", "withdraw", "erased"])


def test_r5_a_second_withdrawal_knows_whether_the_service_has_heard_of_the_first(scene):
    program = scene.program()
    early = []
    assert program.ending.end([NAVIGATION], SUBJECT, 5.0).notice == "pending"
    program.state.commit(delete_notices=[row.notice_id for row in program.state.ledger.notices()])
    assert program.ending.end([NAVIGATION], SUBJECT, 5.0, answer=early.append).notice == "delivered"
    assert early == [], "there is something to be read first"


def test_r3_a_holder_that_does_not_let_go_in_time_is_named_and_finished_later(scene):
    holds, withdraws = scene.program(), scene.program()
    lease = holds.state.barrier.shared(0)
    report = withdraws.ending.end([NAVIGATION], SUBJECT, 0.0)
    assert not report.complete and report.holders and report.durable
    assert any("let go" in item for item in report.remaining)
    assert kinds(withdraws) == ["allow", "withdraw"]
    assert withdraws.ending.settle(), "something is left"
    lease.release()
    assert not withdraws.ending.settle()
    assert kinds(withdraws) == ["allow", "withdraw", "erased"]
    assert withdraws.state.keys.read().key is None


def test_r5_durable_only_when_every_tombstone_or_the_ledger_has_it(scene):
    other, withdraws = scene.program(), scene.program()
    withdraws.granting.grant(border(withdraws), PromptAnswer.allow())
    withdraws.state.writer_wait_s = 0.0
    epoch = withdraws.state.snapshot.records[NAVIGATION].epoch
    with FileLock(other.state.directory, "writer.lock").try_acquire(), other.state.barrier.shared(0):
        written = {NAVIGATION: (epoch, False)}
        report = withdraws.ending.end([NAVIGATION, BORDER], SUBJECT, 0.0, written=written)
    assert not report.durable
    assert any("ledger entry" in item for item in report.remaining)


def test_r5_what_could_be_written_down_in_the_end_is_not_told_as_missing(scene):
    other, withdraws = scene.program(), scene.program()
    withdraws.state.writer_wait_s = 0.0
    epoch = withdraws.state.snapshot.records[NAVIGATION].epoch
    lease, writer = other.state.barrier.shared(0), FileLock(other.state.directory, "writer.lock").try_acquire()

    def let_go() -> None:
        writer.release()
        lease.release()

    thread = when_one_waits(other, let_go)
    early: list[WithdrawalReport] = []
    written = {NAVIGATION: (epoch, False)}
    report = withdraws.ending.end([NAVIGATION], SUBJECT, 20.0, written=written, answer=early.append)
    thread.join()
    assert (report.complete, report.remaining, report.durable) == (True, (), True)
    assert early == [], "without a tombstone on disk only the history makes it durable"
    assert kinds(withdraws) == ["allow", "withdraw", "erased"]


def test_r5_without_a_grant_a_ledger_that_cannot_be_written_leaves_nothing_to_do(empty):
    empty.state.writer_wait_s = 0.0
    with FileLock(empty.state.directory, "writer.lock").try_acquire():
        report = empty.ending.end([NAVIGATION], SUBJECT, 0.0)
    assert (report.complete, report.remaining) == (True, ())


def test_r4_a_key_that_cannot_be_destroyed_is_never_written_down_as_erased(scene):
    program = scene.program()
    buffer(program, 2)
    keys, program.state.keys = program.state.keys, DataKeys.choose(program.state.directory, UNREACHABLE)
    report = program.ending.end([NAVIGATION], SUBJECT, 0.0)
    assert not report.complete
    assert "destroying the data key" in report.remaining
    assert "the counter in RAM" in report.remaining
    assert report.dropped == 2, "the ciphertext goes all the same"
    assert "erased" not in kinds(program)
    assert program.ending.settle()
    program.state.keys = keys
    assert not program.ending.settle()
    assert kinds(program) == ["allow", "withdraw", "erased"]
    assert keys.read().key is None


def test_r4_ciphertext_that_cannot_be_removed_is_told_and_removed_later(scene):
    program = scene.program()
    stuck = program.state.directory.path / "outbox" / "0.box"
    stuck.mkdir(parents=True)
    report = program.ending.end([NAVIGATION], SUBJECT, 0.0)
    assert not report.complete
    assert any("its key is gone, nobody can read it" in item for item in report.remaining)
    assert "erased" not in kinds(program)
    stuck.rmdir()
    assert not program.ending.settle()
    assert "erased" in kinds(program)


def test_r5_a_withdrawal_reports_what_recovery_dropped_for_it_once(scene):
    first = scene.program()
    buffer(first, 3)
    epoch = first.state.snapshot.records[NAVIGATION].epoch
    first.store.close()
    assert first.state.page.end(NAVIGATION, epoch)
    second = scene.program()
    second.ending.recover()
    assert second.ending.unfinished == {}
    assert [second.ending.end([NAVIGATION], SUBJECT, 0.0).dropped for _ in range(2)] == [3, 0]
    second.ending._recovered[NAVIGATION] = (epoch + 1, 7)
    assert second.ending.end([NAVIGATION], SUBJECT, 0.0).dropped == 0, "another epoch's"


def test_r20_finishing_an_expiry_is_told_as_no_withdrawal_of_the_person(scene):
    holds, ends = scene.program(), scene.program()
    with holds.state.barrier.shared(0):
        assert not ends.ending.end([NAVIGATION], CAUSES["time"], 0.0).complete
    again = scene.program()
    again.ending.recover()
    assert kinds(again) == ["allow", "expire", "erased"]


def test_r11_a_grant_that_slips_in_before_the_barrier_is_ended_too(scene):
    grants, withdraws = scene.program(), scene.program()
    lease = grants.state.barrier.shared(0)
    epoch = withdraws.state.snapshot.records[NAVIGATION].epoch + 1

    def announce() -> None:
        grants.state.page.set_granted(NAVIGATION, epoch)
        lease.release()

    thread = when_one_waits(grants, announce)
    report = withdraws.ending.end([NAVIGATION], SUBJECT, 20.0)
    thread.join()
    assert report.complete
    assert withdraws.state.page.ended(NAVIGATION, epoch)
    assert not withdraws.state.page.ended(NAVIGATION, epoch + 1)


@pytest.mark.parametrize("name", [name for name in CAUSES if name not in ("subject", "guardian")])
def test_r11_only_a_person_ends_a_grant_that_is_just_being_made(scene, name):
    grants, ends = scene.program(), scene.program()
    epoch = ends.state.snapshot.records[NAVIGATION].epoch
    grants.state.page.set_granted(NAVIGATION, epoch + 1)
    count = ends.state.page.withdrawals(NAVIGATION)
    assert ends.ending.end([NAVIGATION, BORDER], CAUSES[name], 0.0).complete
    assert ends.state.page.ended(NAVIGATION, epoch)
    assert not ends.state.page.ended(NAVIGATION, epoch + 1)
    assert ends.state.page.withdrawals(NAVIGATION) == count, "an Allow on its way stands"
    assert kinds(ends)[:2] == ["allow", CAUSES[name].event.value]
    assert "withdraw-again" not in kinds(ends)


def test_r5_a_notice_wakes_with_its_tombstone_and_no_other(scene):
    program = scene.program()
    program.granting.grant(border(program), PromptAnswer.allow())
    program.withdraw()
    assert {row.purpose: row.awake for row in program.state.ledger.notices()} == {NAVIGATION: True, BORDER: False}


def test_r5_opening_wakes_a_notice_whose_tombstone_stands_alone(scene):
    program = scene.program()
    program.state.page.end(NAVIGATION, program.state.snapshot.records[NAVIGATION].epoch)
    program.ending._wake_forgotten()
    assert [row.awake for row in program.state.ledger.notices()] == [True]


def test_r4_a_key_and_ciphertext_of_no_grant_are_removed_and_the_barrier_is_free_again(empty):
    empty.state.keys.make(3, 1)
    outbox = empty.state.directory.path / "outbox"
    outbox.mkdir(mode=0o700, exist_ok=True)
    (outbox / "0.box").write_bytes(b"left")
    empty.ending.recover()
    assert empty.state.keys.read().key is None
    assert list(outbox.iterdir()) == []
    assert not empty.ending._orphans
    with empty.state.barrier.exclusive(0):
        (outbox / "1.box").write_bytes(b"left")
        empty.ending.recover()
        assert empty.ending._orphans, "somebody holds the barrier"
    assert not empty.ending.settle()
    assert list(outbox.iterdir()) == []
    assert kinds(empty) == []


def test_an_attempt_in_the_background_waits_for_no_writer_and_later_ones_do(scene):
    program = scene.program()
    program.ending.try_again()
    assert program.state.writer_wait_s == WRITER_WAIT_S
    program.state.ledger.close()
    (program.state.directory.path / "ledger.db").write_bytes(b"damaged")
    with pytest.raises(Exception, match="ledger"):
        program.ending.try_again()
    assert program.state.writer_wait_s == WRITER_WAIT_S


def test_r7_the_vaults_counter_follows_what_ended_or_is_due_again(scene):
    program = scene.program()
    scene.vault.available = False
    try:
        program.withdraw()
        program.state.secret = None
        program.ending.settle()
        assert program.ending._vault_due > time.monotonic(), "in a while"
    finally:
        scene.vault.available = True
    program.ending._vault_due = 0.0
    assert not program.ending.settle()
    assert program.ending._vault_due is None
    assert program.state.secret.counter(NAVIGATION) == 1
    assert program.state.ledger.meta("vault_behind") is None


# -- grants --------------------------------------------------------------------------------------


def test_r6_a_grant_is_above_everything_that_remembers_an_epoch(scene):
    program = scene.program()
    state, expected = program.state, 1
    for remember in (
        lambda: state.page.set_granted(NAVIGATION, 4),
        lambda: state.page.end(NAVIGATION, 7),
        lambda: state.keys.raise_counter(NAVIGATION, 10),
        lambda: state.save_secret(state.secret.raised({NAVIGATION: 13})),
        lambda: None,
    ):
        program.withdraw()
        remember()
        program.allow(program.shown())
        expected = {1: 5, 5: 8, 8: 11, 11: 14, 14: 15}[expected]
        assert program.granted is Reason.ALLOWED
        assert state.snapshot.records[NAVIGATION].epoch == expected == state.page.granted(NAVIGATION)
        ram = state.keys.read()
        assert (ram.epoch, ram.generation) == (expected, 1) and ram.key is not None
        assert state.secret.counter(NAVIGATION) < expected


def test_r6_a_changed_grant_ends_the_one_before_everywhere(scene):
    program = scene.program()
    buffer(program, 2)
    program.granting.grant(border(program), PromptAnswer.allow())
    key = program.state.keys.read().key
    program.allow(program.shown())
    state = program.state
    assert program.granted is Reason.ALLOWED
    assert state.page.ended(NAVIGATION, 1) and not state.page.ended(NAVIGATION, 2)
    assert state.keys.read().counters[NAVIGATION] == 1
    assert state.secret.counter(NAVIGATION) == 1
    assert state.keys.read().key not in (None, key)
    assert program.store.box is None and scene.rows() == []
    assert kinds(program) == ["allow", "allow", "amend"]
    left = {(row.purpose, row.epoch, row.awake) for row in state.ledger.notices()}
    assert left == {(BORDER, 1, False), (NAVIGATION, 2, False)}, "what nobody needs any more is gone, no other"
    program.withdraw()
    program.allow(program.shown())
    left = {(row.purpose, row.epoch, row.awake) for row in state.ledger.notices()}
    assert left == {(BORDER, 1, False), (NAVIGATION, 2, True), (NAVIGATION, 3, False)}, "a pending one stays"


def test_r6_no_grant_before_the_key_of_the_one_before_is_destroyed(scene):
    program = scene.program()
    program.state.page.end(NAVIGATION, 1)
    program.state.keys = DataKeys.choose(program.state.directory, UNREACHABLE)
    program.allow(program.shown())
    assert program.granted is Reason.STATE_UNREADABLE
    assert kinds(program) == ["allow", "withdraw"], "the tombstone that stood alone is written down, and no grant"


def test_r6_r19_granting_another_purpose_takes_nothing_from_a_grant_that_stands(scene):
    program = scene.program()
    buffer(program, 2)
    key = program.state.keys.read().key
    assert program.granting.grant(border(program), PromptAnswer.allow()) is Reason.ALLOWED
    assert (program.state.keys.read().key, len(program.store.box)) == (key, 2)
    program.ending.end([BORDER], SUBJECT, 0.0)
    buffer(program, 1)
    key = program.state.keys.read().key
    assert program.granting.grant(border(program), PromptAnswer.allow()) is Reason.ALLOWED
    assert (program.state.keys.read().key, len(program.store.box)) == (key, 1)


class Stubborn:
    """A place of data keys that shows what it has and takes nothing new."""

    location = "stubborn"

    def __init__(self, place: Place) -> None:
        self._place = place

    def usable(self) -> bool:
        return True

    def read(self) -> bytes | None:
        return self._place.read()

    def write(self, blob: bytes, *, secret: bool) -> None:
        raise StorageFailure("it takes nothing")

    def remove(self) -> None:
        raise StorageFailure("it takes nothing")


def test_r6_no_grant_while_the_key_of_the_one_before_cannot_be_destroyed(scene):
    program = scene.program()
    program.state.page.end(NAVIGATION, 1)
    program.state.keys.raise_counter(NAVIGATION, 1)
    program.state.keys = DataKeys(program.state.directory, "stubborn", Stubborn(program.state.keys._place))
    program.allow(program.shown())
    assert program.granted is Reason.STATE_UNREADABLE
    assert kinds(program) == ["allow", "withdraw"]


def test_r16_a_grant_of_another_purpose_makes_no_data_key(empty):
    assert empty.granting.grant(border(empty), PromptAnswer.allow()) is Reason.ALLOWED
    ram = empty.state.keys.read()
    assert ram is None or ram.key is None


@pytest.mark.parametrize("what", ["grant", "downgrade"])
def test_r3_nobody_grants_beside_a_holder(scene, monkeypatch, what):
    monkeypatch.setattr(granting, "_LOCK_WAIT_S", 0.0)
    other, program = scene.program(), scene.program()
    with other.state.barrier.shared(0):
        if what == "grant":
            program.allow(program.shown())
        else:
            program.granted = program.granting.downgrade(NAVIGATION, program.state.page.withdrawals(NAVIGATION))
    assert program.granted is Reason.BUSY
    assert kinds(program) == ["allow"]


def test_r11_an_allow_or_a_downgrade_that_a_withdrawal_overtook_is_void(scene):
    program = scene.program()
    shown, count = program.shown(), program.state.page.withdrawals(NAVIGATION)
    program.state.page.count_withdrawal(NAVIGATION)
    program.allow(shown)
    assert program.granted is Reason.WITHDRAWN
    assert program.granting.downgrade(NAVIGATION, count) is Reason.WITHDRAWN
    program.state.page.end(NAVIGATION, 1)
    assert program.granting.downgrade(NAVIGATION, program.state.page.withdrawals(NAVIGATION)) is Reason.WITHDRAWN
    program.withdraw()
    assert program.granting.downgrade(NAVIGATION, program.state.page.withdrawals(NAVIGATION)) is Reason.NOT_ASKED
    assert program.state.snapshot.records[NAVIGATION].epoch == 1


def test_r15_a_downgrade_is_a_grant_of_its_own(scene):
    program = scene.program()
    buffer(program, 1)
    before = program.state.snapshot.records[NAVIGATION].terms
    assert program.granting.downgrade(NAVIGATION, program.state.page.withdrawals(NAVIGATION)) is Reason.ALLOWED
    record = program.state.snapshot.records[NAVIGATION]
    assert (record.epoch, record.terms.precision) == (2, Precision.APPROXIMATE)
    assert record.terms.receipt_id != before.receipt_id and len(record.terms.receipt_id) == 32
    assert program.store.box is None and scene.rows() == []


def test_r8_nothing_is_granted_changed_or_noted_in_a_state_that_cannot_be_read(scene):
    program = scene.program()
    index = program.state.page.slot(BORDER, 9)
    program.state.page.words[index] = 9
    program.granting.note(Event.DISMISS, BORDER)
    program.allow(program.shown())
    assert program.granted is Reason.STATE_UNREADABLE
    count = program.state.page.withdrawals(NAVIGATION)
    assert program.granting.downgrade(NAVIGATION, count) is Reason.STATE_UNREADABLE
    assert kinds(program) == ["allow"]


def test_r9_a_vault_that_was_locked_is_asked_once_more_for_a_grant(scene):
    scene.vault.available = False
    try:
        program = scene.program()
        program.state.reload()
        assert program.state.unreadable is Reason.VAULT_UNAVAILABLE
    finally:
        scene.vault.available = True
    program.allow(program.shown())
    assert program.granted is Reason.ALLOWED


def test_r9_a_grant_is_tied_to_this_run_only_without_a_lasting_vault(empty, tmp_path):
    empty.allow(empty.shown())
    record = empty.state.snapshot.records[NAVIGATION]
    assert (record.epoch, record.terms.run_id) == (1, None)
    assert [row.origin for row in empty.state.ledger.notices()] == [empty.config.service_url]
    brief = Program(tmp_path / "other", MemoryVault())
    brief.allow(brief.shown())
    assert brief.state.snapshot.records[NAVIGATION].terms.run_id
    brief.state.keys.remove()
    brief.close()


def test_r6_a_grant_settles_what_was_unfinished_of_its_purpose_alone(scene):
    program = scene.program()
    program.ending.unfinished = {NAVIGATION: (1, SUBJECT), BORDER: (1, SUBJECT)}
    program.allow(program.shown())
    assert program.ending.unfinished == {BORDER: (1, SUBJECT)}


def test_r16_the_services_region_caps_a_grant_else_the_vendors(scene):
    program = scene.program()
    assert program.granting.jurisdiction == "CN"
    elsewhere = replace(program.config, service_region="FI")
    assert granting.Granting(program.state, elsewhere, program.granting._silence, program.ending).jurisdiction == "FI"


def test_r15_a_downgrade_that_cannot_drop_what_was_buffered_changes_nothing(scene):
    program = scene.program()
    program.state.keys = DataKeys.choose(program.state.directory, UNREACHABLE)
    count = program.state.page.withdrawals(NAVIGATION)
    assert program.granting.downgrade(NAVIGATION, count) is Reason.STATE_UNREADABLE
    assert "amend" not in kinds(program)


def test_r12_what_grants_nothing_is_noted_where_it_can_follow(scene):
    program = scene.program()
    program.granting.note(Event.DENY, NAVIGATION)
    assert kinds(program) == ["allow"], "a grant that stands is not denied"
    program.withdraw()
    program.granting.note(Event.DENY, NAVIGATION)
    assert kinds(program)[-1] == "deny"
    program.state.writer_wait_s = 0.0
    with FileLock(program.state.directory, "writer.lock").try_acquire():
        program.granting.note(Event.DENY, NAVIGATION)
    assert kinds(program).count("deny") == 1


def test_r5_a_tombstone_that_cannot_be_written_down_before_a_grant_refuses_it(scene):
    program = scene.program()
    program.state.page.end(NAVIGATION, 1)
    program.state.writer_wait_s = 0.0
    with FileLock(program.state.directory, "writer.lock").try_acquire():
        program.allow(program.shown())
    assert program.granted is Reason.STATE_UNREADABLE
    assert kinds(program) == ["allow"]


# -- what is over stays as it is -----------------------------------------------------------------


def test_what_is_over_is_not_ended_again_by_a_machine(scene):
    program = scene.program()
    program.withdraw()
    before = kinds(program)
    report = program.ending.end([NAVIGATION], CAUSES["vehicle"], 0.0)
    assert (report.complete, report.notice) == (True, "none")
    assert kinds(program) == before


def test_r5_an_end_counts_as_written_down_only_when_its_grant_is_over_in_the_ledger(scene):
    program = scene.program()
    program.allow(program.shown())
    assert not program.ending.commit_ends({NAVIGATION: 1}, SUBJECT), "a later grant is active"
    assert program.ending.commit_ends({NAVIGATION: 2}, SUBJECT)


def test_r8_a_withdrawal_of_a_damaged_state_wakes_its_notice_and_adds_nothing_to_the_history(scene):
    program = scene.program()
    program.state.page.words[program.state.page.slot(BORDER, 9)] = 9
    program.state.reload()
    report = program.ending.end([NAVIGATION], SUBJECT, 0.0)
    assert report.durable
    assert [row.awake for row in program.state.ledger.notices()] == [True]
    assert kinds(program) == ["allow"]


def test_r8_recovery_touches_no_key_of_a_state_it_cannot_read(scene):
    scene.program().state.ledger.close()
    (scene.program().state.directory.path / "ledger.db").write_bytes(b"damaged")
    program = scene.program()
    assert program.state.unreadable is Reason.STATE_UNREADABLE
    program.ending.recover()
    assert not program.ending._orphans
    assert program.state.keys.read().key is not None


def test_r8_a_withdrawal_that_can_read_neither_ledger_nor_hint_ends_the_epoch_of_the_key(scene):
    (scene.program().state.directory.path / "ledger.db").write_bytes(b"damaged")
    program = scene.program()
    program.state.page.set_granted(NAVIGATION, 0)
    program.ending.end([NAVIGATION], SUBJECT, 0.0)
    assert program.state.page.ended(NAVIGATION, 1)
    assert program.state.keys.read().key is None


def test_r4_a_key_of_another_epoch_than_the_grants_is_destroyed_and_the_grant_stands(scene):
    program = scene.program()
    program.state.keys.make(5, 1)
    program.ending.recover()
    assert program.state.keys.read().key is None
    assert program.view.decide(NAVIGATION).allowed


def test_r11_every_withdrawal_is_counted_so_that_an_allow_on_its_way_is_void(scene):
    program = scene.program()
    shown = program.shown()
    program.ending.end([NAVIGATION], SUBJECT, 0.0)
    program.allow(shown)
    assert program.granted is Reason.WITHDRAWN


def test_an_orphan_that_another_program_removed_is_looked_for_no_longer(empty):
    empty.ending._orphans = True
    assert not empty.ending.settle()


# -- the gate as this process sees it ------------------------------------------------------------


@pytest.fixture
def twice(scene: Scene) -> Program:
    """A program whose grant has epoch 2, and whose gate has just said yes."""
    program = scene.program()
    program.allow(program.shown())
    assert program.view.navigation()[0].allowed
    assert program.view.still_open(2)
    return program


def test_a_yes_is_repeated_while_nothing_changed(twice):
    first = twice.view.navigation()
    assert first[1] is True
    assert twice.view.navigation()[0] is first[0]
    twice.view.changed()
    again = twice.view.navigation()
    assert again[0] is not first[0] and again[0].allowed
    twice.state.page.bump()
    assert twice.view.navigation()[0] is not again[0]
    decision, *rest = twice.view._last
    twice.view._last = (decision, *rest[:-1], 0.0)
    assert twice.view.navigation()[0] is not decision, "not for ever"


@pytest.mark.parametrize("value, complement", [(2, 2**64 - 3), (3, 2**64 - 4), (1, 2**64 - 1), (0, 0), (2, 0), (1, 2)])
def test_r1_a_tombstone_or_half_of_one_ends_the_last_yes_at_once(twice, value, complement):
    index = twice.state.page.slot(NAVIGATION, 2)
    twice.state.page.words[index], twice.state.page.words[index + 1] = value, complement
    assert not twice.view.still_open(2)
    assert not twice.view.navigation()[0].allowed


def test_r1_an_earlier_tombstone_in_the_same_slot_ends_nothing(twice):
    index = twice.state.page.slot(NAVIGATION, 2)
    twice.state.page.words[index], twice.state.page.words[index + 1] = 1, 2**64 - 2
    assert twice.view.still_open(2)
    first = twice.view.navigation()[0]
    assert first.allowed


@pytest.mark.parametrize("epoch, over", [(1, False), (2, True), (3, True)])
def test_r11_the_latch_of_this_process_ends_the_last_yes_at_once(twice, epoch, over):
    twice.view.latch[NAVIGATION] = epoch
    assert twice.view.still_open(2) is not over
    assert twice.view.navigation()[0].allowed is not over
    assert twice.view.ended(NAVIGATION, 2) is over


def test_each_epoch_is_looked_up_in_its_own_slot(twice):
    assert not twice.view.still_open(1)
    assert twice.view.still_open(2)
    assert not twice.view.still_open(1)
    assert twice.view.still_open(3)


def test_a_program_is_told_no_at_once_while_another_withdraws_and_the_reason_soon(scene):
    other, program = scene.program(), scene.program()
    assert program.view.just_over() is None
    other.state.page.end(NAVIGATION, 1, withdrawn=True)
    told = program.view.just_over()
    assert told is not None and told.reason is Reason.WITHDRAWN
    assert program.view.just_over() is not None
    program.view._over_since = (1, 0.0)
    assert program.view.just_over() is None, "by then the ledger says why"
    program.view._over_since = (0, 0.0)
    assert program.view.just_over() is not None, "another epoch's time is not this one's"
    other.state.page.set_granted(NAVIGATION, 2)
    assert program.view.just_over() is None, "there is a later grant to be read"


def test_an_end_that_is_no_withdrawal_says_why_only_in_the_ledger(scene):
    other, program = scene.program(), scene.program()
    other.state.page.end(NAVIGATION, 1)
    assert program.view.just_over() is None
    program.view.latch[NAVIGATION] = 1
    told = program.view.just_over()
    assert told is not None and told.reason is Reason.WITHDRAWN, "this program withdrew: there is nothing to look up"


def test_while_somebody_withdraws_no_submit_and_no_flush_asks_the_keeper(scene):
    """The answer is a no, and a no is false: it was taken for no answer once."""
    other, program = scene.program(), scene.program()
    asked = []
    program.view._refresh = lambda: (asked.append(1), program.state.reload())[1]
    other.state.page.end(NAVIGATION, 1, withdrawn=True)
    decision, _ = program.view.navigation()
    assert (decision.allowed, decision.reason, asked) == (False, Reason.WITHDRAWN, [])
    work = _Round()
    program.sender._step(work, time.monotonic() + 1)
    assert (work.done, work.reason, asked) == (True, Reason.WITHDRAWN, [])


def test_what_is_being_withdrawn_stays_known_as_that_when_the_state_is_read_meanwhile(scene):
    other, program = scene.program(), scene.program()
    other.state.page.end(NAVIGATION, 1, withdrawn=True)
    program.state.reload()
    told = program.view.just_over()
    assert told is not None and told.reason is Reason.WITHDRAWN and program.view.ending_elsewhere()
    other.state.commit([other.state.event("withdraw", NAVIGATION, 1, cause="subject")])
    program.state.reload()
    assert program.view.just_over() is None
    assert program.state.snapshot.withdrawals[NAVIGATION] == other.state.page.withdrawals(NAVIGATION)


def test_r11_who_finishes_what_another_left_counts_no_withdrawal(scene, monkeypatch):
    program = scene.program()
    page = program.state.page
    program.ending.end([NAVIGATION], SUBJECT, 1.0, written={NAVIGATION: (1, page.end(NAVIGATION, 1, withdrawn=True))})
    page.set_granted(NAVIGATION, 2)  # as a grant leaves it that could not be recorded
    program.ending.unfinished[NAVIGATION] = (1, SUBJECT)
    count = page.withdrawals(NAVIGATION)
    program.ending.settle()
    assert page.ended(NAVIGATION, 2) and page.withdrawals(NAVIGATION) == count
    program.ending.end([NAVIGATION], SUBJECT, 1.0)
    assert page.withdrawals(NAVIGATION) != count, "a wish that nobody has counted yet"


class Failing:
    def read(self):
        raise OSError("gone")


class Says:
    def __init__(self, answer):
        self.answer = answer

    def read(self):
        return self.answer


def test_r1_r12_an_adapter_that_fails_has_gone_silent(scene):
    view = scene.program().view
    assert view.vehicle() is None and view.os() is OsAnswer.NOT_CONFIGURED
    view._vehicle, view._os = Says(VehicleState(age_s=0.0, drive_id="1")), Says(OsAnswer.GRANTED)
    assert (view.vehicle().age_s, view.os()) == (0.0, OsAnswer.GRANTED)
    view._vehicle, view._os = Failing(), Failing()
    assert (view.vehicle().age_s, view.vehicle().drive_id) == (float("inf"), "1")
    assert view.os() is OsAnswer.UNKNOWN
    assert not view.decide(NAVIGATION).allowed


@pytest.mark.parametrize(
    "ours, theirs, matches",
    [(None, None, True), (None, "b", True), ("a", None, True), ("a", "a", True), ("a", "b", False)],
)
def test_r18_a_vehicle_that_names_another_driver_closes_the_gate(scene, ours, theirs, matches):
    view = scene.program().view
    view._profile, view._vehicle = ours, Says(VehicleState(profile=theirs))
    assert view.profile_matches(VehicleState(profile=theirs)) is matches
    decision = view.decide(NAVIGATION)
    assert decision.allowed is matches
    assert matches or decision.reason is Reason.PROFILE_MISMATCH


def test_r1_a_state_that_was_replaced_under_the_program_vouches_for_nothing(scene):
    program = scene.program()
    page = program.state.directory.path / "page"
    page.rename(page.with_name("page.away"))
    assert program.view.decide(NAVIGATION).reason is Reason.STATE_UNREADABLE
    page.with_name("page.away").rename(page)
    assert program.view.decide(NAVIGATION).allowed
    ledger = program.state.directory.path / "ledger.db"
    ledger.rename(ledger.with_name("ledger.away"))
    assert program.view.decide(NAVIGATION).reason is Reason.STATE_UNREADABLE


def test_r7_a_counter_at_the_epoch_of_an_active_grant_is_a_rollback(scene):
    program = scene.program()
    program.state.keys.raise_counter(NAVIGATION, 1)
    program.state.reload()
    assert program.view.decide(NAVIGATION).reason is Reason.STATE_ROLLED_BACK
    program.state.page.end(NAVIGATION, 1)
    assert program.view.decide(NAVIGATION).reason is Reason.WITHDRAWN, "a tombstone means finish, not rollback"


def test_r14_another_origin_or_controller_or_purpose_is_another_consent(scene):
    program = scene.program()
    view = program.view
    view._config = replace(program.config, service_url="http://127.0.0.1:10")
    assert view.decide(NAVIGATION).reason is Reason.ORIGIN_CHANGED
    view._config = replace(program.config, service_url=None)
    assert view.decide(NAVIGATION).allowed, "without a service nothing goes elsewhere"
    view._config = program.config
    fields, controller = view._agreed(NAVIGATION)
    view._fields[NAVIGATION] = (fields, "another")
    assert view.decide(NAVIGATION).reason is Reason.CONTROLLER_CHANGED
    view._fields[NAVIGATION] = ("0" * 64, controller)
    assert view.decide(NAVIGATION).reason is Reason.NOTICE_CHANGED


def test_a_no_is_repeated_too_and_opens_no_border(scene):
    program = scene.program()
    program.withdraw()
    first = program.view.navigation()
    assert (first[0].allowed, first[1]) == (False, False)
    program.view._last = (*program.view._last[:-1], float("inf"))
    assert program.view.navigation()[0] is first[0]
    assert not program.view.waits(NAVIGATION)


def test_r16_the_border_is_open_to_the_mainland_to_this_device_and_with_a_grant(scene, monkeypatch):
    program = scene.program()
    view = program.view
    assert view.border_open()
    monkeypatch.setattr(Config, "service_is_loopback", property(lambda _: False))
    assert not view.border_open()
    view._config = replace(program.config, service_region="CN")
    assert view.border_open()
    view._config = replace(program.config, service_region="FI")
    assert not view.border_open()
    program.granting.grant(border(program), PromptAnswer.allow())
    assert view.border_open()


def test_r13_what_is_over_by_a_clock_that_cannot_lie_is_certain(scene):
    program = scene.program()
    record = program.state.snapshot.records[NAVIGATION]
    assert not program.view.expiry_certain(record)
    over = replace(record.terms, granted_boot_id="another")
    assert program.view.expiry_certain(replace(record, terms=over))


def test_the_ledger_is_asked_once_more_why_a_grant_with_a_tombstone_is_over(scene):
    program = scene.program()
    asked: list[int] = []

    def refresh():
        asked.append(1)
        return program.state.reload()

    program.view._refresh = refresh
    assert program.view.certain(NAVIGATION).allowed
    assert asked == []
    program.state.page.end(NAVIGATION, 1)
    program.state.reload()
    assert program.view.certain(NAVIGATION).reason is Reason.WITHDRAWN
    assert asked == [1]
