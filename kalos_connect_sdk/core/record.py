"""Consent records: one per grant, with everything that happened to it (R8, R20).

Rules kept here:

* R20: a record follows ISO/IEC TS 27560:2023 in W3C DPV terms, is valid JSON-LD, holds no coordinate, and says
  only what the ledger and the pinned notice show: a notice that is no longer the one agreed to adds nothing.
* R14: what was agreed to is pinned: notice, version, language, the hash of the text, controller, recipient.

Everything is text, whole numbers or booleans, so that every JSON writer gives the same signed bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from ..model.consent import Purpose
from ..model.notice import Notice
from .dpv import DATA, METHODS, NOT_IN_APPROXIMATE, SCHEMA, context, country, record_iri
from .encoding import b64
from .happenings import GRANTING_KINDS, Body, marks, split_grants, statuses
from .messages import (
    MalformedRecord,
    attach_signature,
    notice_message,
    registration_message,
    request_message,
    signing_bytes,
)
from .notices.hashing import fields_sha256
from .notices.published import later, plain_version
from .proof import Verified, verify_record
from .shape import ALGORITHM, CANONICALIZATION, can_be_shown, check_shape

__all__ = [
    "MalformedRecord",
    "Receipt",
    "Verified",
    "attach_signature",
    "check_shape",
    "notice_message",
    "registration_message",
    "render",
    "request_message",
    "signing_bytes",
    "split_grants",
    "verify_record",
]

_RIGHTS: Final = (
    "to withdraw consent at any time",
    "to know what is held",
    "to have it corrected",
    "to have it deleted",
    "to have an automated decision explained",
)


class Receipt(dict[str, Any]):
    """A signed record as a person keeps it: a plain ``dict`` that can write itself."""

    def to_json(self) -> str:
        """The record as indented JSON text that :func:`verify_record` accepts after parsing."""
        return json.dumps(self, ensure_ascii=False, allow_nan=False, indent=2) + "\n"


def render(
    *,
    record_id: str,
    purpose: Purpose,
    events: Sequence[Body],
    notice: Notice,
    public_key: bytes,
    service_region: str | None,
    published: Notice | None = None,
) -> dict[str, Any]:
    """The record of one grant, ready to be signed (:func:`signing_bytes`, :func:`attach_signature`).

    ``events``: one list of :func:`split_grants`. ``notice``: the one in use now; it contributes only where it is
    the one that was agreed to. ``service_region``: ISO 3166 code, or None when it is not known. ``published``: the
    service's own notice, which adds no more than that there is a later version.
    Raises :class:`MalformedRecord` when ``events`` does not begin with a grant.
    """
    if not events or events[0]["kind"] not in GRANTING_KINDS:
        raise MalformedRecord("a record begins with a grant")
    grant, terms = events[0], events[0]["terms"]
    same_fields = terms["notice_fields_sha256"] == fields_sha256(notice)  # R14
    record: dict[str, Any] = {
        "@context": context(),
        "@id": record_iri(record_id, grant["epoch"]),
        "@type": "dpv:ConsentRecord",
        "dct:conformsTo": SCHEMA,
        "dct:identifier": terms["receipt_id"],
        "dct:created": grant["at"],
        "kc:record": record_id,
        "kc:epoch": grant["epoch"],
        "kc:purpose": purpose.value,
        "kc:precision": terms["precision"],
        "dpv:hasDataSubject": {"@type": "dpv:DataSubject", "dct:identifier": record_id},
        "dpv:hasDataController": _controller(terms, notice),
        # the jurisdiction whose cap on open-ended grants was applied
        "dpv:hasJurisdiction": country(service_region or "CN"),
        "dpv:hasNotice": _notice(terms, notice, published),
        "dpv:hasProcess": [_process(terms, notice if same_fields else None, service_region)],
        "dpv:hasConsentControl": {
            "@type": "dpv:WithdrawConsent",
            "dpv:isExercisedAt": "on the device that holds this record, at any time",
        },
        "dpv:hasConsentStatus": statuses(grant, events),
    }
    if notice.controller.id == terms["controller_id"]:
        record["dpv:hasRight"] = [
            {"@type": "dpv:DataSubjectRight", "dct:title": right, "dpv:isExercisedAt": notice.controller.contact}
            for right in notice.rights or _RIGHTS
        ]
    record.update(marks(record_id, events))
    record["proof"] = {
        "@type": "kc:Proof",
        "algorithm": ALGORITHM,
        "canonicalization": CANONICALIZATION,
        "public_key": b64(public_key),
    }
    shown: dict[str, Any] = _shown(record)
    return shown


def _shown(value: Any) -> Any:
    """The app words notices and reasons: what cannot be shown is escaped, or no reader would accept the record."""
    if isinstance(value, dict):
        return {name: _shown(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_shown(item) for item in value]
    if isinstance(value, str) and not can_be_shown(value):
        return "".join(letter if can_be_shown(letter) else f"\\u{ord(letter):04x}" for letter in value)
    return value


def _controller(terms: Body, notice: Notice) -> dict[str, Any]:
    controller = notice.controller
    document = {"@type": "dpv:DataController", "dct:identifier": terms["controller_id"]}
    if controller.id == terms["controller_id"]:
        document["dpv:hasName"] = controller.name
        document["dpv:hasContact"] = controller.contact
        if controller.address is not None:
            document["dpv:hasAddress"] = controller.address
    return document


def _notice(terms: Body, notice: Notice, published: Notice | None) -> dict[str, Any]:
    document: dict[str, Any] = {
        "@type": "dpv:ConsentNotice",
        "dct:identifier": terms["notice_id"],
        "kc:version": terms["notice_version"],
        "dct:language": terms["notice_locale"],
        "kc:textSha256": terms["notice_sha256"],
        "kc:fieldsSha256": terms["notice_fields_sha256"],
    }
    if (notice.id, notice.version) == (terms["notice_id"], terms["notice_version"]):
        document["dct:date"] = notice.effective.isoformat()
        if notice.assessment:
            document["kc:assessment"] = notice.assessment
        if notice.policy_id:
            document["kc:policy"] = {"@type": "dpv:PrivacyNotice", "dct:identifier": notice.policy_id}
            if notice.policy_updated is not None:
                document["kc:policy"]["dct:modified"] = notice.policy_updated.isoformat()
    newest = published if published is not None and later(published, notice) else notice
    for told in (newest, notice):
        if _only_told(terms, told):
            document["kc:changedSince"] = {"kc:version": told.version, "dct:date": told.effective.isoformat()}
            if told is published and not plain_version(told):
                del document["kc:changedSince"]["kc:version"]
            break
    return document


def _only_told(terms: Body, notice: Notice) -> bool:
    """R14: it changed in what people are told of and not asked again (rights, contact, assessment, wording)."""
    known: tuple[Any, ...] = (terms["notice_id"], terms["notice_fields_sha256"])
    return known == (notice.id, fields_sha256(notice)) and bool(notice.version != terms["notice_version"])


def _process(terms: Body, notice: Notice | None, service_region: str | None) -> dict[str, Any]:
    """What was agreed to; without the notice (its fields have changed since) what the grant itself pins."""
    names = sorted(set(notice.recipients)) if notice is not None else []
    recipients: list[dict[str, Any]] = [{"@type": "dpv:Recipient", "dpv:hasName": name} for name in names]
    recipients.append({"@type": "dpv:Recipient", "kc:serviceOrigin": terms["service_origin"]})
    storage: list[dict[str, Any]] = [
        {
            "@type": "dpv:StorageDuration",
            "dpv:hasDuration": {"@type": "dpv:UntilEventDuration", "rdf:value": "the end of this consent"},
        }
    ]
    if service_region is not None:
        storage.append({"@type": "dpv:StorageLocation", "dpv:hasLocation": country(service_region)})
    purpose: dict[str, Any] = {"@type": "dpv:RequestedServiceProvision"}
    if notice is not None:
        purpose["dct:title"] = notice.purpose
    return {
        "@type": "dpv:Process",
        "dpv:hasPurpose": purpose,
        "dpv:hasLegalBasis": "dpv:ExplicitlyExpressedConsent",
        "dpv:hasPersonalData": _data(terms["precision"], notice.data if notice is not None else ("coordinates",)),
        "dpv:hasProcessing": sorted({METHODS.get(m, "dpv:Processing") for m in (notice.method if notice else ())})
        or ["dpv:Processing"],
        "dpv:hasRecipient": recipients,
        "dpv:hasStorageCondition": storage,
    }


def _data(precision: str, kinds: Iterable[str]) -> list[dict[str, Any]]:
    wanted = sorted(set(kinds) - (NOT_IN_APPROXIMATE if precision == "approximate" else frozenset()))
    return [
        {"@type": DATA[kind][precision] if kind in DATA else "dpv:PersonalData", "dct:title": kind} for kind in wanted
    ]
