"""The notice: the text a person is shown, and the machine-readable facts consent is bound to (R14)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

__all__ = ["Controller", "Notice", "NoticeText"]


@dataclass(frozen=True, slots=True)
class Controller:
    """Who decides why and how location is used."""

    id: str
    name: str
    contact: str
    address: str | None = None
    department: str | None = None
    """Who inside answers for personal data."""


@dataclass(frozen=True, slots=True)
class NoticeText:
    """The notice in one language, rendered verbatim by every prompter.

    Layer 1 (each at most 120 Latin or 31 CJK characters): ``who``, ``what``, ``why``, ``how_to_stop``.
    Layer 2: ``full``. ``allow`` and ``deny`` are the two button labels, of equal weight.
    """

    locale: str
    title: str
    who: str
    what: str
    why: str
    how_to_stop: str
    allow: str
    deny: str
    full: str
    reviewed: bool = True


@dataclass(frozen=True, slots=True)
class Notice:
    """A versioned notice. What invalidates a grant is a change in ``purpose``, ``data``, ``method``,
    ``controller`` or ``recipients``; wording, language, rights, contact and assessment do not (R14)."""

    id: str
    version: str
    effective: date
    controller: Controller
    purpose: str
    data: tuple[str, ...]
    method: tuple[str, ...]
    recipients: tuple[str, ...]
    texts: tuple[NoticeText, ...]
    policy_id: str = ""
    policy_updated: date | None = None
    rights: tuple[str, ...] = ()
    """A person's rights and how to use them, one a text; empty: as the text says. A change is told, not asked about."""
    assessment: str = ""
    """The report that assesses a high risk, by name or number. A change is told, not asked about."""

    def text(self, locale: str | None) -> NoticeText:
        """The text for ``locale``: exact, then by language among reviewed ones, then the first. An unreviewed
        text is used only when chosen exactly."""
        wanted = (locale or "").replace("_", "-").lower()
        for text in self.texts:
            if text.locale.lower() == wanted:
                return text
        language = wanted.split("-")[0]
        for text in self.texts:
            if text.reviewed and language and text.locale.lower().split("-")[0] == language:
                return text
        return self.texts[0]
