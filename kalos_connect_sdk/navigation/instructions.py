"""Whose words tell a manoeuvre, in which language.

Engines differ in the languages they know (Valhalla has no Chinese and answers in English without saying so, OSRM says
nothing at all), so sentences are made here, from the kinds of manoeuvre, the same for every engine: in our words where
they are reviewed, else in the engine's own where it truly speaks the language, else in our draft, else in English.
"""

from __future__ import annotations

from typing import Final

from . import words_ar, words_en, words_es, words_pt_br, words_zh_cn
from .words import Catalogue

__all__ = ["CATALOGUES", "KINDS", "catalogue", "chosen", "has", "language"]

CATALOGUES: Final = tuple(each.WORDS for each in (words_en, words_zh_cn, words_es, words_pt_br, words_ar))
KINDS: Final = frozenset(words_en.WORDS.plain)
"""Every kind of manoeuvre there is a sentence for."""


def catalogue(locale: str) -> Catalogue:
    """Our own words for a language tag, drafts included; English for a language we do not write."""
    return _BY_LANGUAGE.get(language(locale), words_en.WORDS)


def has(locale: str) -> bool:
    """True when our own words in this language are reviewed."""
    return language(locale) in _BY_LANGUAGE and catalogue(locale).reviewed


def chosen(locale: str, spoken: str) -> Catalogue | None:
    """The words for ``locale``; None for the engine's own, which speaks ``spoken`` (empty: it says nothing)."""
    if not has(locale) and spoken and language(spoken) == language(locale):
        return None
    return catalogue(locale)


def language(locale: str) -> str:
    """The language of a tag, in lower case; traditional Chinese is one of its own."""
    parts = locale.replace("_", "-").lower().split("-")
    if parts[0] == "zh" and ("hant" in parts or {"tw", "hk", "mo"} & set(parts[1:])):
        return "zh-hant"  # another script: not ours to pretend
    return parts[0]


_BY_LANGUAGE: Final[dict[str, Catalogue]] = {language(words.locale): words for words in CATALOGUES}
