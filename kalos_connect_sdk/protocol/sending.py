"""Sending: resolve, lock, read consent, look the key up, write, wait for the answer, release (R2, R3).

Reading consent before the lock, releasing it when the write returned, or sleeping while it is held:
each is a counterexample of the model. One sender thread per :class:`Connect`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from ..config import Config
from ..core.borders import in_mainland_china
from ..core.gate import Clearance
from ..core.outbox import BatchProgress, Done, Wait, after_failure, next_task
from ..core.packing import accepted_ms_of, unpack
from ..core.retry import Action, Outcome, outcome
from ..core.wire import consent_member, feature_collection, positions_answer, problem_name, strict_json
from ..errors import KalosConnectError, ServiceRefused, ServiceUnreachable, TransportError
from ..model.consent import Purpose
from ..model.decision import Reason
from ..model.reports import FlushReport
from ..storage.cuts import note_cut
from ..storage.locks import Lease
from .courier import Courier
from .link import Link
from .standing import LOST, Standing
from .state import State
from .store import Box, Store
from .view import View
from .worker import Worker

if TYPE_CHECKING:
    from ..storage.outbox import Batch

__all__ = ["Sender", "SendStats"]

T = TypeVar("T")
_LOCK_WAIT_S = 10.0
_REPEAT_S = 1.0
_SLICE_S = 0.1
_ENDING_SLICES = 4
"""It may be the courier that ends the consent just now, for a reason that the report should know."""


@dataclass(slots=True)
class SendStats:
    """Totals since open: positions ``sent``, ``rejected``, given up (``dropped``); answered ``batches``;
    ``bytes_sent``; and the latest ``answer`` in a few words: a status, or why there was none."""

    sent: int = 0
    rejected: int = 0
    dropped: int = 0
    batches: int = 0
    bytes_sent: int = 0
    answer: str = ""


@dataclass(slots=True)
class _Round:
    """What one flush has done so far."""

    sent: int = 0
    rejected: int = 0
    reason: Reason = Reason.ALLOWED
    next_attempt_s: float | None = None
    unreachable: str | None = None
    token: str = field(default="", repr=False)  # R10
    refused_token: str | None = field(default=None, repr=False)
    notices: int = 0
    done: bool = field(default=False)


class Sender:
    """Empties the box through the one door."""

    def __init__(
        self,
        state: State,
        config: Config,
        view: View,
        store: Store,
        courier: Courier,
        standing: Standing,
        link: Link,
        hurry: Callable[[], None],
    ) -> None:
        """``hurry``: end whatever keeps the courier from us that can be asked another time."""
        self._state = state
        self._config = config
        self._view = view
        self._store = store
        self._courier = courier
        self._standing = standing
        self._link = link
        self._hurry = hurry
        self._progress: BatchProgress | None = None
        self._introduction = (0, 0, 0.0, "")
        self.worker = Worker("kalos-sender")
        self.stats = SendStats()
        self.sending = False

    def flush(self, timeout_s: float | None, *, notices: bool = True) -> FlushReport:
        """Notices first, whatever their backoff, then every position that is due. Runs on the sender thread.

        ``notices``: false in a drive, which flushes again and again: there the courier tells them, in their own time.

        Raises :class:`TransportError` only when nothing could be done at all.
        """
        deadline = time.monotonic() + (timeout_s if timeout_s is not None else 3600.0)
        work = _Round()
        if notices:
            work.notices = self._deliver_notices(deadline)
        while not work.done and time.monotonic() < deadline:
            self._step(work, deadline)
        box = self._store.box
        remaining = len(box) if box is not None else 0
        if work.unreachable is not None and not (work.sent or work.rejected):
            raise ServiceUnreachable(work.unreachable)
        return FlushReport(
            sent=work.sent,
            rejected=work.rejected,
            remaining=remaining,
            notices_pending=work.notices,
            next_attempt_s=work.next_attempt_s if remaining else None,
            reason=work.reason,
        )

    def _deliver_notices(self, deadline: float) -> int:
        if self._courier.nothing_to_tell():
            return 0
        if self._view.ending_elsewhere():
            self._courier.wake_later()
            return 1 if self._config.service_url else 0
        withdrawals = self._state.page.withdrawals(Purpose.NAVIGATION)
        left = self._patiently(
            lambda: self._courier.deliver(ignore_backoff=True),
            lambda: self._state.page.withdrawals(Purpose.NAVIGATION) != withdrawals or time.monotonic() >= deadline,
        )
        return left if left is not None else len(self._courier.pending())

    def _patiently(self, job: Callable[[], T], give_up: Callable[[], bool], slices: int = 1) -> T | None:
        """The courier's answer; None ``slices`` after a withdrawal came first: a flush then ends within a second."""
        reply = self._courier.worker.begin(job)
        while slices:
            try:
                return reply.get(_SLICE_S)
            except TimeoutError:
                self._hurry()
                slices -= give_up()
        return None

    def _step(self, work: _Round, deadline: float) -> None:
        """One batch, or the reason why there is none."""
        over = self._view.just_over()
        decision = over if over is not None else self._view.decide(Purpose.NAVIGATION)
        if decision.clearance is None:
            work.done, work.reason = True, decision.reason
            return
        box = self._store.for_sending(decision.clearance.epoch)
        if box is None:
            work.done = True
            return
        self._store.dropped += box.expire(self._now_ms(), int(self._config.outbox_ttl_s * 1000), accepted_ms_of)
        self._adopt_progress(box)
        task = next_task(len(box), self._config.batch_max_positions, self._progress, self._now_s())
        if isinstance(task, Done):
            work.done = True
        elif isinstance(task, Wait):
            work.done, work.next_attempt_s = True, task.seconds
        else:
            self._attempt(work, decision.clearance, box, task.count, deadline)

    def _adopt_progress(self, box: Box) -> None:
        """A batch that lost its box (withdrawal, re-grant) has no progress either."""
        if self._progress is not None and (self._progress.key not in box.keys_taken or not len(box)):
            self._progress = None

    def _attempt(self, work: _Round, clearance: Clearance, box: Box, count: int, deadline: float) -> None:
        if not self._config.service_url:
            work.done, work.unreachable = True, "no service is configured; set service_url"
            return
        problem: str | None = None
        anew = False
        token = ""
        try:
            client = self._link.client(self._config.service_url)
            known = self._known(work, clearance.epoch) or self._patiently(
                lambda: self._introduced(work, clearance.epoch),
                lambda: not self._view.still_open(clearance.epoch),
                _ENDING_SLICES,
            )
            if known is None:
                return
            token = known
            client.resolve()
        except ServiceRefused as error:
            problem = str(error)
            anew = error.problem.get("status") in LOST and work.token != "" and work.refused_token is None
        except KalosConnectError as error:
            problem = str(error)
        if not self._view.still_open(clearance.epoch):
            return  # the service just said no: the next step reports why
        if anew:
            work.refused_token = work.token
            return
        if problem is not None:
            work.done, work.unreachable = True, problem
            self.stats.answer = problem
            batch = box.take(count)
            if batch is not None:  # an attempt like any other: it is tried again, and given up in the end
                self._postpone(work, box, batch, outcome(None, None, None, now_wall_s=self._wall_s()))
            return
        self._exchange(work, clearance.epoch, box, count, token, min(deadline, time.monotonic() + _LOCK_WAIT_S))

    def _introduced(self, work: _Round, epoch: int) -> str:
        """On the courier: registered, and its fence asked; the token."""
        work.token = ""
        begun = (self._state.page.version, epoch, self._now_s())
        token = work.token = self._standing.token(Purpose.NAVIGATION, epoch, refused=work.refused_token)
        self._standing.ask_status(Purpose.NAVIGATION, epoch, token)
        border = self._state.snapshot.records[Purpose.CROSS_BORDER_TRANSFER]
        if border.status.active:
            self._standing.token(Purpose.CROSS_BORDER_TRANSFER, border.epoch)
        self._introduction = (*begun, token)
        return token

    def _known(self, work: _Round, epoch: int) -> str | None:
        """The token of the last introduction, while nothing changed since and it is a second old at most."""
        version, of, at, token = self._introduction
        fresh = of == epoch and version == self._state.page.version and 0.0 <= self._now_s() - at < _REPEAT_S
        if not fresh or work.refused_token is not None:
            return None
        work.token = token
        return token

    def _exchange(self, work: _Round, epoch: int, box: Box, count: int, token: str, deadline: float) -> None:
        lease = self._state.barrier.shared(
            max(0.0, deadline - time.monotonic()), stop=lambda: not self._view.still_open(epoch)
        )
        if lease is None:
            if self._view.still_open(epoch):
                work.done, work.next_attempt_s = True, 1.0
            return
        self.sending = True
        try:
            answered = self._locked(work, epoch, box, count, token, lease)
        finally:
            self.sending = False
            lease.release()
        if answered is not None:
            self._conclude(work, epoch, box, token, *answered)

    def _locked(
        self, work: _Round, epoch: int, box: Box, count: int, token: str, lease: Lease
    ) -> tuple[Outcome, Batch, str | None] | None:
        """Under the shared lock: consent is read again (R2), then the key, then the bytes go, then the answer."""
        snapshot = self._state.snapshot
        if snapshot.version != self._state.page.version:
            return None  # something changed since: let go of the lock and look again
        decision = self._view.decide(Purpose.NAVIGATION, snapshot=snapshot)
        if decision.clearance is None or decision.clearance.epoch != epoch:
            return None
        if not self._store.key_present(box):
            self._store.discard(box)  # the data key is gone: its ciphertext is dropped
            return None
        batch = box.take(count)
        if batch is None:
            work.done = True
            return None
        terms = snapshot.records[Purpose.NAVIGATION].terms
        member = consent_member(
            snapshot.record_ids[Purpose.NAVIGATION],
            epoch,
            Purpose.NAVIGATION.value,
            decision.clearance.precision.value if decision.clearance.precision else "",
            terms.notice_sha256 if terms else "",
        )
        rows = batch.rows
        if not self._view.border_open(snapshot):  # R16: what crossed no border when it was accepted may not do so now
            rows = [row for row in rows if not _in_mainland(row)]
            self.stats.dropped += batch.count - len(rows)
            if not rows:
                box.acknowledge(batch)
                return None
        body = feature_collection(rows, member)
        state = self._state
        flight = self._link.depart(
            lease, lambda: self._view.still_open(epoch), lambda: note_cut(state.directory, state.page, epoch)
        )
        answer = None
        try:
            answer = self._link.client(self._config.service_url or "").send_positions(
                decision.clearance, body, key=batch.key, token=token, flight=flight
            )
        except TransportError as error:
            if not self._view.still_open(epoch):
                return None
            work.unreachable = self.stats.answer = str(error)
        finally:
            self._link.landed(flight)
        if answer is None:
            return outcome(None, None, None, now_wall_s=self._wall_s()), batch, None
        self.stats.bytes_sent += answer.sent_bytes
        self.stats.answer = str(answer.status)
        if 200 <= answer.status < 300:
            self._delivered(work, box, batch, len(rows), answer.body)
            return None
        name = _problem_of(answer.body)
        retry_after = answer.headers.get("retry-after")
        return outcome(answer.status, name, retry_after, now_wall_s=self._wall_s()), batch, name

    def _delivered(self, work: _Round, box: Box, batch: Batch, count: int, body: bytes) -> None:
        rejected = 0
        try:
            rejected = len(positions_answer(strict_json(body, max_bytes=1 << 20, max_depth=8))[1])
        except ValueError:
            pass  # a 2xx without a readable body is an acknowledgement all the same
        rejected = min(rejected, count)
        box.acknowledge(batch)
        self._progress = None
        work.unreachable = None
        work.sent += count - rejected
        work.rejected += rejected
        self.stats.sent += count - rejected
        self.stats.rejected += rejected
        self.stats.batches += 1

    def _conclude(
        self, work: _Round, epoch: int, box: Box, token: str, result: Outcome, batch: Batch, name: str | None
    ) -> None:
        """After a failure, the lock released: close the own gate, register again, wait, split or give up."""
        action = result.action
        if action in (Action.EXPIRE, Action.INVALIDATE, Action.REVOKE):
            self._courier.worker.call(
                lambda: self._standing.obey(Purpose.NAVIGATION, epoch, {"status": _STATUS[action], "type": name or ""})
            )
        elif action is Action.REGISTER and work.refused_token is None:
            work.refused_token = token
        elif action is Action.SPLIT and batch.count > 1:
            box.split(batch)
        elif action in (Action.REJECT, Action.SPLIT):
            box.acknowledge(batch)
            self._progress = None
            work.rejected += batch.count
            self.stats.rejected += batch.count
        else:
            self._postpone(work, box, batch, result)

    def _postpone(self, work: _Round, box: Box, batch: Batch, result: Outcome) -> None:
        present = self._progress
        if present is None or present.key != batch.key:
            present = BatchProgress(key=batch.key, count=batch.count, attempts=0, not_before_s=0.0)
        jitter = random.random()  # noqa: S311 - spreads retries, is no secret
        self._progress = after_failure(present, result, self._now_s(), jitter, self._config.max_retries)
        work.done = True
        if self._progress is None:
            box.acknowledge(batch)
            self.stats.dropped += batch.count
        else:
            work.next_attempt_s = max(0.0, self._progress.not_before_s - self._now_s())

    def _now_s(self) -> float:
        return self._state.clock.read().boottime_s

    def _wall_s(self) -> float:
        return self._state.clock.read().wall_s

    def _now_ms(self) -> int:
        return int(self._now_s() * 1000)


_STATUS = {Action.EXPIRE: 403, Action.INVALIDATE: 409, Action.REVOKE: 410}


def _in_mainland(packed: bytes) -> bool:
    row = unpack(packed)
    return in_mainland_china(row.latitude, row.longitude)


def _problem_of(body: bytes) -> str | None:
    try:
        return problem_name(strict_json(body, max_bytes=1 << 16, max_depth=8))
    except ValueError:
        return None
