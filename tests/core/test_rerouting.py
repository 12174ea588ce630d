"""How often a new route is asked for."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from kalos_connect_sdk.core.rerouting import Pace


def test_the_first_is_due_at_once_and_the_next_after_10_seconds():
    pace = Pace()
    assert pace.is_due(1000.0)
    pace.begins(1000.0)
    pace.succeeded()
    assert [pace.is_due(1000.0 + after) for after in (0, 9.9, 10, 60)] == [False, False, True, True]


def test_failures_wait_5_seconds_and_then_longer_up_to_a_minute():
    pace, waited, now = Pace(), [], 1000.0
    for _ in range(9):
        pace.begins(now)
        pace.failed(1.0)
        step = 0.0
        while not pace.is_due(now + step):
            step += 0.5
        waited.append(step)
        now += step
    assert waited == [5.0, 5.0, 5.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    pace.begins(now)
    pace.succeeded()
    for _ in range(4):
        pace.begins(now)
        pace.failed(1.0)
    assert pace.is_due(now + 8) and not pace.is_due(now + 7.9), "a success begins anew"


def test_nothing_is_due_while_it_is_being_asked_for():
    pace = Pace()
    pace.begins(1000.0)
    assert not pace.is_due(1009.9) and pace.is_due(1010.0)


def test_r13_a_clock_that_is_set_back_keeps_nobody_waiting():
    pace = Pace()
    pace.begins(2_000_000_000.0)
    pace.succeeded()
    assert pace.is_due(0.0)


@given(st.lists(st.tuples(st.floats(0, 5), st.booleans(), st.floats(0, 0.999)), max_size=80))
def test_there_are_always_5_seconds_between_two(steps):
    pace, now, asked = Pace(), 0.0, []
    for after, success, jitter in steps:
        now += after
        if pace.is_due(now):
            pace.begins(now)
            pace.succeeded() if success else pace.failed(jitter)
            asked.append(now)
    assert all(b - a >= 5.0 - 1e-9 for a, b in pairwise(asked))
