"""What exactly is signed: withdrawal notices, registrations, rights requests, records (R5, R8, R20).

Each message is the canonical JSON of one object. The first three carry a ``type`` of their own and a record
carries none, so that a signature of one kind can never be shown as another kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .canonical import canonical
from .encoding import b64

__all__ = [
    "MalformedRecord",
    "attach_signature",
    "notice_message",
    "registration_message",
    "request_message",
    "signing_bytes",
]

_NOTICE = "kalos-connect/withdrawal/1"
_REGISTRATION = "kalos-connect/registration/1"
_REQUEST = "kalos-connect/request/1"


class MalformedRecord(ValueError):
    """A document cannot be brought into the one byte form that is signed. The text holds nothing of it (R10)."""


def notice_message(record_id: str, notice_id: str, epoch: int) -> bytes:
    """What the device signs ahead, when it grants ``epoch``, so that withdrawing needs no key (R5, R11).

    ``withdrawn_at`` is not part of it: nobody knows it yet.
    """
    return _bytes({"type": _NOTICE, "record_id": record_id, "notice_id": notice_id, "epoch": epoch})


def registration_message(record_id: str, epoch: int, public_key_b64: str, record: Mapping[str, Any]) -> bytes:
    """What the device signs to register a grant: the body of the ``PUT`` but its signature, and whom it is about.

    Raises :class:`MalformedRecord`.
    """
    return _bytes(
        {
            "type": _REGISTRATION,
            "record_id": record_id,
            "epoch": epoch,
            "public_key": public_key_b64,
            "record": record,
        }
    )


def request_message(request_id: str, kind: str, reason: str | None, made_at: str, public_key_b64: str) -> bytes:
    """What the device signs to ask for deletion, access or an explanation of everything under its key."""
    return _bytes(
        {
            "type": _REQUEST,
            "request_id": request_id,
            "kind": kind,
            "reason": reason,
            "made_at": made_at,
            "public_key": public_key_b64,
        }
    )


def signing_bytes(record: Mapping[str, Any]) -> bytes:
    """What a receipt's signature covers: everything but ``@context`` and the signature's own value (R20).

    Raises :class:`MalformedRecord`.
    """
    if "type" in record:
        raise MalformedRecord("a record has no member 'type'")
    signed = {name: value for name, value in record.items() if name != "@context"}
    proof = signed.get("proof")
    if isinstance(proof, Mapping):
        signed["proof"] = {name: value for name, value in proof.items() if name != "value"}
    return _bytes(signed)


def attach_signature(record: Mapping[str, Any], signature: bytes) -> dict[str, Any]:
    """A copy of ``record`` whose proof carries ``signature``. Raises :class:`MalformedRecord` without a proof."""
    proof = record.get("proof")
    if not isinstance(proof, Mapping):
        raise MalformedRecord("a record without a proof cannot be signed")
    return {**record, "proof": {**proof, "value": b64(signature)}}


def _bytes(document: Mapping[str, Any]) -> bytes:
    """Canonical bytes of whatever a peer sent: floats, NaN, lone surrogates and endless nesting are refused."""
    message: bytes | None = None
    try:
        _reject_floats(document)
        message = canonical(document)
    except (ValueError, TypeError, RecursionError):  # UnicodeEncodeError is a ValueError and holds the text
        pass
    if message is None:
        raise MalformedRecord("the document has no canonical form")
    return message


def _reject_floats(value: Any) -> None:
    if isinstance(value, float):
        raise TypeError
    if isinstance(value, Mapping):
        for name, item in value.items():
            if not isinstance(name, str):  # 1 and "1" would be written alike
                raise TypeError
            _reject_floats(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _reject_floats(item)
