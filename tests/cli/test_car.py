"""The simulated car: repeatable, physically possible, near its route, and well-formed NMEA."""

from __future__ import annotations

import io
import math
import re
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalos_connect_sdk.cli.car import drive_along, sentences, write_drive
from kalos_connect_sdk.cli.sketch import sketch

CITY = ((24.9497, 60.1782), (24.9480, 60.1750), (24.9400, 60.1745), (24.9395, 60.1700), (24.9379, 60.1661))
START = datetime(2026, 5, 1, 23, 59, 45, tzinfo=UTC)
METRES = math.radians(1) * 6_371_008.8


def apart_m(a: tuple[float, float], b: tuple[float, float]) -> float:
    return math.hypot((b[0] - a[0]) * math.cos(math.radians(a[1])), b[1] - a[1]) * METRES


def test_the_same_seed_drives_the_same_drive() -> None:
    assert drive_along(CITY, seed=7) == drive_along(CITY, seed=7)
    assert drive_along(CITY, seed=7) != drive_along(CITY, seed=8)


def test_speeds_are_those_of_a_car_in_a_city() -> None:
    fixes = drive_along(CITY)
    assert fixes[0].speed_mps == fixes[-1].speed_mps == 0
    assert 9 < max(fix.speed_mps for fix in fixes) <= 11.5
    assert all(abs(b.speed_mps - a.speed_mps) < 3.5 for a, b in pairwise(fixes[:-1]))
    assert any(fix.speed_mps <= 6 for fix in fixes[20:-20]), "it slows down for corners"


def test_the_receiver_is_a_few_metres_off() -> None:
    straight = ((24.90, 60.17), (25.10, 60.17))
    off = [abs(fix.latitude - 60.17) * METRES for fix in drive_along(straight)]
    assert 1.0 < sum(off) / len(off) < 5.0
    assert max(off) < 20


def test_it_begins_and_ends_where_the_route_does() -> None:
    fixes = drive_along(CITY)
    assert apart_m((fixes[0].longitude, fixes[0].latitude), CITY[0]) < 15
    assert apart_m((fixes[-1].longitude, fixes[-1].latitude), CITY[-1]) < 15


def test_sentences_carry_checksum_time_and_place() -> None:
    fixes = drive_along(((-0.5, -33.9), (-0.499, -33.899)))
    lines = list(sentences(fixes, START))
    assert len(lines) == 2 * len(fixes)
    for line in lines:
        body, _, checksum = line[1:].partition("*")
        wanted = 0
        for letter in body:
            wanted ^= ord(letter)
        assert f"{wanted:02X}" == checksum
    assert re.match(r"\$GPRMC,235945\.00,A,33\d\d\.\d{5},S,000\d\d\.\d{5},W,0\.00,\d+\.\d,010526,,,A\*", lines[0])
    assert lines[1].startswith("$GPGGA,235945.00,33")
    assert ",020526,,,A*" in lines[-2], "the date turns at midnight"


def test_minutes_never_round_up_to_sixty() -> None:
    fixes = drive_along(((10.9999999999, 59.9999999999), (11.0, 60.0)))
    assert not re.search(r",\d*60\.00000,", "\n".join(sentences(fixes, START)))


def test_a_file_has_every_position() -> None:
    stream = io.StringIO()
    assert write_drive(stream, CITY, START) == stream.getvalue().count("GPRMC")


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(24.90, 24.92), st.floats(60.16, 60.17)),
        min_size=1,
        max_size=6,
    )
)
def test_any_line_can_be_driven_and_drawn(line: list[tuple[float, float]]) -> None:
    fixes = drive_along(line)
    assert [fix.second for fix in fixes] == list(range(len(fixes)))
    drawn = sketch(line)
    assert len(drawn) <= 12
    assert all(len(row) <= 44 for row in drawn)


def test_a_drawing_marks_both_ends_with_north_up() -> None:
    drawn = sketch(((24.0, 60.0), (24.01, 60.005)))
    assert drawn[0].endswith("B")
    assert drawn[-1].startswith("A")
    assert sketch(((24.0, 60.0),)) == []


@pytest.mark.parametrize(
    "line", [((24.0, 60.0), (24.0, 60.0)), ((24.0, 60.0), (24.0, 60.1)), ((24.0, 60.0), (24.1, 60.0))]
)
def test_lines_without_width_or_height_are_drawn(line: tuple[tuple[float, float], ...]) -> None:
    assert "B" in "".join(sketch(line))
