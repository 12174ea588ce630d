"""The terminal prompter on a real pseudo-terminal: what a person sees, types and cannot do by accident."""

from __future__ import annotations

import dataclasses
import io
import os
import pty
import re
import termios
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pseudo_terminal import CHINESE, ENGLISH, request_for, terminal

from kalos_connect_sdk.model.consent import Duration, Precision, PromptAnswer, PromptChoice, Purpose
from kalos_connect_sdk.model.notice import NoticeText
from kalos_connect_sdk.ports import Prompter, PromptRequest
from kalos_connect_sdk.prompts import TerminalPrompter
from kalos_connect_sdk.prompts.keyboard import Keyboard
from kalos_connect_sdk.prompts.terminal import _turn_of


def asked(*lines: str, request: PromptRequest | None = None) -> tuple[PromptAnswer | None, str]:
    """Start a prompt and type each line when the next question is on the screen."""
    with terminal(request) as person:
        person.start()
        for number, line in enumerate(lines, start=1):
            person.read_until("press Enter: ", number)
            person.type(line)
        answer = person.answer()
        return answer, person.screen


def test_it_is_a_prompter_that_no_driver_faces() -> None:
    with terminal() as person:
        assert isinstance(person.prompter, Prompter)
        assert person.prompter.driver_facing is False


def test_r12_streams_that_are_no_terminal_count_as_driver_facing(tmp_path: Path) -> None:
    with (tmp_path / "in").open("w+") as stream:
        assert TerminalPrompter(stream, stream).driver_facing is True
    assert TerminalPrompter(stream, stream).driver_facing is True  # closed by now


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (("1\n", "1\n"), PromptAnswer.allow()),
        (("2\n", "1\n"), PromptAnswer.allow(Duration.days(7))),
        (("3\n", "2\n"), PromptAnswer.allow(Duration.UNTIL_WITHDRAWN, Precision.APPROXIMATE)),
        (("4\n",), PromptAnswer.deny()),
        (("1\n", "3\n"), PromptAnswer.deny()),
        ((" １\n", "1 \n"), PromptAnswer.allow()),
        (("1\r", "1\r"), PromptAnswer.allow()),
    ],
)
def test_a_person_answers_with_digits(lines: tuple[str, ...], expected: PromptAnswer) -> None:
    assert asked(*lines)[0] == expected


@pytest.mark.parametrize("line", ["\n", "y\n", "allow\n", "0\n", "5\n", "-1\n", "1 1\n", "11111\n", "²\n", " \n"])
def test_r12_anything_but_a_choice_asks_again(line: str) -> None:
    answer, screen = asked(line, "4\n")
    assert answer == PromptAnswer.deny()
    assert "Nothing was chosen." in screen


@pytest.mark.parametrize("key", ["\x04", "\x03", "1\x03", "1\n\x04"])
def test_r12_leaving_dismisses(key: str) -> None:
    answer, screen = asked(key)
    assert answer == PromptAnswer.dismiss()
    assert "Nothing was allowed." in screen


def test_r14_layer_one_is_verbatim_with_purpose_and_recipient() -> None:
    _, screen = asked("4\n")
    for element in (ENGLISH.title, ENGLISH.who, ENGLISH.what, ENGLISH.why, ENGLISH.how_to_stop):
        assert element in screen
    assert re.search(r"Purpose +navigation\n", screen)
    assert re.search(r"Sent to +https://maps.example:443\n", screen)
    assert ENGLISH.full not in screen


def test_r14_the_full_text_is_shown_on_demand() -> None:
    _, screen = asked("M\n", "4\n")
    assert "  The whole notice.\n\n  Its second paragraph.\n" in screen
    assert screen.count("4  Don't allow") == 2


