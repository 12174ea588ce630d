"""What keeps a live source going, and what it says when it cannot: losses, silence, noise, names, ports in use."""

from __future__ import annotations

import os
import select
import socket
import threading
from datetime import date
from pathlib import Path

import pytest
from receivers import Bench, Reader, TcpServer, Ticker, Told, Tty, bench, epoch, free_port, number_of, sentence, until

from kalos_connect_sdk import Position, SourceUnavailable
from kalos_connect_sdk.sources import links, live, open_source
from kalos_connect_sdk.sources.address import Address, address_of
from kalos_connect_sdk.sources.assemble import Assembler
from kalos_connect_sdk.sources.links import Link, Unwanted, said_of, tcp
from kalos_connect_sdk.sources.nmea_live import NmeaReading
from kalos_connect_sdk.sources.wake import Wake

__all__ = ["bench"]


def test_a_server_that_hangs_up_is_called_again(bench: Bench) -> None:
    server = bench.keep(TcpServer())
    source = bench.keep(open_source(f"nmea+tcp://127.0.0.1:{server.port}"))
    ticker = bench.keep(Ticker(server.send))
    ticker.start()
    told, reader = Told(source), Reader(source)
    before = number_of(reader.next())
    ticker.pause()
    server.hang_up()
    assert told.next() == "the NMEA server ended the connection"
    server.wait_for(2)
    reader.forget()
    ticker.start()
    assert told.next() is None
    assert number_of(reader.next()) > before


def test_a_receiver_that_is_unplugged_and_plugged_in_again(bench: Bench, tmp_path: Path) -> None:
    """Under the same name, as udev's links are."""
    first, name = bench.keep(Tty()), tmp_path / "receiver"
    name.symlink_to(first.path)
    source = bench.keep(open_source(f"serial:{name}"))
    told, reader = Told(source), Reader(source)
    ticker = bench.keep(Ticker(first.send))
    ticker.start()
    reader.next()
    ticker.stop()
    name.unlink()
    first.close()
    assert "serial device" in str(told.next())
    assert "no such file or directory; is the receiver plugged in" in str(told.until("no such file"))
    second = bench.keep(Tty())
    name.symlink_to(second.path)
    bench.keep(Ticker(second.send)).start()
    assert told.until(None) is None
    reader.forget()
    assert number_of(reader.next()) >= 0
    source.close()
    assert reader.ended() and reader.error is None


