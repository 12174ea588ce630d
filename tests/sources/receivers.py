"""Receivers to listen to: epochs of NMEA over TCP, UDP and a pseudo-terminal, and a real gpsd that is fed with them."""

from __future__ import annotations

import json
import os
import pty
import queue
import shutil
import socket
import subprocess
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kalos_connect_sdk import LocationSource, Position
from kalos_connect_sdk.sources.nmea import checksum

START = datetime(2027, 1, 15, 9, tzinfo=UTC)
STEP = 1e-3
DEADLINE_S = 20.0


def sentence(body: str) -> bytes:
    return b"$%s*%02X\r\n" % (body.encode(), checksum(body.encode()))


def epoch(i: int, *, latitude: float = 60.0, fix: bool = True, start: datetime = START) -> bytes:
    """What a receiver says about second ``i``: it moves north at 10 m/s."""
    when = start + timedelta(seconds=i)
    minutes = (latitude % 1 + i * STEP) * 60
    where = f"{int(latitude) + int(minutes // 60):02d}{minutes % 60:09.6f},N,02454.000000,E"
    if not fix:
        return sentence(f"GPRMC,{when:%H%M%S}.00,V,,,,,,,{when:%d%m%y},,,N") + sentence(
            f"GPGGA,{when:%H%M%S}.00,,,,,0,00,99.99,,M,,M,,"
        )
    return (
        sentence(f"GPRMC,{when:%H%M%S}.00,A,{where},19.438,0.0,{when:%d%m%y},,,A")
        + sentence("GPGSA,A,3,01,02,03,04,05,06,07,08,,,,,1.5,0.8,1.2")
        + sentence(f"GPGGA,{when:%H%M%S}.00,{where},1,08,0.8,12.3,M,18.0,M,,")
        + sentence(f"GPGLL,{where},{when:%H%M%S}.00,A,A")
    )


def number_of(position: Position, *, dated: bool = True) -> int:
    """Which epoch it was; its time and its place must agree, unless somebody else dates it."""
    assert position.time is not None
    i = round((position.time - START).total_seconds() if dated else position.latitude % 1 / STEP)
    assert abs(position.latitude % 1 - i * STEP) < 1e-6 and abs(position.longitude - 24.9) < 1e-6
    return i


class Ticker:
    """A receiver: says an epoch every 40 ms to ``send``, until it is paused or stopped."""

    def __init__(self, send: Callable[[bytes], None], **how: Any) -> None:
        self._send = send
        self._how = how
        self._go = threading.Event()
        self._over = threading.Event()
        self._between = threading.Lock()
        self.said = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def start(self) -> None:
        self._go.set()

    def pause(self) -> None:
        self._go.clear()
        with self._between:  # what was being said is said
            pass

    def stop(self) -> None:
        self._over.set()
        self._go.set()
        self._thread.join(DEADLINE_S)

    def _run(self) -> None:
        while self._go.wait() and not self._over.wait(0.04):
            with self._between:
                if self._go.is_set():
                    self._send(epoch(self.said, **self._how))
                    self.said += 1


class TcpServer:
    """Says everything to everybody who is connected."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._lock = threading.Condition()
        self._peers: list[socket.socket] = []
        self.accepted = 0
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._server.accept()
            except OSError:
                return
            with self._lock:
                self._peers.append(peer)
                self.accepted += 1
                self._lock.notify_all()

    def wait_for(self, accepted: int) -> None:
        with self._lock:
            assert self._lock.wait_for(lambda: self.accepted >= accepted, DEADLINE_S)

    def send(self, data: bytes) -> None:
        with self._lock:
            for peer in list(self._peers):
                try:
                    peer.sendall(data)
                except OSError:
                    self._peers.remove(peer)
                    peer.close()

    def hang_up(self) -> None:
        with self._lock:
            for peer in self._peers:
                peer.close()
            self._peers.clear()

    def close(self) -> None:
        if self._server.fileno() >= 0:
            self._server.shutdown(socket.SHUT_RDWR)
            self._server.close()
        self._thread.join(DEADLINE_S)
        self.hang_up()


class Tty:
    """A pseudo-terminal pair: ``path`` is the serial device, ``send`` is what its receiver says."""

    def __init__(self) -> None:
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        os.set_blocking(self._master, False)

    def send(self, data: bytes) -> None:
        try:
            os.write(self._master, data)
        except BlockingIOError:
            pass  # nobody reads: a serial line loses it

    def close(self) -> None:
        for fd in (self._slave, self._master):
            if fd >= 0:
                os.close(fd)
        self._slave = self._master = -1


class Gpsd:
    """The real daemon, listening to ``devices``, which it opens at once."""

    def __init__(self, *devices: str, port: int | None = None, more: tuple[str, ...] = ()) -> None:
        path = gpsd_path()
        for _ in range(3):  # a port that was free may be taken by now
            self.port = port or free_port()
            self._process = subprocess.Popen(
                [path, "-N", "-n", *more, "-S", str(self.port), *devices],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            until(lambda: self._answers() or self._process.poll() is not None)
            if self._process.poll() is None:
                return
        raise AssertionError("gpsd ended")

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def ask(self, request: bytes) -> Iterator[dict[str, Any]]:
        """The reports after ``request``; an independent reader."""
        with socket.create_connection(("127.0.0.1", self.port), DEADLINE_S) as sock:
            sock.sendall(request)
            for line in sock.makefile("rb"):
                yield json.loads(line)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(DEADLINE_S)

    close = kill


def gpsd_path() -> str:
    path = shutil.which("gpsd") or shutil.which("gpsd", path="/usr/sbin:/usr/local/sbin")
    if path is None:
        pytest.skip("gpsd is not installed")
    return path


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def until(true: Callable[[], bool]) -> None:
    """Wait for what another process does, and fails after the deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


class Reader:
    """Reads a source on a thread; ``next()`` waits for its next position."""

    def __init__(self, source: LocationSource) -> None:
        self._got: queue.Queue[Position] = queue.Queue()
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, args=(source,), daemon=True)
        self.thread.start()

    def _run(self, source: LocationSource) -> None:
        try:
            for position in source:
                self._got.put(position)
        except Exception as error:
            self.error = error

    def next(self) -> Position:
        return self._got.get(timeout=DEADLINE_S)

    def forget(self) -> None:
        while not self._got.empty():
            self._got.get()

    def ended(self) -> bool:
        self.thread.join(DEADLINE_S)
        return not self.thread.is_alive()


class Told:
    """What a source says of its losses, in order; None is *heard again*."""

    def __init__(self, source: Any) -> None:
        self._said: queue.Queue[str | None] = queue.Queue()
        source.watch(self._said.put)

    def next(self) -> str | None:
        return self._said.get(timeout=DEADLINE_S)

    def until(self, words: str | None) -> str | None:
        """The first that holds ``words``."""
        while True:
            said = self.next()
            if said is words or (said is not None and words is not None and words in said):
                return said


class Bench:
    """Whatever a test opens here is closed at its end, the latest first."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def keep(self, thing: Any) -> Any:
        self._stack.callback(thing.close if hasattr(thing, "close") else thing.stop)
        return thing

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()
