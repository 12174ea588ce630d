"""The desk: what the service does with each request, whoever speaks HTTP for it.

* Consent is judged again for every batch, in the same step that keeps it: a withdrawal that was answered is
  never followed by a position of its epoch (R3, R6).
* Delivered twice is done once: batches by (``Idempotency-Key``, id), withdrawals by notice id (R5).
* A route keeps nothing, and needs consent only when it starts at the device (R19).
* A token is kept as its digest.
* A rights request is carried out at once, unless whoever runs the service reviews it first.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from ..core.notices.hashing import Change, changes, fields_sha256
from ..core.wire import MalformedDocument, OversizedDocument, RouteRequest, parse_feature_collection
from ..model.notice import Notice
from ..model.rights import RequestKind
from . import rules
from .refusal import Refusal
from .rights import Asked, Case, decided, opened
from .store import Store, StoredPosition

__all__ = ["ENCODINGS", "MAX_FEATURES", "Desk", "Receipt"]

ENCODINGS: Final = ("gzip", "identity")
MAX_FEATURES: Final = 2000
RETENTION_S: Final = 86_400.0


@dataclass(frozen=True, slots=True, repr=False)
class Receipt:
    """What became of a batch: counts, names of problems, and the positions that were new."""

    accepted: int
    rejected: list[dict[str, Any]]
    new: list[StoredPosition]

    def document(self) -> dict[str, Any]:
        """The body of the 202."""
        return {"accepted": self.accepted, "rejected": self.rejected}


class Desk:
    """One service. ``region``: ISO 3166 code of where it stands, ``None`` when it stands nowhere in particular
    (a loopback service). ``enrolment_token``: what a device must show, besides its signature, to register.
    ``retention_s``: seconds a position is kept at most.
    """

    def __init__(
        self,
        store: Store,
        *,
        now_s: Callable[[], float],
        notice: Notice | None = None,
        region: str | None = None,
        enrolment_token: str | None = None,
        retention_s: float = RETENTION_S,
    ) -> None:
        self._store = store
        self._now_s = now_s
        self._region = region
        self._enrolment = enrolment_token
        self._retention_s = retention_s
        self._lock = threading.Lock()
        self.review: Callable[[Case], Case | None] = lambda case: None
        """A rights request as it comes in: the case as a person decided it, or None to carry it out at once."""
        self.notice = notice
        self.change: tuple[Change, ...] = ()
        self.fields: dict[str, str] = {}
        """Purpose -> the machine-readable fields a grant must be to (R14): see :meth:`require_notice`."""

    def require_notice(self, notice: Notice) -> None:
        """From now on ``notice`` is in force, and grants to other machine-readable fields are refused (R14): also those
        for the purpose that a notice of the same id had before."""
        with self._lock:
            before, self.notice = self.notice, notice
            self.change = () if before is None else changes(before, notice)
            purposes = {notice.purpose, before.purpose if before is not None and before.id == notice.id else ""} - {""}
            self.fields = {**self.fields, **dict.fromkeys(purposes, fields_sha256(notice))}

    # -- consents --------------------------------------------------------------------------------

    def register(
        self, record_id: str, document: Any, *, authorization: str | None = None
    ) -> tuple[int, dict[str, Any]]:
        """``PUT /v1/consents/{record_id}``: 201 for a record never heard of, else 200, and a fresh token."""
        if self._enrolment is not None:
            shown = bearer(authorization)
            if not hmac.compare_digest(shown.encode(), self._enrolment.encode()):
                raise Refusal(401, "enrolment-required")
        new = rules.Registration.read(record_id, document)
        token = secrets.token_urlsafe(32)
        with self._lock:
            known = self._store.consent(record_id)
            minor = any(consent.minor for consent in self._store.consents_of(new.public_key))
            consent = rules.register(known, new, fields_in_force=self.fields, minor=minor)
            self._store.register(consent, _digest(token))
        return (201 if known is None else 200), {"access_token": token, "encodings": list(ENCODINGS)}

    def status(self, record_id: str, authorization: str | None) -> tuple[dict[str, Any], str]:
        """``GET /v1/consents/{record_id}``: the body and its entity tag. The token must be that record's."""
        with self._lock:
            consent = self._bearer_of(authorization)
        if consent.record_id != record_id:
            raise Refusal(401, "token-required")
        now = self._now_s()
        body = {"record_id": record_id, "status": rules.status_at(consent, now), "epoch": consent.epoch}
        return body, rules.etag(consent, now)

    def withdraw(self, record_id: str, document: Any) -> tuple[dict[str, Any], bool]:
        """``POST /v1/consents/{record_id}/withdrawals``: the body, and whether this notice had its effect now."""
        notice = rules.WithdrawalNotice.read(record_id, document)
        with self._lock:
            dropped = self._store.dropped_by(record_id, notice.notice_id)
            effect = dropped is None
            if dropped is None:
                consent = rules.withdraw(self._store.consent(record_id), notice)
                dropped = self._store.end(consent, notice.notice_id, notice.epoch)
        return {"epoch": notice.epoch, "dropped": dropped}, effect

    def revoke(self, record_id: str) -> int:
        """The controller ends a consent; returns how many positions that dropped. 404 for an unknown record."""
        with self._lock:
            known = self._store.consent(record_id)
            if known is None:
                raise Refusal(404, "unknown-record")
            return self._store.end(rules.revoke(known), None, known.epoch)

    def mark_minor(self, record_id: str) -> None:
        """R17: the record is a minor's, and so is every other of its key: from now on neither a registration nor a
        position without evidence of a guardian's consent. 404 for an unknown record."""
        with self._lock:
            known = self._store.consent(record_id)
            if known is None:
                raise Refusal(404, "unknown-record")
            for consent in self._store.consents_of(known.public_key):
                self._store.keep(replace(consent, minor=True, revision=consent.revision + 1))

    # -- rights ----------------------------------------------------------------------------------

    def ask(self, document: Any) -> tuple[int, dict[str, Any]]:
        """``POST /v1/requests``: 201 for a new request, 200 for one that is known; its present state."""
        asked = Asked.read(document)
        with self._lock:
            known = self._store.case(asked.request_id)
            if known is not None and known.public_key != asked.public_key:
                raise Refusal(409, "key-mismatch")
            case = known or opened(asked, self._now_s(), self._region or "CN")
            if known is None or known.status.open:
                case = self.review(case) or self._carry_out(case)
                self._store.keep_case(case)
        return (201 if known is None else 200), case.document()

    def case(self, request_id: str, authorization: str | None) -> dict[str, Any]:
        """``GET /v1/requests/{id}``, with the token of any record of the same key."""
        with self._lock:
            consent = self._bearer_of(authorization)
            case = self._store.case(request_id)
        if case is None or case.public_key != consent.public_key:
            raise Refusal(404, "not-found")
        return case.document()

    def _carry_out(self, case: Case) -> Case:
        consents = self._store.consents_of(case.public_key)
        positions = sum(self._store.count(consent.record_id) for consent in consents)
        if case.kind is RequestKind.DELETION:
            for consent in consents:
                self._store.end(rules.wiped(consent), None, consent.epoch)
        now = self._now_s()
        statuses = ", ".join(rules.status_at(consent, now) for consent in consents)
        return decided(case, records=len(consents), positions=positions, statuses=statuses)

    # -- positions -------------------------------------------------------------------------------

    def positions(self, body: bytes, *, authorization: str | None, key: str | None) -> Receipt:
        """``POST /v1/positions`` with the inflated ``body`` and the two headers as sent."""
        batch = idempotency_key(key)
        member, features = _read(body)
        with self._lock:
            consent = self._bearer_of(authorization)
            self._admit(consent, member)
            good = [feature for feature in features if "problem" not in feature]
            for feature in good:
                self._check_border(consent, feature["latitude"], feature["longitude"])
            now = self._now_s()
            self._store.forget_before(now - self._retention_s)
            new = self._store.add([_stored(consent, batch, feature) for feature in good], now)
        rejected = [
            {"id": feature["id"], "problem": feature["problem"]} for feature in features if "problem" in feature
        ]
        return Receipt(accepted=len(good), rejected=rejected, new=list(new))

    def may_route(self, request: RouteRequest, authorization: str | None) -> None:
        """Raises :class:`Refusal` unless the route may be made; typed places need no consent (R19)."""
        if request.consent is None:
            return
        with self._lock:
            consent = self._bearer_of(authorization)
            self._admit(consent, request.consent, precise=True)
            self._check_border(consent, request.origin.latitude, request.origin.longitude)

    def owner_of(self, authorization: str | None) -> str | None:
        """The record whose token a request shows; ``None`` when it shows none. Judges nothing."""
        try:
            with self._lock:
                return self._bearer_of(authorization).record_id
        except Refusal:
            return None

    def kept(self, record_id: str) -> int:
        """How many positions of a record are kept now."""
        with self._lock:
            return self._store.count(record_id)

    def _admit(self, consent: rules.Consent, member: Mapping[str, Any], *, precise: bool = False) -> None:
        rules.admit(consent, member, now_s=self._now_s(), fields_in_force=self.fields, precise=precise)

    def _check_border(self, consent: rules.Consent, latitude: float, longitude: float) -> None:
        """R16: from mainland China to a service elsewhere only with the separate cross-border grant."""
        if self._region in (None, "CN"):
            return
        from ..core.borders import in_mainland_china  # an outline of a country: loaded when it can matter

        if not in_mainland_china(latitude, longitude):
            return
        now = self._now_s()
        for other in self._store.consents_of(consent.public_key):
            if (
                other.terms is not None
                and other.terms.purpose == "cross-border-transfer"
                and rules.status_at(other, now) in ("given", "renewed")
            ):
                return
        raise Refusal(403, "cross-border")

    def _bearer_of(self, authorization: str | None) -> rules.Consent:
        record_id = self._store.record_of(_digest(bearer(authorization)))
        consent = None if record_id is None else self._store.consent(record_id)
        if consent is None:
            raise Refusal(401, "token-required")
        return consent


