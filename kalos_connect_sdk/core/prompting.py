"""May a person be asked now, and what an app is told meanwhile (R12).

- A driver-facing prompt appears only when parked: gear P held for 3 s and nobody starting the engine. Unknown and
  stale count as moving; an ignition that is off tells a standing vehicle from an unknown one, never a parked one.
- After a refusal, a withdrawal, or a revocation by the service, only a user action may ask again; three dismissals in
  a row make the SDK quiet for seven days.
- What asking cannot change (the OS, the vehicle's privacy switch, a missing guardian, an app whose notice the service
  takes no consent to any more) is never asked about.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..model.consent import Permission, PermissionState, RecordState, Status
from ..model.decision import Reason
from ..model.vehicle import Gear, Ignition, Motion, OsAnswer, VehicleState
from .gate import Decision

__all__ = ["Ask", "AskFacts", "may_ask", "motion", "permission"]

STALE_S: Final = 5.0
HELD_S: Final = 3.0
STANDING_MPS: Final = 0.5
QUIET_S: Final = 7 * 86_400.0


def motion(state: VehicleState | None) -> Motion:
    """How the vehicle moves, for the purpose of showing a prompt. Anything but ``PARKED`` defers it."""
    if state is None or not 0 <= state.age_s <= STALE_S:
        return Motion.UNKNOWN
    if state.speed_mps is not None and not abs(state.speed_mps) < STANDING_MPS:  # so written that NaN moves
        return Motion.MOVING
    if state.asserted_parked is not None:
        return Motion.PARKED
    if state.gear is Gear.PARK:
        leaving = state.ignition is Ignition.START
        return Motion.PARKED if state.held_s >= HELD_S and not leaving else Motion.IDLING
    stands = state.speed_mps is not None or state.ignition in (Ignition.LOCK, Ignition.OFF)
    return Motion.IDLING if stands else Motion.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class AskFacts:
    """What decides whether a prompt may appear."""

    state: RecordState
    user_action: bool
    driver_facing: bool
    motion: Motion
    has_prompter: bool
    readable: Reason | None
    """Why the state cannot be read; None when it can."""
    os: OsAnswer
    now_wall_s: float
    guardian_missing: bool
    profile_matches: bool
    vehicle_privacy: bool
    already_granted: bool
    """The gate says yes to all that would be asked for."""
    outdated: Reason | None = None
    """Why the service takes no consent to the notice that would be shown (R14)."""


@dataclass(frozen=True, slots=True)
class Ask:
    """True as a condition exactly when a prompt may appear; otherwise what to answer instead, and why."""

    allowed: bool
    permission_state: PermissionState | None = None
    reason: Reason | None = None

    def __bool__(self) -> bool:
        return self.allowed


def may_ask(facts: AskFacts) -> Ask:
    """May a prompt appear now? Never raises."""
    if facts.readable is not None:
        return _no(PermissionState.UNAVAILABLE, facts.readable)
    if not facts.profile_matches:  # R18
        return _no(PermissionState.UNAVAILABLE, Reason.PROFILE_MISMATCH)
    if facts.already_granted:
        return _no(PermissionState.GRANTED, Reason.ALLOWED)
    for forbidding in (_cannot_help, _not_again, _not_here):
        answer = forbidding(facts)
        if answer is not None:  # not `or`: a no is false as a condition
            return answer
    return Ask(True)


def _no(state: PermissionState, reason: Reason) -> Ask:
    return Ask(False, state, reason)


def _cannot_help(facts: AskFacts) -> Ask | None:
    """No answer to the prompt would open the gate."""
    if facts.os is OsAnswer.DENIED:
        return _no(PermissionState.DENIED, Reason.OS_DENIED)
    if facts.os is not OsAnswer.GRANTED and facts.os is not OsAnswer.NOT_CONFIGURED:  # R1
        return _no(PermissionState.DENIED, Reason.OS_UNKNOWN)
    if facts.vehicle_privacy:
        return _no(PermissionState.DENIED, Reason.VEHICLE_PRIVACY)
    if facts.guardian_missing:  # R17
        return _no(PermissionState.DENIED, Reason.GUARDIAN_REQUIRED)
    if facts.outdated is not None:  # R14
        return _no(PermissionState.DENIED, facts.outdated)
    return None


def _not_again(facts: AskFacts) -> Ask | None:
    """R12: a no stands until the person comes back."""
    if facts.user_action:
        return None
    state = facts.state
    if state.status is Status.REFUSED:
        return _no(PermissionState.BLOCKED, Reason.REFUSED)
    if state.status is Status.WITHDRAWN:
        return _no(PermissionState.BLOCKED, Reason.WITHDRAWN)
    if _revoked_by_service(state):
        return _no(PermissionState.BLOCKED, Reason.REVOKED)
    quiet = state.embargo_from
    if quiet is not None and not facts.now_wall_s >= quiet.timestamp() + QUIET_S:
        return _no(PermissionState.BLOCKED, Reason.COOLDOWN)
    return None


def _not_here(facts: AskFacts) -> Ask | None:
    if not facts.has_prompter:
        return _no(PermissionState.UNAVAILABLE, Reason.NO_PROMPTER)
    if facts.driver_facing and facts.motion is not Motion.PARKED:  # R12
        return _no(PermissionState.DEFERRED, Reason.DEFERRED)
    return None


def _revoked_by_service(state: RecordState) -> bool:
    return state.status is Status.REVOKED and state.ended_cause == "service"


def permission(
    decision: Decision, state: RecordState, *, has_prompter: bool, deferred: bool, outdated: Reason | None = None
) -> Permission:
    """What an app sees. ``deferred``: a request waits until the vehicle is parked. ``outdated``: why the service takes
    no consent to the notice that would be shown."""
    terms = state.terms
    if decision.allowed and terms is not None:
        return Permission(
            state=PermissionState.GRANTED,
            reason=Reason.ALLOWED,
            precision=decision.precision,
            expires_at=terms.expires_at,
            epoch=state.epoch,
            receipt_id=terms.receipt_id,
        )
    reason = Reason.STATE_UNREADABLE if decision.reason is Reason.ALLOWED else decision.reason
    answer = _ANSWER.get(reason, PermissionState.UNAVAILABLE)
    if reason is Reason.REVOKED and _revoked_by_service(state):
        answer = PermissionState.BLOCKED
    if answer is PermissionState.PROMPT and outdated is not None:  # R14: not before the app is updated
        return Permission(PermissionState.DENIED, outdated)
    if answer is PermissionState.PROMPT and not has_prompter:
        return Permission(PermissionState.UNAVAILABLE, Reason.NO_PROMPTER)
    if deferred and answer in (PermissionState.PROMPT, PermissionState.BLOCKED):
        return Permission(PermissionState.DEFERRED, Reason.DEFERRED)
    return Permission(answer, reason)


_ANSWER: Final = {
    Reason.NOT_ASKED: PermissionState.PROMPT,
    Reason.EXPIRED: PermissionState.PROMPT,
    Reason.REVOKED: PermissionState.PROMPT,
    Reason.NOTICE_CHANGED: PermissionState.PROMPT,
    Reason.CONTROLLER_CHANGED: PermissionState.PROMPT,
    Reason.ORIGIN_CHANGED: PermissionState.PROMPT,
    Reason.REFUSED: PermissionState.BLOCKED,
    Reason.WITHDRAWN: PermissionState.BLOCKED,
    Reason.OS_DENIED: PermissionState.DENIED,
    Reason.OS_UNKNOWN: PermissionState.DENIED,
    Reason.VEHICLE_PRIVACY: PermissionState.DENIED,
    Reason.GUARDIAN_REQUIRED: PermissionState.DENIED,
    Reason.CROSS_BORDER: PermissionState.DENIED,
}
"""Every reason not listed (unreadable state, another profile, an untrusted clock) is ``UNAVAILABLE`` (R1)."""
