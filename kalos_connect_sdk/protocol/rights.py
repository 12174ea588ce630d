"""Rights requests: signed, durable before the call returns, told to the service until it answers (R5, R20).

A request is one setting of the ledger: its signed body, whom it is owed by, and the last word of the service. Made
on the keeper, delivered on the courier's thread. Only an acknowledgement moves it on.
"""

from __future__ import annotations

import json
import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from ..config import Config
from ..core.canonical import canonical
from ..core.record import request_message
from ..core.retry import backoff_s
from ..core.rights import Word, due, word_of
from ..crypto.encoding import b64
from ..errors import StateError, TransportError, VaultUnavailable
from ..model.consent import Purpose
from ..model.notice import Notice
from ..model.rights import DeletionReason, RequestKind, RequestStatus, RightsRequest
from .state import State
from .worker import Worker

if TYPE_CHECKING:
    from ..transport.client import ServiceClient

__all__ = ["PREFIX", "Rights"]

PREFIX: Final = "request."
_AGAIN_S: Final = 60.0


class Rights:
    """The rights requests of one state."""

    def __init__(
        self,
        state: State,
        config: Config,
        keeper: Worker,
        notices: Callable[[Purpose], Notice],
        client: Callable[[str], ServiceClient],
    ) -> None:
        self._state = state
        self._config = config
        self._keeper = keeper
        self._notices = notices
        self._client = client
        self._due: dict[str, tuple[int, float]] = {}

    # -- on the keeper ---------------------------------------------------------------------------

    def make(
        self,
        kind: RequestKind,
        reason: DeletionReason | None,
        forget: tuple[str, ...] = (),
        events: Sequence[Mapping[str, Any]] = (),
    ) -> RightsRequest:
        """Record a request; ``forget`` these settings and append these ``events`` in the same commit.

        Raises :class:`VaultUnavailable` when the key that the service knows cannot be read, and
        :class:`StorageFailure` when it cannot be recorded: nothing is then asked.
        """
        state = self._state
        if state.secret is None and (unreadable := self._vault_problem()):
            raise VaultUnavailable(unreadable)
        secret = state.ensure_secret()
        made_at = datetime.fromtimestamp(state.now().wall_s, UTC).replace(microsecond=0)
        request_id, public = secrets.token_hex(16), b64(secret.signing.public)
        named = reason.value if reason is not None else None
        message = request_message(request_id, kind.value, named, made_at.isoformat(), public)
        notice = self._notices(Purpose.NAVIGATION)
        whom = (notice.controller.name, self._config.origin, *notice.recipients)
        kept = {
            "body": {
                "request_id": request_id,
                "kind": kind.value,
                "reason": named,
                "made_at": made_at.isoformat(),
                "public_key": public,
                "signature": b64(secret.signing.sign(message)),
            },
            "service": self._config.service_url or "",
            "due_at": due(made_at, self._config.service_region or "CN").isoformat(),
            "recipients": list(dict.fromkeys(name for name in whom if name)),
            "contact": notice.controller.contact,
            "word": None,
        }
        state.commit(events, meta={PREFIX + request_id: canonical(kept).decode(), **dict.fromkeys(forget)})
        return _request(kept)

    def _vault_problem(self) -> str | None:
        try:
            self._state.secret = self._state.identity.load()
        except VaultUnavailable as error:
            return str(error)
        return None

    def known(self) -> list[RightsRequest]:
        """Every request, oldest first. Raises :class:`StateError` when the ledger cannot be read."""
        return sorted(map(_request, self._kept()), key=lambda request: (request.made_at, request.id))

    def unanswered(self) -> bool:
        """A request is open: the service is to be asked again."""
        return any(request.status.open for request in self.known())

    def _kept(self) -> list[dict[str, Any]]:
        return [json.loads(text) for text in self._state.ledger.settings(PREFIX).values()]

    def _hear(self, kept: dict[str, Any], word: Word) -> None:
        said: Mapping[str, Any] = {
            "status": word.status.value,
            "due_at": word.due_at.isoformat() if word.due_at else None,
            "outcome": word.outcome,
            "refusal_code": word.refusal_code,
            "refusal_reason": word.refusal_reason,
        }
        if kept["word"] != said:
            name = PREFIX + kept["body"]["request_id"]
            self._state.commit(meta={name: canonical({**kept, "word": said}).decode()})

    # -- on the courier --------------------------------------------------------------------------

    def waiting(self) -> bool:
        """A request was not acknowledged yet, and will be told again."""
        return bool(self._due)

    def is_due(self) -> bool:
        """It is time to tell one again."""
        now = time.monotonic()
        return any(not_before <= now for _, not_before in self._due.values())

    def deliver(self, *, ignore_backoff: bool) -> int:
        """Tell every open request that is due; returns how many were not acknowledged. Never raises."""
        try:
            kept = [each for each in self._keeper.call(self._kept) if _request(each).status.open]
        except StateError:
            return 0  # it cannot be read: doctor says so
        before, self._due = self._due, {}
        left = 0
        for each in kept:
            request_id = each["body"]["request_id"]
            attempts, not_before = before.get(request_id, (0, 0.0))
            if not ignore_backoff and time.monotonic() < not_before:
                self._due[request_id] = (attempts, not_before)
                left += each["word"] is None
            elif self._tell(each):
                self._due.pop(request_id, None)
            elif each["word"] is None:
                left += 1
                wait_s = backoff_s(attempts + 1, random.random())  # noqa: S311 - jitter, not a secret
                self._due[request_id] = (attempts + 1, time.monotonic() + wait_s)
        return left

    def _tell(self, kept: dict[str, Any]) -> bool:
        """Asking again is how the service is asked how far it has come: it does nothing twice."""
        url = kept["service"] or self._config.service_url
        if not url:
            return False
        body = kept["body"]
        try:
            word = word_of(self._client(url).ask(body), body["request_id"], RequestKind(body["kind"]))
            if word is not None:
                self._keeper.call(lambda: self._hear(kept, word))
        except (TransportError, StateError):
            return False
        return word is not None


def _request(kept: Mapping[str, Any]) -> RightsRequest:
    body, word = kept["body"], kept["word"] or {}
    request = RightsRequest(
        id=body["request_id"],
        kind=RequestKind(body["kind"]),
        reason=DeletionReason(body["reason"]) if body["reason"] else None,
        made_at=datetime.fromisoformat(body["made_at"]),
        due_at=datetime.fromisoformat(kept["due_at"]),
        status=RequestStatus(word.get("status") or RequestStatus.PENDING.value),
        recipients=tuple(kept["recipients"]),
        contact=kept["contact"],
        outcome=word.get("outcome"),
        refusal_code=word.get("refusal_code"),
        refusal_reason=word.get("refusal_reason"),
    )
    if word.get("due_at"):
        theirs = datetime.fromisoformat(word["due_at"])
        if request.made_at - timedelta(days=1) < theirs < request.due_at:  # never later than policy and law
            request = replace(request, due_at=theirs)
    return request
