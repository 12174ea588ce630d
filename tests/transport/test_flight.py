"""Flights against every order of events, and aborts at arbitrary instants."""

from __future__ import annotations

import os
import random
import socket
import threading

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from transport_peers import Conversation, Deaths, Peer, Ride, flight_of

from kalos_connect_sdk.core.gate import Clearance
from kalos_connect_sdk.errors import KalosConnectError
from kalos_connect_sdk.transport import lifeline
from kalos_connect_sdk.transport.door import Door
from kalos_connect_sdk.transport.flight import Aborted, Flight, Flights
from kalos_connect_sdk.transport.lifeline import Lifeline
from kalos_connect_sdk.transport.sockets import current_voyage


class FlightMachine(RuleBasedStateMachine):
    """One flight over real TCP connections; the model knows what must still work."""

    def __init__(self) -> None:
        super().__init__()
        self.server = socket.create_server(("127.0.0.1", 0))
        self.allowed = True
        self.deaths = Deaths()
        self.flight = Flight(lambda: self.allowed, self.deaths)
        self.aborted = self.departed = self.landed = False
        self.near: socket.socket | None = None
        self.line: Lifeline | None = None
        self.old: list[tuple[socket.socket, Lifeline]] = []

    def _abort_seen(self) -> None:
        self.aborted = True

    @rule()
    def depart(self) -> None:
        if self.departed:
            return
        try:
            self.flight.depart()
        except Aborted:
            assert self.aborted
            return
        assert not self.aborted
        self.departed = True

    @precondition(lambda self: self.departed and not self.landed)
    @rule()
    def board(self) -> None:
        near = socket.create_connection(self.server.getsockname())
        far, _ = self.server.accept()
        far.close()
        line = Lifeline(near)
        try:
            self.flight.board(line)
        except ConnectionAbortedError:
            assert self.aborted
            near.close()
            line.retire()
            return
        assert not self.aborted
        if self.near is not None and self.line is not None:
            self.old.append((self.near, self.line))
        self.near, self.line = near, line

    @rule()
    def check(self) -> None:
        try:
            self.flight.check()
        except ConnectionAbortedError:
            assert self.aborted or not self.allowed
            self.aborted = True
            return
        assert self.allowed and not self.aborted

    @rule()
    def consent_goes(self) -> None:
        self.allowed = False

    @rule()
    def abort(self) -> None:
        flying = self.departed and not self.landed and not self.aborted
        assert self.flight.abort() is flying
        self.aborted = True

    @precondition(lambda self: self.line is not None)
    @rule()
    def connection_closes(self) -> None:
        assert self.near is not None and self.line is not None
        self.near.close()
        self.line.retire()

    @precondition(lambda self: self.departed)
    @rule()
    def land(self) -> None:
        self.flight.land()
        self.landed = True

    @invariant()
    def told_exactly_once_and_only_after_an_abort(self) -> None:
        assert len(self.deaths) == int(self.aborted)

    @invariant()
    def nothing_can_be_written_after_an_abort(self) -> None:
        if self.aborted and not self.landed and self.near is not None and self.near.fileno() >= 0:
            with pytest.raises(OSError):
                self.near.send(b"LAT")

    def teardown(self) -> None:
        self.flight.land()
        for near, line in [*self.old, *([(self.near, self.line)] if self.near and self.line else [])]:
            near.close()
            line.retire()
            assert line._fd == -1
        self.server.close()


FlightMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
TestFlight = FlightMachine.TestCase


def test_r3_an_abort_at_any_instant_ends_the_flight_and_no_request_begins_after_it(
    door: Door, clearance: Clearance
) -> None:
    """Aborts are thrown at all phases; the peer has seen a request by then or never sees it whole."""

    def slow(talk: Conversation) -> None:
        while talk.request() is not None:
            talk.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")

    chance = random.Random(7)
    kinds = set()
    with Peer(slow) as peer:
        door.resolve(peer.url)
        for _ in range(150):
            flight, deaths = flight_of()
            body = b"LAT=52.5200;" * chance.choice([1, 5000])
            ride = Ride(
                lambda flight=flight, body=body: door.exchange(  # type: ignore[misc]
                    "POST", peer.url, headers={}, body=body, clearance=clearance, carries="position", flight=flight
                )
            )
            for _ in range(chance.randrange(0, 400)):
                flight.aborted  # spend a little time, without a clock
            cut = flight.abort()
            wrote = flight.wrote
            ride.join()
            assert deaths == ["dead"]
            assert flight.wrote is wrote  # not a byte was offered after the abort returned
            assert ride.error is None or isinstance(ride.error, Aborted)
            kinds.add((cut, type(ride.error)))
        ride = Ride(lambda: door.exchange("GET", peer.url, headers={}))
        assert ride.join().error is None
    assert any(error is Aborted for _, error in kinds)


