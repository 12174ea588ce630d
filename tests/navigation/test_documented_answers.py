"""Answers in the documented formats, written by us: AMap, for which nobody here has an account, and the kinds of manoeuvre
of OSRM that the small recorded maps do not hold."""

from __future__ import annotations

import json

import pytest
from amap_stand_in import KEY, document_of, shifted

from kalos_connect_sdk import Manoeuvre, Route, ServiceRefused, ServiceUnreachable
from kalos_connect_sdk.navigation import AMap, Osrm, Valhalla
from kalos_connect_sdk.navigation.amap_actions import kind_of

AMAP, OSRM, VALHALLA = AMap(KEY), Osrm("http://127.0.0.1:1"), Valhalla("http://127.0.0.1:1")
LINE = tuple((116.40 + 0.001 * index, 39.90 + 0.0005 * index) for index in range(7))


def answer_of(kinds: list[str]) -> dict:
    """AMap's answer for a way whose manoeuvres are of these kinds."""
    manoeuvres = [Manoeuvre("", kind, 100.0, 10.0, index) for index, kind in enumerate(kinds)]
    return document_of(Route(600.0, 60.0, "en", LINE[: len(kinds)], tuple(manoeuvres)), shifted)


def read(document: dict, locale: str = "en", provider=AMAP, status: int = 200) -> Route:
    return provider.answer(status, {}, json.dumps(document).encode(), locale)


# -- AMap ----------------------------------------------------------------------------------------


def test_what_amap_says_at_the_end_of_a_step_is_said_at_the_beginning_of_the_next():
    kinds = ["depart", "left", "roundabout", "roundabout-exit", "ramp-right", "exit-left", "arrive"]
    route = read(answer_of(kinds))
    assert [manoeuvre.kind for manoeuvre in route.manoeuvres] == kinds
    assert [manoeuvre.begin_index for manoeuvre in route.manoeuvres] == list(range(7))
    assert [manoeuvre.distance_m for manoeuvre in route.manoeuvres] == [100.0] * 6 + [0.0]
    assert route.manoeuvres[1].instruction == "Turn left onto 长安街.", "onto the road of the step that follows"
    assert route.manoeuvres[0].instruction == "Set off.", "an empty name comes as []"
    assert route.manoeuvres[2].instruction == "Enter the roundabout.", "AMap counts no exits"
    assert (route.distance_m, route.duration_s) == (600.0, 60.0) and "AMap" in route.attribution


def test_amap_in_the_users_language():
    document = answer_of(["depart", "left", "arrive"])
    said = {tag: read(document, tag) for tag in ("zh-CN", "es", "zh-TW", "fi")}
    assert said["zh-CN"].manoeuvres[1].instruction == "左转，进入长安街。"
    wanted = {"zh-CN": "zh-CN", "es": "es", "zh-TW": "en", "fi": "en"}
    assert {tag: route.locale for tag, route in said.items()} == wanted


@pytest.mark.parametrize(
    ("action", "assistant", "kind"),
    [
        ("左转", "", "left"),
        ("右转", "进入主路", "right"),
        ("向左前方行驶", "", "slight-left"),
        ("向右前方行驶", "", "slight-right"),
        ("向左后方行驶", "", "sharp-left"),
        ("向右后方行驶", "", "sharp-right"),
        ("左转调头", "", "u-turn"),
        ("直行", "", "continue"),
        ("减速行驶", "", "continue"),
        ("靠左", "进入左岔路", "keep-left"),
        ("靠右", "", "keep-right"),
        ("", "进入中间岔道", "keep-straight"),
        ("", "进入右岔路", "keep-right"),
        ("", "进入主路", "merge"),
        ("", "进入高速", "merge"),
        ("靠右", "进入匝道", "ramp-right"),
        ("左转", "进入匝道", "ramp-left"),
        ("", "进入匝道", "ramp"),
        ("靠右", "到达出口", "exit-right"),
        ("向左前方行驶", "到达出口", "exit-left"),
        ("", "到达出口", "ramp"),
        ("进入环岛", "绕环岛左转", "roundabout"),
        ("", "小环岛不数出口", "roundabout"),
        ("离开环岛", "", "roundabout-exit"),
        ("", "进入轮渡", "ferry"),
        ("", "驶离轮渡", "ferry-exit"),
        ("", "进入调头专用路", "u-turn"),
        ("", "到达复杂路口，走右边第二出口", "keep-right"),
        ("", "到达复杂路口,走左边第一出口", "keep-left"),
        ("", "到达收费站", "continue"),
        ("", "", "continue"),
        ("a new action", "a new assistant", "continue"),
    ],
)
def test_the_documented_actions(action, assistant, kind):
    assert kind_of(action, assistant) == kind


