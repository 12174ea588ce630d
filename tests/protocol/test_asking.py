"""R12: asking well. One prompt, at the right moment, that always resolves."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from kalos_connect_sdk import (
    AssertedParked,
    Config,
    Connect,
    Duration,
    Ignition,
    OsAnswer,
    PermissionState,
    Position,
    Precision,
    PromptAnswer,
    Purpose,
    Reason,
)
from kalos_connect_sdk.protocol import asking
from kalos_connect_sdk.storage.page import Page
from kalos_connect_sdk.testing import FakeClock, FakeVehicle, ScriptedPrompter

ALLOW, DENY, DISMISS = PromptAnswer.allow(), PromptAnswer.deny(), PromptAnswer.dismiss()
NOON = datetime(2027, 5, 4, 12, tzinfo=UTC)


class Slow:
    """A front end that answers when told to, from another thread."""

    driver_facing = True

    def __init__(self) -> None:
        self.requests: list = []
        self.asked = threading.Event()

    def ask(self, request):
        self.requests.append(request)
        self.asked.set()


def test_r12_moving_is_deferred_and_nothing_is_shown(make):
    prompter = ScriptedPrompter(ALLOW)
    connect = make(prompter=prompter, vehicle=FakeVehicle(parked=False, speed_mps=20.0))
    permission = connect.request_permission(user_action=True)
    assert permission.state is PermissionState.DEFERRED and permission.reason is Reason.DEFERRED
    assert not permission.granted


def test_r12_without_signals_a_driver_facing_prompt_is_deferred(make):
    connect = make(vehicle=None)
    assert connect.request_permission(user_action=True).state is PermissionState.DEFERRED


def test_r12_leaving_park_closes_the_prompt_as_deferred(make):
    vehicle, prompter = FakeVehicle(), Slow()
    connect = make(prompter=prompter, vehicle=vehicle)
    future = connect.request_permission_future(user_action=True)
    assert prompter.asked.wait(5)
    vehicle.move(5.0)
    permission = future.result(timeout=5)
    assert permission.state is PermissionState.DEFERRED
    assert prompter.requests[0].cancelled.wait(1)
    prompter.requests[0].answer(ALLOW)
    assert not connect.permission().granted, "a late Allow is void"


@pytest.mark.fault(52)
def test_r11_withdrawing_cancels_an_open_prompt_and_a_late_allow_is_void(make):
    prompter = Slow()
    connect = make(prompter=prompter)
    future = connect.request_permission_future(user_action=True)
    assert prompter.asked.wait(5)
    assert connect.withdraw().complete
    assert not future.result(timeout=5).granted
    prompter.requests[0].answer(ALLOW)
    assert not connect.permission().granted


def test_r12_concurrent_requests_join_one_prompt(make):
    prompter = Slow()
    connect = make(prompter=prompter)
    futures = [connect.request_permission_future(user_action=True) for _ in range(5)]
    assert prompter.asked.wait(5)
    prompter.requests[0].answer(ALLOW)
    assert all(future.result(timeout=5).granted for future in futures)
    assert len(prompter.requests) == 1


def test_r12_a_request_of_another_process_joins_the_open_prompt(make, tmp_path, service):
    prompter = Slow()
    connect = make(prompter=prompter)
    future = connect.request_permission_future(user_action=True)
    assert prompter.asked.wait(5)
    script = """
import sys
from kalos_connect_sdk import AssertedParked, Config, Connect, PromptAnswer
from kalos_connect_sdk.testing import ScriptedPrompter
prompter = ScriptedPrompter(PromptAnswer.deny())
connect = Connect("com.example.test", prompter=prompter, vehicle=AssertedParked("a test bench"),
    config=Config(state_dir=sys.argv[1], vault=sys.argv[2], service_url=sys.argv[3]))
print("asking", flush=True)
print(connect.request_permission(user_action=True).granted, flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "state"), f"file:{tmp_path / 'vault'}", service.url],
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout.readline() == "asking\n"
        prompter.requests[0].answer(ALLOW)
        assert other.stdout.readline() == "True\n"
    assert future.result(timeout=5).granted


