"""What the consent centre shows, as one document: plain values, labels included, no coordinate (R10).

While the vehicle is not known to be parked it holds the indicator and nothing to read (R12).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from ..model.consent import Permission, PermissionState, Precision, Purpose
from ..model.rights import HourOfUse, RequestKind, RequestStatus, RightsRequest
from ..prompts.words import Words
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
_CONSENTS: Final = {
    "dpv:ConsentGiven": "given",
    "dpv:RenewedConsentGiven": "renewed",
    "dpv:ConsentWithdrawn": "withdrawn",
    "dpv:ConsentRevoked": "revoked",
    "dpv:ConsentExpired": "expired",
    "dpv:ConsentInvalidated": "invalidated",
}


def indicator(
    granted: Mapping[Purpose, Permission], sharing: bool, words: CentreWords, names: Words
) -> dict[str, Any]:  # fmt: skip
    """On or off, in a sentence; what is granted for each purpose; and whether there is something to stop."""
    present = granted[Purpose.NAVIGATION]
    told = words.sharing if sharing else words.granted
    if not present.granted:
        told = getattr(words, _STATES.get(present.state, "off"))
    return {
        "on": present.granted,
        "sharing": sharing,
        "told": told,
        "more": [_allowed(purpose, one, words, names) for purpose, one in granted.items() if one.granted],
        "stop": any(one.granted for one in granted.values()) or present.state in _CLOSED_FROM_OUTSIDE,
    }


def _allowed(purpose: Purpose, granted: Permission, words: CentreWords, names: Words) -> str:
    told = words.allowed.format(purpose=names.named(purpose), precision=_exactness(granted.precision, names))
    if granted.expires_at is not None:
        told += ". " + words.until.format(date=_local(granted.expires_at))
    return told


def _exactness(precision: Precision | None, names: Words) -> str:
    return names.only_approximate if precision is Precision.APPROXIMATE else names.precise


def reading(
    use: Sequence[HourOfUse], receipts: Sequence[dict[str, Any]], requests: Sequence[RightsRequest], now: datetime,
    words: CentreWords, names: Words,
) -> dict[str, Any]:  # fmt: skip
    """The strips, the receipts newest first, and what was asked for."""
    return {
        "day": _strips(words.last_day, use, now, 24, timedelta(hours=1), words, names),
        "week": _strips(words.last_week, use, now, 7, timedelta(days=1), words, names),
        "receipts": [_receipt(receipt, words, names) for receipt in reversed(receipts)],
        "requests": [_request(request, words) for request in reversed(requests)],
    }


def _strips(
    label: str, use: Sequence[HourOfUse], now: datetime, count: int, width: timedelta, words: CentreWords, names: Words
) -> list[dict[str, Any]]:  # fmt: skip
    """One strip a purpose: navigation always, another when it was used."""
    shown = [purpose for purpose in Purpose if purpose is Purpose.NAVIGATION or any(h.purpose is purpose for h in use)]
    found = []
    for purpose in shown:
        bars = strip([hour for hour in use if hour.purpose is purpose], now, count, width)
        total = words.positions.format(purpose=names.named(purpose), n=sum(bars))
        found.append({"label": label, "bars": bars, "total": total})
    return found


def strip(use: Sequence[HourOfUse], now: datetime, count: int, width: timedelta) -> list[int]:
    """Positions in each of the last ``count`` stretches of ``width``, oldest first; the last one ends ``now``."""
    bars = [0] * count
    for hour in use:
        back = int((now - hour.start) / width)
        if 0 <= back < count:
            bars[count - 1 - back] += hour.positions
    return bars


def _receipt(receipt: dict[str, Any], words: CentreWords, names: Words) -> str:
    """When, for what, how exactly, what became of it, and the number it has in the record."""
    parts = (
        _local(datetime.fromisoformat(receipt["dct:created"])),
        names.named(Purpose(receipt["kc:purpose"])),
        _exactness(Precision(receipt["kc:precision"]), names),
        getattr(words, _CONSENTS[receipt["dpv:hasConsentStatus"][-1]["@type"]]),
        str(receipt["dct:identifier"]),
    )
    return " · ".join(parts)


def _request(request: RightsRequest, words: CentreWords) -> dict[str, str]:
    state = getattr(words, _STATUSES[request.status])
    if request.status.open:
        state += ", " + words.due.format(date=f"\u2066{request.due_at:%Y-%m-%d}\u2069")
    elif request.status is RequestStatus.REFUSED and request.refusal_reason:
        state += f": {request.refusal_reason}"
    return {
        "kind": getattr(words, _KINDS[request.kind]),
        "told": words.asked.format(date=_local(request.made_at), state=state),
        "contact": request.contact,
    }


def _local(moment: datetime) -> str:
    """Isolated: among Arabic letters a date would be turned around."""
    return f"\u2066{moment.astimezone():%Y-%m-%d %H:%M}\u2069"