@pytest.mark.parametrize(
    ("infocode", "status", "name", "code"),
    [
        ("10001", 403, "provider-refused", "10001"),
        ("10009", 403, "provider-refused", "10009"),
        ("10003", 429, "provider-refused", "10003"),
        ("10021", 429, "provider-refused", "10021"),
        ("20800", 422, "no-route", None),
        ("20801", 422, "no-route", None),
        ("20802", 422, "no-route", None),
        ("20803", 422, "no-route", None),
        ("key 39.9,116.4", 403, "provider-refused", None),
        ([], 403, "provider-refused", None),
    ],
)
def test_r10_of_amaps_no_only_plain_digits_are_kept(infocode, status, name, code):
    with pytest.raises(ServiceRefused) as caught:
        read({"status": "0", "info": "at 39.9042,116.4074", "infocode": infocode})
    problem = caught.value.problem
    assert (problem["status"], problem["type"].rsplit("/", 1)[1], problem.get("code")) == (status, name, code)
    assert "39.9" not in str(problem) and "39.9" not in str(caught.value)


def test_amap_without_a_way_and_without_an_answer():
    with pytest.raises(ServiceRefused, match="422 no-route"):
        read({"status": "1", "infocode": "10000", "count": "0", "route": {"paths": []}})
    with pytest.raises(ServiceRefused, match="502 provider-refused"):
        read({}, status=502)


def changed(change) -> dict:
    document = answer_of(["depart", "left", "arrive"])
    change(document, document["route"]["paths"][0], document["route"]["paths"][0]["steps"][0])
    return document


@pytest.mark.parametrize(
    ("change", "member"),
    [
        (lambda d, p, s: d.update(status=1), "status"),
        (lambda d, p, s: d.update(route=[]), "route"),
        (lambda d, p, s: d["route"].update(paths={}), "paths"),
        (lambda d, p, s: p.pop("steps"), "steps"),
        (lambda d, p, s: p.update(steps=[]), "polylines"),
        (lambda d, p, s: p.update(distance="-5"), "distance"),
        (lambda d, p, s: p.update(distance="1e9"), "distance"),
        (lambda d, p, s: p.update(distance=True), "distance"),
        (lambda d, p, s: p.update(cost=[]), "cost"),
        (lambda d, p, s: p["cost"].update(duration="inf"), "duration"),
        (lambda d, p, s: s.update(polyline=[]), "polyline"),
        (lambda d, p, s: s.update(polyline=""), "polyline"),
        (lambda d, p, s: s.update(polyline=["116.4,39.9"]), "polyline must be longitude"),
        (lambda d, p, s: s.update(polyline=7), "polyline must be longitude"),
        (lambda d, p, s: s.update(polyline="116.4,39.9;" * 600_000), "polyline must be longitude"),
        (lambda d, p, s: s.update(polyline="116.4,90.1"), "polyline"),
        (lambda d, p, s: s.update(polyline="116.4,39.9;"), "polyline"),
        (lambda d, p, s: s.update(polyline="39.9,116.4"), "polyline"),
        (lambda d, p, s: s.update(polyline="181.0,39.9"), "polyline"),
        (lambda d, p, s: s.update(polyline="116.4,nan"), "polyline"),
        (lambda d, p, s: s.update(road_name=["x"]), "road_name"),
        (lambda d, p, s: s.update(navi=[]), "navi"),
        (lambda d, p, s: s["navi"].update(action=7), "action"),
    ],
)
def test_r10_an_answer_of_amap_in_another_shape_names_the_member_and_never_the_value(change, member):
    with pytest.raises(ServiceUnreachable, match=f"unreadable answer .*{member}") as caught:
        read(changed(change))
    assert "116" not in str(caught.value) and caught.value.__context__ is None


def test_the_first_of_several_ways_is_taken():
    document = answer_of(["depart", "left", "arrive"])
    document["route"]["paths"].append(answer_of(["depart", "right", "arrive"])["route"]["paths"][0])
    assert read(document).manoeuvres[1].kind == "left"


def test_a_step_that_begins_elsewhere_than_the_last_one_ended_begins_there():
    """As in real answers of AMap: the joint of two steps may be two points, a few metres apart."""
    document = answer_of(["depart", "left", "arrive"])
    steps = document["route"]["paths"][0]["steps"]
    steps[1]["polyline"] = "116.41,39.91;" + steps[1]["polyline"]
    route = read(document)
    assert [m.begin_index for m in route.manoeuvres] == [0, 2, 4] and len(route.line) == 5


