"""Leaving the route: it is told, a new one is asked for through the one door, and a withdrawal stops that too."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from kalos_connect_sdk import (
    Arrived,
    AssertedParked,
    AsyncConnect,
    BackOnRoute,
    Config,
    ConsentLost,
    ConsentRequired,
    Guidance,
    Manoeuvre,
    OffRoute,
    Place,
    Position,
    Precision,
    Progress,
    PromptAnswer,
    Reason,
    Rerouted,
    RerouteFailed,
    Route,
)
from kalos_connect_sdk.protocol import rerouting
from kalos_connect_sdk.service.engine import NoRoute, StraightLine
from kalos_connect_sdk.sources import PushSource
from kalos_connect_sdk.testing import ScriptedPrompter, ServiceEmulator

PATIENCE_S = 20.0
METRE = 1 / (math.radians(1) * 6_371_008.8)
PACE_M = 12.0

Corner = tuple[float, float]
"""Metres north and east of where the route begins."""
STRAY: Sequence[Corner] = ((0, 0), (240, 0), (240, 360))
"""Off at 240 m, to the east, and ever further."""
ANEW: Sequence[Corner] = ((0, 0), (240, 0), (240, 84), (1200, 0))
"""Off at 240 m; believed after 72 m, and from about there straight to the end, as a new route leads."""
BY_ITSELF: Sequence[Corner] = ((0, 0), (240, 0), (240, 120), (480, 120), (480, 0), (1200, 0))
"""Round a block, and back."""


def degrees(north: float, east: float) -> tuple[float, float]:
    """(latitude, longitude)."""
    return 60.0 + north * METRE, 24.9 + east * METRE / math.cos(math.radians(60.0))


def drive_along(corners: Sequence[Corner]) -> list[Position]:
    """One fix a second at 12 m/s, with the accuracy of a good receiver."""
    walked: list[Corner] = []
    for (north_a, east_a), (north_b, east_b) in pairwise(corners):
        count = round(math.hypot(north_b - north_a, east_b - east_a) / PACE_M)
        walked += [
            (north_a + (north_b - north_a) * i / count, east_a + (east_b - east_a) * i / count) for i in range(count)
        ]
    begun = datetime.now(UTC) - timedelta(seconds=len(walked) + 30)
    return [
        Position(*degrees(*at), accuracy_m=4.0, time=begun + timedelta(seconds=second))
        for second, at in enumerate([*walked, corners[-1]])
    ]


def route_north(locale: str = "en") -> Route:
    line = tuple(degrees(north, 0)[::-1] for north in (0, 600, 1200))
    return Route(
        distance_m=1200.0,
        duration_s=100.0,
        locale=locale,
        line=line,
        manoeuvres=(
            Manoeuvre("Drive north.", "depart", 600.0, 50.0, 0),
            Manoeuvre("Go on.", "continue", 600.0, 50.0, 1),
            Manoeuvre("You have arrived.", "arrive", 0.0, 0.0, 2),
        ),
    )


class Recording:
    """Positions known beforehand, which says how many were taken."""

    live = False

    def __init__(self, positions: list[Position]) -> None:
        self.taken = 0
        self._positions = positions

    def __iter__(self) -> Iterator[Position]:
        for position in self._positions:
            self.taken += 1
            yield position

    def close(self) -> None:
        pass


class Heard(StraightLine):
    """As the crow flies, and what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[Place, Place, str]] = []

    def route(self, origin: Place, destination: Place, locale: str) -> Route:
        self.asked.append((origin, destination, locale))
        return super().route(origin, destination, locale)


def granted(make, *answers: PromptAnswer, **options):
    connect = make(*answers, **options)
    assert connect.request_permission(user_action=True).granted
    return connect


def asked(service) -> list[dict]:
    return [request for request in service.requests if request["path"].endswith("/routes")]


def told(drive) -> list:
    """Every event but the counts."""
    return [event for event in drive if not isinstance(event, Progress)]


