"""What a registered record says was agreed to: the few facts the service acts on (R14, R15).

A record that does not say them, or says them about another record or epoch, registers nothing (R1).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from .refusal import Refusal

__all__ = ["Terms", "terms_of"]

_SHA256: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_WORD: Final = re.compile(r"[a-z][a-z0-9-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Terms:
    """Purpose and precision by their wire names, the two notice hashes, and the end in seconds since 1970."""

    purpose: str
    precision: str
    notice_sha256: str
    fields_sha256: str
    expires_s: float | None
    guardian: bool = False
    """It names evidence of a guardian's consent (R17)."""

    def over(self, now_s: float) -> bool:
        """True when the grant has an end and it has come, by the service's own clock (R13)."""
        return self.expires_s is not None and now_s >= self.expires_s


def terms_of(record: Mapping[str, Any], record_id: str, epoch: int) -> Terms:
    """The terms in a JSON-LD consent record. Raises :class:`Refusal` 422 naming the member that is wrong."""
    if record.get("kc:record") != record_id or record.get("kc:epoch") != epoch:
        raise _incomplete("kc:epoch")
    notice = record.get("dpv:hasNotice")
    if not isinstance(notice, Mapping):
        raise _incomplete("dpv:hasNotice")
    precision = record.get("kc:precision")
    if precision not in ("precise", "approximate"):
        raise _incomplete("kc:precision")
    return Terms(
        purpose=_match(record, "kc:purpose", _WORD),
        precision=str(precision),
        notice_sha256=_match(notice, "kc:textSha256", _SHA256),
        fields_sha256=_match(notice, "kc:fieldsSha256", _SHA256),
        expires_s=_expiry(record),
        guardian=_guardian(record),
    )


def _incomplete(member: str) -> Refusal:
    return Refusal(422, "record-incomplete", member=member)


def _match(members: Mapping[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    value = members.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise _incomplete(name)
    return value


def _guardian(record: Mapping[str, Any]) -> bool:
    statuses = record.get("dpv:hasConsentStatus")
    given = statuses[0] if isinstance(statuses, list) and statuses else None
    evidence = given.get("kc:guardianEvidence") if isinstance(given, Mapping) else None
    return isinstance(evidence, str) and bool(evidence.strip())


def _expiry(record: Mapping[str, Any]) -> float | None:
    """The end of a grant until a time; one until an event (a drive, a withdrawal) has none."""
    statuses = record.get("dpv:hasConsentStatus")
    given = statuses[0] if isinstance(statuses, list) and statuses else None
    duration = given.get("dpv:hasDuration") if isinstance(given, Mapping) else None
    if not isinstance(duration, Mapping):
        raise _incomplete("dpv:hasDuration")
    if duration.get("@type") != "dpv:UntilTimeDuration":
        return None
    text, at = duration.get("rdf:value"), None
    if isinstance(text, str):
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            pass
    if at is None or at.utcoffset() is None:
        raise _incomplete("dpv:hasDuration")
    return at.timestamp()
