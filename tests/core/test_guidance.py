"""Guidance: where on the line, what comes next, are we there."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalos_connect_sdk.core.deviation import Fix, leads_against
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


def at(guide: Guide, metres: float, aside: float = 0.0, **known: float) -> Step:
    longitude, latitude = north(metres)
    return guide.update(latitude, longitude + aside * METRE / math.cos(math.radians(latitude)), **known)


def place(metres: float, aside: float = 0.0) -> tuple[float, float]:
    """A point of a line: metres north and east of where ``north(0)`` is."""
    longitude, latitude = north(metres)
    return longitude + aside * METRE / math.cos(math.radians(latitude)), latitude


def drive(guide: Guide, *places: tuple[float, float], every: float = 12.0, **known: float) -> list[Step]:
    """Fixes ``every`` metres along straight stretches between places given as (metres north, metres east)."""
    steps = []
    for (north_a, east_a), (north_b, east_b) in pairwise(places):
        count = max(1, round(math.hypot(north_b - north_a, east_b - east_a) / every))
        for i in range(count):
            share = i / count
            steps.append(at(guide, north_a + share * (north_b - north_a), east_a + share * (east_b - east_a), **known))
    return [*steps, at(guide, *places[-1], **known)]


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
    assert at(guide, 498.5).manoeuvre.instruction == "Step 0."  # type: ignore[union-attr]
    assert at(guide, 499.5).manoeuvre.instruction == "Step 1."  # type: ignore[union-attr]
    assert at(guide, 498.9 + 2.2).manoeuvre.instruction == "Step 1."  # type: ignore[union-attr]


@pytest.mark.parametrize(("metres", "there"), [(960, False), (974.5, False), (975.5, True), (1000, True), (1010, True)])
def test_arriving_is_being_within_25_metres_of_the_end(metres, there):
    assert at(Guide(route(STRAIGHT)), metres).arrived is there


def test_whoever_passes_the_end_far_aside_has_not_arrived():
    guide = Guide(route(STRAIGHT))
    at(guide, 900)
    assert not any(step.arrived for step in drive(guide, (900, 100), (1100, 100)))


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


@given(metres=st.floats(0, 1000))
def test_on_the_line_the_place_is_exact_to_half_a_metre(metres):
    assert at(Guide(route(STRAIGHT)), metres).remaining_m == pytest.approx(1000 - metres, abs=0.6)


def test_past_the_end_of_a_long_slanted_segment_is_the_end():
    """Flat within one segment is a little longer than the line: the car cannot have come further than the line."""
    guide = Guide(Route(distance_m=0.0, duration_s=0.0, locale="en", line=((26.0, 60.0), (24.0, 59.0))))
    for _ in range(2):
        step = guide.update(59.0, 24.0)
        assert step.arrived and step.remaining_m <= 25.0


# -- at slow speed and at the end ------------------------------------------------------------------


@pytest.mark.parametrize(("metres", "there"), [(974, False), (989.5, False), (990.5, True), (1012, True)])
def test_a_car_whose_speed_is_known_has_arrived_within_10_metres(metres, there):
    guide = Guide(route(STRAIGHT))
    at(guide, 900, speed_mps=8.0)
    assert at(guide, metres, speed_mps=1.5).arrived is there


def test_as_near_as_the_fix_can_tell_is_there_and_never_more_than_25_metres():
    for accuracy, rest, there in ((20.0, 19, True), (20.0, 21, False), (60.0, 24, True), (60.0, 26, False)):
        guide = Guide(route(STRAIGHT))
        assert at(guide, 1000 - rest, speed_mps=5.0, accuracy_m=accuracy).arrived is there


def test_who_stands_for_10_seconds_within_25_metres_has_arrived():
    guide = Guide(route(STRAIGHT))
    at(guide, 960, speed_mps=5.0, time_s=0.0)
    assert [at(guide, 980, speed_mps=0.0, time_s=10.0 + second).arrived for second in (0, 5, 9.9, 10)] == [
        False, False, False, True,
    ]  # fmt: skip


def test_who_waits_at_a_light_before_the_end_has_not_arrived():
    guide = Guide(route(STRAIGHT))
    for second in range(8):
        assert not at(guide, 980, speed_mps=0.0, time_s=float(second)).arrived
    assert not at(guide, 982, speed_mps=3.0, time_s=8.0).arrived, "it drives on: the wait is forgotten"
    for second in range(9, 18):
        assert not at(guide, 984, speed_mps=0.0, time_s=float(second)).arrived


def test_standing_without_a_clock_is_not_arriving_early():
    guide = Guide(route(STRAIGHT))
    assert not any(at(guide, 980, speed_mps=0.0).arrived for _ in range(30))
    assert not at(guide, 980, speed_mps=0.0, time_s=0.0).arrived and not at(guide, 980, speed_mps=0.0).arrived
    assert at(guide, 980, speed_mps=0.0, time_s=10.0).arrived


def test_who_stood_near_the_end_before_having_left_the_route_stands_there_anew():
    guide = Guide(route(STRAIGHT))
    at(guide, 980, speed_mps=0.0, time_s=0.0)
    lost(guide, (960, 0), (960, 120))
    steps = drive(guide, (860, 120), (860, 0), (978, 0), speed_mps=5.0, time_s=60.0)
    assert not steps[-1].off_route and not steps[-1].arrived
    assert not at(guide, 978, speed_mps=0.0, time_s=70.0).arrived
    assert at(guide, 978, speed_mps=0.0, time_s=80.0).arrived


def test_noise_does_not_carry_a_waiting_car_to_the_end():
    """Standing 40 m before it, the receiver wanders by 20 m: the way come stays, and nobody arrives."""
    guide = Guide(route(STRAIGHT, 2))
    at(guide, 960, speed_mps=5.0, time_s=0.0)
    for second in range(60):
        step = at(guide, 960 + 20 * math.sin(second), speed_mps=0.2, time_s=float(second))
        assert not step.arrived and step.remaining_m == pytest.approx(40, abs=0.1)


def test_without_a_speed_noise_carries_forward_what_is_told_and_arrives_nobody():
    guide = Guide(route(STRAIGHT, 2))
    steps = [at(guide, 960 + offset) for offset in (0, 12, -12, 10, -10)]
    assert not any(step.arrived for step in steps)
    assert [step.remaining_m for step in steps] == pytest.approx([40, 28, 28, 28, 28], abs=0.1)


def test_who_has_arrived_has_arrived_wherever_the_car_park_is():
    guide = Guide(route(STRAIGHT))
    at(guide, 1000)
    later = drive(guide, (1000, 0), (1000, 300), (500, 300), (500, 0), (900, 0))
    assert all(step.arrived and not step.off_route for step in later)


def test_passing_the_end_on_the_way_to_it_is_not_arriving():
    """A way that leads past its own end, 15 m beside it, and comes back from the other side."""
    line = [place(0), place(1000, 15), place(1500, 15), place(1500, 300), place(500, 300), place(500, 0)]
    guide = Guide(route(line, 5))
    steps = drive(guide, (0, 0), (1000, 15), (1500, 15), (1500, 300), (500, 300), (500, 0))
    assert [step.arrived for step in steps].index(True) >= len(steps) - 3
    assert not any(step.off_route for step in steps)


def test_a_round_trip_begins_at_its_beginning():
    """The car stands on the last leg, 35 m from where the route begins and ends."""
    line = [place(0), place(500), place(500, 500), place(0, 500), place(0)]
    guide = Guide(route(line, 1, 2, 3, 4))
    first = at(guide, 0, 35)
    assert not first.arrived and first.remaining_m == pytest.approx(2000, abs=40)
    steps = drive(guide, (0, 30), (0, 0), (500, 0), (500, 500), (0, 500), (0, 0))
    assert [step.arrived for step in steps].index(True) >= len(steps) - 3
    assert not any(step.off_route for step in steps)


# -- leaving the route -----------------------------------------------------------------------------


@pytest.mark.parametrize(("accuracy", "limit"), [(None, 50), (5.0, 35), (20.0, 50), (70.0, 100)])
@pytest.mark.parametrize("side", [1, -1])
def test_how_far_aside_is_allowed_depends_on_the_accuracy(accuracy, limit, side):
    known = {} if accuracy is None else {"accuracy_m": accuracy}
    for aside, off in ((limit - 1, False), (limit + 1, True)):
        guide = Guide(route(STRAIGHT, 2))
        at(guide, 300, **known)
        steps = drive(guide, (312, side * aside), (372, side * aside), **known)
        assert steps[-1].off_route is off
        assert steps[-1].remaining_m == pytest.approx(700 if off else 628, abs=1), "nothing is gained off the route"
        assert steps[-1].aside_m == pytest.approx(aside, abs=0.5)


def test_one_fix_that_jumps_is_not_believed():
    guide = Guide(route(STRAIGHT, 2))
    for metres in range(0, 960, 12):
        aside = 300 if metres % 60 == 48 else 0
        step = at(guide, metres, aside)
        assert not step.off_route
        assert step.remaining_m == pytest.approx(1000 - metres + (12 if aside else 0), abs=0.5)


def test_two_fixes_that_jump_to_one_place_are_not_believed():
    guide = Guide(route(STRAIGHT, 2))
    at(guide, 300)
    assert not at(guide, 312, 200).off_route and not at(guide, 320, 210).off_route and not at(guide, 336).off_route
    assert not at(guide, 348, 200).off_route, "the count begins anew"


def test_three_fixes_that_go_30_metres_are_believed_and_two_that_go_100():
    slow = Guide(route(STRAIGHT, 2))
    at(slow, 300)
    assert [at(slow, 312 + 14 * n, 80).off_route for n in range(4)] == [False, False, False, True]
    fast = Guide(route(STRAIGHT, 2))
    at(fast, 300)
    assert [at(fast, 312 + 16 * n, 80).off_route for n in range(3)] == [False, False, True]
    for far, off in ((40, False), (99.5, False), (100.5, True)):
        sparse = Guide(route(STRAIGHT, 2))
        at(sparse, 100)
        assert [at(sparse, 300 + far * n, 80).off_route for n in range(2)] == [False, off]


def test_a_receiver_that_is_fast_believes_no_sooner():
    guide = Guide(route(STRAIGHT, 2))
    at(guide, 300)
    steps = drive(guide, (301, 80), (340, 80), every=1.0)
    assert [step.off_route for step in steps].index(True) == 30


def test_a_parked_car_in_a_street_of_echoes_leaves_no_route():
    guide = Guide(route(STRAIGHT, 2))
    at(guide, 300)
    for n in range(200):
        assert not at(guide, 300 + 10 * math.sin(n), 90 + 10 * math.cos(1.7 * n)).off_route


def test_a_car_that_stands_leaves_no_route_however_its_fix_wanders():
    guide = Guide(route(STRAIGHT, 2))
    at(guide, 300)
    for n in range(20):
        assert not at(guide, 300 + 50 * n, 90, speed_mps=0.9).off_route
    assert at(guide, 1350, 90, speed_mps=1.0).off_route is False
    assert at(guide, 1460, 90, speed_mps=1.0).off_route


def test_a_fix_that_knows_nothing_says_nothing():
    guide = Guide(route(STRAIGHT, 2))
    before = at(guide, 300)
    for n in range(9):
        assert at(guide, 300 + 100 * n, 500, accuracy_m=101.0) == before
    assert at(guide, 312, 129, accuracy_m=100.0).aside_m == pytest.approx(129, abs=0.1)


def test_who_turns_round_has_left_the_route():
    """No course is known: the line itself tells that the car goes back on it."""
    guide = Guide(route(STRAIGHT, 2))
    steps = drive(guide, (300, 0), (600, 0), (400, 0))
    assert not steps[25].off_route and steps[-1].off_route
    turned = [step.off_route for step in steps].index(True) - 25
    assert 6 <= turned <= 9, "60 m of going back, and the evidence for it"
    assert steps[-1].remaining_m == pytest.approx(400, abs=0.5) and steps[-1].aside_m < 1


def test_who_drives_against_the_line_has_left_it_sooner_when_the_course_is_known():
    guide = Guide(route(STRAIGHT, 2))
    drive(guide, (300, 0), (600, 0), speed_mps=12.0, course_deg=2.0)
    steps = drive(guide, (588, 0), (500, 0), speed_mps=12.0, course_deg=181.0)
    assert [step.off_route for step in steps].index(True) == 3


@pytest.mark.parametrize(
    ("speed", "course", "line", "against"),
    [
        (2.9, 180.0, 0.0, False), (3.0, 180.0, 0.0, True), (None, 180.0, 0.0, False), (12.0, None, 0.0, False),
        (12.0, 119.0, 0.0, False), (12.0, 121.0, 0.0, True), (12.0, 239.0, 0.0, True), (12.0, 241.0, 0.0, False),
        (12.0, 10.0, 250.0, False), (12.0, 10.0, 248.0, True), (12.0, 350.0, 130.0, True), (12.0, 0.0, 180.0, True),
    ],
)  # fmt: skip
def test_a_course_counts_from_3_metres_a_second_and_more_than_120_degrees(speed, course, line, against):
    assert leads_against(Fix(60.0, 24.9, speed_mps=speed, course_deg=course), line) is against


def test_whose_course_is_wrong_but_who_drives_on_is_on_the_route():
    """Some receivers tell a course 180 degrees off; where the fixes go counts more."""
    guide = Guide(route(STRAIGHT, 2))
    steps = drive(guide, (300, 0), (900, 0), speed_mps=12.0, course_deg=180.0)
    assert not any(step.off_route for step in steps)
    assert steps[-1].remaining_m == pytest.approx(100, abs=40)


def test_a_corner_that_is_cut_is_no_deviation():
    guide = Guide(route([place(0), place(500), place(500, 500)], 1, 2))
    steps = drive(guide, (0, 0), (440, 0), (500, 60), (500, 500), every=12.0)
    assert not any(step.off_route for step in steps) and steps[-1].arrived


def test_the_distance_that_is_told_is_to_the_nearest_place_of_the_whole_route():
    """Away from the first leg, and near a later one that leads the other way."""
    line = [place(0), place(1500), place(1500, 200), place(0, 200)]
    guide = Guide(route(line, 3))
    steps = drive(guide, (300, 0), (500, 0), (500, 140))
    off = [step.off_route for step in steps].index(True)
    assert off < len(steps) - 3, "35 to 70 m aside of the first leg"
    assert steps[-1].aside_m == pytest.approx(60, abs=1), "140 m from the first leg"
    away = drive(guide, (500, 360), (500, 500))
    assert [step.aside_m for step in away] == pytest.approx([160 + 140 / 12 * n for n in range(13)], abs=1)


def test_it_is_that_already_when_it_is_told():
    guide = Guide(route([place(0), place(1500), place(1500, 140), place(0, 140)], 3))
    steps = drive(guide, (300, 0), (500, 0), (500, 96))
    told = next(step for step in steps if step.off_route)
    assert told.aside_m == pytest.approx(140 - 96, abs=1), "96 m from where it was left"


def test_who_goes_on_from_further_back_is_told_so():
    """The fixes jump back by 300 m, and go on from there: the way left grows only after the route was lost."""
    guide = Guide(route(STRAIGHT, 2))
    drive(guide, (300, 0), (700, 0))
    steps = drive(guide, (400, 0), (640, 0))
    off = [step.off_route for step in steps]
    assert any(off) and not off[-1] and steps[off.index(True)].remaining_m == pytest.approx(300, abs=1)
    assert steps[-1].remaining_m == pytest.approx(360, abs=1)


def test_after_coming_back_the_count_begins_anew():
    guide = lost(Guide(route(STRAIGHT, 2)), (0, 0), (200, 0), (200, 100))
    metres = 300
    while at(guide, metres).off_route:
        metres += 12
    assert metres < 360 and not at(guide, metres + 12, 80).off_route


def test_the_next_street_over_is_another_one():
    """Streets 60 m apart: who turns a block too early is told while still on it."""
    guide = Guide(route([place(0), place(500), place(500, 500)], 1, 2))
    steps = drive(guide, (0, 0), (440, 0), (440, 200), accuracy_m=5.0)
    assert any(step.off_route for step in steps)


def test_who_begins_in_a_car_park_is_on_the_way_to_the_route():
    guide = Guide(route(STRAIGHT, 2))
    steps = drive(guide, (100, 150), (100, 60), (160, 60), (160, 0), (200, 0))
    assert not any(step.off_route for step in steps)
    assert steps[-1].remaining_m == pytest.approx(800, abs=1)


def test_before_the_route_is_reached_standing_and_single_fixes_count_for_nothing_either():
    guide = Guide(route(STRAIGHT, 2))
    at(guide, 100, 120)
    for n in range(9):
        assert not at(guide, 100 + 20 * n, 300, speed_mps=0.5).off_route
    for n in range(9):
        assert not at(guide, 100 + 40 * n, 120 if n % 2 else 300).off_route


def test_who_goes_away_before_having_come_to_the_route_has_left_it():
    guide = Guide(route(STRAIGHT, 2))
    steps = drive(guide, (100, 150), (100, 120), (100, 300))
    off = [step.off_route for step in steps]
    assert off[-1] and not any(off[:9])
    assert steps[off.index(True)].aside_m > 120 + 50


# -- coming back -----------------------------------------------------------------------------------


def lost(guide: Guide, *places: tuple[float, float]) -> Guide:
    """Driven along ``places`` until it has left the route."""
    assert drive(guide, *places)[-1].off_route
    return guide


def test_who_comes_back_ahead_goes_on_from_there():
    guide = lost(Guide(route(STRAIGHT, 1, 2)), (0, 0), (200, 0), (200, 120), (400, 120))
    steps = drive(guide, (400, 108), (400, 0), (500, 0))
    assert not steps[-1].off_route and steps[-1].remaining_m == pytest.approx(500, abs=1)
    assert steps[-1].manoeuvre is not None and steps[-1].manoeuvre.instruction == "Step 1."


def test_who_comes_back_behind_is_told_again_what_lies_between():
    guide = lost(Guide(route(STRAIGHT, 1, 2)), (0, 0), (600, 0), (600, 120), (300, 120))
    steps = drive(guide, (300, 108), (300, 0), (360, 0))
    assert not steps[-1].off_route and steps[-1].remaining_m == pytest.approx(640, abs=1)
    assert steps[-1].manoeuvre is not None and steps[-1].manoeuvre.instruction == "Step 0."


def test_who_only_crosses_the_route_is_not_back_on_it():
    guide = lost(Guide(route(STRAIGHT, 2)), (0, 0), (200, 0), (200, 200))
    assert all(step.off_route for step in drive(guide, (600, 200), (600, -200)))
    assert all(step.off_route for step in drive(guide, (550, -200), (700, 200))), "not at an angle of 70 degrees either"


def test_who_drives_the_route_backwards_is_not_back_on_it():
    for known in ({}, {"speed_mps": 12.0, "course_deg": 180.0}):
        guide = lost(Guide(route(STRAIGHT, 2)), (0, 0), (200, 0), (200, 200))
        assert all(step.off_route for step in drive(guide, (900, 0), (500, 0), **known))


def test_back_is_10_metres_nearer_than_off():
    guide = lost(Guide(route(STRAIGHT, 2)), (0, 0), (200, 0), (200, 100))
    assert all(step.off_route for step in drive(guide, (212, 40.5), (600, 40.5)))
    assert not drive(guide, (612, 39.5), (700, 39.5))[-1].off_route


def test_one_fix_on_the_route_is_not_back():
    guide = lost(Guide(route(STRAIGHT, 2)), (0, 0), (200, 0), (200, 200))
    for n in range(12):
        assert at(guide, 300 + 30 * n, 0 if n % 2 else 200).off_route
    assert at(guide, 700, 200).off_route
    for _ in range(9):
        assert at(guide, 700, 0).off_route, "it has not moved"
        assert at(guide, 800, 0, speed_mps=0.0).off_route, "it stands"


def test_who_turns_round_twice_is_back():
    guide = lost(Guide(route(STRAIGHT, 2)), (0, 0), (600, 0), (400, 0))
    steps = drive(guide, (412, 0), (800, 0))
    assert [step.off_route for step in steps].index(False) <= 6
    assert steps[-1].remaining_m == pytest.approx(200, abs=1)


def test_a_tunnel_without_fixes_is_no_deviation():
    """The receiver repeats its last fix, then is 470 m further: a real recording does that."""
    guide = Guide(route([place(0), place(2000), place(2000, 2000)], 1, 2))
    drive(guide, (0, 0), (300, 0))
    for _ in range(20):
        assert not at(guide, 300).off_route
    step = at(guide, 770)
    assert not step.off_route and step.remaining_m == pytest.approx(4000 - 770, abs=3)


def test_a_loop_that_is_skipped_is_no_deviation():
    """The route drives round a block; the car goes straight on, where the route comes by later anyway."""
    line = [place(0), place(300), place(300, 400), place(700, 400), place(700), place(1400)]
    guide = Guide(route(line, 1, 2, 3, 4, 5))
    steps = drive(guide, (0, 0), (300, 0), (310, 45), (300, 0), (340, 0), (640, 0), (700, 0), (1400, 0))
    assert steps[-1].arrived
    assert not drive(Guide(route(line, 5)), (0, 0), (300, 0))[-1].off_route


def test_who_begins_on_the_way_back_is_found_there():
    """Out and back on one road: at first it is taken for the way out; the drive itself tells."""
    guide = Guide(route([north(0), north(2000), north(0)], 1, 2))
    steps = drive(guide, (1500, 0), (1300, 0))
    assert not any(step.off_route for step in steps)
    assert steps[0].remaining_m == pytest.approx(2500, abs=1)
    assert steps[-1].remaining_m == pytest.approx(1300, abs=1)


def test_the_same_with_a_fix_every_200_metres():
    guide = Guide(route([north(0), north(4000), north(0)], 1, 2))
    steps = drive(guide, (3000, 0), (1800, 0), every=200)
    assert not any(step.off_route for step in steps)
    assert steps[-1].remaining_m == pytest.approx(1800, abs=1)


def block(times: int) -> list[tuple[float, float]]:
    """Round a block of 400 m, several times."""
    return [place(0), *[place(400), place(400, 400), place(0, 400), place(0)] * times]


def test_on_a_road_that_is_driven_twice_the_next_time_counts():
    for come, left in ((0, 2), (1, 1)):
        guide = Guide(route(block(3), 12))
        drive(guide, *[(0, 0), (400, 0), (400, 400), (0, 400), (0, 0)] * come, (0, 0), (200, 0))
        lost(guide, (200, 0), (200, 150))
        steps = drive(guide, (260, 100), (260, 0), (400, 0))
        assert not steps[-1].off_route and steps[-1].remaining_m == pytest.approx(1600 * left + 1200, abs=1)


def test_who_comes_back_behind_on_a_road_that_is_driven_twice_comes_back_the_latest_time():
    guide = Guide(route([*block(2), place(-900)], 9))
    drive(guide, *[(0, 0), (400, 0), (400, 400), (0, 400), (0, 0)] * 2, (-300, 0))
    lost(guide, (-300, 0), (-300, 150))
    steps = drive(guide, (100, 150), (100, 0), (300, 0))
    assert not steps[-1].off_route and steps[-1].remaining_m == pytest.approx(1600 - 300 + 900, abs=1)


def test_the_other_carriageway_is_not_the_way_yet():
    """Carriageways 20 m apart that meet ahead: noise of 14 m takes nobody to the other side and past the turn."""
    line = [place(0), place(400), place(400, 20), place(0, 20)]
    for known in ({}, {"speed_mps": 12.0, "course_deg": 0.0}):
        guide = Guide(route(line, 1, 3))
        for metres in range(0, 396 if known else 336, 12):  # with a course, up to where they meet
            step = at(guide, metres, 14 if known else 11, **known)
            assert step.remaining_m == pytest.approx(820 - metres, abs=1)


# -- anywhere, and anything ------------------------------------------------------------------------


def test_the_antimeridian_is_a_line_like_any_other():
    line = [(179.99, 60.0), (-179.99, 60.0), (-179.97, 60.0)]
    guide = Guide(route(line, 1, 2))
    assert guide.length_m == pytest.approx(0.04 / METRE * math.cos(math.radians(60)), rel=1e-6)
    for longitude in (179.99, 179.995, 180.0, -180.0, -179.995, -179.98):
        step = guide.update(60.0, longitude)
        assert not step.off_route and step.aside_m < 0.01
    assert step.remaining_m == pytest.approx(0.01 / METRE * math.cos(math.radians(60)), rel=1e-3)


@pytest.mark.parametrize("latitude", [90.0, -90.0, 89.9999])
def test_at_a_pole_every_longitude_is_one_place(latitude):
    guide = Guide(route([(10.0, 89.99), (20.0, latitude), (-170.0, 89.99)], 1))
    for longitude in (0.0, 90.0, 180.0, -180.0):
        step = guide.update(latitude, longitude)
        assert 0 <= step.distance_m <= step.remaining_m <= guide.length_m


def test_a_line_of_one_point_is_a_place_and_of_none_no_route():
    assert at(Guide(route([north(0)])), 5).arrived
    with pytest.raises(ValueError, match="point"):
        Guide(route([]))


def test_manoeuvres_in_any_order_are_told_in_that_of_the_way():
    assert at(Guide(route(STRAIGHT, 2, 1)), 100).distance_m == pytest.approx(400, abs=0.1)


def test_r10_a_fix_is_shown_without_its_place():
    assert repr(Fix(60.123456, 24.654321)) == "<Fix>"


degrees = st.floats(-180, 180), st.floats(-90, 90)


@st.composite
def lines(draw: st.DrawFn) -> list[tuple[float, float]]:
    """Roads of up to 40 bends, anywhere on the globe, which may cross themselves; and lines of no sense at all."""
    if draw(st.booleans()):
        return draw(st.lists(st.tuples(*degrees), min_size=1, max_size=8))
    longitude, latitude = draw(st.tuples(*degrees))
    line = [(longitude, latitude)]
    for _ in range(draw(st.integers(1, 40))):
        longitude += draw(st.floats(-0.003, 0.003))
        latitude += draw(st.floats(-0.002, 0.002))
        line.append((math.remainder(longitude, 360.0), min(90.0, max(-90.0, latitude))))
    return line


known = st.fixed_dictionaries(
    {},
    optional={
        "accuracy_m": st.floats(0, 150),
        "speed_mps": st.floats(0, 60),
        "course_deg": st.floats(0, 360),
        "time_s": st.floats(0, 1e6),
    },
)


@given(line=lines(), data=st.data())
def test_whatever_the_line_and_the_fixes_what_is_told_makes_sense(line, data):
    """The rest never grows on the route, nothing is negative, the next manoeuvre is not beyond the end, and who has
    arrived stays there."""
    guide = Guide(route(line, *data.draw(st.lists(st.integers(0, len(line)), max_size=6))))
    last: Step | None = None
    for _ in range(data.draw(st.integers(1, 12))):
        longitude, latitude = data.draw(st.one_of(st.sampled_from(line), st.tuples(*degrees)))
        near = st.floats(-0.001, 0.001)
        latitude = min(90.0, max(-90.0, latitude + data.draw(near)))
        step = guide.update(latitude, math.remainder(longitude + data.draw(near), 360.0), **data.draw(known))
        assert 0 <= step.distance_m <= step.remaining_m + 1e-6 and step.remaining_m <= guide.length_m + 1e-6
        assert step.aside_m >= 0 and not (step.arrived and step.off_route)
        if last is not None:
            assert step.arrived or not last.arrived
            if not step.off_route and not last.off_route:
                assert step.remaining_m <= last.remaining_m + 1e-6
        last = step


@given(
    legs=st.lists(st.tuples(st.floats(150, 600), st.floats(-100, 100)), min_size=1, max_size=8),
    noise=st.lists(st.floats(-8, 8), min_size=8, max_size=8),
    pace=st.floats(1, 40),
)
def test_who_follows_the_road_arrives_once_and_never_leaves_it(legs, noise, pace):
    """Any road of straight legs that turn by up to 100 degrees, receiver noise of 8 m, any pace: no alarm, and the end."""
    corners, course = [(0.0, 0.0)], 0.0
    for length, turn in legs:
        course += math.radians(turn)
        corners.append((corners[-1][0] + length * math.cos(course), corners[-1][1] + length * math.sin(course)))
    guide = Guide(route([place(*corner) for corner in corners], *range(1, len(corners))))
    driven, total = 0.0, math.fsum(length for length, _ in legs)
    index, steps = 0, []
    while driven < total + pace:
        along = min(driven, total - 1e-9)
        leg = 0
        while along > legs[leg][0]:
            along -= legs[leg][0]
            leg += 1
        share = along / legs[leg][0]
        (north_a, east_a), (north_b, east_b) = corners[leg], corners[leg + 1]
        steps.append(
            at(
                guide,
                north_a + share * (north_b - north_a) + noise[index % 8],
                east_a + share * (east_b - east_a) + noise[(index * 3 + 1) % 8],
            )
        )
        driven, index = driven + pace, index + 1
    assert not any(step.off_route for step in steps)
    assert steps[-1].arrived
    told = [step.manoeuvre for step in steps]
    assert told == sorted(told, key=lambda each: each.begin_index), "in the order of the way"
    assert steps[len(steps) // 2].remaining_m == pytest.approx(total - (len(steps) // 2) * pace, abs=30)
