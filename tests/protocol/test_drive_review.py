"""The review after a drive: every outcome that happened while moving, kept, told once parked, marked as seen (R12)."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from kalos_connect_sdk import (
    AssertedParked,
    AsyncConnect,
    DriveReview,
    Duration,
    MarkedBy,
    OsAnswer,
    Outcome,
    Position,
    Precision,
    PromptAnswer,
    Purpose,
    Reason,
    StateError,
)
from kalos_connect_sdk.testing import FakeClock, FakeVehicle, ScriptedPrompter

ALLOW = PromptAnswer.allow()
NAVIGATION = Purpose.NAVIGATION


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Looks again until the condition holds; a deadline, no pause that a test counts on."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, what
        threading.Event().wait(0.01)


def told(connect) -> list[tuple[Outcome, Purpose, Reason | None, str | None, int]]:
    """What a person reads now, without the times."""
    review = connect.drive_review()
    assert review is not None, "it is not to be read now"
    return [(line.outcome, line.purpose, line.reason, line.by, line.times) for line in review.outcomes]


def happened(connect) -> list[Outcome]:
    return [line[0] for line in told(connect)]


def left_word(connect) -> bool:
    """Programs without signals are told that the vehicle moves."""
    engine = connect._opened()
    return engine.keeper.call(lambda: engine.state.ledger.meta("moving")) is not None


class Os:
    answer = OsAnswer.GRANTED

    def read(self) -> OsAnswer:
        return self.answer

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        return lambda: None


@pytest.fixture
def car(make) -> tuple:
    """A head unit with a grant, driving."""
    vehicle = FakeVehicle()
    connect = make(vehicle=vehicle, os_permission=Os())
    assert connect.request_permission(user_action=True).granted
    assert told(connect) == [], "granted while parked"
    vehicle.move(20.0)
    connect.permission()  # heard, whatever the watcher is at
    return connect, vehicle


def test_r12_nothing_is_read_while_driving_and_all_of_it_once_parked(car):
    connect, vehicle = car
    connect.withdraw()
    assert connect.request_permission(user_action=True).reason is Reason.DEFERRED
    assert connect.request_permission(user_action=True).reason is Reason.DEFERRED
    assert connect.drive_review() is None
    assert connect.drive_review(driver_facing=False), "a passenger's phone, a desk"
    vehicle.park()
    assert told(connect) == [
        (Outcome.WITHDRAWN, NAVIGATION, Reason.WITHDRAWN, "subject", 1),
        (Outcome.DEFERRED, NAVIGATION, Reason.DEFERRED, "vehicle", 2),
    ]
    first, last = connect.drive_review().outcomes
    assert first.first_at == first.last_at <= last.first_at <= last.last_at <= datetime.now(UTC)


def test_r12_a_prompt_that_closed_because_park_was_left(make):
    vehicle = FakeVehicle()
    opened = threading.Event()
    connect = make(vehicle=vehicle, prompter=ScriptedPrompter(lambda request: opened.set()))
    future = connect.request_permission_future(user_action=True)
    assert opened.wait(30)
    vehicle.move(3.0)
    assert future.result(30).reason is Reason.DEFERRED
    vehicle.park()
    assert told(connect) == [(Outcome.CLOSED, NAVIGATION, Reason.DEFERRED, "left-park", 1)]


def test_r12_consent_that_the_service_ended(car, service):
    connect, vehicle = car
    service.fail(410, problem="consent-withdrawn", path="/v1/positions")
    connect.submit(Position(60.169857, 24.938379))
    connect.flush()
    vehicle.park()
    assert told(connect) == [(Outcome.REVOKED, NAVIGATION, Reason.REVOKED, "service", 1)]


@pytest.mark.parametrize(
    ("problem", "status", "outcome"),
    [("notice-changed", 409, Outcome.INVALIDATED), ("consent-expired", 403, Outcome.EXPIRED)],
)
def test_r12_consent_that_the_service_calls_over(car, service, problem, status, outcome):
    connect, vehicle = car
    service.fail(status, problem=problem, path="/v1/positions")
    connect.submit(Position(60.169857, 24.938379))
    connect.flush()
    vehicle.park()
    assert [(line[0], line[3]) for line in told(connect)] == [(outcome, "service")]


def test_r12_consent_that_the_system_ended(car):
    connect, vehicle = car
    connect._parts.os_permission.answer = OsAnswer.DENIED
    wait_for(lambda: connect.drive_review(driver_facing=False), "the watcher ends it")
    vehicle.park()
    assert told(connect) == [(Outcome.REVOKED, NAVIGATION, Reason.OS_DENIED, "os", 1)]


def test_r12_consent_that_the_vehicles_switch_ended(car):
    connect, vehicle = car
    vehicle.set_privacy(True)
    wait_for(lambda: connect.drive_review(driver_facing=False), "the watcher ends it")
    vehicle.park()
    assert told(connect) == [(Outcome.REVOKED, NAVIGATION, Reason.VEHICLE_PRIVACY, "vehicle", 1)]


def test_r12_consent_that_a_minors_mark_ended(car):
    connect, vehicle = car
    connect.privacy.mark_as_minor(MarkedBy.APP)
    vehicle.park()
    assert told(connect) == [(Outcome.REVOKED, NAVIGATION, Reason.GUARDIAN_REQUIRED, "profile", 1)]


def test_r12_consent_whose_time_ran_out(make):
    clock, vehicle = FakeClock(datetime(2027, 5, 4, 12, tzinfo=UTC)), FakeVehicle()
    connect = make(PromptAnswer.allow(duration=Duration.days(1)), clock=clock, vehicle=vehicle)
    assert connect.request_permission(user_action=True).granted
    vehicle.move(20.0)
    clock.advance(86_401)
    wait_for(lambda: connect.drive_review(driver_facing=False), "the watcher ends it")
    vehicle.park()
    assert told(connect) == [(Outcome.EXPIRED, NAVIGATION, Reason.EXPIRED, "time", 1)]


def test_r12_a_downgrade(car):
    connect, vehicle = car
    assert connect.request_permission(precision=Precision.APPROXIMATE).precision is Precision.APPROXIMATE
    vehicle.park()
    assert told(connect) == [(Outcome.CHANGED, NAVIGATION, None, "subject", 1)]


def test_r12_a_yes_on_a_screen_that_faces_no_driver(make):
    vehicle = FakeVehicle(parked=False, speed_mps=20.0)
    connect = make(prompter=ScriptedPrompter(PromptAnswer.deny(), ALLOW, driver_facing=False), vehicle=vehicle)
    connect.request_permission(user_action=True)
    connect.request_permission(user_action=True)
    vehicle.park()
    assert happened(connect) == [Outcome.REFUSED, Outcome.ALLOWED]


def test_r12_a_reset(car):
    connect, vehicle = car
    wait_for(lambda: connect._opened().state.motion().value == "moving", "heard")
    connect.reset()
    vehicle.park()
    assert happened(connect) == [Outcome.RESET]


def test_r12_what_happens_while_parked_is_no_news(make):
    connect = make(vehicle=FakeVehicle())
    connect.request_permission(user_action=True)
    connect.request_permission(precision=Precision.APPROXIMATE)
    connect.withdraw()
    assert told(connect) == []


@pytest.mark.parametrize("silent", [lambda car: car.go_silent(), lambda car: car.set(gear=None, speed_mps=None)])
def test_r12_unknown_counts_as_moving(car, silent):
    connect, vehicle = car
    silent(vehicle)
    connect.permission()  # heard
    wait_for(lambda: connect._opened().state.motion().value == "unknown", "heard")
    connect.withdraw()
    vehicle.park()
    assert happened(connect) == [Outcome.WITHDRAWN]


def test_r12_without_any_signals_nothing_is_known_to_be_parked(make):
    connect = make(vehicle=None, prompter=ScriptedPrompter(ALLOW, driver_facing=False))
    connect.request_permission(user_action=True)
    assert connect.drive_review() is None
    assert [line.outcome for line in connect.drive_review(driver_facing=False).outcomes] == [Outcome.ALLOWED]


def test_r12_who_says_it_is_parked_has_nothing_to_be_told(make):
    connect = make(vehicle=AssertedParked("a laptop on a desk"))
    connect.request_permission(user_action=True)
    connect.withdraw()
    assert told(connect) == []


def test_r12_seen_is_seen_and_later_outcomes_are_not(car):
    connect, vehicle = car
    connect.withdraw()
    vehicle.park()
    review = connect.drive_review()
    vehicle.move(9.0)
    connect.request_permission(user_action=True)
    connect.drive_review_seen(review)
    vehicle.park()
    assert happened(connect) == [Outcome.DEFERRED]
    connect.drive_review_seen(connect.drive_review())
    assert told(connect) == [] and not connect.drive_review()
    connect.drive_review_seen(review)
    assert told(connect) == [], "an older one takes nothing back"


def test_r12_parked_before_the_entry_was_written_it_happened_while_moving(car, monkeypatch):
    connect, vehicle = car
    state = connect._opened().state
    commit = type(state).commit

    def parked_by_now(self, bodies=(), **more):
        if bodies:
            vehicle.park()
            connect.permission()  # heard
        commit(self, bodies, **more)

    connect.permission()  # heard
    monkeypatch.setattr(type(state), "commit", parked_by_now)
    connect.withdraw()
    wait_for(lambda: connect.drive_review() is not None, "parked")
    assert happened(connect) == [Outcome.WITHDRAWN]


def test_r12_a_mark_of_another_history_marks_nothing(car):
    connect, vehicle = car
    connect.withdraw()
    vehicle.park()
    for upto in ("", "00" * 32):
        connect.drive_review_seen(DriveReview((), upto))
    assert happened(connect) == [Outcome.WITHDRAWN]


def test_r12_a_mark_that_is_no_number_tells_it_again(car):
    connect, vehicle = car
    connect.withdraw()
    vehicle.park()
    connect.drive_review_seen(connect.drive_review())
    engine = connect._opened()
    engine.keeper.call(lambda: engine.state.commit(meta={"review.seen": "many"}))
    assert happened(connect) == [Outcome.WITHDRAWN]


def test_a_history_that_cannot_be_read_is_an_error_and_not_an_empty_review(car):
    connect, vehicle = car
    connect.withdraw()
    assert connect.wait_for_notices(10) and connect.receipts(), "nobody writes to it any more"
    (connect.state_path / "ledger.db").write_bytes(b"x" * 4096)
    vehicle.park()
    with pytest.raises(StateError):
        connect.drive_review()


# -- other programs ------------------------------------------------------------------------------

OTHER = """
import json, os, sys
from kalos_connect_sdk import AssertedParked, Config, Connect, PromptAnswer
from kalos_connect_sdk.testing import FakeVehicle, ScriptedPrompter
vehicle = {"car": FakeVehicle(parked=False, speed_mps=20.0), "phone": AssertedParked("a phone"), "none": None}[sys.argv[4]]
connect = Connect("com.example.test", prompter=ScriptedPrompter(PromptAnswer.allow()), vehicle=vehicle,
    config=Config(state_dir=sys.argv[1], vault=sys.argv[2], service_url=sys.argv[3]))
