"""R16 and the datums stand on this polygon: cities on either side of every border that matters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalos_connect_sdk.core.borders import _bands, _rings, in_mainland_china, near_mainland_china

INSIDE = {
    "Beijing": (39.9042, 116.4074),
    "Shanghai": (31.2304, 121.4737),
    "Shenzhen": (22.5431, 114.0579),
    "Luohu": (22.5446, 114.1230),
    "Shekou": (22.4780, 113.9140),
    "Zhuhai": (22.2707, 113.5767),
    "Gongbei": (22.2236, 113.5487),
    "Hengqin": (22.1256, 113.5393),
    "Urumqi": (43.8256, 87.6168),
    "Kashgar": (39.4704, 75.9898),
    "Lhasa": (29.6520, 91.1721),
    "Haikou": (20.0440, 110.1999),
    "Sanya": (18.2528, 109.5119),
    "Qiongzhou Strait ferry": (20.15, 110.15),
    "Xiamen": (24.4798, 118.0894),
    "Pingtan": (25.5000, 119.7900),
    "Hangzhou Bay Bridge": (30.45, 121.13),
    "Zhoushan": (29.985, 122.207),
    "Harbin": (45.8038, 126.5349),
    "Mohe": (52.972, 122.539),
    "Fuyuan": (48.362, 134.309),
    "Heihe": (50.2453, 127.4890),
    "Dandong": (40.1290, 124.3947),
    "Hunchun": (42.8625, 130.3660),
    "Manzhouli": (49.5979, 117.3787),
    "Erenhot": (43.6527, 111.9775),
    "Hekou": (22.5285, 103.9392),
    "Dongxing": (21.5470, 107.9720),
    "Ruili": (24.0128, 97.8522),
}
OUTSIDE = {
    "Hong Kong Central": (22.2819, 114.1582),
    "Kowloon": (22.3193, 114.1694),
    "Yuen Long": (22.4445, 114.0222),
    "Sheung Shui": (22.5010, 114.1280),
    "Hong Kong airport": (22.3080, 113.9185),
    "Cheung Chau": (22.2080, 114.0290),
    "Macau": (22.1987, 113.5439),
    "Taipa": (22.1560, 113.5570),
    "Coloane": (22.1170, 113.5560),
    "Taipei": (25.0330, 121.5654),
    "Kaohsiung": (22.6273, 120.3014),
    "Kinmen": (24.4370, 118.3170),
    "Matsu": (26.1600, 119.9500),
    "Seoul": (37.5665, 126.9780),
    "Pyongyang": (39.0200, 125.7500),
    "Sinuiju": (40.0860, 124.4000),
    "Vladivostok": (43.1155, 131.8855),
    "Khabarovsk": (48.4827, 135.0838),
    "Blagoveshchensk": (50.2796, 127.5405),
    "Zabaykalsk": (49.6510, 117.3270),
    "Ulaanbaatar": (47.8864, 106.9057),
    "Zamyn-Uud": (43.7170, 111.9010),
    "Almaty": (43.2220, 76.8512),
    "Bishkek": (42.8700, 74.5700),
    "Leh": (34.1526, 77.5771),
    "Kathmandu": (27.7172, 85.3240),
    "Thimphu": (27.4728, 89.6390),
    "Hanoi": (21.0278, 105.8342),
    "Lao Cai": (22.4856, 103.9707),
    "Vientiane": (17.9700, 102.6300),
    "Fukuoka": (33.5900, 130.4000),
    "Jeju": (33.4996, 126.5312),
    "Okinawa": (26.2124, 127.6809),
    "Manila": (14.6000, 121.0000),
    "Helsinki": (60.1699, 24.9384),
    "the same latitude as Beijing, in America": (39.9042, -116.4074),
    "the same longitude as Beijing, in Australia": (-31.95, 116.4074),
}


@pytest.mark.parametrize("name", INSIDE)
def test_inside(name):
    assert in_mainland_china(*INSIDE[name])


@pytest.mark.parametrize("name", OUTSIDE)
def test_outside(name):
    assert not in_mainland_china(*OUTSIDE[name])


def test_near_is_the_box_and_a_tenth_of_a_degree_around_it():
    for latitude, longitude in ((39.9, 116.4), (14.95, 100.0), (54.05, 100.0), (30.0, 72.95), (30.0, 136.05)):
        assert near_mainland_china(latitude, longitude)
    for latitude, longitude in ((14.85, 100.0), (54.15, 100.0), (30.0, 72.85), (30.0, 136.15), (-31.95, 116.4)):
        assert not near_mainland_china(latitude, longitude)


@pytest.mark.once
@given(st.floats(-90, 90), st.floats(-180, 180))
def test_it_answers_as_counting_every_side_does(latitude, longitude):
    crossings = 0
    for ring in _rings():
        for (x1, y1), (x2, y2) in zip(ring, ring[1:] + ring[:1], strict=True):
            if (y1 <= latitude) != (y2 <= latitude):
                low, high = ((x1, y1), (x2, y2)) if y1 < y2 else ((x2, y2), (x1, y1))
                slope = (high[0] - low[0]) / (high[1] - low[1])
                crossings += longitude < low[0] + (latitude - low[1]) * slope
    assert in_mainland_china(latitude, longitude) == bool(crossings % 2)


@pytest.mark.once
@given(st.floats(17, 54), st.floats(73, 136))
def test_it_answers_so_in_the_country_and_around_it_too(latitude, longitude):
    test_it_answers_as_counting_every_side_does.hypothesis.inner_test(latitude, longitude)


def test_the_outline_is_whole():
    rings = _rings()
    assert (len(rings), sum(map(len, rings))) == (9, 2075)
    area = 0.0
    for ring in rings:
        area += abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(ring, ring[1:] + ring[:1], strict=True))) / 2
    assert area == pytest.approx(968, abs=1)  # square degrees, the sea included


def test_the_bounds_hold_every_point():
    assert all(73.0 < x < 136.0 and 15.0 < y < 54.0 for ring in _rings() for x, y in ring)
    assert max(map(len, _bands())) < 100  # or the answer is no longer quick
