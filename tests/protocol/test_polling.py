"""A car that stands still hears what happened to its consent at the service (R3, R6, R7)."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from kalos_connect_sdk import (
    ConsentRequired,
    Permission,
    PermissionState,
    Position,
    PromptAnswer,
    Purpose,
    Reason,
    ServiceRefused,
)
from kalos_connect_sdk.model.consent import Duration
from kalos_connect_sdk.service import rules
from kalos_connect_sdk.storage.directory import StateDirectory
from kalos_connect_sdk.testing import FakeClock, ServiceEmulator

NOON = datetime(2027, 5, 4, 12, tzinfo=UTC)
WEEK = PromptAnswer.allow(Duration.days(7))
HERE = (60.1699, 24.9384)


class Car:
    """A granted facade that does nothing, its clock, and what its subscriber hears."""

    def __init__(self, make: Any, service: ServiceEmulator, clock: FakeClock | None = None) -> None:
        self.service = service
        self.clock = clock or FakeClock(NOON)
        self.connect = make(WEEK, clock=self.clock)
        assert self.connect.request_permission(user_action=True).granted
        self.news: queue.SimpleQueue[Permission] = queue.SimpleQueue()
        self.connect.on_change(self.news.put)
        self.works = self.connect._opened().works
        self.settle()

    def settle(self) -> None:
        """The watcher has looked since the last change of the clock, and the courier has done what it then had to."""
        before = self.looks
        self.works.watcher.wake()
        self.until(lambda: self.looks > before + 1)
        self.works.courier.worker.call(lambda: None, 30)

    @property
    def looks(self) -> int:
        if not hasattr(self, "_looks"):
            self._looks = 0
            tick = self.works.polling.tick

            def counted(granted: Any) -> None:
                tick(granted)
                self._looks += 1

            self.works.watcher._ask = counted
        return self._looks

    @staticmethod
    def until(condition: Any) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.001)

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.settle()

    @property
    def polls(self) -> list[dict[str, Any]]:
        return [r for r in self.service.requests if r["method"] == "GET" and r["path"].startswith("/v1/consents/")]

    def registrations(self) -> int:
        return sum(r["method"] == "PUT" for r in self.service.requests)

    def assert_over(self, state: PermissionState, reason: Reason) -> None:
        told = self.news.get(timeout=20)
        while (told.state, told.reason) != (state, reason):
            assert not told.granted
            told = self.news.get(timeout=20)
        with pytest.raises(ConsentRequired) as caught:
            self.connect.submit(Position(*HERE))
        assert caught.value.reason is reason
        assert not self.connect.sharing


@pytest.fixture
def car(make, service) -> Car:
    return Car(make, service)


def test_r3_a_withdrawal_made_elsewhere_reaches_a_car_that_does_nothing(car):
    assert car.connect.submit(Position(*HERE)).accepted
    box = car.connect._opened().store.box
    car.service.revoke()
    car.pass_time(67)
    car.assert_over(PermissionState.BLOCKED, Reason.REVOKED)
    assert box is not None and not list(car.connect.state_path.glob("outbox/*.box")), "what was buffered is gone"
    assert car.connect.wait_for_notices(10), "the service is told what it knows: it does nothing twice"
    assert [w["epoch"] for w in car.service.withdrawals] == [1]
    assert car.service.positions == []
    seen = len(car.polls)
    car.pass_time(600)
    assert len(car.polls) == seen, "nothing is granted, nothing is asked"


@pytest.mark.parametrize(
    ("status", "reason", "state"),
    [
        ("withdrawn", Reason.REVOKED, PermissionState.BLOCKED),
        ("expired", Reason.EXPIRED, PermissionState.PROMPT),
        ("invalidated", Reason.NOTICE_CHANGED, PermissionState.PROMPT),
        ("something-new", Reason.REVOKED, PermissionState.BLOCKED),
    ],
)
def test_r1_every_status_that_is_no_yes_closes_the_gate(car, monkeypatch, status, reason, state):
    monkeypatch.setattr(rules, "status_at", lambda consent, now_s: status)
    car.pass_time(67)
    car.assert_over(state, reason)


def test_it_is_asked_about_once_a_minute_and_cheaply(car):
    assert car.polls == []
    for count in range(1, 4):
        car.pass_time(50)
        assert len(car.polls) == count - 1
        car.pass_time(17)
        assert len(car.polls) == count
    assert [r["status"] for r in car.polls] == [200, 304, 304]
    assert car.polls[1]["headers"]["if-none-match"]
    assert car.connect.permission().granted and car.news.empty()
    assert car.registrations() == 1


def test_a_send_asks_for_both(car):
    car.clock.advance(67)
    car.connect.submit(Position(*HERE, time=car.clock.now()))
    assert car.connect.flush().sent == 1
    car.settle()
    assert len(car.polls) == 1, "whoever came first"
    car.pass_time(50)
    assert len(car.polls) == 1
    car.pass_time(17)
    assert len(car.polls) == 2


def test_r6_an_older_epoch_says_nothing_of_a_newer_grant(car, monkeypatch):
    monkeypatch.setattr(
        "kalos_connect_sdk.service.desk.Desk.status",
        lambda self, record_id, _: ({"record_id": record_id, "status": "withdrawn", "epoch": 0}, '"x"'),
    )
    car.pass_time(67)
    assert len(car.polls) == 1 and car.connect.permission().granted


def test_r6_an_answer_about_a_grant_that_was_replaced_meanwhile_ends_nothing(car):
    engine = car.connect._opened()
    asked: list[object] = []
    client = engine.link.client(car.service.url)

    def late(*_: object) -> object:
        asked.append(car.connect.withdraw())
        assert car.connect.request_permission(user_action=True).epoch == 2
        return type("Known", (), {"status": "withdrawn", "epoch": 1, "etag": None})

    client.status = late
    car.pass_time(67)
    assert len(asked) == 1
    assert car.connect.permission().granted and car.connect.permission().epoch == 2


def test_a_401_registers_once_again_and_asks_once_more(car):
    car.service.fail(401, path="/v1/consents/")
    car.pass_time(67)
    assert [r["status"] for r in car.polls] == [401, 200] and car.registrations() == 2
    assert car.connect.permission().granted


def test_a_record_that_the_service_lost_is_registered_again(car):
    car.service.fail(404, path="/v1/consents/")
    car.pass_time(67)
    assert [r["status"] for r in car.polls] == [404, 200] and car.registrations() == 2
    assert car.connect.permission().granted


@pytest.mark.parametrize("status", [401, 404])
def test_a_service_that_never_knows_the_record_changes_nothing_and_is_not_hammered(car, status):
    client = car.connect._opened().link.client(car.service.url)
    asked: list[str] = []

    def never(record_id: str, token: str, *_: object) -> None:
        asked.append(token)
        raise ServiceRefused({"status": status, "type": "about:blank"})

    client.status = never
    car.pass_time(67)
    assert len(asked) == 2 and asked[0] != asked[1] and car.registrations() == 2
    car.pass_time(50)
    assert len(asked) == 2
    assert car.connect.permission().granted


@pytest.mark.parametrize(
    ("status", "problem", "reason", "state"),
    [
        (410, "consent-withdrawn", Reason.REVOKED, PermissionState.BLOCKED),
        (403, "consent-expired", Reason.EXPIRED, PermissionState.PROMPT),
        (403, "consent-required", Reason.REVOKED, PermissionState.BLOCKED),
        (409, "notice-changed", Reason.NOTICE_CHANGED, PermissionState.PROMPT),
    ],
)
def test_r1_where_the_service_closes_its_gate_an_idle_one_closes_too(car, status, problem, reason, state):
    car.service.fail(status, path="/v1/consents/", problem=problem)
    car.pass_time(67)
    car.assert_over(state, reason)
    assert car.registrations() == 1


def test_offline_changes_nothing_and_is_tried_less_and_less_often(car):
    car.service.stop()
    for _ in range(5):
        car.pass_time(400)
    assert car.connect.permission().granted and car.news.empty()
    assert car.works.polling._plan.attempts == 5
    car.service.start()
    car.service.revoke()
    car.pass_time(331)
    car.assert_over(PermissionState.BLOCKED, Reason.REVOKED)


def test_retry_after_is_kept_and_a_wake_up_does_not_break_it(car):
    car.service.fail(503, path="/v1/consents/", retry_after=600)
    car.pass_time(67)
    assert len(car.polls) == 1
    car.clock.suspend(300)
    car.settle()
    car.pass_time(250)
    assert len(car.polls) == 1
    car.pass_time(51)
    assert len(car.polls) == 2


def test_a_car_that_slept_asks_when_it_wakes(car):
    car.service.revoke()
    car.clock.suspend(20)
    car.settle()
    car.assert_over(PermissionState.BLOCKED, Reason.REVOKED)


def test_the_first_question_of_a_run_comes_within_seconds(make, service):
    car = Car(make, service)
    car.connect.close()
    service.revoke()
    car.clock.advance(67)
    again = make(clock=car.clock)
    news: queue.SimpleQueue[Permission] = queue.SimpleQueue()
    assert again.permission().granted
    again.on_change(news.put)
    works = again._opened().works
    Car.until(lambda: works.polling._plan is not None)
    car.clock.advance(5)
    assert news.get(timeout=20).reason is Reason.REVOKED


@pytest.mark.parametrize("settings", [{"service_url": None}, {}])
def test_nobody_is_asked_without_a_service_or_a_grant(make, service, settings):
    clock = FakeClock(NOON)
    connect = make(clock=clock, settings=settings)
    if settings:
        assert connect.request_permission(user_action=True).granted
    works = connect._opened().works
    for _ in range(3):
        clock.advance(100)
        works.watcher.wake()
    works.courier.worker.call(lambda: None, 30)
    assert works.polling._plan is None and service.requests == []


def test_r14_the_token_of_one_service_is_not_shown_to_another(make, service):
    Car(make, service).connect.close()
    clock = FakeClock(NOON)
    with ServiceEmulator() as other:
        moved = make(clock=clock, settings={"service_url": other.url})
        assert moved.permission().reason is Reason.ORIGIN_CHANGED
        works = moved._opened().works
        for _ in range(3):
            clock.advance(100)
            works.watcher.wake()
        works.courier.worker.call(lambda: None, 30)
        assert not [r for r in other.requests if r["method"] == "GET"]
        moved.close()


def test_one_of_several_programs_asks_for_all(make, service):
    clock = FakeClock(NOON)
    cars = [Car(make, service, clock)]
    for _ in range(2):
        other = make(WEEK, clock=clock)
        assert other.permission().granted
        cars.append(Car(make, service, clock))
    first = cars[0]
    for round_no in range(1, 4):
        clock.advance(67)
        for car in cars:
            car.settle()
        assert len(first.polls) == round_no, "one question a minute, whoever asks it"
    service.revoke()
    clock.advance(67)
    for car in cars:
        car.works.watcher.wake()
    for car in cars:
        car.assert_over(PermissionState.BLOCKED, Reason.REVOKED)


def test_who_asks_for_all_may_die_or_stop(make, service, tmp_path):
    car = Car(make, service)
    car.pass_time(67)
    assert len(car.polls) == 1
    note = car.connect.state_path / "poll.lock"
    script = (
        "import fcntl, os, sys\n"
        "fd = os.open(sys.argv[1], os.O_RDWR); fcntl.flock(fd, fcntl.LOCK_EX); print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(note)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        os.kill(holder.pid, signal.SIGSTOP)
        car.pass_time(67)
        assert len(car.polls) == 2, "a program that was stopped with the note in its hand keeps nobody from asking"
        os.kill(holder.pid, signal.SIGKILL)
    note.write_bytes(b"\xff" * 600)
    car.pass_time(67)
    assert len(car.polls) == 3, "a note that cannot be read keeps nobody either"


def test_r5_a_withdrawal_cuts_a_question_that_hangs_and_is_told_at_once(car):
    car.service.fail(stall_s=60.0, times=1, path="/v1/consents/", before="effect")
    car.clock.advance(67)
    car.works.watcher.wake()
    assert car.service.wait_for(lambda _: car.polls, 30)
    assert car.connect.withdraw().complete
    assert car.service.wait_for(lambda s: s.withdrawals, 30), "it did not wait for the stalled answer"
    car.service.clear_failures()


def test_a_question_that_hangs_does_not_keep_positions_waiting(car):
    """A send needs the courier, too; what is asked for its own sake gives way to it."""
    car.service.fail(stall_s=60.0, times=1, path="/v1/consents/", before="effect")
    car.clock.advance(67)
    car.works.watcher.wake()
    assert car.service.wait_for(lambda _: car.polls, 30)
    assert car.connect.submit(Position(*HERE)).accepted
    assert car.connect.flush(timeout_s=8.0).sent == 1
    car.service.clear_failures()


def test_r14_a_service_that_never_answers_about_its_notice_gets_positions_all_the_same(make, service):
    service.fail(stall_s=60.0, path="/v1/notice", before="effect")
    connect = make(WEEK)
    assert connect.request_permission(user_action=True).granted
    assert service.wait_for(lambda s: any(r["path"].startswith("/v1/notice") for r in s.requests), 30)
    assert connect.submit(Position(*HERE)).accepted
    assert connect.flush(timeout_s=8.0).sent == 1
    service.clear_failures()


def test_closing_does_not_wait_for_a_question_that_hangs(car):
    car.service.fail(stall_s=60.0, times=1, path="/v1/consents/", before="effect")
    car.clock.advance(67)
    car.works.watcher.wake()
    assert car.service.wait_for(lambda _: car.polls, 30)
    car.connect.close()
    assert not car.works.courier.worker._thread.is_alive(), "the question was cut, so the thread could end"
    car.service.clear_failures()


def test_r16_the_cross_border_grant_is_asked_about_too(car):
    assert car.connect.request_permission(Purpose.CROSS_BORDER_TRANSFER, user_action=True).granted
    car.pass_time(67)
    assert len({r["path"] for r in car.polls}) == 2
    (border,) = [i for i, c in car.service.consents.items() if c["purpose"] == "cross-border-transfer"]
    car.service.revoke(border)
    car.pass_time(67)
    Car.until(lambda: car.connect.permission(Purpose.CROSS_BORDER_TRANSFER).reason is Reason.REVOKED)
    assert car.connect.permission().granted


LAZY = """
import sys
from kalos_connect_sdk import AssertedParked, Config, Connect
from datetime import UTC, datetime
from kalos_connect_sdk.testing.clock import FakeClock
config = Config(state_dir=sys.argv[1], vault=sys.argv[2], service_url=sys.argv[3])
clock = FakeClock(datetime(2027, 5, 4, 13, tzinfo=UTC))
with Connect("com.example.test", config=config, vehicle=AssertedParked("a bench"), clock=clock) as connect:
    assert connect.permission().granted
    works = connect._opened().works
    while works.polling._plan is None:
        works.watcher.wake()
    works.courier.worker.call(lambda: None)
    assert "requests" not in sys.modules, "before the first question nothing is loaded"
    clock.advance(5)
    while works.polling._plan.attempts == 0 and not works.standing._asked:
        works.watcher.wake()
    assert "requests" in sys.modules
"""


def test_the_http_library_is_loaded_with_the_first_question(make, service, tmp_path):
    Car(make, service).connect.close()
    command = [sys.executable, "-c", LAZY, str(tmp_path / "state"), f"file:{tmp_path / 'vault'}", service.url]
    done = subprocess.run(command, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    assert StateDirectory.open("com.example.test", None, str(tmp_path / "state"), create=False)