"""


def other_program(tmp_path, service, who: str, then: str) -> subprocess.CompletedProcess[str]:
    arguments = [str(tmp_path / "state"), f"file:{tmp_path / 'vault'}", service.url, who]
    return subprocess.run(
        [sys.executable, "-c", OTHER + then, *arguments], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("who", ["phone", "none"])
def test_r12_a_withdrawal_on_a_companion_while_the_car_drives_is_told_in_the_car(car, tmp_path, service, who):
    connect, vehicle = car
    wait_for(lambda: left_word(connect), "the car leaves word that it moves")
    done = other_program(tmp_path, service, who, "print(connect.withdraw().complete)")
    assert done.stdout == "True\n", done.stderr
    vehicle.park()
    assert told(connect) == [(Outcome.WITHDRAWN, NAVIGATION, Reason.WITHDRAWN, "subject", 1)]


def test_r12_once_the_car_is_parked_a_companions_withdrawal_is_no_news(car, tmp_path, service):
    connect, vehicle = car
    wait_for(lambda: left_word(connect), "the car leaves word that it moves")
    vehicle.park()
    wait_for(lambda: not left_word(connect), "and that it parked")
    assert other_program(tmp_path, service, "phone", "connect.withdraw()").returncode == 0
    assert told(connect) == []


def test_r5_killed_while_driving_the_next_start_tells_it(tmp_path, service, make):
    killed = other_program(
        tmp_path, service, "car", "connect.request_permission(user_action=True); os.kill(os.getpid(), 9)"
    )
    assert killed.returncode == -9, killed.stderr
    connect = make(vehicle=FakeVehicle())
    assert happened(connect) == [Outcome.DEFERRED]
    connect.drive_review_seen(connect.drive_review())
    connect.close()
    assert told(make(vehicle=FakeVehicle())) == []


def test_r5_killed_between_the_tombstone_and_the_record_it_counts_as_moving(car, tmp_path, service, make):
    connect, _ = car
    wait_for(lambda: left_word(connect), "the car leaves word that it moves")
    connect.close()
    done = other_program(
        tmp_path,
        service,
        "car",
        "connect.permission()\nfrom kalos_connect_sdk.protocol.ending import Ending\n"
        "Ending.commit_ends = lambda *_, **__: os._exit(9)\nconnect.withdraw()",
    )
    assert done.returncode == 9, done.stderr
    companion = make(vehicle=AssertedParked("a phone"))
    assert not companion.permission().granted
    wait_for(lambda: happened(companion), "the opening records it")
    assert Outcome.WITHDRAWN in happened(companion)


def test_r11_an_adapter_that_hangs_holds_up_no_withdrawal(make):
    class Hangs(FakeVehicle):
        free = threading.Event()
        hangs = False

        def read(self):
            if self.hangs:
                self.free.wait(60)
            return super().read()

    vehicle = Hangs()
    connect = make(vehicle=vehicle)
    assert connect.request_permission(user_action=True).granted
    vehicle.hangs = True
    try:
        assert connect.withdraw().complete
    finally:
        vehicle.hangs = False
        vehicle.free.set()


def test_r12_word_is_left_again_after_the_ledger_could_not_be_written(car, monkeypatch):
    connect, vehicle = car
    wait_for(lambda: left_word(connect), "the car leaves word that it moves")
    engine = connect._opened()
    moving, state = engine.moving, engine.state
    failed = threading.Event()

    def full(*_, **__):
        failed.set()
        raise StateError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(type(state), "commit", full)
        vehicle.park()
        assert failed.wait(30)
        wait_for(lambda: moving._told is None, "it is owed")
    moving._again = 0.0
    wait_for(lambda: not left_word(connect), "and made up for")


# -- the rest of the face ------------------------------------------------------------------------


def test_r10_a_review_holds_no_coordinate(car):
    connect, vehicle = car
    connect.submit(Position(60.169857, 24.938379))
    connect.withdraw()
    vehicle.park()
    history = json.dumps(connect.privacy.export()["history"]) + repr(connect.drive_review())
    assert not [canary for canary in ("60.16", "24.93", "169857") if canary in history]


def test_the_same_for_asyncio(car):
    connect, vehicle = car
    connect.withdraw()

    async def story() -> None:
        options = {"config": connect.config, "vehicle": vehicle, "prompter": ScriptedPrompter(ALLOW)}
        async with AsyncConnect("com.example.test", **options) as same:
            assert await same.drive_review() is None
            vehicle.park()
            review = await same.drive_review()
            assert [line.outcome for line in review.outcomes] == [Outcome.WITHDRAWN]
            await same.drive_review_seen(review)
            assert not await same.drive_review()

    asyncio.run(story())
