"""Plain text: one fact a line, no box, no colour, nothing a pipe would stumble over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TextIO

from ..prompts.plain import columns, printable
from .screen import Meter, Tone

__all__ = ["PlainScreen"]

_TELL_EVERY_S: Final = 5.0


class PlainScreen:
    """Writes lines to ``stream``."""

    def __init__(self, stream: TextIO, now_s: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._now_s = now_s

    def heading(self, text: str) -> None:
        self.line()
        self.line(text)

    def line(self, text: str = "", tone: Tone = "plain") -> None:
        print(printable(text), file=self._stream, flush=True)

    def facts(self, title: str, rows: Iterable[tuple[str, str]], *, tone: Tone = "plain") -> None:
        listed = list(rows)
        width = max((columns(name) for name, _ in listed), default=0)
        if title:
            self.heading(title)
        for name, value in listed:
            self.line(f"  {name}{' ' * (width - columns(name))}  {value}")

    def table(self, title: str, headers: Sequence[str], rows: Iterable[Sequence[str]], *, right: int = -1) -> None:
        lines = [list(row) for row in rows]
        widths = [max(map(columns, column)) for column in zip(headers, *lines, strict=True)]
        if title:
            self.heading(title)
        for row in [list(headers), *lines] if any(headers) else lines:
            cells = [
                " " * (width - columns(cell)) + cell if index == right else cell + " " * (width - columns(cell))
                for index, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            self.line(("  " + "  ".join(cells)).rstrip())

    def drawing(self, title: str, lines: Sequence[str], caption: str = "") -> None:
        """Nothing: a drawing made of characters means nothing in a pipe or to a screen reader."""

    @contextmanager
    def meter(self, label: str, total: int | None) -> Iterator[Meter]:
        yield _Lines(self, label, total, self._now_s)


class _Lines:
    """A line now and then, at most one in five seconds."""

    def __init__(self, screen: PlainScreen, label: str, total: int | None, now_s: Callable[[], float]) -> None:
        self._screen, self._label, self._total, self._now_s = screen, label, total, now_s
        self._told_s = now_s()

    def update(self, done: int, note: str = "") -> None:
        if self._now_s() - self._told_s < _TELL_EVERY_S:
            return
        self._told_s = self._now_s()
        of = f" of {self._total}" if self._total else ""
        self._screen.line(f"  {self._label}: {done}{of}{'; ' + note if note else ''}")
