"""The documents of the Connect Location API v1 as JSON Schemas (draft 2020-12)."""

from __future__ import annotations

from typing import Any, Final

from ..core.notices.hashing import Change
from ..model.rights import DeletionReason, RequestKind

__all__ = ["PROBLEMS", "SCHEMAS"]

PROBLEMS: Final = (
    "batch-too-large",
    "body-too-large",
    "consent-expired",
    "guardian-required",
    "consent-required",
    "consent-withdrawn",
    "cross-border",
    "enrolment-required",
    "epoch-reused",
    "idempotency-key-required",
    "internal-error",
    "invalid-signature",
    "key-mismatch",
    "malformed-document",
    "malformed-request",
    "method-not-allowed",
    "no-notice",
    "no-route",
    "not-found",
    "notice-changed",
    "record-incomplete",
    "registration-required",
    "routing-unavailable",
    "token-required",
    "unsupported-encoding",
    "unsupported-media-type",
)
"""Every name a problem of this service can have."""

_STATUSES: Final = ("given", "renewed", "withdrawn", "revoked", "expired")
_REJECTIONS: Final = (
    "duplicate-id",
    "invalid-feature",
    "invalid-id",
    "invalid-position",
    "invalid-property",
    "invalid-timestamp",
)


def _object(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


def _array(items: Any, **rules: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **rules}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _number(low: float, high: float | None = None, *, description: str = "") -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "number", "minimum": low}
    if high is not None:
        schema["maximum"] = high
    return {**schema, "description": description} if description else schema


_TEXT: Final[dict[str, Any]] = {"type": "string"}
_COUNT: Final[dict[str, Any]] = {"type": "integer", "minimum": 0}
_SHA256: Final[dict[str, Any]] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}

