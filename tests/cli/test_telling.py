"""What people are told about events and reports: nothing is hidden, nothing is claimed too early."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kalos_connect_sdk import Position
from kalos_connect_sdk.cli import consent, serve, stream
from kalos_connect_sdk.cli.main import main
from kalos_connect_sdk.cli.patience import Patience, Watched
from kalos_connect_sdk.cli.plain_screen import PlainScreen
from kalos_connect_sdk.cli.pulse import Pulse
from kalos_connect_sdk.cli.screen import Screen
from kalos_connect_sdk.model.decision import Reason
from kalos_connect_sdk.model.events import (
    Arrived,
    BackOnRoute,
    ConsentLost,
    DriveEvent,
    Guidance,
    OffRoute,
    Progress,
    Rerouted,
    RerouteFailed,
    SourceLost,
    SourceRestored,
)
from kalos_connect_sdk.model.reports import WithdrawalReport
from kalos_connect_sdk.model.route import Route
from kalos_connect_sdk.sources import PushSource


def told(report: WithdrawalReport, notice: str, capsys: pytest.CaptureFixture[str]) -> str:
    consent._tell(report, notice)
    return capsys.readouterr().out


def test_r3_an_incomplete_withdrawal_names_who_holds_it_up(capsys: pytest.CaptureFixture[str]) -> None:
    report = WithdrawalReport(
        complete=False, dropped=3, aborted=2, possibly_delivered=1, holders=(11, 12), remaining=("one thing is left",)
    )
    said = told(report, "pending", capsys)
    for words in (
        "not everything is finished",
        "one thing is left",
        "11, 12",
        "Dropped 3",
        "cut 2",
        "1 requests had no",
    ):
        assert words in said
    assert "has not acknowledged yet" in said


def test_a_complete_withdrawal_says_whether_the_service_knows(capsys: pytest.CaptureFixture[str]) -> None:
    report = WithdrawalReport(complete=True)
    assert "has acknowledged" in told(report, "delivered", capsys)
    assert "nothing to tell" in told(report, "none", capsys)
    assert "has not acknowledged yet" in told(report, "pending", capsys)
    assert "Dropped" not in told(report, "none", capsys)


class Recorder:
    """A meter that remembers."""

    def __init__(self) -> None:
        self.updates: list[tuple[int, str]] = []

    def update(self, done: int, note: str = "") -> None:
        self.updates.append((done, note))


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (Guidance("Turn left.", 640.0), "  In 650 m, turn left.\n"),
        (Guidance("Go on.", 12_345.0), "  In 12 km, go on.\n"),
        (Guidance("Now.", 4.4), "  Now.\n"),
        (OffRoute(80.0), "  You have left the route.\n"),
        (BackOnRoute(), "  You are back on the route.\n"),
        (Rerouted(Route(1200.0, 130.0, "en", ((24.9, 60.0),))), "  New route: 1.2 km, 2 min.\n"),
        (RerouteFailed("503"), "  There is no new route yet; it is asked for again.\n"),
        (Arrived(), "You have arrived."),
        (SourceLost("it went away"), "source: it went away\n"),
        (SourceLost("it went away", retrying=True), "source: it went away; trying again"),
        (SourceRestored(), "source: heard again"),
        (ConsentLost(Reason.EXPIRED), "Consent has expired."),
    ],
)
def test_every_event_is_told(event: DriveEvent, words: str) -> None:
    out, meter = io.StringIO(), Recorder()
    stream.say(event, PlainScreen(out), meter, Pulse())
    assert words in out.getvalue()
    assert meter.updates == []


def test_progress_moves_the_meter() -> None:
    out, meter = io.StringIO(), Recorder()
    now = [0.0]
    pulse = Pulse(lambda: now[0])
    stream.say(Progress(0, 0, 0, 0, 0), PlainScreen(out), meter, pulse)
    for _ in range(5):
        pulse.beat(Position(60.0, 24.9, accuracy_m=4.25))
    now[0] = 2.0
    stream.say(Progress(5, 3, 0, 2, 2048, "202"), PlainScreen(out), meter, pulse)
    stream.say(Progress(5, 3, 0, 2, 2048, "no answer from the service: refused"), PlainScreen(out), meter)
    now[0] = 60.0
    pulse.beat(Position(60.0, 24.9, accuracy_m=12.3))
    assert pulse.say() == "0.0/s, 12 m", "the rate is that of the last seconds"
    assert out.getvalue() == ""
    assert meter.updates == [
        (0, "0.0/s, sent 0, waiting 0, 0.0 KiB"),
        (5, "2.5/s, 4.2 m, sent 3, waiting 2, 2.0 KiB, answer 202"),
        (5, "sent 3, waiting 2, 2.0 KiB, no answer from the service: refused"),
    ]


def test_the_live_line_says_what_comes_next_and_how_far_it_is_now() -> None:
    out, meter = io.StringIO(), Recorder()
    progress, ahead = Progress(5, 3, 0, 2, 2048), Guidance("右转。", 412.0, "right")
    stream.say(progress, PlainScreen(out), meter, locale="zh-CN", ahead=ahead)
    assert meter.updates == [(5, "sent 3, waiting 2, 2.0 KiB  400 米后右转。")]


def test_another_language_is_told_in_its_own() -> None:
    out = io.StringIO()
    stream.say(OffRoute(80.0), PlainScreen(out), Recorder(), locale="zh-CN")
    assert out.getvalue() == "  您已偏离路线。\n"


class Interrupted:
    """A drive during which somebody presses Ctrl-C."""

    ahead = None

    def __init__(self) -> None:
        self.stopped = False

    def __iter__(self) -> Iterator[Any]:
        yield SourceLost("shaky")
        raise KeyboardInterrupt

    def stop(self) -> None:
        self.stopped = True


@pytest.mark.parametrize("screen", [None, PlainScreen(io.StringIO())])
def test_ctrl_c_ends_a_drive_in_good_order(screen: Screen | None) -> None:
    drive = Interrupted()
    stream._follow(drive, stream._Told(screen, "en"), Watched(PushSource()))
    assert drive.stopped


def test_patience_runs_out_only_after_the_source_ended_and_while_nothing_moves() -> None:
    now = [0.0]
    push = PushSource()
    source = Watched(push)
    patience = Patience(source, give_up_s=10, now_s=lambda: now[0])

    def over(at_s: float, *, sent: int, queued: int) -> bool:
        now[0] = at_s
        return patience.is_over(Progress(9, sent, 0, queued, 0))

    assert source.live is True
    assert not over(100, sent=0, queued=9), "the source goes on"
    push.close()
    assert list(source) == []
    assert not over(105, sent=0, queued=9)
    assert not over(109, sent=4, queued=5), "something moved"
    assert not over(118, sent=4, queued=5)
    assert not over(120, sent=4, queued=0), "nothing is left"
    assert over(120, sent=4, queued=5)
    assert not patience.is_over(Arrived())


def test_serving_needs_its_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(__import__("sys").modules, "kalos_connect_sdk.service.server", None)
    assert main(["serve"]) == 2
    assert "kalos-connect-sdk[service,valhalla]" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        ("--engine", "magic"),
        ("--database", "mongo:x"),
        ("--database", "sqlite:/no/such/folder/x.db"),
        ("--host", "256.1.1.1"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_served_is_said(options: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("uvicorn")
    assert main(["serve", "--port", "0", *options]) == 2
    said = capsys.readouterr().err
    assert said.startswith("kalos-connect: the service cannot start")
    assert said.count("\n") == 1


def test_a_port_in_use_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("uvicorn")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", "--port", str(taken.getsockname()[1])]) == 2
    assert "the port is in use; choose another with --port" in capsys.readouterr().err


def test_serve_passes_its_options_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server = pytest.importorskip("kalos_connect_sdk.service.server")
    seen: list[Any] = []
    monkeypatch.setattr(server, "serve", lambda *place, **options: seen.append((place, options)))
    assert main(["serve", "--port", "1234", "--database", f"sqlite:{tmp_path}/x", "--engine", "valhalla"]) == 0
    assert seen == [(("127.0.0.1", 1234), {"database": f"sqlite:{tmp_path}/x", "engine": "valhalla"})]
    assert serve._port("0") == 0
