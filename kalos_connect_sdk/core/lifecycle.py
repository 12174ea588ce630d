"""The life of a consent as one total table (R1, R6, R11).

Anything not in :data:`TRANSITIONS` is refused and changes nothing. Three things it keeps:

- only ``ALLOW``, ``ALLOW_NEW_NOTICE`` and ``AMEND`` lead to a status that can open the gate (R1);
- ``WITHDRAW`` is listed for every status: it always succeeds, and is an audit event where nothing was given (R11);
- prompting is beside the status: a prompt dismissed, deferred or failed keeps every status as it is. That is more
  than the unknown one, so that dismissals after an expiry are counted towards the quiet time as well (R12).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

from ..model.consent import Status

__all__ = ["ENDING", "GRANTING", "TRANSITIONS", "Event", "transition"]


class Event(Enum):
    """What can happen to a consent. The values are the kinds written to the ledger."""

    ALLOW = "allow"
    ALLOW_NEW_NOTICE = "allow-new-notice"
    AMEND = "amend"
    """The user changed precision or duration of an active grant."""
    DENY = "deny"
    DISMISS = "dismiss"
    DEFER = "defer"
    PROMPT_FAILED = "prompt-failed"
    WITHDRAW = "withdraw"
    """By the subject or a guardian."""
    REVOKE = "revoke"
    """By the controller, the service, the operating system, the vehicle or the profile."""
    EXPIRE = "expire"
    INVALIDATE = "invalidate"
    """The notice, the controller or the service's origin changed."""


GRANTING: Final = frozenset({Event.ALLOW, Event.ALLOW_NEW_NOTICE, Event.AMEND})
"""The events that make a new epoch (R6)."""

ENDING: Final = frozenset({Event.WITHDRAW, Event.REVOKE, Event.EXPIRE, Event.INVALIDATE})
"""The events that leave given or renewed; each runs the same drop (R3, R4)."""

_ACTIVE: Final[Mapping[Event, Status]] = {
    Event.WITHDRAW: Status.WITHDRAWN,
    Event.REVOKE: Status.REVOKED,
    Event.EXPIRE: Status.EXPIRED,
    Event.INVALIDATE: Status.INVALIDATED,
    Event.ALLOW_NEW_NOTICE: Status.RENEWED,
    Event.AMEND: Status.GIVEN,
}
_INACTIVE: Final[Mapping[Event, Status]] = {Event.ALLOW: Status.GIVEN, Event.DENY: Status.REFUSED}


def _row(status: Status) -> dict[tuple[Status, Event], Status]:
    ways = dict(_ACTIVE if status.active else _INACTIVE)
    for beside in (Event.DISMISS, Event.DEFER, Event.PROMPT_FAILED):
        ways[beside] = status
    ways.setdefault(Event.WITHDRAW, status)  # R11
    return {(status, event): after for event, after in ways.items()}


TRANSITIONS: Final[Mapping[tuple[Status, Event], Status]] = MappingProxyType(
    {pair: after for status in Status for pair, after in _row(status).items()}
)


def transition(status: Status, event: Event) -> Status | None:
    """The status after ``event``, or None when the event is refused and nothing changes."""
    return TRANSITIONS.get((status, event))
