"""Routes on the wire."""

import json
from datetime import UTC, datetime

import pytest

from kalos_connect_sdk.core.wire import (
    MalformedDocument,
    consent_member,
    parse_route_request,
    route_from_geojson,
    route_request,
    route_to_geojson,
)
from kalos_connect_sdk.model.position import Datum, Place, Position
from kalos_connect_sdk.model.route import Manoeuvre, Route

MEMBER = consent_member("8f0c2a9d6b7e4c1f9a3d5e7b1c2d4f60", 3, "navigation", "precise", "0" * 64)
HERE, THERE = Place(60.1699, 24.9384, name="home"), Place(60.1841, 24.9493)
ROUTE = Route(
    distance_m=2100.5,
    duration_s=300,
    locale="zh-CN",
    line=((24.9384, 60.1699), (24.94, 60.17), (24.9493, 60.1841)),
    manoeuvres=(Manoeuvre("Turn left.", "turn-left", 100, 12.5, 0), Manoeuvre("到达", "arrive", 0, 0, 2)),
    attribution="OpenStreetMap contributors",
)


class TestRequest:
    def test_two_typed_places(self):
        assert route_request(HERE, THERE, "en") == {
            "origin": {"type": "Point", "coordinates": [24.9384, 60.1699]},
            "destination": {"type": "Point", "coordinates": [24.9493, 60.1841]},
            "locale": "en",
        }  # and not the name a person gave the place

    def test_from_the_device(self):
        position = Position(60.1699, 24.9384, time=datetime.now(UTC))
        document = route_request(position, THERE, "en", MEMBER)
        assert document["consent"] == MEMBER
        assert document["origin"]["coordinates"] == [24.9384, 60.1699]

    def test_the_wire_is_wgs84(self):
        beijing = Place(39.915, 116.404)
        document = route_request(beijing.to(Datum.GCJ02), beijing.to(Datum.BD09), "zh-CN")
        assert document["origin"]["coordinates"] == document["destination"]["coordinates"] == [116.404, 39.915]

    def test_r10_a_place_says_no_more_than_seven_decimals(self):
        document = route_request(Place(60.16994446, 24.93844454), THERE, "en")
        assert document["origin"]["coordinates"] == [24.9384445, 60.1699445]

    @pytest.mark.parametrize("consent", [None, MEMBER])
    def test_the_service_reads_it(self, consent):
        request = parse_route_request(json.loads(json.dumps(route_request(HERE, THERE, "zh-Hans-CN", consent))))
        assert (request.origin, request.destination) == (Place(60.1699, 24.9384), THERE)
        assert (request.locale, request.consent) == ("zh-Hans-CN", consent)
        assert "60.1" not in repr(request)  # R10

    def test_the_locale_may_be_missing(self):
        document = route_request(HERE, THERE, "en")
        del document["locale"]
        assert parse_route_request(document).locale == "en"

    @pytest.mark.parametrize(
        "change",
        [
            {"origin": None},
            {"origin": [24.9, 60.1]},
            {"origin": {"type": "Polygon", "coordinates": [24.9, 60.1]}},
            {"origin": {"type": "Point", "coordinates": [24.9, 91]}},
            {"origin": {"type": "Point", "coordinates": [24.9, float("nan")]}},
            {"destination": {"type": "Point", "coordinates": ["24.9", 60]}},
            {"destination": {"type": "Point", "coordinates": [True, 60]}},
            {"destination": {"type": "Point", "coordinates": [60]}},
            {"locale": 5},
            {"locale": "en\r\nX: 1"},
            {"locale": "../../etc"},
            {"consent": {}},
            {"consent": {**MEMBER, "epoch": -1}},
        ],
    )
    def test_malformed(self, change):
        with pytest.raises(MalformedDocument) as caught:
            parse_route_request({**route_request(HERE, THERE, "en"), **change})
        assert caught.value.__context__ is None

    def test_not_an_object(self):
        with pytest.raises(MalformedDocument):
            parse_route_request([])


