"""The terminal's menu on a real pseudo-terminal: the same question as line by line, with arrow keys."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pseudo_terminal import ENGLISH, Terminal, request_for, terminal
from web_questions import request_in

from kalos_connect_sdk.core.notices.default import DEFAULT_NOTICE
from kalos_connect_sdk.model.consent import Duration, Precision, PromptAnswer, PromptChoice
from kalos_connect_sdk.model.notice import NoticeText
from kalos_connect_sdk.ports import PromptRequest
from kalos_connect_sdk.prompts import TerminalPrompter, terminal_prompter
from kalos_connect_sdk.prompts.plain import columns

pytest.importorskip("prompt_toolkit", reason="the extra cli is not installed")
from kalos_connect_sdk.prompts.menu import MenuPrompter

UP, DOWN, LEFT, RIGHT, ENTER, ESCAPE = "\x1b[A", "\x1b[B", "\x1b[D", "\x1b[C", "\r", "\x1b"
ASKED = "press Enter:"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]")


@pytest.fixture(autouse=True)
def _a_terminal_with_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


@contextmanager
def menu(request: PromptRequest | None = None, **how: Any) -> Iterator[Terminal]:
    with terminal(request, kind=MenuPrompter, **{"columns": 80, **how}) as person:
        yield person


def asked(*keys: str, request: PromptRequest | None = None) -> tuple[PromptAnswer | None, str]:
    """Type each group of keys when the next question is on the screen."""
    with menu(request) as person:
        person.start()
        for number, typed in enumerate(keys, start=1):
            person.read_until(ASKED, number)
            person.type(typed)
        return person.answer(), person.screen


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (("1\r", "1\r"), PromptAnswer.allow()),
        (("2\n", "1\n"), PromptAnswer.allow(Duration.days(7))),
        (("３\r", "2\r"), PromptAnswer.allow(Duration.UNTIL_WITHDRAWN, Precision.APPROXIMATE)),
        (("4\r",), PromptAnswer.deny()),
        (("1\r", "3\r"), PromptAnswer.deny()),
        ((DOWN + ENTER, DOWN + ENTER), PromptAnswer.allow()),
        ((DOWN + RIGHT + "\t" + ENTER, DOWN + DOWN + ENTER), PromptAnswer.allow(Duration.UNTIL_WITHDRAWN, Precision.APPROXIMATE)),
        ((UP + ENTER,), PromptAnswer.deny()),
        ((DOWN * 5 + LEFT + ENTER,), PromptAnswer.deny()),
        (("13" + UP + ENTER, "1\r"), PromptAnswer.allow(Duration.days(7))),
    ],
)  # fmt: skip
def test_a_person_answers_with_arrows_or_digits(keys: tuple[str, ...], expected: PromptAnswer) -> None:
    assert asked(*keys)[0] == expected


@pytest.mark.parametrize("keys", ["\r", "\n", "y", "0", "5", " ", "²", "\x1b[200~1\r\x1b[201~"])
def test_r12_anything_but_a_choice_asks_again(keys: str) -> None:
    with menu() as person:
        person.start()
        person.read_until(ASKED)
        person.type(keys)
        person.read_until("chosen.")
        person.type("4\r")
        assert person.answer() == PromptAnswer.deny()


@pytest.mark.parametrize("key", ["\x04", "\x03", "1\x03", ESCAPE])
def test_r12_leaving_dismisses(key: str) -> None:
    answer, screen = asked(key)
    assert answer == PromptAnswer.dismiss()
    assert "Nothing was allowed." in screen


def test_r12_nothing_is_pointed_at_until_the_person_does() -> None:
    with menu() as person:
        person.start()
        before = person.read_until(ASKED)
        assert not re.search(r"\x1b\[[0-9;]*7m", before) and ">" not in ESCAPES.sub("", before)
        person.type(DOWN)
        person.read_until("\x1b[0;7m> 1  Allow (This drive)")
        person.type("4\r")
        assert person.answer() == PromptAnswer.deny()


def test_r14_it_says_the_same_as_line_by_line() -> None:
    _, drawn = asked("4\r")
    with terminal(columns=80, plain=True) as person:
        person.start()
        lines = person.read_until("press Enter: ").rstrip()
        person.type("4\n")
        person.answer()
    plain = [line.rstrip() for line in ESCAPES.sub("", drawn).replace("\r", "\n").split("\n") if line.strip()]
    for line in filter(str.strip, lines.split("\n")):
        assert line in plain, line


def test_r14_the_full_text_is_shown_on_demand() -> None:
    with menu() as person:
        person.start()
        person.read_until(ASKED)
        person.type("m")
        person.read_until("Its second paragraph.")
        person.read_until(ASKED, 2)
        person.type("4\r")
        assert person.answer() == PromptAnswer.deny()


def test_r15_an_approximate_question_gets_an_approximate_answer() -> None:
    answer, screen = asked("1\r", request=request_for(precision=Precision.APPROXIMATE))
    assert answer == PromptAnswer.allow(precision=Precision.APPROXIMATE)
    assert "Approximate" in screen


@pytest.mark.parametrize("before", ["", "1", "1\r"])
def test_r11_a_withdrawal_closes_the_menu(before: str) -> None:
    with menu() as person:
        person.start()
        person.read_until(ASKED)
        person.type(before)
        if before.endswith("\r"):
            person.read_until(ASKED, 2)
        person.request.cancelled.set()
        assert person.answer() == PromptAnswer.dismiss()
        assert "Nothing was allowed." in person.screen


def test_r11_an_allow_after_the_cancellation_is_void() -> None:
    with menu() as person:
        person.request.cancelled.set()
        person.start()
        person.type("1\r1\r")
        assert person.answer() == PromptAnswer.dismiss()


def test_r12_a_menu_resolves_at_its_deadline() -> None:
    with menu(request_for(patience_s=0.2)) as person:
        person.start()
        assert person.answer() == PromptAnswer.dismiss()


def test_r12_what_was_typed_before_the_question_is_no_answer() -> None:
    with menu() as person:
        person.type("1\r1\r")
        person.start()
        person.read_until(ASKED)
        person.type("4\r")
        assert person.answer() == PromptAnswer.deny()


def test_the_terminal_s_mode_is_put_back() -> None:
    with menu() as person:
        person.start()
        person.read_until(ASKED)
        assert termios.tcgetattr(person.near.fileno()) != person.mode
        person.type("\x03")
        person.answer()
        assert termios.tcgetattr(person.near.fileno()) == person.mode


@pytest.mark.parametrize("width", [40, 80, 100])
@pytest.mark.parametrize("locale", [text.locale for text in DEFAULT_NOTICE.texts])
def test_no_line_is_wider_than_the_terminal(locale: str, width: int) -> None:
    with menu(request_in(locale), columns=width) as person:
        person.start()
        person.read_until("4  ")
        person.type("m")
        person.read_until("4  ", 2)  # the full text was shown, and the menu is there again
        person.type(DOWN)
        person.read_until("> 1")
        person.type("\x03")
        assert person.answer() == PromptAnswer.dismiss()
        moves = re.sub(r"\x1b\[[0-9;]*m", "", person.screen)
        lines = re.split("[\r\n]", ESCAPES.sub("\n", moves))
        assert max(map(columns, lines)) <= width
        assert request_in(locale).text.allow in person.screen


def test_hostile_texts_cannot_steer_the_terminal() -> None:
    hostile = NoticeText(
        **{
            name: (value + "\x1b[2J\x9b1A\x07\u202e" if isinstance(value, str) and name != "locale" else value)
            for name, value in ((name, getattr(ENGLISH, name)) for name in NoticeText.__slots__)
        }
    )
    with menu(request_for(hostile)) as person:
        person.start()
        person.read_until(ASKED)
        person.type("m")
        person.read_until(ASKED, 2)
        person.type("4\r")
        assert person.answer() == PromptAnswer.deny()
        assert not re.search("\x1b\\[2J|[\x07\x80-\x9f\u202e]", person.screen)


@pytest.mark.parametrize("why", ["NO_COLOR", "TERM", "plain", "low", "background"])
def test_line_by_line_where_a_menu_is_not_wanted_or_not_possible(monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    how: dict[str, Any] = {"plain": why == "plain", "rows": 10 if why == "low" else 30}
    if why in ("NO_COLOR", "TERM"):
        monkeypatch.setenv(why, "dumb")
    if why == "background":
        monkeypatch.setattr(os, "tcgetpgrp", lambda fd: os.getpgrp() + 1)
    with menu(**how) as person:
        person.start()
        person.read_until("press Enter: ")
        person.type(DOWN + "\n")
        person.read_until("Nothing was chosen. ")
        person.type("1\n")
        person.read_until("press Enter: ", 3)
        person.type("1\n")
        assert person.answer() == PromptAnswer.allow()
        assert not ESCAPES.search(person.screen.replace("\x1b[1m", "").replace("\x1b[0m", "").replace(DOWN, ""))


def test_a_pipe_is_asked_line_by_line() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"4\n")
    os.close(writer)
    with os.fdopen(reader) as stdin, open(os.devnull, "w") as stdout:
        assert MenuPrompter(stdin, stdout).ask(request_for()) == PromptAnswer.deny()


def test_a_terminal_that_goes_away_is_a_dismissal() -> None:
    far, near = pty.openpty()
    other, shown = pty.openpty()
    with os.fdopen(near) as stdin, os.fdopen(shown, "w") as stdout:
        answers: list[PromptAnswer] = []
        asking = threading.Thread(target=lambda: answers.append(MenuPrompter(stdin, stdout).ask(request_for())))
        asking.start()
        seen = b""
        while ASKED.encode() not in seen:
            seen += os.read(other, 65536)
        os.close(far)
        asking.join(10)
        assert answers == [PromptAnswer.dismiss()]
    os.close(other)


def test_no_descriptor_or_thread_is_left_behind() -> None:
    asked("4\r")
    before, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(5):
        asked("4\r")
    assert len(os.listdir("/proc/self/fd")) <= before and threading.active_count() <= threads


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(st.text("123456789m\r\x1b[ABCDO~; \t", max_size=20))
def test_r12_only_two_choices_ever_allow(typed: str) -> None:
    """Whatever is typed, an Allow took a choice and Enter twice."""
    with menu(request_for(patience_s=5)) as person:
        person.start()
        person.read_until(ASKED)
        person.type(typed + "\x03")
        answer = person.answer()
    assert answer is not None
    if answer.choice is PromptChoice.ALLOW:
        assert typed.count("\r") >= 2 and re.search("[1-9ABCD\t]", typed)


def test_the_menu_is_used_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(terminal_prompter(), MenuPrompter)
    monkeypatch.setitem(sys.modules, "prompt_toolkit", None)
    assert type(terminal_prompter()) is TerminalPrompter


def test_importing_the_prompters_does_not_load_it() -> None:
    program = (
        "import sys, kalos_connect_sdk.prompts; sys.exit('prompt_toolkit' in sys.modules or 'asyncio' in sys.modules)"
    )
    started = time.monotonic()
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0, started
