"""The ledger's events and what they fold to (R5, R6, R8, R12).

An event is a JSON object without floating-point numbers, so that its canonical bytes can be hashed: times are ISO
text in milliseconds, UTC; seconds are whole milliseconds. What is kept here:

- a grant has an epoch above every earlier one of its purpose; every other event names the present one (R6);
- an ending is remembered with who caused it and why; a third dismissal in a row starts the quiet time (R12);
- a profile marked as a minor stays one: no event takes the mark away, and no later grant is without evidence of a
  guardian's consent (R17);
- an event says how the vehicle moved, as far as it was known then (R12); the older ones say nothing about it;
- an event that is malformed, or that cannot follow the ones before it, is an error and never skipped (R8).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn, TypeVar

from ..model.consent import Duration, GrantTerms, Precision, Purpose, RecordState
from ..model.decision import Reason
from ..model.vehicle import Motion
from .lifecycle import GRANTING, Event, transition

__all__ = ["MalformedEvent", "apply", "fold", "make_event", "terms_from_json", "terms_to_json"]

DISMISSALS_BEFORE_QUIET: Final = 3
MARKS: Final = frozenset({"erased", "registered", "withdraw-again", "reset", "minor"})
"""Kinds beside the lifecycle's: a drop finished, the service knows, a withdrawal of nothing, a new start, a profile
marked as a minor."""

_EVENTS: Final = {event.value: event for event in Event}
_PURPOSES: Final = {purpose.value: purpose for purpose in Purpose}
_PRECISIONS: Final = {precision.value: precision for precision in Precision}
_REASONS: Final = {reason.value: reason for reason in Reason if reason is not Reason.ALLOWED}
_MOTIONS: Final = {motion.value: motion for motion in Motion}
_DEFAULT_REASON: Final = {
    Event.WITHDRAW: Reason.WITHDRAWN,
    Event.REVOKE: Reason.REVOKED,
    Event.EXPIRE: Reason.EXPIRED,
    Event.INVALIDATE: Reason.NOTICE_CHANGED,
}
_DEFAULT_CAUSE: Final = {
    Event.WITHDRAW: "subject",
    Event.REVOKE: "controller",
    Event.EXPIRE: "time",
    Event.INVALIDATE: "notice",
}
_CAUSE: Final = re.compile(r"[a-z][a-z-]{0,31}")
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")
_START: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS: Final = 253_402_300_799_999  # the end of the year 9999
_LAST_EPOCH: Final = 2**63 - 1

_AS_THEY_ARE: Final = (
    "receipt_id",
    "notice_id",
    "notice_version",
    "notice_locale",
    "notice_sha256",
    "notice_fields_sha256",
    "controller_id",
    "service_origin",
    "granted_boot_id",
    "drive_id",
    "asserted_parked",
    "simulated",
    "guardian",
    "run_id",
)
_T = TypeVar("_T")


class MalformedEvent(ValueError):
    """An event is malformed or cannot have happened. The text names the rule, never a value."""


def _refuse(rule: str) -> NoReturn:
    raise MalformedEvent(f"ledger event: {rule}")


# -- writing -------------------------------------------------------------------------------------


def make_event(
    kind: str,
    purpose: Purpose,
    epoch: int,
    wall_s: float,
    *,
    cause: str | None = None,
    reason: Reason | str | None = None,
    terms: GrantTerms | None = None,
    motion: Motion | None = None,
) -> dict[str, Any]:
    """The body of an event: ``kind`` is an :class:`Event` value or one of the marks, ``wall_s`` seconds since 1970.

    A clock beyond the years 1970 to 9999 is written as their border: no clock can prevent a withdrawal (R13).
    Raises :class:`MalformedEvent` for what :func:`apply` could never accept.
    """
    body: dict[str, Any] = {
        "v": 1,
        "kind": kind,
        "purpose": purpose.value,
        "epoch": epoch,
        "at": _time_text(_START + timedelta(milliseconds=_clamped_ms(wall_s))),
        "cause": cause,
        "reason": reason.value if isinstance(reason, Reason) else reason,
    }
    if motion is not None:
        body["motion"] = motion.value
    if terms is not None:
        body["precision"] = terms.precision.value
        body["terms"] = terms_to_json(terms)
    _check_shape(body)
    return body


def terms_to_json(terms: GrantTerms) -> dict[str, Any]:
    """The terms as a JSON object of text, whole numbers, booleans and nulls. Times are cut to milliseconds."""
    document: dict[str, Any] = {name: getattr(terms, name) for name in _AS_THEY_ARE}
    document["precision"] = terms.precision.value
    document["duration"] = str(terms.duration)
    document["granted_at"] = _time_text(terms.granted_at)
    document["expires_at"] = None if terms.expires_at is None else _time_text(terms.expires_at)
    document["granted_boottime_ms"] = round(terms.granted_boottime_s * 1000)
    document["granted_suspended_ms"] = round(terms.granted_suspended_s * 1000)
    return document


def _time_text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _clamped_ms(wall_s: float) -> int:
    return min(math.floor(min(max(wall_s, 0.0), 1e12) * 1000), _LAST_MS) if math.isfinite(wall_s) else 0


# -- reading -------------------------------------------------------------------------------------


def terms_from_json(document: Mapping[str, Any]) -> GrantTerms:
    """The inverse of :func:`terms_to_json`. Raises :class:`MalformedEvent`: a grant without its notice's hash, for
    one, is no grant (R14)."""
    if not isinstance(document, Mapping):
        _refuse("terms must be an object")
    simulated = document.get("simulated")
    if not isinstance(simulated, bool):
        _refuse("simulated must be true or false")
    expires = document.get("expires_at")
    return GrantTerms(
        receipt_id=_text(document, "receipt_id"),
        precision=_one_of(_PRECISIONS, document, "precision"),
        duration=_duration(_text(document, "duration")),
        notice_id=_text(document, "notice_id"),
        notice_version=_text(document, "notice_version"),
        notice_locale=_text(document, "notice_locale"),
        notice_sha256=_text(document, "notice_sha256"),
        notice_fields_sha256=_text(document, "notice_fields_sha256"),
        controller_id=_text(document, "controller_id"),
        service_origin=_text(document, "service_origin", may_be_empty=True),
        granted_at=_time(document, "granted_at"),
        expires_at=None if expires is None else _time(document, "expires_at"),
        granted_boot_id=_text(document, "granted_boot_id"),
        granted_boottime_s=_whole(document, "granted_boottime_ms") / 1000,
        granted_suspended_s=_whole(document, "granted_suspended_ms") / 1000,
        drive_id=_maybe_text(document, "drive_id"),
        asserted_parked=_maybe_text(document, "asserted_parked"),
        simulated=simulated,
        guardian=_maybe_text(document, "guardian"),
        run_id=_maybe_text(document, "run_id"),
    )


def apply(state: RecordState, body: Mapping[str, Any]) -> RecordState:
    """The record after one more event. Raises :class:`MalformedEvent`, and then nothing has changed."""
    _check_shape(body)
    if body["purpose"] != state.purpose.value:
        _refuse("it belongs to another purpose")
    event = _EVENTS.get(body["kind"])
    if event is None:
        return _marked(state, body["kind"], body["epoch"], _time(body, "at"))
    after = transition(state.status, event)
    if after is None:
        _refuse("it cannot follow the record's status")
    at = _time(body, "at")
    if event in GRANTING:
        if body["epoch"] <= state.epoch:
            _refuse("a grant needs a new epoch")  # R6
        terms = terms_from_json(body["terms"])
        if state.minor and terms.guardian is None:
            _refuse("a minor's grant needs evidence of a guardian's consent")  # R17
        return replace(
            state,
            status=after,
            epoch=body["epoch"],
            terms=terms,
            dismissals=0,
            embargo_from=None,
            ended_cause=None,
            ended_reason=None,
            changed_at=at,
        )
    if body["epoch"] != state.epoch:
        _refuse("it names another epoch than the record's")
    if event is Event.DENY:
        return replace(state, status=after, dismissals=0, embargo_from=None, changed_at=at)
    if event is Event.DISMISS:
        return _dismissed(state, at)
    if after is state.status:
        return state  # deferred, failed, or a withdrawal of nothing: evidence, no change
    return replace(
        state,
        status=after,
        ended_cause=body.get("cause") or _DEFAULT_CAUSE[event],
        ended_reason=_REASONS.get(body.get("reason") or "", _DEFAULT_REASON[event]),
        changed_at=at,
    )


def fold(
    bodies: Iterable[Mapping[str, Any]], start: Mapping[Purpose, RecordState] | None = None
) -> dict[Purpose, RecordState]:
    """Every purpose's record after ``bodies``, beginning at ``start``. Raises :class:`MalformedEvent`."""
    records = {purpose: RecordState(purpose) for purpose in Purpose}
    records.update(start or {})
    for body in bodies:
        if not isinstance(body, Mapping):
            _refuse("it must be an object")
        purpose = _one_of(_PURPOSES, body, "purpose")
        records[purpose] = apply(records[purpose], body)
    return records


