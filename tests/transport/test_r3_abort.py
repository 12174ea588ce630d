"""R3 at the socket: after an abort returned, not one byte of the flight leaves, whatever the sender was doing."""

from __future__ import annotations

import array
import fcntl
import os
import socket
import ssl
import struct
import termios
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from transport_peers import OK, Conversation, Peer, Ride, flight_of

from kalos_connect_sdk.core.gate import Clearance
from kalos_connect_sdk.errors import ServiceUnreachable
from kalos_connect_sdk.transport import lifeline, sockets
from kalos_connect_sdk.transport.door import Door
from kalos_connect_sdk.transport.flight import Aborted, Flight, Flights

CANARY = b"LAT=52.5200;"
BIG = CANARY * (350_000)  # 4.2 MB: far more than every buffer between the two ends


def send(door: Door, url: str, clearance: Clearance, flight: Flight, body: bytes = BIG) -> Ride:
    door.resolve(url)
    return Ride(
        lambda: door.exchange(
            "POST", url, headers={}, body=body, clearance=clearance, carries="position", flight=flight
        )
    )


def bytes_sent(flight: Flight) -> int:
    """Unique bytes the kernel has put on the wire for this flight (TCP_INFO)."""
    if flight._line is None or not flight.wrote:
        return 0
    with socket.socket(fileno=os.dup(flight._line._fd)) as same:
        info = same.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232)
    sent, again = struct.unpack_from("QQ", info, 200)
    return sent - again


def unread(conn: socket.socket) -> int:
    size = array.array("i", [0])
    fcntl.ioctl(conn.fileno(), termios.FIONREAD, size)
    return size[0]


def settled(measure: Callable[[], int]) -> int:
    """The value once it has stopped growing: the window is closed and the sender blocks."""
    pause = threading.Event()
    last, same = -1, 0
    for _ in range(400):
        now = measure()
        same = same + 1 if now == last and now > 0 else 0
        if same == 5:
            return now
        last = now
        pause.wait(0.01)
    raise AssertionError("the sender never blocked")


class Stalled:
    """Accepts, and reads nothing until told."""

    def __init__(self) -> None:
        self.conn: socket.socket | None = None
        self.accepted = threading.Event()
        self.read_now = threading.Event()
        self.received = b""
        self.done = threading.Event()

    def __call__(self, talk: Conversation) -> None:
        self.conn = talk.conn
        self.accepted.set()
        self.read_now.wait(20)
        self.received = talk.drain()
        self.done.set()


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_r3_abort_in_the_middle_of_the_body_lets_no_further_byte_leave(
    door: Door, clearance: Clearance, tls: ssl.SSLContext, secure: bool
) -> None:
    stalled = Stalled()
    with Peer(stalled, tls=tls if secure else None, receive_buffer=4096) as peer:
        flight, deaths = flight_of()
        ride = send(door, peer.url, clearance, flight)
        assert stalled.accepted.wait(10)
        before = settled(lambda: bytes_sent(flight))
        assert flight.wrote
        assert flight.abort() is True
        waiting = unread(stalled.conn) if stalled.conn is not None else 0
        assert deaths == ["dead"]  # at once, not when the call has unwound
        ride.join()
        stalled.read_now.set()
        assert stalled.done.wait(10)
        assert isinstance(ride.error, Aborted)
        assert ride.error.__context__ is None and ride.error.__cause__ is None
        assert flight.possibly_delivered
        if not secure:  # over TLS the server counts decrypted bytes
            assert len(stalled.received) <= waiting <= before
        assert len(stalled.received) < len(BIG) // 4


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_r3_abort_while_waiting_for_the_answer_wakes_the_sender(
    door: Door, clearance: Clearance, tls: ssl.SSLContext, secure: bool
) -> None:
    got, ended = threading.Event(), threading.Event()

    def silent(talk: Conversation) -> None:
        assert talk.request() is not None
        got.set()
        assert talk.drain() == b""
        ended.set()

    with Peer(silent, tls=tls if secure else None) as peer:
        flight, deaths = flight_of()
        ride = send(door, peer.url, clearance, flight, CANARY)
        assert got.wait(10)
        assert flight.abort() is True and deaths == ["dead"]
        assert isinstance(ride.join().error, Aborted)
        assert flight.possibly_delivered and not flight.answered
        assert ended.wait(10)


def test_r3_abort_while_connecting(door: Door, clearance: Clearance) -> None:
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for filler in (first, second):  # a full accept queue leaves the next SYN unanswered
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        flight, deaths = flight_of()
        ride = send(door, f"http://127.0.0.1:{full.getsockname()[1]}/x", clearance, flight, CANARY)
        pause = threading.Event()
        while flight._line is None:
            pause.wait(0.005)
        assert flight.abort() is True and deaths == ["dead"]
        assert isinstance(ride.join().error, Aborted)
        assert not flight.wrote and not flight.possibly_delivered


