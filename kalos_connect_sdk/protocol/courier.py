"""The courier: withdrawal notices, told until the service acknowledges them (R5).

Nothing it carries holds a position. Its network calls run on the courier thread, what they change is
committed on the keeper.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..core.retry import RETRY_AFTER_MAX_S, Action, Outcome, backoff_s, notice_outcome
from ..core.strict_json import strict_json
from ..errors import ServiceRefused, StateError, TransportError
from ..storage.failure import StorageFailure
from ..storage.ledger import NoticeRow
from .rights import Rights
from .state import State
from .worker import Worker

if TYPE_CHECKING:
    from ..transport.client import ServiceClient

__all__ = ["Courier"]

_REPEAT_S = 1.0
_LATER_S = 0.1


class Courier:
    """Tells the service what ended, and the rights requests with it."""

    def __init__(self, state: State, keeper: Worker, client: Callable[[str], ServiceClient], rights: Rights) -> None:
        self._state = state
        self._keeper = keeper
        self._client = client
        self._rights = rights
        self.worker = Worker("kalos-courier")
        self._due: dict[str, tuple[int, float]] = {}
        self._told: set[str] = set()
        """Acknowledged, and the ledger could not be told: these are not sent again, only their rows are removed."""
        self._woken = False
        self._later: float | None = None
        self._nothing: tuple[int, float] | None = None
        """The page's version, and when, at which nothing was to be told."""

    def wake(self) -> None:
        """Deliver what is pending, soon and in the background."""
        self._woken = True
        self.worker.post(lambda: None)

    def wake_later(self) -> None:
        """See in a moment whether who withdraws has told the service: it needs the processor now, and tells first."""
        self._later = time.monotonic() + _LATER_S
        self.worker.post(lambda: None)

    def idle(self) -> bool:
        """Between jobs: one round of deliveries that are due; true while notices or rights requests are pending."""
        if self.worker.stopped:
            return False
        now = self._now_s()
        woken, self._woken = self._woken or self._is_later(), False
        if woken or any(self._is_due(not_before, now) for _, not_before in self._due.values()):
            self.deliver(ignore_backoff=False)
        if woken or self._rights.is_due():
            self._rights.deliver(ignore_backoff=False)
        return bool(self._due) or self._rights.waiting() or self._later is not None

    def _is_later(self) -> bool:
        if self._later is None or time.monotonic() < self._later:
            return False
        self._later = None
        return True

    def pending(self) -> list[NoticeRow]:
        """Notices not yet acknowledged; a tombstone wakes them too, when the ledger could not be written (R5)."""
        rows = self._keeper.call(self._state.ledger.notices)
        return [row for row in rows if row.awake or self._state.page.ended(row.purpose, row.epoch)]

    def nothing_to_tell(self) -> bool:
        """True while nothing changed since the ledger was seen to hold no notice, a second ago at most. Any thread:
        who flushes again and again need not read it, and wake two threads, each time."""
        nothing = self._nothing
        return (
            nothing is not None
            and nothing[0] == self._state.page.version
            and 0.0 <= self._now_s() - nothing[1] < _REPEAT_S
        )

    def deliver(self, *, ignore_backoff: bool) -> int:
        """Try every pending notice that is due; returns how many are left, at least one when that cannot be read.

        Never raises for the network.
        """
        self._nothing = None
        read_at = (self._state.page.version, self._now_s())
        try:
            rows = self.pending()
        except StateError:
            return 1
        self._due = {row.notice_id: self._due[row.notice_id] for row in rows if row.notice_id in self._due}
        if not rows:
            self._nothing = read_at
        left = 0
        for row in rows:
            attempts, not_before = self._due.get(row.notice_id, (0, 0.0))
            told = not row.origin or row.notice_id in self._told  # granted without a service: there is nobody to tell
            if not ignore_backoff and not self._is_due(not_before, self._now_s()):
                left += not told
            elif told:
                self._acknowledge(row, attempts)
            else:
                result = self._deliver_one(row)
                if result.action is Action.DONE:
                    self._acknowledge(row, attempts)
                    continue
                left += 1
                wait_s = backoff_s(attempts + 1, random.random())  # noqa: S311 - jitter, not a secret
                self._due[row.notice_id] = (attempts + 1, self._now_s() + max(wait_s, result.wait_s or 0.0))
        return left

    def _now_s(self) -> float:
        """Time since the boot, the nights that the car slept through included."""
        return self._state.clock.read().boottime_s

    @staticmethod
    def _is_due(not_before_s: float, now_s: float) -> bool:
        """No wait is longer than the longest there is: one that seems to be was begun in an earlier boot."""
        return not now_s < not_before_s <= now_s + RETRY_AFTER_MAX_S

    def _deliver_one(self, row: NoticeRow) -> Outcome:
        """R5: no answer but an acknowledgement makes a notice go away."""
        body: dict[str, object] | None = None
        try:
            body = {**strict_json(row.body.encode()), "withdrawn_at": row.withdrawn_at}
        except (ValueError, TypeError, AttributeError):
            pass  # damaged on disk: nobody can send it any more, but it is not delivered either
        if body is None:
            return notice_outcome(None)
        try:
            self._client(row.origin).withdraw(row.record_id, body)
        except ServiceRefused as error:
            status, retry_after = error.problem.get("status"), error.problem.get("retry_after")
            return notice_outcome(status, retry_after, now_wall_s=self._state.clock.read().wall_s)
        except TransportError:
            return notice_outcome(None)
        return Outcome(Action.DONE)

    def _acknowledge(self, row: NoticeRow, attempts: int) -> None:
        self._told.add(row.notice_id)
        self._due.pop(row.notice_id, None)
        try:
            self._keeper.call(lambda: self._state.commit(delete_notices=[row.notice_id]))
            self._told.discard(row.notice_id)
        except StorageFailure:  # the row stays; a later run sends it again, and it has its effect once
            wait_s = backoff_s(attempts + 1, random.random())  # noqa: S311 - jitter, not a secret
            self._due[row.notice_id] = (attempts + 1, self._now_s() + wait_s)
