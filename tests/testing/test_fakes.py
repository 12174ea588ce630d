"""The fakes keep the ports' contracts, and do what a test tells them."""

from __future__ import annotations

import threading
import time
from datetime import UTC, date, datetime, timedelta

import pytest

import kalos_connect_sdk.testing as testing
from kalos_connect_sdk import (
    Controller,
    Duration,
    Gear,
    Motion,
    Notice,
    NoticeText,
    Precision,
    PromptAnswer,
    PromptRequest,
    Purpose,
    VaultUnavailable,
)
from kalos_connect_sdk.core.prompting import motion
from kalos_connect_sdk.ports import Clock, Prompter, Vault, VehicleSignals
from kalos_connect_sdk.testing import FakeClock, FakeVehicle, MemoryVault, ScriptedPrompter

NINE = datetime(2027, 1, 15, 9, 0, tzinfo=UTC)


def test_every_name_is_there_and_nothing_else_is():
    for name in testing.__all__:
        assert getattr(testing, name).__name__ == name
    assert set(testing.__all__) <= set(dir(testing))
    with pytest.raises(AttributeError):
        testing.Nothing


def test_the_fakes_are_what_the_ports_want():
    assert isinstance(FakeClock(NINE), Clock)
    assert isinstance(FakeVehicle(), VehicleSignals)
    assert isinstance(MemoryVault(), Vault)
    assert isinstance(ScriptedPrompter(PromptAnswer.deny()), Prompter)


class TestFakeClock:
    def test_it_stands_still_until_it_is_advanced(self):
        clock = FakeClock(NINE)
        before = clock.read()
        assert clock.read() == before and clock.simulated
        clock.advance(90.5)
        after = clock.read()
        assert after.wall_s - before.wall_s == after.boottime_s - before.boottime_s == 90.5
        assert after.boot_id == before.boot_id and after.suspended_s == 0
        assert clock.now() == NINE + timedelta(seconds=90.5)

    def test_r13_the_wall_can_lie_while_boot_time_goes_on(self):
        clock = FakeClock(NINE)
        before = clock.read()
        clock.set_wall(datetime(1970, 1, 1, tzinfo=UTC))
        assert clock.read().wall_s == 0
        assert clock.read().boottime_s == before.boottime_s and clock.read().boot_id == before.boot_id

    def test_suspend_counts_in_all_three(self):
        clock = FakeClock(NINE)
        before = clock.read()
        clock.suspend(60)
        after = clock.read()
        assert (after.wall_s - before.wall_s, after.boottime_s - before.boottime_s, after.suspended_s) == (60, 60, 60)

    def test_a_reboot_is_a_new_boot_with_no_time_gone_by_in_it(self):
        clock = FakeClock(NINE)
        before = clock.read()
        clock.suspend(5)
        clock.reboot()
        after = clock.read()
        assert after.boot_id != before.boot_id and after.boottime_s == after.suspended_s == 0
        assert after.wall_s == before.wall_s + 5
        clock.reboot(datetime(1970, 1, 1, tzinfo=UTC))
        assert clock.read().wall_s == 0

    def test_it_reads_whole_milliseconds_and_loses_none(self):
        clock = FakeClock(NINE + timedelta(microseconds=999_999))
        assert clock.read().wall_s == NINE.timestamp() + 0.999
        for _ in range(1000):
            clock.advance(0.000_001)
        assert clock.read().wall_s == NINE.timestamp() + 1.000
        assert clock.read().boottime_s * 1000 == round(clock.read().boottime_s * 1000)

    def test_two_of_them_are_one_machine(self):
        first, second = FakeClock(NINE), FakeClock(NINE + timedelta(hours=2))
        assert second.read().boot_id == first.read().boot_id
        assert second.read().boottime_s - first.read().boottime_s == 7200
        assert FakeClock(datetime(1960, 1, 1, tzinfo=UTC)).read().boottime_s == 0

    @pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
    def test_time_does_not_pass_backwards(self, seconds):
        with pytest.raises(ValueError):
            FakeClock(NINE).advance(seconds)

    def test_a_wall_without_a_zone_is_refused(self):
        with pytest.raises(ValueError):
            FakeClock(datetime(2027, 1, 1))
        with pytest.raises(ValueError):
            FakeClock(NINE).set_wall(datetime(2027, 1, 1))
        assert "boot 1" in repr(FakeClock(NINE))


