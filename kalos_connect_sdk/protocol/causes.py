"""Why a grant ends: each cause with what it does to the record, who is behind it, and what an app is told."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.lifecycle import Event
from ..model.decision import Reason

__all__ = ["CAUSES", "Cause"]


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a grant ends: the lifecycle event, who, and the reason an app will see."""

    event: Event
    who: str
    reason: Reason


CAUSES = {
    "subject": Cause(Event.WITHDRAW, "subject", Reason.WITHDRAWN),
    "guardian": Cause(Event.WITHDRAW, "guardian", Reason.WITHDRAWN),
    "service": Cause(Event.REVOKE, "service", Reason.REVOKED),
    "service-expired": Cause(Event.EXPIRE, "service", Reason.EXPIRED),
    "service-notice": Cause(Event.INVALIDATE, "service", Reason.NOTICE_CHANGED),
    "service-controller": Cause(Event.INVALIDATE, "service", Reason.CONTROLLER_CHANGED),
    "os": Cause(Event.REVOKE, "os", Reason.OS_DENIED),
    "vehicle": Cause(Event.REVOKE, "vehicle", Reason.VEHICLE_PRIVACY),
    "profile": Cause(Event.REVOKE, "profile", Reason.GUARDIAN_REQUIRED),
    "time": Cause(Event.EXPIRE, "time", Reason.EXPIRED),
    "run": Cause(Event.EXPIRE, "run", Reason.EXPIRED),
    "notice": Cause(Event.INVALIDATE, "notice", Reason.NOTICE_CHANGED),
    "controller": Cause(Event.INVALIDATE, "controller", Reason.CONTROLLER_CHANGED),
    "origin": Cause(Event.INVALIDATE, "origin", Reason.ORIGIN_CHANGED),
}