def kinds(events: list) -> list[type]:
    return [type(event) for event in events if not isinstance(event, Guidance)]


def push(source: PushSource, positions: Sequence[Position]) -> None:
    for position in positions:
        assert source.put(position)


def asking(make, service, positions: Sequence[Position], *, live: bool = True):
    """A drive that has left its route, and whose question hangs for a minute: (facade, source, drive)."""
    service.fail(stall_s=60.0, path="/v1/routes")
    connect = granted(make, settings={"timeout_s": 60})
    source = PushSource(capacity=500)
    source.live = live
    drive = connect.drive(source, route=route_north())
    push(source, positions)
    assert service.wait_for(lambda s: any(r["t_read"] for r in asked(s)))
    return connect, source, drive


def answered(drive) -> None:
    """The question is over."""
    while drive._guiding._rerouting._flying:
        threading.Event().wait(0.005)


def until(drive, kind: type):
    """The next event of a kind."""
    return next(event for event in drive if isinstance(event, kind))


# -- the story -----------------------------------------------------------------------------------


def test_a_recording_that_leaves_its_route_gets_a_new_one_and_arrives(make, service):
    connect = granted(make)
    recording = Recording(drive_along(ANEW))
    with connect.drive(recording, route=route_north()) as drive:
        events = told(drive)
    assert kinds(events) == [OffRoute, Rerouted, Arrived]
    off = next(event for event in events if isinstance(event, OffRoute))
    assert 35 < off.distance_m < 110, "35 m are allowed, and 30 m are driven before it is believed"
    new = events.index(next(event for event in events if isinstance(event, Rerouted)))
    assert isinstance(events[new + 1], Guidance), "the new route is told at once, from where the car is"
    assert len(asked(service)) == 1 and drive.stats.sent == len(service.positions) == recording.taken


@pytest.mark.parametrize("locale", ["en", "zh-CN"])
def test_it_is_asked_for_from_the_device_to_the_end_of_the_route_in_its_language(make, locale):
    engine = Heard()
    with ServiceEmulator(engine=engine) as service:
        connect = granted(make, settings={"service_url": service.url, "locale": "es"})
        positions = drive_along(STRAY)
        with connect.drive(Recording(positions), route=route_north(locale)) as drive:
            events = told(drive)
        connect.close()
    ((origin, destination, language),) = engine.asked[:1]
    assert any(
        (origin.latitude, origin.longitude) == pytest.approx((p.latitude, p.longitude), abs=2e-7) for p in positions
    )
    assert (destination.latitude, destination.longitude) == pytest.approx(degrees(1200, 0), abs=2e-7)
    assert language == locale and until(iter(events), Rerouted).route.locale == locale


def test_a_new_route_that_is_left_again_is_replaced_again_at_most_every_10_seconds(make, service):
    """The car drives away from every way back: each new route leads back, against the way it goes."""
    connect = granted(make)
    recording = Recording(drive_along([(0, 0), (240, 0), (240, 1800)]))
    with connect.drive(recording, route=route_north()) as drive:
        events = told(drive)
    count = len([event for event in events if isinstance(event, Rerouted)])
    assert 3 <= count == len(asked(service)) <= (recording.taken - 20) // 10 + 1
    assert Arrived() not in events


def test_without_rerouting_it_is_only_told(make, service):
    connect = granted(make)
    with connect.drive(Recording(drive_along(BY_ITSELF)), route=route_north(), reroute=False) as drive:
        events = told(drive)
    assert kinds(events) == [OffRoute, BackOnRoute, Arrived] and asked(service) == []
    back_at = events.index(BackOnRoute())
    assert isinstance(events[back_at + 1], Guidance), "what comes next is told anew"


def test_a_drive_without_a_route_asks_for_none(make, service):
    connect = granted(make)
    with connect.drive(Recording(drive_along(STRAY))) as drive:
        assert told(drive) == []
    assert asked(service) == []


