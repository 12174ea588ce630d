"""Guidance on real recordings and on a real map: Munich as it was driven, Helsinki as Valhalla leads (docs/guidance.md).

What guidance says is compared with a second computation that shares nothing with it: great circles to points that lie
every few metres along the line.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from attack_approximate import read  # noqa: E402
from drives import EROTTAJA, HAKANIEMI, RecordedRoad, as_positions, missed_turn, positions_of, road, shortcut  # noqa: E402
from guidance_transcript import guided, transcript  # noqa: E402

from kalos_connect_sdk import Arrived, Guidance, OffRoute, Position, Rerouted, Route  # noqa: E402
from kalos_connect_sdk.cli.car import drive_along  # noqa: E402
from kalos_connect_sdk.core.guidance import Guide, Step  # noqa: E402
from kalos_connect_sdk.core.telling import BANDS_M, Telling  # noqa: E402
from kalos_connect_sdk.sources import open_source  # noqa: E402

DATA = Path(os.environ.get("KALOS_TEST_DATA") or ROOT / "../shared/data")
DRIVE, THINNED = (DATA / f"gpx/barefoot-x0001-{part}.json" for part in ("001", "015"))
PAGE = ROOT / "docs" / "guidance.md"
ALLOWED_M = 50.0
"""For a recording that does not know its accuracy."""

pytestmark = pytest.mark.once
recorded = pytest.mark.skipif(not DRIVE.is_file(), reason="the shared recordings are not here")

Point = tuple[float, float]
"""(latitude, longitude)."""


# -- the second computation ----------------------------------------------------------------------


def great_circle_m(a: Point, b: Point) -> float:
    (lat_a, lon_a), (lat_b, lon_b) = (tuple(map(math.radians, point)) for point in (a, b))
    chord = math.sin((lat_b - lat_a) / 2) ** 2 + math.cos(lat_a) * math.cos(lat_b) * math.sin((lon_b - lon_a) / 2) ** 2
    return 2 * 6_371_008.8 * math.asin(math.sqrt(chord))


def posts(route: Route, every_m: float) -> list[tuple[float, Point]]:
    """Points along a route's line, each with its distance from the beginning."""
    found, along = [], 0.0
    for (lon_a, lat_a), (lon_b, lat_b) in pairwise(route.line):
        length = great_circle_m((lat_a, lon_a), (lat_b, lon_b))
        count = max(1, math.ceil(length / every_m))
        found += [
            (along + length * i / count, (lat_a + (lat_b - lat_a) * i / count, lon_a + (lon_b - lon_a) * i / count))
            for i in range(count)
        ]
        along += length
    return [*found, (along, route.line[-1][::-1])]


def nearest(at: Sequence[tuple[float, Point]], here: Point) -> tuple[float, float]:
    """(metres aside, metres along)."""
    return min((great_circle_m(point, here), along) for along, point in at)


# -- guidance ------------------------------------------------------------------------------------


def steps(route: Route, positions: Sequence[Position]) -> list[Step]:
    guide = Guide(route)
    return [
        guide.update(
            here.latitude,
            here.longitude,
            accuracy_m=here.accuracy_m,
            speed_mps=here.speed_mps,
            course_deg=here.course_deg,
            time_s=here.time.timestamp(),
        )
        for here in positions
    ]


def events(route: Route, positions: Sequence[Position]) -> list:
    telling = Telling()
    return [event for step in steps(route, positions) for event in telling.of(step)]


def band(distance_m: float) -> int:
    return sum(distance_m < edge for edge in BANDS_M)


def in_good_order(route: Route, told: list) -> None:
    """Each manoeuvre once a band, in the order of the way, distances falling, the arrival once and last."""
    assert told[-1] == Arrived() and told.count(Arrived()) == 1
    assert not [event for event in told if isinstance(event, OffRoute)]
    guidance = [event for event in told if isinstance(event, Guidance)]
    by_manoeuvre: list[list[Guidance]] = []
    for event in guidance:
        if by_manoeuvre and by_manoeuvre[-1][-1].distance_m > event.distance_m and _same(by_manoeuvre[-1][-1], event):
            by_manoeuvre[-1].append(event)
        else:
            by_manoeuvre.append([event])
    assert [each[0].instruction for each in by_manoeuvre] == [m.instruction for m in route.manoeuvres[1:]]
    for each in by_manoeuvre:
        assert [event.distance_m for event in each] == sorted((event.distance_m for event in each), reverse=True)
        assert len({band(event.distance_m) for event in each}) == len(each)
    rest = [event.remaining_m for event in guidance]
    assert rest == sorted(rest, reverse=True)


def _same(before: Guidance, event: Guidance) -> bool:
    """Of one manoeuvre: both lie as far before the end."""
    place = before.remaining_m - before.distance_m
    return event.instruction == before.instruction and event.remaining_m - event.distance_m == pytest.approx(place)


# -- Munich --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def munich():
    return read(DRIVE)


@recorded
def test_munich_is_told_in_good_order_and_without_a_false_alarm(munich):
    """1,194 fixes of a receiver of 2014, with standing, drift and a tunnel of 470 m."""
    route = road(RecordedRoad(munich).line, "zh-CN")
    assert len(route.manoeuvres) > 8
    in_good_order(route, events(route, positions_of(munich)))


