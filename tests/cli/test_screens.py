"""Both screens say the same things, and neither lets a text steer the terminal."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys

import pytest

from kalos_connect_sdk.cli.plain_screen import PlainScreen
from kalos_connect_sdk.cli.rich_screen import RichScreen
from kalos_connect_sdk.cli.screen import Screen, screen_for

HOSTILE = "name\x1b[2J\x07[bold]markup[/bold]"


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(params=["plain", "rich"])
def shown(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[Screen, io.StringIO]:
    monkeypatch.setenv("TERM", "dumb")
    stream = io.StringIO()
    return (PlainScreen(stream) if request.param == "plain" else RichScreen(stream, width=80)), stream


def test_everything_that_is_said_can_be_read(shown: tuple[Screen, io.StringIO]) -> None:
    screen, stream = shown
    screen.heading("A heading")
    screen.line("a line", "good")
    screen.line()
    screen.facts("Facts", [("name", "value"), ("宽", "值")], tone="bad")
    screen.facts("", [])
    screen.table("Table", ("what", "count"), [("positions", "12"), ("距离", "3")], right=1)
    screen.table("", ("", ""), [("one", "two")])
    with screen.meter("positions", 10) as meter:
        meter.update(5, "note")
    for word in (
        "A heading",
        "a line",
        "Facts",
        "name",
        "value",
        "值",
        "what",
        "positions",
        "12",
        "距离",
        "one",
        "two",
    ):
        assert word in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_texts_from_outside_are_shown_as_they_are(shown: tuple[Screen, io.StringIO]) -> None:
    screen, stream = shown
    screen.heading(HOSTILE)
    screen.line(HOSTILE)
    screen.facts(HOSTILE, [(HOSTILE, HOSTILE)])
    screen.table(HOSTILE, (HOSTILE,), [(HOSTILE,)])
    screen.drawing(HOSTILE, [HOSTILE], HOSTILE)
    with screen.meter(HOSTILE, None) as meter:
        meter.update(1, HOSTILE)
    said = stream.getvalue()
    assert "\x1b" not in said
    assert "\x07" not in said
    assert r"name\x1b[2J\x07[bold]markup[/bold]" in said


def test_a_plain_table_lines_its_columns_up() -> None:
    stream = io.StringIO()
    PlainScreen(stream).table("T", ("a", "n"), [("导航", "1"), ("b", "100")], right=1)
    assert stream.getvalue() == "\nT\n  a       n\n  导航    1\n  b     100\n"


def test_a_plain_meter_speaks_at_most_every_five_seconds() -> None:
    stream, clock = io.StringIO(), iter([0.0, 1.0, 6.0, 6.0, 7.0, 12.0, 12.0])
    with PlainScreen(stream, now_s=lambda: next(clock)).meter("positions", 30) as meter:
        meter.update(1)
        meter.update(2, "sent 1")
        meter.update(3)
        meter.update(4)
    assert stream.getvalue() == "  positions: 2 of 30; sent 1\n  positions: 4 of 30\n"


@pytest.mark.parametrize("total", [None, 3600])
@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_live_line_is_told_to_its_end_on_a_narrow_terminal(
    width: int, total: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Tty()
    note = "10.0/s, 4.0 m, sent 44123, waiting 3600, 12222.0 KiB, no answer from the service: refused"
    with RichScreen(stream, width=width).meter("positions", total) as meter:
        meter.update(440, note)
    said = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())
    lines = re.split(r"[\r\n]+", said)
    assert set(note.split()) | {"positions", "440"} <= set(said.split()) and "…" not in said
    assert max(map(len, lines)) <= width


def test_rich_is_for_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(screen_for(Tty()), RichScreen)
    assert isinstance(screen_for(io.StringIO()), PlainScreen)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(screen_for(Tty()), PlainScreen)
    monkeypatch.delenv("TERM")
    assert isinstance(screen_for(Tty()), PlainScreen)


def test_without_the_extra_everything_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert isinstance(screen_for(Tty()), PlainScreen)


def test_no_color_is_honoured_on_a_real_terminal() -> None:
    far, near = pty.openpty()
    code = (
        "import sys; from kalos_connect_sdk.cli.screen import screen_for;"
        "screen_for(sys.stdout).facts('Title', [('name', 'value')], tone='good')"
    )
    subprocess.run(
        [sys.executable, "-c", code], stdout=near, env={**os.environ, "TERM": "xterm", "NO_COLOR": "1"}, check=True
    )
    os.close(near)
    assert b"\x1b[3" not in os.read(far, 65536)
    os.close(far)
