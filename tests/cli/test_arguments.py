"""The command line itself: what it accepts, and that it always ends with a code and never with a traceback."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from kalos_connect_sdk.cli import main as cli
from kalos_connect_sdk.cli import status
from kalos_connect_sdk.cli.main import build_parser, main
from kalos_connect_sdk.cli.opening import DEFAULT_APP
from kalos_connect_sdk.cli.route import place
from kalos_connect_sdk.errors import ConsentRequired, KalosConnectError
from kalos_connect_sdk.model.decision import Reason

COMMANDS = [
    ["demo"],
    ["doctor"],
    ["status"],
    ["consent", "request"],
    ["consent", "withdraw"],
    ["consent", "show"],
    ["consent", "receipts"],
    ["consent", "reset"],
    ["consent", "verify"],
    ["stream"],
    ["route"],
    ["serve"],
]


@pytest.mark.parametrize("command", [[], ["consent"], *COMMANDS], ids=" ".join)
def test_every_command_explains_itself(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--help"]) == 0
    assert "usage: kalos-connect" in capsys.readouterr().out


@pytest.mark.parametrize(
    "line",
    [
        [],
        ["consent"],
        ["privacy"],
        ["privacy", "report", "--days", "8"],
        ["status", "--colour"],
        ["status", "extra"],
        ["stream"],
        ["stream", "--from", "gpx:x", "--speed", "-1"],
        ["stream", "--from", "gpx:x", "--speed", "fast"],
        ["stream", "--from", "gpx:x", "--answer", "yes"],
        ["consent", "request", "--answer", "allow"],
        ["consent", "request", "--guardian", " "],
        ["consent", "withdraw", "--answer", "deny"],
        ["consent", "verify"],
        ["route"],
        ["route", "--to", "here"],
        ["route", "--to", "91,0"],
        ["serve", "--port", "65536"],
        ["serve", "--port", "http"],
        ["stat"],
        ["status", "--js"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line) == 2
    said = capsys.readouterr()
    assert said.err
    assert "Traceback" not in said.err
    assert not said.out


def test_common_options_stand_before_or_after_the_command() -> None:
    before = build_parser().parse_args(["--app", "a", "--json", "status"])
    after = build_parser().parse_args(["status", "--app", "a", "--json"])
    assert (before.app, before.json) == (after.app, after.json) == ("a", True)


def test_options_that_are_not_given_have_one_default(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[argparse.Namespace] = []
    monkeypatch.setattr(status, "run", lambda args: seen.append(args) or 0)
    assert main(["status"]) == 0
    assert vars(seen[0]) | {"run": None} == {
        "config": None,
        "app": DEFAULT_APP,
        "profile": None,
        "json": False,
        "debug": False,
        "seen": False,
        "run": None,
    }


@pytest.mark.parametrize("text", ["60.17,24.94", " -33.8 , 151.2 ", "0,-180", "+1.,2"])
def test_places_are_latitude_and_longitude(text: str) -> None:
    latitude, longitude = map(float, text.split(","))
    assert (place(text).latitude, place(text).longitude) == (latitude, longitude)


@pytest.mark.parametrize(
    "text", ["", "1", "1,2,3", "nan,0", "1e400,0", "1,2" + "0" * 100, "１,２", "91.25,0", "0,180.5"]
)
def test_r10_a_place_that_is_none_is_not_repeated(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        place(text)
    assert str(caught.value) == "must be LAT,LON in degrees, such as 60.17,24.94"
    assert "91.25" not in str(caught.value)


def test_a_southern_latitude_is_no_option() -> None:
    words = cli._with_negative_places(["route", "--to", "-33.8,151.2", "--from", "-.5,1", "--json", "-x"])
    args = build_parser().parse_args(words[:-1])
    assert (args.to.latitude, args.origin.latitude) == (-33.8, -0.5)
    assert words[-1] == "-x"


class Command:
    """A command that does what it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __call__(self, raised: BaseException, *options: str) -> int:
        def run(args: argparse.Namespace) -> int:
            raise raised

        self._monkeypatch.setattr(status, "run", run)
        return main(["status", *options])


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Command:
    return Command(monkeypatch)


def test_r10_an_unexpected_error_is_one_sentence_without_its_content(
    failing: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing(RuntimeError("60.1699 24.9384")) == 1
    assert capsys.readouterr().err == (
        "kalos-connect: something went wrong inside (RuntimeError); --debug shows where\n"
    )


def test_debug_lets_an_unexpected_error_through(failing: Command) -> None:
    with pytest.raises(RuntimeError):
        failing(RuntimeError("x"), "--debug")
    with pytest.raises(KalosConnectError):
        failing(KalosConnectError("x"), "--debug")


def test_an_expected_error_is_a_sentence_even_with_debug(failing: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert failing(ConsentRequired(Reason.WITHDRAWN), "--debug") == 5
    assert capsys.readouterr().err.startswith("kalos-connect: Consent was withdrawn.")


def test_texts_of_errors_cannot_steer_the_terminal(failing: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert failing(KalosConnectError("a\x1b[2J\nb")) == 1
    assert capsys.readouterr().err == "kalos-connect: a\\x1b[2J\\x0ab\n"


def test_an_interruption_exits_with_130(failing: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert failing(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "kalos-connect: interrupted\n"


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    shell = f"{sys.executable} -m kalos_connect_sdk.cli --help | head -c 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_unknown_variable_is_a_configuration_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KALOS_CONNECT_CONSENT", "given")
    assert main(["status"]) == 2
    assert "unknown environment variable 'KALOS_CONNECT_CONSENT'" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["consent", "request"], ["stream", "--from", "gpx:x.gpx"]], ids=" ".join)
@pytest.mark.parametrize("answer", ["allow-this-drive", "deny", "dismiss"])
@pytest.mark.parametrize("url", ["https://maps.example", "https://localhost:8787", None])
def test_nothing_answers_for_a_person_off_loopback(
    command: list[str],
    answer: str,
    url: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if url is not None:
        monkeypatch.setenv("KALOS_CONNECT_SERVICE_URL", url)
    assert main([*command, "--answer", answer]) == 2
    assert "literal loopback address" in capsys.readouterr().err


def test_the_demo_needs_somebody_to_ask(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo"]) == 2
    assert "--answer allow-this-drive" in capsys.readouterr().err


def test_the_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("kalos-connect ")


def test_the_command_line_does_not_load_what_it_does_not_need() -> None:
    code = (
        "import sys; from kalos_connect_sdk.cli.main import main; main(['--help']);"
        "print([m for m in ('requests', 'keyring', 'sqlite3', 'rich', 'fastapi', 'cryptography') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout.splitlines()[-1] == "[]"
