"""A real car drive, recorded by a real receiver, from file to service: every point arrives, none stays readable."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from kalos_connect_sdk import Position
from kalos_connect_sdk.sources import open_source

DATA = Path(__file__).resolve().parents[2] / "../shared/data"
DRIVE = DATA / "gpx/around-visnjan-with-car.gpx"

pytestmark = pytest.mark.skipif(not DRIVE.is_file(), reason="the shared recordings are not here")


@pytest.mark.parametrize("recording", ["gpx/around-visnjan-with-car.gpx", "gpx/visnjan-car.nmea"])
def test_every_recorded_point_arrives(make, service, recording):
    source = open_source(DATA / recording, speed=0)
    recorded = list(open_source(DATA / recording, speed=0))
    connect = make()
    connect.request_permission(user_action=True)
    with connect.drive(source) as drive:
        assert drive.wait(60)
    assert drive.stats.sent == len(recorded) == len(service.positions)
    for sent, point in zip(service.positions, recorded, strict=True):
        assert sent["latitude"] == pytest.approx(point.latitude, abs=1e-6)
        assert sent["longitude"] == pytest.approx(point.longitude, abs=1e-6)


@pytest.mark.skipif(shutil.which("strings") is None, reason="strings (binutils) is not installed")
def test_r9_strings_finds_no_position_while_300_are_buffered(make, tmp_path):
    connect = make()
    connect.request_permission(user_action=True)
    recorded = list(open_source(DRIVE, speed=0))
    for turn in range(3):
        for point in recorded:
            shifted = Position(point.latitude + turn * 1e-5, point.longitude, speed_mps=point.speed_mps)
            assert connect.submit(shifted).accepted
    files = [str(path) for path in (tmp_path / "state").rglob("*") if path.is_file()]
    found = subprocess.run(["strings", "-a", "-n", "4", *files], capture_output=True, text=True, check=True).stdout
    for point in recorded:
        for value in (point.latitude, point.longitude):
            assert f"{value:.3f}" not in found and str(round(value * 1e7)) not in found
