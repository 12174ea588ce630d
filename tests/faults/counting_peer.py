"""A service that counts every byte that reaches this host's other side, and that can fall asleep at three places.

It reads raw bytes itself, in plain or under TLS, so that what it has read and what waits in its kernel's buffer add
up to everything that ever arrived on a connection.
"""

from __future__ import annotations

import fcntl
import gzip
import json
import select
import socket
import ssl
import struct
import termios
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

_SMALL_BUFFER = 4096
"""So that most of a body waits in the sender's kernel while nobody reads."""
_LAST_DATA_RECEIVED_AT = 52  # of struct tcp_info: milliseconds since


class Line:
    """One accepted connection, its bytes counted as they came over the wire."""

    def __init__(self, conn: socket.socket, context: ssl.SSLContext | None) -> None:
        self.conn = conn
        self.read_bytes = 0
        self.carried_positions = False
        self._counting = threading.Lock()
        self._plain = b""
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True) if context is not None else None

    def arrived(self) -> int:
        """Bytes read, and bytes that wait to be read."""
        waiting = 0
        with self._counting:
            with suppress(OSError):
                waiting = int(struct.unpack("i", fcntl.ioctl(self.conn, termios.FIONREAD, b"\0" * 4))[0])
            return self.read_bytes + waiting

    def last_arrival(self) -> float:
        """When the kernel last received data here, in seconds of ``time.monotonic()``, exact to its tick."""
        now = time.monotonic()
        info = self.conn.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        return now - float(struct.unpack_from("I", info, _LAST_DATA_RECEIVED_AT)[0]) / 1000

    def wait_readable(self) -> None:
        select.select([self.conn], [], [])

    def more(self, limit: int = 65536) -> bool:
        """Read once from the wire; False at the end."""
        self.wait_readable()
        with self._counting:
            data = self.conn.recv(limit, socket.MSG_DONTWAIT)
            self.read_bytes += len(data)
        if self._tls is None:
            self._plain += data
            return bool(data)
        self._in.write(data)
        try:
            while True:
                self._plain += self._tls.read(65536)
        except ssl.SSLWantReadError:
            pass
        finally:
            self._flush()
        return bool(data)

    def take(self, size: int) -> bytes:
        taken, self._plain = self._plain[:size], self._plain[size:]
        return taken

    @property
    def plain(self) -> bytes:
        return self._plain

    def say(self, data: bytes) -> None:
        if self._tls is None:
            self.conn.sendall(data)
        else:
            self._tls.write(data)
            self._flush()

    def _flush(self) -> None:
        if self._out.pending:
            self.conn.sendall(self._out.read())


@dataclass
class Sleep:
    """Where the service falls asleep once :attr:`armed`: ``unread`` (before it reads a request on a connection that
    carries positions), ``reading`` (after its first bytes), ``unanswered`` (when it has read all of it)."""

    place: str
    armed: bool = False
    asleep: int = 0
    awake: threading.Event = field(default_factory=threading.Event)


class CountingPeer:
    """The service. ``batches``: (epoch, number of positions) of each request that was read whole."""

    def __init__(self, context: ssl.SSLContext | None, place: str | None) -> None:
        self._context = context
        self.sleep = Sleep(place or "")
        self.lines: list[Line] = []
        self.batches: list[tuple[int, int]] = []
        self.withdrawn: list[int] = []
        self._seen = threading.Condition()
        self._listening = socket.socket()
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER)
        self._listening.bind(("127.0.0.1", 0))
        self._listening.listen(64)
        scheme = "https" if context is not None else "http"
        self.url = f"{scheme}://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> CountingPeer:
        return self

    def __exit__(self, *_: object) -> None:
        self.sleep.awake.set()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for line in self.lines:
            with suppress(OSError):
                line.conn.shutdown(socket.SHUT_RDWR)
            line.conn.close()

    def wait_for(self, condition: Any, timeout_s: float = 60.0) -> bool:
        """Wait until ``condition()``, looked at after everything that happens here."""
        with self._seen:
            return bool(self._seen.wait_for(condition, timeout_s))

    def arrived(self) -> dict[Line, int]:
        """Bytes that reached this side so far, for every connection that carries positions."""
        return {line: line.arrived() for line in self.lines if line.carried_positions}

    def _accept(self) -> None:
        while True:
            try:
                conn, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn: socket.socket) -> None:
        line = Line(conn, self._context)
        self.lines.append(line)
        with suppress(OSError, ssl.SSLError, ValueError):  # cut: that is what is tested
            while self._serve_one(line):
                pass

    def _serve_one(self, line: Line) -> bool:
        while b"\r\n\r\n" not in line.plain:
            line.wait_readable()
            if line.carried_positions:
                self._maybe_sleep("unread")
            if not line.more(512):
                return False
        head = line.take(line.plain.index(b"\r\n\r\n") + 4).decode("latin-1")
        positions = " /v1/positions " in head.split("\r\n")[0]
        line.carried_positions = line.carried_positions or positions
        if positions:
            self._maybe_sleep("reading")
        size = next((int(h.split(":")[1]) for h in head.split("\r\n") if h.lower().startswith("content-length:")), 0)
        while len(line.plain) < size:
            if not line.more():
                return False
        body = line.take(size)
        if positions:
            self._maybe_sleep("unanswered")
        if "content-encoding: gzip" in head.lower():
            body = gzip.decompress(body)
        status, document = self._answer(head.split(" ")[0], head.split(" ")[1], body)
        raw = json.dumps(document).encode()
        line.say(
            f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n".encode()
            + raw
        )
        return True

    def _maybe_sleep(self, place: str) -> None:
        sleep = self.sleep
        if sleep.armed and sleep.place == place and not sleep.awake.is_set():
            with self._seen:
                sleep.asleep += 1
                self._seen.notify_all()
            sleep.awake.wait()

    def _answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        with self._seen:
            self._seen.notify_all()
            if method == "PUT":
                return 201, {"access_token": "t", "encodings": []}
            if method == "GET":
                return 200, {"record_id": path.rsplit("/", 1)[-1], "status": "given", "epoch": 0}
            document = json.loads(body)
            if path.endswith("/withdrawals"):
                self.withdrawn.append(document["epoch"])
                return 200, {"epoch": document["epoch"], "dropped": 0}
            self.batches.append((document["consent"]["epoch"], len(document["features"])))
            return 202, {"accepted": len(document["features"]), "rejected": []}
