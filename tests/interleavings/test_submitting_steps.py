"""R2, R6, R15, R16: the way of one position into the box, one fact at a time."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from two_programs import NAVIGATION, Program, Scene

from kalos_connect_sdk import Position, Reason
from kalos_connect_sdk.core.packing import unpack
from kalos_connect_sdk.errors import ConsentRequired, InvalidPosition
from kalos_connect_sdk.model.position import Datum
from kalos_connect_sdk.protocol import submitting
from kalos_connect_sdk.protocol.submitting import Submitter
from kalos_connect_sdk.testing import FakeClock

HELSINKI, SHANGHAI = (60.17, 24.94), (31.23, 121.47)


@pytest.fixture
def program(shared: Scene) -> Program:
    """A program with a grant."""
    shared.again()
    return shared.program()


def submitter(program: Program, clock: Any = None, **settings: Any) -> Submitter:
    """One of its own, with another clock or other settings."""
    parts = SimpleNamespace(
        clock=clock or program.submitter._clock, config=replace(program.config, **settings), vehicle=None
    )
    return Submitter(SimpleNamespace(view=program.view, store=program.store, parts=parts))  # type: ignore[arg-type]


def here(**more: Any) -> Position:
    return Position(*HELSINKI, **{"time": datetime.now(UTC), **more})


def buffered(program: Program) -> list[Any]:
    box = program.store.box
    assert box is not None
    batch = box.take(1000)
    return [] if batch is None else [unpack(row) for row in batch.rows]


def test_only_a_position_is_taken(program):
    for wrong in (HELSINKI, None, object()):
        with pytest.raises(InvalidPosition):
            program.submitter.submit(wrong)


def test_what_is_in_another_datum_is_told_in_wgs84(program, monkeypatch):
    monkeypatch.setattr(program.view, "navigation", lambda: (program.view.decide(NAVIGATION), True))
    chinese = Position(*SHANGHAI, time=datetime.now(UTC), datum=Datum.GCJ02)
    assert program.submitter.submit(chinese).accepted
    latest = program.submitter.latest()
    assert latest is not None and latest.datum is Datum.WGS84
    assert latest == chinese.to(Datum.WGS84)
    assert program.submitter.submit(here()).accepted
    assert (latest.latitude, latest.longitude) != SHANGHAI


def test_r16_in_the_mainland_a_position_is_told_no_unless_the_border_is_open(program, monkeypatch):
    monkeypatch.setattr(program.view, "navigation", lambda: (program.view.decide(NAVIGATION), False))
    with pytest.raises(ConsentRequired) as told:
        program.submitter.submit(Position(*SHANGHAI, time=datetime.now(UTC)))
    assert told.value.reason is Reason.CROSS_BORDER
    assert program.submitter.submit(here()).accepted
    monkeypatch.undo()
    assert program.submitter.submit(Position(*SHANGHAI, time=datetime.now(UTC))).accepted


@pytest.mark.parametrize("datum", Datum)
@pytest.mark.parametrize(
    ("simulated", "implied", "taken"),
    [(True, True, "the clock's"), (True, False, "its own"), (False, True, "its own"), (False, False, "its own")],
)
def test_r13_only_a_time_nobody_gave_is_the_simulated_clocks(program, simulated, implied, taken, datum):
    clock = FakeClock(datetime.now(UTC) - timedelta(seconds=20))  # behind, and not so far that now is the future
    clock.simulated = simulated
    position = (Position(*HELSINKI) if implied else here()).to(datum)
    assert submitter(program, clock).submit(position).accepted
    assert position.time is not None
    expected = clock.read().wall_s if taken == "the clock's" else position.time.timestamp()
    assert abs(buffered(program)[0].time_ms - 1000 * expected) < 2


def test_r13_a_clock_that_does_not_say_is_a_real_one(program):
    behind = FakeClock(datetime.now(UTC) - timedelta(seconds=20))
    position = Position(*HELSINKI)
    assert submitter(program, SimpleNamespace(read=behind.read)).submit(position).accepted
    assert position.time is not None
    assert abs(buffered(program)[0].time_ms - 1000 * position.time.timestamp()) < 2


def test_a_full_box_drops_its_oldest_and_counts_them(program):
    one = submitter(program, outbox_max_positions=3)
    start = datetime.now(UTC) - timedelta(seconds=60)
    for second in range(5):
        assert one.submit(here(time=start + timedelta(seconds=second))).accepted
    assert program.store.dropped == 2
    times = [row.time_ms for row in buffered(program)]
    assert times == sorted(times) and len(times) == 3
    assert times[0] == round((start + timedelta(seconds=2)).timestamp() * 1000)


def test_the_box_is_measured_only_when_it_could_be_full_and_a_new_one_anew(program, monkeypatch):
    measured: list[int] = []
    overflow = type(program.store.for_epoch(1)).overflow

    def counted(box: Any, limit: int) -> int:
        measured.append(len(box))
        return overflow(box, limit)

    monkeypatch.setattr("kalos_connect_sdk.protocol.store.Box.overflow", counted)
    one = submitter(program, outbox_max_positions=3)
    start = datetime.now(UTC) - timedelta(seconds=60)
    for second in range(4):
        assert one.submit(here(time=start + timedelta(seconds=second))).accepted
    assert measured == [0, 3]
    program.store.forget()
    for second in range(4, 8):
        assert one.submit(here(time=start + timedelta(seconds=second))).accepted
    assert measured == [0, 3, 0, 3]
    assert len(program.store.box) == 3


def test_room_is_measured_anew_in_a_box_that_holds_rows_already(program):
    one, other = submitter(program, outbox_max_positions=4), submitter(program, outbox_max_positions=4)
    start = datetime.now(UTC) - timedelta(seconds=60)
    for second in range(3):
        assert one.submit(here(time=start + timedelta(seconds=second))).accepted
    for second in range(3):
        assert other.submit(here(time=start + timedelta(seconds=second))).accepted
    assert len(program.store.box) <= 5  # what the first still counted on may come on top
    assert program.store.dropped >= 1


def test_r3_two_threads_submit_one_after_the_other(program):
    thread = threading.Thread(target=program.submitter.submit, args=(here(),))
    with program.submitter._lock:
        thread.start()
        thread.join(0.05)
        assert thread.is_alive(), "it did not wait"
    thread.join(30)
    assert len(program.store.box) == 1


def test_filters_are_judged_per_source_and_a_recording_keeps_its_times(program):
    old = here(time=datetime.now(UTC) - timedelta(days=400))
    live, recorded = type("Source", (), {})(), type("Source", (), {})()
    assert not program.submitter.submit(old).accepted
    assert not program.submitter.submit(old, live).accepted
    assert program.submitter.submit(old, recorded, recording=True).accepted
    assert program.submitter.submit(here(), recorded, recording=True).accepted
    position = here()
    assert program.submitter.submit(position, live).accepted
    assert not program.submitter.submit(position, live).accepted  # the same once more
    assert program.submitter.submit(position).accepted  # another source has not told it yet


def test_r2_what_ends_while_a_position_is_sealed_is_told_and_is_not_the_latest(program, monkeypatch):
    monkeypatch.setattr(program.view, "still_open", lambda epoch: False)
    with pytest.raises(ConsentRequired) as told:
        program.submitter.submit(here())
    assert told.value.reason is Reason.WITHDRAWN
    assert program.submitter.latest() is None


def test_the_latest_position_is_fresh_of_the_present_grant_and_forgotten_when_told(program):
    clock = FakeClock(datetime.now(UTC))
    one = submitter(program, clock)
    assert one.latest() is None
    assert one.submit(here(time=clock.now())).accepted
    assert one.latest() is not None
    clock.advance(submitting._FRESH_S)
    assert one.latest() is not None
    clock.advance(0.5)
    assert one.latest() is None
    assert one.submit(here(time=clock.now())).accepted
    assert one.latest() is not None
    one.forget()
    assert one.latest() is None
    assert one.submit(here(time=clock.now() + timedelta(seconds=1))).accepted
    program.state.page.end(NAVIGATION, 1)
    assert one.latest() is None
