"""The notice as the service publishes it, and what it means for the one this app shows (R14).

It is read strictly, and what cannot be read says nothing. It never replaces what a person is shown, and it can only
close: a later notice with other machine-readable fields means that nobody agreed to it yet; with the same fields it is
something to be told of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any, Final

from ...model.decision import Reason
from ...model.notice import Controller, Notice
from ..canonical import canonical
from ..strict_json import strict_json
from .hashing import Change, changes

__all__ = ["concerns", "dump", "forbids", "later", "load", "plain_version", "read_published"]

_TEXT_MAX: Final = 500
_LIST_MAX: Final = 50
_PLAIN: Final = re.compile(r"[A-Za-z0-9-]{1,32}(\.[0-9]{1,2}){0,3}", re.ASCII)


def read_published(document: Mapping[str, Any]) -> Notice | None:
    """The notice in a ``GET /v1/notice`` document, without its texts; None for what is none. The hash and the kinds of
    change that it names are not believed: they follow from the fields."""
    try:
        named = document["controller"]
        controller = Controller(
            id=_text(named["id"]),
            name=_text(named["name"]),
            contact=_text(named["contact"]),
            address=_maybe(named.get("address")),
            department=_maybe(named.get("department")),
        )
        return Notice(
            id=_text(document["id"]),
            version=_text(document["version"]),
            effective=date.fromisoformat(_text(document["effective"])),
            controller=controller,
            purpose=_text(document["purpose"]),
            data=_texts(document["data"]),
            method=_texts(document["method"]),
            recipients=_texts(document["recipients"]),
            texts=(),
            rights=_texts(document.get("rights", [])),
            assessment=_maybe(document.get("assessment")) or "",
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _text(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= _TEXT_MAX or not value.isprintable():
        raise ValueError("text")
    return value


def _maybe(value: object) -> str | None:
    return None if value is None or value == "" else _text(value)


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > _LIST_MAX:
        raise ValueError("list")
    return tuple(_text(item) for item in value)


def concerns(theirs: Notice, ours: Mapping[str, Notice]) -> str | None:
    """Which of ``ours`` (purpose -> notice) it stands for: the one of its id, whatever its purpose is now, else the
    one of its purpose; None for another matter."""
    for purpose, notice in ours.items():
        if notice.id == theirs.id:
            return purpose
    return theirs.purpose if theirs.purpose in ours else None


def later(theirs: Notice, ours: Notice) -> tuple[Change, ...]:
    """What a notice that is not older than ours changes, of the policy's six kinds and the wording."""
    if theirs.effective < ours.effective:
        return ()
    same_words = replace(theirs, texts=ours.texts, policy_id=ours.policy_id, policy_updated=ours.policy_updated)
    return changes(ours, same_words)


def forbids(theirs: Notice, ours: Notice) -> Reason | None:
    """Why a consent to ``ours`` does not cover what the service does now; None when it does."""
    kinds = later(theirs, ours)
    if Change.CONTROLLER in kinds:
        return Reason.CONTROLLER_CHANGED
    return Reason.NOTICE_CHANGED if any(kind.asks_again for kind in kinds) else None


def plain_version(theirs: Notice) -> str | None:
    """Its version where it is repeated to people: short, and nothing that could be a place (R10)."""
    return theirs.version if _PLAIN.fullmatch(theirs.version) else None


# -- kept ----------------------------------------------------------------------------------------


def dump(origin: str, notice: Notice) -> str:
    """To be kept: which service said so, and what :func:`read_published` needs."""
    controller = notice.controller
    document = {
        "origin": origin,
        "id": notice.id,
        "version": notice.version,
        "effective": notice.effective.isoformat(),
        "controller": {
            "id": controller.id,
            "name": controller.name,
            "contact": controller.contact,
            "address": controller.address,
            "department": controller.department,
        },
        "purpose": notice.purpose,
        "data": list(notice.data),
        "method": list(notice.method),
        "recipients": list(notice.recipients),
        "rights": list(notice.rights),
        "assessment": notice.assessment,
    }
    return canonical(document).decode()


def load(text: str, origin: str) -> Notice | None:
    """The inverse; None for another service's word, and for what cannot be read."""
    document: Any = None
    try:
        document = strict_json(text.encode())
    except ValueError:
        pass
    if not isinstance(document, dict) or document.get("origin") != origin:
        return None
    return read_published(document)