class TestAnswer:
    def test_there_and_back(self):
        assert route_from_geojson(json.loads(json.dumps(route_to_geojson(ROUTE)))) == ROUTE

    def test_two_points_are_a_line(self):
        document = route_to_geojson(ROUTE)
        document["geometry"]["coordinates"] = [[24.9, 60.1], [24.8, 60.2]]
        document["properties"]["manoeuvres"] = []
        assert route_from_geojson(document).line == ((24.9, 60.1), (24.8, 60.2))

    @pytest.mark.parametrize("read", [route_from_geojson, parse_route_request])
    def test_what_is_not_known_is_ignored_to_eight_levels_and_no_deeper(self, read):
        good = route_request(HERE, THERE, "en") if read is parse_route_request else route_to_geojson(ROUTE)
        unknown = []
        for _ in range(6):
            unknown = [unknown]
        read({**good, "unknown": unknown})
        with pytest.raises(MalformedDocument, match="nested"):
            read({**good, "unknown": [unknown]})

    def test_a_line_may_touch_the_ends_of_the_earth(self):
        document = route_to_geojson(ROUTE)
        document["properties"]["manoeuvres"] = []
        document["geometry"]["coordinates"] = corners = [[-180, -90], [180, 90], [180, -90]]
        assert route_from_geojson(document).line == tuple(map(tuple, corners))

    def test_it_is_geojson(self):
        document = route_to_geojson(ROUTE)
        assert document["type"] == "Feature"
        assert document["geometry"]["type"] == "LineString"
        assert document["geometry"]["coordinates"][0] == [24.9384, 60.1699]
        assert document["properties"]["manoeuvres"][0] == {
            "instruction": "Turn left.",
            "kind": "turn-left",
            "distance_m": 100,
            "duration_s": 12.5,
            "begin_index": 0,
        }

    def test_manoeuvres_and_texts_may_be_missing(self):
        document = route_to_geojson(ROUTE)
        document["properties"] = {"distance_m": 1, "duration_s": 2}
        document["geometry"]["coordinates"][1].append(12.5)
        route = route_from_geojson(document)
        assert (route.manoeuvres, route.locale, route.attribution) == ((), "", "")
        assert route.line == ROUTE.line

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            (("type",), "FeatureCollection"),
            (("geometry",), None),
            (("geometry", "type"), "Point"),
            (("geometry", "coordinates"), None),
            (("geometry", "coordinates"), [[1, 2]]),
            (("geometry", "coordinates", 1), [1, 91]),
            (("geometry", "coordinates", 1), [181, 1]),
            (("geometry", "coordinates", 1), "x"),
            (("geometry", "coordinates"), [[1, 2]] * 200_001),
            (("properties",), None),
            (("properties", "distance_m"), None),
            (("properties", "distance_m"), -1),
            (("properties", "distance_m"), True),
            (("properties", "distance_m"), 10**30),
            (("properties", "duration_s"), float("inf")),
            (("properties", "locale"), 5),
            (("properties", "attribution"), "x" * 2001),
            (("properties", "manoeuvres"), {}),
            (("properties", "manoeuvres"), [{}] * 10_001),
            (("properties", "manoeuvres", 0), "left"),
            (("properties", "manoeuvres", 0, "begin_index"), 3),
            (("properties", "manoeuvres", 0, "begin_index"), -1),
            (("properties", "manoeuvres", 0, "begin_index"), 1.0),
            (("properties", "manoeuvres", 0, "instruction"), "\ud800"),
            (("properties", "manoeuvres", 0, "kind"), None),
            (("properties", "manoeuvres", 0, "distance_m"), "far"),
        ],
    )
    def test_malformed(self, path, value):
        document = json.loads(json.dumps(route_to_geojson(ROUTE)))
        at = document
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = value
        with pytest.raises(MalformedDocument) as caught:
            route_from_geojson(document)
        assert caught.value.__context__ is None
