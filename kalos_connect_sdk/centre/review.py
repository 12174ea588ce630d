"""The review after a drive in a person's words: plain values, no coordinate (R10, R12)."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from ..model.consent import Purpose
from ..model.review import DriveOutcome, DriveReview, Outcome
from .words import ReviewWords

__all__ = ["review_document", "sentence"]

_REVOKED_BY: Final = ("service", "os", "vehicle", "profile")


def review_document(review: DriveReview, words: ReviewWords) -> dict[str, Any]:
    """Its lines, the latest first, and what to say when they have been read."""
    lines = [{"told": sentence(line, words), "when": _when(line)} for line in reversed(review.outcomes)]
    return {"lines": lines, "upto": review.upto}


def sentence(line: DriveOutcome, words: ReviewWords) -> str:
    """What happened, and how often."""
    name = line.outcome.value
    if line.outcome is Outcome.REVOKED and line.by in _REVOKED_BY:
        name = f"revoked_by_{line.by}"
    told: str = getattr(words, name)
    if line.purpose is Purpose.CROSS_BORDER_TRANSFER:
        told = f"{words.abroad}: {told}"
    return told if line.times == 1 else f"{told} ({words.times.format(n=line.times)})"


def _when(line: DriveOutcome) -> str:
    first, last = _local(line.first_at), _local(line.last_at)
    return last if first == last else f"{first} - {last}"


def _local(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"
