"""Answers that the real daemons gave, recorded: read on every interpreter. ``recorded/README.md`` says where from."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from kalos_connect_sdk import ServiceRefused
from kalos_connect_sdk.core.wire import route_from_geojson, route_to_geojson
from kalos_connect_sdk.navigation import Osrm, Valhalla
from kalos_connect_sdk.navigation.instructions import CATALOGUES, KINDS, catalogue

FOLDER = Path(__file__).parent / "recorded"
FILES = sorted(FOLDER.glob("*.json"))
PROVIDERS = {"valhalla": Valhalla("http://127.0.0.1:1"), "osrm": Osrm("http://127.0.0.1:1")}
WAYS = [path for path in FILES if json.loads(path.read_text("utf-8"))["status"] == 200]


def recorded(path: Path) -> dict:
    return json.loads(path.read_text("utf-8"))


def read(path: Path, locale: str | None = None):
    kept = recorded(path)
    provider = PROVIDERS[path.name.partition("-")[0]]
    body = json.dumps(kept["answer"], ensure_ascii=False).encode()
    return provider.answer(kept["status"], {}, body, locale or kept["locale"])


def metres(a: tuple[float, float], b: tuple[float, float]) -> float:
    from math import cos, hypot, radians

    return hypot((a[0] - b[0]) * cos(radians(a[1])), a[1] - b[1]) * 111_195


@pytest.mark.parametrize("path", WAYS, ids=lambda path: path.stem)
def test_a_recorded_way_is_a_whole_route(path):
    kept, route = recorded(path), read(path)
    assert route_from_geojson(json.loads(json.dumps(route_to_geojson(route)))) == route, "it survives our own wire"
    begins = [manoeuvre.begin_index for manoeuvre in route.manoeuvres]
    assert begins[0] == 0 and begins == sorted(begins) and begins[-1] == len(route.line) - 1
    assert route.manoeuvres[0].kind == "depart" and route.manoeuvres[-1].kind.startswith("arrive")
    for end, place in ((route.line[0], kept["from"]), (route.line[-1], kept["to"])):
        assert metres(end, (place[1], place[0])) < 2100, "as far as a place is snapped"
    walked = sum(metres(a, b) for a, b in zip(route.line, route.line[1:], strict=False))
    assert walked == pytest.approx(route.distance_m, rel=0.01, abs=5), "the line is as long as is said"
    assert sum(m.distance_m for m in route.manoeuvres) == pytest.approx(route.distance_m, rel=0.01, abs=10)
    assert sum(m.duration_s for m in route.manoeuvres) == pytest.approx(route.duration_s, rel=0.02, abs=5)
    assert "OpenStreetMap" in route.attribution
    assert all(manoeuvre.instruction and manoeuvre.kind in KINDS for manoeuvre in route.manoeuvres)


def test_each_manoeuvre_begins_where_the_engine_says():
    for path in WAYS:
        kept, route = recorded(path), read(path)
        if path.name.startswith("osrm"):
            said = [s["maneuver"]["location"] for s in kept["answer"]["routes"][0]["legs"][0]["steps"]]
            for manoeuvre, place in zip(route.manoeuvres, said, strict=True):
                assert metres(route.line[manoeuvre.begin_index], tuple(place)) < 0.5
        else:
            said = [m["begin_shape_index"] for m in kept["answer"]["trip"]["legs"][0]["maneuvers"]]
            assert [manoeuvre.begin_index for manoeuvre in route.manoeuvres] == said


@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize("why", ["off-the-map", "not-connected"])
def test_no_way_is_the_problem_that_our_service_has_for_it(name, why):
    with pytest.raises(ServiceRefused) as caught:
        read(FOLDER / f"{name}-{why}.json")
    problem = caught.value.problem
    assert problem["status"] == 422 and problem["type"].endswith("/no-route")
    assert caught.value.__context__ is None and not {"error", "message"} & set(problem)


FOUND = {
    "valhalla": KINDS - {"merge", "merge-left", "merge-right", "roundabout-uncounted"},
    "osrm": {
        "depart", "arrive", "arrive-left", "arrive-right", "continue", "left", "right", "slight-left", "slight-right",
        "sharp-left", "sharp-right", "u-turn", "keep-left", "keep-right", "roundabout", "roundabout-exit",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", PROVIDERS)
def test_the_recordings_hold_the_kinds_that_the_page_says(name):
    ways = [read(path) for path in WAYS if path.name.startswith(name)]
    assert {manoeuvre.kind for route in ways for manoeuvre in route.manoeuvres} == FOUND[name]


@pytest.mark.parametrize("words", CATALOGUES, ids=lambda words: words.locale)
def test_whatever_is_recorded_can_be_said_in_every_language(words):
    for path in WAYS:
        if path.name.startswith("osrm"):
            route = read(path, words.locale)
            assert route.locale == words.locale
            for manoeuvre in route.manoeuvres:
                known = [sentences.get(manoeuvre.kind, "") for sentences in (words.plain, words.onto)]
                assert any(is_said(pattern, manoeuvre.instruction) for pattern in known)


def is_said(pattern: str, sentence: str) -> bool:
    fields = re.escape(pattern).replace(r"\{street\}", ".+").replace(r"\{exit\}", r"\d+\w*")
    return re.fullmatch(fields, sentence) is not None


def test_sentences_of_the_real_daemons():
    rotary = [m.instruction for m in read(FOLDER / "osrm-rotary.json").manoeuvres]
    assert rotary[1] == "At the roundabout, take the 2nd exit onto Boulevard du Larvotto."
    assert [m.instruction for m in read(FOLDER / "osrm-rotary.json", "zh-CN").manoeuvres][-1] == "您已到达目的地。"
    numbered = [m.instruction for m in read(FOLDER / "osrm-numbered-roads.json").manoeuvres]
    assert "Turn right onto Carrer del Cortals/CS-220." in numbered
    ferry = [m.instruction for m in read(FOLDER / "valhalla-onto-the-ferry.json").manoeuvres]
    assert "Take the Bateau Bus." in ferry
    sign = [m.instruction for m in read(FOLDER / "valhalla-exit-left.json").manoeuvres]
    assert "Take the exit on the left to Eteläesplanadi." in sign


def test_whose_words_they_are():
    """Ours where reviewed, else the engine's where it speaks the language, else our draft, else English."""
    spanish, finnish, arabic = (read(FOLDER / f"valhalla-in-{name}.json") for name in ("spanish", "finnish", "arabic"))
    assert spanish.locale == "es-ES" and spanish.manoeuvres[0].instruction.startswith("Conduzca hacia el norte")
    assert finnish.locale == "fi-FI" and finnish.manoeuvres[0].instruction.startswith("Aja pohjoiseen")
    assert arabic.locale == "ar" and arabic.manoeuvres[0].instruction.startswith("انطلق عبر")
    short = FOLDER / "valhalla-short.json"
    assert [read(short, tag).locale for tag in ("zh-CN", "zh-TW", "th", "en-GB")] == ["zh-CN", "en", "en", "en"]
    assert read(short, "zh-TW").manoeuvres[-1].instruction == "You have arrived.", "another script is not pretended"
    assert read(FOLDER / "osrm-short.json", "es-MX").locale == "es", "OSRM says nothing itself"


def test_the_recordings_say_whose_they_are():
    page = (FOLDER / "README.md").read_text("utf-8")
    assert "ODbL" in page and "OpenStreetMap" in page and "tools/record_routes.py" in page
    for path in FILES:
        kept = recorded(path)
        assert kept["engine"] in page and kept["map"] in page, path.name
    assert sum(path.stat().st_size for path in FILES) < 150_000
    assert catalogue("xx").locale == "en"