def test_r3_abort_during_the_tls_handshake(door: Door, clearance: Clearance) -> None:
    hello, ended = threading.Event(), threading.Event()
    seen = []

    def mute(talk: Conversation) -> None:  # plain: reads the ClientHello and never answers
        seen.append(talk.conn.recv(65536))
        hello.set()
        seen.append(talk.drain())
        ended.set()

    with Peer(mute) as peer:
        flight, deaths = flight_of()
        ride = send(door, peer.url.replace("http:", "https:"), clearance, flight, CANARY)
        assert hello.wait(10)
        assert flight.abort() is True and deaths == ["dead"]
        assert isinstance(ride.join().error, Aborted)
        assert not flight.wrote
        assert ended.wait(10)
        assert b"".join(seen).count(CANARY) == 0 and seen[1] == b""


def test_r3_an_aborted_flight_never_departs(door: Door, clearance: Clearance) -> None:
    with Peer() as peer:
        flight, deaths = flight_of()
        assert flight.abort() is False
        assert deaths == ["dead"]  # whoever holds a lease for it may go
        assert isinstance(send(door, peer.url, clearance, flight).join().error, Aborted)
        assert peer.connections == 0


def test_r3_consent_is_read_again_before_the_first_byte(door: Door, clearance: Clearance) -> None:
    with Peer() as peer:
        flight, deaths = flight_of(lambda: False)
        assert isinstance(send(door, peer.url, clearance, flight).join().error, Aborted)
        assert peer.requests == [] and not flight.wrote and deaths == ["dead"]


def test_r3_consent_is_read_again_every_16_kib(door: Door, clearance: Clearance) -> None:
    answers = iter([True] * 6)
    received = []
    with Peer(lambda talk: received.append(talk.drain())) as peer:
        flight, deaths = flight_of(lambda: next(answers, False))
        assert isinstance(send(door, peer.url, clearance, flight).join().error, Aborted)
        assert flight.wrote and deaths == ["dead"]
    assert len(b"".join(received)) <= 6 * 16 * 1024


def test_r1_consent_that_cannot_be_read_counts_as_no(door: Door, clearance: Clearance) -> None:
    def unreadable() -> bool:
        raise OSError

    with Peer() as peer:
        flight, _ = flight_of(unreadable)
        ride = send(door, peer.url, clearance, flight).join()
        assert isinstance(ride.error, Aborted) and ride.error.__context__ is None
        assert peer.requests == []


def test_r3_an_early_answer_does_not_put_the_queue_out_of_reach(door: Door, clearance: Clearance) -> None:
    """A peer that answers before it has read: our bytes still wait in the kernel while we read its answer."""
    answered, finish = threading.Event(), threading.Event()
    received = []

    def hasty(talk: Conversation) -> None:
        talk.say(b"HTTP/1.1 413 No\r\nConnection: close\r\nContent-Length: 100\r\n\r\n")
        answered.set()
        finish.wait(10)
        received.append(talk.drain())

    body = CANARY * 2000  # fits into the send buffer, not into the receive buffer
    with Peer(hasty, receive_buffer=4096) as peer:
        flight, deaths = flight_of()
        ride = send(door, peer.url, clearance, flight, body)
        assert answered.wait(10)
        pause = threading.Event()
        while not flight.answered and ride.error is None:
            pause.wait(0.005)
        assert flight.abort() is True and deaths == ["dead"]
        ride.join()
        finish.set()
    assert isinstance(ride.error, Aborted)
    assert len(received[0]) < len(body)


