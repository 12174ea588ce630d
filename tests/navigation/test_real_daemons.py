"""The real daemons of two wheels over one map, beside our own service: Python 3.12 and newer, for which those wheels are."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from math import cos, hypot, radians
from pathlib import Path

import pytest
from route_daemons import DATA, Daemon, build_osrm, build_valhalla, osrm_daemon, valhalla_daemon

from kalos_connect_sdk import ConsentRequired, Place, Position, Reason, Route, ServiceRefused
from kalos_connect_sdk.navigation import Osrm, Valhalla
from kalos_connect_sdk.service.valhalla import EmbeddedValhalla
from kalos_connect_sdk.testing import ServiceEmulator

MONACO = DATA / "monaco.osm.pbf"
TOLERANCE_M = 1.0
pytestmark = pytest.mark.skipif(not MONACO.is_file(), reason="the map of Monaco is not at hand")
PAIRS = [
    ((43.7353, 7.4339), (43.7336, 7.423)),
    ((43.7328, 7.4341), (43.738, 7.4319)),
    ((43.7411, 7.4361), (43.7393, 7.4217)),
    ((43.7387, 7.4333), (43.7397, 7.4178)),
    ((43.7393, 7.4146), (43.7282, 7.4157)),
    ((43.7372, 7.425), (43.7462, 7.4156)),
    ((43.7455, 7.435), (43.7488, 7.4207)),
    ((43.74, 7.4332), (43.7326, 7.415)),
]
"""Places in Monaco between which every engine takes the same streets; between most it does not."""


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_valhalla(MONACO, tmp_path_factory.mktemp("tiles"))


@pytest.fixture(scope="module")
def valhalla(tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with valhalla_daemon(tiles, tmp_path_factory.mktemp("valhalla")) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def osrm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with osrm_daemon(build_osrm(MONACO, tmp_path_factory.mktemp("osrm"))) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def our_service(tiles: Path) -> Iterator[ServiceEmulator]:
    """Our own protocol, with Valhalla embedded behind it."""
    with ServiceEmulator(engine=EmbeddedValhalla(tiles)) as emulator:
        yield emulator


def way_off(line, other) -> float:
    """How far the farthest point of a line is from another line, in metres."""

    def from_line(point: tuple[float, float]) -> float:
        east, north = cos(radians(point[1])) * 111_195, 111_195
        nearest = float("inf")
        for start, end in pairwise(other):
            x, y = (start[0] - point[0]) * east, (start[1] - point[1]) * north
            dx, dy = (end[0] - start[0]) * east, (end[1] - start[1]) * north
            length = dx * dx + dy * dy
            part = 0.0 if length == 0 else max(0.0, min(1.0, -(x * dx + y * dy) / length))
            nearest = min(nearest, hypot(x + part * dx, y + part * dy))
        return nearest

    return max(map(from_line, line))


def test_the_same_ways_by_our_service_by_valhalla_and_by_osrm(make, our_service, valhalla, osrm):
    connects = {
        "our service": make(settings={"service_url": our_service.url}),
        "valhalla": make(navigation=Valhalla(valhalla.url)),
        "osrm": make(navigation=Osrm(osrm.url)),
        "osrm with a post": make(navigation=Osrm(osrm.url, post=True)),
    }
    for origin, to in PAIRS:
        ways: dict[str, Route] = {
            name: connect.route(Place(*to), origin=Place(*origin), locale="zh-CN") for name, connect in connects.items()
        }
        ours = ways.pop("our service")
        assert ways["valhalla"] == ours, "one engine, two ways to it"
        assert ways["osrm"] == ways["osrm with a post"]
        for name, way in ways.items():
            assert max(way_off(way.line, ours.line), way_off(ours.line, way.line)) < TOLERANCE_M, name
            assert way.distance_m == pytest.approx(ours.distance_m, rel=0.005), name
            assert way.locale == "zh-CN" and way.manoeuvres[0].instruction.startswith("出发"), name


def test_from_the_devices_own_position_with_consent_and_not_without(make, valhalla, osrm):
    for provider in (Valhalla(valhalla.url), Osrm(osrm.url)):
        connect = make(navigation=provider)
        with pytest.raises(ConsentRequired):
            connect.route(Place(*PAIRS[0][1]))
        assert connect.request_permission(user_action=True).granted
        assert connect.submit(Position(*PAIRS[0][0])).accepted
        assert connect.route(Place(*PAIRS[0][1])).distance_m > 500
        assert connect.withdraw().complete


@pytest.mark.parametrize("to", [(48.1, 11.5), (43.60, 7.42)])
def test_off_the_map_there_is_no_way(make, valhalla, osrm, to):
    for provider in (Valhalla(valhalla.url), Osrm(osrm.url), Osrm(osrm.url, post=True)):
        with pytest.raises(ServiceRefused, match="422 no-route"):
            make(navigation=provider).route(Place(*to), origin=Place(*PAIRS[0][0]))


def test_what_a_servers_own_log_keeps_is_what_the_page_says(make, valhalla, osrm):
    """docs/navigation.md: osrm-routed prints every request, a POST's body too; valhalla_service prints no place."""
    there = Place(43.73456, 7.41987)
    for provider, daemon, kept in (
        (Osrm(osrm.url), osrm, True),
        (Osrm(osrm.url, post=True), osrm, True),
        (Valhalla(valhalla.url), valhalla, False),
    ):
        before = daemon.log.stat().st_size
        make(navigation=provider).route(there, origin=Place(*PAIRS[0][0]))
        wait_until(lambda daemon=daemon, before=before: daemon.log.stat().st_size > before)
        assert ("7.41987" in daemon.log.read_text("utf-8", "replace")[before:]) is kept


def test_r3_withdrawing_cuts_a_question_to_a_daemon_that_hangs(make, osrm):
    connect = make(navigation=Osrm(osrm.url))
    assert connect.request_permission(user_action=True).granted
    assert connect.submit(Position(*PAIRS[0][0])).accepted
    caught: list[BaseException] = []

    def ask() -> None:
        try:
            connect.route(Place(*PAIRS[0][1]))
        except BaseException as error:
            caught.append(error)

    osrm.process.send_signal(signal.SIGSTOP)
    try:
        asking = threading.Thread(target=ask)
        asking.start()
        flights = connect._opened().link.flights
        wait_until(lambda: caught or any(flight.wrote for flight in flights))
        assert not caught, f"it never asked: {caught}"
        report = connect.withdraw()
        asking.join(30)
    finally:
        osrm.process.send_signal(signal.SIGCONT)
    assert report.complete and report.aborted == 1 and report.possibly_delivered == 1
    assert isinstance(caught[0], ConsentRequired) and caught[0].reason is Reason.WITHDRAWN


def wait_until(true: Callable[[], object]) -> None:
    deadline, pause = time.monotonic() + 30, threading.Event()
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        pause.wait(0.01)
