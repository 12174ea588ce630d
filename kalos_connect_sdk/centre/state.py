"""What the consent centre shows, as one document: plain values, labels included, no coordinate (R10).

While the vehicle is not known to be parked it holds the indicator and nothing to read (R12).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from ..model.consent import Permission, PermissionState, Precision, Purpose
from ..model.rights import HourOfUse, RequestKind, RequestStatus, RightsRequest
from .words import CentreWords

__all__ = ["indicator", "reading", "strip"]

_STATES: Final = {
    PermissionState.DEFERRED: "deferred",
    PermissionState.DENIED: "denied",
    PermissionState.UNAVAILABLE: "unavailable",
}
_CLOSED_FROM_OUTSIDE: Final = (PermissionState.DENIED, PermissionState.UNAVAILABLE)
"""A grant may stand behind these all the same: R11, it can be stopped in any state."""
_STATUSES: Final = {
    RequestStatus.PENDING: "pending",
    RequestStatus.RECEIVED: "received",
    RequestStatus.IDENTITY_PENDING: "identity",
    RequestStatus.COMPLETED: "completed",
    RequestStatus.REFUSED: "refused",
}
_KINDS: Final = {
    RequestKind.DELETION: "deletion",
    RequestKind.ACCESS: "access",
    RequestKind.EXPLANATION: "explanation",
}


def indicator(present: Permission, sharing: bool, words: CentreWords) -> dict[str, Any]:
    """On or off, in a sentence; and whether there is something to stop."""
    told = words.sharing if sharing else words.granted
    if not present.granted:
        told = getattr(words, _STATES.get(present.state, "off"))
    more = []
    if present.granted and present.precision is Precision.APPROXIMATE:
        more.append(words.approximate)
    if present.granted and present.expires_at is not None:
        more.append(words.until.format(date=_local(present.expires_at)))
    return {
        "on": present.granted,
        "sharing": sharing,
        "told": told,
        "more": more,
        "stop": present.granted or present.state in _CLOSED_FROM_OUTSIDE,
    }


def reading(
    use: Sequence[HourOfUse], receipts: Sequence[dict[str, Any]], requests: Sequence[RightsRequest], now: datetime,
    words: CentreWords,
) -> dict[str, Any]:  # fmt: skip
    """The strips, the receipts newest first, and what was asked for."""
    return {
        "day": {"label": words.last_day, "bars": strip(use, now, 24, timedelta(hours=1)), **_sum(use, now, 1, words)},
        "week": {"label": words.last_week, "bars": strip(use, now, 7, timedelta(days=1)), **_sum(use, now, 7, words)},
        "receipts": [_receipt(receipt) for receipt in reversed(receipts)],
        "requests": [_request(request, words) for request in reversed(requests)],
    }


def strip(use: Sequence[HourOfUse], now: datetime, count: int, width: timedelta) -> list[int]:
    """Positions in each of the last ``count`` stretches of ``width``, oldest first; the last one ends ``now``."""
    bars = [0] * count
    for hour in use:
        if hour.purpose is Purpose.NAVIGATION:
            back = int((now - hour.start) / width)
            if 0 <= back < count:
                bars[count - 1 - back] += hour.positions
    return bars


def _sum(use: Sequence[HourOfUse], now: datetime, days: int, words: CentreWords) -> dict[str, str]:
    since = now - timedelta(days=days)
    return {"total": words.positions.format(n=sum(hour.positions for hour in use if hour.start > since))}


def _receipt(receipt: dict[str, Any]) -> dict[str, str]:
    last = receipt["dpv:hasConsentStatus"][-1]
    return {
        "id": str(receipt["dct:identifier"]),
        "purpose": str(receipt["kc:purpose"]),
        "precision": str(receipt["kc:precision"]),
        "given": _local(datetime.fromisoformat(receipt["dct:created"])),
        "status": str(last["@type"]).removeprefix("dpv:"),
    }


def _request(request: RightsRequest, words: CentreWords) -> dict[str, str]:
    state = getattr(words, _STATUSES[request.status])
    if request.status.open:
        state += ", " + words.due.format(date=f"{request.due_at:%Y-%m-%d}")
    elif request.status is RequestStatus.REFUSED and request.refusal_reason:
        state += f": {request.refusal_reason}"
    return {
        "kind": getattr(words, _KINDS[request.kind]),
        "told": words.asked.format(date=_local(request.made_at), state=state),
        "contact": request.contact,
    }


def _local(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"
