"""R15: approximate location, over the whole globe."""

from datetime import UTC, datetime
from math import cos, hypot, pi, radians, sqrt

import pytest
from globe import area_m2, distance_m
from hypothesis import given
from hypothesis import strategies as st

from kalos_connect_sdk.core.coarsen import HYSTERESIS_M, Coarsener, cell
from kalos_connect_sdk.model.position import Datum, Position

T = datetime(2026, 1, 1, tzinfo=UTC)
latitudes = st.floats(-90, 90) | st.sampled_from([-90.0, 90.0, 0.0, 89.9999999, -89.9999999])
longitudes = st.floats(-180, 180) | st.sampled_from([-180.0, 180.0, 0.0, 179.9999999, -179.9999999])
sides = st.floats(1000, 100_000)


def position(latitude, longitude, **values):
    return Position(latitude, longitude, time=T, **values)


@given(latitudes, longitudes)
def test_r15_a_cell_has_4_km2_at_least_everywhere(latitude, longitude):
    assert 4e6 * 0.9999 <= area_m2(cell(latitude, longitude)) <= 8e6


@given(st.floats(-80, 80), longitudes)
def test_a_cell_is_hardly_larger_than_it_has_to_be(latitude, longitude):
    assert area_m2(cell(latitude, longitude)) <= 4e6 * 1.001


@given(latitudes, longitudes, sides)
def test_r15_no_setting_goes_below_1_km2(latitude, longitude, side_m):
    assert area_m2(cell(latitude, longitude, side_m=side_m)) >= max(1e6, side_m**2) * 0.999


@pytest.mark.parametrize("side_m", [999.9, 0, -1, 100_001, float("nan"), float("inf")])
def test_r15_a_side_out_of_bounds_is_refused(side_m):
    with pytest.raises(ValueError, match="side_m"):
        Coarsener(side_m)


@given(latitudes, longitudes, sides)
def test_a_cell_holds_its_point_and_its_centre_is_a_point(latitude, longitude, side_m):
    found = cell(latitude, longitude, side_m=side_m)
    assert found.outside_m(latitude, longitude) < 1e-3
    assert -90 < found.latitude < 90
    assert -180 <= found.longitude < 180
    assert cell(found.latitude, found.longitude, side_m=side_m) == found


@given(latitudes, longitudes, st.floats(-0.999, 0.999), st.floats(-0.999, 0.999))
def test_r15_moving_inside_a_cell_changes_nothing(latitude, longitude, up, right):
    found = cell(latitude, longitude)
    other = position(
        found.latitude + up * found.half_height_deg,
        max(-180.0, min(180.0, found.longitude + right * found.half_width_deg)),
    )
    assert Coarsener().apply(other) == Coarsener().apply(position(latitude, longitude))


@given(latitudes, longitudes, longitudes)
def test_r15_latitude_and_longitude_do_not_tell_of_each_other(latitude, longitude, other_longitude):
    one, other = cell(latitude, longitude), cell(latitude, other_longitude)
    assert (one.latitude, one.half_width_deg) == (other.latitude, other.half_width_deg)


@given(latitudes, longitudes, st.none() | st.floats(0, 1e6))
def test_r15_accuracy_covers_the_cell_and_the_input(latitude, longitude, accuracy_m):
    found = Coarsener().apply(position(latitude, longitude, accuracy_m=accuracy_m))
    assert found.accuracy_m >= (accuracy_m or 0)
    assert found.accuracy_m >= sqrt(area_m2(cell(latitude, longitude))) / 2
    assert found.accuracy_m >= distance_m((latitude, longitude), (found.latitude, found.longitude))


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_r15_accuracy_comes_in_few_steps(one, other):
    answers = {Coarsener().apply(position(48.1, 11.5, accuracy_m=value)).accuracy_m for value in (one, other)}
    assert all((answer / 1500).is_integer() or (answer / 1600).is_integer() for answer in answers)
    if max(one, other) <= 1500:
        assert len(answers) == 1


def test_r15_an_accuracy_the_cell_just_covers_is_not_doubled():
    reach_m = cell(48.1, 11.5).reach_m
    for accuracy_m, answer in ((reach_m, reach_m), (reach_m + 0.1, 2 * reach_m), (2 * reach_m, 2 * reach_m)):
        assert Coarsener().apply(position(48.1, 11.5, accuracy_m=accuracy_m)).accuracy_m == answer


