"""What every source promises, whatever is behind it: recordings, receivers, a real gpsd, positions that are pushed."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import vehicle_bench
from desktop_bench import Desktop, missing
from receivers import START, STEP, Bench, Gpsd, Reader, TcpServer, Ticker, Tty, bench, epoch, free_port, number_of

import kalos_connect_sdk
from kalos_connect_sdk import Datum, InvalidPosition, LocationSource, Position, SourceError, SourceUnavailable
from kalos_connect_sdk.ports import Recovering
from kalos_connect_sdk.sources import PushSource, open_source
from kalos_connect_sdk.sources.push import feed

__all__ = ["bench"]

Opened = tuple[Any, Any]
"""A source, and a receiver that tells it epochs once it is started."""


class Silent:
    """The receiver of a recording: it has said everything."""

    def start(self) -> None: ...
    def pause(self) -> None: ...


def _gpx(bench: Bench, tmp_path: Path) -> Opened:
    points = "".join(
        f'<trkpt lat="{60 + i * STEP:.6f}" lon="24.9"><time>{(START + timedelta(seconds=i)).isoformat()}</time></trkpt>'
        for i in range(5)
    )
    (tmp_path / "a.gpx").write_text(f"<gpx><trk><trkseg>{points}</trkseg></trk></gpx>")
    return open_source(f"gpx:{tmp_path / 'a.gpx'}", speed=20), Silent()


def _nmea(bench: Bench, tmp_path: Path) -> Opened:
    (tmp_path / "a.nmea").write_bytes(b"".join(map(epoch, range(5))))
    return open_source(f"nmea:{tmp_path / 'a.nmea'}", speed=20), Silent()


def _tcp(bench: Bench, tmp_path: Path) -> Opened:
    server = bench.keep(TcpServer())
    return open_source(f"nmea+tcp://127.0.0.1:{server.port}"), bench.keep(Ticker(server.send))


def _udp(bench: Bench, tmp_path: Path) -> Opened:
    port = free_port(socket.SOCK_DGRAM)
    sock = bench.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    return open_source(f"nmea+udp://127.0.0.1:{port}"), bench.keep(
        Ticker(lambda data: [sock.sendto(line + b"\n", ("127.0.0.1", port)) for line in data.split(b"\n")[:-1]])
    )


def _serial(bench: Bench, tmp_path: Path) -> Opened:
    port = bench.keep(Tty())
    return open_source(f"serial:{port.path}?baud=38400"), bench.keep(Ticker(port.send))


def _gpsd(bench: Bench, tmp_path: Path, options: str = "") -> Opened:
    server = bench.keep(TcpServer())
    device = f"tcp://127.0.0.1:{server.port}"
    daemon = bench.keep(Gpsd(device))
    server.wait_for(1)
    return open_source(f"gpsd://localhost:{daemon.port}{options.format(device)}"), bench.keep(Ticker(server.send))


def _gpsd_device(bench: Bench, tmp_path: Path) -> Opened:
    return _gpsd(bench, tmp_path, "?device={}")


def _position(i: int) -> Position:
    return Position(60 + i * STEP, 24.9, time=START + timedelta(seconds=i), speed_mps=10.0, accuracy_m=4.0)


def _push(bench: Bench, tmp_path: Path) -> Opened:
    source = PushSource()
    numbers = iter(range(10_000))
    return source, bench.keep(Ticker(lambda _: source.put(_position(next(numbers)))))


def _async_push(bench: Bench, tmp_path: Path) -> Opened:
    """A stream of coroutines, on the loop of another thread."""
    source = PushSource()
    loop = asyncio.new_event_loop()
    numbers = iter(range(10_000))
    positions: asyncio.Queue[Position] = asyncio.Queue()

    async def stream():
        while True:
            yield await positions.get()

    async def run() -> None:
        task = asyncio.ensure_future(feed(source, stream()))
        await over.wait()
        task.cancel()
        await asyncio.wait((task,))

    over = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(run()), daemon=True)
    thread.start()

    class Loop:
        def close(self) -> None:
            loop.call_soon_threadsafe(over.set)
            thread.join(20)
            loop.close()

    bench.keep(Loop())
    return source, bench.keep(
        Ticker(lambda _: loop.call_soon_threadsafe(positions.put_nowait, _position(next(numbers))))
    )


def _desktop(bench: Bench, tmp_path: Path) -> Any:
    """A private desktop with the real GeoClue and the real portal."""
    if absent := missing():
        pytest.skip(f"{absent} is not installed")
    environment = pytest.MonkeyPatch()
    bench.keep(SimpleNamespace(close=environment.undo))
    desktop = bench.keep(Desktop(tmp_path))
    desktop.run()
    environment.setenv("DBUS_SYSTEM_BUS_ADDRESS", desktop.bus.address)
    environment.setenv("DBUS_SESSION_BUS_ADDRESS", desktop.run_portal().bus.address)
    return desktop


def _geoclue(bench: Bench, tmp_path: Path) -> Opened:
    desktop = _desktop(bench, tmp_path)
    return open_source("geoclue:"), bench.keep(Ticker(desktop.feed.send))


def _portal(bench: Bench, tmp_path: Path) -> Opened:
    desktop = _desktop(bench, tmp_path)
    return open_source("portal:"), bench.keep(Ticker(desktop.feed.send))


def _kuksa(bench: Bench, tmp_path: Path) -> Opened:
    broker = bench.keep(vehicle_bench.databroker())
    numbers = iter(range(10_000))
    return open_source(f"kuksa://127.0.0.1:{broker.port}"), bench.keep(
        Ticker(lambda _: broker.drive_north(60 + next(numbers) * STEP))
    )


SOURCES: dict[str, Callable[[Bench, Path], Opened]] = {
    "gpx": _gpx, "nmea": _nmea, "nmea+tcp": _tcp, "nmea+udp": _udp, "serial": _serial, "gpsd": _gpsd,
    "gpsd-device": _gpsd_device, "push": _push, "async-push": _async_push, "geoclue": _geoclue, "portal": _portal, "kuksa": _kuksa,
}  # fmt: skip
RECORDINGS = {"gpx", "nmea"}
PUSHED = {"push", "async-push"}
DATED_ELSEWHERE = {"geoclue", "portal", "kuksa"}
"""By a daemon: GeoClue puts its own day to a time, a vehicle says what is so now."""


MARKS = {"geoclue": [pytest.mark.once], "portal": [pytest.mark.once], "kuksa": [pytest.mark.first]}


@pytest.fixture(params=[pytest.param(kind, marks=MARKS.get(kind, ())) for kind in SOURCES])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def opened(kind: str, bench: Bench, tmp_path: Path) -> Opened:
    source, receiver = SOURCES[kind](bench, tmp_path)
    bench.keep(source)
    return source, receiver


def test_it_is_a_source_and_says_whether_it_is_live(opened: Opened, kind: str) -> None:
    source, _ = opened
    assert isinstance(source, LocationSource)
    assert source.live is (kind not in RECORDINGS)
    assert isinstance(source, Recovering) is (kind not in RECORDINGS | PUSHED)


def test_positions_come_in_order_once_an_epoch_with_datum_time_and_accuracy(opened: Opened, kind: str) -> None:
    source, receiver = opened
    reader = Reader(source)
    receiver.start()
    got = [reader.next() for _ in range(5)]
    numbers = [number_of(one, dated=kind not in DATED_ELSEWHERE) for one in got]
    assert numbers == sorted(set(numbers)), "each epoch once, in order"
    for one in got:
        assert one.datum is Datum.WGS84 and one.time is not None and not one.time_implied
        assert one.time.utcoffset() == timedelta(0)
        if kind != "gpx":
            assert one.speed_mps == pytest.approx(10.0, abs=0.01)
    # 68 %: 0.8 of HDOP are 4 m; gpsd says 19 m of 95 % for each unit of HDOP, and divides none; GeoClue says 0 of it
    expected = {
        "gpx": None,
        "gpsd": 0.8 * 19 / 1.96,
        "gpsd-device": 0.8 * 19 / 1.96,
        "geoclue": None,
        "portal": None,
    }.get(kind, 4.0)
    assert got[-1].accuracy_m == (pytest.approx(expected) if expected else None)


def test_a_reader_that_waits_ends_when_another_thread_closes(opened: Opened) -> None:
    source, receiver = opened
    reader = Reader(source)
    receiver.start()
    reader.next()
    receiver.pause()
    source.close()
    source.close()
    assert reader.ended() and reader.error is None
    assert list(source) == [], "closed is closed"


def test_a_reader_that_has_had_nothing_yet_ends_too(opened: Opened, kind: str) -> None:
    source, _ = opened
    reader = Reader(source)
    if kind in RECORDINGS:
        reader.next()
    source.close()
    assert reader.ended() and reader.error is None


def test_who_leaves_may_come_back(opened: Opened, kind: str) -> None:
    source, receiver = opened
    receiver.start()
    first = next(iter(source))
    again = next(iter(source))
    if kind in RECORDINGS:
        assert again.time == first.time, "from the start"
    else:
        dated = kind not in DATED_ELSEWHERE
        assert number_of(again, dated=dated) > number_of(first, dated=dated), "where it is now"


def test_one_reader_at_a_time_of_a_receiver(opened: Opened, kind: str) -> None:
    source, receiver = opened
    if kind in RECORDINGS | PUSHED:
        return  # they serve several
    receiver.start()
    iterator = iter(source)
    next(iterator)
    with pytest.raises(SourceError, match="once at a time"):
        next(iter(source))
    assert number_of(next(iterator), dated=kind not in DATED_ELSEWHERE) > 0, "the first is not disturbed"


def test_r10_its_repr_holds_no_coordinate(opened: Opened) -> None:
    source, receiver = opened
    receiver.start()
    for position in source:
        assert "60." not in repr(source) + repr(position) and "24.9" not in repr(source)
        break


# -- what cannot be reached ------------------------------------------------------------------------


def _refused_port() -> int:
    return free_port()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("gpx:60.1699,24.9384.gpx", "cannot read the recording"),
        ("nmea:/no/such/file", "cannot read the recording"),
        ("nmea+tcp://127.0.0.1:{port}", "connection refused; does it listen"),
        ("nmea+tcp://no-such-host.invalid:4000", "the NMEA server cannot be reached"),
        ("nmea+udp://192.0.2.1:4000", "cannot assign requested address; give an address of this machine"),
        ("serial:/dev/no-such-device", "no such file or directory; is the receiver plugged in"),
        ("serial:/dev/null", "no serial device"),
        ("serial:/dev", "no serial device|is a directory"),
        ("serial:/dev/ttyS0?baud=9601", "baud must be"),
        ("gpsd://127.0.0.1:{port}", "connection refused; is it running"),
    ],
)
def test_r10_what_cannot_be_reached_is_told_when_it_is_opened(url: str, words: str) -> None:
    with pytest.raises(SourceUnavailable, match=words) as caught:
        open_source(url.format(port=_refused_port()))
    assert caught.value.__context__ is None and caught.value.__cause__ is None
    assert "24.9" not in str(caught.value) or url.startswith("gpx"), "only the name of a file is repeated"


@pytest.mark.parametrize(
    ("url", "form"),
    [
        *((url, "nmea+tcp://HOST:PORT") for url in ("nmea+tcp:", "nmea+tcp://host", "nmea+tcp://:1", "nmea+tcp:a:1")),
        *((f"nmea+tcp://host{port}", "HOST:PORT") for port in (":0", ":65536", ":x", ":-1", ":1/x", ":1?a=b", ":1:1")),
        *((url, "nmea+udp://ADDRESS:PORT") for url in ("nmea+udp://", "nmea+udp://x", "nmea+udp://[::1")),
        *((f"gpsd://60.1699,24.9384{more}", "gpsd://HOST") for more in ("", ":2947", "?device=/dev/x")),
        *((f"gpsd://host?{query}", "device=/dev/NAME") for query in ("", "device=", "device=a&device=b", "baud=1")),
        ("gpsd://host?device=%zz", "device=/dev/NAME"),
        ("gpsd://host?device=%0a", "device=/dev/NAME"),
        ("serial:", "serial:DEVICE"),
        ("serial:?baud=9600", "serial:DEVICE"),
        ("serial:/dev/ttyS0?speed=1", "serial:DEVICE"),
    ],
)
def test_r10_a_malformed_url_is_answered_with_how_it_is_written(url: str, form: str) -> None:
    with pytest.raises(SourceUnavailable) as caught:
        open_source(url)
    assert form in str(caught.value) and "60.1699" not in str(caught.value)


def test_r10_what_is_no_position_cannot_be_pushed_nor_fed() -> None:
    source = PushSource()
    with pytest.raises(InvalidPosition) as caught:
        source.put((60.1, 24.9))  # type: ignore[arg-type]
    assert "60.1" not in str(caught.value)

    async def stream():
        yield (60.1, 24.9)

    asyncio.run(feed(source, stream()))  # type: ignore[arg-type]
    with pytest.raises(SourceError, match="Position"):
        list(source)


_WITHOUT = """
import sys
sys.modules[sys.argv[2]] = None
from kalos_connect_sdk import SourceUnavailable
from kalos_connect_sdk.sources import lacking, open_source
found = lacking()
assert found["gpx"] is None and found["serial"] is None, found
print(found[sys.argv[1].partition(":")[0]])
try:
    open_source(sys.argv[1])
except SourceUnavailable as error:
    print(error, error.__context__)
"""


@pytest.mark.parametrize(
    ("url", "absent", "extra"),
    [("geoclue:", "jeepney", "geoclue"), ("portal:", "jeepney", "geoclue"), ("kuksa://localhost", "grpc", "kuksa")],
)
def test_what_needs_an_extra_says_which(url: str, absent: str, extra: str) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", _WITHOUT, url, absent],
        env={**os.environ, "PYTHONPATH": str(Path(kalos_connect_sdk.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=60,
    )
    advice = f"this needs an extra: pip install 'kalos-connect-sdk[{extra}]'"
    assert done.stdout.splitlines() == [advice, f"{advice} None"], done.stderr
