"""Drives from receivers: what an app and a person at a terminal see when a source is lost, and when it is heard again."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from receivers import Bench, Gpsd, TcpServer, Ticker, bench, free_port, until

from kalos_connect_sdk import (
    AssertedParked,
    AsyncConnect,
    Config,
    Position,
    Progress,
    PromptAnswer,
    SourceError,
    SourceLost,
    SourceRestored,
)
from kalos_connect_sdk.cli.main import main
from kalos_connect_sdk.storage.datakeys import DataKeys
from kalos_connect_sdk.storage.directory import StateDirectory
from kalos_connect_sdk.testing import ScriptedPrompter

__all__ = ["bench"]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A state directory whose data keys do not stay in the kernel's keyring, which has a quota."""
    yield tmp_path / "state"
    for leaf in (tmp_path / "state").glob("*/*/"):
        profile = None if leaf.name.startswith("_") else leaf.name
        directory = StateDirectory.open(leaf.parent.name, profile, str(tmp_path / "state"), create=False)
        DataKeys.choose(directory, None).remove()


def receiver(bench: Bench) -> tuple[TcpServer, Ticker]:
    """One that knows what time it is: it starts ten minutes ago and catches up."""
    server = bench.keep(TcpServer())
    ticker = bench.keep(Ticker(server.send, start=datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=10)))
    ticker.start()
    return server, ticker


def test_a_drive_outlives_its_daemon_and_says_so(bench: Bench, make, service) -> None:
    server, _ = receiver(bench)
    daemon = bench.keep(Gpsd(f"tcp://127.0.0.1:{server.port}"))
    connect = make()
    assert connect.request_permission(user_action=True).granted
    with connect.drive(f"gpsd://127.0.0.1:{daemon.port}") as drive:
        events = iter(drive)
        until(lambda: drive.stats.sent > 3)
        daemon.kill()
        lost = next(event for event in events if isinstance(event, SourceLost))
        assert lost.retrying and lost.detail.startswith(
            ("gpsd ended the connection", "the connection to gpsd was lost")
        )
        bench.keep(Gpsd(f"tcp://127.0.0.1:{server.port}", port=daemon.port))
        assert next(event for event in events if isinstance(event, SourceRestored)) == SourceRestored()
        sent = drive.stats.sent
        until(lambda: drive.stats.sent > sent)
        answers = {event.answer for event in [next(events) for _ in range(3)] if isinstance(event, Progress)}
        assert answers == {"202"}
    assert not drive.running and len(service.positions) == drive.stats.sent


def test_r3_withdrawing_ends_a_drive_that_waits_for_its_receiver(bench: Bench, make) -> None:
    server = bench.keep(TcpServer())
    connect = make()
    connect.request_permission(user_action=True)
    drive = connect.drive(f"nmea+tcp://127.0.0.1:{server.port}")
    server.wait_for(1)
    server.close()
    assert next(event for event in drive if isinstance(event, SourceLost)).retrying
    assert connect.withdraw().complete
    assert drive.wait(10)


# -- asyncio ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["it ends", "it breaks", "the app leaves"])
def test_an_asynchronous_stream_is_driven_to_its_end(state: Path, service, ending: str) -> None:
    closed = []

    async def stream() -> AsyncIterator[Position]:
        begun = datetime.now(UTC) - timedelta(seconds=5)
        try:
            for i in range(20):
                yield Position(60 + i * 1e-4, 24.9, time=begun + timedelta(milliseconds=i))
                await asyncio.sleep(0)
            if ending == "it breaks":
                raise SourceError("the receiver was unplugged")
            if ending == "the app leaves":
                await asyncio.Event().wait()
        finally:
            closed.append(True)

    async def run() -> list[str]:
        config = Config(service_url=service.url, state_dir=state, vault="memory")
        vehicle = AssertedParked("a test bench")
        async with AsyncConnect(
            "com.example.a", config=config, prompter=ScriptedPrompter(PromptAnswer.allow()), vehicle=vehicle
        ) as connect:
            assert (await connect.request_permission(user_action=True)).granted
            told = []
            async with connect.drive(stream()) as drive:
                async for event in drive:
                    if isinstance(event, SourceLost):
                        told.append(event.detail)
                    if ending == "the app leaves" and drive.stats.accepted == 20:
                        break
            assert drive.stats.accepted == drive.stats.sent == 20
            return told

    told = asyncio.run(asyncio.wait_for(run(), 60))
    assert told == (["the receiver was unplugged"] if ending == "it breaks" else [])
    assert closed and len(service.positions) == 20


# -- the command line ------------------------------------------------------------------------------


@pytest.fixture
def settings(monkeypatch, state: Path, service) -> None:
    for name, value in (("SERVICE_URL", service.url), ("STATE_DIR", str(state)), ("VAULT", "memory")):
        monkeypatch.setenv(f"KALOS_CONNECT_{name}", value)


def test_stream_from_gpsd_tells_rate_accuracy_queue_and_answer_until_ctrl_c(bench: Bench, settings, service) -> None:
    server, _ = receiver(bench)
    daemon = bench.keep(Gpsd(f"tcp://127.0.0.1:{server.port}"))
    command = ["stream", "--from", f"gpsd://localhost:{daemon.port}", "--answer", "allow-this-drive"]
    shell = subprocess.Popen(
        [sys.executable, "-m", "kalos_connect_sdk.cli", *command],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # as at a terminal; a job of a script ignores it
    )  # fmt: skip
    assert shell.stdout is not None
    live = next((line for line in shell.stdout if "/s" in line), "nothing")
    daemon.kill()
    lost = next((line for line in shell.stdout if "source:" in line), "nothing")
    shell.send_signal(signal.SIGINT)
    rest = shell.communicate(timeout=60)[0]
    for words in ("positions: ", "/s, 7.8 m, sent ", "waiting ", "KiB, answer 202"):
        assert words in live, live
    assert "trying again" in lost
    assert shell.returncode == 0, rest
    assert "Drive" in rest and len(service.positions) > 20


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("gpsd://127.0.0.1:{port}", "is it running, and does it listen there?"),
        ("serial:/dev/no-such-receiver", "is the receiver plugged in?"),
        ("nmea+tcp://127.0.0.1:{port}", "does it listen there"),
        ("nmea+udp://192.0.2.1:{port}", "give an address of this machine"),
        ("carrier-pigeon:home", "known are gpx:FILE, nmea:FILE, gpsd://"),
    ],
)
def test_what_is_missing_is_told_in_one_line_with_what_to_do(settings, capsys, url: str, words: str) -> None:
    assert main(["stream", "--from", url.format(port=free_port()), "--answer", "allow-this-drive"]) == 2
    said = capsys.readouterr()
    assert words in said.err and said.err.count("\n") == 1 and not said.out