def test_r12_a_front_end_that_crashes_grants_nothing(make):
    class Broken:
        def ask(self, request):
            raise RuntimeError("no display")

    connect = make(prompter=Broken())
    permission = connect.request_permission(user_action=True)
    assert permission.state is PermissionState.PROMPT and permission.reason is Reason.PROMPT_FAILED


def test_r12_nobody_answers_for_120_seconds(make):
    clock, prompter = FakeClock(NOON), Slow()
    connect = make(prompter=prompter, clock=clock)
    future = connect.request_permission_future(user_action=True)
    assert prompter.asked.wait(5)
    clock.advance(121)
    permission = future.result(timeout=5)
    assert not permission.granted and permission.reason is Reason.DISMISSED
    assert prompter.requests[0].cancelled.is_set()


def test_r12_three_dismissals_make_it_quiet_for_seven_days(make):
    clock = FakeClock(NOON)
    connect = make(prompter=ScriptedPrompter(DISMISS, DISMISS, DISMISS, ALLOW), clock=clock)
    for _ in range(3):
        assert connect.request_permission().reason is Reason.DISMISSED
    assert connect.request_permission().reason is Reason.COOLDOWN
    clock.advance(6 * 86_400)
    assert connect.request_permission().reason is Reason.COOLDOWN
    clock.advance(86_400 + 1)
    assert connect.request_permission().granted


def test_r12_a_user_action_reopens_what_was_quiet(make):
    connect = make(prompter=ScriptedPrompter(DISMISS, DISMISS, DISMISS, ALLOW))
    for _ in range(3):
        connect.request_permission()
    assert connect.request_permission(user_action=True).granted


def test_no_prompter_is_unavailable(make, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    connect = make(prompter=None)
    permission = connect.request_permission(user_action=True)
    assert permission.state is PermissionState.UNAVAILABLE and permission.reason is Reason.NO_PROMPTER


def test_r14_the_prompter_sees_the_notice_and_the_recipient(make, service):
    prompter = ScriptedPrompter(ALLOW)
    connect = make(prompter=prompter)
    connect.request_permission(user_action=True)
    (request,) = prompter.requests
    assert request.text.who and request.text.how_to_stop and request.service_origin == service.url
    assert Duration.THIS_DRIVE in request.durations
    receipt = connect.receipts()[0].to_json()
    assert request.notice.version in receipt and service.url in receipt


@pytest.mark.parametrize("answer", [OsAnswer.DENIED, OsAnswer.UNKNOWN])
def test_r1_an_os_that_does_not_say_yes_is_a_no(make, answer):
    class Os:
        present = OsAnswer.GRANTED

        def read(self):
            return self.present

        def subscribe(self, callback):
            return lambda: None

    system = Os()
    connect = make(os_permission=system)
    assert connect.request_permission(user_action=True).granted
    system.present = answer
    connect._opened().watcher.wake()
    permission = connect.permission()
    assert permission.state is PermissionState.DENIED
    assert not connect.permission().granted


def test_r18_a_vehicle_that_reports_another_driver_closes_the_gate(make):
    vehicle = FakeVehicle()
    vehicle.set_profile("anna")
    connect = make(vehicle=vehicle, profile="anna")
    assert connect.request_permission(user_action=True).granted
    vehicle.set_profile("bert")
    assert connect.permission().reason is Reason.PROFILE_MISMATCH
    vehicle.set_profile("anna")
    assert connect.permission().granted


def test_r15_a_grant_of_approximate_sends_no_exact_position(make, service):
    connect = make(PromptAnswer.allow(precision=Precision.APPROXIMATE))
    assert connect.request_permission(user_action=True).precision is Precision.APPROXIMATE
    connect.submit(Position(60.1699, 24.9384, speed_mps=10.0, course_deg=90.0))
    connect.flush()
    (sent,) = service.positions
    assert (round(sent["latitude"], 4), round(sent["longitude"], 4)) != (60.1699, 24.9384)
    assert sent.get("speed") is None and sent.get("course") is None


def test_r9_without_a_vault_consent_lasts_for_this_run_only(tmp_path, service):
    script = """
import sys
from kalos_connect_sdk import AssertedParked, Config, Connect, PromptAnswer
from kalos_connect_sdk.testing import ScriptedPrompter
connect = Connect("com.example.test", prompter=ScriptedPrompter(PromptAnswer.allow()),
    vehicle=AssertedParked("a test bench"), config=Config(state_dir=sys.argv[1], vault="memory", service_url=sys.argv[2]))
print(connect.permission().granted, connect.request_permission(user_action=True).granted)
"""

    def run() -> str:
        return subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / "s"), service.url], capture_output=True, text=True, timeout=60
        ).stdout.strip()

    assert run() == "False True"
    assert run() == "False True", "the grant ended with its run"


