"""A line as a measured thing, against looking at each of its segments alone."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalos_connect_sdk.core.line import Line, Passage, distance_m

DEGREE_M = math.radians(1) * 6_371_008.8
Corner = tuple[float, float]
"""Metres north and east of 60 N, 24.9 E."""


def place(corner: Corner) -> tuple[float, float]:
    """(longitude, latitude)."""
    north, east = corner
    return 24.9 + east / DEGREE_M / math.cos(math.radians(60.0)), 60.0 + north / DEGREE_M


def line(*corners: Corner) -> Line:
    return Line([place(corner) for corner in corners])


def near(road: Line, corner: Corner, within_m: float) -> list[tuple[float, float]]:
    """(aside, along) of each passage, in whole decimetres."""
    longitude, latitude = place(corner)
    return [(round(p.aside_m, 1), round(p.along_m, 1)) for p in road.passages(latitude, longitude, within_m)[1]]


def test_a_degree_of_latitude_is_that_of_the_mean_sphere():
    assert distance_m(60.0, 24.9, 61.0, 24.9) == pytest.approx(111_195.0797, abs=0.001)
    assert distance_m(60.0, 179.9, 60.0, -179.9) == pytest.approx(0.2 * 111_195.0797 / 2, rel=1e-6)


def test_where_a_point_of_the_line_is():
    road = line((0, 0), (100, 0), (100, 50))
    assert [round(road.at(index), 2) for index in (0, 1, 2, 3, 99)] == [0, 100, 150, 150, 150]
    assert road.length_m == pytest.approx(150, abs=0.01)


@pytest.mark.parametrize(
    ("north", "east", "course"),
    [(100, 0, 0), (0, 100, 90), (-100, 0, 180), (0, -100, 270), (100, 100, 45), (100, -100, 315), (-100, 100, 135)],
)
def test_a_segment_has_a_course(north, east, course):
    assert line((0, 0), (north, east)).course_deg(0) == pytest.approx(course, abs=0.01)
    assert line((0, 0), (50, 0), (50 + north, east)).course_deg(1) == pytest.approx(course, abs=0.01)


def test_the_course_of_a_long_segment_is_that_of_its_middle():
    assert Line([(0.0, 50.0), (1.0, 70.0)]).course_deg(0) == pytest.approx(
        math.degrees(math.atan2(math.cos(math.radians(60.0)), 20.0))
    )


# -- the likeliest -------------------------------------------------------------------------------

TWO_LEGS = ((0, 0), (1000, 0), (1000, 100), (0, 100))
"""Out to the north, back 100 m to the east of it."""


def likeliest(corner: Corner, **wanted) -> tuple[float, float]:
    longitude, latitude = place(corner)
    wanted = {"expected_m": 0.0, "low_m": 0.0, "high_m": 1e9, "doubt": 0.0, **wanted}
    passage = line(*TWO_LEGS).likeliest(latitude, longitude, **wanted)
    return round(passage.aside_m, 1), round(passage.along_m, 1)


def test_without_a_doubt_the_nearest_is_the_likeliest():
    assert likeliest((300, 40)) == (40, 300) and likeliest((300, 60)) == (40, 1800)


def test_what_is_nearer_to_the_expected_place_weighs_more():
    """The legs are 60 and 40 m away, 300 and 1800 m along: 0.02 m for each metre makes 66 against 70."""
    assert likeliest((300, 60), doubt=0.01) == (40, 1800)
    assert likeliest((300, 60), doubt=0.02) == (60, 300)
    assert likeliest((300, 60), doubt=0.02, expected_m=1800.0) == (40, 1800)


def test_what_lies_behind_counts_twice():
    """1500 m behind at 0.01 m are 30 m, and 20 m is the difference: counted once, 15 m, it would be the first leg."""
    assert likeliest((300, 40), doubt=0.01, expected_m=1800.0) == (60, 1800)
    assert likeliest((300, 39), doubt=0.007, expected_m=1800.0) == (39, 300)
    assert likeliest((300, 40), doubt=0.013, expected_m=300.0) == (40, 300)


@pytest.mark.parametrize(("low", "high", "along"), [(0, 900, 300), (0, 1099, 300), (1101, 2100, 1800), (0, 1101, 1800)])
def test_only_segments_that_the_window_touches_are_looked_at(low, high, along):
    assert likeliest((300, 70), low_m=low, high_m=high)[1] == along


def test_a_window_without_a_length_holds_one_segment_and_one_beyond_the_end_the_last():
    assert likeliest((300, 70), low_m=500.0, high_m=500.0) == (70, 300)
    assert likeliest((300, 40), low_m=5000.0, high_m=6000.0) == (60, 1800)
    assert likeliest((300, 70), low_m=-900.0, high_m=-800.0) == (70, 300)


def test_a_segment_that_leads_the_wrong_way_must_be_30_metres_nearer():
    def backwards(course: float) -> bool:
        return 90 < course < 270

    assert likeliest((300, 64.9), wrong_way=backwards) == (64.9, 300)
    assert likeliest((300, 65.1), wrong_way=backwards) == (34.9, 1800)


# -- over the whole line -------------------------------------------------------------------------


def test_each_passage_is_found_in_the_order_of_the_line():
    road = line(*TWO_LEGS)
    assert near(road, (300, 40), 70) == [(40, 300), (60, 1800)] and near(road, (300, 40), 50) == [(40, 300)]
    assert near(road, (300, 40), 30) == []
    longitude, latitude = place((300, 40))
    assert road.passages(latitude, longitude, 0.0)[0].along_m == pytest.approx(300, abs=0.1)


def test_a_way_out_and_back_on_one_road_are_two_passages():
    assert near(line((0, 0), (1000, 0), (0, 0)), (300, 20), 50) == [(20, 300), (20, 1700)]
    assert near(line((0, 0), (1000, 0), (0, 9)), (300, 0), 50) == [(0, 300), (6.3, 1700)]
    assert len(near(line((0, 0), (1000, 0), (0, 9.5 / 0.7)), (300, 0), 50)) == 2
    assert near(line((0, 0), (1000, 0), (0, 10.5 / 0.7)), (300, 0), 50) == [(0, 300)], "one is so much nearer"


def test_a_corner_is_one_passage():
    assert near(line((0, 0), (100, 0), (100, 100)), (110, -10), 50) == [(14.1, 100)]
    assert near(line((0, 0), (100, 0), (100, 0), (200, 0)), (100, 5), 50) == [(5, 100)]


def test_each_stretch_of_short_segments_is_one_passage():
    """Out, back 100 m to the east, out again 200 m to the east, in segments of 10 m; each passes twice by a hair."""
    out = [10.0 * i for i in range(101)]
    legs = [(north, east) for turn, east in enumerate((0, 100, 200)) for north in (out[::-1] if turn == 1 else out)]
    assert near(line(*legs), (305, 100), 130) == [(100, 305), (0, 1795), (100, 2505)]
    turned = line((0, 0), (1000, 0), (300, 0), (300, 0), (300, -500))
    assert near(turned, (300, 20), 50) == [(20, 300), (20, 1700)], "its corner there is one place"


def test_of_many_short_segments_the_nearest_counts():
    road = line(*((metres / 4, 0) for metres in range(2000)))
    for north in (100.1, 250.0, 333.3):
        assert near(road, (north, 20), 45) == [(20, pytest.approx(north, abs=0.2))]


@pytest.mark.parametrize("side", [1, -1])
def test_the_end_of_a_long_segment_belongs_to_its_block(side):
    """64 segments that lead past the place 500 m aside, and one in the second block that ends there."""
    road = line(*((0, side * (11_000 - 11_000 * i / 64)) for i in range(65)), (500, side * 10_000))
    longitude, latitude = place((500, side * 10_000))
    nearest = road.passages(latitude, longitude, 0.0)[0]
    assert nearest.aside_m == pytest.approx(0, abs=0.01) and nearest.segment == 64


def walk(seed: int, count: int, longitude: float, latitude: float) -> list[tuple[float, float]]:
    """A road of up to 60 m a segment that turns as it likes."""
    dice = random.Random(seed)
    course, points = 0.0, [(longitude, latitude)]
    for _ in range(count):
        course += dice.uniform(-0.8, 0.8)
        step = dice.uniform(0, 60) / DEGREE_M
        latitude = min(90.0, max(-90.0, latitude + step * math.cos(course)))
        longitude += step * math.sin(course) / max(0.01, math.cos(math.radians(latitude)))
        points.append((math.remainder(longitude, 360.0), latitude))
    return points


@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 400),
    start=st.sampled_from([(24.9, 60.0), (-0.01, 0.0), (179.99, -35.0), (-179.99, 60.0), (10.0, 89.9), (0.0, -89.95)]),
    place=st.tuples(st.floats(-0.05, 0.05), st.floats(-0.05, 0.05)),
    at=st.floats(0, 1),
    within=st.floats(0, 500),
)
def test_blocks_leave_out_nothing_that_is_near(seed, count, start, place, at, within):
    """Each segment alone, as a line of its own, against the line in blocks of 64."""
    points = walk(seed, count, *start)
    longitude, latitude = points[round(at * count)]
    longitude, latitude = math.remainder(longitude + place[0], 360.0), min(90.0, max(-90.0, latitude + place[1]))
    road = Line(points)
    nearest, found = road.passages(latitude, longitude, within)
    alone = []
    for index in range(count):
        segment = Line(points[index : index + 2])
        one = segment.passages(latitude, longitude, 0.0)[0]
        alone.append(Passage(one.aside_m, road.at(index) + one.along_m, index, one.between))
    assert nearest.aside_m == pytest.approx(min(alone).aside_m, abs=1e-6)
    assert bool(found) is any(each.aside_m <= within for each in alone)
    if found:
        assert min(found).aside_m == pytest.approx(nearest.aside_m, abs=0.51), "two within half a metre are one"
    for passage in found:
        assert passage.aside_m == pytest.approx(alone[passage.segment].aside_m, abs=1e-6)
        assert passage.along_m == pytest.approx(alone[passage.segment].along_m, abs=1e-4)
    assert [passage.along_m for passage in found] == sorted(passage.along_m for passage in found)
