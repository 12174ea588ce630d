"""NMEA as the real gpsd reads it: the same logs through both, compared fix by fix in time and place."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

import pytest
from receivers import DEADLINE_S, Bench, Gpsd, TcpServer, bench, sentence

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from compare_with_gpsd import Comparison, compare, fixes_of, main, positions_of  # noqa: E402

__all__ = ["bench"]

DATA = Path(os.environ.get("KALOS_TEST_DATA") or ROOT / "../shared/data")

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the shared recordings are not here")

# Fixes of gpsd 3.22; of them at another place, and at times at which we have none: docs/nmea.md says why.
LOGS = {
    "nmea/bundg_zeus_9.log": (148, 25, 0),
    "nmea/gp-320fw-2019-04-07-coldboot.log": (1, 0, 0),
    "nmea/quectel-l76k-nmea.log": (150, 0, 0),
    "nmea/telit-he910.log": (187, 0, 1),
    "nmea/ublox-zed-f9r.log": (30, 0, 0),
    "gpx/visnjan-car.nmea": (104, 0, 0),
}


def through_the_daemon(bench: Bench, log: bytes) -> list[bytes]:
    """gpsd's reports about everything in ``log``."""
    server = bench.keep(TcpServer())
    daemon = bench.keep(Gpsd(f"tcp://127.0.0.1:{server.port}"))
    server.wait_for(1)
    lines = []
    with socket.create_connection(("127.0.0.1", daemon.port), DEADLINE_S) as sock:
        sock.sendall(b'?WATCH={"enable":true,"json":true,"nmea":true};\n')
        reports = sock.makefile("rb")
        while b'"class":"WATCH"' not in next(reports):
            pass
        server.send(log + b"\r\n" + sentence("GPTXT,01,01,02,THE END"))
        for line in reports:
            if b"THE END" in line:
                return lines
            if line.startswith(b"{"):
                lines.append(line)
    raise AssertionError("gpsd hung up")


@pytest.mark.parametrize("name", LOGS)
def test_the_daemon_and_we_agree_on_every_fix(bench: Bench, name: str) -> None:
    log = (DATA / name).read_bytes()
    result = compare(fixes_of(through_the_daemon(bench, log)), positions_of(log))
    assert (result.gpsd, len(result.differing), len(result.missing)) == LOGS[name]
    assert result.equal == result.gpsd - len(result.differing) - len(result.missing)
    assert len(result.more) <= 2, "epochs whose end gpsd does not see"


def test_a_fix_that_differs_is_seen() -> None:
    gpsd = [(0.0, 60.0, 24.0), (1.0, 60.0, 24.0), (2.0, 60.0, 24.0)]
    ours = [(0.004, 60.0, 24.0), (1.0, 60.0, 24.000001), (3.0 + 1024 * 604_800, 60.0, 24.0)]
    result = compare(gpsd, ours)
    assert (result.equal, len(result.differing), len(result.missing), len(result.more)) == (1, 1, 1, 1)
    assert compare(gpsd[:1], [(1024 * 604_800.0, 60.0, 24.0)]) == Comparison(gpsd=1, ours=1, equal=1, rolled=1)


def test_the_tool_says_which_log_differs_and_whether_it_knows_why(tmp_path, monkeypatch, capsys) -> None:
    body = sentence("GPRMC,090000.00,A,6000.0000,N,02400.0000,E,0.0,0.0,150127,,,A")
    report = {"class": "TPV", "mode": 3, "time": "2027-01-15T09:00:00.000Z", "lat": 60.0, "lon": 24.0}
    monkeypatch.setattr(sys, "argv", ["compare_with_gpsd", str(tmp_path)])
    for latitude, code in ((60.0, 0), (60.001, 1)):
        (tmp_path / "a.log").write_bytes(body)
        (tmp_path / "a.log.chk").write_text(json.dumps({**report, "lat": latitude}, separators=(",", ":")) + "\n")
        assert main() == code
        assert ("UNEXPLAINED" in capsys.readouterr().out) is bool(code)
    (tmp_path / "a.log.chk").unlink()
    assert main() == 1, "nothing was compared"
