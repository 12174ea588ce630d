"""How a grant stands with the service: registered there, and the service's own word on it (R5, R7).

Nothing of it holds a position. Its requests run on the courier's thread, what they change is committed on the keeper.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import Config
from ..core.polling import INTERVAL_S
from ..core.record import registration_message, render, split_grants
from ..core.retry import Action, outcome
from ..crypto.encoding import b64
from ..errors import ConfigError, ServiceRefused, StateUnreadable, TransportError
from ..model.consent import Purpose, RecordState
from ..model.notice import Notice
from ..storage.failure import StorageFailure
from .causes import CAUSES, Cause
from .state import State
from .worker import Worker

if TYPE_CHECKING:
    from ..transport.client import ServiceClient
    from ..transport.flight import Flight

__all__ = ["LOST", "Standing"]

LOST = (401, 404)
"""The service does not know the token, or the record: it lost them, and a registration, once, heals that."""
_ENDINGS = {
    Action.EXPIRE: CAUSES["service-expired"],
    Action.INVALIDATE: CAUSES["service-notice"],
    Action.REVOKE: CAUSES["service"],
}
_OVER = {"expired": CAUSES["service-expired"], "invalidated": CAUSES["service-notice"]}


class Standing:
    """Registers grants and asks how they stand. ``end`` ends the grant of an epoch because the service said so."""

    def __init__(
        self,
        state: State,
        config: Config,
        keeper: Worker,
        notices: Callable[[Purpose], Notice],
        client: Callable[[str], ServiceClient],
        end: Callable[[Purpose, Cause, int], None],
        mark_minor: Callable[[], object],
    ) -> None:
        self._state = state
        self._config = config
        self._keeper = keeper
        self._notices = notices
        self._client = client
        self._end = end
        self._mark_minor = mark_minor
        self._asked: dict[Purpose, tuple[int, float, str | None]] = {}
        self.answered: Callable[[], None] = lambda: None
        """Called whenever the service said how a grant stands."""

    # -- registration ----------------------------------------------------------------------------

    def token(self, purpose: Purpose, epoch: int, *, refused: str | None = None) -> str:
        """The access token of a registered grant; registers it now when needed. Raises :class:`TransportError`.

        ``refused``: the token the service did not know: another process may hold a newer one, else register anew.
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
        self._heard(purpose, epoch, None)
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
        present = state.snapshot.records[purpose]
        if present.epoch != epoch or not present.status.active or state.page.ended(purpose, epoch):
            raise StateUnreadable("the ledger does not hold the grant that is to be registered, or it is over")
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
        asked, at, _ = self._asked.get(purpose, (0, 0.0, None))
        if asked == epoch and 0.0 <= self._now_s() - at < INTERVAL_S:
            return
        try:
            self._ask(purpose, epoch, token)
        except TransportError:
            if asked != epoch:
                raise

    def ask_idle(self, purpose: Purpose, epoch: int, flight: Callable[[], Flight]) -> None:
        """The same while nothing is sent; a grant that the service lost is registered once more.

        Raises :class:`TransportError` without an answer that says how the grant stands.
        """
        token = self.token(purpose, epoch)
        lost = False
        try:
            self._ask(purpose, epoch, token, flight())
        except ServiceRefused as error:
            lost = error.problem.get("status") in LOST
            if not lost:
                raise
        if lost:
            self._ask(purpose, epoch, self.token(purpose, epoch, refused=token), flight())

    def _ask(self, purpose: Purpose, epoch: int, token: str, flight: Flight | None = None) -> None:
        record_id = self._state.snapshot.record_ids[purpose]
        client = self._client(self._config.service_url or "")
        asked, _, etag = self._asked.get(purpose, (0, 0.0, None))
        refused: ServiceRefused | None = None
        known = None
        try:
            if flight is not None:
                client.resolve()
            known = client.status(record_id, token, etag if asked == epoch else None, flight)
        except ServiceRefused as error:
            refused = error
        if refused is not None:
            self.obey(purpose, epoch, refused.problem)
            raise ServiceRefused(refused.problem)
        if known is not None:
            etag = known.etag
            if known.status not in ("given", "renewed") and known.epoch >= epoch:
                self._end(purpose, _OVER.get(known.status, CAUSES["service"]), epoch)
        self._heard(purpose, epoch, etag)

    def _heard(self, purpose: Purpose, epoch: int, etag: str | None) -> None:
        self._asked[purpose] = (epoch, self._now_s(), etag)
        self.answered()

    def _now_s(self) -> float:
        return self._state.clock.read().boottime_s

    def obey(self, purpose: Purpose, epoch: int, problem: dict[str, object]) -> None:
        """Close the own gate where the service closed its own."""
        status = problem.get("status")
        kind = str(problem.get("type", ""))
        name = kind.rsplit("/", 1)[-1] if kind not in ("", "about:blank") else None  # R1: a no without a name is a no
        action = outcome(status if isinstance(status, int) else None, name, None, now_wall_s=time.time()).action
        if action is Action.REVOKE and name == "guardian-required":  # R17: what it covers ends for that reason
            self._mark_minor()
        cause = _ENDINGS.get(action)
        if cause is not None:
            self._end(purpose, cause, epoch)
