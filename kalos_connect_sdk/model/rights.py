"""Rights requests: what a person may ask of the controller, and how far it has come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from .consent import Permission, Purpose

__all__ = ["DeletionReason", "HourOfUse", "MarkedBy", "PrivacyReport", "RequestKind", "RequestStatus", "RightsRequest"]


class RequestKind(Enum):
    """What is asked for."""

    DELETION = "deletion"
    ACCESS = "access"
    EXPLANATION = "explanation"
    """Of a decision that was made automatically."""


class DeletionReason(Enum):
    """The five reasons for which the policy promises deletion."""

    UNLAWFUL = "unlawful"
    """Handling it breaks the law."""
    NO_CONSENT = "no-consent"
    """It was collected or used without consent."""
    BREACH = "breach"
    """Handling it breaks what was agreed."""
    NO_LONGER_USED = "no-longer-used"
    """The person no longer uses the service, or closed the account."""
    SERVICE_ENDED = "service-ended"
    """The service is no longer offered."""


class MarkedBy(Enum):
    """Who says that a profile is a minor's (R17)."""

    APP = "app"
    USER = "user"
    SERVICE = "service"


class RequestStatus(Enum):
    """How far a request has come. Only an acknowledgement of the service ends ``PENDING``."""

    PENDING = "pending"
    RECEIVED = "received"
    IDENTITY_PENDING = "identity-pending"
    """The service has to be shown who is asking, through the contact of the notice."""
    COMPLETED = "completed"
    REFUSED = "refused"

    @property
    def open(self) -> bool:
        """An answer is still to come."""
        return self not in (RequestStatus.COMPLETED, RequestStatus.REFUSED)


@dataclass(frozen=True, slots=True)
class RightsRequest:
    """One request as this device knows it. Holds no coordinate (R10)."""

    id: str
    kind: RequestKind
    reason: DeletionReason | None
    made_at: datetime
    due_at: datetime
    """By when an answer is owed: the earliest of policy, law and the service's own word."""
    status: RequestStatus
    recipients: tuple[str, ...]
    """Who is asked: the controller, the service's origin, and the recipients of the notice."""
    contact: str
    """Where to ask when no answer comes."""
    outcome: Mapping[str, Any] | None = None
    """What the service says it did: counts and texts."""
    refusal_code: str | None = None
    refusal_reason: str | None = None

    @property
    def unexplained(self) -> bool:
        """It was refused without a reason, which the policy does not allow."""
        return self.status is RequestStatus.REFUSED and not (self.refusal_reason or "").strip()

    def overdue(self, now: datetime) -> bool:
        """An answer was owed before ``now`` (aware) and has not come."""
        return self.status.open and now > self.due_at


@dataclass(frozen=True, slots=True)
class HourOfUse:
    """How many positions were delivered for a purpose in the hour that begins at ``start`` (UTC)."""

    start: datetime
    purpose: Purpose
    positions: int


@dataclass(frozen=True, slots=True)
class PrivacyReport:
    """What a person is owed to see at a glance. Counts and dates; no coordinate (R10)."""

    days: int
    made_at: datetime
    permissions: Mapping[Purpose, Permission]
    use: tuple[HourOfUse, ...]
    """Hours of the last ``days`` in which positions were delivered, oldest first."""
    grants: int
    """Consents ever given on this device, by this profile."""
    notices_pending: int
    """Withdrawals that the service has not acknowledged yet."""
    requests: tuple[RightsRequest, ...]

    @property
    def positions(self) -> int:
        """Positions delivered in these days."""
        return sum(hour.positions for hour in self.use)
