"""The review after a drive: what became of consent and of questions about it while the vehicle was not parked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from .consent import Purpose
from .decision import Reason

__all__ = ["DriveOutcome", "DriveReview", "Outcome"]


class Outcome(Enum):
    """What happened. The first five are of questions, the others of consent."""

    DEFERRED = "deferred"
    """Somebody wanted to ask; it was put off."""
    CLOSED = "closed"
    """The vehicle left park while the question was open."""
    DISMISSED = "dismissed"
    """It was closed without an answer."""
    FAILED = "failed"
    """It could not be shown, or what was asked for was no longer possible."""
    REFUSED = "refused"
    ALLOWED = "allowed"
    """On a screen that faces no driver."""
    CHANGED = "changed"
    """An active grant was changed without a question, as from precise to approximate."""
    WITHDRAWN = "withdrawn"
    REVOKED = "revoked"
    EXPIRED = "expired"
    INVALIDATED = "invalidated"
    RESET = "reset"
    """The record was begun anew; what was given ended with the old one."""


@dataclass(frozen=True, slots=True)
class DriveOutcome:
    """One kind of outcome of a purpose, however often it happened. Holds no coordinate (R10)."""

    outcome: Outcome
    purpose: Purpose
    reason: Reason | None
    by: str | None
    """Who or what caused it, as in the history: ``subject``, ``service``, ``os``, ``vehicle``, ``time``, ..."""
    first_at: datetime
    last_at: datetime
    times: int = 1


@dataclass(frozen=True, slots=True)
class DriveReview:
    """What happened while moving and was not marked as seen yet, the latest last. False when there is nothing."""

    outcomes: tuple[DriveOutcome, ...] = ()
    upto: str = ""
    """Names the last event that was looked at, for marking what was seen and nothing later."""

    def __bool__(self) -> bool:
        return bool(self.outcomes)
