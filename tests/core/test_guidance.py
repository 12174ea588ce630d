"""Guidance: where on the line, what comes next, are we there."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalos_connect_sdk.core.guidance import Guide, Step
from kalos_connect_sdk.model.route import Manoeuvre, Route

METRE = 1 / (math.radians(1) * 6_371_008.8)
"""Degrees of latitude in one metre on the sphere."""


def route(line: list[tuple[float, float]], *begins: int) -> Route:
    steps = tuple(Manoeuvre(f"Step {n}.", "continue", 0.0, 0.0, begin) for n, begin in enumerate(begins))
    return Route(0.0, 0.0, "en", tuple(line), steps)


def north(metres: float, *, latitude: float = 60.0) -> tuple[float, float]:
    return (24.9, latitude + metres * METRE)


STRAIGHT = [north(0), north(500), north(1000)]


def at(guide: Guide, metres: float, aside: float = 0.0) -> Step:
    longitude, latitude = north(metres)
    return guide.update(latitude, longitude + aside * METRE / math.cos(math.radians(latitude)))


def test_the_length_is_that_of_the_line():
    assert Guide(route(STRAIGHT)).length_m == pytest.approx(1000, abs=0.01)
    east = [(24.9, 60.0), (24.9 + 100 * METRE / math.cos(math.radians(60)), 60.0)]
    assert Guide(route(east)).length_m == pytest.approx(100, abs=0.01)


def test_the_next_manoeuvre_and_the_distance_to_it():
    guide = Guide(route(STRAIGHT, 0, 1, 2))
    step = at(guide, 100)
    assert step.manoeuvre is not None and step.manoeuvre.instruction == "Step 1."
    assert step.distance_m == pytest.approx(400, abs=0.1) and step.remaining_m == pytest.approx(900, abs=0.1)
    assert not step.arrived and not step.off_route
    later = at(guide, 600)
    assert later.manoeuvre is not None and later.manoeuvre.instruction == "Step 2."
    assert later.distance_m == pytest.approx(400, abs=0.1)


def test_a_manoeuvre_that_is_reached_is_behind():
    guide = Guide(route(STRAIGHT, 1, 2))
    assert at(guide, 499.5).manoeuvre.instruction == "Step 1."  # type: ignore[union-attr]
    assert at(guide, 498.9 + 2.2).manoeuvre.instruction == "Step 1."  # type: ignore[union-attr]


@pytest.mark.parametrize(("metres", "there"), [(960, False), (974, False), (976, True), (1000, True), (1010, True)])
def test_arriving_is_being_within_25_metres_of_the_end(metres, there):
    assert at(Guide(route(STRAIGHT)), metres).arrived is there


@pytest.mark.parametrize(("aside", "off"), [(0, False), (59, False), (61, True), (-59, False), (-61, True)])
def test_off_the_route_is_more_than_60_metres_aside(aside, off):
    guide = Guide(route(STRAIGHT, 2))
    step = at(guide, 400, aside)
    assert step.off_route is off
    assert step.remaining_m == pytest.approx(1000 if off else 600, abs=0.5), "nothing is gained off the route"


def test_whoever_passes_the_end_far_aside_has_not_arrived():
    guide = Guide(route(STRAIGHT))
    at(guide, 990)
    assert not at(guide, 990, 100).arrived


def test_the_way_come_never_shrinks():
    guide = Guide(route(STRAIGHT, 2))
    at(guide, 700)
    assert at(guide, 650).remaining_m == pytest.approx(300, abs=0.1)


def test_a_loop_is_not_taken_backwards():
    """Out and back on one road: a place passed on the way back is the way back."""
    guide = Guide(route([north(0), north(2000), north(0)], 1, 2))
    for metres in range(0, 2000, 100):
        at(guide, metres)
    at(guide, 2000)
    back = [at(guide, metres).remaining_m for metres in range(1900, -1, -100)]
    assert back == pytest.approx(list(range(1900, -1, -100)), abs=1)
    assert back[-1] == pytest.approx(0, abs=1) and at(guide, 0).arrived


def test_at_a_crossing_with_its_own_later_way_the_earlier_one_counts():
    guide = Guide(route([north(0), north(300), north(0)]))
    assert at(guide, 100).remaining_m == pytest.approx(500, abs=1)


def test_without_manoeuvres_the_end_is_all_there_is():
    step = at(Guide(route(STRAIGHT)), 100)
    assert step.manoeuvre is None and step.distance_m == step.remaining_m


def test_after_the_last_manoeuvre_it_is_told_until_the_end():
    guide = Guide(route(STRAIGHT, 0, 1))
    step = at(guide, 700)
    assert step.manoeuvre is not None and step.manoeuvre.instruction == "Step 1."
    assert step.distance_m == pytest.approx(300, abs=0.1)


def test_of_several_that_are_behind_the_last_one_is_told():
    step = at(Guide(route(STRAIGHT, 0, 1, 1)), 700)
    assert step.manoeuvre is not None and step.manoeuvre.instruction == "Step 2."


def test_a_manoeuvre_beyond_the_line_is_at_its_end():
    assert at(Guide(route(STRAIGHT, 99)), 100).distance_m == pytest.approx(900, abs=0.1)


def test_points_that_are_the_same_twice_are_no_reason_to_fail():
    guide = Guide(route([north(0), north(0), north(500), north(500)], 3))
    assert at(guide, 200).distance_m == pytest.approx(300, abs=0.1)


@given(
    line=st.lists(
        st.tuples(st.floats(24.0, 26.0, allow_nan=False), st.floats(59.0, 61.0, allow_nan=False)),
        min_size=2,
        max_size=12,
    ),
    here=st.lists(st.tuples(st.floats(24.0, 26.0), st.floats(59.0, 61.0)), min_size=1, max_size=8),
)
def test_whatever_the_line_the_rest_never_grows_and_is_never_more_than_the_line(line, here):
    guide = Guide(route(line, *range(len(line))))
    last = guide.length_m + 1e-6
    for longitude, latitude in here:
        step = guide.update(latitude, longitude)
        assert 0 <= step.remaining_m <= last + 1e-6
        assert 0 <= step.distance_m <= step.remaining_m + 1e-6
        last = step.remaining_m


@given(metres=st.floats(0, 1000))
def test_on_the_line_the_place_is_exact_to_half_a_metre(metres):
    assert at(Guide(route(STRAIGHT)), metres).remaining_m == pytest.approx(1000 - metres, abs=0.6)


def test_past_the_end_of_a_long_slanted_segment_is_the_end():
    """Flat within one segment is a little longer than the line: the car cannot have come further than the line."""
    guide = Guide(Route(distance_m=0.0, duration_s=0.0, locale="en", line=((26.0, 60.0), (24.0, 59.0))))
    for _ in range(2):
        step = guide.update(59.0, 24.0)
        assert step.arrived and step.remaining_m <= 25.0
