"""The opened state of one (app, profile): ledger, page, keys and secret, folded into a snapshot (R1, R7, R8).

Everything here runs on the keeper (``worker``). Other threads see :attr:`State.snapshot`, an immutable value that is
replaced as a whole, and the page, which any process may change at any time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from ..core.canonical import canonical
from ..core.chain import GENESIS, BrokenChain, link, verify
from ..core.history import MalformedEvent, apply, fold, make_event
from ..core.lifecycle import Event
from ..core.lifetime import Mark, Now
from ..errors import StateError, StateUnreadable, VaultUnavailable
from ..model.consent import GrantTerms, Purpose, RecordState
from ..model.decision import Reason
from ..model.vehicle import Motion
from ..ports import Clock
from ..storage.datakeys import DataKeys, RamState
from ..storage.directory import StateDirectory
from ..storage.failure import StorageFailure
from ..storage.ledger import NewEvent, NoticeRow
from ..storage.locks import Barrier, Lease, try_lock, wait_lock
from . import published
from .identity import Identity
from .pseudonyms import next_record_id, record_id
from .runs import present_run, runs_elsewhere
from .secret import Secret
from .snapshot import Snapshot
from .standins import open_ledger, open_page
from .timekeeping import Timekeeper

__all__ = ["GRANTING", "WRITER_WAIT_S", "State"]

GRANTING = frozenset({Event.ALLOW.value, Event.ALLOW_NEW_NOTICE.value, Event.AMEND.value})
WRITER_WAIT_S = 1.0


class State:
    """Opened state. ``open()`` creates what is missing; every method belongs to the keeper."""

    def __init__(self, directory: StateDirectory, identity: Identity, clock: Clock) -> None:
        self.directory = directory
        self.identity = identity
        self.writer_wait_s = WRITER_WAIT_S
        """How long a commit waits for another program's."""
        self.motion: Callable[[], Motion] = lambda: Motion.UNKNOWN
        """How the vehicle moves now, as far as is known: what an event is written with (R12)."""
        self.clock = clock
        self.secret: Secret | None = None
        self.unreadable: Reason | None = None
        self.problem = ""
        self.page = open_page(directory)
        self.barrier = Barrier(directory)
        self.ledger = open_ledger(directory)
        self.keys = DataKeys.choose(directory, self.ledger.meta("ram"))
        self._writing: Lease | None = None
        self._time = Timekeeper(clock, Mark.from_text(self.ledger.meta("mark")))
        self.forget_history()
        self.snapshot = self._publish(self.page.version, self._withdrawals())
        self.reload()

    # -- reading ---------------------------------------------------------------------------------

    def forget_history(self) -> None:
        """Fold the ledger from its beginning at the next :meth:`reload`: it is another one."""
        self._head: tuple[int, bytes] = (0, GENESIS)
        self._file = self.ledger.identity
        self._records: dict[Purpose, RecordState] = fold(())
        self._authentic_epoch: dict[Purpose, int] = dict.fromkeys(Purpose, 0)
        self._unchecked: dict[Purpose, tuple[bytes, bytes | None]] = {}
        self._grant_keys: dict[Purpose, str | None] = {}
        self._ids: dict[Purpose, str] | None = None

    def reload(self, *, ask_vault: bool = False) -> Snapshot:
        """Read what is new in the ledger, verify it, and publish a snapshot.

        ``ask_vault`` tries a vault that could not be read before; otherwise it is read once, and only
        when a record says given.
        """
        version, withdrawals = self.page.version, self._withdrawals()
        self.unreadable = None
        self.problem = ""
        ram: RamState | None = None
        try:
            self._read_events()
            if not self.page.intact():
                raise StateUnreadable("the page of tombstones is damaged")
            ram = self.keys.read()
        except (BrokenChain, MalformedEvent):
            self._lock_out("the ledger's history does not verify")
        except StateError as error:
            self._lock_out(str(error))
        if self.unreadable is None and any(record.status.active for record in self._records.values()):
            self._authenticate(ask_vault)
        for purpose, record in self._records.items():
            before = self.snapshot
            if record.status.active and self.page.ended(purpose, record.epoch) and before.knows(record):
                withdrawals[purpose] = before.withdrawals[purpose]  # it is being withdrawn, still
        self.snapshot = self._publish(version, withdrawals, ram)
        return self.snapshot

    def _lock_out(self, problem: str, reason: Reason = Reason.STATE_UNREADABLE) -> None:
        self.unreadable = reason
        self.problem = problem

    def _read_events(self) -> None:
        rows = self.ledger.events(self._head[0])
        if self._head[0] and self.ledger.identity != self._file:  # another program's reset() put a new one in its place
            self.forget_history()
            rows = self.ledger.events()
        self._file = self.ledger.identity
        if not rows:
            return
        head = verify(((row.seq, row.body, row.prev, row.hash) for row in rows), self._head)
        for row in rows:
            body = _parsed(row.body)
            record = self._records[Purpose(body["purpose"])]
            self._records[record.purpose] = apply(record, body)
            if body["kind"] in GRANTING:
                self._unchecked[record.purpose] = (row.hash, row.mac)
                self._grant_keys[record.purpose] = row.key_id
                self._ids = None
        self._head = (rows[-1].seq, head)

    def _authenticate(self, ask_vault: bool) -> None:
        """R8: the latest grant must carry a code made with the vault's key; the chain covers all before it."""
        if self.secret is None or ask_vault:
            try:
                self.secret = self.identity.load() or self.secret
            except VaultUnavailable as error:
                active = [record.terms for record in self._records.values() if record.status.active]
                if any(terms is None or terms.run_id is None for terms in active):
                    self._lock_out(str(error), Reason.VAULT_UNAVAILABLE)
                    return  # else the vault has nothing to say: those grants lived in a program's memory
        for purpose, (digest, code) in list(self._unchecked.items()):
            record = self._records[purpose]
            if not record.status.active:
                continue
            if self.secret is not None and self.secret.authentic(digest, code):
                self._authentic_epoch[purpose] = record.epoch
                del self._unchecked[purpose]
            elif record.terms is not None and record.terms.run_id is not None:
                if runs_elsewhere(self.directory, record.terms.run_id):
                    self._lock_out("another running program holds this consent in its memory", Reason.VAULT_UNAVAILABLE)
            else:
                self._lock_out("the vault does not hold the key that authenticated this state")

    def dead_run(self, purpose: Purpose) -> bool:
        """True when a grant lived in the memory of a program that is gone (R9)."""
        record = self._records[purpose]
        return (
            record.status.active
            and record.terms is not None
            and record.terms.run_id is not None
            and self.unreadable is None
            and self._authentic_epoch[purpose] != record.epoch
        )

    def _withdrawals(self) -> dict[Purpose, int]:
        return {purpose: self.page.withdrawals(purpose) for purpose in Purpose}

    def _publish(self, version: int, withdrawals: Mapping[Purpose, int], ram: RamState | None = None) -> Snapshot:
        floor: dict[Purpose, int] = {}
        for purpose in Purpose:
            in_ram = ram.counters.get(purpose, 0) if ram else 0
            floor[purpose] = max(in_ram, self.secret.counter(purpose) if self.secret else 0)
        return Snapshot(
            version,
            withdrawals,
            dict(self._records),
            {p: self._authentic_epoch[p] == self._records[p].epoch > 0 for p in Purpose},
            floor,
            self.unreadable,
            self._present_ids(),
            self.secret is not None and not self.identity.persistent,
            published.kept(self.ledger),
        )

    def _present_ids(self) -> dict[Purpose, str]:
        """Read again only after a grant: nothing else changes them."""
        try:
            if self._ids is None:
                self._ids = {p: record_id(self.ledger, p, self._records[p].epoch) for p in Purpose}
        except StateError:
            return dict.fromkeys(Purpose, "")  # nothing is sent under it: the gate says no
        return self._ids

    def next_record_id(self, purpose: Purpose, epoch: int, key_id: str) -> tuple[str, dict[str, str]]:
        """The pseudonym of a new grant made with the key ``key_id``, and the settings to commit with it."""
        before = self._grant_keys.get(purpose)
        return next_record_id(self.ledger, purpose, epoch, same_identity=before is None or before == key_id)

    def rolled_back(self, purpose: Purpose) -> bool:
        """R7: the state says given at or below a counter that only an ending raises, and no tombstone explains it."""
        record, floor = self.snapshot.records[purpose], self.snapshot.floor[purpose]
        return record.status.active and floor >= record.epoch and not self.page.ended(purpose, record.epoch)

    def unfinished(self) -> bool:
        """True when a crash, another process or a dead run left something to finish before any answer."""
        return any(
            self.page.ended(purpose, record.epoch) or self.dead_run(purpose)
            if record.status.active
            else record.epoch > record.erased_epoch
            for purpose, record in self._records.items()
        )

    # -- writing ---------------------------------------------------------------------------------

    def now(self) -> Now:
        """The time as far as it can be trusted (R13)."""
        return self._time.now()

    def confirm_time(self, wall_s: float) -> None:
        """A TLS-verified answer said what time it is."""
        self._time.now(wall_s)

    def event(
        self,
        kind: str,
        purpose: Purpose,
        epoch: int,
        *,
        cause: str | None = None,
        reason: Reason | None = None,
        terms: GrantTerms | None = None,
    ) -> dict[str, Any]:
        """A ledger event of now."""
        wall_s, motion = self.now().wall_s, self.motion()
        return make_event(kind, purpose, epoch, wall_s, cause=cause, reason=reason, terms=terms, motion=motion)

    def commit(
        self,
        bodies: Sequence[Mapping[str, Any]] = (),
        *,
        add_notices: Sequence[NoticeRow] = (),
        wake: Sequence[tuple[str, str]] = (),
        attempted: Sequence[str] = (),
        delete_notices: Sequence[str] = (),
        meta: Mapping[str, str | None] | None = None,
    ) -> None:
        """One durable transaction (R5), linked to the newest event of any process.

        Raises :class:`StorageFailure`; nothing is then recorded, and nothing is believed.
        """
        lease, self._writing = self._writing, None
        if lease is None:
            lease = wait_lock(self._writer, time.monotonic() + self.writer_wait_s, exclusive=True)
        if lease is None:
            raise StorageFailure("another program holds the ledger")
        with lease:
            rows: list[NewEvent] = []
            possible = self._possible(bodies) if bodies else []
            _, head = self._head
            for body in possible:
                raw = canonical(body)
                digest = link(head, raw)
                code = self.secret.authenticate(digest) if self.secret else None
                rows.append(NewEvent(raw, head, digest, code, self.secret.key_id if self.secret else None))
                head = digest
            self.ledger.commit(
                events=rows,
                add_notices=add_notices,
                wake=wake,
                attempted=attempted,
                delete_notices=delete_notices,
                meta={"mark": self._time.to_text(), **(meta or {})},
            )
            self.page.bump()
        self.reload()

    @contextmanager
    def writing(self) -> Iterator[bool]:
        """Hold the ledger for the one commit that follows. True if nobody else does, and the disk has room for it."""
        with suppress(StateError):
            self._writing = try_lock(self._writer)
        try:
            yield self._writing is not None and self.directory.has_room()
        finally:
            lease, self._writing = self._writing, None
            if lease is not None:
                lease.release()

    def _possible(self, bodies: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The events that can still follow what other processes wrote meanwhile: an end that is there already is
        not written twice. Raises :class:`StorageFailure` for a grant that came too late, and when the history does
        not verify: nothing is added to it (R8)."""
        problem: str | None = None
        possible: list[Mapping[str, Any]] = []
        try:
            self._read_events()
            records = dict(self._records)
            for body in bodies:
                purpose = Purpose(body["purpose"])
                try:
                    records[purpose] = apply(records[purpose], body)
                except MalformedEvent:
                    if body["kind"] in GRANTING:
                        problem = "another program changed the consent meanwhile"
                else:
                    possible.append(body)
        except (BrokenChain, MalformedEvent):
            problem = "the ledger's history does not verify; nothing is added to it"
        if problem is not None:
            raise StorageFailure(problem)
        return possible

    def _writer(self) -> int:
        return self.directory.open_lock("writer.lock", create=True)

    def ensure_secret(self) -> Secret:
        """The secret, made now if there is none; its run is marked as alive when it lives in memory only."""
        if self.secret is None:
            unusable = False
            try:
                self.secret = self.identity.load()
            except VaultUnavailable:
                unusable = True
            if self.secret is None:  # what a vault holds and cannot show is never overwritten
                self.secret = self.identity.create(this_run_only=unusable)
        return self.secret

    def raise_vault(self, ended: Mapping[Purpose, int]) -> bool:
        """R7: let the vault's counter reach what has ended. True when it has, or there is nothing to raise."""
        try:
            secret = self.secret or self.identity.load()
        except VaultUnavailable:
            return False
        if secret is None:
            return True
        raised = secret.raised(ended)
        if raised is not secret and not self.identity.save(raised):
            return False
        self.secret = raised
        try:
            if self.ledger.meta("vault_behind") is not None:
                self.commit(meta={"vault_behind": None})
        except StateError:
            pass  # it is looked at once more at the next opening
        return True

    def stamp(self) -> str:
        """Now, as text for people: ISO 8601 in UTC."""
        return datetime.fromtimestamp(self.now().wall_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def read_secret_again(self) -> Secret:
        """The secret as the vault has it now: another process may have stored a newer token."""
        try:
            self.secret = self.identity.load() or self.secret
        except VaultUnavailable:
            pass
        return self.ensure_secret()

    def run_id(self) -> str | None:
        """None with a persistent vault, else this run's id."""
        return None if self.identity.persistent else present_run(self.directory)

    def save_secret(self, secret: Secret) -> bool:
        """Keep a changed secret here and in the vault."""
        self.secret = secret
        return self.identity.save(secret)

    def keep_time(self, settings: Mapping[str, str | None] | None = None) -> None:
        """Remember how late it is, so that a clock turned back after a power cut wins little (R13)."""
        if self.unreadable is Reason.STATE_UNREADABLE:
            return  # R8: kept as it is
        try:
            self.commit(meta=settings)
        except StateError:
            pass  # the next one may succeed; what is remembered is never later than the truth

    def close(self) -> None:
        """Release files. The run's lock stays with the process: its consent lives as long as it does."""
        self.ledger.close()
        self.page.close()


def _parsed(raw: bytes) -> dict[str, Any]:
    body: Any = None
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        pass
    if not isinstance(body, dict):
        raise MalformedEvent("an event of the ledger is not a JSON object")
    return body
