"""Recording an answer: grant, amend, deny, dismiss (R5, R6, R7, R14). Runs on the keeper."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ..config import Config
from ..core.canonical import canonical
from ..core.lifecycle import Event, transition
from ..core.lifetime import expires_at
from ..core.notices.hashing import fields_sha256, shown_sha256
from ..core.record import notice_message
from ..crypto.encoding import b64
from ..model.consent import GrantTerms, Precision, PromptAnswer, Purpose
from ..model.decision import Reason
from ..model.notice import Notice, NoticeText
from ..model.vehicle import VehicleState
from ..storage.failure import StorageFailure
from ..storage.ledger import NoticeRow
from ..storage.outbox import Outbox
from .causes import CAUSES
from .ending import Ending, Silence
from .state import State

__all__ = ["Granting", "Shown"]

_LOCK_WAIT_S = 1.0


@dataclass(frozen=True, slots=True)
class Shown:
    """What a person saw when they answered, and the count of withdrawals at that time."""

    purpose: Purpose
    notice: Notice
    text: NoticeText
    withdrawals: int
    vehicle: VehicleState | None
    simulated: bool
    guardian: str | None = None


class Granting:
    """Turns answers into ledger events."""

    def __init__(self, state: State, config: Config, silence: Silence, ending: Ending) -> None:
        self._state = state
        self._config = config
        self._silence = silence
        self._ending = ending

    def note(self, event: Event, purpose: Purpose, reason: Reason | None = None, cause: str = "subject") -> None:
        """Record something that changes no grant: deny, dismiss, defer, a prompt that failed."""
        state = self._state
        record = state.reload().records[purpose]
        if transition(record.status, event) is None or state.unreadable is not None:
            return
        try:
            state.commit([state.event(event.value, purpose, record.epoch, cause=cause, reason=reason)])
        except StorageFailure:
            pass  # an unanswered prompt that cannot be counted grants nothing all the same

    def grant(self, shown: Shown, answer: PromptAnswer) -> Reason:
        """Record an Allow: a new epoch, its notice signed ahead, one commit. ``ALLOWED``, or why not."""
        state = self._state
        lease = state.barrier.exclusive(_LOCK_WAIT_S)
        if lease is None:
            return Reason.BUSY
        with lease:
            if state.page.withdrawals(shown.purpose) != shown.withdrawals:
                return Reason.WITHDRAWN  # R11: a late Allow is void
            record = state.reload(ask_vault=True).records[shown.purpose]
            if state.unreadable is not None:
                return state.unreadable
            if state.rolled_back(shown.purpose):
                return Reason.STATE_ROLLED_BACK
            if record.status.active and state.page.ended(shown.purpose, record.epoch):
                try:  # a tombstone that stood alone
                    self._ending.commit_ends({shown.purpose: record.epoch}, CAUSES["subject"])
                except StorageFailure:
                    return Reason.STATE_UNREADABLE
                record = state.snapshot.records[shown.purpose]
            if record.minor and shown.guardian is None:
                return Reason.GUARDIAN_REQUIRED  # R17: marked while the prompt was open
            event = Event.AMEND if record.status.active else Event.ALLOW
            if record.status.active and record.terms and record.terms.notice_sha256 != _sha(shown):
                event = Event.ALLOW_NEW_NOTICE
            if transition(record.status, event) is None:
                return Reason.REFUSED
            try:
                self._finish_drop(shown.purpose)
                done = self._commit(shown, answer, event)
            except StorageFailure:
                return Reason.STATE_UNREADABLE
        return Reason.ALLOWED if done else Reason.WITHDRAWN

    def downgrade(self, purpose: Purpose, withdrawals: int) -> Reason:
        """Precise to approximate without a prompt: a new epoch, and buffered precise positions are dropped (R15)."""
        state = self._state
        lease = state.barrier.exclusive(_LOCK_WAIT_S)
        if lease is None:
            return Reason.BUSY
        with lease:
            record = state.reload().records[purpose]
            if not record.status.active or record.terms is None or state.unreadable is not None:
                return state.unreadable or Reason.NOT_ASKED
            if state.page.withdrawals(purpose) != withdrawals or state.page.ended(purpose, record.epoch):
                return Reason.WITHDRAWN  # R11: it ended while we came to this
            try:
                self._finish_drop(purpose)
                terms = replace(record.terms, precision=Precision.APPROXIMATE, receipt_id=secrets.token_hex(16))
                done = self._commit_terms(purpose, Event.AMEND, terms, withdrawals)
            except StorageFailure:
                return Reason.STATE_UNREADABLE
        return Reason.ALLOWED if done else Reason.WITHDRAWN

    def _finish_drop(self, purpose: Purpose) -> None:
        """R6: nothing of an earlier epoch survives a grant. We hold the exclusive lock.

        An active grant is ended first (its tombstone is the crash-safe half: before the commit the device
        comes up withdrawn, after it with the new grant).
        """
        state = self._state
        record = state.snapshot.records[purpose]
        if record.status.active:
            state.page.end(purpose, record.epoch)
            state.page.bump()
        if record.epoch:
            state.keys.raise_counter(purpose, record.epoch)
        if record.epoch > record.erased_epoch:
            self._silence.forget()
            if not state.keys.destroy(state.snapshot.records[Purpose.NAVIGATION].epoch):
                raise StorageFailure("the data key could not be destroyed")
            Outbox.drop_all_files(state.directory)
        self._ending.unfinished.pop(purpose, None)

    def _commit(self, shown: Shown, answer: PromptAnswer, event: Event) -> bool:
        state = self._state
        state.ensure_secret()
        now, reading = state.now(), state.clock.read()
        vehicle = shown.vehicle
        until = expires_at(answer.duration, now.wall_s, jurisdiction=self.jurisdiction)
        terms = GrantTerms(
            receipt_id=secrets.token_hex(16),
            precision=answer.precision,
            duration=answer.duration,
            notice_id=shown.notice.id,
            notice_version=shown.notice.version,
            notice_locale=shown.text.locale,
            notice_sha256=_sha(shown),
            notice_fields_sha256=fields_sha256(shown.notice),
            controller_id=shown.notice.controller.id,
            service_origin=self._config.origin,
            granted_at=datetime.fromtimestamp(now.wall_s, UTC),
            expires_at=datetime.fromtimestamp(until, UTC) if until is not None else None,
            granted_boot_id=reading.boot_id,
            granted_boottime_s=reading.boottime_s,
            granted_suspended_s=reading.suspended_s,
            drive_id=vehicle.drive_id if vehicle else None,
            asserted_parked=vehicle.asserted_parked if vehicle else None,
            simulated=shown.simulated,
            guardian=shown.guardian,
            run_id=state.run_id(),
        )
        return self._commit_terms(shown.purpose, event, terms, shown.withdrawals)

    @property
    def jurisdiction(self) -> str:
        """Whose cap on unlimited grants applies; the vendor's own where the service's region is not set."""
        return self._config.service_region or "CN"

    def _commit_terms(self, purpose: Purpose, event: Event, terms: GrantTerms, withdrawals: int) -> bool:
        """Grant e+1: the page names it first, so that a withdrawal racing with the commit ends the right epoch. False
        when one was counted before that: it may have ended nothing, and its program may be gone (R11)."""
        state = self._state
        secret = state.ensure_secret()
        ram = state.keys.read()
        epoch = 1 + max(
            state.snapshot.records[purpose].epoch,
            state.page.granted(purpose),
            state.page.highest_ended(purpose),
            secret.counter(purpose),
            ram.counters.get(purpose, 0) if ram else 0,
        )
        ended = {p: r.epoch for p, r in state.snapshot.records.items() if r.epoch and not r.status.active}
        ended[purpose] = state.snapshot.records[purpose].epoch  # a changed grant is over, too
        if secret.raised(ended) is not secret:  # R7: what could not be told to the vault when it ended
            state.save_secret(secret.raised(ended))
        state.page.set_granted(purpose, epoch)
        if state.page.withdrawals(purpose) != withdrawals:
            return False
        record_id, fresh_id = state.next_record_id(purpose, epoch, secret.key_id)
        superseded = [row.notice_id for row in state.ledger.notices() if row.purpose is purpose and not row.awake]
        cause = "guardian" if terms.guardian is not None else "subject"
        body = state.event(event.value, purpose, epoch, cause=cause, terms=terms)
        state.commit(
            [body],
            add_notices=[self._notice(record_id, purpose, epoch)],
            delete_notices=superseded,
            meta={"ram": state.keys.location, **fresh_id},
        )
        if purpose is Purpose.NAVIGATION and state.keys.reachable:
            try:
                state.keys.make(epoch, 1)
            except StorageFailure:
                pass  # consent does not depend on it: it is made with the first position, or that is not accepted
        return True

    def _notice(self, record_id: str, purpose: Purpose, epoch: int) -> NoticeRow:
        """The withdrawal notice of a grant, signed now so that withdrawing needs no vault (R5, R11)."""
        secret = self._state.ensure_secret()
        notice_id = secrets.token_hex(16)
        body: Mapping[str, object] = {
            "notice_id": notice_id,
            "epoch": epoch,
            "public_key": b64(secret.signing.public),
            "signature": b64(secret.signing.sign(notice_message(record_id, notice_id, epoch))),
        }
        return NoticeRow(
            notice_id=notice_id,
            purpose=purpose,
            epoch=epoch,
            origin=self._config.service_url or "",
            record_id=record_id,
            body=canonical(body).decode(),
            awake=False,
            withdrawn_at=None,
            attempts=0,
        )


def _sha(shown: Shown) -> str:
    return shown_sha256(shown.text, shown.notice)
