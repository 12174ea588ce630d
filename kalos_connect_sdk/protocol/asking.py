"""Asking a person: one prompt at a time, across threads and processes; it always resolves (R12).

Each prompt has a thread of its own. A request joins the one that is open, unless it could come to more: a person's
own act is not answered with what is told to an app that asks by itself. Then it waits for it as for another program's.

What may not be asked any more closes an open prompt as it would have kept it from opening: leaving park, another
driver, a switch. It is looked at once more when an answer comes: an Allow given too late is void.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue

from ..config import Config
from ..core.lifecycle import Event
from ..core.prompting import Ask, AskFacts, may_ask, motion
from ..core.review import LEFT_PARK
from ..errors import StateError
from ..model.consent import (
    Duration,
    Permission,
    PermissionState,
    Precision,
    PromptAnswer,
    PromptChoice,
    Purpose,
    guardian_reference,
)
from ..model.decision import Reason, reason_of
from ..model.notice import Notice
from ..model.vehicle import VehicleState
from ..ports import Prompter, PromptRequest
from ..storage.locks import FileLock
from .granting import Granting, Shown
from .joining import Wanted, came_to, last_event, wait_until_free
from .snapshot import Snapshot
from .state import State
from .view import View
from .worker import Worker

__all__ = ["PROMPT_DEADLINE_S", "Asking"]

PROMPT_DEADLINE_S = 120.0
_LOOK_S = 0.05
_CLOSE_WAIT_S = 1.0
_SEEN_BY_ALL = (Reason.WITHDRAWN, Reason.GUARDIAN_REQUIRED)
"""Why an Allow was void, where the present permission says it as well."""
_DURATIONS = (Duration.THIS_DRIVE, Duration.days(7), Duration.UNTIL_WITHDRAWN)


class _Closed(Exception):
    """The prompt had to close before an answer came."""

    def __init__(self, event: Event, reason: Reason, cause: str = "subject") -> None:
        super().__init__(reason.name)
        self.event = event
        self.reason = reason
        self.cause = cause


class Asking:
    """The coordinator of prompts of one :class:`Connect`."""

    def __init__(
        self,
        state: State,
        config: Config,
        keeper: Worker,
        view: View,
        granting: Granting,
        notices: Callable[[Purpose], Notice],
        prompter: Callable[[], Prompter | None],
        simulated: bool,
        granted: Callable[[Purpose, int], None],
        ask_service: Callable[[], None],
    ) -> None:
        self._state = state
        self._config = config
        self._keeper = keeper
        self._view = view
        self._granting = granting
        self._notices = notices
        self._prompter = prompter
        self._simulated = simulated
        self._granted = granted
        self._ask_service = ask_service
        self._open: list[tuple[Wanted, Future[Permission]]] = []
        self._lock = threading.Lock()
        self._closing = False

    def request(
        self,
        purpose: Purpose,
        precision: Precision,
        user_action: bool,
        guardian: str | None = None,
        *,
        withdrawals: int | None = None,
    ) -> Future[Permission]:
        """Ask when the rules allow; a request while a prompt of the purpose is open joins it, unless somebody withdrew
        since that was asked for. ``withdrawals``: their count when this was wished for, if that was not now."""
        count = self._state.page.withdrawals(purpose) if withdrawals is None else withdrawals
        wanted = Wanted(purpose, precision, user_action, guardian_reference(guardian), count)
        with self._lock:
            self._open = [(known, future) for known, future in self._open if not future.done()]
            open_here = [(known, running) for known, running in self._open if known.purpose is purpose]
            void = [running for known, running in open_here if self._void(known)]
            for known, running in open_here:
                if running not in void and known.covers(wanted):
                    return running
            future: Future[Permission] = Future()
            future.set_running_or_notify_cancel()  # others may join it: nobody cancels it for all
            self._open.append((wanted, future))
        if not _begun(
            threading.Thread(target=self._resolve, args=(future, wanted, void), name="kalos-prompt", daemon=True)
        ):
            future.set_result(_because(self._present(purpose), Reason.PROMPT_FAILED))
        return future

    def close(self) -> None:
        """Close open prompts; each resolves, within a moment."""
        self._closing = True
        for _, future in list(self._open):
            try:
                future.exception(timeout=_CLOSE_WAIT_S)
            except TimeoutError:
                pass

    def _resolve(self, future: Future[Permission], wanted: Wanted, void: list[Future[Permission]]) -> None:
        """A prompt always resolves: with a permission, or with the error that stopped it. ``void``: what closes within
        a moment, and must not be joined."""
        for each in void:
            each.exception()
        try:
            answer = self._ask(wanted)
        except StateError as error:  # R1: what cannot be read or written is no consent
            future.set_result(Permission(PermissionState.UNAVAILABLE, reason_of(error)))
        except BaseException as error:  # it belongs to the caller
            future.set_exception(error)
        else:
            future.set_result(answer)

    # -- one request -----------------------------------------------------------------------------

    def _ask(self, wanted: Wanted) -> Permission:
        purpose = wanted.purpose
        before = self._keeper.call(self._read)
        present = self._present(purpose)
        if present.granted:
            return self._already(present, purpose, wanted.precision)
        if self._view.outdated(purpose) is not None:
            self._ask_service()  # it may have changed its mind, and then nothing else would tell us
        ask = self._may_ask(wanted, self._view.snapshot())
        if not ask.allowed:
            return self._not_asked(ask, purpose)
        lock = FileLock(self._state.directory, f"prompt-{purpose.value}.lock")
        lease = lock.try_acquire()
        if lease is None:
            return self._joined(lock, wanted, before)
        with lease:
            self._keeper.call(self._read)
            present = self._present(purpose)
            if present.granted:  # by another program, while we came to this
                return self._already(present, purpose, wanted.precision)
            if self._void(wanted):
                return self._told(purpose, Reason.WITHDRAWN)
            return self._prompt(wanted)

    def _present(self, purpose: Purpose) -> Permission:
        """How things stand, whatever else waits for the next stop: an answer is not put off by that."""
        return self._view.permission(purpose, deferred=False)

    def _read(self) -> int:
        """Read what other programs wrote; where the history ends."""
        self._state.reload(ask_vault=True)
        return last_event(self._state)

    def _joined(self, lock: FileLock, wanted: Wanted, before: int) -> Permission:
        """Another program, or another request of this one, prompts: its answer counts."""
        purpose = wanted.purpose
        wait_until_free(lock, lambda: self._void(wanted), PROMPT_DEADLINE_S)
        present = self._present(purpose)
        if present.granted:
            return self._already(present, purpose, wanted.precision)
        if self._void(wanted):
            return self._told(purpose, Reason.WITHDRAWN)
        reason = self._keeper.call(lambda: came_to(self._state, purpose, before))
        if reason is Reason.WITHDRAWN:
            return self._ask(wanted)  # that prompt was void, and this was asked for later
        return self._told(purpose, reason)

    def _void(self, wanted: Wanted) -> bool:
        """Whether somebody withdrew since it was asked for, or this facade is being closed."""
        return self._closing or self._state.page.withdrawals(wanted.purpose) != wanted.withdrawals

    def _already(self, present: Permission, purpose: Purpose, precision: Precision) -> Permission:
        if precision is Precision.APPROXIMATE and present.precision is Precision.PRECISE:
            withdrawals = self._state.page.withdrawals(purpose)
            if not self._present(purpose).granted:
                return self._present(purpose)
            reason = self._keeper.call(lambda: self._granting.downgrade(purpose, withdrawals))
            if reason is not Reason.ALLOWED:
                return Permission(PermissionState.UNAVAILABLE, reason)
            return self._after_grant(purpose)
        return present

    def _may_ask(self, wanted: Wanted, snapshot: Snapshot) -> Ask:
        purpose = wanted.purpose
        record = snapshot.records[purpose]
        prompter = self._prompter()
        vehicle = self._view.vehicle()
        readable = snapshot.unreadable
        if readable is None and record.status.active and not self._view.ended(purpose, record.epoch):
            reason = self._view.decide(purpose, snapshot=snapshot).reason
            readable = reason if reason is Reason.STATE_ROLLED_BACK else None
        return may_ask(
            AskFacts(
                state=record,
                user_action=wanted.user_action,
                driver_facing=bool(getattr(prompter, "driver_facing", True)),
                motion=motion(vehicle),
                has_prompter=prompter is not None,
                readable=readable,
                os=self._view.os(),
                now_wall_s=self._state.now().wall_s,
                guardian_missing=record.minor and wanted.guardian is None,
                profile_matches=self._view.profile_matches(vehicle or VehicleState()),
                vehicle_privacy=bool(vehicle and vehicle.privacy),
                already_granted=False,
                outdated=self._view.outdated(purpose),
            )
        )

    def _not_asked(self, ask: Ask, purpose: Purpose) -> Permission:
        if ask.reason is Reason.DEFERRED:
            self._keeper.call(lambda: self._granting.note(Event.DEFER, purpose, Reason.DEFERRED, "vehicle"))
        record = self._state.snapshot.records[purpose]
        return Permission(
            ask.permission_state or PermissionState.UNAVAILABLE, ask.reason or Reason.NOT_ASKED, epoch=record.epoch
        )

    def _prompt(self, wanted: Wanted) -> Permission:
        purpose, precision = wanted.purpose, wanted.precision
        notice = self._notices(purpose)
        shown = Shown(
            purpose=purpose,
            notice=notice,
            text=notice.text(self._config.locale),
            withdrawals=wanted.withdrawals,
            vehicle=self._view.vehicle(),
            simulated=self._simulated,
            guardian=wanted.guardian,
        )
        closed: _Closed | None = None
        answer = PromptAnswer.dismiss()
        try:
            answer = self._answer(shown, wanted)
        except _Closed as error:
            closed = error
        if closed is not None:
            event, reason, cause = closed.event, closed.reason, closed.cause
            self._keeper.call(lambda: self._granting.note(event, purpose, reason, cause))
            return self._told(purpose, reason)
        return self._record(shown, answer, precision)

    def _told(self, purpose: Purpose, reason: Reason) -> Permission:
        """How things stand after a prompt that closed because of ``reason``; what forbids it anyhow is told first."""
        present = self._view.permission(purpose, deferred=reason is Reason.DEFERRED)
        asked = present.state in (PermissionState.PROMPT, PermissionState.BLOCKED)
        return _because(present, reason) if asked else present

    def _record(self, shown: Shown, answer: PromptAnswer, precision: Precision) -> Permission:
        purpose = shown.purpose
        if answer.choice is PromptChoice.ALLOW:
            if precision is Precision.APPROXIMATE or answer.precision is Precision.APPROXIMATE:
                answer = PromptAnswer.allow(answer.duration, Precision.APPROXIMATE)
            reason = self._keeper.call(lambda: self._granting.grant(shown, answer))
            if reason is Reason.ALLOWED:
                return self._after_grant(purpose)
            present = self._present(purpose)
            return present if reason in _SEEN_BY_ALL else Permission(PermissionState.UNAVAILABLE, reason)
        event = Event.DENY if answer.choice is PromptChoice.DENY else Event.DISMISS
        reason = Reason.REFUSED if event is Event.DENY else Reason.DISMISSED
        self._keeper.call(lambda: self._granting.note(event, purpose, reason))
        present = self._present(purpose)
        return present if event is Event.DENY else _because(present, Reason.DISMISSED)

    def _after_grant(self, purpose: Purpose) -> Permission:
        self._view.changed()
        present = self._present(purpose)
        if present.granted:
            self._granted(purpose, present.epoch)
        return present

    # -- the prompt itself -----------------------------------------------------------------------

    def _answer(self, shown: Shown, wanted: Wanted) -> PromptAnswer:
        """The person's answer; raises :class:`_Closed` when the prompt must close without one."""
        prompter = self._prompter()
        if prompter is None:
            raise _Closed(Event.PROMPT_FAILED, Reason.NO_PROMPTER, "device")
        answers: SimpleQueue[PromptAnswer | BaseException] = SimpleQueue()
        started = self._state.clock.read().boottime_s
        closing = threading.Event()
        request = PromptRequest(
            purpose=shown.purpose,
            precision=wanted.precision,
            notice=shown.notice,
            text=shown.text,
            durations=_DURATIONS,
            deadline=time.monotonic() + PROMPT_DEADLINE_S,
            cancelled=closing,
            service_origin=self._config.origin,
            _answer=answers.put,
        )
        asker = threading.Thread(
            target=_run_prompter, args=(prompter, request, answers), name="kalos-prompter", daemon=True
        )
        try:
            if not _begun(asker):
                raise _Closed(Event.PROMPT_FAILED, Reason.PROMPT_FAILED, "device")
            answer = self._await(wanted, answers, started)
        finally:
            closing.set()
        if not isinstance(answer, PromptAnswer):
            raise _Closed(Event.PROMPT_FAILED, Reason.PROMPT_FAILED, "device")
        return answer

    def _await(
        self, wanted: Wanted, answers: SimpleQueue[PromptAnswer | BaseException], started: float
    ) -> PromptAnswer | BaseException:
        while True:
            answer = None
            try:
                answer = answers.get(timeout=_LOOK_S)
            except Empty:
                pass
            if answer is not None and not _allows(answer):
                return answer  # a no is never too late
            if self._void(wanted):
                raise _Closed(Event.DISMISS, Reason.WITHDRAWN)
            self._close_if_not_asked_now(wanted)
            if answer is not None:
                return answer
            if self._state.clock.read().boottime_s - started > PROMPT_DEADLINE_S:
                raise _Closed(Event.DISMISS, Reason.DISMISSED)

    def _close_if_not_asked_now(self, wanted: Wanted) -> None:
        """By what is known without the keeper: it may wait for a vault, and leaving park closes within a second."""
        ask = self._may_ask(wanted, self._state.snapshot)
        if ask.reason is Reason.DEFERRED:
            raise _Closed(Event.DEFER, Reason.DEFERRED, LEFT_PARK)
        if ask.reason is not None and ask.permission_state is not PermissionState.BLOCKED:
            raise _Closed(Event.PROMPT_FAILED, ask.reason, "device")


def _begun(thread: threading.Thread) -> bool:
    """False when the process may start no more threads: nobody would ask."""
    try:
        thread.start()
    except RuntimeError:
        return False
    return True


def _allows(answer: PromptAnswer | BaseException) -> bool:
    return isinstance(answer, PromptAnswer) and answer.choice is PromptChoice.ALLOW


def _run_prompter(
    prompter: Prompter, request: PromptRequest, answers: SimpleQueue[PromptAnswer | BaseException]
) -> None:
    """On the prompter's own thread: its answer, or the error it failed with."""
    try:
        answer = prompter.ask(request)
    except BaseException as error:
        answers.put(error)
        return
    if answer is not None:
        answers.put(answer)


def _because(present: Permission, reason: Reason) -> Permission:
    return Permission(present.state, reason, epoch=present.epoch, receipt_id=present.receipt_id)
