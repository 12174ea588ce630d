"""What a grant pins of a notice, and what a change of it means (R14).

Two hashes with two meanings: the one of what was *shown* is evidence; the one of the machine-readable
*fields* decides whether a grant still covers what is done. Wording and language do not invalidate; purpose,
data, method, controller and recipients do.
"""

from __future__ import annotations

import hashlib
from enum import Enum
from typing import Any

from ...model.notice import Notice, NoticeText
from ..canonical import canonical

__all__ = ["Change", "changes", "fields", "fields_sha256", "shown_sha256"]


class Change(Enum):
    """What differs between two versions of a notice, in the six kinds of the policy's section on updates."""

    PROCESSING = "processing"
    """(1) purpose, kinds of data, method."""
    CONTROLLER = "controller"
    """(2) who owns or controls."""
    RECIPIENTS = "recipients"
    """(3) the main recipients."""
    RIGHTS = "rights"
    """(4) a person's rights, and how they are used."""
    CONTACT = "contact"
    """(5) how the controller and the department that answers are named and reached."""
    ASSESSMENT = "assessment"
    """(6) the assessment of a high risk."""
    WORDING = "wording"
    """The rest, which is none of the six: the words of the text, its version and dates."""

    @property
    def asks_again(self) -> bool:
        """True when a grant to the old notice does not cover the new one; otherwise people are told, not asked."""
        return self in (Change.PROCESSING, Change.CONTROLLER, Change.RECIPIENTS)


def shown_sha256(text: NoticeText, notice: Notice) -> str:
    """Hex SHA-256 of everything a person was shown: the text with its labels, whose it is and of which version."""
    return _digest(
        {
            "v": 1,
            "notice": notice.id,
            "version": notice.version,
            "effective": notice.effective.isoformat(),
            "controller": _controller(notice),
            "locale": text.locale,
            "title": text.title,
            "who": text.who,
            "what": text.what,
            "why": text.why,
            "how_to_stop": text.how_to_stop,
            "allow": text.allow,
            "deny": text.deny,
            "full": text.full,
        }
    )


def fields(notice: Notice) -> dict[str, Any]:
    """The machine-readable facts consent is bound to. Their order and repetition mean nothing."""
    return {
        "purpose": notice.purpose,
        "data": sorted(set(notice.data)),
        "method": sorted(set(notice.method)),
        "controller": notice.controller.id,
        "recipients": sorted(set(notice.recipients)),
    }


def fields_sha256(notice: Notice) -> str:
    """Hex SHA-256 of :func:`fields`. A grant made under another value is invalidated (R14)."""
    return _digest({"v": 1, **fields(notice)})


def changes(before: Notice, after: Notice) -> tuple[Change, ...]:
    """What differs, in the order of :class:`Change`; empty when nothing does."""
    old, new = fields(before), fields(after)
    differs = {
        Change.PROCESSING: any(old[name] != new[name] for name in ("purpose", "data", "method")),
        Change.CONTROLLER: old["controller"] != new["controller"],
        Change.RECIPIENTS: old["recipients"] != new["recipients"],
        Change.RIGHTS: before.rights != after.rights,
        Change.CONTACT: _controller(before) != _controller(after),
        Change.ASSESSMENT: before.assessment != after.assessment,
        Change.WORDING: _wording(before) != _wording(after),
    }
    return tuple(change for change in Change if differs[change])


def _controller(notice: Notice) -> dict[str, Any]:
    controller = notice.controller
    known = {
        "id": controller.id,
        "name": controller.name,
        "contact": controller.contact,
        "address": controller.address,
    }
    if controller.department is not None:  # only then: what is pinned of notices without one stays what it is
        known["department"] = controller.department
    return known


def _wording(notice: Notice) -> tuple[Any, ...]:
    return (notice.id, notice.version, notice.effective, notice.texts, notice.policy_id, notice.policy_updated)


def _digest(document: dict[str, Any]) -> str:
    return hashlib.sha256(canonical(document)).hexdigest()
