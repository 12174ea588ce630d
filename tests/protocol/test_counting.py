"""R3: the report never claims less than happened, whoever cut the request, and whenever it was cut."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

from kalos_connect_sdk import Config, Purpose
from kalos_connect_sdk.protocol.link import Link

PROGRAM = """
import sys
from kalos_connect_sdk import AssertedParked, Config, Connect, Position
state, vault, url = sys.argv[1:]
connect = Connect("com.example.test", config=Config(state_dir=state, vault=vault, service_url=url),
                  vehicle=AssertedParked("a test bench"))
connect.submit(Position(60.0, 24.0))
print(connect.flush().reason.name, flush=True)
sys.stdin.readline()
"""


def eventually(true) -> None:
    for _ in range(2000):
        if true():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it never came true")


@contextmanager
def another_in_flight(connect, service, tmp_path) -> Iterator[subprocess.Popen[str]]:
    """Another program, whose request the service has read and will not answer."""
    assert connect.request_permission(user_action=True).granted
    service.fail(stall_s=60.0, path="/v1/positions", before="answer")
    where = (str(tmp_path / "state"), f"file:{tmp_path / 'vault'}", service.url)
    other = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *where], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        eventually(lambda: any(r["path"].endswith("/positions") and r["t_read"] for r in service.requests))
        yield other
    finally:
        other.communicate("over\n", timeout=30)


def test_r3_a_request_that_another_program_cut_before_it_was_looked_for_is_counted(make, service, tmp_path):
    """The service has the body, and the program that sent it has cut it and let go before we count."""
    connect = make()
    with another_in_flight(connect, service, tmp_path) as other:
        state = connect._opened().state
        assert other.pid in state.barrier.holders()
        state.page.end(Purpose.NAVIGATION, state.page.granted(Purpose.NAVIGATION))  # as withdraw() begins
        assert other.stdout is not None and other.stdout.readline() == "WITHDRAWN\n"
        assert state.barrier.holders() == ()
        report = connect.withdraw()
        assert report.complete and report.possibly_delivered == 1 and report.aborted == 0, report
        assert connect.withdraw().possibly_delivered == 0, "each is told once"


def test_r3_a_holder_that_was_waited_for_is_not_counted_twice(make, service, tmp_path):
    connect = make()
    with another_in_flight(connect, service, tmp_path):
        report = connect.withdraw()
        assert report.complete and report.possibly_delivered == 1, report


def test_r3_what_is_cut_is_counted_before_the_barrier_is_let_go():
    """Whoever cuts it: the withdrawal, the flight's own check, or both at once."""
    for by_check in (False, True):
        link, seen = Link(Config(), lambda _: None), []
        lease = SimpleNamespace(release=lambda link=link, seen=seen: seen.append(("released", link.take_cut())))
        flight = link.depart(lease, lambda: False, lambda seen=seen: seen.append(("noted", None)))
        flight.depart()
        flight.wrote = True
        if by_check:
            flight.abort()
        link.cut()
        flight.land()
        link.landed(flight)
        assert seen[:2] == [("noted", None), ("released", (1, 1))] and link.take_cut() == (0, 0)
        assert seen.count(("noted", None)) == 1


def test_r3_who_flies_waits_for_who_cuts():
    """The sender lets go as well, when its call has unwound: not before the note is written."""
    noting, go_on, order = threading.Event(), threading.Event(), []

    def note() -> None:
        noting.set()
        go_on.wait(10)
        order.append("noted")

    link = Link(Config(), lambda _: None)
    flight = link.depart(SimpleNamespace(release=lambda: order.append("released")), lambda: True, note)
    flight.depart()
    flight.wrote = True
    cutting = threading.Thread(target=link.cut, daemon=True)
    cutting.start()
    assert noting.wait(10)
    flight.land()
    landing = threading.Thread(target=lambda: (link.landed(flight), order.append("landed")), daemon=True)
    landing.start()
    go_on.set()
    for thread in (cutting, landing):
        thread.join(10)
        assert not thread.is_alive()
    assert order[0] == "noted" and order.index("landed") > order.index("noted")
