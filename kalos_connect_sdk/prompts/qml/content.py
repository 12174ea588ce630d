"""What a prompt shows, as plain values for QML: the notice verbatim, its labels from the catalogue (R12, R14)."""

from __future__ import annotations

from typing import Any

from ...model.consent import Precision
from ...ports import PromptRequest
from ..catalogue import direction_of
from ..words import words_for

__all__ = ["content_of", "precisions_of"]


def content_of(request: PromptRequest, code: str) -> dict[str, Any]:
    """Everything on the page, in the order it is read. ``code``: the policy's QR code as a data URL, or nothing."""
    text, words = request.text, words_for(request.text.locale)
    facts = [words.purpose, words.named(request.purpose)]
    if request.service_origin:
        facts += [words.recipient, request.service_origin]
    names = {Precision.PRECISE: words.precise, Precision.APPROXIMATE: words.approximate}
    offered = precisions_of(request)
    return {
        "rightToLeft": direction_of(text.locale) == "rtl",
        "title": text.title,
        "elements": [text.who, text.what, text.why, text.how_to_stop],
        "facts": facts,
        "howLong": words.how_long,
        "durations": [words.duration(duration) for duration in request.durations],
        "howExactly": words.exactness,
        "precisions": [names[one] for one in offered] if len(offered) > 1 else [words.only_approximate],
        "showFull": words.show_full,
        "full": text.full.strip().split("\n\n"),
        "policy": words.policy,
        "code": code,
        "allow": text.allow,
        "deny": text.deny,
    }


def precisions_of(request: PromptRequest) -> tuple[Precision, ...]:
    """What may be chosen: an answer never exceeds what was asked (R15)."""
    if request.precision is Precision.APPROXIMATE:
        return (Precision.APPROXIMATE,)
    return (Precision.PRECISE, Precision.APPROXIMATE)