def test_config_of_another_service_is_another_recipient(make, service):
    connect = make()
    connect.request_permission(user_action=True)
    connect.close()
    other = make(settings={"service_url": "http://127.0.0.1:1"})
    assert other.permission().reason is Reason.ORIGIN_CHANGED
    assert isinstance(other, Connect) and isinstance(other.config, Config)


# -- at the next stop ----------------------------------------------------------------------------


def test_r12_whoever_wants_to_be_asked_while_driving_is_asked_at_the_next_stop(make):
    vehicle = FakeVehicle(parked=False, speed_mps=20.0)
    prompter = ScriptedPrompter(PromptAnswer.allow())
    connect = make(vehicle=vehicle, prompter=prompter)
    future = connect.ask_when_parked()
    assert connect.permission().state is PermissionState.DEFERRED
    assert connect.ask_when_parked() is future, "several wishes are one"
    assert not future.done() and not prompter.requests
    vehicle.park()
    assert future.result(timeout=20).granted
    assert connect.permission().granted


def test_r12_leaving_park_again_puts_it_off_again(make):
    vehicle = FakeVehicle()
    asked = []

    class Slow:
        def ask(self, request):
            asked.append(request)
            if len(asked) == 1:
                vehicle.move(10.0)
                request.cancelled.wait(20)
                return None
            return PromptAnswer.allow()

    connect = make(vehicle=vehicle, prompter=Slow())
    future = connect.ask_when_parked()
    while not asked or not asked[0].cancelled.is_set():
        assert not future.done()
    vehicle.park()
    assert future.result(timeout=20).granted
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("answer", "state", "reason"),
    [(DENY, PermissionState.BLOCKED, Reason.REFUSED), (DISMISS, PermissionState.PROMPT, Reason.DISMISSED)],
)
def test_r12_a_no_at_the_next_stop_is_an_answer_and_nobody_is_asked_again(make, answer, state, reason):
    vehicle, prompter = FakeVehicle(parked=False, speed_mps=20.0), ScriptedPrompter(answer)
    connect = make(vehicle=vehicle, prompter=prompter)
    future = connect.ask_when_parked()
    vehicle.park()
    told = future.result(timeout=20)
    assert (told.state, told.reason) == (state, reason)
    assert prompter.asked == 1


@pytest.mark.parametrize("elsewhere", [False, True])
def test_r11_a_withdrawal_cancels_what_waits_for_the_next_stop(make, elsewhere):
    vehicle = FakeVehicle(parked=False, speed_mps=20.0)
    prompter = ScriptedPrompter(PromptAnswer.allow())
    connect = make(vehicle=vehicle, prompter=prompter)
    future = connect.ask_when_parked()
    (make(vehicle=vehicle) if elsewhere else connect).withdraw()
    assert not future.result(timeout=20).granted
    vehicle.park()
    assert not prompter.requests


def test_what_waits_is_told_when_the_facade_closes(make):
    connect = make(vehicle=FakeVehicle(parked=False, speed_mps=20.0))
    future = connect.ask_when_parked()
    connect.close()
    assert future.result(timeout=20).state is PermissionState.PROMPT


def test_r12_what_nobody_can_wait_for_is_answered_at_once_and_can_be_asked_again(make, monkeypatch):
    """A process that may start no more threads."""
    vehicle = FakeVehicle(parked=False, speed_mps=20.0)
    connect = make(vehicle=vehicle)
    start = threading.Thread.start

    def refused(thread):
        if thread.name == "kalos-when-parked":
            raise RuntimeError("can't start new thread")
        start(thread)

    connect.permission()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        assert not connect.ask_when_parked().result(timeout=20).granted
        assert connect.permission().state is not PermissionState.DEFERRED, "nothing waits"
    vehicle.park()
    assert connect.ask_when_parked().result(timeout=20).granted


