"""The vocabulary of records: W3C DPV 2.3 in JSON-LD, as its guide for ISO/IEC TS 27560:2023 uses it (R20).

The context is inlined and always the same, so that a record reads offline, for ever, and cannot be given
another meaning by changing the context, which the signature does not cover. Terms that DPV lacks live under
``kc:``, an address that never resolves.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["DATA", "METHODS", "NOT_IN_APPROXIMATE", "PARTIES", "SCHEMA", "STATUSES", "context", "country", "record_iri"]

SCHEMA: Final = "https://w3id.org/dpv/schema/dpv-27560#record"
"""The record schema of the guide that a record conforms to."""

STATUSES: Final = {
    "allow": "dpv:ConsentGiven",
    "allow-new-notice": "dpv:RenewedConsentGiven",
    "amend": "dpv:ConsentGiven",
    "withdraw": "dpv:ConsentWithdrawn",
    "revoke": "dpv:ConsentRevoked",  # DPV 2.3 has no ConsentTerminated
    "expire": "dpv:ConsentExpired",
    "invalidate": "dpv:ConsentInvalidated",
    "reset": "dpv:ConsentWithdrawn",  # R8: a reset withdraws what was given
}
"""Ledger event -> status. The first three open a record, the others end it."""

PARTIES: Final = {
    "subject": "dpv:DataSubject",
    "guardian": "dpv:GuardianOfDataSubject",
    "controller": "dpv:DataController",
    "service": "dpv:DataController",
}
"""Cause of an event -> who indicated it. Every other cause is something the device found out by itself."""

METHODS: Final = {
    "collect": "dpv:Collect",
    "transmit": "dpv:Transmit",
    "use": "dpv:Use",
    "transfer-abroad": "dpv:CrossBorderTransfer",
}
"""A notice's method -> DPV processing."""

DATA: Final = {"coordinates": {"precise": "pd:GPSCoordinate", "approximate": "pd:CurrentLocation"}}
"""A notice's kind of data -> personal data, by precision. Other kinds are given by name."""

NOT_IN_APPROXIMATE: Final = frozenset({"altitude", "speed", "course"})
"""Kinds of data that an approximate position does not have (R15)."""

_BASE: Final = "https://kalos-connect.invalid/"
_IRI: Final = {"@type": "@id"}
_TIME: Final = {"@type": "xsd:dateTime"}


def context() -> dict[str, Any]:
    """The ``@context`` of every record, a fresh copy."""
    return {
        "dct": "http://purl.org/dc/terms/",
        "dpv": "https://w3id.org/dpv#",
        "kc": _BASE + "ns#",
        "loc": "https://w3id.org/dpv/loc#",
        "pd": "https://w3id.org/dpv/pd#",
        "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
        "xsd": "http://www.w3.org/2001/XMLSchema#",
        "dct:conformsTo": dict(_IRI),
        "dct:created": dict(_TIME),
        "dct:date": {"@type": "xsd:date"},
        "dct:isReplacedBy": dict(_IRI),
        "dct:modified": {"@type": "xsd:date"},
        "dpv:hasJurisdiction": dict(_IRI),
        "dpv:hasLegalBasis": dict(_IRI),
        "dpv:hasLocation": dict(_IRI),
        "dpv:hasProcessing": dict(_IRI),
        "dpv:isIndicatedAtTime": dict(_TIME),
        "dpv:isIndicatedBy": dict(_IRI),
        "kc:erasedAt": dict(_TIME),
        "kc:registeredAt": dict(_TIME),
        "kc:replacedAt": dict(_TIME),
        "proof": "kc:proof",
        "algorithm": "kc:algorithm",
        "canonicalization": "kc:canonicalization",
        "public_key": "kc:publicKey",
        "value": "kc:signatureValue",
    }


def country(code: str) -> str:
    """The DPV location of an ISO 3166 code of two letters."""
    return f"loc:{code.upper()}"


def record_iri(record_id: str, epoch: int) -> str:
    """The name of the record of one grant. It does not resolve: records are evidence, not pages."""
    return f"{_BASE}records/{record_id}/{epoch}"