@pytest.mark.fault(22)
def test_r3_what_a_severed_connection_had_queued_never_leaves_although_nobody_closes_it() -> None:
    """Whoever sends may be stopped for good: the queue must be gone by the abort alone, not by a later close."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as near:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        near.connect(server.getsockname())
        far, _ = server.accept()
        near.setblocking(False)
        queued = 0
        try:
            while True:
                queued += near.send(BIG)
        except BlockingIOError:
            pass
        there = settled(lambda: unread(far))
        line, flight = lifeline.Lifeline(near), object()
        line.bind(flight)
        assert line.sever(flight) is True
        read = 0
        far.settimeout(10)
        try:
            while piece := far.recv(1 << 16):
                read += len(piece)
        except ConnectionResetError:
            pass
        far.close()
        line.release(flight)
        line.retire()
        assert read <= there < queued


def test_r3_abort_all_cuts_every_flight_and_counts_them(door: Door, clearance: Clearance) -> None:
    arrived = threading.Semaphore(0)

    def silent(talk: Conversation) -> None:
        talk.request()
        arrived.release()
        talk.drain()

    flights = Flights()
    with Peer(silent) as peer:
        rides = []
        for _ in range(4):
            flight, _ = flight_of()
            flights.add(flight)
            rides.append(send(door, peer.url, clearance, flight, CANARY))
        for _ in range(4):
            assert arrived.acquire(timeout=10)
        assert len(flights) == 4
        assert flights.abort_all() == 4
        assert flights.abort_all() == 0
        assert all(isinstance(ride.join().error, Aborted) for ride in rides)
        for flight in flights:
            flights.discard(flight)
        assert len(flights) == 0


def test_the_next_exchange_after_an_abort_works_and_idle_connections_are_reused(
    door: Door, clearance: Clearance
) -> None:
    stop_at_second = threading.Event()
    before = set(lifeline._lines)

    def script(talk: Conversation) -> None:
        count = 0
        while talk.request() is not None:
            count += 1
            if talk.number == 1 and count == 2:
                stop_at_second.set()
                talk.drain()
                return
            talk.say(OK)

    with Peer(script) as peer:
        for _ in range(1):
            assert send(door, peer.url, clearance, flight_of()[0], CANARY).join().error is None
        flight, _ = flight_of()
        ride = send(door, peer.url, clearance, flight, CANARY)
        assert stop_at_second.wait(10)
        assert peer.connections == 1  # kept alive
        flight.abort()
        assert isinstance(ride.join().error, Aborted)
        for _ in range(3):
            assert send(door, peer.url, clearance, flight_of()[0], CANARY).join().error is None
        assert peer.connections == 2
    assert len(lifeline._lines - before) <= 1


def test_a_late_abort_does_not_touch_the_next_flight_on_the_same_connection(door: Door, clearance: Clearance) -> None:
    with Peer() as peer:
        first, deaths = flight_of()
        assert send(door, peer.url, clearance, first, CANARY).join().error is None
        assert first.answered and not first.possibly_delivered and deaths == []
        assert first.abort() is False
        assert send(door, peer.url, clearance, flight_of()[0], CANARY).join().error is None
        assert peer.connections == 1


def test_a_flight_is_good_for_one_exchange(door: Door, clearance: Clearance) -> None:
    with Peer() as peer:
        flight, _ = flight_of()
        assert send(door, peer.url, clearance, flight, CANARY).join().error is None
        assert isinstance(send(door, peer.url, clearance, flight, CANARY).join().error, RuntimeError)


@pytest.mark.parametrize("cut", [False, True], ids=["answered", "cut"])
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_who_is_cut_while_it_waits_rests_before_it_unwinds_and_nobody_else_does(
    door: Door, clearance: Clearance, tls: ssl.SSLContext, secure: bool, cut: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests: list[float] = []
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=rests.append)
    monkeypatch.setattr(sockets, "time", clock)
    got, go = threading.Event(), threading.Event()

    def slow(talk: Conversation) -> None:
        talk.request()
        got.set()
        if go.wait(10) and not cut:
            talk.say(OK)

    with Peer(slow, tls=tls if secure else None) as peer:
        flight, deaths = flight_of()
        ride = send(door, peer.url, clearance, flight, CANARY)
        assert got.wait(10)
        if cut:
            assert flight.abort() is True and deaths == ["dead"], "and it did not wait for the rest"
        go.set()
        ride.join()
    assert rests == ([sockets._GIVE_WAY_S] if cut else [])


def test_r3_without_a_way_to_sever_the_drain_ends_when_the_sender_has_unwound(
    door: Door, clearance: Clearance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere than on Linux: the sender is woken, and only its own return counts as the end."""
    monkeypatch.setattr(lifeline, "_connect", None)
    rests: list[float] = []
    monkeypatch.setattr(sockets, "time", SimpleNamespace(monotonic=time.monotonic, sleep=rests.append))
    got = threading.Event()

    def silent(talk: Conversation) -> None:
        talk.request()
        got.set()
        talk.drain()

    with Peer(silent) as peer:
        flight, deaths = flight_of()
        ride = send(door, peer.url, clearance, flight, CANARY)
        assert got.wait(10)
        assert flight.abort() is True
        assert isinstance(ride.join().error, Aborted)
        assert deaths == ["dead"]
        assert rests == [], "somebody waits for this one to unwind"
        assert flight.abort() is False and deaths == ["dead"]


def test_a_time_out_is_not_an_abort(door: Door, clearance: Clearance) -> None:
    with Peer(lambda talk: talk.drain() and None) as peer:
        door.resolve(peer.url)
        flight, deaths = flight_of()
        with pytest.raises(ServiceUnreachable, match="timeout"):
            door.exchange(
                "POST",
                peer.url,
                headers={},
                body=CANARY,
                clearance=clearance,
                carries="position",
                flight=flight,
                deadline_s=0.2,
            )
        assert flight.possibly_delivered and deaths == []
