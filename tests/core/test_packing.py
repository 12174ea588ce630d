"""The packed row: exact enough, fixed in size, and never an exception."""

import struct
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalos_connect_sdk.core.packing import PRESENT_ALL, ROW, accepted_ms_of, pack, unpack
from kalos_connect_sdk.model.position import Datum, Position

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HUGE = 1.7976931348623157e308

optional = lambda low, high: st.none() | st.floats(low, high)  # noqa: E731
positions = st.builds(
    Position,
    st.floats(-90, 90),
    st.floats(-180, 180),
    accuracy_m=optional(0, HUGE),
    speed_mps=optional(0, HUGE),
    course_deg=optional(0, 360),
    altitude_m=optional(-20_000, 10_000_000),
    time=st.just(NOON),
)


def test_a_whole_position_comes_back():
    position = Position(
        60.1699, -24.9384, accuracy_m=4.25, speed_mps=13.889, course_deg=271.5, altitude_m=-12.34, time=NOON
    )
    row = unpack(pack(position, 1_767_268_800.123, 77))
    assert row == (1_767_268_800_123, 77, 60.1699, -24.9384, 4.25, 13.889, 271.5, -12.34)


def test_absent_stays_absent():
    row = unpack(pack(Position(1.0, 2.0, time=NOON), 0.0, 0))
    assert row[4:] == (None, None, None, None)


@pytest.mark.parametrize("name", ["accuracy_m", "speed_mps", "course_deg", "altitude_m"])
def test_each_optional_value_has_a_flag_of_its_own(name):
    row = unpack(pack(Position(1.0, 2.0, time=NOON, **{name: 5.0}), 0.0, 0))
    assert [field for field in ("accuracy_m", "speed_mps", "course_deg", "altitude_m") if getattr(row, field)] == [name]
    assert getattr(row, name) == 5.0


def test_zero_is_present():
    zero = Position(0.0, 0.0, accuracy_m=0, speed_mps=0, course_deg=0, altitude_m=0, time=NOON)
    assert pack(zero, 0.0, 0)[0] == PRESENT_ALL
    assert unpack(pack(zero, 0.0, 0))[4:] == (0.0, 0.0, 0.0, 0.0)


@given(positions, st.floats(), st.integers())
def test_any_position_packs_to_one_size_and_near_itself(position, time_s, accepted_ms):
    packed = pack(position, time_s, accepted_ms)
    row = unpack(packed)
    assert len(packed) == ROW.size
    assert row.latitude == pytest.approx(position.latitude, abs=5.1e-8)
    assert row.longitude == pytest.approx(position.longitude, abs=5.1e-8)
    assert (row.course_deg is None) == (position.course_deg is None)
    assert (row.accuracy_m is None) == (position.accuracy_m is None)
    if position.course_deg is not None:
        assert row.course_deg == pytest.approx(position.course_deg, abs=0.0051)
    if position.altitude_m is not None:
        assert row.altitude_m == pytest.approx(position.altitude_m, abs=0.0051)


def test_an_accuracy_beyond_the_row_is_clamped_to_more_than_the_earth():
    row = unpack(pack(Position(1, 2, accuracy_m=HUGE, speed_mps=3, time=NOON), 5.0, 6))
    assert row.accuracy_m == pytest.approx(42_949_672.95)
    assert (row.speed_mps, row.time_ms, row.accepted_ms) == (3, 5000, 6)


def test_a_speed_beyond_the_row_is_left_out_not_understated():
    row = unpack(pack(Position(1, 2, accuracy_m=4, speed_mps=5e6, time=NOON), 5.0, 6))
    assert (row.speed_mps, row.accuracy_m) == (None, 4)


def test_the_highest_speed_a_row_can_hold_stays():
    row = unpack(pack(Position(1, 2, speed_mps=4_294_967.295, time=NOON), float("inf"), 6))
    assert row.speed_mps == 4_294_967.295


@pytest.mark.parametrize(
    ("time_s", "time_ms"),
    [
        (float("nan"), -62_135_596_800_000),
        (float("-inf"), -62_135_596_800_000),
        (float("inf"), 253_402_300_799_999),
        (-0.0006, -1),
    ],
)
def test_a_time_beyond_the_calendar_is_clamped(time_s, time_ms):
    assert unpack(pack(Position(1, 2, time=NOON), time_s, 0)).time_ms == time_ms


def test_acceptance_is_read_without_unpacking():
    packed = pack(Position(1, 2, time=NOON), 0.0, 123_456_789)
    assert accepted_ms_of(packed) == unpack(packed).accepted_ms == 123_456_789


def test_another_datum_is_packed_as_wgs84():
    beijing = Position(39.915, 116.404, time=NOON)
    assert pack(beijing.to(Datum.BD09), 0.0, 0) == pack(beijing, 0.0, 0)


def test_r10_a_row_shows_nothing():
    assert repr(unpack(pack(Position(12.345678, 98.765432, time=NOON), 0.0, 0))) == "<Row>"


@given(st.binary(max_size=80).filter(lambda data: len(data) != ROW.size))
def test_r10_other_bytes_are_refused_without_being_shown(data):
    with pytest.raises(ValueError, match=r"^not a packed position$") as caught:
        unpack(data)
    assert caught.value.__context__ is None


def test_the_row_is_the_documented_struct():
    assert struct.calcsize("<BqqiiIIHi") == ROW.size == 39
