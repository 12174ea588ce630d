"""When a rights request is due, and what a service's word on it means.

- The policy promises an answer within 30 days; the law may be quicker. Location data collected in mainland China
  is to be deleted within 10 working days (Provisions on Automotive Data Security, 2021), and the European rule is
  one month. The earliest counts.
- Working days are Monday to Friday: public holidays would only make it later.
- Nothing but a readable answer moves a request on; a refusal without a reason is kept and flagged.
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ..model.rights import RequestKind, RequestStatus

__all__ = ["Word", "due", "word_of"]

POLICY: Final = timedelta(days=30)
WORKING_DAYS: Final = 10
_TEXT_MAX: Final = 2000
_MEMBERS_MAX: Final = 20


def due(made_at: datetime, jurisdiction: str) -> datetime:
    """By when an answer is owed to a request of ``made_at`` (aware). ``jurisdiction``: ISO 3166 code."""
    dates = [made_at + POLICY, _one_month_after(made_at)]
    if jurisdiction == "CN":
        dates.append(_working_days_after(made_at, WORKING_DAYS))
    return min(dates)


def _one_month_after(start: datetime) -> datetime:
    year, month = (start.year + 1, 1) if start.month == 12 else (start.year, start.month + 1)
    return start.replace(year=year, month=month, day=min(start.day, calendar.monthrange(year, month)[1]))


def _working_days_after(start: datetime, count: int) -> datetime:
    day = start
    while count:
        day += timedelta(days=1)
        count -= day.weekday() < 5
    return day


@dataclass(frozen=True, slots=True)
class Word:
    """What a service said of a request."""

    status: RequestStatus
    due_at: datetime | None
    outcome: Mapping[str, Any] | None
    refusal_code: str | None
    refusal_reason: str | None


_SAID: Final = {status.value: status for status in RequestStatus if status is not RequestStatus.PENDING}


def word_of(document: object, request_id: str, kind: RequestKind) -> Word | None:
    """A service's answer about the request ``request_id``; None when it is no acknowledgement of it.

    Every text is bounded; numbers and texts of an ``outcome`` are kept, anything else in it is left out.
    """
    if not isinstance(document, Mapping) or document.get("request_id") != request_id:
        return None
    status = document.get("status")
    known = _SAID.get(status) if isinstance(status, str) else None
    if known is None or document.get("kind") != kind.value:
        return None
    refusal = document.get("refusal")
    refusal = refusal if isinstance(refusal, Mapping) and known is RequestStatus.REFUSED else {}
    return Word(
        known, _time(document.get("due_at")), _outcome(document.get("outcome")), _text(refusal.get("code")),
        _text(refusal.get("reason")),
    )  # fmt: skip


def _time(value: object) -> datetime | None:
    try:
        read = datetime.fromisoformat(value) if isinstance(value, str) and len(value) <= 40 else None
    except ValueError:
        return None
    return read.astimezone(UTC) if read is not None and read.tzinfo is not None and 1970 < read.year < 9000 else None


def _text(value: object) -> str | None:
    return value[:_TEXT_MAX] if isinstance(value, str) and value else None


def _outcome(value: object) -> dict[str, Any] | None:
    if not isinstance(value, Mapping):
        return None
    kept: dict[str, Any] = {}
    for name, item in list(value.items())[:_MEMBERS_MAX]:
        if isinstance(name, str) and len(name) <= 64 and isinstance(item, (str, int)):
            kept[name] = item[:_TEXT_MAX] if isinstance(item, str) else item
    return kept
