"""What a driver is told, and when: never twice the same, never out of order, nothing that is not so."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalos_connect_sdk.core.guidance import Step
from kalos_connect_sdk.core.telling import Telling, ahead
from kalos_connect_sdk.model.events import Arrived, BackOnRoute, Guidance, OffRoute
from kalos_connect_sdk.model.route import Manoeuvre

LEFT = Manoeuvre("Turn left.", "left", 100.0, 10.0, 3)
END = Manoeuvre("You have arrived.", "arrive", 0.0, 0.0, 9)


def on(distance: float, manoeuvre: Manoeuvre | None = LEFT, rest: float = 5000.0) -> Step:
    return Step(manoeuvre, distance, rest, arrived=False, off_route=False)


def off(aside: float) -> Step:
    return Step(LEFT, 300.0, 5000.0, arrived=False, off_route=True, aside_m=aside)


def told(*steps: Step) -> list[object]:
    telling = Telling()
    return [event for step in steps for event in telling.of(step)]


@pytest.mark.parametrize("edge", [1000.0, 500.0, 200.0, 50.0])
def test_a_manoeuvre_is_told_again_below_each_edge(edge):
    steps = [on(edge + 1), on(edge), on(edge - 0.1), on(edge - 1)]
    assert [event.distance_m for event in told(*steps)] == [edge + 1, edge - 0.1]


def test_it_is_told_what_kind_it_is_and_how_far_the_end_is():
    assert told(on(300.0, rest=4000.0)) == [Guidance("Turn left.", 300.0, "left", 4000.0)]


def test_the_next_manoeuvre_is_told_in_the_same_band_too():
    assert [event.instruction for event in told(on(30.0), on(30.0), on(30.0, END))] == [
        "Turn left.", "You have arrived.",
    ]  # fmt: skip


def test_what_is_ahead_is_known_at_every_step_on_the_way():
    assert ahead(on(432.1)) == Guidance("Turn left.", 432.1, "left", 5000.0)
    assert ahead(off(80.0)) is None and ahead(on(10.0, None)) is None
    assert ahead(Step(END, 0.0, 0.0, arrived=True, off_route=False)) is None


def test_arriving_is_told_once_and_ends_it():
    there = Step(END, 0.0, 0.0, arrived=True, off_route=False)
    assert told(there, there, on(10.0), off(90.0)) == [Arrived()]


def test_leaving_and_coming_back_are_told_once_and_nothing_of_the_old_way_between_them():
    events = told(on(300.0), off(80.0), off(90.0), off(400.0), on(290.0), on(280.0))
    assert events == [
        Guidance("Turn left.", 300.0, "left", 5000.0),
        OffRoute(80.0),
        BackOnRoute(),
        Guidance("Turn left.", 290.0, "left", 5000.0),
    ]


def test_without_manoeuvres_there_is_nothing_to_say():
    assert told(on(100.0, None), off(70.0), on(90.0, None)) == [OffRoute(70.0), BackOnRoute()]


@given(
    st.lists(
        st.one_of(
            st.builds(lambda d, m: on(d, m), st.floats(0, 3000), st.sampled_from((LEFT, END, None))),
            st.builds(off, st.floats(0, 500)),
            st.just(Step(END, 0.0, 0.0, arrived=True, off_route=False)),
        ),
        max_size=40,
    )
)
def test_whatever_the_steps_nothing_is_told_twice_running(steps):
    events = told(*steps)
    assert events.count(Arrived()) <= 1 and Arrived() not in events[:-1]
    turns = [event for event in events if isinstance(event, (OffRoute, BackOnRoute))]
    assert all(isinstance(event, OffRoute) is (index % 2 == 0) for index, event in enumerate(turns))
    for before, event in pairwise(events):
        assert before != event
        assert not (isinstance(before, OffRoute) and isinstance(event, Guidance))