def test_a_step_without_its_time_takes_none():
    document = answer_of(["depart", "left", "arrive"])
    del document["route"]["paths"][0]["steps"][0]["cost"]
    assert [m.duration_s for m in read(document).manoeuvres] == [0.0, 10.0, 0.0]
    assert read(document).manoeuvres[-1].distance_m == 0.0


def test_a_way_of_one_point_has_two_ends():
    document = answer_of(["depart", "arrive"])
    document["route"]["paths"][0]["steps"][0]["polyline"] = "116.41,39.91;116.41,39.91"
    route = read(document)
    assert len(route.line) == 2 and route.line[0] == route.line[1] and route.manoeuvres[-1].begin_index == 1


# -- OSRM ----------------------------------------------------------------------------------------


def step(kind: str, modifier: str | None = None, mode: str = "driving", **more) -> dict:
    maneuver = {"type": kind, "location": [7.4, 43.7], **({"modifier": modifier} if modifier else {})}
    shape = {"geometry": "_sdpA_chjLAA", "distance": 10.0, "duration": 1.0}
    return {**shape, "name": "", "mode": mode, "maneuver": maneuver, **more}


def osrm(*steps: dict) -> Route:
    document = {"code": "Ok", "routes": [{"distance": 10.0, "duration": 1.0, "legs": [{"steps": list(steps)}]}]}
    return read(document, provider=OSRM)


@pytest.mark.parametrize(
    ("kind", "modifier", "wanted"),
    [
        ("on ramp", "slight right", "ramp-right"),
        ("on ramp", "left", "ramp-left"),
        ("on ramp", "straight", "ramp"),
        ("off ramp", "slight right", "exit-right"),
        ("off ramp", "sharp left", "exit-left"),
        ("off ramp", "straight", "ramp"),
        ("merge", "slight left", "merge-left"),
        ("merge", "straight", "merge"),
        ("merge", None, "merge"),
        ("fork", "straight", "keep-straight"),
        ("roundabout turn", "left", "left"),
        ("use lane", "straight", "continue"),
        ("a new type", "sharp left", "sharp-left"),
        ("a new type", None, "continue"),
        ("exit rotary", "right", "roundabout-exit"),
        ("notification", "left", "continue"),
    ],
)
def test_the_kinds_of_osrm_that_no_recorded_map_has(kind, modifier, wanted):
    assert osrm(step(kind, modifier)).manoeuvres[0].kind == wanted


def test_a_ferry_of_osrm_is_boarded_and_left():
    route = osrm(
        step("depart"),
        step("notification", "straight", "ferry", name="Suomenlinna ferry"),
        step("turn", "left", "ferry"),
        step("notification", "straight"),
        step("arrive"),
    )
    assert [m.kind for m in route.manoeuvres] == ["depart", "ferry", "left", "ferry-exit", "arrive"]
    assert route.manoeuvres[1].instruction == "Take the Suomenlinna ferry."


def test_a_ramp_of_osrm_leads_where_its_sign_says():
    route = osrm(step("off ramp", "slight right", destinations="A 8: Nice, Cannes", ref="A 500"))
    assert route.manoeuvres[0].instruction == "Take the exit on the right to A 8: Nice, Cannes."


