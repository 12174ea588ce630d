"""The courier: withdrawal notices, registration and the service's own word on a consent (R5, R7).

Nothing it carries holds a position. Its network calls run on the courier thread, what they change is
committed on the keeper.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import Config
from ..core.record import registration_message, render, split_grants
from ..core.retry import RETRY_AFTER_MAX_S, Action, Outcome, backoff_s, notice_outcome, outcome
from ..core.strict_json import strict_json
from ..crypto.encoding import b64
from ..errors import ConfigError, ServiceRefused, StateError, StateUnreadable, TransportError
from ..model.consent import Purpose, RecordState
from ..model.notice import Notice
from ..storage.failure import StorageFailure
from ..storage.ledger import NoticeRow
from .ending import CAUSES, Cause
from .rights import Rights
from .state import State
from .worker import Worker

if TYPE_CHECKING:
    from ..transport.client import ServiceClient

__all__ = ["Courier"]

_ENDINGS = {
    Action.EXPIRE: CAUSES["service-expired"],
    Action.INVALIDATE: CAUSES["service-notice"],
    Action.REVOKE: CAUSES["service"],
}
_POLL_S = 60.0


class Courier:
    """Talks to the service about consent. ``end`` ends a grant because the service said so."""

    def __init__(
        self,
        state: State,
        config: Config,
        keeper: Worker,
        notices: Callable[[Purpose], Notice],
        client: Callable[[str], ServiceClient],
        end: Callable[[Purpose, Cause], None],
        rights: Rights,
        mark_minor: Callable[[], object],
    ) -> None:
        self._state = state
        self._config = config
        self._keeper = keeper
        self._notices = notices
        self._client = client
        self._end = end
        self._rights = rights
        self._mark_minor = mark_minor
        self.worker = Worker("kalos-courier")
        self._due: dict[str, tuple[int, float]] = {}
        self._told: set[str] = set()
        """Acknowledged, and the ledger could not be told: these are not sent again, only their rows are removed."""
        self._asked: dict[Purpose, tuple[int, float, str | None]] = {}
        self._woken = False

    # -- notices ---------------------------------------------------------------------------------

    def wake(self) -> None:
        """Deliver what is pending, soon and in the background."""
        self._woken = True
        self.worker.post(lambda: None)

    def idle(self) -> bool:
        """Between jobs: one round of deliveries that are due; true while notices or rights requests are pending."""
        if self.worker.stopped:
            return False
        now = self._now_s()
        woken, self._woken = self._woken, False
        if woken or any(self._is_due(not_before, now) for _, not_before in self._due.values()):
            self.deliver(ignore_backoff=False)
        if woken or self._rights.is_due():
            self._rights.deliver(ignore_backoff=False)
        return bool(self._due) or self._rights.waiting()

    def pending(self) -> list[NoticeRow]:
        """Notices not yet acknowledged; a tombstone wakes them too, when the ledger could not be written (R5)."""
        rows = self._keeper.call(self._state.ledger.notices)
        return [row for row in rows if row.awake or self._state.page.ended(row.purpose, row.epoch)]

    def deliver(self, *, ignore_backoff: bool) -> int:
        """Try every pending notice that is due; returns how many are left, at least one when that cannot be read.

        Never raises for the network.
        """
        try:
            rows = self.pending()
        except StateError:
            return 1
        self._due = {row.notice_id: self._due[row.notice_id] for row in rows if row.notice_id in self._due}
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

    def hear(self, url: str) -> None:
        """Ask for nothing in particular: the answer's date counts (R13)."""
        try:
            self._client(url).notice(self._config.locale)
        except TransportError:
            pass  # the clock stays untrusted until somebody answers

    # -- registration ----------------------------------------------------------------------------

    def token(self, purpose: Purpose, epoch: int, *, refused: str | None = None) -> str:
        """The access token of a registered grant; registers it now when needed. Raises :class:`TransportError`.

        ``refused``: the token the service answered 401 to: another process may hold a newer one, else register anew.
        """
        record_id, token, registered = self._keeper.call(lambda: self._known(purpose, refused))
        if token is not None and registered >= epoch and token != refused:
            return token
        return self._register(purpose, epoch, record_id)

    def _known(self, purpose: Purpose, refused: str | None) -> tuple[str, str | None, int]:
        state = self._state
        secret = state.ensure_secret()
        if refused is not None:
            secret = state.read_secret_again()
        record_id = state.snapshot.record_ids[purpose]
        return record_id, secret.tokens.get(record_id), state.snapshot.records[purpose].registered_epoch

    def _register(self, purpose: Purpose, epoch: int, record_id: str) -> str:
        body = self._keeper.call(lambda: self._registration(purpose, epoch, record_id))
        refused: ServiceRefused | None = None
        try:
            answer = self._client(self._config.service_url or "").register(
                record_id, body, enrolment_token=self._enrolment_token()
            )
        except ServiceRefused as error:
            refused = error
        if refused is not None:
            self.obey(purpose, epoch, refused.problem)
            raise ServiceRefused(refused.problem)
        self._keeper.call(lambda: self._registered(purpose, epoch, record_id, answer.access_token))
        self._asked[purpose] = (epoch, time.monotonic(), None)
        return answer.access_token

    def _enrolment_token(self) -> str | None:
        """The vendor's token, when a file of it is configured. Raises :class:`ConfigError`."""
        path = self._config.enrolment_token_file
        if path is None:
            return None
        token: str | None = None
        try:
            token = Path(path).read_text("ascii").strip()
        except (OSError, ValueError):
            pass
        if not token:
            raise ConfigError("enrolment_token_file cannot be read or is empty")
        return token

    def _registration(self, purpose: Purpose, epoch: int, record_id: str) -> dict[str, object]:
        state = self._state
        secret = state.ensure_secret()
        bodies = [json.loads(row.body) for row in state.ledger.events()]
        if state.snapshot.records[purpose].epoch != epoch:
            raise StateUnreadable("the ledger does not hold the grant that is to be registered")
        grants = split_grants([body for body in bodies if body.get("purpose") == purpose.value])
        record = render(
            record_id=record_id,
            purpose=purpose,
            events=grants[-1] if grants else [],
            notice=self._notices(purpose),
            public_key=secret.signing.public,
            service_region=self._config.service_region,
        )
        public = b64(secret.signing.public)
        message = registration_message(record_id, epoch, public, record)
        return {
            "epoch": epoch,
            "public_key": public,
            "record": record,
            "signature": b64(secret.signing.sign(message)),
        }

    def _registered(self, purpose: Purpose, epoch: int, record_id: str, token: str) -> None:
        state = self._state
        state.save_secret(state.ensure_secret().with_token(record_id, token))
        record: RecordState = state.reload().records[purpose]
        if record.registered_epoch < epoch <= record.epoch:
            try:
                state.commit([state.event("registered", purpose, epoch)])
            except StorageFailure:
                pass  # registering again is harmless

    # -- the service's own word ------------------------------------------------------------------

    def ask_status(self, purpose: Purpose, epoch: int, token: str) -> None:
        """R7: before the first send of a run, and then each minute, hear what the service knows.

        Raises :class:`TransportError` when it cannot be asked the first time.
        """
        asked, at, etag = self._asked.get(purpose, (0, 0.0, None))
        if asked == epoch and time.monotonic() - at < _POLL_S:
            return
        record_id = self._state.snapshot.record_ids[purpose]
        refused: ServiceRefused | None = None
        known = None
        try:
            known = self._client(self._config.service_url or "").status(record_id, token, etag)
        except ServiceRefused as error:
            refused = error
        except TransportError:
            if asked == epoch:
                return
            raise
        if refused is not None:
            self.obey(purpose, epoch, refused.problem)
            if asked == epoch:
                return
            raise ServiceRefused(refused.problem)
        if known is not None:
            etag = known.etag
            if known.status not in ("given", "renewed") and known.epoch >= epoch:
                self._end(purpose, CAUSES["service-expired" if known.status == "expired" else "service"])
        self._asked[purpose] = (epoch, time.monotonic(), etag)

    def obey(self, purpose: Purpose, epoch: int, problem: dict[str, object]) -> None:
        """Close the own gate where the service closed its own."""
        status = problem.get("status")
        kind = str(problem.get("type", ""))
        name = kind.rsplit("/", 1)[-1] if kind not in ("", "about:blank") else None  # R1: a no without a name is a no
        action = outcome(status if isinstance(status, int) else None, name, None, now_wall_s=time.time()).action
        if action is Action.REVOKE and name == "guardian-required":  # R17: what it covers ends for that reason
            self._mark_minor()
        cause = _ENDINGS.get(action)
        if cause is not None and self._state.snapshot.records[purpose].epoch == epoch:
            self._end(purpose, cause)
