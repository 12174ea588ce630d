"""Rich text: panels, tables and one accent colour. Markup in texts from outside is never interpreted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TextIO

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn
from rich.rule import Rule
from rich.table import Column, Table
from rich.text import Text

from ..prompts.plain import printable
from .screen import Meter, Tone

__all__ = ["RichScreen"]

_STYLES: Final[dict[Tone, str]] = {
    "plain": "",
    "quiet": "dim",
    "good": "green",
    "bad": "red",
    "strong": "bold",
}
_ACCENT: Final = "cyan"
_WIDEST: Final = 92


class RichScreen:
    """Writes to a terminal through rich. ``NO_COLOR`` is honoured by rich itself."""

    def __init__(self, stream: TextIO, *, width: int | None = None) -> None:
        self.console = Console(file=stream, highlight=False, markup=False, emoji=False, width=width)
        self._width = min(self.console.width, _WIDEST)

    def heading(self, text: str) -> None:
        self.console.print()
        self.console.print(Rule(_text(text, f"bold {_ACCENT}"), align="left", style="dim"), width=self._width)

    def line(self, text: str = "", tone: Tone = "plain") -> None:
        self.console.print(_text(text, _STYLES[tone]), width=self._width)

    def facts(self, title: str, rows: Iterable[tuple[str, str]], *, tone: Tone = "plain") -> None:
        grid = Table.grid(padding=(0, 3))
        grid.add_column(no_wrap=True, style="dim")
        grid.add_column(overflow="fold")
        for name, value in rows:
            grid.add_row(_text(name), _text(value))
        self._panel(grid, title, _STYLES[tone] or "dim")

    def table(self, title: str, headers: Sequence[str], rows: Iterable[Sequence[str]], *, right: int = -1) -> None:
        table = Table(
            box=box.SIMPLE_HEAD if any(headers) else None, pad_edge=False, header_style="dim", show_header=any(headers)
        )
        for index, header in enumerate(headers):
            table.add_column(
                _text(header), justify="right" if index == right else "left", no_wrap=index == right, overflow="fold"
            )
        for row in rows:
            table.add_row(*(_text(cell) for cell in row))
        self._panel(table, title, "dim")

    def drawing(self, title: str, lines: Sequence[str], caption: str = "") -> None:
        drawn = _text("\n".join(lines), _ACCENT, lines=True)
        if caption:
            drawn.append("\n" + printable(caption), "dim")
        self._panel(drawn, title, "dim")

    @contextmanager
    def meter(self, label: str, total: int | None) -> Iterator[Meter]:
        bar = BarColumn(
            bar_width=32 if self.console.width > _WIDEST else 12, complete_style=_ACCENT, finished_style="green"
        )
        with Progress(
            SpinnerColumn(style=_ACCENT),
            TextColumn("{task.description}"),
            *([bar] if total is not None else ()),
            TextColumn("{task.completed:>5.0f}"),
            # On a narrow terminal the note goes on in the next line: its end is what matters when something is wrong.
            TextColumn("{task.fields[note]}", style="dim", markup=False, table_column=Column(overflow="fold")),
            console=self.console,
            transient=True,
        ) as progress:
            yield _Bar(progress, progress.add_task(printable(label), total=total, note=""))

    def _panel(self, inner: Table | Text, title: str, style: str) -> None:
        heading = _text(title, f"bold {_ACCENT}") if title else None
        framed = Panel(
            inner,
            title=heading,
            title_align="left",
            border_style=style,
            box=box.ROUNDED,
            padding=(0, 2),
            width=self._width,
        )
        self.console.print(framed)


class _Bar:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def update(self, done: int, note: str = "") -> None:
        self._progress.update(self._task, completed=done, note=printable(note))


def _text(text: str, style: str = "", *, lines: bool = False) -> Text:
    return Text(printable(text, lines=lines), style=style)
