"""Through ``Connect.route`` to a stand-in for AMap and back: our datum on one side, an independent one on the other."""

from __future__ import annotations

import json
from importlib.util import find_spec
from itertools import groupby
from math import cos, hypot, radians, sin

import pytest
from amap_stand_in import KEY, AMapStandIn, as_it_is
from provider_stand_in import ProviderStandIn

from kalos_connect_sdk import Manoeuvre, Place, Position, Route, ServiceRefused
from kalos_connect_sdk.core.wire import route_from_geojson, route_to_geojson
from kalos_connect_sdk.navigation import AMap
from kalos_connect_sdk.navigation.instructions import catalogue

BEIJING = (Place(39.9042, 116.4074), Place(39.9742, 116.3174))
CITIES = {
    "Beijing": BEIJING,
    "Shenzhen, at the border": (Place(22.5431, 114.0579), Place(22.5550, 114.1100)),
    "Kashgar": (Place(39.4704, 75.9898), Place(39.5000, 76.0500)),
}


class Winding:
    """A way of 400 points between two places, as no engine has a map for here."""

    def route(self, origin: Place, destination: Place, locale: str) -> Route:
        line = []
        for index in range(400):
            part = index / 399
            bend = 0.002 * sin(part * 25) * (part < 1)
            line.append(
                (
                    origin.longitude + (destination.longitude - origin.longitude) * part + bend,
                    origin.latitude + (destination.latitude - origin.latitude) * part,
                )
            )
        kinds = ["depart", "left", "slight-right", "roundabout", "roundabout-exit", "arrive"]
        begins = [0, 80, 160, 240, 320, 399]
        words = catalogue(locale)
        turns = [Manoeuvre(words.say(k), k, 500.0, 60.0, b) for k, b in zip(kinds, begins, strict=True)]
        return Route(2500.0, 300.0, words.locale, tuple(line), tuple(turns))


def metres(a: tuple[float, float], b: tuple[float, float]) -> float:
    return hypot((a[0] - b[0]) * cos(radians(a[1])), a[1] - b[1]) * 111_195


def same_line(found: Route, wanted) -> None:
    """Within a metre, and a millionth of a degree: what the six decimals of the format leave."""
    assert len(found.line) == len(wanted)
    for one, other in zip(found.line, wanted, strict=True):
        assert metres(one, other) < 1.0
        assert abs(one[0] - other[0]) <= 1.0e-6 and abs(one[1] - other[1]) <= 1.0e-6


@pytest.fixture
def asked(make):
    """A route from a typed origin, through a stand-in with this engine."""

    def ask(stand_in: AMapStandIn, origin: Place, to: Place, locale: str = "zh-CN", key: str = KEY) -> Route:
        with ProviderStandIn(stand_in) as server:
            return make(navigation=AMap(key, url=server.url)).route(to, origin=origin, locale=locale)

    return ask


@pytest.mark.parametrize("city", CITIES)
def test_the_line_comes_back_in_wgs84(asked, city):
    stand_in = AMapStandIn(Winding())
    route = asked(stand_in, *CITIES[city])
    same_line(route, stand_in.line)
    for end, place in zip((stand_in.line[0], stand_in.line[-1]), CITIES[city], strict=True):
        assert metres(end, (place.longitude, place.latitude)) < 1.0, "both places arrived where they are"
    assert [manoeuvre.kind for manoeuvre in route.manoeuvres] == stand_in.kinds
    assert [manoeuvre.begin_index for manoeuvre in route.manoeuvres] == [0, 80, 160, 240, 320, 399]
    assert route.locale == "zh-CN" and route.manoeuvres[1].instruction == "左转，进入长安街。"
    assert route_from_geojson(json.loads(json.dumps(route_to_geojson(route)))) == route


def test_it_would_be_hundreds_of_metres_off_without_the_datum(asked):
    """The control: the same with a stand-in that speaks WGS-84 is not the same line."""
    stand_in = AMapStandIn(Winding(), as_it_is)
    route = asked(stand_in, *BEIJING)
    assert 300 < metres(route.line[200], stand_in.line[200]) < 700


@pytest.mark.parametrize("place", [(22.2819, 114.1582), (37.5665, 126.9780), (25.0330, 121.5654)])
def test_outside_the_mainland_nothing_is_moved(asked, place):
    stand_in = AMapStandIn(Winding(), as_it_is)
    there = Place(place[0] + 0.01, place[1] + 0.01)
    same_line(asked(stand_in, Place(*place), there), stand_in.line)


def test_the_devices_own_position_is_moved_once(make):
    stand_in = AMapStandIn(Winding())
    with ProviderStandIn(stand_in) as server:
        connect = make(navigation=AMap(KEY, url=server.url))
        assert connect.request_permission(user_action=True).granted
        assert connect.submit(Position(BEIJING[0].latitude, BEIJING[0].longitude)).accepted
        route = connect.route(BEIJING[1], locale="en")
    assert metres(stand_in.line[0], (BEIJING[0].longitude, BEIJING[0].latitude)) < 1.0
    same_line(route, stand_in.line)


@pytest.mark.skipif(find_spec("valhalla") is None, reason="Valhalla is not installed")
def test_a_real_way_through_a_real_map_in_amaps_words(asked):
    from kalos_connect_sdk.service.valhalla import EmbeddedValhalla

    stand_in = AMapStandIn(EmbeddedValhalla(), as_it_is)
    route = asked(stand_in, Place(60.1745, 24.9525), Place(60.1690, 24.9365))
    same_line(route, [point for point, _ in groupby(stand_in.line)])
    assert [m.kind for m in route.manoeuvres][:-1] == stand_in.kinds[:-1]
    assert route.manoeuvres[-1].kind == "arrive", "AMap does not say on which side"


def test_a_key_that_is_refused_is_told_by_its_code(asked):
    with pytest.raises(ServiceRefused) as caught:
        asked(AMapStandIn(Winding()), *BEIJING, key="f" * 32)
    assert caught.value.problem["code"] == "10001" and "fff" not in str(caught.value.problem)
