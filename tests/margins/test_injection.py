"""Text from outside forges no line of a log and moves no cursor: it is refused, reduced or escaped (R10)."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hostile_service import HostileService

from kalos_connect_sdk import Config, Connect, KalosConnectError, Place
from kalos_connect_sdk.cli.main import main
from kalos_connect_sdk.config import from_mapping
from kalos_connect_sdk.errors import ServiceRefused
from kalos_connect_sdk.sources import open_source

EVIL = "x\r\n2026-01-01 ERROR forged\x1b[2J\x07\x9b1A\u2028\u202e"
IN_A_NAME = EVIL.replace("/", "")
PATHS = ("state_dir", "ca_bundle", "enrolment_token_file")


def is_plain(text: str) -> bool:
    """One line without control characters, also the invisible ones that reorder text."""
    return not any(unicodedata.category(letter) in ("Cc", "Cf", "Zl", "Zp") for letter in text)


def refused(action) -> str:
    with pytest.raises((KalosConnectError, ValueError)) as caught:
        action()
    return f"{caught.value} {caught.value!r}"


@pytest.mark.fault(51)
def test_r10_an_app_id_that_forges_a_line_is_refused_without_being_printed(tmp_path):
    def use() -> None:
        with Connect(EVIL, config=Config(state_dir=tmp_path, vault="memory")) as connect:
            _ = connect.state_path

    assert is_plain(refused(use))


@pytest.mark.fault(51)
def test_r10_a_profile_may_be_called_anything_and_names_no_file(tmp_path):
    with Connect("com.example.test", config=Config(state_dir=tmp_path, vault="memory"), profile=EVIL) as connect:
        assert is_plain(f"{connect.state_path} {connect!r} {connect.permission()!r} {connect.doctor()!r}")


@pytest.mark.fault(51)
@pytest.mark.parametrize("name", ["service_url", "service_region", "vault", "locale", "proxy", *PATHS])
def test_r10_a_setting_that_forges_a_line_is_refused_without_being_printed(name):
    assert is_plain(refused(lambda: Config(**{name: EVIL})))
    assert is_plain(refused(lambda: Config(**{name: f"file:/srv/{IN_A_NAME}"})))


@pytest.mark.fault(51)
def test_r10_an_unknown_key_is_escaped(monkeypatch):
    assert is_plain(refused(lambda: from_mapping({EVIL: 1})))
    monkeypatch.setenv(f"KALOS_CONNECT_{EVIL}", "1")
    assert is_plain(refused(Config))


@pytest.mark.fault(51)
def test_r10_a_file_name_is_escaped(tmp_path):
    path = tmp_path / f"{IN_A_NAME}.gpx"
    assert is_plain(refused(lambda: open_source(path)))
    path.write_text("no gpx")
    assert is_plain(refused(lambda: list(open_source(path))))


@pytest.mark.fault(51)
def test_r10_nothing_of_a_problem_document_is_printed_but_a_plain_name(make, capsys, tmp_path):
    with HostileService() as service:
        connect = make(settings={"service_url": service.url})
        service.mood = "echo 400"
        with pytest.raises(ServiceRefused) as caught:
            connect.route(Place(1.0, 2.0, name=EVIL), origin=Place(1.5, 2.0), locale="en")
        assert is_plain(f"{caught.value} {json.dumps(caught.value.problem, ensure_ascii=False)}")
        config = tmp_path / "config.toml"
        config.write_text(f'service_url = "{service.url}"\nvault = "memory"\nstate_dir = "{tmp_path / "s"}"\n')
        code = main(["route", "--to", "1,2", "--from", "1.5,2", "--config", str(config)])
    said = capsys.readouterr()
    assert code and is_plain(said.err.rstrip("\n")) and said.out == ""


@pytest.mark.fault(51)
@pytest.mark.parametrize(
    "arguments",
    [
        ["status", "--app", EVIL],
        ["status", "--profile", EVIL],
        ["status", "--config", EVIL],
        ["stream", "--from", EVIL],
        ["stream", "--from", f"gpx:{EVIL}"],
        ["consent", "verify", EVIL],
    ],
)
def test_r10_an_argument_that_forges_a_line_is_not_printed_as_it_is(arguments, capsys):
    assert main(arguments) != 0 or "--profile" in arguments
    said = capsys.readouterr()
    assert all(is_plain(line) for line in (said.err + said.out).rstrip("\n").split("\n"))
    assert not any(line.startswith("2026-01-01 ERROR") for line in (said.err + said.out).splitlines())