def test_a_desk_that_faces_no_driver_is_asked_at_once(make):
    prompter = ScriptedPrompter(PromptAnswer.allow())
    prompter.driver_facing = False
    assert make(vehicle=None, prompter=prompter).ask_when_parked().result(timeout=20).granted


# -- what closes an open prompt, and what an answer is worth then --------------------------------


class Switches:
    """An operating system that answers what it is told to."""

    answer = OsAnswer.GRANTED

    def read(self):
        return self.answer

    def subscribe(self, callback):
        return lambda: None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda vehicle, system: vehicle.set_profile("bert"), Reason.PROFILE_MISMATCH),
        (lambda vehicle, system: vehicle.set_privacy(True), Reason.VEHICLE_PRIVACY),
        (lambda vehicle, system: setattr(system, "answer", OsAnswer.DENIED), Reason.OS_DENIED),
        (lambda vehicle, system: setattr(system, "answer", OsAnswer.UNKNOWN), Reason.OS_UNKNOWN),
        (lambda vehicle, system: vehicle.go_silent(), Reason.DEFERRED),
        (lambda vehicle, system: vehicle.set(ignition=Ignition.START), Reason.DEFERRED),
    ],
    ids=["another-driver", "privacy-switch", "os-denied", "os-unknown", "silent", "engine-started"],
)
def test_r12_r18_what_would_keep_a_prompt_shut_closes_an_open_one(make, change, reason):
    vehicle, system, prompter = FakeVehicle(), Switches(), Slow()
    vehicle.set_profile("anna")
    connect = make(prompter=prompter, vehicle=vehicle, os_permission=system, profile="anna")
    future = connect.request_permission_future(user_action=True)
    assert prompter.asked.wait(30)
    change(vehicle, system)
    assert future.result(timeout=30).reason is reason
    assert prompter.requests[0].cancelled.wait(30)
    prompter.requests[0].answer(ALLOW)
    vehicle.park()
    vehicle.set(profile="anna", privacy=False, ignition=None)
    system.answer = OsAnswer.GRANTED
    assert connect.permission().state is PermissionState.PROMPT, "nobody's Allow counts for anna, and no refusal either"


@pytest.mark.parametrize(("answer", "reason"), [(ALLOW, Reason.DEFERRED), (DENY, Reason.REFUSED)])
def test_r12_an_allow_that_comes_with_leaving_park_is_void_and_a_no_is_never_too_late(make, answer, reason):
    vehicle = FakeVehicle()

    def drive_off_and_answer(request):
        vehicle.move(5.0)
        return answer

    connect = make(prompter=ScriptedPrompter(drive_off_and_answer), vehicle=vehicle)
    assert connect.request_permission(user_action=True).reason is reason
    assert not connect.permission().granted


# -- who joins whom ------------------------------------------------------------------------------


def test_r12_a_persons_own_act_is_not_answered_with_what_an_app_is_told(make):
    prompter = ScriptedPrompter(DENY, ALLOW)
    connect = make(prompter=prompter)
    assert connect.request_permission().reason is Reason.REFUSED
    busy, go_on = threading.Event(), threading.Event()
    connect._opened().keeper.post(lambda: (busy.set(), go_on.wait(60)))
    assert busy.wait(30)
    apps = connect.request_permission_future()
    persons = connect.request_permission_future(user_action=True)
    assert connect.request_permission_future() in (apps, persons), "the others still join"
    go_on.set()
    assert apps.result(30).state is PermissionState.BLOCKED
    assert persons.result(30).granted and prompter.asked == 2


@contextmanager
def busy_keeper(connect):
    """While its keeper does something else: what is asked of it waits."""
    busy, go_on = threading.Event(), threading.Event()
    connect._opened().keeper.post(lambda: (busy.set(), go_on.wait(60)))
    assert busy.wait(30)
    try:
        yield
    finally:
        go_on.set()


