"""The terminal prompter with arrow keys, by prompt_toolkit. Needs the extra ``cli``.

The same notice, words and answers as :class:`TerminalPrompter`, which does the asking where escape sequences are not
wanted or not understood, or where there is no terminal of one's own: ``NO_COLOR``, ``TERM=dumb``, a pipe, a job in the
background.

R12  Nothing is pointed at when the question appears, so Enter at once answers nothing. Allow and Don't allow cost the
     same: a digit or arrows, then Enter. What was typed before the question was on the screen is no answer, and
     neither is what is pasted.
R11  ``request.cancelled`` closes the menu within a moment.
"""

from __future__ import annotations

import asyncio
import os
import sys
import termios
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TextIO, TypeVar

from prompt_toolkit.application import Application, run_in_terminal
from prompt_toolkit.data_structures import Size
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.input.typeahead import clear_typeahead
from prompt_toolkit.input.vt100 import Vt100Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import FormattedTextControl, Layout, Window
from prompt_toolkit.output.vt100 import Vt100_Output

from ..ports import PromptRequest
from .keyboard import may_change
from .plain import wrapped
from .terminal import Choose, Page, TerminalPrompter, escapes_allowed, is_tty

__all__ = ["MenuPrompter"]

_Act = TypeVar("_Act", bound=Callable[[KeyPressEvent], Any])
_LOOK_S: Final = 0.05
_LOWEST: Final = 16
"""Rows of a terminal on which every menu fits."""


class MenuPrompter(TerminalPrompter):
    """Asks with a menu where the terminal can show one, else line by line."""

    @contextmanager
    def _asking(self, page: Page, request: PromptRequest) -> Iterator[Choose]:
        stdin, stdout = self._stdin or sys.stdin, self._stdout or sys.stdout
        if self._plain or not _can_show(stdin, stdout):
            with super()._asking(page, request) as choose:
                yield choose
            return
        source = Vt100Input(stdin)
        clear_typeahead(source)
        # Asked for the cursor's place, a terminal would answer among the keys.
        screen = Vt100_Output(stdout, lambda: _size_of(stdout), term=os.environ.get("TERM"), enable_cpr=False)
        fresh = iter([True])

        def showing() -> None:
            if next(fresh, False):  # R12: what was typed before the question is on the screen
                termios.tcflush(stdin.fileno(), termios.TCIFLUSH)

        try:
            with source.raw_mode():  # between the questions too: Ctrl-C is a key, and nothing is echoed
                yield lambda ways: _Menu(page, ways, request).run(source, screen, showing)
        except termios.error:  # the terminal went away
            pass


def _can_show(stdin: TextIO, stdout: TextIO) -> bool:
    if not (is_tty(stdin) and escapes_allowed(stdout) and may_change(stdin.fileno())):
        return False
    rows: int = _size_of(stdout).rows
    return rows >= _LOWEST


def _size_of(stdout: TextIO) -> Size:
    """A terminal that does not know its size is an ordinary one."""
    columns, rows = os.get_terminal_size(stdout.fileno())
    return Size(rows=rows or 24, columns=columns or 80)


class _Menu:
    """One question: the ways to answer, and the one that is pointed at."""

    def __init__(self, page: Page, ways: list[str], request: PromptRequest) -> None:
        self._page = page
        self._offered = page.offered(ways)
        self._ways = len(ways) + 1
        self._request = request
        self._at: int | None = None
        self._nothing = False

    def run(self, source: Vt100Input, screen: Vt100_Output, showing: Callable[[], None]) -> int | None:
        """What :data:`Choose` says."""
        menu: Application[int | None] = Application(
            layout=Layout(Window(FormattedTextControl(lambda: self._drawn(screen), show_cursor=False))),
            key_bindings=self._keys(),
            input=source,
            output=screen,
            before_render=lambda _: showing(),
        )

        async def until_over() -> None:
            while not self._request.cancelled.is_set() and time.monotonic() < self._request.deadline:
                await asyncio.sleep(_LOOK_S)
            if not menu.is_done:
                menu.exit(result=None)

        def watch() -> None:
            menu.create_background_task(until_over())

        try:
            chosen = menu.run(pre_run=watch, set_exception_handler=False, handle_sigint=False)
        except (EOFError, termios.error):  # the terminal went away
            return None
        return None if self._request.cancelled.is_set() else chosen  # R11: a late Allow is void

    def _drawn(self, screen: Vt100_Output) -> StyleAndTextTuples:
        width = min(screen.get_size().columns, 84)
        drawn: StyleAndTextTuples = []
        for number, way in enumerate(self._offered):
            lines = wrapped(way, width, "  ", hanging="   ")
            if number == self._at:
                drawn.append(("reverse", ">" + lines[1:]))
            else:
                drawn.append(("", lines))
            drawn.append(("", "\n"))
        again = self._page.words.again if self._nothing else ""
        asked = again + self._page.words.choose.format(last=self._ways)
        return [*drawn, ("", "\n" + wrapped(asked, width))]

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        def on(*names: str) -> Callable[[_Act], _Act]:
            def add(act: _Act) -> _Act:
                for name in names:
                    keys.add(name)(act)
                return act

            return add

        @on("down", "right", "tab")
        def onward(event: KeyPressEvent) -> None:
            self._point(0 if self._at is None else (self._at + 1) % self._ways)

        @on("up", "left", "s-tab")
        def back(event: KeyPressEvent) -> None:
            self._point((self._at or self._ways) - 1)

        @on("enter", "c-j")
        def choose(event: KeyPressEvent) -> None:
            if self._at is None:  # R12: no default
                self._nothing = True
            else:
                event.app.exit(result=self._at)

        @on("m", "M", "ｍ")
        async def full(event: KeyPressEvent) -> None:
            await run_in_terminal(self._page.full_text)

        @on("c-c", "c-d", "escape")
        def leave(event: KeyPressEvent) -> None:
            event.app.exit(result=None)

        @on(Keys.Any)
        def digit(event: KeyPressEvent) -> None:
            number = unicodedata.decimal(event.data, 0) if len(event.data) == 1 else 0
            if 1 <= number <= self._ways:
                self._point(int(number) - 1)
            else:
                self._nothing = True

        @on(Keys.BracketedPaste)
        def pasted(event: KeyPressEvent) -> None:
            self._nothing = True

        return keys

    def _point(self, at: int) -> None:
        self._at, self._nothing = at, False