@pytest.mark.parametrize(
    ("change", "member"),
    [
        (lambda d: d.update(routes=[]), "routes"),
        (lambda d: d["routes"][0].update(legs=None), "legs"),
        (lambda d: d["routes"][0].update(distance=-1), "distance"),
        (lambda d: d["routes"][0]["legs"][0].update(steps=[[]]), "step"),
        (lambda d: d["routes"][0]["legs"][0].update(steps=[]), "geometries"),
        (lambda d: d["routes"][0]["legs"][0]["steps"][0].update(geometry="_"), "shape"),
        (lambda d: d["routes"][0]["legs"][0]["steps"][0].update(geometry={"type": "LineString"}), "shape"),
        (lambda d: d["routes"][0]["legs"][0]["steps"][0].update(geometry="~~~~~~~?"), "shape"),
        (lambda d: d["routes"][0]["legs"][0]["steps"][0].update(geometry="_keqlD?"), "leaves the Earth"),
        (lambda d: d["routes"][0]["legs"][0]["steps"][0].update(geometry="??\x00"), "NUL"),
        (lambda d: d["routes"][0]["legs"][0]["steps"][0].update(maneuver="left"), "maneuver"),
        (lambda d: d["routes"][0]["legs"][0]["steps"][0].update(name=5), "name"),
        (lambda d: d["routes"][0]["legs"][0]["steps"][0].update(duration=float("nan")), "finite"),
    ],
)
def test_r10_an_answer_of_osrm_in_another_shape_names_the_member_and_never_the_value(change, member):
    document = {"code": "Ok", "routes": [{"distance": 1, "duration": 1, "legs": [{"steps": [step("depart")]}]}]}
    assert read(document, provider=OSRM).manoeuvres
    change(document)
    with pytest.raises(ServiceUnreachable, match=f"unreadable answer .*{member}") as caught:
        read(document, provider=OSRM)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, {"code": "InvalidQuery", "message": "at 43.7,7.4"}, None),
        (400, {"code": "12"}, "12"),
        (400, {"code": ["NoRoute"]}, None),
        (400, {"code": True}, None),
        (400, {"code": 1.5}, None),
        (400, [], None),
        (500, {"code": "NoRoute"}, None),
        (429, {}, None),
        (307, {}, None),
        (403, {"type": "https://x.invalid/consent-withdrawn", "status": 410}, None),
    ],
)
def test_r10_of_a_refusal_only_the_status_and_plain_digits_are_kept(status, body, code):
    with pytest.raises(ServiceRefused) as caught:
        OSRM.answer(status, {"retry-after": "120"}, json.dumps(body).encode(), "en")
    problem = caught.value.problem
    assert problem.pop("code", None) == code
    assert problem["type"].endswith("/provider-refused") and problem["status"] == status
    assert set(problem) == {"type", "status", "retry_after"}, "a third party names no problem of consent"


# -- Valhalla ------------------------------------------------------------------------------------


def valhalla(**more) -> dict:
    turn = {"type": 1, "instruction": "Go.", "length": 0.1, "time": 5, "begin_shape_index": 0}
    leg = {"shape": "_sdpA_chjLAA", "maneuvers": [{**turn, **more}]}
    return {"trip": {"language": "en-US", "summary": {"length": 0.1, "time": 5}, "legs": [leg]}}


def test_a_place_to_itself_has_two_ends():
    document = valhalla()
    document["trip"]["legs"][0]["shape"] = "_sdpA_chjL"
    route = read(document, provider=VALHALLA)
    assert len(route.line) == 2 and route.line[0] == route.line[1]
    document = {"routes": [{"distance": 0, "duration": 0, "legs": [{"steps": [step("depart"), step("arrive")]}]}]}
    for each in document["routes"][0]["legs"][0]["steps"]:
        each["geometry"] = "_sdpA_chjL"
    route = read(document, provider=OSRM)
    assert len(route.line) == 2 and [m.begin_index for m in route.manoeuvres] == [0, 0]


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, {"error_code": 100, "error": "at 43.7,7.4"}, "100"),
        (400, {"error_code": "442"}, "442"),
        (400, {"error_code": True}, None),
        (400, {"error_code": [442]}, None),
        (400, {}, None),
        (500, {"error_code": 442}, "442"),
        (503, [], None),
    ],
)
def test_a_refusal_of_valhalla_keeps_its_status_and_its_code(status, body, code):
    with pytest.raises(ServiceRefused) as caught:
        VALHALLA.answer(status, {}, json.dumps(body).encode(), "en")
    problem = caught.value.problem
    assert problem.pop("code", None) == code
    assert problem["type"].endswith("/provider-refused") and problem["status"] == status


@pytest.mark.parametrize("code", [154, 170, 171, 442, 443, 444])
def test_what_valhalla_calls_no_way(code):
    with pytest.raises(ServiceRefused, match="422 no-route"):
        VALHALLA.answer(400, {}, json.dumps({"error_code": code}).encode(), "en")


def test_a_street_of_valhalla_is_the_one_that_begins():
    route = read(valhalla(type=15, begin_street_names=["New street"], street_names=["Both"]), provider=VALHALLA)
    assert route.manoeuvres[0].instruction == "Turn left onto New street."
    route = read(valhalla(type=15, street_names=["Both"]), provider=VALHALLA)
    assert route.manoeuvres[0].instruction == "Turn left onto Both."


@pytest.mark.parametrize(
    "shape", ["_sdpA_chj\u00e9LAA", "_sdpA chjLAA", "_sdpA_chjL\x7fA", "_sdpA_chjLA", "_sdpA_chjL~"]
)
def test_a_shape_that_is_no_polyline(shape):
    document = valhalla()
    document["trip"]["legs"][0]["shape"] = shape
    with pytest.raises(ServiceUnreachable, match="shape"):
        read(document, provider=VALHALLA)


@pytest.mark.parametrize("geometry", ["", "?", "??_"])
def test_a_step_of_osrm_without_a_shape_is_unreadable(geometry):
    with pytest.raises(ServiceUnreachable, match=r"unreadable answer .*shape"):
        osrm(step("depart", geometry=geometry))


