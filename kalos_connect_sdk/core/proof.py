"""What a record proves, to somebody who has only the record and the public key (R20).

Rules kept here:

* R20: verification is offline and total: whatever document comes in, the answer is a :class:`Verified`, and a
  record that is malformed, unsigned, changed, or read in another vocabulary proves nothing.
* R20: no coordinate: a record holds no fraction at all and no member that is named like a place.
* R10, and row 51 of the faults: only printable text passes, so that statements are safe to show and to log.

This room checks no signature itself: ``verify`` is passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from .encoding import unb64
from .messages import MalformedRecord, signing_bytes
from .shape import check_shape

__all__ = ["Verified", "verify_record"]

_GIVEN: Final = {"dpv:ConsentGiven": "given", "dpv:RenewedConsentGiven": "renewed"}
_ENDED: Final = {
    "dpv:ConsentWithdrawn": "withdrawn",
    "dpv:ConsentRevoked": "revoked",
    "dpv:ConsentExpired": "found expired",
    "dpv:ConsentInvalidated": "found invalid",
}
_WHO: Final = {
    "dpv:DataSubject": "by the person concerned",
    "dpv:GuardianOfDataSubject": "by a guardian",
    "dpv:DataController": "by the controller or its service",
    "kc:Device": "by the device",
    "kc:Simulation": "by a simulated answer, not by a person",
}


@dataclass(frozen=True, slots=True)
class Verified:
    """The outcome. ``valid``: well formed and signed by ``public_key``, which is the pinned one if one was given.

    ``problems``: why not, empty when valid. ``statements``: what the record proves, and what it does not, in
    plain words; empty unless valid.
    """

    valid: bool
    public_key: bytes | None
    problems: tuple[str, ...]
    statements: tuple[str, ...]


def verify_record(
    record: Mapping[str, Any],
    *,
    verify: Callable[[bytes, bytes, bytes], bool],
    public_key: bytes | None = None,
) -> Verified:
    """Check one record. ``verify(public, signature, message)`` is Ed25519's; ``public_key`` pins the signer.

    Never raises for what a record may hold. Parse the file strictly first: a duplicate key in JSON is gone
    before this sees it.
    """
    problems = check_shape(record)
    if problems:
        return Verified(False, None, tuple(problems), ())
    inside = unb64(record["proof"]["public_key"])
    if public_key is not None and public_key != inside:
        return Verified(False, inside, ("it was signed with another key than the one expected",), ())
    if "value" not in record["proof"]:
        return Verified(False, inside, ("it is not signed",), ())
    message: bytes | None = None
    try:
        message = signing_bytes(record)
    except MalformedRecord:
        pass
    if message is None or not verify(inside, unb64(record["proof"]["value"]), message):
        return Verified(False, inside, ("the signature does not match: the record was changed",), ())
    return Verified(True, inside, (), tuple(_statements(record, pinned=public_key is not None)))


def _statements(record: Mapping[str, Any], *, pinned: bool) -> Iterator[str]:
    given, *ended = record["dpv:hasConsentStatus"]
    notice, process = record["dpv:hasNotice"], record["dpv:hasProcess"][0]
    origin = next(item["kc:serviceOrigin"] for item in process["dpv:hasRecipient"] if "kc:serviceOrigin" in item)
    yield "Nothing in it was changed since the device with this key signed it."
    yield (
        f"Consent number {record['kc:epoch']} of record {record['kc:record']} was {_GIVEN[given['@type']]} at"
        f" {given['dpv:isIndicatedAtTime']}, {_WHO[given['dpv:isIndicatedBy']]}: {record['kc:purpose']},"
        f" {record['kc:precision']} location, until {given['dpv:hasDuration']['rdf:value']}."
    )
    yield (
        f"The notice shown was {notice['dct:identifier']}, version {notice['kc:version']}, in"
        f" {notice['dct:language']}; the text has the SHA-256 {notice['kc:textSha256']}."
    )
    yield (
        f"The controller was {record['dpv:hasDataController']['dct:identifier']}; "
        + (f"the recipient was {origin}." if origin else "no service was set up to receive it.")
    )
    if "kc:assertedParked" in given:
        yield f"The app said the device was parked: {given['kc:assertedParked']}."
    for status in ended:
        who = _WHO[status["dpv:isIndicatedBy"]]
        yield f"It was {_ENDED[status['@type']]} at {status['dpv:isIndicatedAtTime']}, {who}."
    if "kc:replacedAt" in record:
        yield f"A later grant replaced it at {record['kc:replacedAt']}."
    elif not ended:
        yield "When the record was signed it had not ended."
    if "kc:erasedAt" in record:
        yield f"What was buffered under it was erased on the device at {record['kc:erasedAt']}."
    yield "It does not prove who the person was, nor that the device's clock was right."
    if not pinned:
        yield "The key came with the record: compare its fingerprint with one from the device before you rely on it."
