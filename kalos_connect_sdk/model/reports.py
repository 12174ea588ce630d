"""What the calls report: plain numbers and words, no coordinate (R10)."""

from __future__ import annotations

from dataclasses import dataclass

from .decision import Reason

__all__ = ["FlushReport", "Submission", "WithdrawalReport"]


@dataclass(frozen=True, slots=True)
class Submission:
    """What became of one position: accepted (sealed in the outbox), or filtered and why."""

    accepted: bool
    reason: Reason = Reason.ALLOWED


@dataclass(frozen=True, slots=True)
class FlushReport:
    """What a flush did: counts of positions, notices still pending, seconds until trying again is worthwhile."""

    sent: int = 0
    rejected: int = 0
    remaining: int = 0
    notices_pending: int = 0
    next_attempt_s: float | None = None
    reason: Reason = Reason.ALLOWED
    """Why positions were not sent, when they were not."""


@dataclass(frozen=True, slots=True)
class WithdrawalReport:
    """What a withdrawal achieved; it never claims more than it did (R3).

    ``complete``: no byte of a precise position leaves afterwards and the data keys are gone.
    ``dropped``: buffered positions dropped. ``aborted``: requests cut while in flight.
    ``possibly_delivered``: requests whose answer never came, so the service may have their positions.
    ``notice``: ``delivered``, ``pending`` or ``none`` (nothing was ever granted).
    ``holders``: pids that could not be stopped. ``durable``: the withdrawal is on disk; its entry in the history
    follows within milliseconds, or ``remaining`` says that it is missing.
    ``remaining``: what is left to do, in words. ``elapsed_s``: seconds.
    """

    complete: bool
    dropped: int = 0
    aborted: int = 0
    possibly_delivered: int = 0
    notice: str = "none"
    holders: tuple[int, ...] = ()
    durable: bool = True
    remaining: tuple[str, ...] = ()
    elapsed_s: float = 0.0
    detail: str = ""
