"""The demo keeps its promises on a real service, and says so when something is missing."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kalos_connect_sdk.cli import demo
from kalos_connect_sdk.cli.car import write_drive
from kalos_connect_sdk.cli.embedded import EmbeddedService
from kalos_connect_sdk.cli.exits import Usage
from kalos_connect_sdk.cli.link import SlowLink
from kalos_connect_sdk.cli.main import main

ALLOW = ("--answer", "allow-this-drive")
needs_the_extra = pytest.mark.usefixtures("_extra")


@pytest.fixture
def _extra() -> None:
    for name in ("fastapi", "uvicorn", "valhalla"):
        pytest.importorskip(name)


@needs_the_extra
def test_r3_the_service_itself_measures_silence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["demo", *ALLOW, "--json", "--speed", "40"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert numbers["accepted"] == numbers["sent"] + numbers["dropped"] > 50
    assert numbers["position_bytes_before_withdrawal"] > 0
    assert numbers["position_bytes_after_withdrawal"] == 0
    assert numbers["service_holds"] == 0
    assert (numbers["complete"], numbers["refused"], numbers["notice_delivered"]) == (True, "WITHDRAWN", True)
    assert numbers["aborted"] >= 1, "a request was in flight"
    receipt = tmp_path / "receipt.json"
    receipt.write_text(json.dumps(numbers["receipt"]))
    assert main(["consent", "verify", str(receipt)]) == 0
    assert "simulated" in capsys.readouterr().out


@needs_the_extra
def test_r19_a_no_costs_nothing_else_and_speaks_chinese(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--answer", "deny", "--locale", "zh_CN.UTF-8"]) == 3
    said = capsys.readouterr().out
    assert "没有同意，就没有位置" in said
    assert "左转，进入Unioninkatu" in said
    assert "OpenStreetMap" in said


@pytest.mark.once
@needs_the_extra
def test_a_recording_off_the_map_is_driven_without_a_route(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "elsewhere.log"
    with path.open("w", newline="") as stream:
        write_drive(stream, ((13.70, 45.20), (13.72, 45.20)), datetime(2026, 5, 1, 8, tzinfo=UTC))
    assert main(["demo", *ALLOW, "--replay", str(path), "--speed", "200"]) == 0
    said = capsys.readouterr().out
    assert "does not cover this recording" in said
    assert "\x1b" not in said
    assert "Verified offline" in said


def test_a_recording_that_cannot_be_played_is_said_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("no sentence\n")
    for name in ("missing", "empty", "text"):
        assert main(["demo", *ALLOW, "--replay", str(tmp_path / name)]) == 2
        said = capsys.readouterr()
        assert (said.out, said.err.count("\n")) == ("", 1)


def test_a_recording_s_kind_is_its_name_s_or_its_beginning_s(tmp_path: Path) -> None:
    for name, content, kind in (("a.GPX", b"x", "gpx"), ("b", b"\xef\xbb\xbf <?xml", "gpx"), ("c.log", b"$GP", "nmea")):
        (tmp_path / name).write_bytes(content)
        assert demo._recording(str(tmp_path / name)) == f"{kind}:{tmp_path / name}"


@pytest.mark.parametrize(
    ("wanted", "variables", "locale"),
    [
        ("zh-CN", {}, "zh-CN"),
        ("en", {"LANG": "zh_CN.UTF-8"}, "en"),
        (None, {"LANG": "zh_CN.UTF-8"}, "zh-CN"),
        (None, {"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        (None, {"LANG": "fi_FI.UTF-8"}, "en"),
        (None, {}, "en"),
    ],
)
def test_the_language_is_the_option_s_else_the_environment_s(
    wanted: str | None, variables: dict[str, str], locale: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert demo._locale(wanted) == locale


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(Usage, match=r"kalos-connect-sdk\[demo\]"), EmbeddedService(tmp_path):
        pass


@needs_the_extra
def test_a_service_that_does_not_start_is_said(tmp_path: Path) -> None:
    with pytest.raises(Usage, match="did not start"), EmbeddedService(tmp_path, "--no-such-option"):
        pass


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that says everything twice."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                end, _ = listener.accept()
                with end:
                    if not (said := end.recv(100)):
                        return
                    end.sendall(said * 2)

        server = threading.Thread(target=serve)
        server.start()
        yield listener.getsockname()[1]
        socket.create_connection(listener.getsockname()).close()
        server.join(10)


def test_the_slow_link_carries_both_ways_and_notices_positions(echo: int) -> None:
    with SlowLink(echo, latency_s=0.01) as link:
        assert link.wait_for_positions(0.01) is False
        noticed: list[bool] = []
        watcher = threading.Thread(target=lambda: noticed.append(link.wait_for_positions(10)))
        watcher.start()
        while not link._changed._waiters:  # type: ignore[attr-defined]
            threading.Event().wait(0.001)
        with socket.create_connection(("127.0.0.1", int(link.url.rsplit(":", 1)[1]))) as device:
            device.sendall(b"POST /v1/positions")
            assert device.recv(100) == b"POST /v1/positions" * 2
            assert device.recv(100) == b"", "the far end's close arrives"
        watcher.join(10)
        assert noticed == [True]