@pytest.mark.parametrize("by", ["this program", "another"])
@pytest.mark.parametrize("purpose", list(Purpose))
def test_r11_what_was_asked_for_before_a_withdrawal_shows_no_prompt_after_it(make, by, purpose):
    prompter = ScriptedPrompter(ALLOW)
    connect, other = make(prompter=prompter), make()
    with busy_keeper(connect):
        before = connect.request_permission_future(purpose, user_action=True)
        if by == "another":
            assert other.withdraw().complete
        else:
            assert not connect.withdraw(timeout_s=0.0).complete, "its keeper is busy"
        after = connect.request_permission_future(purpose, user_action=True)
        assert after is not before
    told = before.result(30)
    assert (told.granted, told.reason) == (False, Reason.WITHDRAWN)
    assert after.result(30).granted and prompter.asked == 1, "the withdrawal says nothing of what is asked for later"


def test_r11_who_asks_anew_after_a_withdrawal_does_not_join_the_prompt_that_it_closed(make):
    prompter = Slow()
    connect = make(prompter=prompter)
    before = connect.request_permission_future(user_action=True)
    assert prompter.asked.wait(30)
    prompter.asked.clear()
    with busy_keeper(connect):
        connect.withdraw(timeout_s=0.0)
        after = connect.request_permission_future(user_action=True)
    assert before.result(30).reason is Reason.WITHDRAWN
    assert prompter.asked.wait(30)
    prompter.requests[1].answer(ALLOW)
    assert after.result(30).granted


def test_r11_who_asks_anew_in_another_program_waits_for_the_closed_prompt_and_asks(make, monkeypatch):
    slow, prompter = Slow(), ScriptedPrompter(ALLOW)
    theirs, connect = make(prompter=slow), make(prompter=prompter)
    before = theirs.request_permission_future(user_action=True)
    assert slow.asked.wait(30)
    joined = threading.Event()
    waits = asking.wait_until_free
    monkeypatch.setattr(asking, "wait_until_free", lambda *arguments: (joined.set(), waits(*arguments)))
    with busy_keeper(theirs):
        assert connect.withdraw().complete
        after = connect.request_permission_future(user_action=True)
        assert joined.wait(30)
    assert before.result(30).reason is Reason.WITHDRAWN
    assert after.result(30).granted and prompter.asked == 1


def test_r19_a_withdrawal_of_one_purpose_closes_no_prompt_of_another(make):
    prompter = Slow()
    connect = make(prompter=prompter)
    asked = connect.request_permission_future(user_action=True)
    assert prompter.asked.wait(30)
    assert connect.withdraw(Purpose.CROSS_BORDER_TRANSFER).complete
    prompter.requests[0].answer(ALLOW)
    assert asked.result(30).granted


def test_r11_a_withdrawal_between_the_stop_and_the_question_leaves_it_unasked(make):
    prompter = ScriptedPrompter(ALLOW)
    vehicle = FakeVehicle(parked=False, speed_mps=20.0)
    connect, other = make(prompter=prompter, vehicle=vehicle), make()
    waiting = connect._opened().works.when_parked
    may_ask = waiting._may_ask
    waiting._may_ask = lambda: may_ask() and other.withdraw().complete
    wish = connect.ask_when_parked()
    vehicle.park()
    assert (wish.result(30).granted, prompter.asked) == (False, 0)
    waiting._may_ask = may_ask
    assert connect.ask_when_parked().result(30).granted


def test_r11_a_wish_after_a_withdrawal_is_another_one(make):
    prompter = ScriptedPrompter(ALLOW)
    vehicle = FakeVehicle(parked=False, speed_mps=20.0)
    connect = make(prompter=prompter, vehicle=vehicle)
    before = connect.ask_when_parked()
    assert connect.withdraw().complete
    after = connect.ask_when_parked()
    assert after is not before and connect.ask_when_parked() is after
    assert not before.result(30).granted
    assert connect.permission().state is PermissionState.DEFERRED
    vehicle.park()
    assert after.result(30).granted and prompter.asked == 1


