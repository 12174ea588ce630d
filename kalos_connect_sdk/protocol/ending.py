"""Every way out of a grant: withdraw, revoke, expire, invalidate. One drop for all (R3, R4, R5).

The order is the one of ``docs/protocol/consent.pml``; the numbers below are its steps. Runs on the
keeper. What cannot finish in time is kept in ``unfinished`` and tried again until it is done.

- A tombstone that is on disk is the withdrawal: when nobody holds the barrier, the ledger's events of steps 3
  and 6 are one commit, and the person's call is answered before it: the history follows what it tells of.
- Behind the barrier the record is read once more: an Allow that another process was committing meanwhile is
  ended too, whatever this process knew of it (R11).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.lifecycle import Event
from ..errors import StateError
from ..model.consent import Purpose
from ..model.decision import Reason
from ..model.reports import WithdrawalReport
from ..model.vehicle import Motion
from ..storage.cuts import take_cuts
from ..storage.failure import StorageFailure
from ..storage.locks import Lease
from ..storage.outbox import Outbox
from .causes import CAUSES, Cause
from .state import WRITER_WAIT_S, State
from .tally import Tally, report_of

__all__ = ["Ending", "Silence"]

_VAULT_AGAIN_S = 30.0
_COUNTED = (0, False)
"""A tombstone is missing, but the wish was counted when it was uttered: again would void what was asked for since."""
_PATIENCE_S = 0.02
"""Everybody who sends lets go within milliseconds: the ledger's commit would take longer than to wait for them."""


@dataclass(frozen=True, slots=True)
class Silence:
    """What this process stops: the requests in flight and the box of sealed positions in memory."""

    cut: Callable[[], None]
    """Cut every request that carries a position."""
    take_cut: Callable[[], tuple[int, int]]
    """What was cut since this was last asked: (aborted, possibly delivered)."""
    forget: Callable[[], int]
    """Drop this process's box; returns the positions it held."""