def bearer(authorization: str | None) -> str:
    """The token of an ``Authorization`` header. Raises :class:`Refusal` 401."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip() or len(token) > 512:
        raise Refusal(401, "token-required")
    return token.strip()


def idempotency_key(header: str | None) -> str:
    """The key in an ``Idempotency-Key`` header, which is a quoted string (RFC 8941). Raises :class:`Refusal` 400."""
    text = (header or "").strip()
    key = text[1:-1]
    if not (len(text) >= 2 and text[0] == text[-1] == '"' and 1 <= len(key) <= 128):
        raise Refusal(400, "idempotency-key-required")
    if not all(" " <= letter <= "~" for letter in key) or '"' in key or "\\" in key:
        raise Refusal(400, "idempotency-key-required")
    return key


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _read(body: bytes) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    refusal: Refusal | None = None
    member: dict[str, Any] = {}
    features: list[dict[str, Any]] = []
    try:
        member, features = parse_feature_collection(body, max_features=MAX_FEATURES)
    except OversizedDocument:
        refusal = Refusal(413, "batch-too-large", max_features=MAX_FEATURES)
    except MalformedDocument:
        refusal = Refusal(422, "malformed-document", member="body")
    if refusal is None and not member:
        refusal = Refusal(403, "consent-required")  # R1: no word of consent is a no
    if refusal is not None:
        raise refusal
    return member, features


def _stored(consent: rules.Consent, key: str, feature: Mapping[str, Any]) -> StoredPosition:
    return StoredPosition(
        record_id=consent.record_id,
        epoch=consent.epoch,
        key=key,
        number=feature["id"],
        latitude=feature["latitude"],
        longitude=feature["longitude"],
        time=feature["timestamp"],
        properties=dict(feature["properties"]),
    )