def test_an_arrival_by_ferry_is_an_arrival():
    route = osrm(step("depart"), step("arrive", "left", "ferry"))
    assert [m.kind for m in route.manoeuvres] == ["depart", "arrive-left"]


@pytest.mark.parametrize("letters", ["\u00e9", " ", "\x7f", "~~~~~~~~", "_" * 100])
def test_letters_that_no_polyline_has(letters):
    document = valhalla()
    document["trip"]["legs"][0]["shape"] = f"_sdpA{letters}_chjLAA"
    with pytest.raises(ServiceUnreachable, match="holds what no polyline holds"):
        read(document, provider=VALHALLA)


def test_two_legs_of_valhalla_are_one_line():
    document = valhalla()
    document["trip"]["legs"] *= 2
    assert [m.begin_index for m in read(document, provider=VALHALLA).manoeuvres] == [0, 2]


@pytest.mark.parametrize("count", [0, -1, 100, True, "2", 2.0, None])
def test_an_exit_that_is_no_number_is_not_counted(count):
    route = read(valhalla(type=26, roundabout_exit_count=count), provider=VALHALLA)
    assert route.manoeuvres[0].instruction == "Enter the roundabout."
    document = step("roundabout", "right")
    document["maneuver"]["exit"] = count
    assert osrm(document).manoeuvres[0].instruction == "Enter the roundabout."


@pytest.mark.parametrize("count", [1, 99])
def test_an_exit_that_is_one_is(count):
    document = step("roundabout", "right")
    document["maneuver"]["exit"] = count
    for route in (osrm(document), read(valhalla(type=26, roundabout_exit_count=count), provider=VALHALLA)):
        assert f"take the {count}" in route.manoeuvres[0].instruction


@pytest.mark.parametrize("number", [999, -1, "15", None, 7.5])
def test_a_type_that_is_not_known_goes_straight_on(number):
    assert read(valhalla(type=number), provider=VALHALLA).manoeuvres[0].kind == "continue"


@pytest.mark.parametrize(
    ("change", "member"),
    [
        (lambda trip: trip.update(language=5), "language"),
        (lambda trip: trip.update(summary=None), "summary"),
        (lambda trip: trip.update(legs={}), "legs"),
        (lambda trip: trip.update(legs=[]), "shapes"),
        (lambda trip: trip.update(legs=trip["legs"] * 51), "legs"),
        (lambda trip: trip["summary"].update(length=1e10), "length"),
        (lambda trip: trip["legs"][0].update(shape=None), "shape"),
        (lambda trip: trip["legs"][0].update(maneuvers="x"), "maneuvers"),
        (lambda trip: trip["legs"][0]["maneuvers"][0].update(begin_shape_index=2), "begin_shape_index"),
        (lambda trip: trip["legs"][0]["maneuvers"][0].update(begin_shape_index=True), "begin_shape_index"),
        (lambda trip: trip["legs"][0]["maneuvers"][0].update(time=-1), "time"),
        (lambda trip: trip["legs"][0]["maneuvers"][0].update(street_names="x"), "street_names"),
        (lambda trip: trip["legs"][0]["maneuvers"][0].update(street_names=[7]), "street_names"),
        (lambda trip: trip["legs"][0]["maneuvers"][0].update(sign=[]), "sign"),
        (lambda trip: trip["legs"][0]["maneuvers"][0].update(sign={"exit_branch_elements": ["A 8"]}), "exit_branch"),
    ],
)
def test_r10_an_answer_of_valhalla_in_another_shape_names_the_member_and_never_the_value(change, member):
    document = valhalla()
    change(document["trip"])
    with pytest.raises(ServiceUnreachable, match=f"unreadable answer .*{member}") as caught:
        read(document, provider=VALHALLA)
    assert caught.value.__context__ is None


def test_no_line_is_longer_than_our_own_wire_takes(monkeypatch):
    """The bound is lowered here: 200,000 points take seconds to make."""
    for name in ("amap", "osrm", "valhalla"):
        monkeypatch.setattr(f"kalos_connect_sdk.navigation.{name}.LINE_MAX", 1)
    documents = {AMAP: answer_of(["depart", "left", "arrive"]), VALHALLA: valhalla()}
    documents[OSRM] = {"routes": [{"distance": 1, "duration": 1, "legs": [{"steps": [step("depart")]}]}]}
    for provider, document in documents.items():
        with pytest.raises(ServiceUnreachable, match="1 to 1 points"):
            read(document, provider=provider)
