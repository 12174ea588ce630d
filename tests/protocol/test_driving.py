"""Driving: a source is read, sent and guided in the background, whether or not anybody listens."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kalos_connect_sdk import (
    Arrived,
    ConsentLost,
    ConsentRequired,
    Datum,
    Guidance,
    Manoeuvre,
    Position,
    Progress,
    PromptAnswer,
    Purpose,
    Reason,
    Route,
    SourceError,
    SourceLost,
    SourceUnavailable,
)
from kalos_connect_sdk.model.consent import Duration
from kalos_connect_sdk.sources import PushSource, open_source
from kalos_connect_sdk.testing import FakeClock

NOON = datetime(2027, 5, 4, 12, tzinfo=UTC)
WEEK = PromptAnswer.allow(Duration.days(7))
STEP = 1e-4  # about 11 m of latitude


def gpx(path: Path, count: int) -> Path:
    points = "".join(
        f'<trkpt lat="{60 + i * STEP:.6f}" lon="24.9"><time>2020-06-01T12:{i // 60:02}:{i % 60:02}Z</time></trkpt>'
        for i in range(count)
    )
    path.write_text(
        '<gpx version="1.1" creator="test" xmlns="http://www.topografix.com/GPX/1/1">'
        f"<trk><trkseg>{points}</trkseg></trk></gpx>"
    )
    return path


def nmea(path: Path, count: int) -> Path:
    lines = []
    for i in range(count):
        minutes = i * STEP * 60
        body = f"GPRMC,12{i // 60:02}{i % 60:02}.00,A,60{minutes:07.4f},N,02454.0000,E,010.0,000.0,010620,,"
        check = 0
        for letter in body:
            check ^= ord(letter)
        lines.append(f"${body}*{check:02X}\r\n")
    path.write_text("".join(lines))
    return path


def granted(make, *answers: PromptAnswer, **options):
    connect = make(*answers, **options)
    assert connect.request_permission(user_action=True).granted
    return connect


def north(count: int, *, step: float = STEP, at: float = 60.0) -> list[Position]:
    begun = datetime.now(UTC) - timedelta(seconds=20)
    return [Position(at + i * step, 24.9, time=begun + timedelta(milliseconds=i)) for i in range(count)]


class Listed:
    """A source of positions known beforehand, that may break at the end and says when it was closed."""

    def __init__(self, positions: list[Position], *, live: bool = True, error: BaseException | None = None) -> None:
        self.live = live
        self.closed = threading.Event()
        self._positions = positions
        self._error = error

    def __iter__(self) -> Iterator[Position]:
        yield from self._positions
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        self.closed.set()


ROUTE = Route(
    distance_m=1112.0,
    duration_s=100.0,
    locale="en",
    line=((24.9, 60.0), (24.9, 60.005), (24.9, 60.01)),
    manoeuvres=(
        Manoeuvre("Drive north.", "depart", 556.0, 50.0, 0),
        Manoeuvre("Go on.", "continue", 556.0, 50.0, 1),
        Manoeuvre("You have arrived.", "arrive", 0.0, 0.0, 2),
    ),
)


# -- recordings ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["gpx", "nmea"])
def test_a_recording_is_driven_to_its_last_point_without_being_iterated(make, service, tmp_path, kind):
    connect = granted(make)
    path = (gpx if kind == "gpx" else nmea)(tmp_path / f"drive.{kind}", 500)
    with connect.drive(open_source(f"{kind}:{path}", speed=0)) as drive:
        assert drive.wait(20)
    stats = drive.stats
    assert (stats.accepted, stats.sent, stats.filtered, stats.dropped, stats.rejected) == (500, 500, 0, 0, 0)
    assert stats.batches >= 3 and stats.bytes_sent > 0 and not drive.running
    assert [p["latitude"] for p in service.positions[::100]] == pytest.approx(
        [60 + i * STEP for i in range(0, 500, 100)], abs=1e-6
    )
    assert service.positions[0]["time"].startswith("2020-06-01T12:00:00"), "a recording keeps its times"


def test_a_source_by_its_name_is_opened_and_closed_by_the_drive(make, service, tmp_path):
    connect = granted(make)
    with connect.drive(f"gpx:{gpx(tmp_path / 'd.gpx', 2)}") as drive:
        assert drive.wait(20)
    assert drive.stats.sent == 2
    with connect.drive(gpx(tmp_path / "e.gpx", 1)) as drive:
        assert drive.wait(20)
    assert drive.stats.sent == 1


def test_a_recording_waits_while_the_outbox_is_full_and_every_point_arrives(make, service):
    connect = granted(make, settings={"outbox_max_positions": 20, "batch_max_positions": 10})
    source = Listed(north(300), live=False)
    with connect.drive(source) as drive:
        assert drive.wait(30)
    assert (drive.stats.accepted, drive.stats.sent, drive.stats.dropped) == (300, 300, 0)
    assert len(service.positions) == 300


def test_a_recording_that_waits_for_room_can_be_stopped(make, service):
    service.fail(503, times=None, path="/v1/positions")
    connect = granted(make, settings={"outbox_max_positions": 5})
    drive = connect.drive(Listed(north(50), live=False))
    assert service.wait_for(lambda s: any(r["path"].endswith("/positions") for r in s.requests))
    drive.stop()
    assert not drive.running and drive.stats.accepted <= 6
    assert connect.withdraw().dropped >= 5


def test_a_live_source_drops_its_oldest_when_the_outbox_is_full(make, service):
    service.fail(503, times=None, path="/v1/consents")
    connect = granted(make, clock=FakeClock(NOON), settings={"outbox_max_positions": 10})
    positions = [Position(60 + i * STEP, 24.9) for i in range(40)]
    drive = connect.drive(Listed(positions))
    while drive.stats.accepted < 40:
        threading.Event().wait(0.005)
    drive.stop()
    assert 30 <= drive.stats.dropped <= 40
    service.clear_failures()
    connect._parts.clock.advance(2)
    assert connect.flush().sent == 10
    assert service.positions[-1]["latitude"] == pytest.approx(60 + 39 * STEP, abs=1e-6)


def test_two_sources_have_filters_of_their_own(make, service):
    connect = granted(make)
    early, late = north(5), [Position(61.0, 25.0, time=datetime.now(UTC))] * 2
    with connect.drive(Listed(late)) as drive:
        drive.wait(20)
    assert (drive.stats.accepted, drive.stats.filtered) == (1, 1), "the second is a duplicate"
    with connect.drive(Listed(early)) as drive:
        drive.wait(20)
    assert drive.stats.accepted == 5, "not out of order: it is another source"


# -- push ----------------------------------------------------------------------------------------


def test_an_app_pushes_positions_and_ends_the_drive_by_closing(make, service):
    connect = granted(make)
    source = PushSource()
    drive = connect.drive(source)
    for position in north(10):
        assert source.put(position)
    assert connect.sharing
    source.close()
    assert drive.wait(20)
    assert drive.stats.sent == 10 and len(service.positions) == 10
    assert not connect.sharing


def test_stop_ends_a_source_that_is_waiting_and_sends_what_is_queued(make, service):
    connect = granted(make)
    source = PushSource()
    drive = connect.drive(source)
    for position in north(3):
        source.put(position)
    events = iter(drive)
    while drive.stats.accepted < 3:
        next(events)
    drive.stop()
    assert not drive.running and drive.stats.sent == 3
    drive.stop()
    assert not source.put(north(1)[0]), "the source was closed"
    assert all(isinstance(event, Progress) for event in events), "the events end with the drive"


def test_leaving_the_block_stops_the_drive(make):
    connect = granted(make)
    with connect.drive(PushSource()) as drive:
        assert drive.running
    assert not drive.running


def test_closing_the_facade_stops_its_drives(make):
    connect = granted(make)
    drive = connect.drive(PushSource())
    connect.close()
    assert not drive.running


def test_a_reset_stops_its_drives(make):
    connect = granted(make)
    drive = connect.drive(PushSource())
    connect.reset()
    assert drive.wait(5)
    assert len([e for e in drive if isinstance(e, SourceLost)]) == 0


# -- sources that fail ---------------------------------------------------------------------------


def test_a_source_that_cannot_be_opened_raises_at_once(make, tmp_path):
    connect = granted(make)
    for source in (f"gpx:{tmp_path / 'missing.gpx'}", "carrier-pigeon:home"):
        with pytest.raises(SourceUnavailable):
            connect.drive(source)


def test_without_consent_there_is_no_drive_and_the_source_is_not_opened(make, tmp_path):
    connect = make()
    with pytest.raises(ConsentRequired) as caught:
        connect.drive(f"gpx:{tmp_path / 'missing.gpx'}")
    assert caught.value.reason is Reason.NOT_ASKED


@pytest.mark.parametrize("error", [SourceError("the receiver was unplugged"), OSError("at 60.0, 24.9"), ValueError()])
def test_a_source_that_breaks_is_told_and_what_it_gave_is_sent(make, service, error):
    connect = granted(make)
    drive = connect.drive(Listed(north(7), error=error))
    events = list(drive)
    (lost,) = [event for event in events if isinstance(event, SourceLost)]
    if isinstance(error, SourceError):
        assert "unplugged" in lost.detail
    assert "60.0" not in lost.detail, "R10: a foreign error may say anything"
    assert drive.stats.sent == 7


def test_a_source_that_yields_something_else_is_lost(make):
    connect = granted(make)
    drive = connect.drive(Listed([(60.0, 24.9)]))  # type: ignore[list-item]
    (lost,) = [event for event in drive if isinstance(event, SourceLost)]
    assert "Position" in lost.detail


# -- the service ---------------------------------------------------------------------------------


def test_a_service_that_comes_back_gets_everything(make, service):
    connect = granted(make)
    service.fail(503, times=2, path="/v1/positions")
    drive = connect.drive(Listed(north(30)))
    assert drive.wait(20)
    assert drive.stats.sent == 30 and len(service.positions) == 30


def test_a_service_that_is_away_ends_no_drive(make, service):
    connect = granted(make)
    service.stop()
    source = PushSource()
    drive = connect.drive(source)
    for position in north(3):
        source.put(position)
    assert isinstance(next(iter(drive)), Progress)
    service.start()
    source.close()
    assert drive.wait(20)
    assert drive.stats.sent == 3


# -- consent lost --------------------------------------------------------------------------------


def drained(drive) -> list:
    return list(drive)


def test_r3_withdrawing_ends_the_drive_at_once_and_says_so(make, service):
    connect = granted(make)
    source = PushSource()
    drive = connect.drive(source)
    for position in north(5):
        source.put(position)
    assert connect.withdraw().complete
    assert drive.wait(2)
    assert [e.reason for e in drained(drive) if isinstance(e, ConsentLost)] == [Reason.WITHDRAWN]
    assert not source.put(north(1)[0])


def test_withdrawing_another_purpose_leaves_the_drive_alone(make, service):
    connect = granted(make)
    connect.request_permission(Purpose.CROSS_BORDER_TRANSFER, user_action=True)
    source = PushSource()
    drive = connect.drive(source)
    connect.withdraw(Purpose.CROSS_BORDER_TRANSFER)
    for position in north(5):
        assert source.put(position)
    source.close()
    assert drive.wait(20)
    assert drive.stats.sent == 5
    assert not [e for e in drained(drive) if isinstance(e, ConsentLost)]


def test_r3_a_withdrawal_of_another_facade_ends_the_drive_and_says_so(make, service):
    first = granted(make, WEEK)
    second = make()
    source = PushSource()
    drive = second.drive(source)
    for position in north(5):
        source.put(position)
    assert first.withdraw().complete
    assert drive.wait(5)
    assert [e.reason for e in drained(drive) if isinstance(e, ConsentLost)] == [Reason.WITHDRAWN]


def test_r3_a_drive_that_only_waits_hears_of_it_too(make, service):
    first = granted(make, WEEK)
    drive = make().drive(PushSource())
    assert first.withdraw().complete
    assert drive.wait(5)
    assert [e.reason for e in drained(drive) if isinstance(e, ConsentLost)] == [Reason.WITHDRAWN]


def test_what_the_service_revokes_ends_the_drive(make, service):
    connect = granted(make)
    source = PushSource()
    drive = connect.drive(source)
    service.wait_for(lambda s: s.consents)
    service.revoke()
    for position in north(40):
        source.put(position)
    assert drive.wait(10)
    assert [e.reason for e in drained(drive) if isinstance(e, ConsentLost)] == [Reason.REVOKED]
    assert service.positions == []


def test_events_are_bounded_and_consent_lost_is_always_kept(make, service):
    connect = granted(make, settings={"batch_max_positions": 1})
    source = PushSource(capacity=5000)
    route = Route(
        distance_m=1.0,
        duration_s=1.0,
        locale="en",
        line=tuple((24.9, 60.0 + i * STEP) for i in range(1001)),
        manoeuvres=tuple(Manoeuvre(f"Step {i}.", "continue", 11.0, 1.0, i) for i in range(1001)),
    )
    drive = connect.drive(source, route=route)
    for position in north(900):
        source.put(position)
    while drive.stats.accepted < 900:
        threading.Event().wait(0.005)
    connect.withdraw()
    assert drive.wait(5)
    events = drained(drive)
    assert len(events) <= 256
    assert sum(isinstance(e, ConsentLost) for e in events) == 1
    told = [e.instruction for e in events if isinstance(e, Guidance)]
    assert "Step 1." not in told, "the oldest are dropped"


# -- guidance ------------------------------------------------------------------------------------


def test_guidance_tells_each_step_once_a_band_and_arrives_once(make, service):
    connect = granted(make)
    drive = connect.drive(Listed(north(101)), route=ROUTE)
    events = [e for e in drive if isinstance(e, (Guidance, Arrived))]
    assert events[-1] == Arrived() and sum(isinstance(e, Arrived) for e in events) == 1
    instructions = [e.instruction for e in events if isinstance(e, Guidance)]
    assert instructions[0] == "Go on." and "You have arrived." in instructions
    assert len(instructions) <= 8, "told when the distance crosses a band, not at every position"
    distances = [e.distance_m for e in events if isinstance(e, Guidance) and e.instruction == "Go on."]
    assert distances == sorted(distances, reverse=True) and distances[0] == pytest.approx(556, abs=12)


def test_guidance_reads_positions_of_any_datum_in_wgs84(make, service):
    connect = granted(make)
    there = [Position(31.2 + i * STEP, 121.5, time=p.time).to(Datum.GCJ02) for i, p in enumerate(north(50))]
    route = Route(
        distance_m=500.0,
        duration_s=50.0,
        locale="zh-CN",
        line=((121.5, 31.2), (121.5, 31.2 + 49 * STEP)),
        manoeuvres=(Manoeuvre("到达", "arrive", 0.0, 0.0, 1),),
    )
    drive = connect.drive(Listed(there), route=route)
    assert Arrived() in list(drive)


def test_a_route_without_a_line_guides_nowhere(make, service):
    connect = granted(make)
    empty = Route(distance_m=0.0, duration_s=0.0, locale="en", line=((24.9, 60.0),))
    drive = connect.drive(Listed(north(3)), route=empty)
    assert not [e for e in drive if isinstance(e, (Guidance, Arrived))]


# -- adapters that fail --------------------------------------------------------------------------


def test_r12_a_vehicle_adapter_that_fails_has_gone_silent(make, service):
    from kalos_connect_sdk import PermissionState
    from kalos_connect_sdk.testing import FakeVehicle

    class Flaky(FakeVehicle):
        broken = False

        def read(self):
            if self.broken:
                raise OSError("the bus is off")
            return super().read()

    vehicle = Flaky()
    connect = granted(make, vehicle=vehicle)
    vehicle.broken = True
    assert connect.permission().granted
    connect.withdraw()
    assert connect.request_permission(user_action=True).state is PermissionState.DEFERRED
    vehicle.broken = False
    assert connect.request_permission(user_action=True).granted


def test_r3_the_watcher_outlives_an_adapter_that_fails(make, service):
    """Nobody calls into the second facade; only its watcher can end the drive's request in flight."""

    class Os:
        broken = False

        def read(self):
            from kalos_connect_sdk import OsAnswer

            if self.broken:
                raise RuntimeError("no portal")
            return OsAnswer.GRANTED

        def subscribe(self, callback):
            return lambda: None

    system = Os()
    first = granted(make, WEEK)
    second = make(os_permission=system)
    assert second.permission().granted
    system.broken = True
    assert second.permission().reason is Reason.OS_UNKNOWN
    system.broken = False
    assert second.permission().granted
    service.fail(stall_s=30.0, path="/v1/positions")
    drive = second.drive(Listed(north(40)))
    assert service.wait_for(lambda s: any(r["path"].endswith("/positions") and r["t_read"] for r in s.requests))
    assert first.withdraw().complete
    assert drive.wait(5)
    assert drive.stats.aborted == 1 and drive.stats.sent == 0


def test_closing_sends_no_position_and_keeps_what_is_queued(make, service):
    """``close()`` sends no positions; the next to open the state finds them."""
    connect = make()
    connect.request_permission(user_action=True)
    service.fail(503, times=None, path="/v1/positions")
    source = PushSource()
    drive = connect.drive(source)
    for i in range(5):
        source.put(Position(60.0, 24.0 + i * 1e-4))
    assert service.wait_for(lambda _: drive.stats.accepted == 5)
    connect.close()
    service.clear_failures()
    assert not drive.running
    assert service.positions == []
    assert make().flush().sent == 5
