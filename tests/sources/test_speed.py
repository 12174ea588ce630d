"""The speed of a receiver as a vehicle signal: it can say moving, and never parked (R12)."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from receivers import Bench, Gpsd, TcpServer, Ticker, bench, until

from kalos_connect_sdk import AssertedParked, Position, SourceError
from kalos_connect_sdk.core.prompting import motion
from kalos_connect_sdk.model.vehicle import Motion
from kalos_connect_sdk.ports import VehicleSignals
from kalos_connect_sdk.sources import NmeaSource, PushSource, SpeedFallback, open_source
from kalos_connect_sdk.testing import FakeVehicle

__all__ = ["bench"]


def at(speed_mps: float | None) -> Position:
    return Position(60.0, 24.9, speed_mps=speed_mps)


class Driven:
    """A fallback, a clock, and a way to say a speed and know that it was heard."""

    def __init__(self, vehicle: VehicleSignals | None = None) -> None:
        self.now_s = 0.0
        self._source = PushSource()
        self.fallback = SpeedFallback(self._source, vehicle=vehicle, now_s=lambda: self.now_s)

    def say(self, speed_mps: float | None) -> Motion:
        heard = self.fallback._heard
        self._source.put(at(speed_mps))
        until(lambda: self.fallback._heard is not heard or (heard is None and speed_mps is None))
        return self.motion()

    def motion(self) -> Motion:
        return motion(self.fallback.read())

    def close(self) -> None:
        self.fallback.close()


@pytest.fixture
def driven(bench: Bench) -> Driven:
    made: Driven = bench.keep(Driven())
    return made


def test_r12_it_says_moving_and_otherwise_nothing(driven: Driven) -> None:
    assert isinstance(driven.fallback, VehicleSignals)
    assert driven.motion() is Motion.UNKNOWN
    assert driven.say(13.9) is Motion.MOVING and "moving" in repr(driven.fallback)
    for standing in (0.0, 0.4, None):
        assert driven.say(standing) is Motion.UNKNOWN
        assert driven.fallback.read().gear is None and driven.fallback.read().held_s == 0
    assert driven.say(0.5) is Motion.MOVING


def test_r12_a_speed_that_is_old_says_nothing(driven: Driven) -> None:
    assert driven.say(20.0) is Motion.MOVING
    driven.now_s = 5.1
    assert driven.motion() is Motion.UNKNOWN


@given(st.floats(0, 1e5), st.floats(0, 100))
def test_r12_no_speed_is_ever_parked(speed_mps: float, later_s: float) -> None:
    driven = Driven()
    try:
        driven.say(speed_mps)
        driven.now_s = later_s
        assert driven.motion() in (Motion.MOVING, Motion.UNKNOWN)
    finally:
        driven.close()


def test_r12_it_overrules_what_claims_to_be_parked_and_adds_nothing_else(bench: Bench) -> None:
    for vehicle in (FakeVehicle(), AssertedParked("a laptop on a desk")):
        driven = bench.keep(Driven(vehicle))
        assert driven.motion() is Motion.PARKED, "what the vehicle says"
        assert driven.say(10.0) is Motion.MOVING
        assert driven.say(0.0) is Motion.PARKED, "what the vehicle says"
    fast = bench.keep(Driven(FakeVehicle(parked=False, speed_mps=30.0)))
    fast.say(1.0)
    assert fast.fallback.read().speed_mps == 30.0, "the vehicle knows better how fast"


def test_changes_are_told_once_and_until_somebody_leaves(bench: Bench) -> None:
    vehicle = FakeVehicle()
    driven = bench.keep(Driven(vehicle))
    told: list[Motion] = []
    leave = driven.fallback.subscribe(lambda: told.append(driven.motion()))
    for count, speed_mps in ((1, 10.0), (1, 11.0), (2, 0.0), (2, 0.0), (3, 12.0)):
        driven.say(speed_mps)
        until(lambda count=count: len(told) >= count)
    assert told == [Motion.MOVING, Motion.PARKED, Motion.MOVING]
    vehicle.move(5.0)
    assert told[3:] == [Motion.MOVING], "changes of the vehicle are told, too"
    leave()
    driven.say(0.0)
    vehicle.park()
    assert len(told) == 4


def test_a_recording_says_nothing_of_now(tmp_path) -> None:
    (tmp_path / "a.nmea").touch()
    with pytest.raises(ValueError, match="live source"):
        SpeedFallback(NmeaSource(tmp_path / "a.nmea"))


def test_a_source_that_breaks_leaves_unknown() -> None:
    class Broken:
        live = True

        def __iter__(self):
            yield at(10.0)
            raise SourceError("gone")

        def close(self) -> None: ...

    fallback = SpeedFallback(Broken())
    fallback._thread.join(10)
    assert motion(fallback.read()) is Motion.UNKNOWN
    fallback.close()


def test_of_a_real_gpsd(bench: Bench) -> None:
    server = bench.keep(TcpServer())
    bench.keep(Ticker(server.send)).start()
    daemon = bench.keep(Gpsd(f"tcp://127.0.0.1:{server.port}"))
    fallback = bench.keep(SpeedFallback(open_source(f"gpsd://localhost:{daemon.port}")))
    moving = threading.Event()
    fallback.subscribe(moving.set)
    assert moving.wait(20) and motion(fallback.read()) is Motion.MOVING
    fallback.close()
    assert motion(fallback.read()) is Motion.UNKNOWN