def test_r10_no_event_shows_where():
    here = degrees(0, 0)
    for event in (OffRoute(61.5), BackOnRoute(), Rerouted(route_north()), RerouteFailed("no way")):
        assert f"{here[0]:.3f}" not in repr(event) and f"{here[1]:.2f}" not in repr(event)


# -- who waits for whom --------------------------------------------------------------------------


def test_a_live_source_never_waits_for_the_new_route(make, service):
    positions = drive_along(ANEW)
    _, source, drive = asking(make, service, positions[:30])
    push(source, positions[30:60])
    while drive.stats.accepted < 60:
        assert drive.running
        threading.Event().wait(0.005)
    assert not [event for event in list(drive._events) if isinstance(event, Rerouted)]
    service.clear_failures()
    answered(drive)
    events = iter(drive)
    push(source, positions[60:])
    until(events, Rerouted)
    until(events, Arrived)
    drive.stop()


def test_a_recording_waits_for_it(make, service):
    service.fail(stall_s=60.0, path="/v1/routes")
    connect = granted(make)
    recording = Recording(drive_along(ANEW))
    drive = connect.drive(recording, route=route_north())
    assert service.wait_for(lambda s: any(r["t_read"] for r in asked(s)))
    taken = recording.taken
    assert taken < 32
    until(iter(drive), OffRoute)
    assert recording.taken == taken
    service.clear_failures()
    events = told(drive)
    assert kinds(events) == [Rerouted, Arrived]


def test_who_comes_back_by_himself_needs_no_new_route(make, service):
    service.fail(stall_s=60.0, path="/v1/routes")
    connect = granted(make)
    source = PushSource(capacity=500)
    drive = connect.drive(source, route=route_north())
    positions = drive_along(BY_ITSELF)
    push(source, positions[:75])
    events = iter(drive)
    until(events, BackOnRoute)
    service.clear_failures()
    answered(drive)
    push(source, positions[75:])
    rest = []
    for event in events:
        rest.append(event)
        if isinstance(event, Arrived):
            break
    drive.stop()
    assert not [event for event in rest if isinstance(event, (Rerouted, OffRoute))]


# -- no new route --------------------------------------------------------------------------------


def test_a_service_that_cannot_answer_is_asked_again_in_time(make, service):
    connect = granted(make)
    service.fail(503, times=2, path="/v1/routes")
    with connect.drive(Recording(drive_along(ANEW)), route=route_north()) as drive:
        events = told(drive)
    assert kinds(events) == [OffRoute, RerouteFailed, RerouteFailed, Rerouted, Arrived]
    failed = [event for event in events if isinstance(event, RerouteFailed)]
    assert all(event.retrying and "503" in event.detail for event in failed)
    assert len(asked(service)) == 3


def test_a_place_without_a_way_is_said_and_asked_about_again_from_elsewhere(make):
    class Nowhere(Heard):
        def route(self, origin: Place, destination: Place, locale: str) -> Route:
            if len(self.asked) < 1:
                self.asked.append((origin, destination, locale))
                raise NoRoute("no way")
            return super().route(origin, destination, locale)

    with ServiceEmulator(engine=Nowhere()) as service:
        connect = granted(make, settings={"service_url": service.url})
        with connect.drive(Recording(drive_along(ANEW)), route=route_north()) as drive:
            events = told(drive)
        connect.close()
    assert kinds(events) == [OffRoute, RerouteFailed, Rerouted, Arrived]


def test_r15_an_approximate_grant_gets_no_new_route_and_is_told_once(make, service):
    connect = granted(make, PromptAnswer.allow(precision=Precision.APPROXIMATE))
    away = [*STRAY, (480, 360), (480, 0), (1200, 0)]
    with connect.drive(Recording(drive_along(away)), route=route_north()) as drive:
        events = told(drive)
    assert kinds(events) == [OffRoute, RerouteFailed, BackOnRoute, Arrived]
    failed = until(iter(events), RerouteFailed)
    assert not failed.retrying and Reason.PRECISION.name in failed.detail
    assert asked(service) == [], "the exact position was asked about nowhere"
    assert [e.instruction for e in events if isinstance(e, Guidance)][-1] == "You have arrived."


