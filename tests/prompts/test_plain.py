"""Text made safe for terminals and logs, and broken into lines without losing a character."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalos_connect_sdk.model.consent import Duration
from kalos_connect_sdk.prompts.plain import columns, printable, wrapped
from kalos_connect_sdk.prompts.words import words_for


@given(st.text())
def test_r10_nothing_printable_changes_and_nothing_else_survives(text: str) -> None:
    shown = printable(text)
    assert not any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in shown)
    shown.encode()
    if text.isprintable():
        assert shown == text


@given(st.text(alphabet="ab\n\x1b\u2066"))
def test_paragraphs_keep_their_line_feeds_only(text: str) -> None:
    assert printable(text, lines=True).count("\n") == text.count("\n")
    assert "\n" not in printable(text)
    assert "\x1b" not in printable(text, lines=True)


def test_lone_surrogates_are_written_out() -> None:
    assert printable("a\ud800b") == r"a\ud800b"


@given(st.text(alphabet="abc 用于导航，。x\u0301"), st.integers(12, 60))
def test_breaking_lines_loses_only_spaces(text: str, width: int) -> None:
    lines = wrapped(text, width, "  ")
    assert lines.replace("\n", "").replace(" ", "") == text.replace(" ", "")


@given(st.lists(st.text(alphabet="abc导航", min_size=1, max_size=8), max_size=20), st.integers(20, 60))
def test_no_line_is_wider_than_asked(words: list[str], width: int) -> None:
    assert all(columns(line) <= width for line in wrapped(" ".join(words), width, "  ").split("\n"))


def test_punctuation_never_begins_a_chinese_line() -> None:
    for width in range(12, 40):
        assert not any(
            line.strip().startswith(("，", "。"))
            for line in wrapped("我们，使用，您的。位置，信息。" * 3, width).split("\n")
        )


def test_an_unknown_width_breaks_nothing() -> None:
    assert wrapped("a " * 100 + "\n\nb", None, "> ") == "> " + "a " * 100 + "\n\n> b"


@pytest.mark.parametrize(
    ("locale", "duration", "words"),
    [
        ("en", Duration.days(1), "1 day"),
        ("en-GB", Duration.days(7), "7 days"),
        ("zh_CN", Duration.days(7), "7 天"),
        ("zh-CN", Duration.UNTIL_WITHDRAWN, "直到我停止"),
        ("ar", Duration.THIS_DRIVE, "هذه الرحلة"),
        ("ar-EG", Duration.THIS_DRIVE, "This drive"),
    ],
)
def test_durations_are_said_in_the_notice_s_language(locale: str, duration: Duration, words: str) -> None:
    assert words_for(locale).duration(duration) == words
