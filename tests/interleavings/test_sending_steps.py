"""R2, R3: the sender's steps under the barrier, taken alone, against every answer of a service."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from two_programs import NAVIGATION, Program, Scene

from kalos_connect_sdk import Config, Position, Reason
from kalos_connect_sdk.core.outbox import BatchProgress
from kalos_connect_sdk.errors import ServiceRefused, ServiceUnreachable, TransportError
from kalos_connect_sdk.protocol.sending import _Round
from kalos_connect_sdk.storage.datakeys import DataKeys
from kalos_connect_sdk.transport.answer import Answer

HELSINKI, BEIJING = (60.17, 24.94), (39.9, 116.4)


@pytest.fixture
def program(shared: Scene) -> Program:
    """A program with a grant, whose courier answers at once: one token, no notices."""
    shared.again()
    program = shared.program()
    courier: Any = SimpleNamespace(
        worker=program.keeper,
        delivered=0,
        token=lambda *_, **__: "token",
        ask_status=lambda *_: None,
        pending=lambda: ("one", "two"),
        nothing_to_tell=lambda: False,
    )

    def deliver(*, ignore_backoff: bool) -> int:
        assert ignore_backoff
        courier.delivered += 1
        return 0

    courier.deliver = deliver
    program.sender._courier = program.sender._standing = courier
    program.link.client = lambda _: SimpleNamespace(  # type: ignore[assignment,method-assign]
        send_positions=lambda *args, **options: program._send(*args, **options), resolve=lambda: None
    )
    return program


def buffer(program: Program, *places: tuple[float, float]) -> None:
    for place in places:
        assert program.submitter.submit(Position(*place, time=datetime.now(UTC))).accepted


def answering(program: Program, *answers: Answer | Exception) -> list[int]:
    """The service's answers in turn, the last for ever; the number of positions of each request."""
    asked: list[int] = []

    def send(clearance: Any, body: bytes, **_: Any) -> Answer:
        assert program.sender.sending
        asked.append(body.count(b'"Point"'))
        answer = answers[min(len(asked), len(answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    program._send = send  # type: ignore[method-assign]
    return asked


def exchange(program: Program, deadline: float | None = None) -> _Round:
    box = program.store.for_sending(1)
    assert box is not None
    work = _Round()
    within = time.monotonic() + 10.0 if deadline is None else deadline
    program.sender._exchange(work, 1, box, 100, "token", within)
    assert not program.sender.sending
    assert len(program.link.flights) == 0
    with program.state.barrier.exclusive(0):
        return work


def totals(program: Program) -> tuple[int, int, int, int]:
    stats = program.sender.stats
    return stats.sent, stats.rejected, stats.dropped, stats.batches


@pytest.mark.parametrize("status", [200, 202, 299])
def test_an_answer_of_success_acknowledges(program, status):
    assert not program.sender.sending
    buffer(program, HELSINKI, HELSINKI)
    answering(program, Answer(status, {}, b'{"accepted": 2}', sent_bytes=7))
    work = exchange(program)
    assert (work.sent, work.rejected, work.done, len(program.store.box)) == (2, 0, False, 0)
    assert totals(program) == (2, 0, 0, 1)
    assert program.sender.stats.bytes_sent == 7


@pytest.mark.parametrize("status", [199, 300, 503])
def test_any_other_answer_counts_nothing_as_sent(program, status):
    buffer(program, HELSINKI, HELSINKI)
    answering(program, Answer(status))
    work = exchange(program)
    assert (work.sent, totals(program)[0], totals(program)[3]) == (0, 0, 0)
    if status == 503:
        assert work.done and len(program.store.box) == 2
        assert work.next_attempt_s is not None and 0.0 <= work.next_attempt_s <= 60.0


@pytest.mark.parametrize("names, rejected", [(1, 1), (2, 2), (5, 2)])
def test_what_the_service_rejects_is_counted_and_never_more_than_was_sent(program, names, rejected):
    buffer(program, HELSINKI, HELSINKI)
    items = ",".join(f'{{"id": {number}, "problem": "stale"}}' for number in range(names))
    answering(program, Answer(202, {}, f'{{"accepted": 0, "rejected": [{items}]}}'.encode()))
    work = exchange(program)
    assert (work.sent, work.rejected) == (2 - rejected, rejected)
    assert totals(program) == (2 - rejected, rejected, 0, 1)


def test_a_refused_batch_is_given_up_and_one_too_large_is_halved(program):
    buffer(program, HELSINKI, HELSINKI)
    asked = answering(program, Answer(413), Answer(413), Answer(422))
    exchange(program)
    assert len(program.store.box) == 2
    program.sender._progress = BatchProgress(key="gone", count=1)
    exchange(program)
    assert len(program.store.box) == 1, "a single position that is too large is given up"
    assert program.sender._progress is None
    exchange(program)
    assert asked == [2, 1, 1]
    assert totals(program) == (0, 2, 0, 0)


def test_r16_rows_in_the_mainland_stay_when_the_border_is_closed(program, monkeypatch):
    buffer(program, HELSINKI, BEIJING, HELSINKI)
    monkeypatch.setattr(Config, "service_is_loopback", property(lambda _: False))
    asked = answering(program, Answer(202, {}, b'{"accepted": 2}'))
    exchange(program)
    assert asked == [2]
    assert totals(program) == (2, 0, 1, 1)
    monkeypatch.undo()
    buffer(program, BEIJING)
    monkeypatch.setattr(Config, "service_is_loopback", property(lambda _: False))
    exchange(program)
    assert (asked, totals(program), len(program.store.box)) == ([2], (2, 0, 2, 1), 0)


def test_r2_what_changed_before_the_lock_was_held_is_looked_at_again(program):
    buffer(program, HELSINKI)
    asked = answering(program, Answer(202, {}, b'{"accepted": 1}'))
    program.state.page.bump()
    assert not exchange(program).done
    assert asked == [] and len(program.store.box) == 1


def test_r4_without_the_data_key_its_ciphertext_is_dropped_and_nothing_sent(program):
    buffer(program, HELSINKI)
    asked = answering(program, Answer(202, {}, b'{"accepted": 1}'))
    box = program.store.box
    assert program.state.keys.destroy(1)
    program.sender._exchange(_Round(), 1, box, 100, "token", time.monotonic() + 10.0)
    assert asked == [] and program.store.box is None
    assert program.store.dropped == 1


def test_r3_a_sender_waits_for_the_barrier_no_longer_than_its_time(program, shared):
    buffer(program, HELSINKI)
    asked = answering(program, Answer(202, {}, b'{"accepted": 1}'))
    box, work = program.store.for_sending(1), _Round()
    with shared.program().state.barrier.exclusive(0):
        program.sender._exchange(work, 1, box, 100, "token", 0.0)
    assert (asked, work.done, work.next_attempt_s) == ([], True, 1.0)


def test_a_flush_sends_everything_in_batches_and_tells_notices_first(program):
    buffer(program, HELSINKI, HELSINKI, HELSINKI)
    asked = answering(program, Answer(202, {}, b'{"accepted": 2}'))
    program.sender._config = replace(program.config, batch_max_positions=2)
    report = program.sender.flush(10.0)
    assert (report.sent, report.rejected, report.remaining, report.notices_pending) == (3, 0, 0, 0)
    assert (report.next_attempt_s, report.reason) == (None, Reason.ALLOWED)
    assert asked == [2, 1]
    assert program.sender._courier.delivered == 1
    program.sender.flush(10.0, notices=False)
    assert program.sender._courier.delivered == 1
    program.sender._courier.nothing_to_tell = lambda: True
    assert program.sender.flush(10.0).notices_pending == 0
    assert program.sender._courier.delivered == 1


def test_an_introduction_holds_for_a_second_in_which_nothing_changes(program, monkeypatch):
    now = [100.0]
    asked: list[str | None] = []
    monkeypatch.setattr(program.sender, "_now_s", lambda: now[0])
    program.sender._courier.token = lambda *_, refused=None: asked.append(refused) or "token"

    def sends() -> int:
        buffer(program, HELSINKI)
        answering(program, Answer(202, {}, b'{"accepted": 1}'))
        assert program.sender.flush(10.0).sent == 1
        return len(asked)

    assert (sends(), sends()) == (1, 1)
    now[0] += 1.0
    assert (sends(), sends()) == (2, 2)
    program.state.page.bump()  # another program wrote
    assert (sends(), sends()) == (3, 3)
    program.sender._introduction = (program.state.page.version, 2, now[0], "of another grant")
    assert sends() == 4


def test_a_flush_that_reaches_nobody_raises_only_when_it_did_nothing(program):
    buffer(program, HELSINKI, HELSINKI)
    asked = answering(program, Answer(202, {}, b'{"accepted": 1}'), TransportError("away"))
    program.sender._config = replace(program.config, batch_max_positions=1)
    report = program.sender.flush(10.0)
    assert (report.sent, report.remaining) == (1, 1) and report.next_attempt_s is not None
    program.sender._progress = None
    with pytest.raises(ServiceUnreachable):
        program.sender.flush(10.0)
    assert asked == [1, 1, 1]


def test_r1_a_flush_without_consent_says_why(program):
    program.withdraw()
    report = program.sender.flush(10.0)
    assert (report.sent, report.reason) == (0, Reason.WITHDRAWN)


def test_the_progress_of_a_batch_ends_with_its_box(program):
    buffer(program, HELSINKI)
    program.sender._progress = BatchProgress(key="gone", count=1, attempts=3, not_before_s=1e12)
    answering(program, Answer(202, {}, b'{"accepted": 1}'))
    assert program.sender.flush(10.0).sent == 1, "it does not wait for a batch that is no more"


def test_r3_a_flush_whose_courier_hangs_ends_with_the_withdrawal(program):
    waits: list[float] = []

    class Hanging:
        def get(self, seconds: float) -> int:
            waits.append(seconds)
            program.state.page.count_withdrawal(NAVIGATION)
            raise TimeoutError

    program.sender._courier.worker = SimpleNamespace(begin=lambda _: Hanging())
    assert program.sender._deliver_notices(time.monotonic() + 5.0) == 2
    assert len(waits) == 1
    assert program.sender._deliver_notices(0.0) == 2


def test_r14_a_request_names_the_notice_that_was_agreed_to(program):
    buffer(program, HELSINKI)
    bodies: list[bytes] = []

    def send(clearance: Any, body: bytes, **_: Any) -> Answer:
        bodies.append(body)
        return Answer(202, {}, b'{"accepted": 1}')

    program._send = send  # type: ignore[method-assign]
    exchange(program)
    terms = program.state.snapshot.records[NAVIGATION].terms
    assert terms is not None and terms.notice_sha256.encode() in bodies[0]
    assert b'"precise"' in bodies[0]


def test_without_a_service_nothing_is_tried(program):
    buffer(program, HELSINKI)
    asked = answering(program, Answer(202, {}, b'{"accepted": 1}'))
    program.sender._config = replace(program.config, service_url=None)
    with pytest.raises(ServiceUnreachable, match="service_url"):
        program.sender.flush(10.0)
    assert asked == [] and len(program.store.box) == 1


@pytest.mark.parametrize("status, again", [(401, True), (402, False), (400, False)])
def test_a_token_that_was_refused_is_asked_for_once_more(program, status, again):
    buffer(program, HELSINKI)
    asked = answering(program, Answer(202, {}, b'{"accepted": 1}'))
    refused: list[str | None] = []
    program.sender._standing.token = lambda *_, refused_=refused, **options: (
        refused_.append(options.get("refused")) or "token"
    )

    def ask_status(*_: object) -> None:
        if len(refused) == 1:
            raise ServiceRefused({"status": status})

    program.sender._standing.ask_status = ask_status
    if again:
        assert program.sender.flush(10.0).sent == 1
        assert (refused, asked) == ([None, "token"], [1])
    else:
        with pytest.raises(ServiceUnreachable):
            program.sender.flush(10.0)
        assert (refused, asked) == ([None], [])


def test_a_service_that_refuses_every_token_is_left_alone_after_the_second(program):
    buffer(program, HELSINKI)
    asked: list[str | None] = []

    def token(*_: object, **options: str | None) -> str:
        asked.append(options.get("refused"))
        return "token"

    def refuse(*_: object, **options: str | None) -> str:
        if options:
            asked.append(options.get("refused"))
        raise ServiceRefused({"status": 401})

    program.sender._standing.token, program.sender._standing.ask_status = token, refuse
    with pytest.raises(ServiceUnreachable):
        program.sender.flush(10.0)
    assert asked == [None, "token"]
    asked.clear()
    program.sender._progress = None
    program.sender._standing.token = refuse
    with pytest.raises(ServiceUnreachable):
        program.sender.flush(10.0)
    assert asked == [None], "there was no token that could have been refused"


def test_r4_without_a_place_for_a_data_key_a_flush_ends_at_once(program):
    program.state.keys = DataKeys.choose(program.state.directory, "tmpfs:/proc/nowhere")
    asked: list[int] = []
    real = program.store.for_sending

    def for_sending(epoch: int) -> Any:
        asked.append(epoch)
        return real(epoch)

    program.store.for_sending = for_sending  # type: ignore[method-assign]
    assert program.sender.flush(5.0).sent == 0
    assert asked == [1]
