"""What a driver is owed to be told once parked: the ledger's events of the drive, folded (R12, R20).

- An event counts when it was written while the vehicle was not known to be parked: moving, at the lights, or unknown.
  A question that was put off counts by itself: it was put off because of that.
- The same outcome, however often, is one line with a count: an app that asks every second hides nothing else, and
  the list is as short as there are kinds of outcomes.
- Nothing is kept for it but the events themselves and how far a person has read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from ..model.consent import Purpose
from ..model.decision import Reason
from ..model.review import DriveOutcome, Outcome
from ..model.vehicle import Motion
from .lifecycle import Event

__all__ = ["LEFT_PARK", "review"]

LEFT_PARK: Final = "left-park"
"""The cause of a deferral that closed a prompt which was open."""

_OUTCOMES: Final = {
    Event.ALLOW.value: Outcome.ALLOWED,
    Event.ALLOW_NEW_NOTICE.value: Outcome.ALLOWED,
    Event.AMEND.value: Outcome.CHANGED,
    Event.DENY.value: Outcome.REFUSED,
    Event.DISMISS.value: Outcome.DISMISSED,
    Event.DEFER.value: Outcome.DEFERRED,
    Event.PROMPT_FAILED.value: Outcome.FAILED,
    Event.WITHDRAW.value: Outcome.WITHDRAWN,
    Event.REVOKE.value: Outcome.REVOKED,
    Event.EXPIRE.value: Outcome.EXPIRED,
    Event.INVALIDATE.value: Outcome.INVALIDATED,
    "reset": Outcome.RESET,
}
"""Every other kind is bookkeeping of something that is told already."""


def review(bodies: Iterable[Mapping[str, Any]]) -> tuple[DriveOutcome, ...]:
    """The outcomes of verified events that happened while moving, the one that happened last at the end."""
    found: dict[tuple[Outcome, Purpose, Reason | None, str | None], DriveOutcome] = {}
    for body in bodies:
        outcome = _outcome(body)
        if outcome is None or not _while_moving(body):
            continue
        reason = Reason(body["reason"]) if body.get("reason") else None
        key = (outcome, Purpose(body["purpose"]), reason, body.get("cause"))
        at = datetime.fromisoformat(body["at"])
        before = found.pop(key, None)  # put back at the end
        found[key] = replace(before, last_at=at, times=before.times + 1) if before else DriveOutcome(*key, at, at)
    return tuple(found.values())


def _outcome(body: Mapping[str, Any]) -> Outcome | None:
    kind = body["kind"]
    if kind == "reset" and body["purpose"] != Purpose.NAVIGATION.value:
        return None  # one reset, written for each purpose
    if kind == Event.DEFER.value and body.get("cause") == LEFT_PARK:
        return Outcome.CLOSED
    return _OUTCOMES.get(kind)


def _while_moving(body: Mapping[str, Any]) -> bool:
    """An event from before they said how the vehicle moved says nothing about it, and is not told as news."""
    if body["kind"] == Event.DEFER.value:
        return True
    return body.get("motion") not in (None, Motion.PARKED.value)
