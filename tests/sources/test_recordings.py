"""Replay: pacing, closing, opening; and every shared recording."""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kalos_connect_sdk import LocationSource, SourceError, SourceUnavailable
from kalos_connect_sdk.sources import GpxSource, NmeaSource, open_source
from kalos_connect_sdk.sources import recording as recording_module

DATA = Path(os.environ.get("KALOS_TEST_DATA") or Path(__file__).resolve().parents[2] / "../shared/data")
START = datetime(2027, 1, 15, 9, tzinfo=UTC)

shared = pytest.mark.skipif(not DATA.is_dir(), reason="the shared recordings are not here")


def gpx(path: Path, *offsets_s: float) -> Path:
    points = "".join(
        f'<trkpt lat="60" lon="{24 + i / 1000}"><time>{(START + timedelta(seconds=s)).isoformat()}</time></trkpt>'
        for i, s in enumerate(offsets_s)
    )
    path.write_text(f"<gpx><trk><trkseg>{points}</trkseg></trk></gpx>")
    return path


@pytest.mark.first
def test_the_sources_are_names_of_the_room():
    import kalos_connect_sdk.sources as room

    for name in room.__all__:
        assert getattr(room, name).__name__ == name
    with pytest.raises(AttributeError):
        room.Nothing


# -- opening ---------------------------------------------------------------------------------------


def test_urls_and_paths_name_a_source(tmp_path):
    path = gpx(tmp_path / "a.gpx", 0)
    (tmp_path / "b.nmea").touch()
    (tmp_path / "with:colon.gpx").write_bytes(path.read_bytes())
    for url in (f"gpx:{path}", f"GPX:{path}", path, str(path), tmp_path / "with:colon.gpx"):
        source = open_source(url, speed=0)
        assert type(source) is GpxSource and isinstance(source, LocationSource) and source.live is False
    for url in (f"nmea:{tmp_path / 'b.nmea'}", f"nmea:{path}", tmp_path / "b.nmea"):
        assert type(open_source(url)) is NmeaSource


@pytest.mark.parametrize(
    "url",
    ["pigeon:home", "60.1699,24.9384", "", "drive.csv", "http://x/a.gpx", Path("a.kml")],
)
def test_r10_an_unknown_source_is_answered_with_the_known_ones_only(url):
    with pytest.raises(SourceUnavailable, match="gpx:FILE, nmea:FILE") as caught:
        open_source(url)
    assert "60.1699" not in str(caught.value)


def test_a_missing_file_is_told_when_it_is_opened(tmp_path):
    with pytest.raises(
        SourceUnavailable, match=r"^cannot read the recording 'none.gpx': no such file or directory$"
    ) as caught:
        open_source(f"gpx:{tmp_path}/none.gpx")
    assert caught.value.__context__ is None and caught.value.__cause__ is None


def test_what_is_no_regular_file_is_refused_without_blocking(tmp_path):
    os.mkfifo(tmp_path / "pipe.nmea")
    for path in (tmp_path, tmp_path / "pipe.nmea", Path("/dev/null")):
        with pytest.raises(SourceUnavailable, match="not a regular file"):
            open_source(f"nmea:{path}")
    with pytest.raises(SourceUnavailable):
        open_source("gpx:")
    with pytest.raises(SourceUnavailable, match="not valid"):
        open_source("gpx:a\0b")
    with pytest.raises(SourceUnavailable) as caught:
        open_source("gpx:evil\nname.gpx")
    assert "\n" not in str(caught.value)


def test_a_file_that_vanishes_is_told_at_the_next_iteration(tmp_path):
    source = open_source(gpx(tmp_path / "a.gpx", 0), speed=0)
    (tmp_path / "a.gpx").unlink()
    with pytest.raises(SourceUnavailable):
        list(source)
    assert source.len_hint is None


def test_a_read_error_is_a_source_error():
    class Broken:
        def read(self, size: int) -> bytes:
            raise OSError(5, "secret")

    with pytest.raises(SourceError, match="reading the recording failed: input/output error") as caught:
        list(recording_module.chunks(Broken()))
    assert caught.value.__context__ is None


@pytest.mark.parametrize("speed", [-1, float("nan"), float("inf"), True])
def test_an_unusable_speed_is_refused(tmp_path, speed):
    with pytest.raises(ValueError):
        open_source(gpx(tmp_path / "a.gpx", 0), speed=speed)


# -- pacing ----------------------------------------------------------------------------------------


def test_speed_0_does_not_wait(tmp_path):
    began = time.monotonic()
    assert len(list(open_source(gpx(tmp_path / "a.gpx", *range(0, 3000, 10)), speed=0))) == 300
    assert time.monotonic() - began < 10


