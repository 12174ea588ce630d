"""VSS in our words, and how old a vehicle's word may be: pure rules, every value and order."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalos_connect_sdk import Gear, Motion, OsAnswer, OsPermission, VehicleSignals
from kalos_connect_sdk.core.prompting import motion
from kalos_connect_sdk.sources import PushedOsPermission, PushedVehicle, vss
from kalos_connect_sdk.sources.vss import Fixes, Said

TREE = Path(__file__).parents[3] / "shared" / "data" / "vss_release_6.0.json"
T0 = 1_790_000_000.0
VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8))


def lat(value, at_s=T0):
    return Said(vss.LATITUDE, value, at_s)


def lon(value, at_s=T0):
    return Said(vss.LONGITUDE, value, at_s)


def test_every_signal_is_one_of_the_real_tree():
    if not TREE.exists():
        pytest.skip("the VSS tree is not at hand")

    def has(path: str) -> bool:
        nodes = json.loads(TREE.read_text())
        *branches, leaf = path.split(".")
        for branch in branches:
            if branch not in nodes:
                return False
            nodes = nodes[branch]["children"]
        return leaf in nodes

    paths = [value for name in vss.__all__ if isinstance(value := getattr(vss, name), str)]
    assert len(paths) >= 9 and all(map(has, paths))
    assert has(vss.DRIVERS[1]) and not has(vss.DRIVERS[0]), "the first is that of VSS 5"


@pytest.mark.parametrize(
    ("value", "gear"),
    [(126, Gear.PARK), (127, Gear.DRIVE), (0, Gear.NEUTRAL), (1, Gear.DRIVE), (-1, Gear.REVERSE), (-128, Gear.REVERSE)],
)
def test_gears_are_numbered_as_in_vss(value, gear):
    assert vss.gear_of(value) is gear


@given(VALUES)
def test_r12_only_126_is_park(value):
    assert (vss.gear_of(value) is Gear.PARK) is (type(value) is int and value == 126)
    assert vss.gear_of(126.0) is vss.gear_of("126") is vss.gear_of(True) is vss.gear_of(1_000) is None


@given(VALUES)
def test_a_speed_is_a_number_or_nothing(value):
    speed = vss.speed_of(value)
    assert speed is None or (speed >= 0 and math.isfinite(speed))
    assert vss.speed_of(-36) == vss.speed_of(36.0) == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("ignition", "started", "drive"),
    [
        ("ON", "2026-11-27T02:00Z", "trip-2026-11-27T02:00Z"),
        ("START", "2026-11-27T02:00Z", "trip-2026-11-27T02:00Z"),
        ("ACC", "2026-11-27T02:00Z", None),
        ("UNDEFINED", "2026-11-27T02:00Z", None),
        ("OFF", "2026-11-27T02:00Z", "ignition-off"),
        ("LOCK", None, "ignition-off"),
        ("ON", "0000-01-01T00:00Z", None),
        ("ON", None, None),
        (None, "2026-11-27T02:00Z", None),
    ],
)
def test_r13_a_drive_is_one_ignition_cycle(ignition, started, drive):
    assert vss.drive_of(ignition, started) == drive


def test_two_signals_make_one_fix():
    fixes = Fixes()
    assert fixes.add([lat(60.17)]) is None
    position = fixes.add([lon(24.94, T0 + 0.1)])
    assert (position.latitude, position.longitude) == (60.17, 24.94)
    assert position.time == datetime.fromtimestamp(T0 + 0.1, UTC)
    assert fixes.add([lon(24.95, T0 + 0.2)]) is None, "each counts once"
    assert fixes.add([lat(60.18, T0 + 0.2), lon(24.96, T0 + 0.2)]).longitude == 24.96


def test_an_old_latitude_never_meets_a_new_longitude():
    fixes = Fixes()
    assert fixes.add([lat(60.17)]) is None
    assert fixes.add([lon(24.99, T0 + 1)]) is None
    assert fixes.add([lat(60.18, T0 + 1)]).latitude == 60.18


@given(st.lists(st.tuples(st.sampled_from((vss.LATITUDE, vss.LONGITUDE)), st.floats(0, 5)), max_size=30))
def test_a_fix_is_never_put_together_from_two_times(said):
    """Every value is its own time, so that a position tells where it came from."""
    fixes = Fixes()
    for path, after_s in said:
        position = fixes.add([Said(path, 1 + after_s, T0 + after_s)])
        if position is not None:
            assert abs(position.latitude - position.longitude) <= 0.5 + 1e-6


@given(VALUES, VALUES)
def test_what_is_no_coordinate_is_left_out_and_counted(latitude, longitude):
    fixes = Fixes()
    position = fixes.add([lat(latitude), lon(longitude)])
    good = [type(one) in (int, float) and abs(one) <= most for one, most in ((latitude, 90), (longitude, 180))]
    expected = all(good) and (latitude != 0 or longitude != 0)
    assert (position is not None) is expected and fixes.skipped == (not expected)


def test_a_receiver_without_a_fix_says_nothing():
    fixes = Fixes()
    fixes.add([Said(vss.FIX_TYPE, "NONE", T0 - 900)])
    assert fixes.add([lat(60.17), lon(24.94)]) is None
    fixes.add([Said(vss.FIX_TYPE, "THREE_D", T0)])
    assert fixes.add([lat(60.17), lon(24.94)]) is not None


def test_what_belongs_to_a_fix_is_of_its_time():
    fixes = Fixes()
    beside = [Said(vss.SPEED, 36.0, T0 - 1), Said(vss.COURSE, 90.0, T0 - 1), Said(vss.ACCURACY, 4.0, T0 - 30)]
    fixes.add([*beside, Said(vss.ALTITUDE, math.nan, T0)])
    position = fixes.add([lat(60.17), lon(24.94)])
    assert (position.speed_mps, position.course_deg) == (pytest.approx(10), 90)
    assert (position.accuracy_m, position.altitude_m) == (None, None)
    assert "60" not in repr(lat(60.17))


# -- an app's own signals ---------------------------------------------------------------------------


class Time:
    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


def test_r12_a_gear_counts_while_it_is_repeated():
    now = Time()
    vehicle = PushedVehicle(now_s=now)
    assert isinstance(vehicle, VehicleSignals)
    assert motion(vehicle.read()) is Motion.UNKNOWN
    seen = []
    for _ in range(8):
        vehicle.tell(gear=Gear.PARK, speed_mps=0.0)
        seen.append(motion(vehicle.read()))
        now.s += 1
    assert seen == [Motion.IDLING] * 3 + [Motion.PARKED] * 5
    now.s += 4.1
    assert motion(vehicle.read()) is Motion.UNKNOWN, "nobody said so for five seconds"
    vehicle.tell(gear=Gear.PARK, speed_mps=0.0)
    assert motion(vehicle.read()) is Motion.IDLING, "and it is held from now on"


def test_r12_what_is_old_already_when_it_is_told_is_stale():
    vehicle = PushedVehicle(now_s=Time())
    vehicle.tell(gear=Gear.PARK, speed_mps=0.0, lag_s=6)
    assert motion(vehicle.read()) is Motion.UNKNOWN


def test_r12_a_speed_that_stays_away_makes_the_gear_doubtful():
    now = Time()
    vehicle = PushedVehicle(now_s=now)
    vehicle.tell(speed_mps=0.0)
    for _ in range(7):
        vehicle.tell(gear=Gear.PARK)
        now.s += 1
    assert motion(vehicle.read()) is Motion.UNKNOWN


def test_r12_a_gear_told_on_change_lives_as_long_as_the_speed_comes():
    now = Time()
    vehicle = PushedVehicle(gear_on_change=True, now_s=now)
    vehicle.tell(gear=Gear.PARK)
    assert motion(vehicle.read()) is Motion.UNKNOWN, "no speed, nothing that shows it is heard"
    for _ in range(60):
        vehicle.tell(speed_mps=0.0)
        now.s += 1
    assert motion(vehicle.read()) is Motion.PARKED
    now.s += 5
    assert motion(vehicle.read()) is Motion.UNKNOWN


@pytest.mark.parametrize("on_change", [True, False])
def test_r12_a_vehicle_that_moves_in_p_has_a_gear_that_is_wrong(on_change):
    now = Time()
    vehicle = PushedVehicle(gear_on_change=on_change, now_s=now)
    vehicle.tell(gear=Gear.PARK, speed_mps=0.0)
    now.s += 4
    vehicle.tell(speed_mps=14.0)
    assert motion(vehicle.read()) is Motion.MOVING
    now.s += 1
    vehicle.tell(speed_mps=0.0)  # at the lights
    now.s += 4
    assert motion(vehicle.read()) is Motion.IDLING
    vehicle.tell(gear=Gear.PARK, speed_mps=0.0)
    now.s += 3
    assert motion(vehicle.read()) is Motion.PARKED


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("gear"), st.sampled_from((Gear.PARK, Gear.DRIVE, Gear.REVERSE, None))),
            st.tuples(st.just("speed_mps"), st.sampled_from((0.0, 0.4, 0.6, 20.0, None))),
            st.tuples(st.just("wait"), st.floats(0, 7)),
        ),
        max_size=25,
    ),
    st.booleans(),
)
def test_r12_parked_means_that_p_was_the_last_word_and_that_nobody_moved_since(steps, on_change):
    now = Time()
    vehicle = PushedVehicle(gear_on_change=on_change, now_s=now)
    gear = speed = None
    gear_s = speed_s = since_s = -math.inf
    for name, value in steps:
        if name == "wait":
            now.s += value
        else:
            vehicle.tell(**{name: value})
            if name == "gear":
                since_s = now.s if gear is not Gear.PARK or value is not Gear.PARK else since_s
                gear, gear_s = value, now.s
            else:
                speed, speed_s = value, now.s
        if motion(vehicle.read()) is Motion.PARKED:
            assert gear is Gear.PARK and now.s - since_s >= 3 - 1e-9
            assert speed is None or (speed < 0.5 and now.s - speed_s <= 5)
            assert (now.s - gear_s <= 5) or (on_change and speed is not None)


def test_what_changes_is_told_once():
    vehicle = PushedVehicle(now_s=Time())
    told = []
    leave = vehicle.subscribe(lambda: told.append(vehicle.read().gear))
    vehicle.tell(gear=Gear.PARK, speed_mps=0.0)
    vehicle.tell(gear=Gear.PARK, speed_mps=0.1)
    vehicle.tell(gear=Gear.DRIVE)
    vehicle.tell(profile="anna")
    leave()
    vehicle.tell(gear=Gear.PARK)
    assert told == [Gear.PARK, Gear.DRIVE, Gear.DRIVE]


def test_r18_who_drives_is_remembered_when_the_vehicle_falls_silent():
    vehicle = PushedVehicle(now_s=Time())
    vehicle.tell(gear=Gear.PARK, speed_mps=0.0, profile="anna", drive_id="trip-1", privacy=True)
    vehicle.forget()
    state = vehicle.read()
    assert (state.gear, state.speed_mps, state.age_s) == (None, None, math.inf)
    assert (state.profile, state.drive_id, state.privacy) == ("anna", "trip-1", True)


@pytest.mark.parametrize(
    "wrong",
    [{"gear": "P"}, {"gear": 126}, {"speed_mps": -1}, {"speed_mps": math.nan}, {"speed_mps": True}, {"privacy": None},
     {"profile": 1}, {"latitude": 60.17}],
)  # fmt: skip
def test_what_is_no_signal_is_refused_and_changes_nothing(wrong):
    vehicle = PushedVehicle(now_s=Time())
    before = vehicle.read()
    with pytest.raises(TypeError) as caught:
        vehicle.tell(**wrong)
    assert vehicle.read() == before and "60.17" not in str(caught.value)


def test_r1_a_bridge_that_has_said_nothing_is_no_permission():
    bridged = PushedOsPermission()
    assert isinstance(bridged, OsPermission) and bridged.read() is OsAnswer.UNKNOWN
    told = []
    leave = bridged.subscribe(lambda: told.append(bridged.read()))
    for answer in (True, True, OsAnswer.DENIED, False, OsAnswer.GRANTED, None, OsAnswer.NOT_CONFIGURED, "granted", 1):
        bridged.tell(answer)
    assert told == [OsAnswer.GRANTED, OsAnswer.DENIED, OsAnswer.GRANTED, OsAnswer.UNKNOWN]
    assert bridged.read() is OsAnswer.UNKNOWN
    leave()
    bridged.tell(True)
    assert len(told) == 4 and repr(bridged) == "<PushedOsPermission granted>"