def test_r15_speed_course_and_altitude_are_dropped():
    found = Coarsener().apply(position(48.1, 11.5, accuracy_m=3, speed_mps=13, course_deg=90, altitude_m=520))
    assert (found.speed_mps, found.course_deg, found.altitude_m) == (None, None, None)
    assert found.time == T


def test_another_datum_is_coarsened_as_wgs84():
    beijing = position(39.915, 116.404)
    found = Coarsener().apply(beijing.to(Datum.GCJ02))
    assert found.datum is Datum.WGS84
    assert found == Coarsener().apply(beijing)


@given(st.floats(-89, 89), longitudes, st.lists(st.tuples(st.floats(-20, 20), st.floats(-20, 20)), max_size=20))
def test_r15_jitter_on_a_border_does_not_flip_cells(latitude, longitude, jitter):
    """On a corner of a cell, where jitter would flip between four."""
    found = cell(latitude, longitude)
    south, west = found.latitude - found.half_height_deg, found.longitude - found.half_width_deg
    coarsener = Coarsener()
    answers = set()
    for north_m, east_m in jitter:
        at = (south + north_m / 111_000, west + east_m / 111_000 / cos(radians(latitude)))
        answer = coarsener.apply(position(max(-90.0, min(90.0, at[0])), max(-180.0, min(180.0, at[1]))))
        answers.add((answer.latitude, answer.longitude))
    assert len(answers) <= 1


@pytest.mark.parametrize(("beyond_m", "flips"), [(HYSTERESIS_M - 5, False), (HYSTERESIS_M + 5, True)])
@pytest.mark.parametrize("direction", ["north", "south", "east", "west"])
@pytest.mark.parametrize("at", [(48.1, 11.5), (0.001, 179.9999), (-33.9, -180.0), (85.0, 0.0)])
def test_r15_a_cell_is_left_by_more_than_the_hysteresis(at, direction, beyond_m, flips):
    coarsener = Coarsener()
    found = cell(*at)
    before = coarsener.apply(position(found.latitude, found.longitude))
    latitude, longitude = found.latitude, found.longitude
    sign = 1 if direction in ("north", "east") else -1
    if direction in ("north", "south"):
        latitude += sign * (found.half_height_deg + beyond_m / 110_574)
    else:
        longitude += sign * (found.half_width_deg + beyond_m / 110_574 / cos(radians(latitude)))
        longitude = (longitude + 180) % 360 - 180
    after = coarsener.apply(position(latitude, longitude))
    assert (after != before) == flips
    if not flips:
        assert after.accuracy_m >= distance_m((latitude, longitude), (after.latitude, after.longitude))


def test_r15_averaging_repeats_does_not_beat_the_cell():
    coarsener = Coarsener()
    answers = {
        (answer.latitude, answer.longitude)
        for step in range(2000)
        for answer in [coarsener.apply(position(48.1 + step % 7 * 1e-5, 11.5 - step % 11 * 1e-5))]
    }
    assert len(answers) == 1


def test_the_antimeridian_is_one_line():
    assert cell(10.0, 180.0) == cell(10.0, -180.0)
    here = cell(10.0, 179.999999)
    assert here.outside_m(10.0, -179.999999) < 1


@given(longitudes)
def test_the_poles_hold(longitude):
    for latitude in (90.0, -90.0):
        found = Coarsener().apply(position(latitude, longitude))
        assert distance_m((latitude, longitude), (found.latitude, found.longitude)) <= found.accuracy_m
        assert abs(found.latitude) > 89.98


def test_r15_too_fine_grids_are_what_we_do_not_do():
    """Two decimals near the poles, geohash-6 and H3-8 were measured as too fine; so is any cell below 1 km2."""
    two_decimals = 0.01 * 111_320 * 0.01 * 111_320 * cos(radians(60))
    assert two_decimals < 1e6 < 4 * 1e6 <= area_m2(cell(60.0, 25.0)) * 1.0001
    assert hypot(1, 1) * sqrt(0.9989e6 / pi) < cell(60.0, 25.0).reach_m


def test_r10_a_cell_shows_nothing():
    coarsener = Coarsener()
    coarsener.apply(position(12.345678, 98.765432))
    assert repr(cell(12.345678, 98.765432)) == "<Cell>"
    assert "12.3" not in repr(coarsener)
