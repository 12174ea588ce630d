"""R13, rows 36 to 39: clocks that lie, seen from outside: an app that asks, whatever its clocks say.

A state machine drives the real facade with a clock that stands still until it is moved; its oracle counts only true
seconds. Then real processes: wall clocks through libfaketime, boot times through a time namespace.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kalos_connect_sdk import Config, Connect, Duration, PromptAnswer, Purpose, Reason
from kalos_connect_sdk.core.lifetime import RELEASE_EPOCH_S
from kalos_connect_sdk.model.timing import ClockReading
from kalos_connect_sdk.protocol.timekeeping import Timekeeper
from kalos_connect_sdk.storage.datakeys import DataKeys
from kalos_connect_sdk.storage.directory import StateDirectory
from kalos_connect_sdk.testing import FakeClock, FakeVehicle, ScriptedPrompter

ROOT = Path(__file__).resolve().parents[2]
MAY_NOT_SKIP = os.environ.get("KALOS_TESTS_MUST_RUN") == "1"
FULL = os.environ.get("KALOS_SWEEP") == "full"
RAM = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where a machine of thousands of commits does not wait for a disk."""
HOUR, DAY = 3600.0, 86_400.0
GOOD = datetime(2027, 5, 4, 12, tzinfo=UTC)
IN_1970 = datetime(1970, 1, 2, tzinfo=UTC)
IN_2099 = datetime(2099, 6, 1, tzinfo=UTC)
LIMITS = {"this-drive": 12 * HOUR, "2-days": 2 * DAY, "until-withdrawn": 365 * DAY}
DURATIONS = {
    "this-drive": Duration.THIS_DRIVE,
    "2-days": Duration.days(2),
    "until-withdrawn": Duration.UNTIL_WITHDRAWN,  # capped at 365 days by the jurisdiction
}
SLACK_S = 61.0
"""A wall clock may run ahead of boot time by a minute and be believed; once."""


# -- the facade under a clock that is moved --------------------------------------------------------

spans = st.one_of(
    st.integers(0, 300), st.integers(0, int(13 * HOUR)), st.integers(int(DAY), int(3 * DAY)), st.just(int(366 * DAY))
).map(float)
walls = st.one_of(
    st.sampled_from([IN_1970, GOOD, IN_2099, datetime(2026, 11, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)]),
    st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
    st.integers(-5 * int(DAY), 5 * int(DAY)).map(lambda s: GOOD + timedelta(seconds=s)),
)


