"""The few words a prompt needs around the notice, in the languages the notice ships in.

The notice itself is never translated here: it is rendered verbatim (R14). The words are gettext catalogues under
``locale/``; the English text is the key. A catalogue that nobody has reviewed is used only for a notice in exactly
that language, as its text is.
"""

from __future__ import annotations

import gettext
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Final

from ..model.consent import Duration, DurationKind, Purpose

__all__ = ["DOMAIN", "LOCALES", "REVIEWED", "RIGHT_TO_LEFT", "Words", "words_for"]

DOMAIN: Final = "kalos_connect"
LOCALES: Final = Path(__file__).resolve().parents[1] / "locale"
REVIEWED: Final = {"en": None, "zh": "zh_CN"}
"""Language -> its catalogue; English is the source and needs none."""
DRAFTS: Final = {"es": "es", "pt-br": "pt_BR", "ar": "ar"}
"""Language tag -> a catalogue nobody has reviewed."""
RIGHT_TO_LEFT: Final = frozenset({"ar", "fa", "he", "ur"})


def N_(text: str) -> str:
    """Marks a text for translation."""
    return text


@dataclass(frozen=True, slots=True)
class Words:
    """One language's labels. ``days`` takes ``{n}``, ``choose`` takes ``{last}``."""

    purpose: str = N_("Purpose")
    recipient: str = N_("Sent to")
    navigation: str = N_("navigation")
    cross_border: str = N_("transfer to another country")
    this_drive: str = N_("this drive")
    days: str = N_("{n} days")
    one_day: str = N_("1 day")
    until_withdrawn: str = N_("until I stop it")
    how_long: str = N_("How long?")
    exactness: str = N_("How exactly?")
    precise: str = N_("precise location")
    approximate: str = N_("approximate location, an area of several square kilometres")
    only_approximate: str = N_("approximate location")
    show_full: str = N_("the full text")
    choose: str = N_("Type 1 to {last} and press Enter: ")
    again: str = N_("Nothing was chosen. ")
    answered: str = N_("Your answer was recorded.")
    policy: str = N_("The privacy policy")
    closed: str = N_("The question was closed. Nothing was allowed.")
    direction: str = "ltr"
    """``rtl`` for a language that is written from right to left."""

    def duration(self, duration: Duration) -> str:
        """How long, as a person says it."""
        if duration.kind is DurationKind.THIS_DRIVE:
            return self.this_drive
        if duration.kind is DurationKind.UNTIL_WITHDRAWN:
            return self.until_withdrawn
        return self.one_day if duration.day_count == 1 else self.days.format(n=duration.day_count)

    def named(self, purpose: Purpose) -> str:
        """A purpose, as a person says it."""
        return self.cross_border if purpose is Purpose.CROSS_BORDER_TRANSFER else self.navigation


@cache
def words_for(locale: str) -> Words:
    """The labels that go with a notice in ``locale``; English where there are none."""
    tag = locale.replace("_", "-").lower()
    catalogue = DRAFTS.get(tag) or REVIEWED.get(tag.split("-")[0])
    if catalogue is None:
        return Words()
    return translated(gettext.translation(DOMAIN, LOCALES, [catalogue], fallback=True).gettext, tag)


def translated(translate: Callable[[str], str], tag: str) -> Words:
    """Every label through ``translate``."""
    english = Words()
    labels = {
        field.name: translate(getattr(english, field.name)) for field in fields(Words) if field.name != "direction"
    }
    return replace(english, **labels, direction="rtl" if tag.split("-")[0] in RIGHT_TO_LEFT else "ltr")
