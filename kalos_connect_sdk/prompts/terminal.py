"""The terminal prompter: standard library only, cancellable, without a default.

R12  Allow and Don't allow look the same, stand on equal lines and cost one digit and Enter each. An empty line
     asks again; the end of the input and Ctrl-C dismiss. What was typed before the notice was on the screen is
     not an answer to it. A prompt always resolves: cancelled, at its deadline, or by the end of the input.
     Two questions of one program are put one after the other: a digit answers the one that is read.
R14  The notice is rendered verbatim, with purpose and recipient beside it.
R11  ``request.cancelled`` closes the prompt at once, whatever it waits for.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TextIO

from ..model.consent import Duration, Precision, PromptAnswer
from ..ports import PromptRequest
from .keyboard import Keyboard
from .plain import columns, printable, wrapped
from .words import Words, words_for

__all__ = ["Choose", "Page", "TerminalPrompter", "escapes_allowed", "is_tty"]

_WIDEST: Final = 84
_LOOK_S: Final = 0.05
Choose = Callable[[list[str]], int | None]
"""Puts the ways to answer: index of the one chosen, their number for Don't allow, ``None`` for neither."""


class TerminalPrompter:
    """Asks on a terminal. ``driver_facing`` is false when both streams are a TTY: a person sits at a keyboard.

    ``stdin`` must have a file descriptor; both streams default to the process's at the time of asking.
    ``plain=True`` writes no escape sequence at all; otherwise ``NO_COLOR``, ``TERM=dumb`` and a stream that is
    no terminal have the same effect.
    """

    def __init__(self, stdin: TextIO | None = None, stdout: TextIO | None = None, *, plain: bool = False) -> None:
        self._stdin = stdin
        self._stdout = stdout
        self._plain = plain
        self.driver_facing = not (is_tty(stdin or sys.stdin) and is_tty(stdout or sys.stdout))

    def ask(self, request: PromptRequest) -> PromptAnswer:
        """The person's answer; *dismiss* when the prompt was cancelled, timed out or the input ended."""
        page = Page(self._stdout or sys.stdout, request, plain=self._plain)
        answer = None
        with _turn_of(request) as ours:
            if not ours:
                return PromptAnswer.dismiss()
            with self._asking(page, request) as choose:
                page.notice()
                answer = _converse(page, choose, request)
        if answer is None:
            page.closed()
            return PromptAnswer.dismiss()
        return answer

    @contextmanager
    def _asking(self, page: Page, request: PromptRequest) -> Iterator[Choose]:
        """How this terminal lets a person choose."""
        with Keyboard(self._stdin or sys.stdin, request.cancelled, request.deadline) as keyboard:
            keyboard.forget_typed_ahead()  # R12
            yield lambda ways: _choose(page, keyboard, ways)


_turn = threading.Lock()


@contextmanager
def _turn_of(request: PromptRequest) -> Iterator[bool]:
    """Whether the terminal is ours to ask on; false when the question was over before the one in front of it."""
    turn, ours = _turn, False
    while not ours and not request.cancelled.is_set() and time.monotonic() < request.deadline:
        ours = turn.acquire(timeout=_LOOK_S)
    try:
        yield ours
    finally:
        if ours:
            turn.release()


def _in_child() -> None:
    """Who was asking when the program forked is asking in the parent."""
    global _turn
    _turn = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


def _converse(page: Page, choose: Choose, request: PromptRequest) -> PromptAnswer | None:
    """Both questions, or ``None`` when the prompt ended without an answer."""
    durations = request.durations or (Duration.THIS_DRIVE,)
    chosen = choose([page.allow(duration) for duration in durations])
    if chosen is None:
        return None
    if chosen == len(durations):
        return PromptAnswer.deny()
    if request.precision is Precision.APPROXIMATE:  # an answer never exceeds what was asked (R15)
        return PromptAnswer.allow(durations[chosen], Precision.APPROXIMATE)
    page.say("\n" + page.words.exactness)
    exactness = choose([page.words.precise, page.words.approximate])
    if exactness is None:
        return None
    if exactness == 2:
        return PromptAnswer.deny()
    return PromptAnswer.allow(durations[chosen], (Precision.PRECISE, Precision.APPROXIMATE)[exactness])


