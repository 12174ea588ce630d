"""Every way out of a grant: withdraw, revoke, expire, invalidate. One drop for all (R3, R4, R5).

The order is the one of ``docs/protocol/consent.pml``; the numbers below are its steps. Runs on the
keeper. What cannot finish in time is kept in ``unfinished`` and tried again until it is done.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ..core.lifecycle import Event
from ..errors import StateError
from ..model.consent import Purpose
from ..model.decision import Reason
from ..model.reports import WithdrawalReport
from ..storage.failure import StorageFailure
from ..storage.locks import Lease
from ..storage.outbox import Outbox
from .state import State

__all__ = ["CAUSES", "Cause", "Ending", "Silence"]


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
    "os": Cause(Event.REVOKE, "os", Reason.OS_DENIED),
    "vehicle": Cause(Event.REVOKE, "vehicle", Reason.VEHICLE_PRIVACY),
    "time": Cause(Event.EXPIRE, "time", Reason.EXPIRED),
    "run": Cause(Event.EXPIRE, "run", Reason.EXPIRED),
    "notice": Cause(Event.INVALIDATE, "notice", Reason.NOTICE_CHANGED),
    "controller": Cause(Event.INVALIDATE, "controller", Reason.CONTROLLER_CHANGED),
    "origin": Cause(Event.INVALIDATE, "origin", Reason.ORIGIN_CHANGED),
}


@dataclass(slots=True)
class Silence:
    """What this process stops: the requests in flight and the box of sealed positions in memory."""

    cut: Callable[[], None]
    """Cut every request that carries a position."""
    take_cut: Callable[[], tuple[int, int]]
    """What was cut since this was last asked: (aborted, possibly delivered)."""
    forget: Callable[[], int]
    """Close this process's box; returns the positions it held that are on no file."""


@dataclass(slots=True)
class _Tally:
    dropped: int = 0
    aborted: int = 0
    possibly_delivered: int = 0
    durable: bool = True
    remaining: list[str] = field(default_factory=list)
    holders: tuple[int, ...] = ()
    granted: bool = False


