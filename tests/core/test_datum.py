"""WGS-84, GCJ-02, BD-09: published vectors, an independent library, and the way back.

The library, prcoords (CC0), shares no code with us; ``KALOS_SWEEP=full`` asks it about 200,000 points (docs/approximate.md).
"""

import os
import random
from datetime import UTC, datetime
from math import cos, hypot, radians

import prcoords
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kalos_connect_sdk.core.borders import in_mainland_china
from kalos_connect_sdk.core.datum import convert
from kalos_connect_sdk.model.position import Datum, Place, Position

WGS84, GCJ02, BD09 = Datum.WGS84, Datum.GCJ02, Datum.BD09

# (latitude, longitude) in WGS-84, GCJ-02, BD-09. Made with prcoords 1.0.2.
VECTORS = {
    "Beijing": ((39.9042, 116.4074), (39.905603343165, 116.413642253788), (39.911865335619, 116.420046330298)),
    "Shanghai": ((31.2304, 121.4737), (31.228457737577, 121.478223059277), (31.234310593690, 121.484781468503)),
    "Shenzhen": ((22.5431, 114.0579), (22.540382814222, 114.063013998565), (22.546041559074, 114.069563987033)),
    "Guangzhou": ((23.1291, 113.2644), (23.126423339923, 113.269729592103), (23.132711257239, 113.276150751571)),
    "Chengdu": ((30.5728, 104.0668), (30.570346141080, 104.069305477249), (30.576351856151, 104.075782956833)),
    "on the 105th meridian": ((38.0, 105.0), (38.000469811705, 105.003483847210), (38.006773619446, 105.009855223657)),
    "Urumqi": ((43.8256, 87.6168), (43.826805393111, 87.619649949469), (43.832949794793, 87.626099770816)),
    "Lhasa": ((29.652, 91.1721), (29.649210494174, 91.173567371816), (29.655264156295, 91.180059674929)),
    "Haikou": ((20.044, 110.1999), (20.041885974611, 110.204192394788), (20.047662640588, 110.210735014508)),
    "Harbin": ((45.8038, 126.5349), (45.805781774718, 126.540940717405), (45.811395970118, 126.547559618499)),
    "Kashgar": ((39.4704, 75.9898), (39.470627026038, 75.992754990230), (39.476589909100, 75.999263647056)),
}
# Published: the tests of eviltransform (MIT), in WGS-84 and GCJ-02. It takes 6378137 m for the radius where the formula
# has 6378245 m, hence up to 1.5e-7 degrees, 16 mm.
PUBLISHED = {
    "Shanghai": ((31.1774276, 121.5272106), (31.17530398364597, 121.531541859215)),
    "Shenzhen": ((22.543847, 113.912316), (22.540796131694766, 113.9171764808363)),
    "Beijing": ((39.911954, 116.377817), (39.91334545536069, 116.38404722455657)),
}
OUTSIDE = {
    "Seoul": (37.5665, 126.9780),
    "Hanoi": (21.0278, 105.8342),
    "Hong Kong": (22.2819, 114.1582),
    "Macau": (22.1987, 113.5439),
    "Taipei": (25.0330, 121.5654),
    "Ulaanbaatar": (47.8864, 106.9057),
    "Vladivostok": (43.1155, 131.8855),
    "Helsinki": (60.1699, 24.9384),
    "Sydney": (-33.86, 151.2),
}
everywhere = st.tuples(st.floats(-90, 90), st.floats(-180, 180))
around_china = st.tuples(st.floats(18, 53), st.floats(74, 134))


@pytest.mark.parametrize("name", VECTORS)
def test_forward(name):
    wgs, gcj, baidu = VECTORS[name]
    assert convert(*wgs, WGS84, GCJ02) == pytest.approx(gcj, abs=1e-9)
    assert convert(*wgs, WGS84, BD09) == pytest.approx(baidu, abs=1e-9)
    assert convert(*gcj, GCJ02, BD09) == pytest.approx(baidu, abs=1e-9)


@pytest.mark.parametrize("name", VECTORS)
def test_back_to_a_billionth_of_a_degree(name):
    wgs, gcj, baidu = VECTORS[name]
    assert convert(*gcj, GCJ02, WGS84) == pytest.approx(wgs, abs=1e-9)
    assert convert(*baidu, BD09, WGS84) == pytest.approx(wgs, abs=1e-9)
    assert convert(*baidu, BD09, GCJ02) == pytest.approx(gcj, abs=1e-9)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_vectors(name):
    wgs, gcj = PUBLISHED[name]
    assert convert(*wgs, WGS84, GCJ02) == pytest.approx(gcj, abs=1.5e-7)
    assert convert(*gcj, GCJ02, WGS84) == pytest.approx(wgs, abs=1.5e-7)