def _choose(page: Page, keyboard: Keyboard, ways: list[str]) -> int | None:
    page.choices(ways)
    question = page.words.choose.format(last=len(ways) + 1)
    page.write("\n" + question)
    while (line := keyboard.line()) is not None:
        if line in ("m", "ｍ"):
            page.full_text()
            page.choices(ways)
            page.write("\n" + question)
        elif line.isdecimal() and len(line) < 4 and 1 <= int(line) <= len(ways) + 1:
            return int(line) - 1
        else:
            page.write(page.words.again + question)  # R12: no default
    return None


class Page:
    """Everything that is written to the terminal."""

    def __init__(self, stream: TextIO, request: PromptRequest, *, plain: bool) -> None:
        self._stream = stream
        self._request = request
        self.words: Words = words_for(request.text.locale)
        self._bold = not plain and escapes_allowed(stream)
        self._width = _width_of(stream)

    def write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()

    def say(self, text: str) -> None:
        self.write(text + "\n")

    def notice(self) -> None:
        """Layer 1 verbatim, then what is asked for and who receives it (R14)."""
        request, text, words = self._request, self._request.text, self.words
        self.say("\n" + self._strong(wrapped(printable(text.title), self._width)) + "\n")
        for element in (text.who, text.what, text.why, text.how_to_stop):
            self.say(wrapped(printable(element), self._width, "  ", hanging="  "))
        facts = [(words.purpose, words.named(request.purpose))]
        if request.service_origin:
            facts.append((words.recipient, request.service_origin))
        if request.precision is Precision.APPROXIMATE:
            facts.append((words.exactness.rstrip("?？"), words.only_approximate))
        label_width = max(columns(label) for label, _ in facts) + 2
        self.say("")
        for label, value in facts:
            fact = label + " " * (label_width - columns(label)) + printable(value)
            self.say(wrapped(fact, self._width, "  ", hanging="  "))
        self.say("")

    def allow(self, duration: Duration) -> str:
        return f"{printable(self._request.text.allow)} ({self.words.duration(duration)})"

    def choices(self, ways: list[str]) -> None:
        """All alike: no colour, no weight and no mark sets one above another (R12)."""
        for way in self.offered(ways):
            self.say(wrapped(way, self._width, "  ", hanging="   "))

    def offered(self, ways: list[str]) -> list[str]:
        """What can be chosen, each with the key that does: the ways, Don't allow, and the full text."""
        keyed = [f"{number}  {way}" for number, way in enumerate([*ways, printable(self._request.text.deny)], start=1)]
        return [*keyed, f"m  {self.words.show_full}"]

    def closed(self) -> None:
        self.say("\n" + wrapped(self.words.closed, self._width))

    def full_text(self) -> None:
        self.say("\n" + wrapped(printable(self._request.text.full, lines=True), self._width, "  ") + "\n")

    def _strong(self, text: str) -> str:
        return f"\x1b[1m{text}\x1b[0m" if self._bold else text


def is_tty(stream: TextIO) -> bool:
    """Whether a terminal is behind ``stream``."""
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def escapes_allowed(stream: TextIO) -> bool:
    """Whether ``stream`` is a terminal that understands escape sequences and whose owner wants them."""
    return is_tty(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "") not in ("", "dumb")


def _width_of(stream: TextIO) -> int | None:
    """Columns to wrap at, or ``None`` where the reader is no terminal of known width."""
    if not is_tty(stream):
        return None
    try:
        width = os.get_terminal_size(stream.fileno()).columns
    except OSError:
        return None
    return min(width, _WIDEST) if width > 0 else None