class Ending:
    """Ends grants of one state."""

    def __init__(self, state: State, silence: Silence, courier_wake: Callable[[], None]) -> None:
        self._state = state
        self._silence = silence
        self._wake_courier = courier_wake
        self.unfinished: dict[Purpose, tuple[int, Cause]] = {}
        """What is not finished: up to which epoch, and why. A later grant is none of its business."""
        self._moved: Motion | None = None
        """How the vehicle moved when what is being ended began to end: its entry may be written later."""
        self._orphans = False
        self._vault_due: float | None = None
        self._recovered: dict[Purpose, tuple[int, int]] = {}
        """Per purpose: positions that recovery dropped of an epoch. A withdrawal that opens the state finds its own
        tombstone finished like that, and reports them."""

    def end(
        self,
        purposes: Sequence[Purpose],
        cause: Cause,
        timeout_s: float,
        *,
        written: Mapping[Purpose, tuple[int, bool]] | None = None,
        answer: Callable[[WithdrawalReport], None] | None = None,
    ) -> WithdrawalReport:
        """End the grants of ``purposes`` and drop what they covered; never waits for the network, never raises.

        ``written``: what the caller has written and counted already: up to which epoch, and whether it is on disk.
        ``answer``: told the report as soon as nothing is left that could change it; what is returned knows of the
        history as well.
        """
        started = time.monotonic()
        tally = Tally()
        due: dict[Purpose, int] = {}
        self._silence.cut()
        self._moved = self._state.motion()
        try:
            due = self._tombstones(purposes, cause, tally, written or {})
            for purpose, epoch in due.items():
                self.unfinished[purpose] = (epoch, cause)
                ended, dropped = self._recovered.pop(purpose, (0, 0))
                tally.dropped += dropped if ended == epoch else 0
            self._drop(due, cause, tally, started + timeout_s, self._early(tally, started, answer))
        except StateError as error:
            tally.still(str(error))
            if not tally.audited:
                self._record(due, cause, tally)
        finally:
            self._moved = None
            self._wake_courier()
        tally.take(self._silence.take_cut())
        return report_of(self._state, tally, not any(p in self.unfinished for p in purposes), started)

    def _early(
        self, tally: Tally, started: float, answer: Callable[[WithdrawalReport], None] | None
    ) -> Callable[[], None] | None:
        """Tell the report as it stands, everything but the history's entry being done."""
        if answer is None:
            return None

        def tell() -> None:
            tally.take(self._silence.take_cut())
            answer(report_of(self._state, tally, True, started))

        return tell

    # -- steps 2 and 3 ---------------------------------------------------------------------------

    def _tombstones(
        self, purposes: Iterable[Purpose], cause: Cause, tally: Tally, written: Mapping[Purpose, tuple[int, bool]]
    ) -> dict[Purpose, int]:
        """Step 2: make the end visible, with the counter in RAM. What is to be ended, and up to which epoch."""
        state = self._state
        due: dict[Purpose, int] = {}
        for purpose in purposes:
            record = state.snapshot.records[purpose]
            epoch = record.epoch
            if cause.event is Event.WITHDRAW:
                if purpose not in written:
                    state.page.count_withdrawal(purpose)  # voids an Allow that is on its way (R11)
                epoch = max(state.page.granted(purpose), epoch)
                if purpose is Purpose.NAVIGATION and state.unreadable is Reason.STATE_UNREADABLE:
                    epoch = max(epoch, state.keys.epoch())  # page and ledger may both be unreadable; the key is there
            elif not record.status.active:
                continue
            due[purpose] = epoch
            if not epoch:
                continue
            tally.granted = True
            there, on_disk = written.get(purpose, (0, False))
            if there < epoch:
                on_disk = state.page.end(purpose, epoch)  # again, if it is there: who wrote it may not have synced it
            tally.tombstones_durable = on_disk and tally.tombstones_durable
            try:
                state.keys.raise_counter(purpose, epoch)
            except StateError:
                tally.still("the counter in RAM")
        return due

    def commit_ends(
        self, due: Mapping[Purpose, int], cause: Cause, *, erased: bool = False, audit: bool = False
    ) -> bool:
        """Steps 3 and 6: {ended, notice awake} and {erased}; an audit event where nothing was active. Goes by the
        present snapshot; what others appended since is seen in the commit.

        True when every end is in the ledger. Raises :class:`StateError`. A history that does not verify is left as
        it is (R8), but its notices wake.
        """
        state = self._state
        records = state.snapshot.records
        wake = [
            (row.notice_id, state.stamp())
            for row in state.ledger.notices()
            if not row.awake and row.purpose in due and state.page.ended(row.purpose, row.epoch)
        ]
        if state.unreadable is Reason.STATE_UNREADABLE:
            state.ledger.commit(wake=wake)
            return False
        bodies = []
        for purpose, epoch in due.items():
            record = records[purpose]
            if record.epoch > epoch:
                continue
            if record.status.active:
                kind, reason = cause.event.value, cause.reason
                bodies.append(self._event(kind, purpose, record.epoch, cause=cause.who, reason=reason))
            elif cause.event is Event.WITHDRAW and audit:
                bodies.append(self._event("withdraw-again", purpose, record.epoch, cause=cause.who))
            if erased and record.epoch > record.erased_epoch:
                bodies.append(self._event("erased", purpose, record.epoch))
        if bodies or wake:
            behind = {"vault_behind": "1"} if any(body["kind"] == cause.event.value for body in bodies) else None
            state.commit(bodies, wake=wake, meta=behind)
        return not any(state.snapshot.records[p].status.active for p, e in due.items() if e)

    def _event(self, kind: str, purpose: Purpose, epoch: int, **why: Any) -> dict[str, Any]:
        body = self._state.event(kind, purpose, epoch, **why)
        return body if self._moved is None else body | {"motion": self._moved.value}

    def _record(self, due: Mapping[Purpose, int], cause: Cause, tally: Tally, *, erased: bool = False) -> None:
        try:
            if not erased:  # else it was read behind the barrier, a moment ago
                self._state.reload()
            tally.recorded = self.commit_ends(due, cause, erased=erased, audit=not tally.audited)
            tally.audited = True
        except StateError:
            tally.recorded = False
        if not tally.recorded and tally.granted:
            tally.still("the ledger entry; the tombstone stands for it")

    # -- steps 4 to 6 ----------------------------------------------------------------------------

    def _drop(
        self, due: dict[Purpose, int], cause: Cause, tally: Tally, deadline: float, early: Callable[[], None] | None
    ) -> None:
        barrier = self._state.barrier
        lease = barrier.exclusive(_PATIENCE_S if early else 0) if tally.tombstones_durable else None
        if lease is None:
            self._record(due, cause, tally)
            lease = barrier.exclusive(0)
        if lease is None:
            tally.count_holders(barrier.holders())
            lease = barrier.exclusive(max(0.0, deadline - time.monotonic()))
        if lease is None:
            tally.holders = barrier.holders()
            who = "the named programs" if tally.holders else "a program that cannot be named from this container"
            tally.still(f"waiting for {who} to let go, then erasing the buffered positions")
            return
        navigation = due.get(Purpose.NAVIGATION, self._state.page.granted(Purpose.NAVIGATION))
        tally.count_cuts(take_cuts(self._state.page, navigation))
        self._erase(due, cause, lease, tally, early)

    def _erase(
        self,
        due: dict[Purpose, int],
        cause: Cause,
        lease: Lease,
        tally: Tally,
        early: Callable[[], None] | None = None,
    ) -> None:
        """Behind the barrier: nobody sends, nobody grants."""
        state = self._state
        with lease:
            state.reload()
            due.update(self._slipped_in(due, cause, tally))
            if not self._destroy(due, tally):
                return
            tally.remaining = [item for item in tally.remaining if not item.startswith("the ledger entry")]
            with state.writing() as certain:
                if early is not None and certain and self._only_history_is_left(due, tally):
                    early()
                self._record(due, cause, tally, erased=True)
            for purpose in due:
                self.unfinished.pop(purpose, None)
        self._vault_due = 0.0

    def _only_history_is_left(self, due: Mapping[Purpose, int], tally: Tally) -> bool:
        """R5: the tombstones are on disk, so whatever happens now, what they say will be in the history. Otherwise the
        call waits for the attempt, and its report says what is not recorded yet."""
        records = self._state.snapshot.records
        return (
            tally.tombstones_durable
            and not tally.remaining
            and self._state.unreadable is None
            and any(records[purpose].status.active for purpose in due)
        )

    def _destroy(self, due: Mapping[Purpose, int], tally: Tally) -> bool:
        """R4: the data keys, verified, then the ciphertext. Another purpose's end drops what it covered: all of it."""
        state = self._state
        if Purpose.NAVIGATION not in due and not any(due.values()):
            return True  # it was never granted, so it covered nothing (R6, R19)
        present = max(state.page.granted(Purpose.NAVIGATION), state.snapshot.records[Purpose.NAVIGATION].epoch)
        epoch = due.get(Purpose.NAVIGATION, present)
        if epoch < present:
            return True  # a later grant has finished this drop (R6), and what it buffered is its own
        tally.dropped += self._silence.forget()
        gone = False
        try:
            gone = state.keys.destroy(epoch)
        except StorageFailure:
            pass
        if not gone:
            tally.still("destroying the data key")
        try:
            tally.dropped += Outbox.drop_all_files(state.directory)
        except StorageFailure as error:
            tally.still(str(error) + ("; its key is gone, nobody can read it" if gone else ""))
            return False
        return gone

    def _slipped_in(self, due: Mapping[Purpose, int], cause: Cause, tally: Tally) -> dict[Purpose, int]:
        """R11: a grant that was being committed while we withdrew is withdrawn as well."""
        if cause.event is not Event.WITHDRAW:
            return {}
        state = self._state
        late = [
            purpose
            for purpose, epoch in due.items()
            if max(state.page.granted(purpose), state.snapshot.records[purpose].epoch) > epoch
        ]
        slipped = self._tombstones(late, cause, tally, dict.fromkeys(late, _COUNTED))
        if slipped:
            self._silence.cut()
        return slipped

    # -- recovery and background -----------------------------------------------------------------

    def recover(self) -> None:
        """Before any send: finish what a crash, another process or a stopped holder left undone."""
        state = self._state
        self._wake_forgotten()
        for purpose in Purpose:
            record = state.snapshot.records[purpose]
            ended = record.status.active and state.page.ended(purpose, record.epoch)
            if state.unreadable is not None and not ended:
                continue
            if ended or (not record.status.active and record.epoch > record.erased_epoch):
                self.unfinished.setdefault(purpose, (record.epoch, CAUSES["subject"]))
            elif record.status.active and state.dead_run(purpose):
                self.unfinished.setdefault(purpose, (record.epoch, CAUSES["run"]))
        self._orphans = state.unreadable is None and self._has_orphans()
        if state.ledger.meta("vault_behind") == "1":
            self._vault_due = 0.0
        self.settle()

    def try_again(self) -> None:
        """:meth:`recover` in the background, without waiting for the ledger: callers would wait behind it."""
        self._state.writer_wait_s = 0.0
        try:
            self.recover()
        finally:
            self._state.writer_wait_s = WRITER_WAIT_S

    def _has_orphans(self) -> bool:
        """A data key, or ciphertext, that belongs to no grant that can be used (R4)."""
        state = self._state
        record = state.snapshot.records[Purpose.NAVIGATION]
        ram = state.keys.read()
        if ram is not None and ram.key is not None and not (record.status.active and ram.epoch == record.epoch):
            return True
        return not record.status.active and any((state.directory.path / "outbox").glob("*"))

    def _wake_forgotten(self) -> None:
        """A notice whose epoch has a tombstone is due, whatever its row says (R5)."""
        state = self._state
        try:
            asleep = [row for row in state.ledger.notices() if not row.awake]
            due = [row for row in asleep if state.page.ended(row.purpose, row.epoch)]
            if due:
                state.ledger.commit(wake=[(row.notice_id, state.stamp()) for row in due])
        except StateError:
            pass  # it is tried again at the next opening

    def settle(self) -> bool:
        """One attempt at what is unfinished; true while something is left."""
        if self.unfinished or self._orphans:
            self._silence.cut()
            lease = self._state.barrier.exclusive(0)
            if lease is not None:
                self._finish(lease)
                self._wake_courier()
        if self._vault_due is not None and time.monotonic() >= self._vault_due:
            self.raise_vault_counters()
        return bool(self.unfinished) or self._orphans

    def _finish(self, lease: Lease) -> None:
        with lease:
            records = self._state.reload().records
            for purpose, (epoch, _) in list(self.unfinished.items()):
                if records[purpose].epoch > epoch:  # a later grant has finished the drop (R6)
                    del self.unfinished[purpose]
            for purpose, (epoch, cause) in list(self.unfinished.items()):
                tally = Tally(audited=True)  # R20: who finishes wishes nothing anew
                due = {purpose: epoch}
                if epoch and not self._state.page.ended(purpose, epoch):
                    self._tombstones([purpose], cause, tally, {purpose: _COUNTED})
                self._erase(due, cause, lease, tally)
                self._recovered[purpose] = (epoch, tally.dropped)
                return  # one a round: the lease is let go with it
            if self._orphans and self._has_orphans():
                ram = self._state.keys.read()
                self._silence.forget()
                self._orphans = not self._state.keys.destroy(ram.epoch if ram is not None else 0)
                Outbox.drop_all_files(self._state.directory)
            else:
                self._orphans = False

    def raise_vault_counters(self) -> None:
        """R7, step 5: the vault's counter follows as soon as the vault can be reached, in this run or a later one."""
        state = self._state
        self._vault_due = None
        ended = {p: r.epoch for p, r in state.snapshot.records.items() if r.epoch and not r.status.active}
        if not state.raise_vault(ended):
            self._vault_due = time.monotonic() + _VAULT_AGAIN_S
