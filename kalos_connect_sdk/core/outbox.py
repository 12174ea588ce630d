"""What enters the outbox, what leaves it next, and what has been in it for too long.

* Consent is not judged here: the gate has already said yes (R6). These are filters of sense: a position
  that is old, ahead of time, out of order or a repetition is not wanted.
* The next step is data (Send, Wait, Done), which the shell performs and reports back.
* A batch keeps its key through all its retries, so that the service can tell a repetition; a wait is
  never served while a lock is held, because here a wait is only a number.
* Turning the clock back does not lengthen how long a position is kept (R13).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from ..model.decision import Reason
from .retry import Action, Outcome, backoff_s

__all__ = [
    "FUTURE_MAX_S",
    "Admission",
    "BatchProgress",
    "Done",
    "Send",
    "Task",
    "Wait",
    "after_failure",
    "expired_count",
    "next_task",
    "overflow",
]

FUTURE_MAX_S: Final = 30.0
"""How far ahead of now a live position may claim to be."""

_ALLOWED: Final = Reason.ALLOWED


class Admission:
    """The filters of one source, which remember its last accepted position. Not thread-safe; its ``repr`` is silent."""

    __slots__ = ("_latitude", "_longitude", "_time_s")

    def __init__(self) -> None:
        self._time_s = float("-inf")
        self._latitude = self._longitude = 0.0

    def judge(
        self,
        time_s: float,
        latitude: float,
        longitude: float,
        now_s: float,
        ttl_s: float,
        *,
        recording: bool = False,
        implied: bool = False,
    ) -> Reason:
        """``ALLOWED``, or why the position is not wanted; an allowed one is remembered.

        Times in seconds since 1970. ``STALE``: older than ``ttl_s``. ``FUTURE``: more than 30 s ahead.
        ``OUT_OF_ORDER``: before the last accepted one. ``DUPLICATE``: its time and coordinates.
        A ``recording`` keeps its recorded times, so the first two do not apply; to a position whose time
        is ``implied`` (it said none) the last two do not.
        """
        if not recording:
            if now_s - time_s > ttl_s:
                return Reason.STALE
            if time_s - now_s > FUTURE_MAX_S:
                return Reason.FUTURE
        if not implied and time_s <= self._time_s:
            if time_s < self._time_s:
                return Reason.OUT_OF_ORDER
            if latitude == self._latitude and longitude == self._longitude:
                return Reason.DUPLICATE
        self._time_s = time_s
        self._latitude = latitude
        self._longitude = longitude
        return _ALLOWED


@dataclass(frozen=True, slots=True)
class Send:
    """Send the oldest ``count`` positions; under ``key``, or under a new one when it is ``None``."""

    count: int
    key: str | None


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do for ``seconds``, unless something changes."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Done:
    """The outbox is empty."""


Task = Send | Wait | Done


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """A batch that has failed: its ``key`` (``None``: take a new one), size, failures so far, and the earliest
    next try in seconds of the clock the caller uses."""

    key: str | None
    count: int
    attempts: int = 0
    not_before_s: float = 0.0


def next_task(queued: int, batch_max: int, batch: BatchProgress | None, now_s: float) -> Task:
    """What to do next with ``queued`` positions in the outbox. A failed ``batch`` goes before anything newer."""
    if queued <= 0:
        return Done()
    if batch is None:
        return Send(min(queued, max(batch_max, 1)), None)
    if now_s < batch.not_before_s:
        return Wait(batch.not_before_s - now_s)
    return Send(min(queued, batch.count), batch.key)


def after_failure(
    progress: BatchProgress, outcome: Outcome, now_s: float, jitter: float, max_retries: int
) -> BatchProgress | None:
    """The batch after an answer that was not a success; ``None`` gives it up.

    ``RETRY`` waits the longer of the backoff and what the service asked for. ``REGISTER`` tries again at
    once the first time. ``SPLIT`` halves the batch under a new key and costs no retry, for halving ends
    by itself. After ``max_retries`` tries again, and for every other action, the batch is given up.
    """
    if outcome.action is Action.SPLIT:
        if progress.count <= 1:
            return None
        return replace(progress, key=None, count=progress.count // 2, not_before_s=now_s)
    if outcome.action not in (Action.RETRY, Action.REGISTER) or progress.attempts >= max_retries:
        return None
    attempts = progress.attempts + 1
    wait_s = 0.0
    if outcome.action is Action.RETRY or attempts > 1:
        wait_s = max(outcome.wait_s or 0.0, backoff_s(attempts, jitter))
    return replace(progress, attempts=attempts, not_before_s=now_s + wait_s)


def expired_count(accepted_ms: Sequence[int], now_ms: int, ttl_s: float) -> int:
    """How many of the oldest positions have been kept for longer than ``ttl_s`` since they were accepted.

    ``accepted_ms`` in the order of acceptance, on the clock of ``now_ms``. One that claims to be accepted
    that far ahead of now was accepted under a wrong clock and goes too (R13).
    """
    ttl_ms = ttl_s * 1000
    count = 0
    for accepted in accepted_ms:
        if abs(now_ms - accepted) <= ttl_ms:
            break
        count += 1
    return count


def overflow(queued: int, limit: int) -> int:
    """How many of the oldest positions must go so that at most ``limit`` remain."""
    return max(0, queued - max(limit, 0))