SCHEMAS: Final[dict[str, Any]] = {
    "Id": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
    "Epoch": {
        "type": "integer",
        "minimum": 1,
        "maximum": 2**63 - 1,
        "description": "Number of a grant of a record, rising by one; the fencing token.",
    },
    "PublicKey": {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$", "description": "Ed25519, base64url."},
    "Signature": {"type": "string", "pattern": "^[A-Za-z0-9_-]{86}$", "description": "Ed25519, base64url."},
    "Registration": {
        **_object(
            ("epoch", "public_key", "record", "signature"),
            epoch=_ref("Epoch"),
            public_key=_ref("PublicKey"),
            record={"type": "object", "description": "The consent record, JSON-LD after ISO/IEC TS 27560."},
            signature=_ref("Signature"),
        ),
        "description": (
            "The signature covers the canonical JSON (sorted keys, no spaces, UTF-8) of type, record_id, epoch, "
            "public_key and record, where type is kalos-connect/registration/1."
        ),
    },
    "Registered": _object(
        ("access_token", "encodings"),
        access_token={"type": "string", "minLength": 1},
        encodings=_array({"type": "string"}),
    ),
    "ConsentStatus": _object(
        ("record_id", "status", "epoch"),
        record_id=_ref("Id"),
        status={"type": "string", "enum": list(_STATUSES)},
        epoch=_ref("Epoch"),
    ),
    "WithdrawalNotice": {
        **_object(
            ("notice_id", "epoch", "public_key", "signature"),
            notice_id=_ref("Id"),
            epoch=_ref("Epoch"),
            withdrawn_at={"type": ["string", "null"], "description": "RFC 3339; advisory, not signed."},
            public_key=_ref("PublicKey"),
            signature=_ref("Signature"),
        ),
        "description": (
            "The signature covers the canonical JSON of type, record_id, notice_id and epoch, where type is "
            "kalos-connect/withdrawal/1; it can be made when the grant is."
        ),
    },
    "Withdrawn": _object(("epoch", "dropped"), epoch=_ref("Epoch"), dropped=_COUNT),
    "RightsRequest": {
        **_object(
            ("request_id", "kind", "made_at", "public_key", "signature"),
            request_id=_ref("Id"),
            kind={"type": "string", "enum": [kind.value for kind in RequestKind]},
            reason={
                "type": ["string", "null"],
                "enum": [*(reason.value for reason in DeletionReason), None],
                "description": "One of the policy's five, for a deletion; absent or null otherwise.",
            },
            made_at={"type": "string", "format": "date-time"},
            public_key=_ref("PublicKey"),
            signature=_ref("Signature"),
        ),
        "description": (
            "The signature covers the canonical JSON of type, request_id, kind, reason (null where there is none), "
            "made_at and public_key, where type is kalos-connect/request/1."
        ),
    },
    "RightsCase": _object(
        ("request_id", "kind", "status", "received_at", "due_at"),
        request_id=_ref("Id"),
        kind={"type": "string", "enum": [kind.value for kind in RequestKind]},
        status={"type": "string", "enum": ["received", "identity-pending", "completed", "refused"]},
        received_at={"type": "string", "format": "date-time"},
        due_at={"type": "string", "format": "date-time", "description": "The earliest of policy and law."},
        outcome={"type": "object", "description": "What was done: counts and texts, never a position."},
        refusal=_object(("code", "reason"), code=_TEXT, reason=_TEXT),
    ),
    "ConsentMember": _object(
        ("record_id", "epoch", "purpose", "precision", "notice_sha256"),
        record_id=_ref("Id"),
        epoch=_ref("Epoch"),
        purpose={"type": "string", "const": "navigation"},
        precision={"type": "string", "enum": ["precise", "approximate"]},
        notice_sha256=_SHA256,
    ),
    "Point": _object(
        ("type", "coordinates"),
        type={"const": "Point"},
        coordinates={
            "type": "array",
            "description": "Longitude and latitude in degrees, WGS-84.",
            "prefixItems": [_number(-180, 180), _number(-90, 90)],
            "minItems": 2,
            "maxItems": 3,
        },
    ),
    "PositionFeature": _object(
        ("type", "id", "geometry", "properties"),
        type={"const": "Feature"},
        id={"type": "integer", "minimum": 0, "maximum": 2**31 - 1, "description": "Unique within the batch."},
        geometry=_ref("Point"),
        properties=_object(
            ("timestamp",),
            timestamp={"type": "string", "format": "date-time"},
            horizontal_accuracy=_number(0, description="Metres, 68 %."),
            altitude=_number(-20_000, 10_000_000, description="Metres."),
            speed=_number(0, description="Metres a second."),
            course=_number(0, 360, description="Degrees clockwise from true north."),
        ),
    ),
    "PositionCollection": _object(
        ("type", "consent", "features"),
        type={"const": "FeatureCollection"},
        consent=_ref("ConsentMember"),
        features=_array(_ref("PositionFeature"), maxItems=2000),
    ),
    "Accepted": _object(
        ("accepted", "rejected"),
        accepted={**_COUNT, "description": "Features taken, now or by an earlier try of the same batch."},
        rejected=_array(
            _object(
                ("id", "problem"),
                id={"type": ["integer", "null"], "description": "Null for a Feature without a usable id."},
                problem={"type": "string", "enum": list(_REJECTIONS)},
            )
        ),
    ),
    "RouteRequest": _object(
        ("origin", "destination"),
        origin=_ref("Point"),
        destination=_ref("Point"),
        locale={"type": "string", "default": "en", "description": "A language tag for the instructions."},
        consent=_ref("ConsentMember"),
    ),
    "Manoeuvre": _object(
        ("instruction", "kind", "distance_m", "duration_s", "begin_index"),
        instruction=_TEXT,
        kind=_TEXT,
        distance_m=_number(0, description="Until the next manoeuvre."),
        duration_s=_number(0, description="Until the next manoeuvre."),
        begin_index={**_COUNT, "description": "Index into the line."},
    ),
    "Route": _object(
        ("type", "geometry", "properties"),
        type={"const": "Feature"},
        geometry=_object(
            ("type", "coordinates"),
            type={"const": "LineString"},
            coordinates=_array(_array({"type": "number"}, minItems=2, maxItems=3), minItems=2),
        ),
        properties=_object(
            ("distance_m", "duration_s", "locale", "attribution", "manoeuvres"),
            distance_m=_number(0),
            duration_s=_number(0),
            locale=_TEXT,
            attribution=_TEXT,
            manoeuvres=_array(_ref("Manoeuvre")),
        ),
    ),
    "NoticeText": _object(
        ("locale", "title", "who", "what", "why", "how_to_stop", "allow", "deny", "full", "reviewed"),
        **dict.fromkeys(("locale", "title", "who", "what", "why", "how_to_stop", "allow", "deny", "full"), _TEXT),
        reviewed={"type": "boolean"},
    ),
    "Notice": _object(
        (
            *("id", "version", "effective", "controller", "purpose", "data", "method", "recipients"),
            *("rights", "assessment", "fields_sha256", "change", "asks_again", "texts"),
        ),
        id=_TEXT,
        version=_TEXT,
        effective={"type": "string", "format": "date"},
        controller=_object(("id", "name", "contact"), id=_TEXT, name=_TEXT, contact=_TEXT),
        purpose=_TEXT,
        data=_array(_TEXT),
        method=_array(_TEXT),
        recipients=_array(_TEXT),
        rights=_array(_TEXT),
        assessment=_TEXT,
        fields_sha256=_SHA256,
        change=_array({"enum": [kind.value for kind in Change]}),
        asks_again={"type": "boolean", "description": "A grant to the notice before this one no longer holds."},
        texts=_array(_ref("NoticeText"), minItems=1),
    ),
    "Problem": {
        **_object(
            ("type", "status"),
            type={"type": "string", "format": "uri", "description": f"Ends in one of: {', '.join(PROBLEMS)}."},
            title=_TEXT,
            status={"type": "integer", "minimum": 400, "maximum": 599},
        ),
        "description": "RFC 9457. Holds nothing of the request.",
    },
}
