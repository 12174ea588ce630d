"""The few words a prompt needs around the notice, in the languages the notice ships in.

The notice itself is never translated here: it is rendered verbatim (R14).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from ..model.consent import Duration, DurationKind, Purpose
from .catalogue import N_, in_language

__all__ = ["Words", "words_for"]


@dataclass(frozen=True, slots=True)
class Words:
    """One language's labels. ``days`` takes ``{n}``, ``choose`` takes ``{last}``."""

    purpose: str = N_("Purpose")
    recipient: str = N_("Sent to")
    navigation: str = N_("navigation")
    cross_border: str = N_("transfer to another country")
    this_drive: str = N_("This drive")
    days: str = N_("{n} days")
    one_day: str = N_("1 day")
    until_withdrawn: str = N_("Until I stop")
    how_long: str = N_("How long?")
    exactness: str = N_("How exactly?")
    precise: str = N_("Precise")
    approximate: str = N_("Approximate, an area of several square kilometres")
    only_approximate: str = N_("Approximate")
    show_full: str = N_("the full text")
    choose: str = N_("Type 1 to {last} and press Enter: ")
    again: str = N_("Nothing was chosen. ")
    answered: str = N_("Your answer was recorded.")
    policy: str = N_("The privacy policy")
    closed: str = N_("The question was closed. Nothing was allowed.")

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
    return in_language(Words(), locale)