@pytest.mark.parametrize(("reason", "retrying"), [(Reason.CROSS_BORDER, False), (Reason.BUSY, True)])
def test_a_question_that_may_not_be_asked_ends_no_drive(make, service, monkeypatch, reason, retrying):
    """Positions may still go to our service; only this question may not go where it should, or not now."""

    def refuse(*_):
        raise ConsentRequired(reason)

    monkeypatch.setattr(rerouting, "ask_route", refuse)
    connect = granted(make)
    with connect.drive(Recording(drive_along(STRAY)), route=route_north()) as drive:
        events = told(drive)
    assert set(kinds(events)) == {OffRoute, RerouteFailed}
    failed = [event for event in events if isinstance(event, RerouteFailed)]
    assert all(event.retrying is retrying for event in failed) and (len(failed) > 1) is retrying
    assert drive.stats.sent == drive.stats.accepted > 0


@pytest.mark.parametrize("error", [ValueError("at 60.1699, 24.9384"), KeyError("24.9384")])
def test_r10_an_error_of_another_kind_is_told_without_its_words(make, service, monkeypatch, error):
    def break_down(*_):
        raise error

    monkeypatch.setattr(rerouting, "ask_route", break_down)
    connect = granted(make)
    with connect.drive(Recording(drive_along(STRAY)), route=route_north()) as drive:
        events = told(drive)
    assert "24.9384" not in events[-1].detail and not events[-1].retrying


# -- consent is lost meanwhile -------------------------------------------------------------------


@pytest.mark.parametrize("live", [False, True])
def test_r3_withdrawing_cuts_the_question_and_nothing_is_sent_afterwards(make, service, live):
    connect, _, drive = asking(make, service, drive_along(STRAY), live=live)
    report = connect.withdraw()
    after = len(service.requests), len(service.positions)
    assert report.complete and report.aborted == 1 and report.possibly_delivered == 1
    assert drive.wait(PATIENCE_S)
    events = told(drive)
    assert [event for event in events if isinstance(event, ConsentLost)] == [ConsentLost(Reason.WITHDRAWN)]
    assert not [event for event in events if isinstance(event, (Rerouted, RerouteFailed))]
    service.clear_failures()
    assert connect.wait_for_notices(PATIENCE_S)
    later = [r["path"] for r in service.requests[after[0] :] if r["path"].endswith(("/routes", "/positions"))]
    assert later == [] and len(service.positions) == after[1]


def waiting_its_turn(make):
    """A drive whose question waits behind other work of the sender, until ``go`` is set."""
    connect = granted(make)
    worker, go = connect._opened().sender.worker, threading.Event()
    source = PushSource(capacity=500)
    drive = connect.drive(source, route=route_north())
    worker.post(lambda: go.wait(PATIENCE_S))
    push(source, drive_along(STRAY))
    until(iter(drive), OffRoute)
    return connect, drive, worker, go


def test_r3_a_question_that_waits_for_its_turn_is_not_asked_after_a_withdrawal(make, service):
    connect, drive, worker, go = waiting_its_turn(make)
    assert connect.withdraw().complete
    go.set()
    assert drive.wait(PATIENCE_S)
    worker.call(lambda: None)
    assert asked(service) == []


def test_r3_what_the_service_revokes_ends_the_drive_at_the_question(make, service):
    connect = granted(make)
    recording = Recording(drive_along(STRAY))
    drive = connect.drive(recording, route=route_north())
    service.fail(410, path="/v1/routes")
    events = told(drive)
    assert [event for event in events if isinstance(event, ConsentLost)] == [ConsentLost(Reason.REVOKED)]
    assert recording.taken < len(drive_along(STRAY))


