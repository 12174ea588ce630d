"""The rules of consent as a service keeps them: pure functions over what it knows of one record.

* A consent is registered by the holder of its key alone, and a withdrawal is authenticated by a signature,
  never by a token: it works for records the service has never seen (R5, R11).
* ``fence`` is the highest epoch that is over. A withdrawal raises it to its own epoch, a newer grant to the
  epoch before; nothing ever lowers it, and everything at or below it is refused (R6, R7).
* Positions are taken under the present epoch, the purpose, the precision and the notice that were
  registered, and no other (R14, R15).

Both the FastAPI application and the emulator are thin doors around these.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from ..core.record import MalformedRecord, notice_message, registration_message
from ..crypto.encoding import unb64
from ..crypto.sign import verify
from .refusal import Refusal
from .terms import Terms, terms_of

__all__ = [
    "Consent",
    "Registration",
    "WithdrawalNotice",
    "admit",
    "check_id",
    "check_signature",
    "etag",
    "object_of",
    "register",
    "revoke",
    "status_at",
    "text_of",
    "withdraw",
    "wiped",
]

_EPOCH_MAX: Final = 2**63 - 1
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_ACTIVE: Final = ("given", "renewed")
_NO_FIELDS: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, repr=False)
class Consent:
    """What the service knows of one record. ``status`` is a DPV one; ``epoch`` the latest it has heard of."""

    record_id: str
    public_key: str
    status: str
    epoch: int
    fence: int
    terms: Terms | None = None
    record: Mapping[str, Any] | None = None
    revision: int = 1
    """Rises with every change; the ``ETag``."""
    minor: bool = False
    """It is a minor's: a grant needs evidence of a guardian's consent (R17)."""

    def __repr__(self) -> str:
        return f"<Consent {self.status}, epoch {self.epoch}>"  # R10


@dataclass(frozen=True, slots=True, repr=False)
class Registration:
    """The body of ``PUT /v1/consents/{record_id}`` after its shape and signature were checked."""

    record_id: str
    epoch: int
    public_key: str
    record: Mapping[str, Any]
    terms: Terms

    def __repr__(self) -> str:
        return f"<Registration of epoch {self.epoch}>"

    @classmethod
    def read(cls, record_id: str, document: Any) -> Registration:
        """Raises :class:`Refusal`: 422 for the shape, 401 for the signature."""
        body = object_of(document)
        public_key = text_of(body, "public_key", 128)
        epoch = _epoch(body)
        record = body.get("record")
        if not isinstance(record, Mapping):
            raise _malformed("record")
        check_id(record_id, "record_id")
        message = _signed(lambda: registration_message(record_id, epoch, public_key, record), "record")
        check_signature(body, public_key, message)
        return cls(record_id, epoch, public_key, record, terms_of(record, record_id, epoch))


@dataclass(frozen=True, slots=True, repr=False)
class WithdrawalNotice:
    """The body of a withdrawal after its shape and signature were checked. ``withdrawn_at`` is advisory."""

    record_id: str
    notice_id: str
    epoch: int
    public_key: str
    withdrawn_at: str | None

    def __repr__(self) -> str:
        return f"<WithdrawalNotice of epoch {self.epoch}>"

    @classmethod
    def read(cls, record_id: str, document: Any) -> WithdrawalNotice:
        """Raises :class:`Refusal`: 422 for the shape, 401 for the signature."""
        body = object_of(document)
        public_key = text_of(body, "public_key", 128)
        epoch = _epoch(body)
        notice_id = text_of(body, "notice_id", 64)
        check_id(notice_id, "notice_id")
        check_id(record_id, "record_id")
        message = _signed(lambda: notice_message(record_id, notice_id, epoch), "notice_id")
        check_signature(body, public_key, message)
        said = body.get("withdrawn_at")
        withdrawn_at = said if isinstance(said, str) and len(said) <= 40 else None  # unsigned: never a reason to refuse
        return cls(record_id, notice_id, epoch, public_key, withdrawn_at)


def register(
    known: Consent | None,
    new: Registration,
    *,
    fields_in_force: Mapping[str, str] = _NO_FIELDS,
    minor: bool = False,
) -> Consent:
    """The consent after a registration, a renewal or an amendment. Raises :class:`Refusal`.

    ``fields_in_force``: purpose -> hash of the machine-readable fields of the notice in force, for the purposes
    the service insists on; a grant to other fields is refused (R14). ``minor``: the device is a minor's (R17).
    """
    _check_fields(new.terms, fields_in_force)
    if known is None:
        known = Consent(new.record_id, new.public_key, "unknown", 0, fence=new.epoch - 1, revision=0, minor=minor)
    if new.public_key != known.public_key:
        raise Refusal(409, "key-mismatch")
    if new.epoch <= known.fence:  # R6
        raise Refusal(410, "consent-withdrawn")
    _check_guardian(known, new.terms)
    if new.epoch == known.epoch:
        if new.terms != known.terms:
            raise Refusal(409, "epoch-reused")  # other terms are another grant, and that has another epoch
        return replace(known, terms=new.terms, record=new.record, revision=known.revision + 1)
    renewed = (
        known.status in _ACTIVE and known.terms is not None and known.terms.fields_sha256 != new.terms.fields_sha256
    )
    return replace(
        known,
        status="renewed" if renewed else "given",
        epoch=new.epoch,
        fence=max(known.fence, new.epoch - 1),
        terms=new.terms,
        record=new.record,
        revision=known.revision + 1,
    )


def withdraw(known: Consent | None, notice: WithdrawalNotice) -> Consent:
    """The consent after a withdrawal, from any state; a late notice of an older epoch ends no newer grant (R6)."""
    if known is None:
        return Consent(notice.record_id, notice.public_key, "withdrawn", notice.epoch, fence=notice.epoch)
    if notice.public_key != known.public_key:
        raise Refusal(409, "key-mismatch")
    if notice.epoch < known.epoch or (notice.epoch == known.epoch and known.status == "withdrawn"):
        return known  # the fence is there already
    return _ended(known, "withdrawn", notice.epoch)


def revoke(known: Consent) -> Consent:
    """The consent after the controller ended it; one that is not active stays what it is."""
    return _ended(known, "revoked", known.epoch) if known.status in _ACTIVE else known


def wiped(known: Consent) -> Consent:
    """What is left of a consent after a deletion: that it is over, and up to which epoch (R6)."""
    return replace(
        _ended(known, "revoked" if known.status in _ACTIVE else known.status, known.epoch), terms=None, record=None
    )


def _ended(known: Consent, status: str, epoch: int) -> Consent:
    return replace(known, status=status, epoch=epoch, fence=epoch, revision=known.revision + 1)


def status_at(consent: Consent, now_s: float) -> str:
    """The status as it is to be told at ``now_s`` (seconds since 1970): a grant whose time is over is expired."""
    if consent.status in _ACTIVE and consent.terms is not None and consent.terms.over(now_s):
        return "expired"
    return consent.status


def etag(consent: Consent, now_s: float) -> str:
    """The entity tag of what ``GET /v1/consents/{record_id}`` answers."""
    return f'"{consent.epoch}-{consent.revision}-{status_at(consent, now_s)}"'


def admit(
    consent: Consent,
    member: Mapping[str, Any],
    *,
    now_s: float,
    fields_in_force: Mapping[str, str] = _NO_FIELDS,
    precise: bool = False,
) -> None:
    """Positions under ``member`` may be processed now, or :class:`Refusal`. ``precise``: nothing coarser will do."""
    epoch, terms = member["epoch"], consent.terms
    if member["record_id"] != consent.record_id:
        raise Refusal(403, "consent-required")
    if epoch <= consent.fence or consent.status not in _ACTIVE:  # R6
        raise Refusal(410, "consent-withdrawn")
    if epoch != consent.epoch or terms is None:
        raise Refusal(401, "registration-required")  # a grant we have not heard of yet: it heals by registering
    _check_guardian(consent, terms)
    if terms.over(now_s):
        raise Refusal(403, "consent-expired")
    if member["notice_sha256"] != terms.notice_sha256:
        raise Refusal(409, "notice-changed")  # R14
    _check_fields(terms, fields_in_force)
    if member["purpose"] != "navigation" or terms.purpose != "navigation":
        raise Refusal(403, "consent-required")
    allowed = ("precise", "approximate") if terms.precision == "precise" else ("approximate",)
    if member["precision"] not in allowed or (precise and member["precision"] != "precise"):
        raise Refusal(403, "consent-required")  # R15


def _check_guardian(consent: Consent, terms: Terms) -> None:
    if consent.minor and not terms.guardian:
        raise Refusal(403, "guardian-required")  # R17


def _check_fields(terms: Terms, fields_in_force: Mapping[str, str]) -> None:
    if fields_in_force.get(terms.purpose, terms.fields_sha256) != terms.fields_sha256:
        raise Refusal(409, "notice-changed")  # R14


# -- shape ---------------------------------------------------------------------------------------


def _malformed(member: str) -> Refusal:
    return Refusal(422, "malformed-document", member=member)


def object_of(document: Any) -> Mapping[str, Any]:
    """The document as an object. Raises :class:`Refusal` 422."""
    if not isinstance(document, Mapping):
        raise _malformed("body")
    return document


def check_id(value: str, member: str) -> str:
    """``value`` when it is a usable id. Raises :class:`Refusal` 422 naming ``member``."""
    if not _ID.fullmatch(value):
        raise _malformed(member)
    return value


def text_of(body: Mapping[str, Any], name: str, longest: int) -> str:
    """A text of 1 to ``longest`` characters. Raises :class:`Refusal` 422 naming the member."""
    value = body.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= longest:
        raise _malformed(name)
    return value


def _epoch(body: Mapping[str, Any]) -> int:
    value = body.get("epoch")
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _EPOCH_MAX:
        raise _malformed("epoch")
    return value


def _signed(message: Callable[[], bytes], member: str) -> bytes:
    made: bytes | None = None
    try:
        made = message()
    except MalformedRecord:
        pass
    if made is None:
        raise _malformed(member)
    return made


def check_signature(body: Mapping[str, Any], public_key: str, message: bytes) -> None:
    """The body's ``signature`` is over ``message``, by ``public_key``. Raises :class:`Refusal` 401."""
    signature = text_of(body, "signature", 128)
    good = False
    try:
        good = verify(unb64(public_key), unb64(signature), message)
    except ValueError:
        pass
    if not good:
        raise Refusal(401, "invalid-signature")
