"""Instructions in the languages we write ourselves."""

from __future__ import annotations

import string

import pytest

from kalos_connect_sdk.navigation.instructions import KINDS, catalogue, has


@pytest.mark.parametrize("locale", ["en", "zh-CN"])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_has_a_sentence_with_and_without_a_street(locale, kind):
    words = catalogue(locale)
    plain = words.say(kind, exit_number=2)
    onto = words.say(kind, streets=("Mannerheimintie", "E 12", "third"), exit_number=2)
    for sentence in (plain, onto):
        assert sentence[-1] in ".。" and "{" not in sentence and "third" not in sentence
    assert "Mannerheimintie" not in plain
    assert (onto == plain) or "Mannerheimintie" in onto


def test_both_languages_know_the_same_kinds_and_use_the_same_fields():
    english, chinese = catalogue("en"), catalogue("zh")
    assert english.plain.keys() == chinese.plain.keys()
    assert english.onto.keys() == chinese.onto.keys() <= english.plain.keys()
    for one, other in ((english.plain, chinese.plain), (english.onto, chinese.onto)):
        for kind in one:
            assert _fields(one[kind]) == _fields(other[kind])


def _fields(pattern: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(pattern) if name}


def test_sentences_as_they_are_read_aloud():
    assert catalogue("en-GB").say("left", streets=("Unioninkatu",)) == "Turn left onto Unioninkatu."
    assert catalogue("zh_CN").say("left", streets=("Unioninkatu", "E 12")) == "左转，进入Unioninkatu／E 12。"
    assert catalogue("en").say("roundabout") == "Enter the roundabout."
    assert catalogue("en").say("never heard of", streets=("X",)) == "Continue on X."


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
