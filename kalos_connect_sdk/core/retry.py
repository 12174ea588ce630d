"""What an answer of the service means, and how long to wait before trying again.

* Only a 2xx is a success; no answer at all is a reason to try again (R5).
* 403, 409 ``notice-changed`` and 410 are never retried: they close our own gate (section 7).
* A withdrawal notice is tried for ever: nothing but a 2xx makes it go away (R5).
* A wait is bounded, whatever the service asks for, and is never spent while holding a lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from enum import Enum
from typing import Final

__all__ = ["Action", "Outcome", "backoff_s", "notice_outcome", "outcome", "retry_after_s"]

BACKOFF_FIRST_S: Final = 1.0
BACKOFF_MAX_S: Final = 60.0
RETRY_AFTER_MAX_S: Final = 3600.0


class Action(Enum):
    """What to do after an answer. ``EXPIRE``, ``INVALIDATE`` and ``REVOKE`` end the grant."""

    DONE = "done"
    RETRY = "retry"
    REGISTER = "register"
    EXPIRE = "expire"
    INVALIDATE = "invalidate"
    REVOKE = "revoke"
    SPLIT = "split"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Outcome:
    """An action, and the seconds the service asked us to wait (``None``: it did not say)."""

    action: Action
    wait_s: float | None = None


def backoff_s(attempt: int, jitter: float) -> float:
    """Seconds to wait after failure number ``attempt`` (1 is the first): 1 s doubling to 60 s.

    ``jitter`` in [0, 1) picks a point between half of that and all of it, so that a fleet that lost its
    service together does not come back together.
    """
    doublings = min(max(attempt, 1) - 1, 6)  # 2**6 s is already above the bound
    full = min(BACKOFF_FIRST_S * float(2**doublings), BACKOFF_MAX_S)
    return full * (0.5 + 0.5 * min(max(jitter, 0.0), 1.0))


def outcome(status: int | None, problem: str | None, retry_after: str | None, *, now_wall_s: float) -> Outcome:
    """What the answer to a batch of positions means.

    ``status`` is the HTTP status, ``None`` when no complete answer came; ``problem`` the name of the
    problem document, ``retry_after`` the header as sent; ``now_wall_s`` seconds since 1970, to which a
    date in that header is compared.
    """
    if status is None:
        return Outcome(Action.RETRY)
    if 200 <= status < 300:
        return Outcome(Action.DONE)
    if status in _BY_STATUS:
        return Outcome(_BY_STATUS[status])
    if status == 403:
        return Outcome(Action.EXPIRE if problem == "consent-expired" else Action.REVOKE)
    if status == 409:  # R1: a conflict without a name closes the gate too
        return Outcome(Action.INVALIDATE if problem in ("notice-changed", None) else Action.REJECT)
    if status in (429, 503):
        return Outcome(Action.RETRY, retry_after_s(retry_after, now_wall_s=now_wall_s))
    if 400 <= status < 500:
        return Outcome(Action.REJECT)
    return Outcome(Action.RETRY)  # 5xx; and a 3xx, which is an error here and is never followed


_BY_STATUS: Final = {
    401: Action.REGISTER,
    408: Action.RETRY,
    410: Action.REVOKE,
    413: Action.SPLIT,
}


def notice_outcome(status: int | None, retry_after: str | None = None, *, now_wall_s: float = 0.0) -> Outcome:
    """What the answer to a withdrawal notice means: a 2xx acknowledges it, anything else is tried again (R5)."""
    if status is not None and 200 <= status < 300:
        return Outcome(Action.DONE)
    if status in (429, 503):
        return Outcome(Action.RETRY, retry_after_s(retry_after, now_wall_s=now_wall_s))
    return Outcome(Action.RETRY)


def retry_after_s(header: str | None, *, now_wall_s: float) -> float | None:
    """Seconds a ``Retry-After`` header asks for, in either of its two forms, from 0 to one hour.

    ``None`` when the header is absent or cannot be understood.
    """
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdecimal():
        return min(float(text[-10:]) if not text[:-10].strip("0") else RETRY_AFTER_MAX_S, RETRY_AFTER_MAX_S)
    date_s = _http_date_s(text) if len(text) <= 64 else None
    return None if date_s is None else min(max(date_s - now_wall_s, 0.0), RETRY_AFTER_MAX_S)


def _http_date_s(text: str) -> float | None:
    from email.utils import parsedate_to_datetime  # imported late: it is large and rarely needed

    try:
        date = parsedate_to_datetime(text)
        return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None  # a date that cannot be: as good as none