def test_a_serial_device_is_for_us_alone(bench: Bench) -> None:
    """TIOCEXCL; root may open it all the same."""
    import fcntl
    import termios

    port = bench.keep(Tty())
    bench.keep(open_source(f"serial:{port.path}?baud=4800"))
    if os.geteuid() != 0:
        with pytest.raises(SourceUnavailable, match="another program has it"):
            open_source(f"serial:{port.path}")
    fd = os.open(port.path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        assert int.from_bytes(fcntl.ioctl(fd, 0x80045440, b"\0" * 4), "little") == 1, "TIOCGEXCL"
        flags = termios.tcgetattr(fd)
        assert flags[4] == flags[5] == termios.B4800 and not flags[3] and flags[2] & termios.CSIZE == termios.CS8
    finally:
        os.close(fd)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_device_that_is_not_ours_says_what_to_do(bench: Bench) -> None:
    port = bench.keep(Tty())
    os.chmod(port.path, 0o600)
    os.seteuid(65534)
    try:
        with pytest.raises(SourceUnavailable, match="permission denied; let this user into the group"):
            open_source(f"serial:{port.path}")
    finally:
        os.seteuid(0)


def test_an_epoch_is_given_before_the_next_begins(bench: Bench) -> None:
    server = bench.keep(TcpServer())
    source = bench.keep(open_source(f"nmea+tcp://127.0.0.1:{server.port}"))
    server.wait_for(1)
    reader = Reader(source)
    server.send(epoch(7))
    assert number_of(reader.next()) == 7
    server.send(epoch(7)[-40:] + epoch(8))  # a sentence that is late makes no second position
    assert number_of(reader.next()) == 8


def test_what_a_new_connection_repeats_is_given_once(bench: Bench) -> None:
    server = bench.keep(TcpServer())
    source = bench.keep(open_source(f"nmea+tcp://127.0.0.1:{server.port}"))
    reader = Reader(source)
    server.wait_for(1)
    server.send(epoch(3))
    assert number_of(reader.next()) == 3
    server.hang_up()
    server.wait_for(2)
    server.send(epoch(3) + epoch(4))
    assert number_of(reader.next()) == 4


@pytest.mark.parametrize(
    ("noise", "words"),
    [
        (b"", "no sentence was heard for 10 s: is the receiver on?"),
        (b"\x80\xf8\x00garbage" * 9, "something is heard, but no NMEA sentence: is the baud rate right?"),
    ],
)
def test_silence_and_noise_are_told_and_what_to_look_at(bench: Bench, monkeypatch, noise: bytes, words: str) -> None:
    monkeypatch.setattr(live, "_SILENCE_S", 0.3)
    port = bench.keep(Tty())
    source = bench.keep(open_source(f"serial:{port.path}"))
    told, reader = Told(source), Reader(source)
    if noise:
        until(lambda: source._kept is None)
        port.send(noise)
    assert told.next() == words
    port.send(epoch(0))
    assert told.next() is None
    assert number_of(reader.next()) == 0


def test_what_to_look_at_depends_on_how_it_comes(bench: Bench, monkeypatch) -> None:
    monkeypatch.setattr(live, "_SILENCE_S", 0.3)
    server = bench.keep(TcpServer())
    over_tcp = bench.keep(open_source(f"nmea+tcp://127.0.0.1:{server.port}"))
    told, _ = Told(over_tcp), Reader(over_tcp)
    server.wait_for(1)
    server.send(b'{"class":"VERSION","proto_major":3}\r\n')
    assert "is NMEA spoken at this port? A gpsd is written gpsd://HOST" in told.next()
    port = free_port(socket.SOCK_DGRAM)
    over_udp = bench.keep(open_source(f"nmea+udp://127.0.0.1:{port}"))
    told, _ = Told(over_udp), Reader(over_udp)
    assert "does somebody send to this address and port?" in told.next()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"garbage", ("127.0.0.1", port))
    assert "is it NMEA that is sent here?" in told.next()


def test_trouble_is_told_to_who_comes_late_and_not_to_who_left(bench: Bench, monkeypatch) -> None:
    monkeypatch.setattr(live, "_SILENCE_S", 0.1)
    port = bench.keep(Tty())
    source = bench.keep(open_source(f"serial:{port.path}"))
    said: list[str | None] = []
    leave = source.watch(said.append)
    Told(source)
    reader = Reader(source)
    until(lambda: bool(said))
    leave()
    assert "no sentence" in str(Told(source).next())
    port.send(epoch(0))
    reader.next()
    assert None not in said


def test_a_receiver_that_never_says_the_date_is_told() -> None:
    reading = NmeaReading()
    for i in range(30):
        gga = sentence(f"GPGGA,0900{i:02}.00,6000.0,N,02454.0,E,1,08,0.8,12.3,M,18.0,M,,")
        assert list(reading.feed(gga)) == []
    assert "never says the date" in str(reading.trouble)
    list(reading.feed(epoch(60) + epoch(61)))
    assert reading.trouble is None


def test_a_live_receiver_whose_week_rolled_over_is_dated_now() -> None:
    def year_of(day: str, **how: date) -> Position | None:
        assembler = Assembler(**how)
        assembler.add("RMC", f"090000.00,A,6000.0,N,02454.0,E,0,0,{day},,,A".split(","))
        position = assembler.finish()
        assert position is not None and position.time is not None
        return position.time.date()

    now = date(2026, 11, 1)
    assert year_of("130407", now=now) == date(2026, 11, 27), "1024 weeks behind"
    assert year_of("130407") == date(2007, 4, 13), "a recording may be that old"
    assert year_of("271126", now=now) == date(2026, 11, 27)
    assert year_of("150317", now=now) == date(2017, 3, 15), "which is no roll-over"
    assert year_of("280799", now=now) == date(2019, 3, 13), "before any recording"


def test_datagrams_are_not_joined(bench: Bench) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.setblocking(False)
    link = Link(ours, datagrams=True)
    theirs.send(b"")
    assert link.read() == b"\n", "an empty one is not the end"
    theirs.send(b"$GP")
    assert link.read() == b"$GP\n" and link.read() == b""
    link.close()
    theirs.close()


