"""Why the gate says yes or no."""

from __future__ import annotations

from enum import Enum

from ..errors import StateError, StateRolledBack

__all__ = ["Reason", "reason_of"]


class Reason(Enum):
    """The machine-readable reason of a decision or a permission. Only ``ALLOWED`` is a yes."""

    ALLOWED = "allowed"
    NOT_ASKED = "not-asked"
    DEFERRED = "deferred"
    DISMISSED = "dismissed"
    COOLDOWN = "cooldown"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    REVOKED = "revoked"
    EXPIRED = "expired"
    NOTICE_CHANGED = "notice-changed"
    CONTROLLER_CHANGED = "controller-changed"
    ORIGIN_CHANGED = "origin-changed"
    PRECISION = "precision"
    OS_DENIED = "os-denied"
    OS_UNKNOWN = "os-unknown"
    VEHICLE_PRIVACY = "vehicle-privacy"
    PROFILE_MISMATCH = "profile-mismatch"
    GUARDIAN_REQUIRED = "guardian-required"
    CROSS_BORDER = "cross-border"
    RECIPIENT_NOT_NAMED = "recipient-not-named"
    BUSY = "busy"
    NO_PROMPTER = "no-prompter"
    PROMPT_FAILED = "prompt-failed"
    STATE_UNREADABLE = "state-unreadable"
    STATE_ROLLED_BACK = "state-rolled-back"
    VAULT_UNAVAILABLE = "vault-unavailable"
    CLOCK_UNTRUSTED = "clock-untrusted"
    # admission filters: the position itself is not wanted, consent is fine
    STALE = "stale"
    FUTURE = "future"
    OUT_OF_ORDER = "out-of-order"
    DUPLICATE = "duplicate"
    OUTBOX_UNAVAILABLE = "outbox-unavailable"


def reason_of(error: StateError) -> Reason:
    """Why the gate says no when the state cannot be used."""
    return Reason.STATE_ROLLED_BACK if isinstance(error, StateRolledBack) else Reason.STATE_UNREADABLE