def test_r11_an_allow_that_was_given_before_a_reset_of_a_replaced_page_is_void(make, tmp_path):
    prompter = Slow()
    connect = make(prompter=prompter)
    asked = connect.request_permission_future(user_action=True)
    assert prompter.asked.wait(30)
    (page,) = tmp_path.rglob("page")
    shutil.copy(page, tmp_path / "copy")
    os.chmod(tmp_path / "copy", 0o600)
    os.rename(tmp_path / "copy", page)
    jobs = connect._opened().keeper._jobs
    with busy_keeper(connect):
        resets = threading.Thread(target=connect.reset)
        resets.start()
        queued(jobs, 1)
        prompter.requests[0].answer(ALLOW)
        queued(jobs, 2)
    resets.join(30)
    assert not asked.result(30).granted and not connect.permission().granted


def queued(jobs, count):
    """Until so many jobs wait."""
    pause = threading.Event()
    for _ in range(6000):
        if jobs.qsize() >= count:
            return
        pause.wait(0.005)
    raise AssertionError("nothing came")


def test_r11_a_grant_that_is_announced_while_a_withdrawal_counts_gets_a_tombstone(make, monkeypatch):
    """The keeper is in the middle of it, so the caller's own writes must do."""
    connect = make()
    page = connect._opened().state.page
    count = Page.count_withdrawal
    with busy_keeper(connect), monkeypatch.context() as patch:
        patch.setattr(
            Page, "count_withdrawal", lambda self, purpose: (self.set_granted(purpose, 1), count(self, purpose))
        )
        report = connect.withdraw(timeout_s=0.0)
    assert page.ended(Purpose.NAVIGATION, 1) and report.durable


def test_r12_whoever_waits_behind_the_prompt_of_this_program_is_told_the_same(make):
    prompter = Slow()
    connect = make(prompter=prompter)
    first = connect.request_permission_future()
    assert prompter.asked.wait(30)
    second = connect.request_permission_future(user_action=True)
    assert second is not first
    prompter.requests[0].answer(DISMISS)
    assert first.result(30).reason is second.result(30).reason is Reason.DISMISSED
    assert len(prompter.requests) == 1


def test_r15_whoever_asked_for_less_gets_no_more_than_that(make):
    prompter = Slow()
    connect = make(prompter=prompter)
    precise = connect.request_permission_future(user_action=True)
    assert prompter.asked.wait(30)
    approximate = connect.request_permission_future(precision=Precision.APPROXIMATE, user_action=True)
    prompter.requests[0].answer(ALLOW)
    assert precise.result(30).granted
    assert approximate.result(30).precision is Precision.APPROXIMATE
    assert len(prompter.requests) == 1, "asking for less needs no prompt"


PROMPTS = """
import sys
from kalos_connect_sdk import Config, Connect, PromptAnswer
from kalos_connect_sdk.prompts.callback import CallbackPrompter
from kalos_connect_sdk.testing import FakeVehicle
vehicle = FakeVehicle()
def ask(request):
    print("open", flush=True)
    act = sys.stdin.readline().strip()
    if act == "leave":
        vehicle.move(9.0)
        return None
    return getattr(PromptAnswer, act)()
connect = Connect("com.example.test", prompter=CallbackPrompter(ask), vehicle=vehicle,
    config=Config(state_dir=sys.argv[1], vault=sys.argv[2], service_url=sys.argv[3]))
print(connect.request_permission(user_action=True).reason.name, flush=True)
sys.stdin.readline()
"""


