"""The notice as the service publishes it: ``GET /v1/notice``."""

from __future__ import annotations

from typing import Any

from ..core.notices.hashing import Change, fields_sha256
from ..model.notice import Notice, NoticeText

__all__ = ["notice_document"]


def notice_document(notice: Notice, locale: str | None, change: tuple[Change, ...] = ()) -> dict[str, Any]:
    """The notice in force, with all its texts or the one for ``locale``.

    ``change``: what differs from the notice before it, in the policy's six kinds, or in its wording alone;
    ``asks_again`` says whether a grant to that one still holds (R14).
    """
    texts = notice.texts if locale is None else (notice.text(locale),)
    return {
        "id": notice.id,
        "version": notice.version,
        "effective": notice.effective.isoformat(),
        "controller": {
            "id": notice.controller.id,
            "name": notice.controller.name,
            "contact": notice.controller.contact,
            "address": notice.controller.address,
            "department": notice.controller.department,
        },
        "purpose": notice.purpose,
        "data": list(notice.data),
        "method": list(notice.method),
        "recipients": list(notice.recipients),
        "rights": list(notice.rights),
        "assessment": notice.assessment,
        "fields_sha256": fields_sha256(notice),
        "change": [kind.value for kind in change],
        "asks_again": any(kind.asks_again for kind in change),
        "texts": [_text(text) for text in texts],
    }


def _text(text: NoticeText) -> dict[str, Any]:
    return {
        "locale": text.locale,
        "title": text.title,
        "who": text.who,
        "what": text.what,
        "why": text.why,
        "how_to_stop": text.how_to_stop,
        "allow": text.allow,
        "deny": text.deny,
        "full": text.full,
        "reviewed": text.reviewed,
    }