def test_a_udp_port_in_use_is_told(bench: Bench) -> None:
    taken = bench.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    taken.bind(("127.0.0.1", 0))
    with pytest.raises(SourceUnavailable, match="address already in use; give an address"):
        open_source(f"nmea+udp://:{taken.getsockname()[1]}")


@pytest.mark.parametrize(
    ("rest", "host", "port"),
    [
        ("//a:1", "a", 1), ("//a.b-c:2/", "a.b-c", 2), ("//[::1]:3", "::1", 3), ("//[fe80::1%eth0]", "fe80::1%eth0", 9),
        ("//a", "a", 9), ("//", "", 9), ("//:5", "", 5),
    ],
)  # fmt: skip
def test_addresses(rest: str, host: str, port: int) -> None:
    assert address_of(rest, "x://", port=9) == Address(host, port)
    assert address_of(rest + "?k=%2Fdev%2Fx", "x://", port=9, known=("k",)).options == {"k": "/dev/x"}


def test_over_ip_version_6(bench: Bench) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        bench.keep(open_source(f"nmea+tcp://[::1]:{server.getsockname()[1]}"))


# -- closing while something slow goes on ----------------------------------------------------------


def test_close_does_not_wait_for_a_name(bench: Bench, monkeypatch) -> None:
    """getaddrinfo can be neither ended nor bounded: it is left behind."""
    asked, answer = threading.Event(), threading.Event()
    real = socket.getaddrinfo

    def slow(host, port, *more, flags=0, **options):
        if flags & socket.AI_NUMERICHOST:
            return real(host, port, *more, flags=flags, **options)
        asked.set()
        assert answer.wait(30)
        raise socket.gaierror(socket.EAI_NONAME, "gone")

    wake, failed = Wake(), []
    monkeypatch.setattr(links.socket, "getaddrinfo", slow)

    def connect() -> None:
        try:
            tcp(Address("slow.example", 1), wake)
        except Unwanted as error:
            failed.append(error)

    thread = threading.Thread(target=connect)
    thread.start()
    assert asked.wait(10)
    wake.set()
    thread.join(10)
    assert not thread.is_alive() and len(failed) == 1
    answer.set()
    wake.close()
    wake.set()


def test_close_does_not_wait_for_a_peer_that_does_not_answer(bench: Bench) -> None:
    """A listener whose queue is full lets nobody in."""
    server = bench.keep(socket.create_server(("127.0.0.1", 0), backlog=0))
    for _ in range(20):
        sock = bench.keep(socket.socket())
        sock.setblocking(False)
        sock.connect_ex(server.getsockname())
        if not select.select([], [sock], [], 0.1)[1]:
            break
    wake, failed = Wake(), []

    def connect() -> None:
        try:
            tcp(Address("127.0.0.1", server.getsockname()[1]), wake)
        except Unwanted as error:
            failed.append(error)

    thread = threading.Thread(target=connect)
    thread.start()
    wake.set()
    thread.join(10)
    assert not thread.is_alive() and len(failed) == 1


def test_nothing_is_left_open(bench: Bench) -> None:
    def opened() -> int:
        return len(os.listdir("/proc/self/fd"))

    server = bench.keep(TcpServer())
    ticker = bench.keep(Ticker(server.send))
    ticker.start()
    before = opened()
    for _ in range(3):
        source = open_source(f"nmea+tcp://127.0.0.1:{server.port}")
        next(iter(source))
        source.close()
        unread = open_source(f"nmea+tcp://127.0.0.1:{server.port}")
        unread.close()
    server.hang_up()
    until(lambda: opened() <= before)


@pytest.mark.parametrize(
    "url", ["gpsd://48..11:2947", "nmea+tcp://48..11:1", "nmea+udp://48..11:1", f"gpsd://{'4' * 64}"]
)
def test_r10_what_is_no_name_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(SourceUnavailable, match="the name is not known") as refused:
        open_source(url)
    assert refused.value.__context__ is None and "4" not in str(refused.value)


def test_words_for_errors() -> None:
    assert said_of(TimeoutError(110, "x")) == "no answer in time"
    assert said_of(socket.gaierror(-2, "secret")) == "the name is not known"
    assert said_of(OSError()) == "unknown error"
