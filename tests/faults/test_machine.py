"""The promise as a state machine: real programs on one state directory, a real service, every fault in any order.

The model beside it is small and knows nothing of the product: who was asked, what was answered, when it ended, and
which position was accepted under which grant. After every step the product must agree with it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from machine_peer import APP, Machine, Program

from kalos_connect_sdk.storage.datakeys import DataKeys
from kalos_connect_sdk.storage.directory import StateDirectory
from kalos_connect_sdk.testing import ServiceEmulator

RAM = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
FULL = os.environ.get("KALOS_SWEEP") == "full"
EXAMPLES = int(os.environ.get("KALOS_MACHINE_EXAMPLES", "2000" if FULL else "8"))
NAVIGATION, CROSSING = "navigation", "cross-border-transfer"
LIMIT_S = {"drive": 12 * 3600.0, "days": 2 * 86_400.0, "always": 365 * 86_400.0}
totals: dict[str, int] = {}
"""How often what happened, over all examples: a machine in which nothing happens shows nothing."""


def count(what: str, times: int = 1) -> None:
    totals[what] = totals.get(what, 0) + times


programs = st.sampled_from(["a", "b"])


class Promise(RuleBasedStateMachine):
    """R3 to R7, with two programs."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="kalos-machine-", dir=RAM))
        self.service = ServiceEmulator()
        self.service.start()
        self.machine = Machine(str(self.folder), self.service.url)
        self.programs: dict[str, Program] = {}
        self.online = True
        # the model
        self.given: str | None = None
        """The duration of the present grant."""
        self.epoch = 0
        self.age_s = 0.0
        self.slept_s = 0.0
        self.rebooted = False
        self.doubt = False
        """A service may have ended it, or a program died between asking and telling: both answers are right."""
        self.asking = False
        """A program died while it recorded an Allow."""
        self.ended: set[int] = set()
        self.lapsed: set[int] = set()
        """Those that time ended: a grant made before that is recorded takes their notice's place."""
        self.accepted: dict[int, int] = {}
        """Position -> the epoch it was accepted under."""
        self.next = 0
        self.sealed: list[tuple[int, int]] = []
        """(positions at the service, epoch): from here on nothing of that epoch or before."""
        self.seen = 0
        self.ours: set[str] = set()
        """Record ids of navigation."""

    # -- what the model says -----------------------------------------------------------------------

    def has_expired(self) -> bool:
        assert self.given is not None
        over = self.age_s >= LIMIT_S[self.given]
        return over or (self.given == "drive" and (self.rebooted or self.slept_s >= 60))

    def is_over(self) -> None:
        """The present grant is at its end, whoever ended it."""
        if self.given is not None and self.has_expired():
            self.lapsed.add(self.epoch)
        self.ended.add(self.epoch)
        self.given, self.doubt = None, False
        count("ends")

    def learn(self, found: tuple[bool, int, str, str]) -> None:
        """The product's answer, judged by what the model knows."""
        granted, epoch, reason, _ = found
        assert epoch >= self.epoch or not granted, "epochs never go back"
        if self.given is not None and not granted:
            assert self.doubt or self.has_expired(), f"ended for no reason: {reason}"
            self.is_over()
        elif self.given is not None:
            assert not self.has_expired(), "lasts longer than granted"
            if epoch != self.epoch:
                assert self.asking and epoch > self.epoch, "another grant than the one that was answered"
                self.begins(self.given, epoch)
        elif granted:
            assert self.asking and epoch > max(self.ended, default=0), "granted by nobody"
            self.begins(self.pending_answer, epoch)
        if not self.asking and granted:
            assert epoch == self.epoch
        self.asking = False

    def begins(self, kind: str, epoch: int) -> None:
        self.given, self.epoch = kind, epoch
        self.age_s = self.slept_s = 0.0
        self.rebooted = self.doubt = False
        count("grants")

    # -- programs ----------------------------------------------------------------------------------

    def program(self, name: str) -> Program:
        if name not in self.programs:
            self.programs[name] = Program(self.machine)
            count("starts")
        return self.programs[name]

    def dies(self, name: str) -> None:
        self.programs.pop(name).kill()
        count("kills")

    @rule(name=programs)
    def starts(self, name: str) -> None:
        self.program(name)

    @rule(name=programs)
    def crashes(self, name: str) -> None:
        if name in self.programs:
            self.dies(name)

    @rule()
    def reboots(self) -> None:
        """Everything in RAM is gone: programs, data keys, counters."""
        if self.given is None and not self.asking:
            return  # nothing would be lost
        for name in list(self.programs):
            self.dies(name)
        self.forget_ram()
        self.machine.boots += 1
        self.machine.up_s = self.machine.asleep_s = 0.0
        self.rebooted = True
        count("reboots")

    def forget_ram(self) -> None:
        directory = StateDirectory.open(APP, None, str(self.folder / "state"))
        DataKeys.choose(directory, None).remove()

    @rule(seconds=st.sampled_from([1.0, 61.0, 899.0, 3700.0, 11 * 3600.0, 2 * 86_400.0]), asleep=st.booleans())
    def time_passes(self, seconds: float, asleep: bool) -> None:
        machine = self.machine
        machine.passed_s += seconds
        machine.up_s += 0.0 if asleep else seconds
        machine.asleep_s += seconds if asleep else 0.0
        self.age_s += seconds
        self.slept_s += seconds if asleep else 0.0
        for each in self.programs.values():
            each.ask("passes", seconds, asleep)

    # -- people ------------------------------------------------------------------------------------

    @rule(name=programs, answer=st.sampled_from(["drive", "days", "always", "deny", "dismiss"]), rough=st.booleans())
    def is_asked(self, name: str, answer: str, rough: bool) -> None:
        precision = "approximate" if rough else "precise"
        found = self.program(name).ask("request", answer, precision, NAVIGATION)
        self.answered(found, answer)

    def answered(self, found: tuple[bool, int, str, str], answer: str) -> None:
        granted, epoch, reason, _ = found
        if self.given is not None and self.has_expired():
            self.is_over()
        if self.given is not None and granted and epoch == self.epoch:
            return  # nobody was asked
        if self.given is not None and granted:
            if self.doubt and answer in LIMIT_S:
                self.lapsed.add(self.epoch)  # ended and granted anew, or only made less precise: both are right
                self.is_over()
                self.begins(answer, epoch)
                return
            assert epoch > self.epoch  # downgraded: a new epoch, the same duration
            kind, age_s, slept_s, rebooted = self.given, self.age_s, self.slept_s, self.rebooted
            self.begins(kind, epoch)
            self.age_s, self.slept_s, self.rebooted = age_s, slept_s, rebooted
            count("downgrades")
            return
        if self.given is not None:
            assert self.doubt, f"ended for no reason: {reason}"
            self.is_over()
        if answer in LIMIT_S:
            if granted:
                assert epoch > max(self.ended, default=0), "a new grant has a new epoch"
                self.begins(answer, epoch)
            else:  # registered, and refused by a service that fails
                assert self.service_is_moody, f"an Allow came to nothing: {reason}"
                self.asking, self.pending_answer = True, answer
                self.epoch_of_refused()
        else:
            assert not granted, "granted by a no"

    def epoch_of_refused(self) -> None:
        """The service said no while the grant was registered: it was given, and ended."""
        for each in self.programs.values():
            granted, epoch, _, _ = each.ask("permission")
            if not granted and epoch > self.epoch:
                self.epoch = epoch
                self.ended.add(epoch)
                self.asking = False
            return

    @rule(name=programs, everything=st.booleans())
    def withdraws(self, name: str, everything: bool) -> None:
        report = self.program(name).ask("withdraw", None if everything else NAVIGATION)
        self.withdrawn(report)

    def withdrawn(self, report: dict[str, Any]) -> None:
        assert report["durable"]
        if self.given is not None:
            self.is_over()
        if report["complete"]:
            self.sealed.append((len(self.service.positions), self.epoch))
            count("withdrawals")

    @rule(name=programs, status=st.sampled_from([401, 403, 404, 409, 410, 413, 422, 429, 500, 503]))
    def withdraws_while_the_service_says_no(self, name: str, status: int) -> None:
        """No answer but an acknowledgement makes a notice go away."""
        if self.given is None:
            self.is_asked(name, "days", False)
        self.service.fail(status, times=1, path="withdrawals")
        self.moody = True
        self.withdraws(name, everything=False)
        self.r5_every_end_has_one_notice()

    @rule(name=programs, answer=st.sampled_from(["days", "deny"]))
    def is_asked_about_the_border(self, name: str, answer: str) -> None:
        self.program(name).ask("request", answer, "precise", CROSSING)

    @rule(name=programs)
    def withdraws_the_border(self, name: str) -> None:
        """Another purpose: navigation goes on."""
        self.program(name).ask("withdraw", CROSSING)

    @rule(name=programs, chance=st.integers(0, 4))
    def resets(self, name: str, chance: int) -> None:
        if chance:
            return  # rarely
        for other in [each for each in self.programs if each != name]:
            self.dies(other)  # the way out of a locked state is taken by one program
        self.program(name).ask("reset")
        if self.given is not None:
            self.is_over()
        self.sealed.append((len(self.service.positions), self.epoch))
        count("resets")

    # -- positions ---------------------------------------------------------------------------------

    @rule(name=programs, many=st.integers(1, 5))
    def submits(self, name: str, many: int) -> None:
        for _ in range(many):
            self.next += 1
            answer = self.program(name).ask("submit", self.latitude(self.next))
            if answer is True:
                assert self.given is not None and not self.has_expired(), "accepted without consent"
                self.accepted[self.next] = self.epoch
                count("accepted")
            elif isinstance(answer, dict):
                assert answer["raised"] == "ConsentRequired"

    @staticmethod
    def latitude(number: int) -> float:
        return 10 + number / 1000

    @rule(name=programs)
    def flushes(self, name: str) -> None:
        answer = self.program(name).ask("flush")
        if "raised" in answer:
            assert answer["raised"] in ("ServiceUnreachable", "ServiceRefused")
        else:
            count("sent", answer["sent"])

    @rule(name=programs, many=st.integers(1, 5))
    def shares(self, name: str, many: int) -> None:
        """What happens most of the time: consent, positions, and a service that hears of them."""
        if self.given is None:
            self.is_asked(name, "days", False)
        self.submits(name, many)
        self.flushes(name)

    @rule(name=programs)
    def delivers(self, name: str) -> None:
        if self.online and not self.service_is_moody:
            assert self.program(name).ask("deliver"), "a service that answers hears of every withdrawal"

    # -- a program dies in the middle --------------------------------------------------------------

    @rule(
        name=programs,
        given=st.booleans(),
        call=st.sampled_from(["withdraw", "withdraw", "withdraw", "request", "flush", "flush", "reset"]),
        answer=st.sampled_from(["drive", "days"]),
        within_ms=st.integers(0, 12),
    )
    def dies_while_it(self, name: str, given: bool, call: str, answer: str, within_ms: int) -> None:
        if given and self.given is None:
            self.is_asked(name, "days", False)
            self.submits(name, 3)
        if call == "reset":
            for other in [each for each in self.programs if each != name]:
                self.dies(other)
        args = {"withdraw": (None,), "request": (answer, "precise", NAVIGATION), "flush": (), "reset": ()}[call]
        program = self.program(name)
        program.ask("permission")  # it runs
        program.begin(call, *args)
        done, told = program.heard(within_ms / (6000 if call == "withdraw" else 1000))  # that one takes about 2 ms
        if done and call == "withdraw":
            self.withdrawn(told)
        elif done and call == "request":
            self.answered(told, answer)
        elif done and call == "reset" and self.given is not None:
            self.is_over()
        self.dies(name)
        if not done:
            count(f"died in {call}")
            doubt = self.doubt
            self.doubt = doubt or (self.given is not None and call in ("withdraw", "reset"))
            if call == "request":
                self.asking, self.pending_answer = True, answer
            # What the kernel still held for the service is the service's by now, or never will be.
            if call == "flush" and self.online:
                self.service.stop()
                self.service.start()
            self.starts(name)
            self.learn(self.program(name).ask("permission"))  # who opens the state has finished what was begun
            self.doubt = self.given is not None and doubt

    # -- the service -------------------------------------------------------------------------------

    @property
    def service_is_moody(self) -> bool:
        return not self.online or self.moody

    moody = False

    @rule(
        kind=st.sampled_from(
            [
                *((status, None) for status in (401, 409, 410, 413, 429, 500, 503)),
                *((403, name) for name in ("consent-required", "consent-expired", "cross-border")),
                *(("lost", None), ("lost", None), ("cut", None)),
            ]
        ),
        times=st.integers(1, 4),
        hours=st.booleans(),
    )
    def service_answers(self, kind: tuple[Any, Any], times: int, hours: bool) -> None:
        status, problem = kind
        if status in ("lost", "cut"):
            self.service.fail(drop=True, times=times, before="answer" if status == "lost" else "read")
        else:
            wait = "7200" if hours and status in (429, 503) else None
            self.service.fail(status, times=times, problem=problem, retry_after=wait)
        self.moody = True
        if status in (403, 409, 410) and self.given is not None:
            self.doubt = True
        self.closing = getattr(self, "closing", False) or status in (403, 409, 410)

    @rule()
    def service_recovers(self) -> None:
        self.service.clear_failures()
        if not self.online:
            self.service.start()
        self.online, self.moody, self.closing = True, False, False

    @precondition(lambda self: self.online)
    @rule()
    def goes_offline(self) -> None:
        self.service.stop()
        self.online = False

    @precondition(lambda self: self.online)
    @rule()
    def service_revokes(self) -> None:
        self.service.revoke()
        self.doubt = self.doubt or self.given is not None

    # -- what must always be true ------------------------------------------------------------------

    @invariant()
    def r1_every_program_says_what_the_model_says(self) -> None:
        if getattr(self, "closing", False) and self.given is not None:
            self.doubt = True  # answers that close the gate are still to come
        for each in list(self.programs.values()):
            self.learn(each.ask("permission"))

    @invariant()
    def r3_r6_what_reached_the_service_was_accepted_under_that_grant(self) -> None:
        for at, position in enumerate(list(self.service.positions)):
            if at < self.seen:
                continue
            number = round((position["latitude"] - 10) * 1000) if position["latitude"] > 10 else 0
            exact = abs(position["latitude"] - self.latitude(number)) < 1e-6
            if exact and number in self.accepted:
                assert position["epoch"] == self.accepted[number], "sent under another grant"
            else:
                assert position["epoch"] in self.accepted.values(), "never submitted"  # approximate: its cell
            for before, epoch in self.sealed:
                assert at < before or position["epoch"] > epoch, "accepted at the service after its withdrawal"
        self.seen = len(self.service.positions)

    @invariant()
    def r5_every_end_has_one_notice(self) -> None:
        for each in list(self.programs.values())[:1]:
            pending, ours = each.ask("notices")
            self.ours |= set(ours)
            told = [
                (entry["record_id"], entry["epoch"], entry["notice_id"]) for entry in list(self.service.withdrawals)
            ]
            names: dict[int, set[str]] = {}
            for record_id, epoch, notice_id in pending + told:
                if record_id in self.ours:
                    names.setdefault(epoch, set()).add(notice_id)
            for epoch in self.ended:
                found = len(names.get(epoch, ()))
                replaced = epoch in self.lapsed and self.epoch > epoch
                assert found == 1 or (found == 0 and replaced), f"epoch {epoch} has {found} notices"

    @rule(name=programs)
    def r20_receipts_verify(self, name: str) -> None:
        answer = self.program(name).ask("receipts")
        assert isinstance(answer, list) and all(answer)

    @initialize()
    def begins_with_a_program(self) -> None:
        self.starts("a")

    def teardown(self) -> None:
        for each in self.programs.values():
            each.kill()
        if self.online:
            self.service.stop()
        self.forget_ram()
        shutil.rmtree(self.folder)


@pytest.mark.once
@pytest.mark.timeout(0 if FULL else 300)
@pytest.mark.fault(2, 24, 25, 27, 30, 31, 32, 39)
def test_r3_r5_r6_no_order_of_faults_breaks_the_promise() -> None:
    totals.clear()
    run_state_machine_as_test(
        Promise,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=30,
            derandomize=not FULL,
            database=None,
            phases=[Phase.generate],
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(dict(sorted(totals.items())))
    for what in ("grants", "ends", "withdrawals", "accepted", "sent", "kills", "reboots", "died in withdraw"):
        assert totals.get(what), f"the machine never saw: {what}"
