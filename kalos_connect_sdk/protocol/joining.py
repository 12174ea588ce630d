"""Joining the prompt of another program, or of another thread: one prompt at a time, and its answer counts (R12).

Who prompts holds a lock that goes with its process, so that a program that is killed while it prompts frees the others.
What its prompt came to stands in the ledger.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ..core.lifecycle import Event
from ..model.consent import Precision, Purpose
from ..model.decision import Reason
from ..storage.locks import FileLock
from .state import State

__all__ = ["Wanted", "came_to", "last_event", "wait_until_free"]

_LOOK_S: Final = 0.05
_NO_GRANT: Final = {
    Event.DENY.value: Reason.REFUSED,
    Event.DISMISS.value: Reason.DISMISSED,
    Event.DEFER.value: Reason.DEFERRED,
    Event.PROMPT_FAILED.value: Reason.PROMPT_FAILED,
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """One request for a purpose."""

    purpose: Purpose
    precision: Precision
    user_action: bool
    guardian: str | None
    """A reference to evidence of a guardian's consent (R17)."""
    withdrawals: int
    """The page's count of withdrawals when it was asked for: any later one voids it (R11)."""

    def covers(self, other: Wanted) -> bool:
        """What this comes to answers ``other`` as well."""
        return (
            (self.user_action or not other.user_action)
            and (self.precision is other.precision or self.precision is Precision.APPROXIMATE)
            and (other.guardian is None or self.guardian == other.guardian)
        )


def wait_until_free(lock: FileLock, over: Callable[[], bool], timeout_s: float) -> None:
    """Until the other prompt has resolved, its program is gone, ``over()``, or it takes too long: it may be stopped."""
    deadline = time.monotonic() + timeout_s
    wait = threading.Event()
    while lock.held_elsewhere() and not over() and time.monotonic() < deadline:
        wait.wait(_LOOK_S)


def last_event(state: State) -> int:
    """Where the history ends now. On the keeper."""
    rows = state.ledger.events()
    return rows[-1].seq if rows else 0


def came_to(state: State, purpose: Purpose, after: int) -> Reason:
    """Why a prompt that was joined after the event ``after`` granted nothing; ``WITHDRAWN``: somebody withdrew after it
    was asked for. One that left no word was killed, or is stopped. On the keeper."""
    told = [json.loads(row.body) for row in state.ledger.events(after)]
    mine = [body for body in told if body["purpose"] == purpose.value and body["kind"] in _NO_GRANT]
    if not mine:
        return Reason.PROMPT_FAILED
    return Reason.WITHDRAWN if mine[-1].get("reason") == Reason.WITHDRAWN.value else _NO_GRANT[mine[-1]["kind"]]