def test_abort_all_reaches_everyone_although_one_lease_fails() -> None:
    def failing() -> None:
        raise KalosConnectError("lease")

    flights, others = Flights(), [flight_of() for _ in range(3)]
    flights.add(Flight(lambda: True, failing))
    for flight, _ in others:
        flights.add(flight)
    with pytest.raises(KalosConnectError, match="lease"):
        flights.abort_all()
    assert all(flight.aborted and deaths == ["dead"] for flight, deaths in others)


def test_outside_an_exchange_a_guarded_socket_moves_nothing() -> None:
    with pytest.raises(ConnectionAbortedError):
        current_voyage()


def test_two_threads_aborting_tell_once() -> None:
    for _ in range(50):
        flight, deaths = flight_of()
        threads = [threading.Thread(target=flight.abort) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert deaths == ["dead"]


def connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    return near, far


@pytest.mark.parametrize(
    "step", ["depart", "board", "abort", "land", "bind", "release", "retire", "sever", "add", "discard", "iter"]
)
def test_r3_no_step_of_a_flight_overtakes_one_that_holds_its_lock(step: str) -> None:
    near, far = connected()
    line, flight, flights = Lifeline(near), flight_of()[0], Flights()
    holder = {
        "bind": line,
        "release": line,
        "retire": line,
        "sever": line,
        "add": flights,
        "discard": flights,
        "iter": flights,
    }
    steps = {
        "depart": flight.depart,
        "board": lambda: flight.board(line),
        "abort": flight.abort,
        "land": flight.land,
        "bind": lambda: line.bind(flight),
        "release": lambda: line.release(flight),
        "retire": line.retire,
        "sever": lambda: line.sever(flight),
        "add": lambda: flights.add(flight),
        "discard": lambda: flights.discard(flight),
        "iter": lambda: list(flights),
    }
    thread = threading.Thread(target=steps[step])
    with holder.get(step, flight)._lock:
        thread.start()
        thread.join(0.05)
        assert thread.is_alive(), "it did not wait"
    thread.join(30)
    assert not thread.is_alive()
    line.release(flight)  # a forked child would close what is left bound
    line.retire()
    near.close()
    far.close()


@pytest.mark.parametrize("mark", ["wrote", "answered", "_flying"])
def test_a_flight_that_wrote_or_was_answered_never_departs_again(mark: str) -> None:
    flight = flight_of()[0]
    setattr(flight, mark, True)
    with pytest.raises(RuntimeError, match="one exchange"):
        flight.depart()


def test_r3_a_flight_that_changes_its_connection_lets_go_of_the_first() -> None:
    pairs = [connected(), connected()]
    first, second = (Lifeline(near) for near, _ in pairs)
    flight = flight_of()[0]
    flight.depart()
    flight.board(first)
    first.retire()
    assert first._fd >= 0, "within reach as long as the flight is in the air"
    flight.board(first)
    assert first._fd >= 0, "boarding it again changes nothing"
    flight.board(second)
    assert first._fd < 0
    flight.abort()
    with pytest.raises(OSError):
        pairs[1][0].send(b"x")
    flight.land()
    second.retire()
    assert second._fd < 0
    for pair in pairs:
        for end in pair:
            end.close()


def test_r3_a_connection_used_again_is_cut_by_its_present_flight_and_no_other() -> None:
    near, far = connected()
    line = Lifeline(near)
    old, new = flight_of()[0], flight_of()[0]
    line.bind(old)
    line.release(old)
    line.bind(new)
    assert line.sever(old), "nothing of it can leave"
    near.sendall(b"new")
    assert far.recv(3) == b"new"
    line.release(old)
    line.retire()
    assert line._fd >= 0, "the new one's answer may still come"
    assert line.sever(new)
    with pytest.raises(OSError):
        near.sendall(b"late")
    line.release(new)
    assert line._fd < 0
    assert line.sever(new), "there is nothing left to sever"
    near.close()
    far.close()


def test_r3_a_forked_child_closes_no_descriptor_that_was_used_again() -> None:
    near, far = connected()
    line = Lifeline(near)
    number = near.fileno()
    near.close()
    other = os.open(os.devnull, os.O_RDONLY)
    if other != number:
        os.dup2(other, number)
        os.close(other)
    flight = flight_of()[0]
    line.bind(flight)
    line._leave_to_parent()
    assert line.sever(flight), "in the child there is nothing left to sever"
    os.fstat(number)
    os.close(number)
    assert line._fd < 0
    line._close()
    assert line not in lifeline._lines
    far.close()


def test_r3_a_flight_that_was_aborted_boards_no_connection() -> None:
    near, far = connected()
    line, flight = Lifeline(near), flight_of()[0]
    flight.abort()
    with pytest.raises(ConnectionAbortedError):
        flight.board(line)
    assert line._flight is None
    line.retire()
    near.close()
    far.close()
