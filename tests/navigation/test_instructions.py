"""Instructions in the languages we write ourselves, and whose words are used where."""

from __future__ import annotations

import string

import pytest

from kalos_connect_sdk.navigation.instructions import CATALOGUES, KINDS, catalogue, chosen, has

ENGLISH = catalogue("en")
TAGS = ["en", "zh-CN", "es", "pt-BR", "ar"]
LEFT_RIGHT = {
    "en": ("left", "right"),
    "zh-CN": ("左", "右"),
    "es": ("izquierda", "derecha"),
    "pt-BR": ("esquerda", "direita"),
    "ar": ("يس", "يم"),
}


def test_the_languages_and_who_has_read_them():
    assert [words.locale for words in CATALOGUES] == TAGS
    assert {words.locale for words in CATALOGUES if words.reviewed} == {"en", "zh-CN"}


@pytest.mark.parametrize("locale", TAGS)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_has_a_sentence_with_and_without_a_street(locale, kind):
    words = catalogue(locale)
    assert words.locale == locale
    plain = words.say(kind, exit_number=2)
    onto = words.say(kind, streets=("Mannerheimintie", "E 12", "third"), exit_number=2)
    for sentence in (plain, onto):
        assert sentence[-1] in ".。" and "{" not in sentence and "third" not in sentence
    assert "Mannerheimintie" not in plain
    assert (onto == plain) or "Mannerheimintie" in onto


@pytest.mark.parametrize("words", CATALOGUES, ids=lambda words: words.locale)
def test_every_language_knows_the_same_kinds_and_uses_the_same_fields(words):
    assert words.plain.keys() == ENGLISH.plain.keys()
    assert words.onto.keys() == ENGLISH.onto.keys() <= ENGLISH.plain.keys()
    for one, other in ((words.plain, ENGLISH.plain), (words.onto, ENGLISH.onto)):
        for kind in one:
            assert _fields(one[kind]) == _fields(other[kind])


@pytest.mark.parametrize("words", CATALOGUES, ids=lambda words: words.locale)
def test_no_language_says_left_for_right_or_two_kinds_in_the_same_words(words):
    left, right = LEFT_RIGHT[words.locale]
    for sentences in (words.plain, words.onto):
        assert len(set(sentences.values())) == len(sentences)
        for kind, sentence in sentences.items():
            assert (left in sentence, right in sentence) == ("left" in kind, "right" in kind), kind


def _fields(pattern: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(pattern) if name}


def test_sentences_as_they_are_read_aloud():
    assert catalogue("en-GB").say("left", streets=("Unioninkatu",)) == "Turn left onto Unioninkatu."
    assert catalogue("zh_CN").say("left", streets=("Unioninkatu", "E 12")) == "左转，进入Unioninkatu／E 12。"
    assert catalogue("es-MX").say("roundabout", exit_number=3) == "En la rotonda, tome la 3.ª salida."
    assert catalogue("pt").say("roundabout", exit_number=3) == "Na rotatória, pegue a 3ª saída."
    assert catalogue("ar-EG").say("roundabout", exit_number=3) == "عند الدوار، اسلك المخرج رقم 3."
    assert catalogue("en").say("roundabout") == "Enter the roundabout."
    assert catalogue("en").say("never heard of", streets=("X",)) == "Continue on X."


def test_a_street_with_braces_is_a_street():
    assert catalogue("en").say("left", streets=("{exit} {0}",)) == "Turn left onto {exit} {0}."


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1, "1st"),
        (2, "2nd"),
        (3, "3rd"),
        (4, "4th"),
        (11, "11th"),
        (12, "12th"),
        (13, "13th"),
        (21, "21st"),
        (111, "111th"),
    ],
)
def test_exits_are_counted_as_people_count(number, text):
    assert catalogue("en").say("roundabout", exit_number=number) == f"At the roundabout, take the {text} exit."
    assert f"第{number}个" in catalogue("zh-CN").say("roundabout", exit_number=number)


def test_a_language_or_script_we_do_not_write_is_english():
    assert {catalogue(tag).locale for tag in ("fi", "de-DE", "zh-TW", "zh-Hant", "")} == {"en"}
    assert {catalogue(tag).locale for tag in ("zh", "zh-Hans-CN", "ZH_cn")} == {"zh-CN"}
    assert has("en-US") and has("zh") and not has("fi") and not has("zh-HK")
    assert not has("es") and not has("ar"), "nobody has reviewed those"


@pytest.mark.parametrize(
    ("locale", "spoken", "words"),
    [
        ("en", "en-US", "en"),  # ours, where they are reviewed
        ("zh-CN", "zh-CN", "zh-CN"),
        ("zh-CN", "en-US", "zh-CN"),
        ("fi-FI", "fi-FI", None),  # else the engine's own, where it speaks the language
        ("es-MX", "es-ES", None),
        ("zh-Hant-TW", "zh-TW", None),
        ("es", "en-US", "es"),  # else ours, which nobody has reviewed
        ("ar", "", "ar"),
        ("zh-TW", "zh-CN", "en"),  # else English
        ("sv", "en-US", "en"),
        ("sv", "", "en"),
    ],
)
def test_whose_words_tell_a_manoeuvre(locale, spoken, words):
    found = chosen(locale, spoken)
    assert (found.locale if found is not None else None) == words