class TestFakeVehicle:
    def test_r12_parked_is_parked_at_once(self):
        assert motion(FakeVehicle().read()) is Motion.PARKED
        vehicle = FakeVehicle(parked=False, speed_mps=8.0)
        assert motion(vehicle.read()) is Motion.MOVING
        vehicle.park()
        assert motion(vehicle.read()) is Motion.PARKED
        vehicle.park(held_s=1.0)
        assert motion(vehicle.read()) is Motion.IDLING

    def test_moving_idling_and_silent(self):
        vehicle = FakeVehicle()
        vehicle.move(13.9)
        assert (vehicle.read().gear, vehicle.read().speed_mps) == (Gear.DRIVE, 13.9)
        assert motion(vehicle.read()) is Motion.MOVING
        vehicle.move(0.0)
        assert motion(vehicle.read()) is Motion.IDLING
        vehicle.park()
        vehicle.go_silent()
        assert motion(vehicle.read()) is Motion.UNKNOWN
        vehicle.set(gear=None)
        assert repr(vehicle) == "<FakeVehicle silent>"

    def test_subscribers_hear_every_change_until_they_leave(self):
        vehicle = FakeVehicle()
        heard = []
        leave = vehicle.subscribe(lambda: heard.append(vehicle.read()))
        vehicle.set_privacy(True)
        vehicle.set_profile("anna")
        vehicle.start_drive("drive-7")
        assert [(s.privacy, s.profile, s.drive_id) for s in heard] == [
            (True, None, None),
            (True, "anna", None),
            (True, "anna", "drive-7"),
        ]
        leave()
        leave()
        vehicle.park()
        assert len(heard) == 3


class TestMemoryVault:
    def test_r9_it_says_that_it_does_not_last(self):
        vault = MemoryVault()
        assert (vault.kind, vault.persistent, vault.may_prompt) == ("memory", False, False)
        assert MemoryVault(persistent=True).persistent and MemoryVault(may_prompt=True).may_prompt

    def test_store_load_delete(self):
        vault = MemoryVault()
        assert vault.load("a") is None
        vault.store("a", b"one")
        vault.store("a", b"two")
        assert vault.load("a") == b"two" and vault.load("b") is None
        vault.delete("a")
        vault.delete("a")
        assert vault.load("a") is None

    def test_r7_a_copy_stays_as_it_was(self):
        vault = MemoryVault(persistent=True)
        vault.store("a", b"old")
        copy = vault.copy()
        vault.store("a", b"new")
        assert copy.load("a") == b"old" and copy.persistent

    def test_an_unavailable_one_fails_every_call_and_recovers(self):
        vault = MemoryVault()
        vault.store("a", b"kept")
        vault.available = False
        for call in (lambda: vault.load("a"), lambda: vault.store("a", b""), lambda: vault.delete("a")):
            with pytest.raises(VaultUnavailable):
                call()
        vault.available = True
        assert vault.load("a") == b"kept"

    def test_r10_its_repr_shows_no_secret(self):
        vault = MemoryVault()
        vault.store("slot", b"hunter2")
        assert repr(vault) == "<MemoryVault of 1>"


def request(answered=lambda answer: None) -> PromptRequest:
    text = NoticeText("en", "t", "who", "what", "why", "how", "Allow", "Don't allow", "full")
    notice = Notice("n", "1", date(2024, 3, 18), Controller("c", "C", "c@example.com"), "p", (), (), (), (text,))
    return PromptRequest(
        Purpose.NAVIGATION,
        Precision.PRECISE,
        notice,
        text,
        (Duration.THIS_DRIVE,),
        time.monotonic() + 120,
        threading.Event(),
        "http://127.0.0.1:1",
        answered,
    )


class TestScriptedPrompter:
    def test_answers_come_in_order_and_the_last_repeats(self):
        prompter = ScriptedPrompter(PromptAnswer.dismiss(), PromptAnswer.allow())
        assert [prompter.ask(request()) for _ in range(3)] == [
            PromptAnswer.dismiss(),
            PromptAnswer.allow(),
            PromptAnswer.allow(),
        ]
        assert prompter.asked == 3 and prompter.requests[0].text.allow == "Allow"
        prompter.will(PromptAnswer.deny())
        assert prompter.ask(request()) == PromptAnswer.deny()
        assert repr(prompter) == "<ScriptedPrompter asked 4>"

    def test_it_crashes_defers_or_decides_by_the_request(self):
        prompter = ScriptedPrompter(
            RuntimeError("the screen is gone"), None, lambda r: PromptAnswer.allow(r.durations[0])
        )
        with pytest.raises(RuntimeError):
            prompter.ask(request())
        assert prompter.ask(request()) is None
        assert prompter.ask(request()) == PromptAnswer.allow(Duration.THIS_DRIVE)

    def test_silence_is_no_answer(self):
        with pytest.raises(ValueError):
            ScriptedPrompter()
        with pytest.raises(TypeError):
            ScriptedPrompter(True)  # type: ignore[arg-type]

    def test_driver_facing_by_default(self):
        assert ScriptedPrompter(PromptAnswer.deny()).driver_facing
        assert not ScriptedPrompter(PromptAnswer.deny(), driver_facing=False).driver_facing

    def test_a_test_can_wait_for_the_prompt_and_answer_late(self):
        answers = []
        prompter = ScriptedPrompter(None)
        thread = threading.Thread(target=lambda: prompter.ask(request(answers.append)))
        thread.start()
        prompter.wait_asked().answer(PromptAnswer.deny())
        thread.join()
        assert answers == [PromptAnswer.deny()]
        with pytest.raises(TimeoutError):
            prompter.wait_asked(2, timeout_s=0.01)