def test_r12_the_ways_to_answer_look_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    _, screen = asked("4\n")
    offered = re.findall(r"^  \d  .*$", screen, re.M)
    assert offered == [
        "  1  Allow (This drive)",
        "  2  Allow (7 days)",
        "  3  Allow (Until I stop)",
        "  4  Don't allow",
    ]
    assert screen.count("\x1b") == 2, "only the title is bold"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_plain_terminals_get_no_escape_sequence(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv(name, value)
    assert "\x1b" not in asked("4\n")[1]


def test_the_labels_follow_the_notice_s_language() -> None:
    with terminal(request_for(CHINESE)) as person:
        person.start()
        person.read_until("回车：")
        person.type("1\n")
        person.read_until("回车：", 2)
        person.type("1\n")
        assert person.answer() == PromptAnswer.allow()
        assert "1  允许 (本次行程)" in person.screen
        assert CHINESE.who in person.screen


def test_r15_an_approximate_question_gets_an_approximate_answer() -> None:
    answer, screen = asked("1\n", request=request_for(precision=Precision.APPROXIMATE))
    assert answer == PromptAnswer.allow(precision=Precision.APPROXIMATE)
    assert "Approximate" in screen


@pytest.mark.parametrize("after", ["", "1\n"])
def test_r11_a_withdrawal_closes_the_prompt_at_once(after: str) -> None:
    with terminal() as person:
        person.start()
        person.read_until("press Enter: ")
        if after:
            person.type(after)
            person.read_until("press Enter: ", 2)
        before = time.monotonic()
        person.request.cancelled.set()
        assert person.answer() == PromptAnswer.dismiss()
        assert time.monotonic() - before < 5


def test_r11_an_allow_after_the_cancellation_is_void() -> None:
    with terminal() as person:
        person.request.cancelled.set()
        person.type("1\n1\n")
        person.start()
        assert person.answer() == PromptAnswer.dismiss()


def test_r12_a_prompt_resolves_at_its_deadline() -> None:
    with terminal(request_for(patience_s=0.05)) as person:
        person.start()
        assert person.answer() == PromptAnswer.dismiss()


def test_r12_what_was_typed_before_the_notice_is_no_answer() -> None:
    with terminal() as person:
        person.type("1\n1\n")
        person.start()
        person.read_until("press Enter: ")
        person.type("4\n")
        assert person.answer() == PromptAnswer.deny()


def test_the_terminal_s_mode_is_put_back() -> None:
    with terminal() as person:
        person.start()
        person.read_until("press Enter: ")
        assert termios.tcgetattr(person.near.fileno()) != person.mode
        person.type("\x03")
        person.answer()
        assert termios.tcgetattr(person.near.fileno()) == person.mode


def test_a_terminal_of_known_width_breaks_lines_between_words() -> None:
    with terminal(columns=40) as person:
        person.start()
        person.read_until("press Enter: ")
        assert "  Where the car is, as exactly as the\n    satellite receiver knows it.\n" in person.screen


def test_hostile_texts_cannot_steer_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    hostile = NoticeText(
        **{
            name: (value + "\x1b[2J\x9b1A\r\x07\u202e" if isinstance(value, str) and name != "locale" else value)
            for name, value in ((name, getattr(ENGLISH, name)) for name in NoticeText.__slots__)
        }
    )
    answer, screen = asked("m\n", "4\n", request=request_for(hostile))
    assert answer == PromptAnswer.deny()
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", screen)
    assert r"\x1b[2J\x9b1A\x0d\x07\u202e" in screen


def test_a_pipe_that_ends_is_a_dismissal() -> None:
    for sent, expected in ((b"", PromptChoice.DISMISS), (b"4\n", PromptChoice.DENY), (b"1\n1", PromptChoice.DISMISS)):
        reader, writer = os.pipe()
        os.write(writer, sent)
        os.close(writer)
        with os.fdopen(reader) as stdin:
            assert TerminalPrompter(stdin, io.StringIO(), plain=True).ask(request_for()).choice is expected


def test_a_line_without_end_is_no_memory_leak() -> None:
    reader, writer = os.pipe()

    def flood() -> None:
        with suppress(BrokenPipeError):
            while True:
                os.write(writer, b"1" * 4096)

    with os.fdopen(reader) as stdin:
        flooding = threading.Thread(target=flood)
        flooding.start()
        assert TerminalPrompter(stdin, io.StringIO()).ask(request_for()) == PromptAnswer.dismiss()
    flooding.join(10)
    os.close(writer)


def test_a_terminal_that_goes_away_is_a_dismissal() -> None:
    far, near = pty.openpty()
    with os.fdopen(near) as stdin:
        os.close(far)
        assert TerminalPrompter(stdin, io.StringIO()).ask(request_for()) == PromptAnswer.dismiss()


def test_an_input_without_descriptor_is_refused_not_guessed() -> None:
    with pytest.raises(io.UnsupportedOperation):
        TerminalPrompter(io.StringIO("1\n1\n"), io.StringIO()).ask(request_for())


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60))
def test_r12_only_two_choices_ever_allow(typed: bytes) -> None:
    """Whatever arrives on the input, an Allow was spelt out line by line."""
    reader, writer = os.pipe()
    os.write(writer, typed)
    os.close(writer)
    with os.fdopen(reader) as stdin:
        answer = TerminalPrompter(stdin, io.StringIO()).ask(request_for())
    if answer.choice is PromptChoice.ALLOW:
        lines = [line.strip() for line in re.split("[\r\n]", typed.decode("utf-8", "replace"))]
        assert {"1", "2", "3"} & set(lines)


