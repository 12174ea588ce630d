"""The gettext catalogues: which one a language gets, and how labels are put through it.

English is the source and needs none. A catalogue that nobody has reviewed is used only for exactly its language, as
the notice's text in it is.
"""

from __future__ import annotations

import gettext
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final, TypeVar

__all__ = ["DOMAIN", "DRAFTS", "LOCALES", "N_", "REVIEWED", "direction_of", "in_language", "labels", "translated"]

DOMAIN: Final = "kalos_connect"
LOCALES: Final = Path(__file__).resolve().parents[1] / "locale"
REVIEWED: Final = {"en": None, "zh": "zh_CN"}
"""Language -> its catalogue."""
DRAFTS: Final = {"es": "es", "pt-br": "pt_BR", "ar": "ar"}
"""Language tag -> a catalogue nobody has reviewed."""
_RIGHT_TO_LEFT: Final = frozenset({"ar", "fa", "he", "ur"})
_Labels = TypeVar("_Labels")


def N_(text: str) -> str:
    """Marks a text for translation."""
    return text


def in_language(english: _Labels, locale: str) -> _Labels:
    """A dataclass of English labels in the language of ``locale``; as it is where there is no catalogue."""
    tag = locale.replace("_", "-").lower()
    catalogue = DRAFTS.get(tag) or REVIEWED.get(tag.split("-")[0])
    if catalogue is None:
        return english
    return translated(english, gettext.translation(DOMAIN, LOCALES, [catalogue], fallback=True).gettext)


def translated(english: _Labels, translate: Callable[[str], str]) -> _Labels:
    """Every label through ``translate``."""
    found: Any = replace(english, **{name: translate(text) for name, text in labels(english).items()})  # type: ignore[type-var]
    return found  # type: ignore[no-any-return]


def labels(words: Any) -> dict[str, str]:
    """The labels of a dataclass, by name."""
    return {field.name: getattr(words, field.name) for field in fields(words)}


def direction_of(locale: str) -> str:
    """``rtl`` for a language that is written from right to left and has a catalogue, else ``ltr``."""
    tag = locale.replace("_", "-").lower()
    return "rtl" if tag in DRAFTS and tag.split("-")[0] in _RIGHT_TO_LEFT else "ltr"