class Prompting:
    """Another program with an open prompt."""

    def __init__(self, tmp_path, service):
        arguments = [str(tmp_path / "state"), f"file:{tmp_path / 'vault'}", service.url]
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROMPTS, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline() == "open\n"

    def answers(self, act):
        self.process.stdin.write(act + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


@pytest.fixture
def elsewhere(tmp_path, service):
    started = []

    def start():
        started.append(Prompting(tmp_path, service))
        return started[-1]

    yield start
    for other in started:
        other.process.kill()
        other.process.communicate()


@pytest.fixture
def joins(monkeypatch):
    """Makes a request that waits for the other program's prompt."""
    waits, wait = threading.Event(), asking.wait_until_free
    monkeypatch.setattr(asking, "wait_until_free", lambda *arguments: (waits.set(), wait(*arguments)))

    def join(connect):
        future = connect.request_permission_future(user_action=True)
        assert waits.wait(30)
        return future

    return join


@pytest.mark.parametrize(
    ("act", "reason"),
    [("dismiss", Reason.DISMISSED), ("leave", Reason.DEFERRED), ("deny", Reason.REFUSED), ("allow", Reason.ALLOWED)],
)
def test_r12_one_prompt_across_processes_and_both_are_told_the_same(make, elsewhere, joins, act, reason):
    other, prompter = elsewhere(), Slow()
    future = joins(make(prompter=prompter, vehicle=FakeVehicle()))
    assert other.answers(act) == reason.name
    assert future.result(30).reason is reason
    assert not prompter.requests


def test_r12_the_program_that_prompts_is_killed_and_the_others_are_free(make, elsewhere, joins):
    other, prompter = elsewhere(), Slow()
    connect = make(prompter=prompter)
    future = joins(connect)
    other.process.kill()
    answer = future.result(30)
    assert (answer.state, answer.reason) == (PermissionState.PROMPT, Reason.PROMPT_FAILED)
    future = connect.request_permission_future(user_action=True)
    assert prompter.asked.wait(30), "its lock went with it"
    prompter.requests[0].answer(ALLOW)
    assert future.result(30).granted


@pytest.mark.parametrize("how", ["withdraw", "close"])
def test_r11_whoever_waits_for_a_stopped_programs_prompt_is_freed_by(make, elsewhere, joins, how):
    other = elsewhere()
    other.process.send_signal(signal.SIGSTOP)
    connect = make(prompter=Slow())
    future = joins(connect)
    connect.withdraw() if how == "withdraw" else connect.close()
    assert not future.result(30).granted


# -- always resolves -----------------------------------------------------------------------------


def test_r12_what_another_program_granted_just_now_is_not_asked_about_again(make, monkeypatch):
    other, prompter = make(), ScriptedPrompter(DENY)
    connect = make(prompter=prompter)
    acquire = asking.FileLock.try_acquire

    def while_it_came_to_this(lock):
        monkeypatch.setattr(asking.FileLock, "try_acquire", acquire)
        assert other.request_permission(user_action=True).granted
        return acquire(lock)

    connect.permission()
    monkeypatch.setattr(asking.FileLock, "try_acquire", while_it_came_to_this)
    assert connect.request_permission(user_action=True).granted
    assert not prompter.asked


@pytest.mark.parametrize("name", ["kalos-prompt", "kalos-prompter"])
def test_r12_without_a_thread_to_ask_on_it_resolves_and_can_be_asked_again(make, monkeypatch, name):
    connect = make()
    connect.permission()
    start = threading.Thread.start

    def refused(thread):
        if thread.name == name:
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        answer = connect.request_permission_future(user_action=True).result(30)
    assert (answer.state, answer.reason) == (PermissionState.PROMPT, Reason.PROMPT_FAILED)
    assert connect.request_permission(user_action=True).granted


def test_r12_an_app_without_signals_says_so_and_the_receipt_records_it(make):
    connect = make(vehicle=AssertedParked("a phone in the hand"))
    assert connect.request_permission(user_action=True).granted
    [given] = connect.receipts()[0]["dpv:hasConsentStatus"]
    assert given["kc:assertedParked"] == "a phone in the hand"


def test_r20_a_permission_that_the_system_takes_away_is_recorded_as_revoked(make):
    system = Switches()
    connect = make(os_permission=system)
    assert connect.request_permission(user_action=True).granted
    told = threading.Event()
    connect.on_change(lambda permission: told.set())
    system.answer = OsAnswer.DENIED
    connect._opened().watcher.wake()
    assert told.wait(30)
    deadline = time.monotonic() + 30
    while len(connect.receipts()[0]["dpv:hasConsentStatus"]) < 2:
        assert time.monotonic() < deadline
    ended = connect.receipts()[0]["dpv:hasConsentStatus"][-1]
    assert (ended["@type"], ended["kc:cause"], ended["kc:reason"]) == ("dpv:ConsentRevoked", "os", "os-denied")


def test_r12_quiet_days_are_counted_by_all_programs_and_outlast_them(make):
    for _ in range(3):
        connect = make(DISMISS)
        assert connect.request_permission().reason is Reason.DISMISSED
        connect.close()
    answer = make().request_permission()
    assert (answer.state, answer.reason) == (PermissionState.BLOCKED, Reason.COOLDOWN)