class ClocksBeforeAnApp(RuleBasedStateMachine):
    """The oracle: what truly passed since the grant, in this boot and before; and whether a clock can be trusted."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="kalos-clocks-", dir=RAM))
        self.connect: Connect | None = None

    @initialize(wall=walls)
    def starts(self, wall: datetime) -> None:
        self.clock = FakeClock(wall)
        self.vehicle = FakeVehicle(parked=True)
        self.true_s = GOOD.timestamp()  # what a service would say
        self.never_trusted = wall.timestamp() < RELEASE_EPOCH_S
        self.sound = not self.never_trusted
        """The clock was right at first, and there has been no reboot since."""
        self.kind: str | None = None
        self.over = True
        self.opens()

    def opens(self) -> None:
        """A program that was killed leaves no goodbye; the next one reads what is on disk."""
        if self.connect is not None:
            self.connect.close()
        self.connect = Connect(
            "com.example.clocks",
            config=Config(state_dir=str(self.folder / "state"), vault=f"file:{self.folder / 'vault'}"),
            clock=self.clock,
            vehicle=self.vehicle,
            prompter=ScriptedPrompter(PromptAnswer.dismiss()),
        )

    def passes(self, seconds: float, *, asleep: bool = False) -> None:
        self.true_s += seconds
        self.ran_s = getattr(self, "ran_s", 0.0) + seconds
        self.slept_s = getattr(self, "slept_s", 0.0) + (seconds if asleep else 0.0)

    @rule(seconds=spans)
    def runs(self, seconds: float) -> None:
        self.passes(seconds)
        self.clock.advance(seconds)

    @rule(seconds=spans)
    def sleeps(self, seconds: float) -> None:
        self.passes(seconds, asleep=True)
        self.clock.suspend(seconds)

    @rule(wall=walls)
    def is_set(self, wall: datetime) -> None:
        self.clock.set_wall(wall)
        if wall.timestamp() >= RELEASE_EPOCH_S:
            self.never_trusted = False  # an untrusted clock may catch up

    @rule(seconds=st.integers(-200, 200))
    def is_corrected(self, seconds: int) -> None:
        self.is_set(min(max(self.clock.now() + timedelta(seconds=seconds), IN_1970), IN_2099))

    @rule(off=spans, wall=st.none() | walls)
    def reboots(self, off: float, wall: datetime | None) -> None:
        """Off for a while; the wall clock keeps going, or says anything."""
        self.true_s += off
        if wall is None:
            wall = min(self.clock.now() + timedelta(seconds=off), datetime(2105, 1, 1, tzinfo=UTC))
        self.clock.reboot(wall)
        if wall.timestamp() >= RELEASE_EPOCH_S:
            self.never_trusted = False
        self.rebooted = True
        self.sound = False
        self.opens()

    @rule()
    def starts_again(self) -> None:
        self.opens()

    @rule(error=st.integers(-2, 2))
    def hears_the_time(self, error: int) -> None:
        """The ``Date`` of a TLS-verified answer."""
        assert self.connect is not None
        engine = self.connect._opened()
        engine._heard_time(self.true_s + error)
        engine.keeper.call(lambda: None)  # what was heard is now known
        self.told = True
        self.never_trusted = False

    @rule(kind=st.sampled_from(sorted(LIMITS)))
    def grants(self, kind: str) -> None:
        assert self.connect is not None
        self.connect.withdraw()
        self.connect._prompter.will(PromptAnswer.allow(DURATIONS[kind]))  # type: ignore[union-attr]
        self.believed = self.connect.request_permission(user_action=True).granted
        assert self.believed or kind != "this-drive"
        assert self.believed or not self.sound, "a clock that was right from the start is trusted"
        self.kind, self.over = kind, False
        self.ran_s = self.slept_s = 0.0
        self.rebooted = False
        self.told = False

    @precondition(lambda self: self.kind is not None)
    @rule()
    def withdraws(self) -> None:
        assert self.connect is not None
        assert self.connect.withdraw().complete
        self.kind = None

    @invariant()
    def r13_the_answer_is_within_what_truly_passed(self) -> None:
        if self.connect is None:
            return
        permission = self.connect.permission()
        if self.kind is None:
            assert not permission.granted
            return
        limit_s = LIMITS[self.kind]
        if self.kind == "this-drive":  # needs no wall clock: boot time alone decides, both ways
            lasts = not self.rebooted and self.ran_s < limit_s and self.slept_s < 60
            assert permission.granted == (lasts and not self.over), permission.reason
        else:
            if permission.granted:
                assert self.ran_s < limit_s + (SLACK_S if self.told else 0.002), "longer than its duration"
                assert not self.never_trusted, "the clock cannot be trusted"
            if not self.rebooted and not self.told and self.believed and not self.over:
                # Trusted when granted and no reboot since: whatever the wall clock says, nothing but boot time ends it.
                if self.ran_s < limit_s - SLACK_S:
                    assert permission.granted, permission.reason
                elif self.ran_s >= limit_s:
                    assert permission.reason is Reason.EXPIRED
        if self.ran_s >= limit_s + SLACK_S:
            assert not permission.granted
            self.over = True
        record = self.connect._opened().state.snapshot.records[Purpose.NAVIGATION]
        if not record.status.active:
            self.over = True
        if self.over:  # expired stays expired, whatever the clocks say next
            assert not permission.granted

    def teardown(self) -> None:
        if self.connect is not None:
            self.connect.close()
            directory = StateDirectory.open("com.example.clocks", None, str(self.folder / "state"))
            DataKeys.choose(directory, None).remove()
        shutil.rmtree(self.folder)


@pytest.mark.once
@pytest.mark.fault(37, 38, 39)
def test_r13_no_clock_lengthens_ends_or_poisons_a_grant() -> None:
    from hypothesis.stateful import run_state_machine_as_test

    steps = settings(
        max_examples=4000 if FULL else 25,
        stateful_step_count=20,
        derandomize=not FULL,
        database=None,
        phases=[Phase.generate],  # its steps say enough; making them fewer takes as long as finding them
        deadline=None,
    )
    run_state_machine_as_test(ClocksBeforeAnApp, settings=steps)


# -- several threads, one clock --------------------------------------------------------------------


class _Interrupted(FakeClock):
    """Between a reading and its use, another thread reads the clock a little later."""

    meanwhile: Callable[[], object] | None = None

    def read(self) -> ClockReading:
        reading = super().read()
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            self.advance(0.005)
            other = threading.Thread(target=meanwhile)
            other.start()
            other.join(0.2)  # it must not get in between; then it waits for us
        return reading


def test_r13_two_threads_that_ask_at_once_do_not_cost_the_clock_its_trust() -> None:
    clock = _Interrupted(GOOD)
    keeper = Timekeeper(clock, None)
    assert keeper.now().trusted
    clock.meanwhile = keeper.now
    now = keeper.now()
    assert now.trusted and keeper.now().trusted
    clock.set_wall(IN_2099)  # an untrusted clock would catch up by any amount
    assert abs(keeper.now().wall_s - GOOD.timestamp()) < 60


def test_r13_a_thread_that_asks_does_not_undo_what_authenticated_time_said() -> None:
    clock = _Interrupted(GOOD)
    keeper = Timekeeper(clock, None)
    keeper.now()
    told = (GOOD - timedelta(days=30)).timestamp()
    done = threading.Event()

    def hear() -> None:
        keeper.now(told)
        done.set()

    clock.meanwhile = hear
    keeper.now()
    assert done.wait(10)
    assert keeper.now().confirmed and abs(keeper.now().wall_s - told) < 60
