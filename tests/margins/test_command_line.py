"""The command line, with data and with errors: what it prints and what it leaves holds no coordinate, key or token (R10)."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import pytest
from canaries import HERE, LATITUDE, LONGITUDE, Canaries, position, secret
from hostile_service import ACCESS_TOKEN, HostileService

from kalos_connect_sdk.cli.main import main

ENROLMENT_TOKEN = "canary-enrolment-token-Xn5pTb8Ym2"
TARGET = (84.6153842907, 131.9472615383)
HERE_TYPED, THERE_TYPED = f"{LATITUDE},{LONGITUDE}", f"{TARGET[0]},{TARGET[1]}"
FIX = f'<trkpt lat="{LATITUDE}" lon="{LONGITUDE}"><time>2026-01-01T00:00:0{{}}Z</time></trkpt>'
GPX = "<gpx><trk><trkseg>" + "".join(FIX.format(second) for second in range(9)) + "</trkseg></trk></gpx>"
ANSWER = ("--answer", "allow-this-drive")


def secrets_in(vault: Path) -> list[tuple[str, bytes]]:
    """The keys that the key file holds, by name."""
    from kalos_connect_sdk.crypto.encoding import unb64

    found = []
    for entry in json.loads(vault.read_text())["slots"].values():
        stored = json.loads(unb64(entry))
        for name in ("signing", "authentication"):
            found += secret(unb64(stored[name]), name)
    return found


@pytest.mark.once
@pytest.mark.fault(48)
def test_r10_no_command_prints_or_leaves_a_coordinate_key_or_token(tmp_path, capsys, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "enrolment").write_text(ENROLMENT_TOKEN)
    drives = tmp_path / "drives"
    drives.mkdir()
    (drives / "good.gpx").write_text(GPX)
    (drives / "cut.gpx").write_text(GPX[:-40])
    (drives / "not.gpx").write_text(HERE_TYPED)
    said = ""
    with HostileService() as service:
        (tmp_path / "config.toml").write_text(
            f"service_url = '{service.url}'\nvault = 'file:{tmp_path}/vault'\nstate_dir = '{tmp_path}/state'\n"
            f"enrolment_token_file = '{tmp_path}/enrolment'\nmax_retries = 0\ntimeout_s = 5\n"
        )

        def run(*words: str) -> int:
            nonlocal said
            code = main([*words, "--config", str(tmp_path / "config.toml")])
            captured = capsys.readouterr()
            said += captured.out + captured.err
            return code

        stream = ("stream", "--speed", "0", "--from")
        for options in ((), ("--json",), ("--debug",)):
            assert run(*stream, f"gpx:{drives / 'good.gpx'}", *ANSWER, *options) == 0
            assert run(*stream, f"gpx:{drives / 'not.gpx'}", *ANSWER, *options) == 2
            run(*stream, f"gpx:{drives / 'cut.gpx'}", *ANSWER, *options)
            for command in ("status", "doctor", "consent show", "consent receipts", "privacy report", "privacy export"):
                assert run(*command.split(), *options) == 0, command
            for mood in ("echo 400", "redirect", "garbage"):
                service.mood = mood
                assert run("route", "--to", THERE_TYPED, "--from", HERE_TYPED, *options) != 0
                run(*stream, f"gpx:{drives / 'good.gpx'}", *ANSWER, *options)
            service.mood = None
            assert run("route", "--to", THERE_TYPED, *options) == 2
            assert run("route", "--to", f"{TARGET[1]},{TARGET[0]}", "--from", HERE_TYPED, *options) == 2
            assert run("stream", "--from", HERE_TYPED, *options) == 2
            assert run(HERE_TYPED, *options) == 2
            assert run("consent", "withdraw", *options) == 0
        assert run("consent", "reset") == 0
        heard = b"\n".join(body for _, body in service.heard)
    keys = secrets_in(tmp_path / "vault")
    tokens = [*secret(ACCESS_TOKEN.encode(), "access token"), *secret(ENROLMENT_TOKEN.encode(), "enrolment token")]
    everything = Canaries(HERE, position(*TARGET, "destination"), keys, tokens)
    assert everything.found_in(heard), "the control: it was sent"
    # What a person mistypes as a command, the argument parser of Python repeats: that is the only place.
    repeated = [line for line in said.splitlines() if "invalid choice" in line]
    assert len(repeated) == 3
    told = "\n".join(line for line in said.splitlines() if line not in repeated)
    assert everything.found_in(told) == []
    assert len(told) > 5000
    assert everything.found_in(caplog.text) == [] and "urllib3" in caplog.text
    assert everything.found_below(tmp_path / "state") == {}
    assert set(everything.found_below(tmp_path)) <= {
        "vault",
        "enrolment",
        *(f"drives/{p.name}" for p in drives.iterdir()),
    }
    assert Canaries(HERE).found_in((tmp_path / "vault").read_bytes()) == []


@pytest.mark.once
@pytest.mark.fault(48)
def test_r10_the_demo_shows_a_drive_and_no_number_of_it(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    degrees = re.compile(r"(?<![\d:.])-?\d{1,3}\.\d{4,}")
    assert degrees.search("at 60.1699,24.9384"), "the control"
    assert main(["demo", "--speed", "0", *ANSWER]) == 0
    said = capsys.readouterr()
    assert len(said.out) > 1000 and degrees.search(said.out + said.err) is None
    assert list(tmp_path.iterdir()) == []
