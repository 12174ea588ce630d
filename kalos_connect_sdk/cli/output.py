"""One invocation's output: documents for programs, a screen for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ..model.consent import Permission
from ..model.decision import Reason
from .screen import Screen, screen_for

__all__ = ["describe", "permission_document", "print_json", "screen", "when"]


def screen() -> Screen:
    """Standard output, for people."""
    return screen_for(sys.stdout)


def print_json(document: Mapping[str, Any] | Sequence[Any]) -> None:
    """Exactly one document on standard output. Control characters are escaped by JSON itself."""
    print(json.dumps(document, indent=2, ensure_ascii=not _speaks_unicode(), allow_nan=False))


def permission_document(permission: Permission) -> dict[str, Any]:
    """A permission as JSON."""
    return {
        "state": permission.state.value,
        "granted": permission.granted,
        "reason": permission.reason.name,
        "precision": permission.precision.value if permission.precision else None,
        "expires_at": permission.expires_at.isoformat() if permission.expires_at else None,
        "epoch": permission.epoch,
        "receipt_id": permission.receipt_id,
    }


def when(permission: Permission) -> str:
    """Until when a permission lasts, for people."""
    if permission.expires_at is None:
        return "until it is withdrawn, or the drive ends if it was given for one"
    return f"until {permission.expires_at.astimezone():%Y-%m-%d %H:%M %Z}"


def describe(reason: Reason) -> str:
    """A reason as a sentence that says what to do."""
    return _SENTENCES.get(reason, f"Location may not be used ({reason.name}).")


def _speaks_unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


_SENTENCES = {
    Reason.ALLOWED: "Location may be used.",
    Reason.NOT_ASKED: "Nobody has been asked yet: kalos-connect consent request.",
    Reason.DEFERRED: "The question waits until the vehicle is parked.",
    Reason.DISMISSED: "The question was closed without an answer.",
    Reason.COOLDOWN: "The question was closed several times; it is not put again for now.",
    Reason.REFUSED: "The person said no. Only they can reopen the question: kalos-connect consent request.",
    Reason.WITHDRAWN: "Consent was withdrawn. Only the person can give it again: kalos-connect consent request.",
    Reason.REVOKED: "Consent was revoked.",
    Reason.EXPIRED: "Consent has expired.",
    Reason.NOTICE_CHANGED: "The notice has changed; the question must be put again.",
    Reason.CONTROLLER_CHANGED: "The controller has changed; the question must be put again.",
    Reason.ORIGIN_CHANGED: "Consent was given for another service than the configured one.",
    Reason.PRECISION: "Consent covers an approximate location only.",
    Reason.GUARDIAN_REQUIRED: "This profile is a minor's. A guardian must agree: consent request --guardian TEXT.",
    Reason.OS_DENIED: "The operating system denies location to this program.",
    Reason.CROSS_BORDER: "A position in mainland China needs a separate consent before it goes abroad.",
    Reason.RECIPIENT_NOT_NAMED: "The notice does not name this navigation provider: it is asked between typed places"
    " only (--from).",
    Reason.BUSY: "Another program is using the state; try again.",
    Reason.NO_PROMPTER: "There is nobody to ask: run this on a terminal.",
    Reason.STATE_UNREADABLE: "The state cannot be used. It is kept; kalos-connect doctor says why and what to do.",
    Reason.STATE_ROLLED_BACK: "The state was restored from before a withdrawal; the way out is kalos-connect consent"
    " reset.",
    Reason.VAULT_UNAVAILABLE: "The key vault cannot be used; kalos-connect doctor says why.",
    Reason.CLOCK_UNTRUSTED: "The clock cannot be trusted yet, and this consent has an end date.",
}
