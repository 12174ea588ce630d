"""The coordinator of prompts as a state machine, against a table of what a person may expect (R11, R12).

Two programs' facades share one state, one car and one person. After every step each request that is over has been
answered as the table says, at most one prompt is open, and nothing is granted but by an Allow to an open prompt.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from kalos_connect_sdk import Config, Connect, Permission, PermissionState, PromptAnswer, Purpose, Reason
from kalos_connect_sdk.protocol.causes import CAUSES
from kalos_connect_sdk.storage.datakeys import DataKeys
from kalos_connect_sdk.storage.directory import StateDirectory
from kalos_connect_sdk.testing import FakeClock, FakeVehicle

FULL = os.environ.get("KALOS_SWEEP") == "full"
ALLOW = PromptAnswer.allow()
ANSWERS = {"allow": ALLOW, "deny": PromptAnswer.deny(), "dismiss": PromptAnswer.dismiss()}
QUIET_S = 7 * 86_400
BLOCKED, DEFERRED, PROMPT = PermissionState.BLOCKED, PermissionState.DEFERRED, PermissionState.PROMPT
STANDING = {
    "unknown": (PROMPT, Reason.NOT_ASKED),
    "expired": (PROMPT, Reason.EXPIRED),
    "refused": (BLOCKED, Reason.REFUSED),
    "withdrawn": (BLOCKED, Reason.WITHDRAWN),
}
"""What an app sees while nothing is granted and no question waits."""


class Person:
    """One front end for both facades: it shows a prompt and does what the machine says, then or later."""

    def __init__(self) -> None:
        self.shown: SimpleQueue = SimpleQueue()

    def ask(self, request):
        act: SimpleQueue = SimpleQueue()
        self.shown.put((request, act))
        done = act.get()
        if isinstance(done, Exception):
            raise done
        return done


class Coordinator(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = FakeClock(datetime(2027, 5, 4, 12, tzinfo=UTC))
        self.car, self.person = FakeVehicle(), Person()
        config = Config(state_dir=str(self.folder / "state"), vault=f"file:{self.folder / 'vault'}")
        self.facades = [
            Connect("com.example.test", config=config, clock=self.clock, vehicle=self.car, prompter=self.person)
            for _ in range(2)
        ]
        self.joined: SimpleQueue = SimpleQueue()
        for facade in self.facades:
            facade._opened().asking._joined = self.joins(facade._opened().asking._joined)
        # the oracle
        self.status, self.parked = "unknown", True
        self.dismissals, self.quiet_from_s = 0, None
        self.elapsed_s = 0.0
        self.open: tuple | None = None
        self.opener = 0
        """Whose prompt is open."""
        self.waiting: set[int] = set()
        """Which facades wait for it: there even what would be told no at once joins it."""
        self.asked: list[Future[Permission]] = []
        """Requests that wait for the open prompt."""
        self.wish: Future[Permission] | None = None
        """The one that waits for the next stop."""

    def joins(self, join):
        """The same, and it says so."""

        def joined(*arguments):
            self.joined.put(True)
            return join(*arguments)

        return joined

    # -- the table -------------------------------------------------------------------------------

    def expected(self, user_action: bool) -> tuple[PermissionState, Reason] | None:
        """What a request is answered at once; None when a prompt appears."""
        if self.status == "given":
            return PermissionState.GRANTED, Reason.ALLOWED
        if not user_action:
            if self.status in ("refused", "withdrawn"):
                return STANDING[self.status]
            if self.quiet_from_s is not None and self.elapsed_s < self.quiet_from_s + QUIET_S:
                return BLOCKED, Reason.COOLDOWN
        return None if self.parked else (DEFERRED, Reason.DEFERRED)

    def dismissed(self) -> None:
        self.dismissals += 1
        if self.dismissals == 3:
            self.dismissals, self.quiet_from_s = 0, self.elapsed_s

    def answered(self) -> None:
        self.dismissals, self.quiet_from_s = 0, None

    # -- what is seen ----------------------------------------------------------------------------

    def appears(self, opener: int = 0) -> None:
        self.open, self.opener, self.waiting = self.person.shown.get(timeout=20), opener, {opener}

    def over(self, reason: Reason, *, keeps_wish: bool = False) -> None:
        """The open prompt is closed; everybody who waited for it is told why, and a late Allow changes nothing."""
        assert self.open is not None
        for future in self.asked:
            assert future.result(20).reason is reason
        if self.wish is not None and not keeps_wish:
            assert self.wish.result(20).reason is reason
            self.wish = None
        request, act = self.open
        assert request.cancelled.wait(20)
        request.answer(ALLOW)
        act.put(ALLOW)
        self.open, self.asked = None, []

    # -- steps -----------------------------------------------------------------------------------

    @rule(who=st.integers(0, 1), user_action=st.booleans())
    def request(self, who: int, user_action: bool) -> None:
        expected = self.expected(user_action)
        future = self.facades[who].request_permission_future(user_action=user_action)
        if expected is not None and not (self.open and who in self.waiting):
            answer = future.result(20)
            assert (answer.state, answer.reason) == expected
            return
        if self.open is not None and who != self.opener and future not in self.asked:
            self.joined.get(timeout=20)  # else the prompt may be over before this one comes to it, and it asks anew
        self.asked.append(future)
        self.waiting.add(who)
        if self.open is None:
            self.appears(who)

    @precondition(lambda self: self.wish is None and self.open is None and self.status != "given")
    @rule()
    def ask_when_parked(self) -> None:
        self.wish = self.facades[0].ask_when_parked()
        assert self.facades[0].ask_when_parked() is self.wish
        if self.parked:
            self.appears()

    @precondition(lambda self: self.open)
    @rule(answer=st.sampled_from(sorted(ANSWERS)), later=st.booleans())
    def answer(self, answer: str, later: bool) -> None:
        request, act = self.open
        if later:
            act.put(None)
            request.answer(ANSWERS[answer])
        else:
            act.put(ANSWERS[answer])
        if answer == "dismiss":
            self.dismissed()
        else:
            self.answered()
            self.status = "given" if answer == "allow" else "refused"
        self.over({"allow": Reason.ALLOWED, "deny": Reason.REFUSED, "dismiss": Reason.DISMISSED}[answer])

    @precondition(lambda self: self.open is None and self.parked and self.wish is None and self.status != "given")
    @rule(then_days=st.sampled_from([0, 6, 7]))
    def dismisses_until_it_is_quiet(self, then_days: int) -> None:
        """Three in a row are rare otherwise; then the app asks by itself."""
        while self.dismissals or self.quiet_from_s != self.elapsed_s:
            self.request(0, True)
            self.answer("dismiss", False)
        self.time_passes(then_days)
        self.request(1, False)

    @precondition(lambda self: self.open)
    @rule()
    def front_end_crashes(self) -> None:
        self.open[1].put(RuntimeError("no display"))
        self.over(Reason.PROMPT_FAILED)

    @precondition(lambda self: self.open)
    @rule()
    def nobody_answers(self) -> None:
        self.clock.advance(121)
        self.elapsed_s += 121
        self.dismissed()
        self.over(Reason.DISMISSED)

    @precondition(lambda self: self.parked)
    @rule(speed=st.sampled_from([0.0, 20.0]))
    def leave_park(self, speed: float) -> None:
        self.car.move(speed)
        self.parked = False
        if self.open is not None:
            self.over(Reason.DEFERRED, keeps_wish=True)
            assert self.wish is None or not self.wish.done()

    @precondition(lambda self: not self.parked)
    @rule()
    def park(self) -> None:
        self.car.park()
        self.parked = True
        if self.wish is not None:
            self.appears()

    @rule(who=st.integers(0, 1))
    def withdraw(self, who: int) -> None:
        assert self.facades[who].withdraw().complete
        if self.status == "given":
            self.status = "withdrawn"
        if self.wish is not None:
            assert not self.wish.result(20).granted
            self.wish = None
        if self.open is not None:
            self.dismissed()
            self.over(Reason.WITHDRAWN)

    @precondition(lambda self: self.open is None)
    @rule(days=st.sampled_from([1, 6, 7]))
    def time_passes(self, days: int) -> None:
        self.clock.advance(days * 86_400)
        self.elapsed_s += days * 86_400
        if self.status == "given":  # for this drive, at most twelve hours
            self.status = "expired"
            self.facades[0]._opened().end_because(Purpose.NAVIGATION, CAUSES["time"])  # as a watcher's next look does

    # -- always ----------------------------------------------------------------------------------

    @invariant()
    def an_app_sees_what_the_table_says(self) -> None:
        for who, facade in enumerate(self.facades):
            seen = facade.permission()
            assert seen.granted is (self.status == "given")
            if not seen.granted:
                waits = self.wish is not None and who == 0
                expected = (DEFERRED, Reason.DEFERRED) if waits else STANDING[self.status]
                assert (seen.state, seen.reason) == expected

    @invariant()
    def there_is_one_prompt_at_most(self) -> None:
        assert self.person.shown.empty()
        assert self.open is None or not self.open[0].cancelled.is_set()

    def teardown(self) -> None:
        if self.open is not None:
            self.open[1].put(None)
        for facade in self.facades:
            facade.close()
        for future in [*self.asked, *([self.wish] if self.wish else [])]:
            assert not future.result(20).granted
        DataKeys.choose(
            StateDirectory.open("com.example.test", None, str(self.folder / "state"), create=False), None
        ).remove()  # the kernel's keyring has a quota
        shutil.rmtree(self.folder)


@pytest.mark.once
@pytest.mark.timeout(3600 if FULL else 120)
def test_r11_r12_no_order_of_requests_answers_and_drives_breaks_the_coordinator():
    run_state_machine_as_test(
        Coordinator,
        settings=settings(
            max_examples=400 if FULL else 12,
            stateful_step_count=25 if FULL else 14,
            deadline=None,
            derandomize=not FULL,
            phases=(Phase.explicit, Phase.reuse, Phase.generate),  # threads race: a smaller example may not fail again
            suppress_health_check=list(HealthCheck),
        ),
    )
