"""Each step of an ending and of a grant, taken alone: what it leaves when the step before or after it cannot be done."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from two_programs import NAVIGATION, Program, Scene, notice_of

from kalos_connect_sdk import PromptAnswer, Purpose, Reason
from kalos_connect_sdk.core.lifecycle import Event
from kalos_connect_sdk.model.consent import Precision
from kalos_connect_sdk.protocol import granting
from kalos_connect_sdk.protocol.ending import CAUSES
from kalos_connect_sdk.protocol.granting import Shown
from kalos_connect_sdk.protocol.state import WRITER_WAIT_S
from kalos_connect_sdk.storage.datakeys import DataKeys, Place
from kalos_connect_sdk.storage.failure import StorageFailure
from kalos_connect_sdk.storage.locks import FileLock, try_lock
from kalos_connect_sdk.testing import MemoryVault

BORDER = Purpose.CROSS_BORDER_TRANSFER
SUBJECT = CAUSES["subject"]
UNREACHABLE = "tmpfs:/proc/nowhere"


@pytest.fixture(scope="module")
def shared() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.close()


@pytest.fixture
def scene(shared: Scene) -> Scene:
    shared.again()
    return shared


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
    report = withdraws.ending.end([NAVIGATION], SUBJECT, 20.0, written={NAVIGATION: (epoch, False)})
    thread.join()
    assert (report.complete, report.remaining, report.durable) == (True, (), True)
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
        assert program.ending._vault_due > 0.0, "in a while"
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
