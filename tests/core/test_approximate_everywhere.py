"""R15 over the whole globe: Hypothesis looks for the odd point, a seeded sweep for the rare one.

200 of each here; with ``KALOS_SWEEP=full`` 10,000 examples and 200,000 of the sweep each (docs/approximate.md).
"""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime
from math import asin, degrees, sqrt

import pytest
from globe import R_MAX_M, R_MIN_M, area_m2, distance_m, moved, outside_m, within
from hypothesis import given, settings
from hypothesis import strategies as st

from kalos_connect_sdk.core.coarsen import HYSTERESIS_M, Coarsener, cell
from kalos_connect_sdk.model.position import Position

T = datetime(2026, 1, 1, tzinfo=UTC)
POLES = [-90.0, 90.0, 89.9999999, -89.9999999, 89.99, -89.98]
SEAMS = [-180.0, 180.0, 0.0, 179.9999999, -179.9999999, 120.0]
latitudes = st.floats(-90, 90) | st.floats(89.9, 90) | st.floats(-90, -89.9) | st.sampled_from([*POLES, 0.0])
longitudes = st.floats(-180, 180) | st.floats(179.9, 180) | st.floats(-180, -179.9) | st.sampled_from(SEAMS)
points = st.tuples(latitudes, longitudes)
parts = st.floats(-1, 1)

FULL = os.environ.get("KALOS_SWEEP") == "full"
everywhere = settings(max_examples=10_000 if FULL else 200)
pytestmark = [pytest.mark.once, pytest.mark.timeout(7200)]


def seen(point, coarsener=None, **values):
    return (coarsener or Coarsener()).apply(Position(*point, time=T, **values))


@everywhere
@given(points)
def test_r15_a_cell_has_4_km2_and_tells_nothing_of_the_other_coordinate(point):
    found = cell(*point)
    area = area_m2(found)
    assert 4e6 * (1 - 1e-8) <= area <= 8e6
    assert seen(point).accuracy_m >= sqrt(area) / 2
    for longitude in (-180.0, -point[1] / 3, 179.0):
        other = cell(point[0], longitude)
        assert (other.latitude, other.half_height_deg, other.half_width_deg, other.reach_m) == (
            found.latitude,
            found.half_height_deg,
            found.half_width_deg,
            found.reach_m,
        )


@everywhere
@given(points, st.floats(1000, 100_000) | st.just(1000.0))
def test_r15_no_side_has_less_than_1_km2(point, side_m):
    assert area_m2(cell(*point, side_m=side_m)) >= max(1e6, side_m**2) * (1 - 1e-8)


@everywhere
@given(points, parts, parts, st.floats(0, 1000), st.floats(0, 90), st.floats(0, 360), st.floats(-400, 9000))
def test_r15_nothing_but_the_cell_is_told(point, up, right, accuracy_m, speed_mps, course_deg, altitude_m):
    found = cell(*point)
    inside = within(found, up * 0.999999, right * 0.999999)
    answer = seen(inside, accuracy_m=accuracy_m, speed_mps=speed_mps, course_deg=course_deg, altitude_m=altitude_m)
    assert answer == seen(point) == Position(found.latitude, found.longitude, accuracy_m=found.reach_m, time=T)


@everywhere
@given(points, st.none() | st.floats(0, 1e7) | st.floats(0, allow_infinity=False))
def test_r15_accuracy_is_true_and_never_tighter_than_it_was(point, accuracy_m):
    answer = seen(point, accuracy_m=accuracy_m)
    assert answer.accuracy_m >= (accuracy_m or 0.0)
    assert answer.accuracy_m >= distance_m(point, (answer.latitude, answer.longitude))


@everywhere
@given(points, st.lists(st.tuples(st.floats(-34, 34), st.floats(-34, 34)), min_size=1, max_size=8))
def test_r15_jitter_anywhere_gives_one_answer(point, jitter):
    """Within 49 m of the first one: whatever border, corner or pole is between."""
    coarsener = Coarsener()
    answers = {seen(point, coarsener)}
    answers |= {seen(moved(point, *step), coarsener) for step in jitter}
    assert len(answers) == 1


@everywhere
@given(points, parts, parts, st.lists(st.tuples(st.floats(-2500, 2500), st.floats(-2500, 2500)), max_size=8))
def test_r15_a_walk_changes_cells_only_well_outside_the_last(point, up, right, steps):
    coarsener, at = Coarsener(), within(cell(*point), up * 0.999, right * 0.999)
    here, answer = cell(*at), seen(at, coarsener)
    for step in steps:
        at = moved(at, *step)
        before, answer = answer, seen(at, coarsener)
        assert answer.accuracy_m >= distance_m(at, (answer.latitude, answer.longitude))
        if answer == before:
            assert outside_m(here, at, R_MIN_M) <= HYSTERESIS_M * 1.02
        else:
            assert outside_m(here, at, R_MAX_M) > HYSTERESIS_M - 1e-6
            here = cell(*at)
            assert (answer.latitude, answer.longitude) == (here.latitude, here.longitude)


def test_r15_whatever_accuracy_a_position_may_have_has_an_answer():
    assert seen((48.1, 11.5), accuracy_m=1.7976931348623157e308).accuracy_m == 1.7976931348623157e308


def anywhere(dice):
    """Every square kilometre as likely as any other, and one in four near a pole or the antimeridian."""
    latitude, longitude = degrees(asin(dice.uniform(-1, 1))), dice.uniform(-180, 180)
    if dice.random() < 0.125:
        latitude = dice.choice((-1, 1)) * (90 - dice.random() ** 3 * 0.2)
    elif dice.random() < 0.143:
        longitude = dice.choice((-1, 1)) * (180 - dice.random() ** 3 * 0.2)
    return latitude, longitude


def steps(dice, reach_m):
    return [(dice.uniform(-reach_m, reach_m), dice.uniform(-reach_m, reach_m)) for _ in range(8)]


def part(dice):
    return dice.uniform(-1, 1)


SWEPT = {
    test_r15_a_cell_has_4_km2_and_tells_nothing_of_the_other_coordinate: lambda dice: (anywhere(dice),),
    test_r15_no_side_has_less_than_1_km2: lambda dice: (anywhere(dice), 1000 * 100 ** dice.random()),
    test_r15_nothing_but_the_cell_is_told: lambda dice: (
        *(anywhere(dice), part(dice), part(dice)),
        *(dice.uniform(0, 1000), dice.uniform(0, 90), dice.uniform(0, 360), dice.uniform(-400, 9000)),
    ),
    test_r15_accuracy_is_true_and_never_tighter_than_it_was: lambda dice: (anywhere(dice), 10 ** dice.uniform(-1, 7)),
    test_r15_jitter_anywhere_gives_one_answer: lambda dice: (anywhere(dice), steps(dice, 34)),
    test_r15_a_walk_changes_cells_only_well_outside_the_last: lambda dice: (
        *(anywhere(dice), part(dice), part(dice)),
        steps(dice, dice.choice((60, 400, 2500))),
    ),
}


@pytest.mark.parametrize("test", SWEPT, ids=lambda test: test.__name__.removeprefix("test_r15_"))
def test_r15_so_it_is_wherever_the_dice_fall(test):
    dice = random.Random(test.__name__)
    for _ in range(200_000 if FULL else 200):
        test.hypothesis.inner_test(*SWEPT[test](dice))
