"""Rights requests as a service keeps them: who may ask, what is done at once, what is told (sections 5 and 7).

* A request is authenticated by its signature alone, so it works when every token is gone; it is about every record
  registered with that key, and about no other.
* Asked twice is done once: the answer to a known request is its present state.
* Deletion ends the consents of the key and drops positions and records; what stays is the fence, which keeps a late
  position out (R6).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from ..core.record import request_message
from ..core.rights import due
from ..model.rights import DeletionReason, RequestKind, RequestStatus
from .refusal import Refusal
from .rules import check_id, check_signature, object_of, text_of

__all__ = ["Asked", "Case", "decided", "opened"]

_EXPLANATION: Final = (
    "A route is computed from its two ends, the map and the traffic rules alone. Nothing about you is decided "
    "automatically, and nothing of a route is kept."
)


@dataclass(frozen=True, slots=True, repr=False)
class Asked:
    """The body of ``POST /v1/requests`` after its shape and signature were checked."""

    request_id: str
    kind: RequestKind
    reason: DeletionReason | None
    made_at: str
    public_key: str

    def __repr__(self) -> str:
        return f"<Asked {self.kind.value}>"  # R10

    @classmethod
    def read(cls, document: Any) -> Asked:
        """Raises :class:`Refusal`: 422 for the shape, 401 for the signature."""
        body = object_of(document)
        request_id = check_id(text_of(body, "request_id", 64), "request_id")
        kind = _member(body, "kind", {kind.value: kind for kind in RequestKind})
        reasons = {reason.value: reason for reason in DeletionReason}
        reason = _member(body, "reason", reasons) if kind is RequestKind.DELETION else None
        if kind is not RequestKind.DELETION and body.get("reason") is not None:
            raise Refusal(422, "malformed-document", member="reason")
        made_at, public_key = text_of(body, "made_at", 40), text_of(body, "public_key", 128)
        named = reason.value if reason is not None else None
        check_signature(body, public_key, request_message(request_id, kind.value, named, made_at, public_key))
        return cls(request_id, kind, reason, made_at, public_key)


def _member(body: Mapping[str, Any], name: str, known: Mapping[str, Any]) -> Any:
    value = text_of(body, name, 64)
    if value not in known:
        raise Refusal(422, "malformed-document", member=name)
    return known[value]


@dataclass(frozen=True, slots=True, repr=False)
class Case:
    """One request as the service keeps it."""

    request_id: str
    kind: RequestKind
    reason: DeletionReason | None
    public_key: str
    status: RequestStatus
    received_at: str
    due_at: str
    outcome: Mapping[str, Any] | None = None
    refusal_code: str | None = None
    refusal_reason: str | None = None

    def __repr__(self) -> str:
        return f"<Case {self.kind.value} {self.status.value}>"  # R10

    def document(self) -> dict[str, Any]:
        """The body of an answer about it."""
        body: dict[str, Any] = {
            "request_id": self.request_id,
            "kind": self.kind.value,
            "status": self.status.value,
            "received_at": self.received_at,
            "due_at": self.due_at,
        }
        if self.outcome is not None:
            body["outcome"] = dict(self.outcome)
        if self.status is RequestStatus.REFUSED:
            body["refusal"] = {"code": self.refusal_code or "", "reason": self.refusal_reason or ""}
        return body


def opened(asked: Asked, now_s: float, jurisdiction: str) -> Case:
    """A new case, received now (seconds since 1970), due by the earliest of policy and law."""
    now = datetime.fromtimestamp(now_s, UTC)
    return Case(
        asked.request_id,
        asked.kind,
        asked.reason,
        asked.public_key,
        RequestStatus.RECEIVED,
        now.isoformat(timespec="seconds"),
        due(now, jurisdiction).isoformat(timespec="seconds"),
    )


def decided(case: Case, *, records: int, positions: int, statuses: str) -> Case:
    """The case carried out: what was deleted, what is held, or how routes are made."""
    outcome: dict[str, Any] = {"records": records, "positions": positions}
    if case.kind is RequestKind.ACCESS:
        outcome["statuses"] = statuses
    elif case.kind is RequestKind.EXPLANATION:
        outcome = {"text": _EXPLANATION}
    return replace(case, status=RequestStatus.COMPLETED, outcome=outcome)
