"""When the service is asked while nothing is sent (R7, R13)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalos_connect_sdk.core.polling import (
    INTERVAL_S,
    Plan,
    after_answer,
    after_failure,
    at_opening,
    is_due,
    plan_from_text,
    plan_to_text,
)
from kalos_connect_sdk.model.timing import ClockReading

JITTER = st.floats(0.0, 1.0, exclude_max=True)
START = 1_000.0


def at(boottime_s: float, *, suspended_s: float = 0.0, boot: str = "one") -> ClockReading:
    return ClockReading(0.0, boottime_s, suspended_s, boot)


@given(JITTER)
def test_a_run_begins_within_seconds_and_then_asks_about_once_a_minute(jitter: float) -> None:
    assert 2.5 <= at_opening(at(START), jitter).due_s - START <= 5.0
    wait = after_answer(at(START), jitter).due_s - START
    assert 0.9 * INTERVAL_S - 1e-9 <= wait <= 1.1 * INTERVAL_S + 1e-9


@given(st.lists(st.tuples(JITTER, st.none() | st.floats(0.0, 10_000.0)), min_size=1, max_size=20))
def test_failures_ask_less_often_within_bounds_and_never_sooner_than_the_service_wants(
    failures: list[tuple[float, float | None]],
) -> None:
    plan = after_answer(at(START), 0.5)
    for jitter, wait_s in failures:
        plan = after_failure(plan, at(START), jitter, wait_s)
        wait = plan.due_s - START
        assert min(wait_s or 0.0, 3600.0) - 1e-9 <= wait <= 3600.0 + 1e-9
        assert wait >= 0.9 * INTERVAL_S - 1e-9
        if wait_s is None:
            assert wait <= 1.1 * 300.0 + 1e-9
    assert plan.attempts == min(len(failures), 8)
    assert after_answer(at(START), 0.5).attempts == 0


def test_the_first_failures_double() -> None:
    plan, waits = after_answer(at(START), 0.5), []
    for _ in range(4):
        plan = after_failure(plan, at(START), 0.5)
        waits.append(plan.due_s - START)
    assert waits == [60.0, 120.0, 240.0, 300.0]


def test_a_machine_that_slept_asks_when_it_wakes_unless_it_was_told_to_wait() -> None:
    plan = after_answer(at(START), 0.5)
    assert not is_due(plan, at(START + 59))
    assert is_due(plan, at(START + 60))
    assert not is_due(plan, at(START + 2, suspended_s=0.9))
    assert is_due(plan, at(START + 2, suspended_s=1.0))
    told = after_failure(plan, at(START), 0.5, 600.0)
    assert not is_due(told, at(START + 500, suspended_s=400.0))
    assert is_due(told, at(START + 600, suspended_s=400.0))
    assert is_due(after_failure(plan, at(START), 0.5, 1.0), at(START + 5, suspended_s=4.0)), "its own wait was longer"


def test_r13_what_another_boot_planned_and_what_no_clock_can_mean_is_due() -> None:
    plan = after_answer(at(START), 0.5)
    assert is_due(plan, at(START, boot="two"))
    assert is_due(Plan("one", START + 3601.0, 0.0), at(START))
    assert is_due(Plan("one", float("nan"), 0.0), at(START))
    assert is_due(plan, at(START, suspended_s=float("nan")))


PLANS = st.builds(
    Plan,
    st.text(max_size=40),
    st.integers(0, 2**52).map(lambda ms: ms / 1000),
    st.integers(0, 2**52).map(lambda ms: ms / 1000),
    st.integers(0, 8),
    st.booleans(),
)


@given(PLANS)
def test_a_note_is_read_as_it_was_written(plan: Plan) -> None:
    assert plan_from_text(plan_to_text(plan)) == plan


@given(st.text())
def test_any_text_is_a_plan_or_none(text: str) -> None:
    assert plan_from_text(text) is None


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '["b", 1, 2, 3]', '["b", 1.5, 2, 3, true]', '["b", true, 2, 3, true]', '["b", -1, 2, 3, true]',
     '["b", 1, 2, 9, true]', '["b", 1, 2, 3, 1]', '[1, 1, 2, 3, true]', "[" * 100_000],
)  # fmt: skip
def test_a_note_that_is_none_keeps_nobody_from_asking(text: str) -> None:
    assert plan_from_text(text) is None
