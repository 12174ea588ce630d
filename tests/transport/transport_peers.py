"""Real peers on loopback: a TCP server whose every byte the test controls, in plain and over TLS."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable

import trustme

from kalos_connect_sdk.transport.flight import Flight

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}"


class Conversation:
    """One accepted connection: read requests, answer, and see how it ended."""

    def __init__(self, conn: socket.socket, number: int) -> None:
        self.conn = conn
        self.number = number
        self._rest = b""

    def request(self) -> tuple[bytes, bytes] | None:
        """Head and body of the next request; None when the peer has gone."""
        while b"\r\n\r\n" not in self._rest:
            if not self._more():
                return None
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        size = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                size = int(line.split(b":")[1])
        while len(self._rest) < size:
            if not self._more():
                return None
        body, self._rest = self._rest[:size], self._rest[size:]
        return head, body

    def _more(self) -> bool:
        try:
            data = self.conn.recv(65536)
        except OSError:
            return False
        self._rest += data
        return bool(data)

    def drain(self) -> bytes:
        """Everything that still arrives until the end."""
        data = self._rest
        try:
            while piece := self.conn.recv(65536):
                data += piece
        except OSError:
            pass
        return data

    def say(self, data: bytes) -> None:
        self.conn.sendall(data)


def echo_ok(talk: Conversation) -> None:
    """Answers 200 to everything."""
    while talk.request() is not None:
        talk.say(OK)


class Peer:
    """A server on 127.0.0.1 that runs ``script`` for every connection, on a thread of its own."""

    def __init__(
        self,
        script: Callable[[Conversation], None] = echo_ok,
        *,
        tls: ssl.SSLContext | None = None,
        receive_buffer: int = 0,
        name: str = "127.0.0.1",
    ) -> None:
        self._script = script
        self._tls = tls
        self.connections = 0
        self.requests: list[tuple[bytes, bytes]] = []
        self.tls_failures = 0
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self._listener = socket.socket()
        if receive_buffer:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(16)
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://{name}:{self.port}/v1/x"
        self._spawn(self._accept)

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                conn, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(conn)
            self._spawn(self._serve, conn, self.connections)

    def _serve(self, conn: socket.socket, number: int) -> None:
        if self._tls is not None:
            try:
                conn = self._tls.wrap_socket(conn, server_side=True)
            except (OSError, ValueError):
                self.tls_failures += 1
                conn.close()
                return
            self._open.append(conn)
        talk = Conversation(conn, number)
        ask = talk.request

        def remembered() -> tuple[bytes, bytes] | None:
            request = ask()
            if request is not None:
                self.requests.append(request)
            return request

        talk.request = remembered  # type: ignore[method-assign]
        try:
            self._script(talk)
        except OSError:
            pass
        finally:
            conn.close()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        for conn in self._open:
            try:
                socket.socket.shutdown(conn, socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self._threads:
            thread.join(10)
        for conn in self._open:
            conn.close()


class Ride:
    """An exchange on a thread of its own, and what became of it."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.result: object = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(call,), daemon=True)
        self._thread.start()

    def _run(self, call: Callable[[], object]) -> None:
        try:
            self.result = call()
        except BaseException as error:
            self.error = error

    def join(self) -> Ride:
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self


class Deaths(list[str]):
    """Counts on_dead."""

    def __call__(self) -> None:
        self.append("dead")


def flight_of(allowed: Callable[[], bool] = lambda: True) -> tuple[Flight, Deaths]:
    deaths = Deaths()
    return Flight(allowed, deaths), deaths


def server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context