def test_no_descriptor_or_thread_is_left_behind() -> None:
    def settled() -> int:
        """Descriptors once every prompt's watcher has left."""
        deadline = time.monotonic() + 10
        while any(thread.name == "kalos-connect-prompt" for thread in threading.enumerate()):
            assert time.monotonic() < deadline
            threading.Event().wait(0.02)
        return len(os.listdir("/proc/self/fd"))

    before = settled()
    for _ in range(5):
        asked("4\n")
    assert settled() == before


class Folder:
    """An input that is always ready and can never be read."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY)

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return False

    def close(self) -> None:
        os.close(self._fd)


def test_an_input_that_fails_is_a_dismissal(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert TerminalPrompter(folder, io.StringIO()).ask(request_for()) == PromptAnswer.dismiss()  # type: ignore[arg-type]
    folder.close()


class SetAtTheThirdLook(threading.Event):
    """A cancellation that comes between reading a line and judging it."""

    looks = 0

    def is_set(self) -> bool:
        self.looks += 1
        return self.looks >= 3


def test_r11_a_cancellation_beats_a_line_that_was_just_read() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"1\n")
    with os.fdopen(reader) as stdin, Keyboard(stdin, SetAtTheThirdLook(), time.monotonic() + 10) as keyboard:
        assert keyboard.line() == "1"
        os.write(writer, b"1\n")
        assert keyboard.line() is None
    os.close(writer)


def test_r12_a_process_in_the_background_leaves_the_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "tcgetpgrp", lambda fd: os.getpgrp() + 1)
    with terminal() as person:
        person.start()
        person.read_until("press Enter: ")
        assert termios.tcgetattr(person.near.fileno()) == person.mode
        person.type("4\n")
        assert person.answer() == PromptAnswer.deny()


def test_without_a_recipient_none_is_named() -> None:
    _, screen = asked("4\n", request=dataclasses.replace(request_for(), service_origin=""))
    assert "Sent to" not in screen


def test_r12_a_second_question_waits_until_the_first_is_answered() -> None:
    """Else a digit that a person types for one would answer the other."""
    second = dataclasses.replace(request_for(), purpose=Purpose.CROSS_BORDER_TRANSFER)
    answers: list[PromptAnswer] = []
    with terminal() as person:
        person.start()
        person.read_until("press Enter: ")
        waiting = threading.Thread(target=lambda: answers.append(person.prompter.ask(second)))
        waiting.start()
        person.type("4\n")
        assert person.answer() == PromptAnswer.deny()
        person.read_until("transfer to another country")
        person.read_until("press Enter: ", 2)
        assert person.screen.index("4\n") < person.screen.index("transfer to another country")
        person.type("1\n")
        person.read_until("press Enter: ", 3)
        person.type("2\n")
        waiting.join(10)
        assert answers == [PromptAnswer.allow(precision=Precision.APPROXIMATE)]


def test_r11_a_question_that_waits_for_its_turn_can_be_cancelled() -> None:
    second = request_for()
    answers: list[PromptAnswer] = []
    with terminal() as person:
        person.start()
        person.read_until("press Enter: ")
        waiting = threading.Thread(target=lambda: answers.append(person.prompter.ask(second)))
        waiting.start()
        second.cancelled.set()
        waiting.join(10)
        assert answers == [PromptAnswer.dismiss()]
        person.type("4\n")
        assert person.answer() == PromptAnswer.deny()


def test_a_forked_child_does_not_wait_for_its_parent_s_question() -> None:
    with terminal() as person:
        person.start()
        person.read_until("press Enter: ")
        child = os.fork()
        if not child:
            with _turn_of(request_for()) as ours:
                os._exit(0 if ours else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        person.type("4\n")
        assert person.answer() == PromptAnswer.deny()
