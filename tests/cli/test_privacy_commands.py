"""``kalos-connect privacy``: a person's rights on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kalos_connect_sdk import Position
from kalos_connect_sdk.cli.main import main
from kalos_connect_sdk.model.rights import RequestStatus
from kalos_connect_sdk.testing import ServiceEmulator

Said = tuple[int, Any, str]


@pytest.fixture
def service() -> Iterator[ServiceEmulator]:
    with ServiceEmulator() as emulator:
        yield emulator


@pytest.fixture
def say(tmp_path: Path, service: ServiceEmulator, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run one command; returns (exit code, its JSON or text, standard error)."""
    config = tmp_path / "config.toml"
    config.write_text(
        f"service_url = '{service.url}'\nvault = 'file:{tmp_path}/vault'\nstate_dir = '{tmp_path}/state'\n"
    )

    def run(*words: str) -> Said:
        capsys.readouterr()
        code = main([*words, "--config", str(config)])
        out, err = capsys.readouterr()
        return code, json.loads(out) if "--json" in words else out, err

    return run


@pytest.fixture
def driven(say: Callable[..., Said], tmp_path: Path) -> None:
    """Consent was given and one drive was sent."""
    path = tmp_path / "drive.gpx"
    here = Position(60.169857, 24.938379)
    point = f'<trkpt lat="{here.latitude}" lon="{here.longitude}"><time>2026-05-01T08:00:00Z</time></trkpt>'
    path.write_text(
        f'<gpx version="1.1" creator="x" xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>{point}</trkseg></trk></gpx>'
    )
    assert say("stream", "--from", f"gpx:{path}", "--speed", "0", "--answer", "allow-this-drive")[0] == 0


@pytest.mark.usefixtures("driven")
def test_a_report_says_what_was_sent(say: Callable[..., Said]) -> None:
    code, found, _ = say("privacy", "report", "--json")
    assert (code, found["positions"], found["grants"], found["requests"]) == (0, 1, 1, [])
    code, text, _ = say("privacy", "report", "--days", "1")
    assert code == 0
    assert "1 in the last 1 days" in text and "navigation" in text


@pytest.mark.usefixtures("driven")
def test_r10_an_export_is_json_without_a_coordinate(say: Callable[..., Said]) -> None:
    code, text, _ = say("privacy", "export")
    assert code == 0
    assert {"receipts", "history", "use", "requests", "permissions"} <= json.loads(text).keys()
    assert "60.16985" not in text and "24.93837" not in text


@pytest.mark.usefixtures("driven")
def test_r19_a_deletion_is_one_command(say: Callable[..., Said], service: ServiceEmulator) -> None:
    code, made, _ = say("privacy", "delete", "--reason", "no-consent", "--json")
    assert (code, made["kind"], made["reason"], made["status"]) == (0, "deletion", "no-consent", "completed")
    assert [consent["kept"] for consent in service.consents.values()] == [0]
    assert say("status", "--json")[1]["granted"] is False
    code, text, _ = say("privacy", "requests")
    assert "deletion (no-consent)" in text and "done" in text and "positions" in text


def test_what_is_open_says_by_when_and_whom_to_ask(say: Callable[..., Said], service: ServiceEmulator) -> None:
    assert say("privacy", "requests")[1].startswith("Nothing was asked for")
    service.review(lambda case: replace(case, status=RequestStatus.IDENTITY_PENDING))
    code, text, _ = say("privacy", "explain")
    assert code == 0
    assert "who is asking" in text and "owed by" in text and "product@zjinnova.com" in text
    service.review(lambda case: replace(case, status=RequestStatus.REFUSED, refusal_code="other"))
    assert "without a reason, which the policy does not allow" in say("privacy", "requests")[1]
    service.stop()
    code, text, _ = say("privacy", "delete")
    assert code == 0 and "not acknowledged yet" in text


def test_a_reason_that_is_none_is_usage(say: Callable[..., Said]) -> None:
    code, _, error = say("privacy", "delete", "--reason", "spite")
    assert code == 2 and "no-longer-used" in error


def test_without_a_key_the_vault_is_named(say: Callable[..., Said], tmp_path: Path) -> None:
    (tmp_path / "vault").write_text("not a key file")
    (tmp_path / "vault").chmod(0o600)
    code, _, error = say("privacy", "explain")
    assert code == 7 and "doctor" in error