def _marked(state: RecordState, kind: str, epoch: int, at: datetime) -> RecordState:
    if kind == "reset":
        if epoch < state.epoch:
            _refuse("a new start cannot lower the epoch")  # R6
        return RecordState(
            state.purpose, epoch=epoch, erased_epoch=state.erased_epoch, minor=state.minor, changed_at=at
        )
    if epoch > state.epoch:
        _refuse("it names an epoch that was never granted")
    if kind == "minor":
        return replace(state, minor=True)
    if kind == "registered":
        return replace(state, registered_epoch=max(state.registered_epoch, epoch))
    if state.status.active and epoch == state.epoch:
        _refuse("it says that an active grant is over")
    return replace(state, erased_epoch=max(state.erased_epoch, epoch)) if kind == "erased" else state


def _dismissed(state: RecordState, at: datetime) -> RecordState:
    if state.dismissals + 1 < DISMISSALS_BEFORE_QUIET:
        return replace(state, dismissals=state.dismissals + 1)
    return replace(state, dismissals=0, embargo_from=at)  # R12


# -- shape ---------------------------------------------------------------------------------------


def _check_shape(body: Mapping[str, Any]) -> None:
    """Everything that can be judged without knowing the record."""
    if not isinstance(body, Mapping):
        _refuse("it must be an object")
    if isinstance(body.get("v"), bool) or body.get("v") != 1:
        _refuse("its version is not known")
    kind = body.get("kind")
    if not isinstance(kind, str) or (kind not in _EVENTS and kind not in MARKS):
        _refuse("its kind is not known")
    _one_of(_PURPOSES, body, "purpose")
    epoch = _whole(body, "epoch")
    _time(body, "at")
    cause, reason = body.get("cause"), body.get("reason")
    if cause is not None and not (isinstance(cause, str) and _CAUSE.fullmatch(cause)):
        _refuse("cause must be a word")
    if reason is not None:
        _one_of(_REASONS, body, "reason")
    if "motion" in body:
        _one_of(_MOTIONS, body, "motion")
    if (_EVENTS.get(kind) in GRANTING) != ("terms" in body):
        _refuse("terms belong to a grant, and to nothing else")
    if "terms" in body:
        terms = terms_from_json(body["terms"])
        if body.get("precision") != terms.precision.value:
            _refuse("precision must be the one of the terms")
    if epoch == 0 and (_EVENTS.get(kind) in GRANTING or kind in ("erased", "registered")):
        _refuse("a grant's epoch is at least 1")


def _text(document: Mapping[str, Any], name: str, *, may_be_empty: bool = False) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not (value or may_be_empty):
        _refuse(f"{name} must be text")
    return value


def _maybe_text(document: Mapping[str, Any], name: str) -> str | None:
    return None if document.get(name) is None else _text(document, name, may_be_empty=True)


def _whole(document: Mapping[str, Any], name: str) -> int:
    value = document.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LAST_EPOCH:
        _refuse(f"{name} must be a whole number that is not negative")
    return value


def _one_of(known: Mapping[str, _T], document: Mapping[str, Any], name: str) -> _T:
    value = document.get(name)
    if not isinstance(value, str) or value not in known:
        _refuse(f"{name} is not known")
    return known[value]


def _time(document: Mapping[str, Any], name: str) -> datetime:
    text = document.get(name)
    time = None
    if isinstance(text, str) and _TIME.fullmatch(text):
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            pass  # such as the 31st of February
    if time is None:
        _refuse(f"{name} must be a time like 2026-01-01T00:00:00.000Z")
    return time


def _duration(text: str) -> Duration:
    duration = None
    try:
        duration = Duration.parse(text)
    except ValueError:
        pass
    if duration is None:
        _refuse("duration is not known")
    return duration
