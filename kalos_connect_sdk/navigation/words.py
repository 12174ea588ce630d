"""One language of instructions: a sentence a manoeuvre, from its kind and street."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Catalogue"]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """``plain`` has a sentence for every kind, ``onto`` for those that lead onto a named street. ``reviewed``: somebody
    who speaks the language has read it."""

    locale: str
    reviewed: bool
    plain: Mapping[str, str]
    onto: Mapping[str, str]
    joined: str

    def say(self, kind: str, *, streets: tuple[str, ...] = (), exit_number: int | None = None) -> str:
        """The sentence for a manoeuvre. ``exit_number`` counts the exits of a roundabout, from 1."""
        if kind == "roundabout" and exit_number is None:
            kind = "roundabout-uncounted"
        kind = kind if kind in self.plain else "continue"
        street = self.joined.join(streets[:2])
        pattern = self.onto.get(kind, self.plain[kind]) if street else self.plain[kind]
        return pattern.format(street=street, exit=self._exit(exit_number))

    def _exit(self, number: int | None) -> str:
        if number is None:
            return ""
        if self.locale == "en":
            ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
            return f"{number}{ending}"
        return str(number)
