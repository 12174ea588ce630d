"""R3: the link to the service: what was cut is counted once and reported once, whoever noticed first."""

from __future__ import annotations

import os
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from kalos_connect_sdk import Config
from kalos_connect_sdk.protocol.link import Link
from kalos_connect_sdk.storage.locks import try_lock
from kalos_connect_sdk.transport.door import Door
from kalos_connect_sdk.transport.flight import Flight, Flights


@pytest.fixture
def link():
    made = Link(Config(service_url="http://127.0.0.1:9"), lambda _: None)
    yield made
    made.close()


def flying(link: Link, *, wrote: bool = True) -> Flight:
    """A flight on its way, without a connection, under a lease of its own."""
    lease = try_lock(lambda: os.memfd_create("barrier"))
    assert lease is not None
    flight = link.depart(lease, lambda: True, lambda: None)
    flight.depart()
    flight.wrote = wrote
    return flight


def test_nothing_was_cut_in_the_beginning(link):
    link.cut()
    assert (link.aborted, link.take_cut()) == (0, (0, 0))


def test_r3_after_a_cut_no_connection_from_before_is_used(link):
    """With nothing in the air as well: an idle connection may have carried positions."""
    ports: list[int] = []

    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            ports.append(self.client_address[1])
            self.send_response(204)
            self.end_headers()

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except ConnectionResetError:  # the link was closed
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ask = partial(link.door().exchange, "GET", f"http://127.0.0.1:{server.server_port}/", headers={})
        ask(), ask()
        link.cut()
        ask(), ask()
        server.shutdown()
        link.close()  # the server waits for its connections
    assert ports[0] == ports[1] != ports[2] == ports[3]


def test_r3_a_cut_counts_each_flight_in_the_air_and_reports_it_once(link):
    flights = [flying(link) for _ in range(3)]
    link.cut()
    assert all(flight.aborted for flight in flights)
    assert (link.aborted, link.take_cut()) == (3, (3, 3))
    assert link.take_cut() == (0, 0)
    link.cut()
    for flight in flights:
        flight.land()
        link.landed(flight)
    assert (link.aborted, link.take_cut()) == (3, (0, 0))
    assert len(link.flights) == 0


def test_r3_a_cut_finds_both_of_two_first_requests_at_once(monkeypatch):
    both = threading.Barrier(2, timeout=30)
    make = Flights.__init__
    link = Link(Config(service_url="http://127.0.0.1:9"), lambda _: None)
    monkeypatch.setattr(Flights, "__init__", lambda self: (both.wait(), make(self))[1])
    flights: list[Flight] = []
    crowd = [threading.Thread(target=lambda: flights.append(flying(link))) for _ in range(2)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join(60)
    link.cut()
    assert len(flights) == 2 and all(flight.aborted for flight in flights)
    link.close()


def test_r3_what_its_own_check_cut_is_counted_and_reported_once_it_landed(link):
    late, early, whole = flying(link), flying(link, wrote=False), flying(link)
    late.abort()
    early.abort()
    for flight in (late, early, whole):
        flight.land()
        link.landed(flight)
    assert (link.aborted, link.take_cut()) == (1, (1, 1))


def test_r3_only_what_wrote_and_was_not_answered_is_possibly_delivered(link):
    flying(link, wrote=False)
    answered = flying(link)
    answered.answered = True
    flying(link)
    flying(link, wrote=False)
    link.cut()
    assert (link.aborted, link.take_cut()) == (4, (4, 1))


@pytest.mark.parametrize("step", ["take_cut", "count"])
def test_r3_no_count_is_lost_between_two_threads(link, step):
    flight = flying(link)
    thread = threading.Thread(target=link.take_cut if step == "take_cut" else flight.abort)
    with link._lock:
        thread.start()
        thread.join(0.05)
        assert thread.is_alive(), "it did not wait"
    thread.join(30)
    assert not thread.is_alive()


def test_r2_two_that_open_the_door_at_once_share_one(link):
    Link(link._config, lambda _: None).client("http://127.0.0.1:9")  # what it imports is imported now
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(link.client("http://127.0.0.1:9")))
    with link._opening:
        thread.start()
        thread.join(0.05)
        assert thread.is_alive(), "it did not wait"
    thread.join(30)
    assert found == [link.client("http://127.0.0.1:9")]
    assert link.client("http://127.0.0.1:10") is not found[0]
    assert link.client("http://127.0.0.1:10")._door is link.client("http://127.0.0.1:9")._door


def test_r10_the_door_is_opened_as_configured_and_closed_once_opened(monkeypatch, tmp_path):
    opened: list[dict[str, object]] = []
    closed: list[None] = []
    init = Door.__init__

    def note(door: Door, **options: object) -> None:
        opened.append(options)
        init(door, **options)

    monkeypatch.setattr(Door, "__init__", note)
    monkeypatch.setattr(Door, "close", lambda _: closed.append(None))
    bundle = tmp_path / "ca.pem"
    for config in (
        Config(service_url="http://127.0.0.1:9", timeout_s=7),
        Config(service_url="http://127.0.0.1:9", ca_bundle=bundle, proxy="http://127.0.0.1:8"),
    ):
        link = Link(config, print)
        link.close()
        link.client("http://127.0.0.1:9")
        link.close()
    plain, special = opened
    assert plain == {"timeout_s": 7, "ca_bundle": None, "proxy": None, "on_date": print}
    assert (special["ca_bundle"], special["proxy"]) == (str(bundle), "http://127.0.0.1:8")
    assert closed == [None, None]
