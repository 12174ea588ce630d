"""The commands from end to end, against a real service on loopback: one person's day on the command line."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kalos_connect_sdk import Config, Connect, Precision, PromptAnswer, Reason
from kalos_connect_sdk.cli import stream
from kalos_connect_sdk.cli.car import write_drive
from kalos_connect_sdk.cli.main import main
from kalos_connect_sdk.cli.patience import Patience
from kalos_connect_sdk.testing import FakeVehicle, ScriptedPrompter, ServiceEmulator

ALLOW = ("--answer", "allow-this-drive")


@pytest.fixture
def service() -> Iterator[ServiceEmulator]:
    with ServiceEmulator() as emulator:
        yield emulator


@pytest.fixture
def home(tmp_path: Path, service: ServiceEmulator, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory, a key file and a configuration of our own."""
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS"):
        monkeypatch.setenv(name, str(tmp_path / name))
    folder = tmp_path / "XDG_CONFIG_HOME" / "kalos-connect"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(
        f"service_url = '{service.url}'\nvault = 'file:{tmp_path}/vault'\nstate_dir = '{tmp_path}/state'\n"
    )
    return tmp_path


Said = tuple[int, Any, str]


@pytest.fixture
def say(home: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run one command; returns (exit code, its JSON or text, standard error)."""

    def run(*words: str) -> Said:
        capsys.readouterr()
        code = main(words)
        out, err = capsys.readouterr()
        return code, json.loads(out) if "--json" in words and out else out, err

    return run


@pytest.fixture
def drive(tmp_path: Path) -> str:
    """A recorded drive of a minute or two."""
    path = tmp_path / "drive.nmea"
    with path.open("w", newline="") as stream:
        write_drive(stream, ((24.94, 60.17), (24.95, 60.17), (24.95, 60.175)), datetime(2026, 5, 1, 8, tzinfo=UTC))
    return f"nmea:{path}"


def test_before_anybody_was_asked(say: Callable[..., Said]) -> None:
    code, status, _ = say("status", "--json")
    assert code == 0
    assert (status["granted"], status["service"].startswith("http://127.0.0.1:")) == (False, True)
    assert say("consent", "receipts", "--json")[:2] == (0, [])
    assert say("consent", "show", "--json")[:2] == (3, {})
    assert say("consent", "show")[:2] == (3, "There is no receipt: consent was never given.\n")


def test_r1_without_a_terminal_nobody_is_asked_and_nothing_is_sent(
    say: Callable[..., Said], service: ServiceEmulator, drive: str
) -> None:
    assert say("consent", "request")[0] == 3
    code, out, _ = say("stream", "--from", drive, "--speed", "0", "--json")
    assert code == 3
    assert out["permission"]["granted"] is False
    assert service.positions == []


def test_a_simulated_grant_says_so_in_its_receipt(say: Callable[..., Said]) -> None:
    code, permission, _ = say("consent", "request", *ALLOW, "--json")
    assert code == 0
    assert permission["granted"] is True
    assert permission["reason"] == "ALLOWED"
    assert permission["this_run_only"] is False
    code, receipt, _ = say("consent", "show", "--json")
    assert code == 0
    assert "imulat" in json.dumps(receipt)
    assert "simulated" in say("consent", "show")[1]


def test_r17_a_minors_request_names_the_evidence_of_a_guardian(
    say: Callable[..., Said], service: ServiceEmulator
) -> None:
    say("consent", "request", *ALLOW)
    say("consent", "withdraw")
    service.mark_minor()
    say("consent", "request", *ALLOW)  # the service refuses to register it, and that marks the profile
    code, text, _ = say("consent", "request", *ALLOW)
    assert code == 3
    assert "guardian" in text
    code, permission, _ = say("consent", "request", *ALLOW, "--guardian", "form 12", "--json")
    assert (code, permission["granted"]) == (0, True)
    assert "form 12" in json.dumps(say("consent", "show", "--json")[1])


@pytest.mark.parametrize(("answer", "reason"), [("deny", "REFUSED"), ("dismiss", "DISMISSED")])
def test_a_no_exits_with_3(say: Callable[..., Said], answer: str, reason: str) -> None:
    code, permission, _ = say("consent", "request", "--answer", answer, "--json")
    assert (code, permission["granted"]) == (3, False)
    assert permission["reason"] in (reason, "NOT_ASKED")
    assert say("consent", "request", "--answer", answer)[1]


def test_streaming_sends_every_position_and_counts_it(
    say: Callable[..., Said], service: ServiceEmulator, drive: str
) -> None:
    code, counts, _ = say("stream", "--from", drive, "--speed", "0", *ALLOW, "--json")
    assert code == 0
    assert counts["accepted"] == counts["sent"] == len(service.positions) > 50
    assert (counts["dropped"], counts["waiting"], counts["consent_lost"]) == (0, 0, None)
    assert "positions" not in say("stream", "--from", drive, "--speed", "0")[2]


def test_streaming_tells_people_what_it_did(say: Callable[..., Said], drive: str) -> None:
    code, text, _ = say("stream", "--from", drive, "--speed", "0", *ALLOW)
    assert code == 0
    assert "accepted" in text
    assert "\x1b" not in text


def test_a_service_that_is_away_exits_with_6(say: Callable[..., Said], service: ServiceEmulator, drive: str) -> None:
    say("consent", "request", *ALLOW)
    service.stop()
    code, _, err = say("route", "--to", "60.17,24.94", "--from", "60.18,24.95")
    assert code == 6 and "is it running, and is service_url right?" in err and "60.1" not in err
    code, report, _ = say("doctor", "--json")
    assert code == 6
    assert [check["ok"] for check in report["checks"] if check["name"] == "service"] == [False]


def test_positions_that_cannot_be_delivered_exit_with_6(
    say: Callable[..., Said], service: ServiceEmulator, drive: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "Patience", lambda source: Patience(source, give_up_s=1.0))
    say("consent", "request", *ALLOW)
    service.stop()
    code, counts, _ = say("stream", "--from", drive, "--speed", "0", "--json")
    assert (code, counts["sent"]) == (6, 0)


TO = ("--to", "60.175,24.95")
"""Where the recorded drive ends."""


def test_streaming_guides_to_a_place_from_the_first_position_on(
    say: Callable[..., Said], drive: str, service: ServiceEmulator
) -> None:
    """As the crow flies, which the car does not: it leaves the way, and gets another."""
    code, found, _ = say("stream", "--from", drive, "--speed", "0", *TO, *ALLOW, "--json")
    assert (code, found["no_route"]) == (0, None)
    told = [event["event"] for event in found["guidance"]]
    assert told[0] == "guidance" and told[-1] == "arrived" and {"off-route", "rerouted"} <= set(told)
    assert found["guidance"][0].keys() == {"event", "instruction", "distance_m", "kind", "remaining_m"}
    assert "line" not in str(found["guidance"]), "R10"
    assert len([r for r in service.requests if r["path"] == "/v1/routes"]) == 1 + told.count("rerouted")
    assert found["sent"] == found["accepted"] == len(service.positions)


def test_streaming_tells_people_the_way_as_lines(say: Callable[..., Said], drive: str) -> None:
    code, text, _ = say("stream", "--from", drive, "--speed", "0", *TO, *ALLOW)
    assert code == 0
    for words in (
        "Route: ",
        "you reach your destination.",
        "You have left the route.",
        "New route: ",
        "You have arrived.",
    ):
        assert words in text


def test_streaming_guides_in_the_configured_language(say: Callable[..., Said], drive: str, home: Path) -> None:
    path = home / "XDG_CONFIG_HOME" / "kalos-connect" / "config.toml"
    path.write_text(path.read_text() + "locale = 'zh-CN'\n")
    text = say("stream", "--from", drive, "--speed", "0", *TO, *ALLOW)[1]
    assert "后到达目的地。" in text and "您已到达目的地。" in text and "您已偏离路线。" in text


def test_streaming_without_a_way_goes_on_without_guidance(
    say: Callable[..., Said], drive: str, service: ServiceEmulator
) -> None:
    service.fail(503, times=2, path="/v1/routes")
    code, found, _ = say("stream", "--from", drive, "--speed", "0", *TO, *ALLOW, "--json")
    assert code == 0 and "503" in found["no_route"] and found["guidance"] == []
    code, text, _ = say("stream", "--from", drive, "--speed", "0", *TO)
    assert code == 0 and "no way to be guided along: the service refused" in text


def test_r15_streaming_with_an_approximate_grant_asks_for_no_way(
    say: Callable[..., Said], drive: str, service: ServiceEmulator, home: Path
) -> None:
    config = Config(service_url=service.url, vault=f"file:{home}/vault", state_dir=str(home / "state"))
    prompter = ScriptedPrompter(PromptAnswer.allow(precision=Precision.APPROXIMATE))
    with Connect("kalos-connect", config=config, prompter=prompter, vehicle=FakeVehicle()) as connect:
        assert connect.request_permission(user_action=True).precision is Precision.APPROXIMATE
    code, text, _ = say("stream", "--from", drive, "--speed", "0", *TO)
    assert code == 0 and "no way to be guided along: location may not be used: PRECISION" in text
    assert not [r for r in service.requests if r["path"] == "/v1/routes"]


def test_r10_a_place_that_is_none_is_refused_without_its_value(say: Callable[..., Said], drive: str) -> None:
    code, _, err = say("stream", "--from", drive, "--to", "60.123456;24.9")
    assert code == 2 and "60.123456" not in err


def test_a_service_that_revokes_ends_the_stream_with_5(
    say: Callable[..., Said], service: ServiceEmulator, drive: str
) -> None:
    say("consent", "request", *ALLOW)
    service.revoke()
    code, counts, _ = say("stream", "--from", drive, "--speed", "0", "--json")
    assert (code, counts.get("consent_lost") or counts["permission"]["reason"]) == (5, "REVOKED")
    assert service.positions == []


def test_doctor_names_what_is_usable(say: Callable[..., Said]) -> None:
    code, report, _ = say("doctor", "--json")
    assert (code, report["ok"]) == (0, True)
    rows = {check["name"]: check for check in report["checks"]}
    assert {"state", "vault", "clock", "sources", "service"} <= set(rows)
    assert rows["sources"]["detail"].startswith("gpx, nmea, gpsd, serial, nmea+tcp, nmea+udp")
    code, text, _ = say("doctor")
    assert code == 0
    assert "answers" in text


def test_a_recording_that_gave_nothing_says_why(say: Callable[..., Said], tmp_path: Path) -> None:
    (tmp_path / "notes.log").write_text("we drove to the sea\n")
    code, text, _ = say("stream", "--from", str(tmp_path / "notes.log"), *ALLOW)
    assert code == 2 and "source: the recording holds no NMEA" in text
    (tmp_path / "garage.log").write_text("$GPGGA,090000.00,,,,,0,00,99.99,,M,,M,,*6F\n")
    code, text, _ = say("stream", "--from", str(tmp_path / "garage.log"), *ALLOW)
    assert code == 0 and "No position came from the source: did it have a fix?" in text


def test_r11_withdrawing_is_one_command_and_the_service_knows(
    say: Callable[..., Said], service: ServiceEmulator, drive: str
) -> None:
    say("stream", "--from", drive, "--speed", "0", *ALLOW)
    code, report, _ = say("consent", "withdraw", "--json")
    assert code == 0
    assert (report["complete"], report["active"], report["notice"]) == (True, False, "delivered")
    assert len(service.withdrawals) == 1
    before = len(service.positions)
    assert say("stream", "--from", drive, "--speed", "0")[0] == 5
    assert say("status", "--json")[1]["reason"] == "WITHDRAWN"
    assert len(service.positions) == before
    code, text, _ = say("consent", "withdraw")
    assert code == 0
    assert "Withdrawn." in text


def test_r12_what_happened_while_driving_is_told_until_it_was_read(
    say: Callable[..., Said], home: Path, service: ServiceEmulator
) -> None:
    say("consent", "request", *ALLOW)
    assert say("status", "--json")[1]["drive_review"] == []
    assert "While driving" not in say("status")[1]
    vehicle = FakeVehicle(parked=False, speed_mps=20.0)
    config = Config(service_url=service.url, state_dir=f"{home}/state", vault=f"file:{home}/vault")
    with Connect("kalos-connect", config=config, vehicle=vehicle) as car:
        assert car.permission().granted
        car.withdraw()
        assert car.request_permission(user_action=True).reason is Reason.NO_PROMPTER
    code, text, _ = say("status")
    assert code == 0
    assert "While driving" in text and "Sharing your location was stopped." in text and "status --seen" in text
    [told] = say("status", "--json")[1]["drive_review"]
    assert (told["outcome"], told["reason"], told["by"], told["times"]) == ("withdrawn", "WITHDRAWN", "subject", 1)
    assert datetime.fromisoformat(told["first_at"]) == datetime.fromisoformat(told["last_at"])
    assert "While driving" not in say("status", "--seen")[1]
    assert say("status", "--json")[1]["drive_review"] == []


def test_r12_after_a_withdrawal_only_the_person_reopens_the_question(say: Callable[..., Said]) -> None:
    say("consent", "request", *ALLOW)
    say("consent", "withdraw")
    assert say("consent", "request", *ALLOW, "--json")[1]["epoch"] == 2


def test_r18_another_profile_is_another_person(say: Callable[..., Said]) -> None:
    say("consent", "request", *ALLOW, "--profile", "anna")
    assert say("status", "--json", "--profile", "anna")[1]["granted"] is True
    assert say("status", "--json", "--profile", "ben")[1]["granted"] is False
    assert say("status", "--json", "--app", "other", "--profile", "anna")[1]["granted"] is False
    assert "anna" in say("status", "--profile", "anna")[1]


def test_r19_a_route_between_typed_places_needs_no_consent(say: Callable[..., Said], service: ServiceEmulator) -> None:
    code, route, _ = say("route", "--to", "60.17,24.94", "--from", "60.18,24.95", "--json")
    assert code == 0
    assert route["geometry"]["type"] == "LineString"
    code, text, _ = say("route", "--to", "60.17,24.94", "--from", "60.18,24.95")
    assert code == 0
    assert "Route: 1." in text
    assert service.consents == {}


def test_r2_a_route_from_here_needs_consent_and_a_position(say: Callable[..., Said]) -> None:
    assert say("route", "--to", "60.17,24.94")[0] == 3
    say("consent", "request", *ALLOW)
    code, _, err = say("route", "--to", "60.17,24.94")
    assert code == 2
    assert "60.17" not in err


def test_a_source_that_is_none_is_usage(say: Callable[..., Said], tmp_path: Path) -> None:
    say("consent", "request", *ALLOW)
    assert say("stream", "--from", "carrier-pigeon:x")[0] == 2
    code, _, err = say("stream", "--from", f"gpx:{tmp_path}/missing.gpx")
    assert code == 2
    assert err.count("\n") == 1


def test_r5_a_withdrawal_that_cannot_be_recorded_is_not_called_one(say: Callable[..., Said], home: Path) -> None:
    say("consent", "request", *ALLOW)
    state = next((home / "state").rglob("ledger.db")).parent
    state.chmod(0o777)
    code, text, _ = say("consent", "withdraw")
    assert (code, "NOT withdrawn" in text, "chmod 700" in text) == (7, True, True)
    assert say("consent", "withdraw", "--json")[0] == 7
    state.chmod(0o700)
    assert say("status", "--json")[1]["granted"], "nothing could be written, and nothing was claimed"
    assert say("consent", "withdraw")[0] == 0


def test_a_route_from_here_without_a_position_says_what_to_add(say: Callable[..., Said]) -> None:
    say("consent", "request", *ALLOW)
    code, _, err = say("route", "--to", "60.17,24.94")
    assert (code, "--from LAT,LON" in err) == (2, True)
    assert say("consent", "--json", "show")[0] == 0, "common options stand anywhere"


def test_r8_reset_is_the_way_out_of_a_damaged_state(say: Callable[..., Said], home: Path) -> None:
    say("consent", "request", *ALLOW)
    ledger = next((home / "state").rglob("ledger.db"))
    damaged = bytearray(ledger.read_bytes())
    damaged[100:] = b"\xff" * (len(damaged) - 100)
    ledger.write_bytes(bytes(damaged))
    code, status, _ = say("status", "--json")
    assert (code, status["granted"], status["drive_review"]) == (7, False, None)
    assert say("status")[0] == 7
    assert say("consent", "withdraw", "--json")[0] == 0, "R11: in any state"
    assert say("consent", "reset", "--json")[:1] == (0,)
    assert say("status", "--json")[0] == 0
    assert "kept" in say("consent", "reset")[1]


def test_r20_receipts_verify_without_state_or_configuration(
    say: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    say("consent", "request", *ALLOW)
    say("consent", "withdraw")
    say("consent", "request", *ALLOW)
    receipts = say("consent", "receipts", "--json")[1]
    assert len(receipts) == 2
    assert say("consent", "receipts")[1].count("valid") >= 2
    file = tmp_path / "receipts.json"
    file.write_text(json.dumps(receipts))
    monkeypatch.setenv("KALOS_CONNECT_NO_SUCH_SETTING", "x")  # would fail every command that reads settings
    monkeypatch.setenv("XDG_STATE_HOME", "/nowhere")
    code, found, _ = say("consent", "verify", str(file), "--json")
    assert code == 0
    assert [document["valid"] for document in found] == [True, True]
    assert found[0]["fingerprint"].startswith("SHA256:")
    assert say("consent", "verify", str(file))[1].count(found[0]["fingerprint"]) == 2


def _first_key(receipt: Any) -> str:
    """The 43 characters of base64url that are the receipt's public key."""
    from kalos_connect_sdk.cli.verify import judge
    from kalos_connect_sdk.crypto.encoding import b64

    key = judge(receipt, None).public_key
    assert key is not None
    return b64(key)


def test_r20_a_pinned_key_must_be_the_signer_s(say: Callable[..., Said], tmp_path: Path) -> None:
    say("consent", "request", *ALLOW)
    receipt = say("consent", "show", "--json")[1]
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(receipt))
    key = _first_key(receipt)
    code, found, _ = say("consent", "verify", str(file), "--public-key", key, "--json")
    assert (code, found["valid"], found["pinned"]) == (0, True, True)
    assert "as pinned" in say("consent", "verify", str(file), "--public-key", key)[1]
    code, found, _ = say("consent", "verify", str(file), "--public-key", "ab" * 32, "--json")
    assert (code, found["valid"]) == (2, False)
    assert found["problems"]


def test_r20_a_changed_receipt_is_not_valid(say: Callable[..., Said], tmp_path: Path) -> None:
    say("consent", "request", *ALLOW)
    text = json.dumps(say("consent", "show", "--json")[1])
    file = tmp_path / "receipt.json"
    file.write_text(text.replace("navigation", "advertising"))
    code, shown, _ = say("consent", "verify", str(file))
    assert code == 2
    assert "NOT valid" in shown


def test_output_on_an_ascii_terminal_is_still_json(say: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", narrow)
    assert main(["status", "--json", "--profile", "安娜"]) == 0
    narrow.flush()
    assert json.loads(narrow.buffer.getvalue())["profile"] == "安娜"  # type: ignore[attr-defined]


def test_nothing_was_written_to_the_working_directory(
    say: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    say("consent", "request", *ALLOW)
    say("consent", "withdraw")
    assert os.listdir() == []
