"""R2, R3, R4, R6, R11: the real code of two threads, preempted between any two statements, in every order.

CI performs every schedule with one preemption and a fixed choice of those with two; ``KALOS_SWEEP=full`` performs
all with two. The broken variants show that the harness finds what it is there to find.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from statement_scheduler import Pair, every_schedule
from two_programs import NAVIGATION, Program, Scene, polite_locks

from kalos_connect_sdk.core.lifecycle import Event
from kalos_connect_sdk.errors import KalosConnectError
from kalos_connect_sdk.model.consent import GrantTerms, Purpose
from kalos_connect_sdk.model.decision import Reason
from kalos_connect_sdk.protocol.ending import Ending
from kalos_connect_sdk.protocol.granting import Granting
from kalos_connect_sdk.protocol.sending import Sender
from kalos_connect_sdk.protocol.store import Store
from kalos_connect_sdk.protocol.view import View
from kalos_connect_sdk.protocol.worker import Worker
from kalos_connect_sdk.storage.datakeys import DataKeys, RamState
from kalos_connect_sdk.storage.outbox import Outbox
from kalos_connect_sdk.storage.page import Page

pytestmark = [pytest.mark.once, pytest.mark.timeout(900)]

FULL = os.environ.get("KALOS_SWEEP") == "full"
ENDING, SENDING, GRANTING = "protocol/ending.py", "protocol/sending.py", "protocol/granting.py"
STORE, VIEW, PAGE, OUTBOX = "protocol/store.py", "protocol/view.py", "storage/page.py", "storage/outbox.py"
SUBMITTING, WORKER = "protocol/submitting.py", "protocol/worker.py"


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with polite_locks():
        scene = Scene()
        yield scene
        scene.close()


def swept(make: Callable[[], Pair], *files: str, one_in: int = 997) -> int:
    """Perform the schedules; how many."""
    count = sum(1 for _ in every_schedule(make, files, 2, one_in=1 if FULL else one_in))
    assert count > 20, "there were statements to interleave"
    return count


def nothing_is_left(scene: Scene, *programs: Program) -> None:
    """After a complete withdrawal: no key, no ciphertext, no yes (R3, R4)."""
    for program in programs:
        ram = program.state.keys.read()
        assert ram is None or ram.key is None, "a data key outlived the withdrawal"
        assert not program.view.decide(NAVIGATION).allowed, "the gate is open after a withdrawal"
    assert not scene.rows(), "buffered positions outlived the withdrawal"


def sending_against_withdrawing(scene: Scene, sender: type[Sender] = Sender, *, same: bool) -> Callable[[], Pair]:
    def make() -> Pair:
        scene.again()
        sends = scene.program(sender=sender)
        withdraws = sends if same else scene.program()
        sends.submit()
        assert sends.submitted is not None and sends.submitted.accepted
        sends.over = lambda: withdraws.report is not None and withdraws.report.complete

        def judge() -> None:
            assert withdraws.report is not None and withdraws.report.complete
            assert not any(sends.wrote), "bytes were written after the withdrawal was complete"
            nothing_is_left(scene, sends, withdraws)

        return Pair(sends.send, withdraws.withdraw, judge)

    return make


@pytest.mark.fault(19)
@pytest.mark.parametrize("same", [True, False], ids=["one program", "two programs"])
def test_r3_no_piece_is_written_once_a_withdrawal_is_complete(scene: Scene, same: bool) -> None:
    swept(sending_against_withdrawing(scene, same=same), SENDING, ENDING)


class _ChecksBeforeTheLock(Sender):
    def _exchange(self, work: Any, epoch: int, box: Any, count: int, token: str, deadline: float) -> None:
        open_before = self._view.still_open(epoch)
        lease = self._state.barrier.shared(1.0)
        if lease is not None:
            with lease:
                if open_before:
                    self._write_unchecked()

    def _write_unchecked(self) -> None:
        write = self._link.client("").send_positions.__self__
        write.wrote.append(write.over())


class _ReleasesEarly(_ChecksBeforeTheLock):
    def _exchange(self, work: Any, epoch: int, box: Any, count: int, token: str, deadline: float) -> None:
        lease = self._state.barrier.shared(1.0)
        if lease is not None:
            still = self._view.still_open(epoch)
            lease.release()
            if still:
                self._write_unchecked()


@pytest.mark.parametrize("broken", [_ChecksBeforeTheLock, _ReleasesEarly])
def test_the_harness_finds_a_sender_that_is_wrong(scene: Scene, broken: type[Sender]) -> None:
    make = sending_against_withdrawing(scene, broken, same=False)
    with pytest.raises(AssertionError, match="after the withdrawal was complete"):
        swept(make, "test_interleavings.py", ENDING)


def submitting_against_withdrawing(scene: Scene, *, same: bool) -> Callable[[], Pair]:
    def make() -> Pair:
        scene.again()
        submits = scene.program()
        withdraws = submits if same else scene.program()

        def judge() -> None:
            assert withdraws.report is not None and withdraws.report.complete
            if not same:
                submits.store.forget()  # its watcher's part: a row that came too late for us is not accepted, and goes
            nothing_is_left(scene, submits, withdraws)
            box = submits.store.box
            ended = submits.state.page.ended(NAVIGATION, 1)
            assert ended and (box is None or not same or not len(box)), "an accepted position survived the drop"

        return Pair(submits.submit, withdraws.withdraw, judge)

    return make


@pytest.mark.fault(19)
@pytest.mark.parametrize("same", [True, False], ids=["one program", "two programs"])
def test_r2_r4_no_position_that_was_accepted_survives_the_drop(scene: Scene, same: bool) -> None:
    swept(submitting_against_withdrawing(scene, same=same), SUBMITTING, OUTBOX, STORE, ENDING)


def test_the_harness_finds_a_box_that_stays_bound(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Outbox._drop_boxes

    def forgetful(self: Outbox, *, park: bool = False) -> int:
        bound, key = self._bound, self._key
        dropped = real(self, park=park)
        self._bound, self._key = bound, key
        return dropped

    monkeypatch.setattr(Outbox, "_drop_boxes", forgetful)
    with pytest.raises(AssertionError, match="outlived"):
        swept(submitting_against_withdrawing(scene, same=True), SUBMITTING, OUTBOX, ENDING)


def allowing_against_withdrawing(scene: Scene) -> Callable[[], Pair]:
    def make() -> Pair:
        scene.again()
        allows, withdraws = scene.program(), scene.program()
        shown = allows.shown()

        def judge() -> None:
            report = withdraws.report
            assert report is not None and report.complete
            allows.state.reload()
            assert not allows.view.decide(NAVIGATION).allowed, "an Allow from before the withdrawal came through"
            nothing_is_left(scene, withdraws)
            assert allows.granted in (Reason.WITHDRAWN, Reason.ALLOWED, Reason.BUSY, Reason.STATE_UNREADABLE)

        return Pair(lambda: allows.allow(shown), withdraws.withdraw, judge)

    return make


@pytest.mark.fault(24)
def test_r11_a_withdrawal_wins_against_an_allow_that_is_on_its_way(scene: Scene) -> None:
    swept(allowing_against_withdrawing(scene), GRANTING, ENDING)


@pytest.mark.parametrize("broken", ["no count", "no second look"])
def test_the_harness_finds_an_allow_that_slips_through(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    if broken == "no count":
        monkeypatch.setattr(Page, "withdrawals", lambda self, purpose: 0)
    else:
        monkeypatch.setattr(Ending, "_slipped_in", lambda *_: {})
        commit = Granting._commit_terms

        def blind(self: Granting, purpose: Purpose, event: Event, terms: GrantTerms, withdrawals: int) -> bool:
            with monkeypatch.context() as patch:
                patch.setattr(Page, "withdrawals", lambda *_: withdrawals)
                return commit(self, purpose, event, terms, withdrawals)

        monkeypatch.setattr(Granting, "_commit_terms", blind)
    with pytest.raises(AssertionError, match="came through"):
        swept(allowing_against_withdrawing(scene), GRANTING, ENDING)


@pytest.mark.fault(24)
def test_r11_two_withdrawals_at_once_have_one_effect(scene: Scene) -> None:
    def make() -> Pair:
        scene.again()
        one, other = scene.program(), scene.program()

        def judge() -> None:
            assert one.report is not None and one.report.complete
            assert other.report is not None and other.report.complete
            kinds = [json.loads(row.body)["kind"] for row in one.state.ledger.events()]
            assert kinds.count("erased") == 1, f"a drop was recorded more than once: {kinds}"
            notices = [(row.epoch, row.awake) for row in one.state.ledger.notices()]
            assert notices == [(1, True)], "the service is told once"
            nothing_is_left(scene, one, other)

        return Pair(one.withdraw, other.withdraw, judge)

    swept(make, ENDING)


def keying_against_withdrawing(scene: Scene) -> Callable[[], Pair]:
    def make() -> Pair:
        scene.again()
        needs, withdraws = scene.program(), scene.program()
        assert needs.state.keys.destroy(1), "as after a reboot"

        def judge() -> None:
            assert withdraws.report is not None and withdraws.report.complete
            nothing_is_left(scene, withdraws)

        return Pair(lambda: [needs.store.for_epoch(1)].clear(), withdraws.withdraw, judge)

    return make


@pytest.mark.fault(19)
def test_r4_a_key_is_made_anew_only_while_nothing_ended(scene: Scene) -> None:
    swept(keying_against_withdrawing(scene), STORE, ENDING)


def test_the_harness_finds_a_key_made_without_the_lock(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def hasty(self: Store, epoch: int) -> None:
        if not self._state.page.ended(NAVIGATION, epoch):
            self._state.keys.make(epoch, 2)

    def unguarded(self: DataKeys, epoch: int, generation: int) -> RamState:
        return self._change(lambda state: RamState(state.counters, epoch, generation, bytes(32)))

    monkeypatch.setattr(Store, "_open", hasty)
    monkeypatch.setattr(DataKeys, "make", unguarded)
    with pytest.raises(AssertionError, match="a data key outlived"):
        swept(keying_against_withdrawing(scene), "test_interleavings.py", ENDING)


def asking_against_ending(scene: Scene) -> Callable[[], Pair]:
    def make() -> Pair:
        scene.again()
        asks, ends = scene.program(), scene.program()
        assert asks.view.navigation()[0].allowed  # a yes to repeat
        late: list[bool] = []
        over: list[bool] = []

        def ask() -> None:
            for _ in range(3):
                before = bool(over)
                late.append(before and asks.view.navigation()[0].allowed)

        def end() -> None:
            ends.state.page.end(NAVIGATION, 1)
            over.append(True)

        def judge() -> None:
            assert not any(late), "a repeated yes outlived its epoch"

        return Pair(ask, end, judge)

    return make


@pytest.mark.fault(19)
def test_r1_a_repeated_yes_never_outlives_its_epoch(scene: Scene) -> None:
    swept(asking_against_ending(scene), VIEW, PAGE, "test_interleavings.py", one_in=401)


def test_the_harness_finds_a_yes_that_is_repeated_blindly(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def blind(self: View) -> Any:
        last = self._last
        return (last[0], last[1]) if last is not None else self._ask_in_full()

    monkeypatch.setattr(View, "navigation", blind)
    with pytest.raises(AssertionError, match="outlived its epoch"):
        swept(asking_against_ending(scene), PAGE, "test_interleavings.py")


def beginning_against_stopping(worker_type: type[Worker]) -> Callable[[], Pair]:
    def make() -> Pair:
        worker = worker_type("interleaved")
        replies: list[Any] = []

        def stop_and_run() -> None:
            worker.stopped = True
            worker._jobs.put(None)
            worker._run()

        def judge() -> None:
            (reply,) = replies
            try:
                assert reply.get(0) == 7
            except KalosConnectError:
                pass  # refused, and told so
            except TimeoutError:
                raise AssertionError("a caller waits for a thread that is gone") from None

        return Pair(lambda: replies.append(worker.begin(lambda: 7)), stop_and_run, judge)

    return make


@pytest.mark.fault(52)
def test_r11_whoever_asks_a_stopping_worker_is_answered() -> None:
    for _ in every_schedule(beginning_against_stopping(Worker), (WORKER,), 3):
        pass


def test_the_harness_finds_a_worker_that_forgets_who_came_late() -> None:
    class Forgetful(Worker):
        def _refuse_the_rest(self) -> None:
            time.monotonic()

    with pytest.raises(AssertionError, match="thread that is gone"):
        for _ in every_schedule(beginning_against_stopping(Forgetful), (WORKER,), 3):
            pass
