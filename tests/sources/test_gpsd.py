"""gpsd: the real daemon killed, restarted and unplugged; and every report it may send."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from receivers import START, Bench, Gpsd, Reader, TcpServer, Ticker, Told, bench, epoch, gpsd_path, number_of, until

from kalos_connect_sdk import Position, SourceUnavailable
from kalos_connect_sdk.sources import gpsd, open_source
from kalos_connect_sdk.sources.gpsd_reports import GpsdReading, Lines, position_of

__all__ = ["bench"]

# -- the real daemon -------------------------------------------------------------------------------


def receiver(bench: Bench, **how: Any) -> tuple[TcpServer, Ticker, str]:
    server = bench.keep(TcpServer())
    ticker = bench.keep(Ticker(server.send, **how))
    ticker.start()
    return server, ticker, f"tcp://127.0.0.1:{server.port}"


def test_a_daemon_that_is_killed_and_started_again_is_found_again(bench: Bench) -> None:
    _, _, device = receiver(bench)
    daemon = bench.keep(Gpsd(device))
    source = bench.keep(open_source(f"gpsd://127.0.0.1:{daemon.port}"))
    told, reader = Told(source), Reader(source)
    before = number_of(reader.next())
    daemon.kill()
    told.until("cannot be reached: connection refused")
    reader.forget()
    bench.keep(Gpsd(device, port=daemon.port))
    assert told.until(None) is None
    assert number_of(reader.next()) > before
    source.close()
    assert reader.ended() and reader.error is None


def test_a_daemon_that_is_killed_for_good_leaves_a_reader_that_can_be_ended(bench: Bench) -> None:
    _, _, device = receiver(bench)
    daemon = bench.keep(Gpsd(device))
    source = bench.keep(open_source(f"gpsd://127.0.0.1:{daemon.port}"))
    told, reader = Told(source), Reader(source)
    reader.next()
    daemon.kill()
    told.until("cannot be reached")
    source.close()
    assert reader.ended() and reader.error is None


def test_a_receiver_that_is_unplugged_is_told(bench: Bench) -> None:
    server, _, device = receiver(bench)
    daemon = bench.keep(Gpsd(device))
    source = bench.keep(open_source(f"gpsd://127.0.0.1:{daemon.port}"))
    told, reader = Told(source), Reader(source)
    reader.next()
    server.close()
    assert told.next() == "gpsd lost the receiver; is it still plugged in?"
    source.close()
    assert reader.ended()


def test_a_daemon_without_a_receiver_is_told_and_heard_once_it_has_one(bench: Bench, tmp_path: Path) -> None:
    _, _, device = receiver(bench)
    control = tmp_path / "control"
    daemon = bench.keep(Gpsd(more=("-F", str(control))))
    source = bench.keep(open_source(f"gpsd://127.0.0.1:{daemon.port}"))
    told, reader = Told(source), Reader(source)
    assert told.next() == "gpsd has no receiver; is it plugged in?"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(control))
        sock.sendall(f"+{device}\r\n".encode())
        assert sock.recv(100).startswith(b"OK")
    assert number_of(reader.next()) >= 0
    assert told.next() is None


def test_of_two_receivers_the_one_that_is_named_is_heard_and_else_only_one(bench: Bench) -> None:
    _, _, north = receiver(bench, latitude=70.0)
    _, _, south = receiver(bench, latitude=50.0)
    daemon = bench.keep(Gpsd(north, south))
    for device, degrees in ((north, 70), (south, 50)):
        reader = Reader(bench.keep(open_source(f"gpsd://127.0.0.1:{daemon.port}?device={device}")))
        assert {int(reader.next().latitude) for _ in range(6)} == {degrees}
    reader = Reader(bench.keep(open_source(f"gpsd://127.0.0.1:{daemon.port}")))
    assert len({int(reader.next().latitude) for _ in range(8)}) == 1
    with pytest.raises(SourceUnavailable, match="has no such device; it has 2") as caught:
        open_source(f"gpsd://127.0.0.1:{daemon.port}?device=/dev/ttyS99")
    assert caught.value.__context__ is None


def test_r1_a_receiver_without_a_fix_gives_no_position(bench: Bench) -> None:
    server, ticker, device = receiver(bench, fix=False)
    daemon = bench.keep(Gpsd(device))
    source = bench.keep(open_source(f"gpsd://127.0.0.1:{daemon.port}"))
    reader = Reader(source)
    reports = daemon.ask(b'?WATCH={"enable":true,"json":true};\n')
    seen = [report["mode"] for report in (next(reports) for _ in range(60)) if report["class"] == "TPV"]
    assert len(seen) > 5 and set(seen) <= {0, 1}, "gpsd does report, and says that there is none"
    ticker.stop()
    again = bench.keep(Ticker(server.send))
    again.start()
    assert number_of(reader.next()) >= 0, "and the first position is one with a fix"


def test_r4_what_came_before_anybody_read_is_forgotten(bench: Bench) -> None:
    """A person may take a while to answer: positions of that time are not wanted."""
    server = bench.keep(TcpServer())
    source = bench.keep(open_source(f"nmea+tcp://127.0.0.1:{server.port}"))
    server.wait_for(1)
    source._kept.opened_s -= 60  # as if a minute had passed
    server.send(b"".join(map(epoch, range(10))))
    until(lambda: source._kept is not None and _waits(source._kept.fileno()))
    reader = Reader(source)
    ticker = bench.keep(Ticker(server.send))
    until(lambda: source._kept is None)
    ticker.said = 500
    ticker.start()
    assert number_of(reader.next()) >= 500


def _waits(fd: int) -> bool:
    import select

    return bool(select.select([fd], [], [], 0)[0])


@pytest.mark.skipif(os.geteuid() != 0, reason="a network of its own needs root")
@pytest.mark.skipif(shutil.which("ip") is None, reason="iproute2 is not installed")
def test_a_gpsd_on_another_machine_is_heard_over_the_network() -> None:
    gpsd_path()  # or skip
    folder = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = ["unshare", "-n", "bash", str(folder / "over_a_cable.sh"), sys.executable, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("2027-01-15T09:")


# -- what is no gpsd -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "greeting",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"$GPRMC,1*00\r\n",
        b'{"class":"VERSION","proto_major":2}\n',
        b'{"class":"TPV"}\n',
        b"[]\n",
        b"x" * 300_000,
        b"",
    ],
)
def test_something_else_at_the_port_is_refused(bench: Bench, greeting: bytes) -> None:
    server = bench.keep(socket.create_server(("127.0.0.1", 0)))

    def serve() -> None:
        peer, _ = server.accept()
        try:
            peer.sendall(greeting)
        except OSError:
            pass  # it has seen enough
        peer.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with pytest.raises(SourceUnavailable, match=r"something else than a gpsd|connection reset") as caught:
        open_source(f"gpsd://127.0.0.1:{server.getsockname()[1]}")
    assert caught.value.__context__ is None
    thread.join(10)


@pytest.mark.parametrize(
    ("query", "greeting"), [("", b""), ("?device=/dev/a", b'{"class":"VERSION","proto_major":3}\n')]
)
def test_somebody_who_says_nothing_is_not_taken_for_something_else(bench: Bench, monkeypatch, query, greeting) -> None:
    monkeypatch.setattr(gpsd, "_ANSWER_S", 0.3)
    server = bench.keep(socket.create_server(("127.0.0.1", 0)))
    thread = threading.Thread(target=lambda: bench.keep(server.accept()[0]).sendall(greeting), daemon=True)
    thread.start()
    with pytest.raises(SourceUnavailable, match=r"gpsd cannot be reached: no answer in time; is it running") as caught:
        open_source(f"gpsd://127.0.0.1:{server.getsockname()[1]}{query}")
    assert caught.value.__context__ is None
    thread.join(10)


# -- its reports -----------------------------------------------------------------------------------


def tpv(at_s: float = 0, mode: int = 3, device: str = "/dev/a", **more: Any) -> bytes:
    when = (START + timedelta(seconds=at_s)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    report = {"class": "TPV", "device": device, "mode": mode, "time": when, "lat": 60.0 + at_s, "lon": 24.9, **more}
    return json.dumps({name: value for name, value in report.items() if value is not None}).encode() + b"\n"


def read(*lines: bytes, device: str | None = None, now_s: Any = lambda: 0.0) -> list[Position]:
    reading = GpsdReading(device, now_s)
    return [*(p for line in lines for p in reading.feed(line)), *reading.settle()]


def test_a_report_with_everything() -> None:
    (one,) = read(tpv(eph=19.6, epx=1.0, epy=1.0, speed=3.5, track=270.0, altHAE=30.0, altMSL=12.5, climb=1))
    assert (one.latitude, one.longitude, one.accuracy_m) == (60.0, 24.9, pytest.approx(10.0))
    assert (one.speed_mps, one.course_deg, one.altitude_m) == (3.5, 270.0, 12.5)
    assert one.time == datetime(2027, 1, 15, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("radii", "accuracy_m"),
    [
        ({"eph": 19.6}, 10.0),
        ({"epx": 3 * 1.96, "epy": 4 * 1.96}, 5.0),
        ({"epx": 3.0}, None),
        ({"eph": 0}, None),
        ({"eph": "3"}, None),
        ({"eph": True}, None),
        ({"eph": -1}, None),
        ({}, None),
    ],
)
def test_accuracy_is_a_radius_of_68_percent(radii: dict[str, Any], accuracy_m: float | None) -> None:
    (one,) = read(tpv(**radii))
    assert one.accuracy_m == (pytest.approx(accuracy_m) if accuracy_m else None)


def test_an_epoch_that_is_repeated_is_one_position_with_the_last_word() -> None:
    got = read(tpv(0), tpv(0, speed=1.0), tpv(0, speed=2.0, eph=1.96), tpv(1), tpv(1, speed=3.0))
    assert [(one.speed_mps, one.accuracy_m) for one in got] == [(2.0, 1.0), (3.0, None)]


def test_what_is_said_of_an_epoch_that_was_given_is_late() -> None:
    reading = GpsdReading(None)
    assert not list(reading.feed(tpv(5))) and reading.pending
    assert len(list(reading.settle())) == 1 and not reading.pending
    assert not list(reading.feed(tpv(5, speed=1.0))) and not list(reading.settle())
    assert not list(reading.feed(tpv(4))) and not list(reading.settle())
    assert not list(reading.feed(tpv(6))) and len(list(reading.settle())) == 1


@pytest.mark.parametrize("mode", [0, 1, 4, -1, None, "3", True])
def test_r1_one_word_of_no_fix_voids_the_epoch(mode: Any) -> None:
    assert read(tpv(mode=mode)) == []
    assert read(tpv(), tpv(mode=mode), tpv()) == []
    assert len(read(tpv(mode=mode), tpv(1))) == 1, "and no other"


def test_r1_no_fix_without_a_time_is_about_now() -> None:
    assert read(tpv(), tpv(mode=1, time=None, lat=None, lon=None)) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"lat": 91}, {"lat": None}, {"lon": "24.9"}, {"lon": True}, {"lat": 1e400}, {"time": None},
        {"time": "yesterday"}, {"time": "2027-13-01T00:00:00.000Z"}, {"time": 7}, {"time": "2027-01-15T09:00:00"},
    ],
)  # fmt: skip
def test_a_fix_without_place_or_time_is_no_position(wrong: dict[str, Any]) -> None:
    assert read(tpv(**wrong).replace(b"Infinity", b"1e400")) == []


def test_odd_extras_are_left_out_and_the_position_stays() -> None:
    (one,) = read(tpv(speed=-1, track=361, altMSL="high", eph=[1]))
    assert (one.speed_mps, one.course_deg, one.altitude_m, one.accuracy_m) == (None, None, None, None)


def test_one_of_several_receivers_is_followed_until_it_is_silent() -> None:
    now = [0.0]
    reading = GpsdReading(None, lambda: now[0])

    def hear(at_s: int, device: str) -> list[Position]:
        return [*reading.feed(tpv(at_s, device=device)), *reading.settle()]

    assert len(hear(0, "/dev/a")) == 1 and hear(0, "/dev/b") == []
    now[0] = 4.0
    assert len(hear(1, "/dev/a")) == 1
    now[0] = 8.0
    assert hear(2, "/dev/b") == []
    now[0] = 9.5
    assert len(hear(3, "/dev/b")) == 1 and hear(3, "/dev/a") == [], "the other one is followed now"
    for i in range(100):
        hear(i, f"/dev/{i}")
    assert len(reading._receivers) <= 17, "names cost room"


def test_a_device_that_is_named_is_the_only_one() -> None:
    assert [one.latitude for one in read(tpv(0, device="/dev/b"), tpv(1), device="/dev/a")] == [61.0]
    reading = GpsdReading("/dev/a")
    list(reading.feed(b'{"class":"DEVICE","path":"/dev/b","activated":0}\n'))
    assert reading.trouble is None
    list(reading.feed(b'{"class":"DEVICE","path":"/dev/a","activated":0}\n'))
    assert "lost the receiver" in str(reading.trouble)
    list(reading.feed(tpv()))
    assert reading.trouble is None
    list(reading.feed(b'{"class":"ERROR","message":"60.1699"}\n'))
    assert reading.trouble == "gpsd refused to give positions"


@given(st.data())
def test_pieces_of_any_size_give_the_same_lines(data: st.DataObject) -> None:
    stream = b"".join(
        data.draw(st.lists(st.one_of(st.just(tpv()), st.binary(max_size=30), st.just(b"\n")), max_size=8))
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    pieces, got = Lines(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += pieces.feed(stream[start:end])
    assert got == list(Lines().feed(stream))


def test_a_line_that_never_ends_takes_bounded_room_and_the_next_is_read() -> None:
    lines = Lines()
    for _ in range(50):
        assert list(lines.feed(b"x" * 10_000)) == []
    assert len(lines._rest) <= 64 * 1024
    assert list(lines.feed(b"\n" + tpv())) == [tpv()[:-1]]
    assert list(lines.feed(b"y" * 70_000 + b"\nnext\n")) == [b"next"]


def test_position_of_takes_whole_numbers() -> None:
    assert position_of(json.loads(tpv(lat=60, lon=-24))) is not None