class Ending:
    """Ends grants of one state."""

    def __init__(self, state: State, silence: Silence, courier_wake: Callable[[], None]) -> None:
        self._state = state
        self._silence = silence
        self._wake_courier = courier_wake
        self.unfinished: dict[Purpose, Cause] = {}
        self.vault_behind = False

    def end(
        self, purposes: Sequence[Purpose], cause: Cause, timeout_s: float, *, tombstones_durable: bool = True
    ) -> WithdrawalReport:
        """End the grants of ``purposes`` and drop what they covered; never waits for the network."""
        started = time.monotonic()
        tally = _Tally(durable=tombstones_durable)
        self._silence.cut()
        self._record(purposes, cause, tally)
        self._drop(purposes, cause, tally, started + timeout_s)
        aborted, possibly = self._silence.take_cut()
        tally.aborted += aborted
        tally.possibly_delivered += possibly
        self._wake_courier()
        return self._report(tally, time.monotonic() - started)

    def _record(self, purposes: Sequence[Purpose], cause: Cause, tally: _Tally) -> None:
        """Steps 2 and 3: tombstones and RAM counters, then one commit {ended, notices awake}."""
        state = self._state
        if cause.event is not Event.WITHDRAW:  # only what was judged: a newer grant of another process stays
            records = state.reload().records
            purposes = [purpose for purpose in purposes if records[purpose].status.active]
        for purpose in purposes:
            if cause.event is Event.WITHDRAW:
                state.page.count_withdrawal(purpose)  # voids an Allow that is on its way (R11)
            epoch = max(state.page.granted(purpose), state.snapshot.records[purpose].epoch)
            if not epoch:
                continue
            tally.granted = True
            if not state.page.ended(purpose, epoch):
                tally.durable = state.page.end(purpose, epoch) and tally.durable
            self._raise_ram_counter(purpose, epoch, tally)
        try:
            self.commit_ends(purposes, cause)
            tally.durable = True
        except StorageFailure:
            tally.remaining.append("the ledger entry (no space or no disk); the tombstone stands for it")

    def _raise_ram_counter(self, purpose: Purpose, epoch: int, tally: _Tally) -> None:
        try:
            self._state.keys.raise_counter(purpose, epoch)
        except StorageFailure:
            tally.remaining.append("the counter in RAM")

    def commit_ends(self, purposes: Sequence[Purpose], cause: Cause) -> None:
        """Step 3: {ended, notice awake} in one commit; an audit event where nothing was active.

        Raises :class:`StorageFailure`. A history that does not verify is left as it is (R8), but its notices wake.
        """
        state = self._state
        records = state.reload().records
        wake = [
            (row.notice_id, _stamp(state))
            for row in state.ledger.notices()
            if not row.awake and row.purpose in purposes and state.page.ended(row.purpose, row.epoch)
        ]
        if state.unreadable is Reason.STATE_UNREADABLE:
            state.ledger.commit(wake=wake)
            return
        bodies = []
        for purpose in purposes:
            record = records[purpose]
            if record.status.active:
                kind, reason = cause.event.value, cause.reason
                bodies.append(state.event(kind, purpose, record.epoch, cause=cause.who, reason=reason))
            elif cause.event is Event.WITHDRAW:
                bodies.append(state.event("withdraw-again", purpose, record.epoch, cause=cause.who))
        if bodies or wake:
            state.commit(bodies, wake=wake)

    # -- steps 4 to 6 ----------------------------------------------------------------------------

    def _drop(self, purposes: Sequence[Purpose], cause: Cause, tally: _Tally, deadline: float) -> None:
        barrier = self._state.barrier
        lease = barrier.exclusive(0)
        if lease is None:
            tally.possibly_delivered += sum(1 for pid in barrier.holders() if pid != os.getpid())
            lease = barrier.exclusive(max(0.0, deadline - time.monotonic()))
        if lease is None:
            tally.holders = barrier.holders()
            tally.remaining.append("waiting for the named programs to let go, then erasing the buffered positions")
            self.unfinished.update(dict.fromkeys(purposes, cause))
            return
        self._erase(purposes, lease, tally)

    def _erase(self, purposes: Sequence[Purpose], lease: Lease, tally: _Tally) -> None:
        state = self._state
        with lease:
            tally.dropped += self._silence.forget()
            epoch = max(state.page.granted(Purpose.NAVIGATION), state.snapshot.records[Purpose.NAVIGATION].epoch)
            gone = False
            try:
                gone = state.keys.destroy(epoch)
                tally.dropped += Outbox.drop_all_files(state.directory)
            except StorageFailure:
                gone = False
            if not gone:
                tally.remaining.append("destroying the data key")
                self.unfinished.update(dict.fromkeys(purposes, CAUSES["subject"]))
                return
            self._commit_erased(purposes, tally)
            for purpose in purposes:
                self.unfinished.pop(purpose, None)
        self.vault_behind = True

    def _commit_erased(self, purposes: Sequence[Purpose], tally: _Tally) -> None:
        state = self._state
        bodies = []
        for purpose in purposes:
            record = state.snapshot.records[purpose]
            if record.epoch > record.erased_epoch and not record.status.active:
                bodies.append(state.event("erased", purpose, record.epoch))
        if not bodies or state.unreadable is Reason.STATE_UNREADABLE:
            return
        try:
            state.commit(bodies)
        except StorageFailure:
            tally.remaining.append("the ledger entry that the drop is done")

    def _report(self, tally: _Tally, elapsed_s: float) -> WithdrawalReport:
        state = self._state
        complete = not self.unfinished
        pending = False
        try:
            pending = any(row.awake for row in state.ledger.notices())
        except StateError:
            pending = tally.granted
        detail = "No precise position leaves this device any more, and what was buffered is gone."
        if not complete:
            detail = "Recorded. Some programs could not be stopped yet; it goes on in the background."
        elif not tally.granted:
            detail = "Nothing had been granted; nothing leaves this device."
        elif tally.possibly_delivered:
            detail += f" {tally.possibly_delivered} request(s) cut in flight may have reached the service."
        return WithdrawalReport(
            complete=complete,
            dropped=tally.dropped,
            aborted=tally.aborted,
            possibly_delivered=tally.possibly_delivered,
            notice="pending" if pending else ("delivered" if tally.granted else "none"),
            holders=tally.holders,
            durable=tally.durable,
            remaining=tuple(tally.remaining),
            elapsed_s=elapsed_s,
            detail=detail,
        )

    # -- recovery and background -----------------------------------------------------------------

    def recover(self) -> None:
        """Before any send: finish what a crash, another process or a stopped holder left undone."""
        state = self._state
        self._wake_forgotten()
        for purpose in Purpose:
            record = state.snapshot.records[purpose]
            if state.unreadable is not None and not (record.status.active and state.page.ended(purpose, record.epoch)):
                continue
            if record.status.active and state.page.ended(purpose, record.epoch):
                self.unfinished.setdefault(purpose, CAUSES["subject"])
            elif record.status.active and state.dead_run(purpose):
                self.unfinished.setdefault(purpose, CAUSES["run"])
            elif not record.status.active and record.epoch > record.erased_epoch:
                self.unfinished.setdefault(purpose, CAUSES["subject"])
        self.settle()

    def _wake_forgotten(self) -> None:
        """A notice whose epoch has a tombstone is due, whatever its row says (R5)."""
        state = self._state
        try:
            asleep = [row for row in state.ledger.notices() if not row.awake]
            due = [row for row in asleep if state.page.ended(row.purpose, row.epoch)]
            if due:
                state.ledger.commit(wake=[(row.notice_id, _stamp(state)) for row in due])
        except StateError:
            pass  # it is tried again at the next opening

    def settle(self) -> bool:
        """One attempt at what is unfinished; true while something is left."""
        if self.unfinished:
            tally = _Tally()
            self._silence.cut()
            for purpose, cause in list(self.unfinished.items()):
                self._record_again(purpose, cause, tally)
            lease = self._state.barrier.exclusive(0)
            if lease is not None:
                self._erase(list(self.unfinished), lease, tally)
                self._wake_courier()
        if self.vault_behind:
            self._raise_vault_counters()
        return bool(self.unfinished)

    def _record_again(self, purpose: Purpose, cause: Cause, tally: _Tally) -> None:
        """What a crash, or a full disk, left unrecorded."""
        state = self._state
        record = state.reload().records[purpose]
        if not record.status.active:
            return
        if not state.page.ended(purpose, record.epoch):
            state.page.end(purpose, record.epoch)
        self._raise_ram_counter(purpose, record.epoch, tally)
        try:
            self.commit_ends([purpose], cause)
        except StorageFailure:
            pass  # tried again while it stays unfinished

    def _raise_vault_counters(self) -> None:
        """R7, step 5: the vault's counter follows when the vault can be reached; the next open tries again."""
        state = self._state
        self.vault_behind = False
        if state.secret is None:
            return
        ended = {
            purpose: record.epoch
            for purpose, record in state.snapshot.records.items()
            if record.epoch and not record.status.active
        }
        raised = state.secret.raised(ended)
        if raised is not state.secret:
            state.save_secret(raised)


def _stamp(state: State) -> str:
    return datetime.fromtimestamp(state.now().wall_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
