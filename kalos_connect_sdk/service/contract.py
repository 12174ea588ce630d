"""The Connect Location API v1 as an OpenAPI 3.1 document: what :mod:`.front` does, written down by hand.

The document is a reference protocol and says so: it stays unofficial until the vendor publishes one. Tests hold
the application's paths and its live answers against it.
"""

from __future__ import annotations

from typing import Any, Final

from .schemas import SCHEMAS

__all__ = ["API_VERSION", "TITLE", "contract"]

TITLE: Final = "Connect Location API"
API_VERSION: Final = "1.0.0"
_DESCRIPTION: Final = (
    "Reference protocol, unofficial until the vendor publishes one. Every position carries the epoch of the grant "
    "under which it was accepted; an ended epoch is refused for ever. Errors are RFC 9457 problems whose type ends in "
    "the problem's name. No cookies, no redirects."
)
_JSON: Final = "application/json"
_GEOJSON: Final = "application/geo+json"
_PROBLEM: Final = "application/problem+json"


def contract() -> dict[str, Any]:
    """The document, a fresh copy."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": TITLE,
            "version": API_VERSION,
            "summary": "Consent, positions and routes for navigation.",
            "description": _DESCRIPTION,
        },
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "paths": {
            "/v1/consents/{record_id}": {
                "parameters": [_record_id()],
                "put": _put_consent(),
                "get": _get_consent(),
            },
            "/v1/consents/{record_id}/withdrawals": {"parameters": [_record_id()], "post": _post_withdrawal()},
            "/v1/positions": {"post": _post_positions()},
            "/v1/routes": {"post": _post_routes()},
            "/v1/requests": {"post": _post_request()},
            "/v1/requests/{request_id}": {"parameters": [_id_of("request_id")], "get": _get_request()},
            "/v1/notice": {"get": _get_notice()},
        },
        "components": {
            "schemas": SCHEMAS,
            "responses": {"Problem": _content("An error.", _PROBLEM, "Problem")},
            "securitySchemes": {
                "record": {"type": "http", "scheme": "bearer", "description": "The access token of one record."},
                "enrolment": {"type": "http", "scheme": "bearer", "description": "The vendor's enrolment token."},
            },
        },
    }


def _put_consent() -> dict[str, Any]:
    return {
        "operationId": "registerConsent",
        "summary": "Register, renew or amend a grant.",
        "description": (
            "Signed by the device's key. Doing it again rotates the token, so that a lost answer heals. An epoch at or "
            "below one that ended is refused with 410; other terms under the same epoch, or another key, with 409; a "
            "minor's without evidence of a guardian's consent with 403 guardian-required."
        ),
        "security": [{}, {"enrolment": []}],
        "requestBody": _body(_JSON, "Registration"),
        "responses": {
            "200": _content("The record was known.", _JSON, "Registered"),
            "201": _content("The record is new.", _JSON, "Registered"),
            **_problems(401, 403, 409, 410, 413, 415, 422),
        },
    }


def _get_consent() -> dict[str, Any]:
    return {
        "operationId": "getConsent",
        "summary": "The grant as the service knows it.",
        "description": "How a withdrawal made elsewhere reaches the car.",
        "security": [{"record": []}],
        "parameters": [
            {"name": "If-None-Match", "in": "header", "required": False, "schema": {"type": "string"}},
        ],
        "responses": {
            "200": {
                **_content("What is known.", _JSON, "ConsentStatus"),
                "headers": {"ETag": {"required": True, "schema": {"type": "string"}}},
            },
            "304": {"description": "Nothing changed."},
            **_problems(401),
        },
    }


def _post_withdrawal() -> dict[str, Any]:
    return {
        "operationId": "withdrawConsent",
        "summary": "Withdraw consent: fence every epoch up to this one and drop its positions.",
        "description": (
            "Authenticated by the signature, not by a token, and accepted for records never seen before: a later "
            "registration must then carry the same key. Idempotent by notice_id. withdrawn_at is advisory and unsigned."
        ),
        "security": [{}],
        "requestBody": _body(_JSON, "WithdrawalNotice"),
        "responses": {
            "200": _content("Withdrawn. The answer is the acknowledgement.", _JSON, "Withdrawn"),
            **_problems(401, 409, 413, 415, 422),
        },
    }


def _post_positions() -> dict[str, Any]:
    return {
        "operationId": "sendPositions",
        "summary": "Send a batch of positions under a grant.",
        "description": (
            "Deduplicated by (Idempotency-Key, id): all retries of one batch carry the same key. A bad Feature is "
            "rejected by name and does not cost the batch. Gzip is accepted as Content-Encoding."
        ),
        "security": [{"record": []}],
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": True,
                "description": "A quoted string (RFC 8941).",
                "schema": {"type": "string", "pattern": '^"[ -~]{1,128}"$'},
            },
            {
                "name": "Content-Encoding",
                "in": "header",
                "required": False,
                "schema": {"type": "string", "enum": ["gzip", "identity"]},
            },
        ],
        "requestBody": _body(_GEOJSON, "PositionCollection"),
        "responses": {
            "202": _content("Accepted, but for what is rejected by name.", _JSON, "Accepted"),
            **_problems(400, 401, 403, 409, 410, 413, 415, 422, 429, 503),
        },
    }


def _post_routes() -> dict[str, Any]:
    return {
        "operationId": "route",
        "summary": "A route between two places; nothing of it is kept.",
        "description": (
            "Between two typed places neither consent nor token is needed. With a consent member the origin is the "
            "device's position: then the token and a grant of precise location are."
        ),
        "security": [{}, {"record": []}],
        "requestBody": _body(_JSON, "RouteRequest"),
        "responses": {
            "200": _content("The route.", _GEOJSON, "Route"),
            **_problems(401, 403, 409, 410, 413, 415, 422, 429, 503),
        },
    }


def _post_request() -> dict[str, Any]:
    return {
        "operationId": "askForRight",
        "summary": "Ask for deletion, access or an explanation.",
        "description": (
            "Authenticated by the signature, and about every record of that key. Idempotent by request_id: asking "
            "again tells the present state. Deletion ends the consents of the key; their fence stays."
        ),
        "security": [{}],
        "requestBody": _body(_JSON, "RightsRequest"),
        "responses": {
            "200": _content("Known; its present state.", _JSON, "RightsCase"),
            "201": _content("Received.", _JSON, "RightsCase"),
            **_problems(401, 409, 413, 415, 422),
        },
    }


def _get_request() -> dict[str, Any]:
    return {
        "operationId": "getRequest",
        "summary": "How far a rights request has come.",
        "security": [{"record": []}],
        "responses": {"200": _content("Its present state.", _JSON, "RightsCase"), **_problems(401, 404)},
    }


def _get_notice() -> dict[str, Any]:
    return {
        "operationId": "getNotice",
        "summary": "The notice in force.",
        "security": [{}],
        "parameters": [
            {
                "name": "locale",
                "in": "query",
                "required": False,
                "description": "A language tag: the text in it, or the nearest, instead of all of them.",
                "schema": {"type": "string"},
            }
        ],
        "responses": {
            "200": _content("The notice.", _JSON, "Notice"),
            "404": {"$ref": "#/components/responses/Problem"},
        },
    }


def _record_id() -> dict[str, Any]:
    return {**_id_of("record_id"), "description": "A random 128-bit pseudonym made by the device."}


def _id_of(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "schema": {"$ref": "#/components/schemas/Id"},
    }


def _body(media_type: str, schema: str) -> dict[str, Any]:
    return {"required": True, "content": {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}


def _content(description: str, media_type: str, schema: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
    }


def _problems(*statuses: int) -> dict[str, Any]:
    return {str(status): {"$ref": "#/components/responses/Problem"} for status in (*statuses, 500)}
