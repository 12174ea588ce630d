"""The routing engine over the real map, embedded and as a service."""

from __future__ import annotations

import http.server
import json
import math
import os
import tempfile
import threading
from pathlib import Path

import pytest

from kalos_connect_sdk.core.wire import route_from_geojson, route_to_geojson
from kalos_connect_sdk.model.position import Place
from kalos_connect_sdk.navigation.instructions import KINDS
from kalos_connect_sdk.navigation.valhalla import _KINDS
from kalos_connect_sdk.service.engine import EngineUnavailable, NoRoute, StraightLine
from kalos_connect_sdk.service.valhalla import HELSINKI, EmbeddedValhalla, HttpValhalla

valhalla = pytest.importorskip("valhalla")

KRUUNUNHAKA = Place(60.1745, 24.9525)
KAMPPI = Place(60.1690, 24.9365)
BEYOND = Place(48.1, 11.5)


@pytest.fixture(scope="module")
def embedded():
    return EmbeddedValhalla()


@pytest.fixture(scope="module")
def remote(embedded):
    """A Valhalla service: HTTP around the real engine, with its status codes."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
            mode = self.path.removesuffix("/route").strip("/")
            status, body, headers = 200, b"", {}
            if mode == "moved":
                status, headers = 307, {"Location": "http://127.0.0.1:1/route"}
            elif mode == "odd":
                body = b"<html>"
            elif mode == "empty":
                body = b"[]"
            elif mode == "broken":
                status, body = 500, b"{}"
            else:
                try:
                    body = embedded._actor.route(asked).encode()
                except RuntimeError:
                    status, body = 400, b'{"error_code":171,"error":"No suitable edges near location"}'
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(params=["embedded", "http"])
def engine(request, embedded, remote):
    return embedded if request.param == "embedded" else HttpValhalla(remote + "/")


def test_a_route_through_helsinki(engine):
    route = engine.route(KRUUNUNHAKA, KAMPPI, "en")
    assert 1800 < route.distance_m < 2600 and 200 < route.duration_s < 500
    assert "OpenStreetMap" in route.attribution and "ODbL" in route.attribution
    kinds = [manoeuvre.kind for manoeuvre in route.manoeuvres]
    assert 8 <= len(kinds) <= 15 and kinds[0] == "depart" and kinds[-1].startswith("arrive")
    assert any("Unioninkatu" in manoeuvre.instruction for manoeuvre in route.manoeuvres)
    indices = [manoeuvre.begin_index for manoeuvre in route.manoeuvres]
    assert indices == sorted(indices) and indices[-1] == len(route.line) - 1
    assert sum(manoeuvre.distance_m for manoeuvre in route.manoeuvres) == pytest.approx(route.distance_m, abs=20)
    for (longitude, latitude), place in ((route.line[0], KRUUNUNHAKA), (route.line[-1], KAMPPI)):
        assert math.hypot((longitude - place.longitude) / 2, latitude - place.latitude) < 0.002


def test_the_same_way_in_two_languages(engine):
    english, chinese = (engine.route(KRUUNUNHAKA, KAMPPI, locale) for locale in ("en-GB", "zh_CN"))
    assert (english.locale, chinese.locale) == ("en", "zh-CN")
    assert english.line == chinese.line
    assert [m.kind for m in english.manoeuvres] == [m.kind for m in chinese.manoeuvres]
    assert chinese.manoeuvres[-1].instruction.startswith("您已到达")


def test_other_languages_come_from_the_engine_and_unknown_ones_are_english(engine):
    finnish = engine.route(KRUUNUNHAKA, KAMPPI, "fi-FI")
    assert finnish.locale == "fi-FI" and "Käänny" in finnish.manoeuvres[1].instruction
    unknown = engine.route(KRUUNUNHAKA, KAMPPI, "zh-TW")
    assert unknown.locale == "en" and unknown.manoeuvres[1].instruction.startswith("Turn")


def test_off_the_map_there_is_no_way_and_nothing_is_said_about_where(engine):
    with pytest.raises(NoRoute) as caught:
        engine.route(KAMPPI, BEYOND, "en")
    error = caught.value
    assert "48.1" not in str(error) and error.__context__ is None and error.__cause__ is None


def test_from_a_place_to_itself(engine):
    route = engine.route(KAMPPI, KAMPPI, "en")
    assert route.distance_m == 0 and len(route.line) >= 2
    assert route_from_geojson(route_to_geojson(route)) == route


def test_a_route_survives_the_wire(engine):
    route = engine.route(KRUUNUNHAKA, KAMPPI, "zh-CN")
    assert route_from_geojson(json.loads(json.dumps(route_to_geojson(route)))) == route


@pytest.mark.parametrize("mode", ["moved", "odd", "empty", "broken"])
def test_a_service_that_does_not_answer_as_it_should_is_unavailable(remote, mode):
    with pytest.raises(EngineUnavailable) as caught:
        HttpValhalla(f"{remote}/{mode}").route(KAMPPI, KRUUNUNHAKA, "en")
    assert caught.value.__context__ is None


def test_a_service_that_is_not_there_is_unavailable():
    with pytest.raises(EngineUnavailable):
        HttpValhalla("http://127.0.0.1:9", timeout_s=2).route(KAMPPI, KRUUNUNHAKA, "en")


def test_the_embedded_engine_prints_nothing_and_leaves_no_file(capfd, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    engine = EmbeddedValhalla(os.path.relpath(HELSINKI))
    engine.route(KRUUNUNHAKA, KAMPPI, "en")
    with pytest.raises(NoRoute):
        engine.route(KAMPPI, BEYOND, "en")
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_many_threads_may_ask_at_once(embedded):
    wanted = {locale: embedded.route(KRUUNUNHAKA, KAMPPI, locale) for locale in ("en", "zh-CN", "fi-FI")}
    wrong = []

    def ask(locale):
        wrong.extend(1 for _ in range(15) if embedded.route(KRUUNUNHAKA, KAMPPI, locale) != wanted[locale])

    threads = [threading.Thread(target=ask, args=(locale,)) for locale in [*wanted] * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_tiles_that_are_missing_are_said(tmp_path):
    with pytest.raises(EngineUnavailable, match="tiles"):
        EmbeddedValhalla(tmp_path / "nothing.tar")


def test_without_valhalla_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "valhalla", None)
    with pytest.raises(EngineUnavailable, match="pip install"):
        EmbeddedValhalla()


def test_the_map_says_whose_it_is():
    assert "ODbL" in (HELSINKI.parent / "README.md").read_text(encoding="utf-8")
    assert Path(HELSINKI).stat().st_size < 1_000_000


def test_every_manoeuvre_of_the_engine_has_a_kind_with_a_sentence():
    assert set(_KINDS.values()) <= KINDS


def test_as_the_crow_flies_is_the_great_circle():
    def metres(a, b):
        return StraightLine().route(a, b, "en").distance_m

    quarter = math.pi / 2 * 6_371_008.8
    assert metres(Place(0, 0), Place(90, 0)) == pytest.approx(quarter)
    assert metres(Place(0, 179.5), Place(0, -179.5)) == pytest.approx(quarter / 90)
    assert metres(Place(60, 10), Place(-60, -170)) == pytest.approx(2 * quarter)
    assert metres(Place(60, 10), Place(60, 10)) == 0