def test_the_vector_everyone_publishes():
    """In the README of coordtransform (MIT), and in many a test since."""
    assert convert(39.915, 116.404, WGS84, GCJ02) == pytest.approx(
        (39.91640428150164, 116.41024449916938), abs=1e-12, rel=0
    )
    assert convert(39.915, 116.404, GCJ02, BD09) == pytest.approx(
        (39.92133699351021, 116.41036949371029), abs=1e-12, rel=0
    )


def check_with_the_library(point):
    """Forward to 1e-9 degrees; and what we find on the way back, it takes forward to where we came from."""
    gcj, baidu = prcoords.wgs_gcj(point), prcoords.wgs_bd(point)
    assert convert(*point, WGS84, GCJ02) == pytest.approx(gcj, abs=1e-9)
    assert convert(*point, WGS84, BD09) == pytest.approx(baidu, abs=1e-9)
    assert convert(*gcj, GCJ02, BD09) == pytest.approx(baidu, abs=1e-9)
    assert prcoords.wgs_gcj(convert(*gcj, GCJ02, WGS84)) == pytest.approx(gcj, abs=1e-9)
    assert prcoords.wgs_bd(convert(*baidu, BD09, WGS84)) == pytest.approx(baidu, abs=1e-9)
    assert prcoords.gcj_bd(convert(*baidu, BD09, GCJ02)) == pytest.approx(baidu, abs=1e-9)


@given(around_china)
def test_an_independent_library_says_the_same(point):
    assume(in_mainland_china(*point))
    check_with_the_library(point)


@pytest.mark.once
@pytest.mark.timeout(3600)
def test_an_independent_library_says_the_same_all_over_the_country():
    dice, checked = random.Random(0), 0
    while checked < (200_000 if os.environ.get("KALOS_SWEEP") == "full" else 500):
        point = dice.uniform(18, 53.6), dice.uniform(73, 135)
        if in_mainland_china(*point):
            check_with_the_library(point)
            checked += 1


@given(around_china)
def test_every_way_round_ends_where_it_began(point):
    assume(in_mainland_china(*point))
    gcj, baidu = convert(*point, WGS84, GCJ02), convert(*point, WGS84, BD09)
    assert convert(*gcj, GCJ02, WGS84) == pytest.approx(point, abs=1e-9)
    assert convert(*baidu, BD09, WGS84) == pytest.approx(point, abs=1e-9)
    assert convert(*baidu, BD09, GCJ02) == pytest.approx(gcj, abs=1e-9)
    assert convert(*gcj, GCJ02, BD09) == pytest.approx(baidu, abs=1e-9)


@given(around_china)
def test_the_shift_is_between_10_and_720_metres(point):
    assume(in_mainland_china(*point))
    north, east = (b - a for a, b in zip(point, convert(*point, WGS84, GCJ02), strict=True))
    assert 10 < hypot(north, east * cos(radians(point[0]))) * 111_320 < 720


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("one", Datum)
@pytest.mark.parametrize("other", Datum)
def test_outside_the_mainland_nothing_moves(name, one, other):
    point = OUTSIDE[name]
    assert convert(*point, one, other) == point
    moved = Place(*point, datum=one).to(other)
    assert (moved.latitude, moved.longitude, moved.datum) == (*point, other)


@pytest.mark.parametrize("datum", Datum)
def test_in_the_mainland_too_the_same_datum_is_the_same_pair(datum):
    assert convert(39.915, 116.404, datum, datum) == (39.915, 116.404)


@given(everywhere, st.sampled_from(Datum), st.sampled_from(Datum))
def test_any_point_converts_to_a_point_nearby(point, one, other):
    converted = convert(*point, one, other)
    assert max(abs(a - b) for a, b in zip(point, converted, strict=True)) < 0.02
    assert -90 <= converted[0] <= 90
    assert -180 <= converted[1] <= 180


@pytest.mark.parametrize("make", [Place, Position])
def test_never_converted_twice(make):
    beijing = make(39.915, 116.404)
    shifted = beijing.to(GCJ02)
    assert shifted.datum is GCJ02
    assert shifted.to(GCJ02) is shifted
    assert beijing.to(WGS84) is beijing


@given(around_china, st.sampled_from(Datum), st.lists(st.sampled_from(Datum), max_size=6))
def test_whatever_the_way_from_datum_to_datum_the_end_is_the_same(point, start, way):
    """The tag travels with the pair, so no way converts twice."""
    assume(in_mainland_china(*point))
    first = Place(*point).to(start)
    there = first
    for datum in way:
        there = there.to(datum)
        assert there.datum is datum
    direct = first.to(there.datum)
    assert (there.latitude, there.longitude) == pytest.approx((direct.latitude, direct.longitude), abs=1e-9)


def test_a_position_keeps_everything_else():
    time = datetime(2026, 1, 1, tzinfo=UTC)
    position = Position(39.915, 116.404, accuracy_m=4, speed_mps=3, course_deg=2, altitude_m=1, time=time)
    shifted = position.to(BD09)
    assert (shifted.accuracy_m, shifted.speed_mps, shifted.course_deg, shifted.altitude_m) == (4, 3, 2, 1)
    assert shifted.time == time