@recorded
def test_munich_the_way_left_is_that_of_the_second_computation(munich):
    route = road(RecordedRoad(munich).line, "en")
    along = posts(route, 10.0)
    every = 7
    for (_, here), step in list(zip(munich, steps(route, positions_of(munich)), strict=True))[::every]:
        aside, come = nearest(along, here)
        assert step.aside_m - 0.1 <= aside <= math.hypot(step.aside_m, 5.1), "the posts stand 10 m apart"
        if not step.arrived:
            assert step.remaining_m == pytest.approx(along[-1][0] - come, abs=15.0)


@recorded
@pytest.mark.parametrize("leaves_m", [700.0, 6500.0, 10_000.0])
def test_munich_where_the_route_leaves_the_road_the_car_is_off_it(munich, leaves_m):
    """The moment is found a second time: the third fix beyond 50 m that is 30 m from the first, or the second of 100."""
    engine = RecordedRoad(munich)
    route = shortcut(engine, leaves_m, leaves_m + 2200.0, "en")
    along = posts(route, 10.0)
    first = next(index for index, (_, here) in enumerate(munich) if nearest(along, here)[0] > ALLOWED_M)
    driven = [great_circle_m(munich[first][1], here) for _, here in munich[first : first + 60]]
    believed = first + next(n for n, far in enumerate(driven) if (n >= 2 and far >= 30) or (n >= 1 and far >= 100))
    assert min(nearest(along, here)[0] for _, here in munich[first : believed + 1]) > ALLOWED_M
    told = [step.off_route for step in steps(route, positions_of(munich))].index(True)
    assert abs(told - believed) <= 1
    parted = nearest(posts(road(engine.line, "en"), 10.0), munich[first][1])[1]
    assert leaves_m < parted < leaves_m + 2200


@recorded
def test_munich_a_new_route_is_had_and_followed_to_the_end(munich):
    engine = RecordedRoad(munich)
    told = guided(engine, shortcut(engine, 700.0, 2900.0, "zh-CN"), positions_of(munich), "zh-CN")
    turns = [type(event) for event in told if not isinstance(event, Guidance)]
    assert turns == [OffRoute, Rerouted, Arrived]
    new = told.index(next(event for event in told if isinstance(event, Rerouted)))
    rest = [event.remaining_m for event in told[new:] if isinstance(event, Guidance)]
    assert rest == sorted(rest, reverse=True)


@recorded
def test_the_other_recording_of_munich_is_the_same_drive_with_a_fix_in_15_seconds(munich):
    """So there is nothing in it that could leave the road of the first; it shows that guidance can do with few fixes."""
    thinned = read(THINNED)
    assert all(min(great_circle_m(here, other) for _, other in munich) < 1.0 for _, here in thinned)
    assert {round(b - a) for (a, _), (b, _) in pairwise(thinned)} == {15}
    route = road(RecordedRoad(munich).line, "en")
    walked = steps(route, positions_of(thinned))
    assert not any(step.off_route for step in walked)
    along = posts(route, 10.0)
    for (_, here), step in zip(thinned, walked, strict=True):
        if not step.arrived:
            assert step.remaining_m == pytest.approx(along[-1][0] - nearest(along, here)[1], abs=15.0)


@recorded
@pytest.mark.parametrize("name", ["around-visnjan-with-car.gpx", "visnjan-car.nmea", "graphhopper-test1.gpx"])
def test_other_recorded_drives_raise_no_false_alarm_either(name):
    positions = list(open_source(DATA / "gpx" / name, speed=0))
    engine = RecordedRoad([(p.time.timestamp(), (p.latitude, p.longitude)) for p in positions])
    told = events(road(engine.line, "en"), positions)
    assert told[-1] == Arrived() and not [event for event in told if isinstance(event, OffRoute)]


# -- Helsinki ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def valhalla():
    pytest.importorskip("valhalla")
    from kalos_connect_sdk.service.valhalla import EmbeddedValhalla

    return EmbeddedValhalla()


@pytest.mark.parametrize("seed", range(1, 21))
def test_helsinki_is_told_in_good_order_whatever_the_noise(valhalla, seed):
    route = valhalla.route(HAKANIEMI, EROTTAJA, "zh-CN")
    in_good_order(route, events(route, as_positions(drive_along(route.line, seed=seed))))


def test_helsinki_a_missed_turn_gets_a_new_route_from_valhalla_and_arrives(valhalla):
    route, positions = missed_turn(valhalla, "zh-CN")
    told = guided(valhalla, route, positions, "zh-CN")
    turns = [type(event) for event in told if not isinstance(event, Guidance)]
    assert turns == [OffRoute, Rerouted, Arrived]
    new = next(event.route for event in told if isinstance(event, Rerouted))
    assert new.locale == "zh-CN" and new.line[-1] == pytest.approx(route.line[-1], abs=1e-4)
    in_good_order(new, told[told.index(Rerouted(new)) + 1 :])
    along = posts(route, 5.0)
    asides = [nearest(along, (here.latitude, here.longitude))[0] for here in positions]
    parted = next(index for index, aside in enumerate(asides) if aside > 30 + 4)
    (off,) = [event for event in told if isinstance(event, OffRoute)]
    assert off.distance_m == pytest.approx(max(asides[parted : parted + 8]), abs=30) and off.distance_m > 34


# -- the page ------------------------------------------------------------------------------------


@recorded
@pytest.mark.first
def test_the_transcript_on_the_page_is_what_is_said(valhalla):
    """The first interpreter alone: Valhalla's other versions may find other ways on the same map."""
    shown = (
        PAGE.read_text("utf-8").split("<!-- printed by tools/guidance_transcript.py -->\n")[1].split("<!-- end -->")[0]
    )
    assert shown.strip() == transcript(DRIVE).strip(), "run: python tools/guidance_transcript.py DRIVE.json"
