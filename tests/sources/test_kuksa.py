"""KUKSA: positions and vehicle signals on the real VSS tree, against the labelled stand-in of the databroker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from receivers import DEADLINE_S, Bench, Reader, Told, bench, until
from vehicle_bench import Databroker, databroker

from kalos_connect_sdk import (
    Gear,
    Motion,
    PermissionState,
    Position,
    PromptAnswer,
    PromptRequest,
    Reason,
    SourceUnavailable,
    VehicleSignals,
)
from kalos_connect_sdk.core.prompting import motion
from kalos_connect_sdk.sources import open_source, vss

__all__ = ["bench"]
pytestmark = pytest.mark.first
WHERE = "Vehicle.CurrentLocation"
DRIVER = "Vehicle.Occupant.Row1.DriverSide.Identifier.Subject"


@pytest.fixture
def broker(bench: Bench) -> Databroker:
    return bench.keep(databroker())


@pytest.fixture
def guarded(bench: Bench, tmp_path: Path) -> Databroker:
    """One that asks for a token; ours lies in the file ``token`` beside it."""
    (tmp_path / "token").write_text("ours\n")
    return bench.keep(databroker(tokens=tmp_path / "tokens.json"))


@pytest.fixture
def vehicle(bench: Bench) -> Callable[..., Any]:
    from kalos_connect_sdk.sources import KuksaVehicle

    return lambda broker, **how: bench.keep(KuksaVehicle("127.0.0.1", broker.port, **how))


class Driving(threading.Thread):
    """A provider that repeats gear and speed, four times a second."""

    def __init__(self, broker: Databroker, gear: int = 126, speed: float = 0.0) -> None:
        super().__init__(daemon=True)
        self.gear, self.speed = gear, speed
        self._broker = broker
        self._over = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._over.wait(0.25):
            self._broker.say(vss.GEAR, self.gear)
            self._broker.say(vss.SPEED, self.speed)

    def stop(self) -> None:
        self._over.set()
        self.join(DEADLINE_S)


# -- positions -------------------------------------------------------------------------------------


def test_latitude_and_longitude_come_apart_and_make_one_fix(broker, bench):
    source = bench.keep(open_source(f"kuksa://localhost:{broker.port}"))
    reader = Reader(source)
    for i in range(3):
        broker.say(f"{WHERE}.Heading", 12.5)
        broker.say(f"{WHERE}.Altitude", 20.0)
        broker.drive_north(60 + i / 100)
    got = [reader.next() for _ in range(3)]
    assert [(one.latitude, one.longitude) for one in got] == [(60.0, 24.9), (60.01, 24.9), (60.02, 24.9)]
    last = got[-1]
    assert (last.speed_mps, last.accuracy_m, last.course_deg, last.altitude_m) == (pytest.approx(10), 4.0, 12.5, 20.0)
    assert last.time is not None and abs(last.time.timestamp() - time.time()) < 60
    assert repr(source) == "<KuksaSource open>"


def test_r4_what_a_reader_misses_does_not_pile_up(broker, bench, monkeypatch):
    from kalos_connect_sdk.sources import databroker as spoken

    monkeypatch.setattr(spoken, "_KEPT", 8)
    source = bench.keep(open_source(f"kuksa://localhost:{broker.port}"))
    broker.drive_north(1.0)
    positions = iter(source)
    assert next(positions).latitude == 1.0
    for latitude in range(2, 30):
        broker.drive_north(float(latitude))
    broker.drive_north(60.0)
    got = [next(positions).latitude]
    while got[-1] != 60.0:
        got.append(next(positions).latitude)
    assert len(got) <= 8 // 2, "of latitude and longitude"


def test_what_is_stale_or_no_coordinate_is_not_where_the_vehicle_is(broker, bench):
    broker.drive_north(10.0)
    broker.say(f"{WHERE}.Latitude", 11.0, time.time() - 60)
    broker.say(f"{WHERE}.Longitude", 24.9, time.time() - 60)
    source = bench.keep(open_source(f"kuksa://localhost:{broker.port}"))
    told = Told(source)
    reader = Reader(source)
    assert "not of now; check its provider and both clocks" in told.until("not of now")
    for latitude, longitude in (
        (float("nan"), 24.9),
        (91.0, 24.9),
        (60.0, -181.0),
        (None, 24.9),
        (0.0, 0.0),
        ("x", 1.0),
    ):
        broker.say(f"{WHERE}.Latitude", latitude)
        broker.say(f"{WHERE}.Longitude", longitude)
    broker.say(f"{WHERE}.GNSSReceiver.FixType", "NONE")
    broker.drive_north(12.0)
    broker.say(f"{WHERE}.GNSSReceiver.FixType", "THREE_D")
    broker.drive_north(60.0)
    assert reader.next().latitude == 60.0
    assert told.until(None) is None


def test_killed_and_started_again_the_databroker_is_found_again(broker, bench):
    source = bench.keep(open_source(f"kuksa://localhost:{broker.port}"))
    told, reader = Told(source), Reader(source)
    until(lambda: source._broker is not None)
    broker.drive_north(60.0)
    assert reader.next()
    broker.kill()
    assert told.until("no KUKSA databroker answers")
    broker.start()
    stop = threading.Event()
    provider = threading.Thread(target=lambda: [broker.drive_north(61.0) for _ in iter(lambda: stop.wait(0.1), True)])
    provider.start()
    try:
        assert reader.next().latitude == 61.0
        assert told.until(None) is None
    finally:
        stop.set()
        provider.join(DEADLINE_S)


def test_r10_a_token_without_the_scope_is_told_in_words_and_not_shown(guarded, bench, tmp_path):
    url = f"kuksa://localhost:{guarded.port}?token_file={tmp_path / 'token'}"
    with pytest.raises(SourceUnavailable, match=r"Latitude needs a valid token; get a token with the scope read:"):
        open_source(url)
    guarded.let({"ours": ["Vehicle.Speed"]})
    with pytest.raises(SourceUnavailable, match=r"Latitude may not be read with this token") as caught:
        open_source(url)
    assert caught.value.__context__ is None and "ours" not in str(caught.value)
    guarded.let({"ours": ["Vehicle.CurrentLocation.Latitude"]})
    with pytest.raises(SourceUnavailable, match=r"Longitude may not be read with this token"):
        open_source(url)
    guarded.let({"ours": ["Vehicle.CurrentLocation"]})
    source = bench.keep(open_source(url))
    reader = Reader(source)
    guarded.drive_north(60.0)
    position = reader.next()
    assert position.latitude == 60.0 and position.speed_mps is None, "the speed is not in the scope"


def test_r10_a_token_is_never_sent_in_the_clear_over_a_network(tmp_path):
    from kalos_connect_sdk.sources import KuksaSource, KuksaVehicle

    (tmp_path / "token").write_text("ours")
    for make in (KuksaSource, KuksaVehicle):
        with pytest.raises(SourceUnavailable, match="only to a loopback address; give ca_file"):
            make("192.0.2.1", token_file=str(tmp_path / "token"))
    (tmp_path / "token").write_bytes(b"secret\x00token\nsecond")
    with pytest.raises(SourceUnavailable, match="holds none: one line") as caught:
        open_source(f"kuksa://localhost:1?token_file={tmp_path / 'token'}")
    assert caught.value.__context__ is None and "secret" not in str(caught.value)
    with pytest.raises(SourceUnavailable, match="token cannot be read from its file: no such file"):
        open_source("kuksa://localhost:1?token_file=/no/such/file")


@pytest.mark.parametrize(
    "rest", ["", "//", "//:55555", "//host:0", "//60.17,24.94", "//host?token=secret", "//host?token_file="]
)
def test_r10_a_malformed_url_is_answered_with_how_it_is_written(rest):
    with pytest.raises(SourceUnavailable, match="is written kuksa://HOST:PORT") as caught:
        open_source(f"kuksa:{rest}")
    assert "60.17" not in str(caught.value) and "secret" not in str(caught.value)


def test_nobody_there_is_told_at_once(bench):
    gone = databroker()
    gone.kill()
    with pytest.raises(SourceUnavailable, match="no KUKSA databroker answers") as caught:
        open_source(f"kuksa://127.0.0.1:{gone.port}")
    assert caught.value.__context__ is None


def test_over_tls_the_broker_must_be_who_it_says(bench, tmp_path):
    """A wrong authority is no connection, and the token does not leave."""
    authority, other = trustme.CA(), trustme.CA()
    served = authority.issue_cert("localhost")
    pem = tmp_path / "server.pem"
    served.private_key_and_cert_chain_pem.write_to_path(str(pem))
    for name, ca in (("right", authority), ("wrong", other)):
        ca.cert_pem.write_to_path(str(tmp_path / name))
    broker = bench.keep(databroker(tls=pem))
    source = bench.keep(open_source(f"kuksa://localhost:{broker.port}?ca_file={tmp_path / 'right'}"))
    reader = Reader(source)
    broker.drive_north(60.0)
    assert reader.next().latitude == 60.0
    with pytest.raises(SourceUnavailable, match="check host, port and ca_file"):
        open_source(f"kuksa://localhost:{broker.port}?ca_file={tmp_path / 'wrong'}")


# -- the vehicle -----------------------------------------------------------------------------------


def parked(vehicle: Any) -> Callable[[], bool]:
    return lambda: motion(vehicle.read()) is Motion.PARKED


def test_r12_parked_is_126_held_three_seconds_and_repeated(broker, bench, vehicle):
    signals = vehicle(broker)
    assert isinstance(signals, VehicleSignals) and signals.problem is None
    assert motion(signals.read()) is Motion.UNKNOWN
    provider = bench.keep(Driving(broker))
    began_s = time.monotonic()
    until(parked(signals))
    assert time.monotonic() - began_s >= 3
    provider.gear = 1
    until(lambda: signals.read().gear is Gear.DRIVE)
    assert motion(signals.read()) is Motion.IDLING
    provider.speed = 50.0
    until(lambda: motion(signals.read()) is Motion.MOVING)
    assert signals.read().speed_mps == pytest.approx(50 / 3.6)
    provider.stop()
    until(lambda: motion(signals.read()) is Motion.UNKNOWN)  # five seconds after the last word
    assert signals.read().age_s > 5


def test_r12_what_the_broker_kept_from_an_hour_ago_is_stale(broker, vehicle):
    for path, value in ((vss.GEAR, 126), (vss.SPEED, 0.0)):
        broker.say(path, value, time.time() - 3600)
    signals = vehicle(broker)
    assert signals.read().age_s > 3000 and motion(signals.read()) is Motion.UNKNOWN
    for path, value in ((vss.GEAR, 126), (vss.SPEED, 0.0)):
        broker.say(path, value, time.time() + 1800)
    until(lambda: 1700 < signals.read().age_s < 1900)
    assert motion(signals.read()) is Motion.UNKNOWN, "a clock that is ahead vouches for nothing"


def test_r12_without_the_right_to_read_the_gear_it_is_never_parked(guarded, bench, tmp_path, vehicle, make):
    guarded.let({"ours": ["Vehicle.Speed"]})
    bench.keep(Driving(guarded))
    signals = vehicle(guarded, token_file=str(tmp_path / "token"))
    until(lambda: signals.read().speed_mps == 0.0)
    assert "SelectedGear may not be read with this token: it counts as unknown; get a token" in signals.problem
    assert signals.read().gear is None and motion(signals.read()) is Motion.IDLING
    [row] = [row for row in make(vehicle=signals).doctor() if row["name"] == "vehicle"]
    assert not row["ok"] and row["advice"] == signals.problem
    nobody = vehicle(guarded, wait_s=0.0)
    until(lambda: nobody.problem and "SelectedGear needs a valid token" in nobody.problem)
    assert motion(nobody.read()) is Motion.UNKNOWN


def test_r13_r18_the_ignition_cycle_and_the_driver(broker, vehicle):
    signals = vehicle(broker, profiles={"subject-1": "anna"})
    broker.say(vss.START_TIME, "2026-11-27T02:00Z")
    broker.say(vss.IGNITION, "ON")
    broker.say(DRIVER, "subject-1")
    until(lambda: signals.read().profile == "anna")
    assert signals.read().drive_id == "trip-2026-11-27T02:00Z"
    broker.say(vss.IGNITION, "OFF")
    broker.say(DRIVER, "subject-2")
    until(lambda: signals.read().profile == "subject-2")
    assert signals.read().drive_id == "ignition-off"
    broker.kill()
    until(lambda: signals.problem is not None)
    assert signals.read().profile == "subject-2", "R18: silence does not bring the other driver back"
    broker.start()
    until(lambda: signals.problem is None)
    broker.say(DRIVER, "")
    until(lambda: signals.read().profile is None)


def test_r12_killed_the_broker_is_no_parked_vehicle_and_started_again_it_is_heard(broker, bench, vehicle):
    signals = vehicle(broker)
    provider = Driving(broker)
    until(parked(signals))
    changes = threading.Event()
    signals.subscribe(changes.set)
    provider.stop()
    broker.kill()
    assert changes.wait(DEADLINE_S), "told at once, not when it has become old"
    assert motion(signals.read()) is Motion.UNKNOWN and signals.read().gear is None
    broker.start()
    bench.keep(Driving(broker))
    until(lambda: motion(signals.read()) is Motion.IDLING)  # held from now on


def test_r12_a_vehicle_that_is_not_there_yet_is_unknown_and_found_later(bench, vehicle):
    late = databroker()
    late.kill()
    signals = vehicle(late, wait_s=0.0)
    until(lambda: "no KUKSA databroker answers" in signals.problem)
    assert motion(signals.read()) is Motion.UNKNOWN
    late.start()
    bench.keep(late)
    bench.keep(Driving(late))
    until(lambda: signals.read().gear is Gear.PARK)
    signals.close()
    signals.close()
    assert motion(signals.read()) is Motion.UNKNOWN, "nobody watches any more"


class Shown:
    """A driver-facing prompt that stands until it is closed."""

    def __init__(self) -> None:
        self.requests: list[PromptRequest] = []
        self.closed = threading.Event()

    def ask(self, request: PromptRequest) -> PromptAnswer | None:
        self.requests.append(request)
        if request.cancelled.wait(DEADLINE_S):
            self.closed.set()
        return None


def test_r12_held_in_p_for_three_seconds_it_asks_and_in_d_the_prompt_closes(broker, bench, vehicle, make):
    signals = vehicle(broker)
    prompter = Shown()
    connect = make(vehicle=signals, prompter=prompter)
    assert connect.request_permission(user_action=True).state is PermissionState.DEFERRED
    provider = bench.keep(Driving(broker))
    until(lambda: signals.read().gear is Gear.PARK)
    assert connect.request_permission(user_action=True).state is PermissionState.DEFERRED, "not held yet"
    until(parked(signals))
    asked = connect.request_permission_future(user_action=True)
    until(lambda: bool(prompter.requests))
    provider.gear = 127
    permission = asked.result(DEADLINE_S)
    assert permission.state is PermissionState.DEFERRED and permission.reason is Reason.DEFERRED
    assert prompter.closed.wait(DEADLINE_S) and len(prompter.requests) == 1


def test_r18_another_driver_has_no_share_in_the_consent(broker, bench, vehicle, make):
    signals = vehicle(broker)
    bench.keep(Driving(broker))
    broker.say(DRIVER, "anna")
    until(lambda: signals.read().profile == "anna" and parked(signals)())
    connect = make(vehicle=signals, profile="anna")
    assert connect.request_permission(user_action=True).granted
    assert connect.submit(Position(60.17, 24.94)).accepted
    broker.say(DRIVER, "bo")
    until(lambda: connect.permission().reason is Reason.PROFILE_MISMATCH)


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    yield
    until(lambda: not [one for one in threading.enumerate() if one.name in ("kalos-kuksa", "kalos-vehicle")])
