"""What the commands can put on a screen, and the choice between plain text and rich text.

Rich is used on a terminal when it is installed; a pipe, a dumb terminal or a missing extra gets plain lines.
Both escape control characters in everything that comes from outside.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Literal, Protocol, TextIO

__all__ = ["Meter", "Screen", "Tone", "screen_for"]

Tone = Literal["plain", "quiet", "good", "bad", "strong"]


class Meter(Protocol):
    """A running progress display."""

    def update(self, done: int, note: str = "") -> None:
        """``done`` of the total, and a few words beside it."""


class Screen(Protocol):
    """Where a command writes what people read."""

    def heading(self, text: str) -> None: ...

    def line(self, text: str = "", tone: Tone = "plain") -> None: ...

    def facts(self, title: str, rows: Iterable[tuple[str, str]], *, tone: Tone = "plain") -> None:
        """A titled block of names and values."""

    def table(self, title: str, headers: Sequence[str], rows: Iterable[Sequence[str]], *, right: int = -1) -> None:
        """Rows under headers; column ``right`` is set to the right."""

    def drawing(self, title: str, lines: Sequence[str], caption: str = "") -> None:
        """Lines of characters that belong together; only a rich screen shows them."""

    def meter(self, label: str, total: int | None) -> AbstractContextManager[Meter]:
        """A progress display for ``total`` steps; ``None`` when nobody knows how many."""


def screen_for(stream: TextIO) -> Screen:
    """The screen that suits ``stream``."""
    on_terminal = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    if on_terminal and importlib.util.find_spec("rich") is not None:
        from .rich_screen import RichScreen

        return RichScreen(stream)
    from .plain_screen import PlainScreen

    return PlainScreen(stream)
