"""Asking the service while nothing is sent: a withdrawal made elsewhere reaches a car that stands still (R3, R7).

The watcher's tick says when, the courier's thread asks, and one program of a state asks for all: the plan for the
next question is a note in the state directory. Whoever ends a consent, sends or closes cuts a question that hangs.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..core.polling import Plan, after_answer, after_failure, at_opening, is_due, plan_from_text, plan_to_text
from ..core.retry import outcome
from ..errors import KalosConnectError, ServiceRefused, StateError
from ..model.consent import Purpose
from ..model.timing import ClockReading
from ..storage.locks import Lease, wait_lock
from .standing import Standing
from .state import State
from .worker import Worker

if TYPE_CHECKING:
    from ..transport.flight import Flight

__all__ = ["Polling"]

_NOTE = "poll.lock"
_NOTE_BYTES = 512
_NOTE_WAIT_S = 0.05


class Polling:
    """Asks about grants that are registered. ``once``: asked for once in a run, as soon as the service answers."""

    def __init__(
        self, state: State, courier: Worker, standing: Standing, once: Callable[[Callable[[], Flight]], None]
    ) -> None:
        self._state = state
        self._courier = courier
        self._standing = standing
        self._once = once
        self._owes_once = True
        self._plan: Plan | None = None
        self._busy = False
        self._flight: Flight | None = None
        self._over = False
        self._closed = False
        standing.answered = self._answered

    def tick(self, granted: Sequence[Purpose]) -> None:
        """On the watcher: ask in the background when it is time. ``granted``: what the gate says yes to now."""
        if self._busy or self._closed:
            return
        records = self._state.snapshot.records
        asked = [(p, records[p].epoch) for p in granted if records[p].registered_epoch >= records[p].epoch]
        if not asked:
            return
        reading = self._state.clock.read()
        if self._plan is None:
            self._plan = at_opening(reading, _jitter())
        elif is_due(self._plan, reading):
            self._busy = True
            self._courier.post(lambda: self._round(asked, reading))

    def cut(self) -> None:
        """What is more urgent does not wait for an answer. Any thread."""
        self._over = True
        flight = self._flight
        if flight is not None:
            flight.abort()

    def close(self) -> None:
        """No more questions."""
        self._closed = True
        self.cut()

    # -- on the courier --------------------------------------------------------------------------

    def _round(self, asked: Sequence[tuple[Purpose, int]], reading: ClockReading) -> None:
        self._over = self._closed
        try:
            if not self._over and self._is_ours(reading):
                self._ask(asked)
        finally:
            self._busy = False

    def _ask(self, asked: Sequence[tuple[Purpose, int]]) -> None:
        problem: dict[str, object] = {}
        failed = False
        for purpose, epoch in asked:
            if self._state.page.ended(purpose, epoch):
                continue
            try:
                self._standing.ask_idle(purpose, epoch, self._board)
            except ServiceRefused as error:
                failed, problem = True, error.problem
            except KalosConnectError:
                failed = True
            if self._over:
                return
        if failed:
            self._put_off(problem)

    def _put_off(self, problem: dict[str, object]) -> None:
        reading = self._state.clock.read()
        status, retry_after = problem.get("status"), problem.get("retry_after")
        wait_s = outcome(
            status if isinstance(status, int) else None,
            None,
            retry_after if isinstance(retry_after, str) else None,
            now_wall_s=reading.wall_s,
        ).wait_s
        before = self._plan or after_answer(reading, 0.0)
        self._keep(after_failure(before, reading, _jitter(), wait_s))

    def _answered(self) -> None:
        """The service spoke, to a send perhaps: the next question is a minute away."""
        self._keep(after_answer(self._state.clock.read(), _jitter()))
        if self._owes_once and not self._closed:
            self._owes_once = False
            self._courier.post(self._ask_once)

    def _ask_once(self) -> None:
        self._over = self._closed
        try:
            if not self._over:
                self._once(self._board)
        except KalosConnectError:
            self._owes_once = True  # with the next answer

    def _board(self) -> Flight:
        from ..transport.flight import Flight

        flight = Flight(lambda: not self._over, lambda: None)
        self._flight = flight
        if self._over:
            flight.abort()
        return flight

    # -- one program asks for all ----------------------------------------------------------------

    def _is_ours(self, reading: ClockReading) -> bool:
        """False when another program of this state has asked, or is about to. Where that cannot be known we ask."""
        lease = self._take_note()
        if lease is None:
            return True
        with lease:
            theirs = _read(lease.fd)
            if theirs is not None and not is_due(theirs, reading):
                self._plan = theirs
                return False
            attempts = (self._plan or theirs or after_answer(reading, 0.0)).attempts
            mine = after_answer(reading, _jitter())
            self._plan = Plan(mine.boot_id, mine.due_s, mine.suspended_s, attempts)
            _write(lease.fd, self._plan)
        return True

    def _keep(self, plan: Plan) -> None:
        self._plan = plan
        lease = self._take_note()
        if lease is not None:
            with lease:
                _write(lease.fd, plan)

    def _take_note(self) -> Lease | None:
        try:
            return wait_lock(
                lambda: self._state.directory.open_lock(_NOTE, create=True),
                time.monotonic() + _NOTE_WAIT_S,
                exclusive=True,
            )
        except StateError:
            return None


def _read(fd: int) -> Plan | None:
    try:
        return plan_from_text(os.pread(fd, _NOTE_BYTES, 0).decode("ascii").strip())
    except (OSError, ValueError):
        return None


def _write(fd: int, plan: Plan) -> None:
    """Padded to one length: a shorter note leaves nothing of a longer one."""
    try:
        os.pwrite(fd, plan_to_text(plan).ljust(_NOTE_BYTES).encode("ascii"), 0)
    except OSError:
        pass  # a full disk: the others ask for themselves


def _jitter() -> float:
    return random.random()  # noqa: S311 - spreads questions, is no secret