# -- the drive is stopped meanwhile --------------------------------------------------------------


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("end", ["stop", "abandon", "close"])
def test_a_drive_that_is_stopped_waits_for_no_question(make, service, live, end):
    """The service would answer after a minute: neither the drive nor what is queued waits for it."""
    connect, _, drive = asking(make, service, drive_along(STRAY), live=live)
    (connect.close if end == "close" else getattr(drive, end))()
    assert not drive.running
    if end == "stop":
        assert drive.stats.sent == drive.stats.accepted == len(service.positions)
    assert not [event for event in told(drive) if isinstance(event, (Rerouted, RerouteFailed, ConsentLost))]


def test_a_question_that_waits_for_its_turn_is_not_asked_after_a_stop(make, service):
    _, drive, _, go = waiting_its_turn(make)
    stopping = threading.Thread(target=drive.stop)
    stopping.start()
    assert drive._guiding is not None
    while not drive._guiding._stopped:
        threading.Event().wait(0.005)
    go.set()
    stopping.join(PATIENCE_S)
    assert not drive.running and asked(service) == []
    assert drive.stats.sent == drive.stats.accepted


def test_a_source_that_ends_waits_for_no_question(make, service):
    _, source, drive = asking(make, service, drive_along(STRAY))
    source.close()
    assert drive.wait(PATIENCE_S)
    assert drive.stats.sent == drive.stats.accepted


# -- during the drive ----------------------------------------------------------------------------


def test_a_route_can_be_followed_from_the_middle_of_a_drive_on(make, service):
    connect = granted(make)
    source = PushSource(capacity=500)
    drive = connect.drive(source)
    positions = drive_along([(0, 0), (1200, 0)])
    push(source, positions[:30])
    while drive.stats.accepted < 30:
        threading.Event().wait(0.005)
    assert drive.ahead is None and not [event for event in list(drive._events) if isinstance(event, Guidance)]
    drive.follow(route_north())
    push(source, positions[30:40])
    assert until(iter(drive), Guidance).instruction == "Go on."
    while drive.stats.accepted < 40:
        threading.Event().wait(0.005)
    assert drive.ahead is not None and drive.ahead.distance_m == pytest.approx(600 - 39 * 12, abs=13)
    push(source, positions[40:])
    until(iter(drive), Arrived)
    assert drive.ahead is None
    drive.stop()
    drive.follow(route_north())


def test_another_route_takes_the_place_of_the_one_before_and_of_its_question(make, service):
    positions = drive_along(STRAY)
    _, source, drive = asking(make, service, positions[:-5])
    line = tuple(degrees(240, east)[::-1] for east in (0, 360))
    east = Route(360.0, 30.0, "en", line, (Manoeuvre("Nearly there.", "continue", 0.0, 0.0, 1),))
    drive.follow(east, reroute=False)
    push(source, positions[-5:])
    events = iter(drive)
    assert until(events, Arrived)
    drive.stop()
    assert drive.stats.sent == drive.stats.accepted and len(asked(service)) == 1


# -- asyncio -------------------------------------------------------------------------------------


def test_the_same_for_asyncio(tmp_path, service):
    async def main() -> tuple[list, list]:
        config = Config(service_url=service.url, state_dir=tmp_path / "state", vault="memory")
        prompter = ScriptedPrompter(PromptAnswer.allow())
        parked = AssertedParked("a test bench")
        async with AsyncConnect("com.example.test", config=config, prompter=prompter, vehicle=parked) as connect:
            await connect.request_permission(user_action=True)
            every = []
            for reroute in (True, False):
                recording = Recording(drive_along(ANEW))
                async with connect.drive(recording, route=route_north(), reroute=reroute) as drive:
                    every.append([event async for event in drive if not isinstance(event, Progress)])
                    assert drive.ahead is None
                    await drive.follow(route_north(), reroute=reroute)
            return every[0], every[1]

    new, old = asyncio.run(asyncio.wait_for(main(), 60))
    assert kinds(new) == [OffRoute, Rerouted, Arrived]
    assert kinds(old)[0] is OffRoute and Rerouted not in kinds(old)