def test_a_replay_keeps_its_times_and_waits_between_them(tmp_path):
    began = time.monotonic()
    got = list(open_source(gpx(tmp_path / "a.gpx", 0, 10, 20), speed=100))
    assert 0.19 < time.monotonic() - began < 5
    assert [(one.time - START).total_seconds() for one in got] == [0, 10, 20]


def test_no_wait_for_a_long_gap_or_a_step_back(tmp_path):
    began = time.monotonic()
    assert len(list(open_source(gpx(tmp_path / "a.gpx", 0, 864_000, 864_001, 5), speed=100))) == 4
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("speed", [None, 1, 1e-9])
def test_close_ends_a_waiting_replay_at_once(tmp_path, speed):
    source = open_source(gpx(tmp_path / "a.gpx", 0, 1800), speed=speed)
    got, first = [], threading.Event()

    def run() -> None:
        for position in source:
            got.append(position)
            first.set()

    thread = threading.Thread(target=run)
    thread.start()
    assert first.wait(10)
    source.close()
    source.close()
    thread.join(10)
    assert not thread.is_alive() and len(got) == 1
    assert list(source) == [], "closed is closed"


def test_close_while_the_consumer_is_busy(tmp_path):
    source = open_source(gpx(tmp_path / "a.gpx", 0, 1, 2), speed=0)
    got = []
    for position in source:
        got.append(position)
        source.close()
    assert len(got) == 1
    assert repr(source) == "<GpxSource>"


def test_len_hint_counts_without_parsing(tmp_path, monkeypatch):
    assert open_source(gpx(tmp_path / "a.gpx", *range(77))).len_hint == 77
    monkeypatch.setattr(recording_module, "_CHUNK", 13)
    source = open_source(tmp_path / "a.gpx")
    assert source.len_hint == source.len_hint == 77, "also when a mark lies across two pieces"
    monkeypatch.setattr(recording_module, "_COUNTED_BYTES", 100)
    assert open_source(tmp_path / "a.gpx").len_hint is None


# -- the shared recordings -------------------------------------------------------------------------

POSITIONS = {
    "bu303-moving.log": None,  # SiRF binary
    "bu303-nofix.log": None,
    "bundg_zeus_9.log": 148,
    "gp-320fw-2019-04-07-coldboot.log": 1,
    "quectel-l76k-nmea.log": 151,
    "telit-he910.log": 186,
    "trimble-lassen_iq.log": None,  # TSIP
    "ublox-zed-f9r.log": 30,
}


@shared
@pytest.mark.parametrize("name", POSITIONS)
def test_every_shared_log_is_read(name):
    source = NmeaSource(DATA / "nmea" / name, speed=0)
    if POSITIONS[name] is None:
        with pytest.raises(SourceError, match="holds no NMEA"):
            list(source)
        return
    got = list(source)
    assert len(got) == POSITIONS[name]
    times = [one.time for one in got]
    assert times == sorted(set(times))
    assert abs(len(got) - source.len_hint) <= 40


@shared
def test_no_shared_log_is_forgotten():
    assert {path.name for path in (DATA / "nmea").glob("*.log")} == set(POSITIONS)


@shared
def test_what_the_shared_logs_say():
    def first(name: str):
        return next(iter(NmeaSource(DATA / "nmea" / name, speed=0)))

    cold = first("gp-320fw-2019-04-07-coldboot.log")
    assert cold.time == datetime(2019, 4, 7, 0, 3, 45, 30_000, tzinfo=UTC)
    assert cold.latitude == pytest.approx(48 + 8.9993 / 60) and cold.accuracy_m == pytest.approx(7.0)
    exact = first("ublox-zed-f9r.log")
    assert exact.accuracy_m == pytest.approx((0.049**2 + 0.078**2) ** 0.5)
    west = first("quectel-l76k-nmea.log")
    assert west.longitude == pytest.approx(-(122 + 19.58362 / 60)) and west.time.year == 2026


@shared
def test_a_drive_and_its_nmea_twin_agree():
    track = list(GpxSource(DATA / "gpx/around-visnjan-with-car.gpx", speed=0))
    twin = list(NmeaSource(DATA / "gpx/visnjan-car.nmea", speed=0))
    assert len(track) == len(twin) == 104
    for one, other in zip(track, twin, strict=True):
        assert one.time == other.time and one.altitude_m == other.altitude_m
        # five decimals of a minute
        assert one.latitude == pytest.approx(other.latitude, abs=0.6e-5 / 60)
        assert one.longitude == pytest.approx(other.longitude, abs=0.6e-5 / 60)
        assert 0 <= other.speed_mps < 30


@shared
def test_a_planned_and_simulated_track_is_read():
    source = GpxSource(DATA / "gpx/graphhopper-test1.gpx", speed=0)
    assert len(list(source)) == source.len_hint == 264 and source.skipped == 0
