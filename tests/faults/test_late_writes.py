"""R3: bytes that are already on their way when consent ends: in a stopped sender, in a socket's buffer, in the network.

What left is counted at the far end, packet by packet (AF_PACKET), and every count has a control that sees bytes.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import pytest
from cutting_proxy import CuttingProxy
from packet_count import NotPermitted, Wire, queued
from real_program import Start, eventually, starter
from transport_peers import Conversation, Peer

from kalos_connect_sdk import KalosConnectError, Position, PromptAnswer
from kalos_connect_sdk.model.consent import Duration

WEEK = PromptAnswer.allow(Duration.days(7))
MANY = 2000
"""Positions in one batch: some 30 KB compressed, more than a small receive buffer takes."""


@pytest.fixture
def program(tmp_path, service) -> Iterator[Start]:
    yield from starter(tmp_path, service.url)


def granted(connect):
    assert connect.request_permission(user_action=True).granted
    return connect


def scattered(count: int) -> Iterator[Position]:
    """Positions that do not compress well."""
    dice = Random(21)
    for _ in range(count):
        yield Position(dice.uniform(-80, 80), dice.uniform(-170, 170))


# -- a sender that stops between its check and its write (row 26) ---------------------------------

STOPPED = r"""
import socket
from kalos_connect_sdk.transport import sockets
def sendall(self, data, flags=0):
    self.settimeout(sockets.current_voyage().check())  # the last check there is: consent was there
    if b"POST /v1/positions" in bytes(data[:64]):
        say("checked")
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)  # this very thread goes no further
    return socket.socket.sendall(self, data, flags)
sockets.GuardedSocket.sendall = sendall
c = make()
c.submit(Position(60.0, 24.0))
try: say("sent", c.flush().sent)
except KalosConnectError as error: say("sent 0", type(error).__name__)
say("ended", c.permission().reason.name)
c.close()
"""


@pytest.mark.fault(20, 26)
def test_r3_a_sender_stopped_between_check_and_write_is_named_and_what_it_writes_later_is_refused(
    make, service, program
):
    connect = granted(make(WEEK))
    one = program(STOPPED)
    assert one.hear() == "checked"
    eventually(lambda: _state_of(one.pid) == "T")
    report = connect.withdraw(timeout_s=0.3)
    assert report.durable and not report.complete and report.holders == (one.pid,), report
    assert connect.wait_for_notices(10), "the service hears of it all the same"
    one.signal(signal.SIGCONT)
    assert one.hear().startswith("sent 0")
    assert one.hear() == "ended WITHDRAWN"
    assert one.end()[0] == 0
    assert service.positions == [], "cut before it was written, or refused by the fence"
    assert connect.withdraw().complete


@pytest.mark.fault(26)
def test_r6_a_write_that_got_away_is_refused_by_the_service(make, service):
    """The network holds the whole request back; the grant ends, another begins; only then is it delivered."""
    address = urlsplit(service.url)
    with CuttingProxy((str(address.hostname), int(address.port or 0))) as proxy:
        connect = granted(make(WEEK, settings={"service_url": proxy.url}))
        connect.submit(Position(60.0, 24.0))
        assert connect.flush().sent == 1
        proxy.hold = b"POST /v1/positions"
        connect.submit(Position(60.5, 24.5))
        flushing = threading.Thread(target=lambda: _quietly(connect.flush), daemon=True)
        flushing.start()
        assert proxy.held.wait(20)
        report = connect.withdraw()
        assert report.complete and report.possibly_delivered == 1, "bytes in the network cannot be recalled: it says so"
        flushing.join(20)
        assert connect.wait_for_notices(10)
        assert connect.request_permission(user_action=True).epoch == 2
        connect.submit(Position(60.7, 24.7))
        proxy.hold = b""
        assert connect.flush().sent == 1
        proxy.let_go.set()
        eventually(lambda: [r["status"] for r in service.requests if r["path"] == "/v1/positions"].count(202) == 2)
        eventually(lambda: len([r for r in service.requests if r["path"] == "/v1/positions" and r["status"]]) == 3)
        assert [p["epoch"] for p in service.positions] == [1, 2], "the late one was refused"
        (consent,) = service.consents.values()
        assert (consent["status"], consent["fence"], consent["kept"]) == ("given", 1, 1)


def _state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _quietly(call) -> None:
    with suppress(KalosConnectError):
        call()


# -- bytes in the socket's buffer -----------------------------------------------------------------


def capture(port: int) -> Wire:
    try:
        return Wire(port)
    except NotPermitted:
        pytest.skip("capturing packets takes CAP_NET_RAW")


TOKEN = b'{"access_token": "t", "encodings": ["gzip"]}'


def _answered(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


class DeafService:
    """Registers and publishes no notice; of the positions it reads nothing until it is told to."""

    def __init__(self) -> None:
        self.connection: socket.socket | None = None
        self.reached, self.read_now, self.done = threading.Event(), threading.Event(), threading.Event()
        self.received = b""
        self.ended = ""

    def __call__(self, talk: Conversation) -> None:
        for answer in (_answered(TOKEN), b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"):
            if talk.request() is None:
                return
            talk.say(answer)
        self.connection = talk.conn
        self.reached.set()
        self.read_now.wait(60)
        self.received = talk._rest
        try:
            while piece := talk.conn.recv(65536):
                self.received += piece
            self.ended = "FIN"
        except ConnectionResetError:
            self.ended = "RST"
        self.done.set()


KILLED = r"""
from kalos_connect_sdk.transport import lifeline, sockets
import socket, struct
if REST[0] == "control":
    sockets.LINGER_NONE = struct.pack("ii", 0, 0)
c = make(settings={"service_url": URL, "batch_max_positions": 2000, "timeout_s": 60.0})
c.request_permission(user_action=True)
dice = random.Random(21)
for _ in range(2000):
    c.submit(Position(dice.uniform(-80, 80), dice.uniform(-170, 170)))
say("full")
c.flush()
"""


@pytest.mark.fault(21)
@pytest.mark.once
@pytest.mark.parametrize("what", ["ours", "control"])
def test_r3_killed_with_a_request_in_its_socket_nothing_more_leaves(program, what):
    deaf = DeafService()
    with Peer(deaf, receive_buffer=2048) as peer, capture(peer.port) as wire:
        one = program(KILLED, what, url=peer.url.rpartition("/v1/")[0])
        assert one.hear() == "full"
        assert deaf.reached.wait(60)
        eventually(lambda: queued(peer.port)[0] > 4096 and queued(peer.port) == _settled(peer.port))
        waiting = queued(peer.port)[0]
        before = wire.take()
        assert before["bytes"] > 0, "the capture sees bytes"
        one.kill()
        deaf.read_now.set()
        assert deaf.done.wait(60)
        after = wire.take()
    print(f"{what}: {waiting} bytes queued at the kill; then {after}, ended by {deaf.ended}")
    if what == "ours":
        assert after["bytes"] == after["packets"] == 0 and after["resets"] >= 1
        assert deaf.ended == "RST"
    else:
        assert after["bytes"] > waiting // 2, "without the preset reset the kernel goes on delivering"


def _settled(port: int) -> tuple[int, int]:
    threading.Event().wait(0.05)  # the window is closed when nothing moves any more
    return queued(port)


# -- bytes queued while the network is away -------------------------------------------------------

AWAY = r"""
import subprocess
sys.path[:0] = REST[1:3]
from packet_count import Wire, queued
from transport_peers import Peer
def link(state): subprocess.run(["ip", "link", "set", "lo", state], check=True)
def until(true):
    deadline = time.monotonic() + 30
    while not true():
        if time.monotonic() > deadline: say("never"); os._exit(3)
        time.sleep(0.002)
link("up")
arrived = threading.Event()
def service(talk):
    while (request := talk.request()) is not None:
        if b"/positions" in request[0]: arrived.set()
        body = b'{"access_token": "t", "encodings": ["gzip"], "epoch": 1, "dropped": 0, "accepted": 1, "rejected": []}'
        talk.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
with Peer(service) as peer:
    c = make(settings={"service_url": peer.url.rpartition("/v1/")[0], "timeout_s": 60.0})
    c.request_permission(user_action=True)
    c.submit(Position(60.0, 24.0))
    assert c.flush().sent == 1 and arrived.is_set()
    arrived.clear()
    from kalos_connect_sdk.transport import lifeline
    (line,) = lifeline._lines
    source = line._sock.getsockname()[1]
    wire, all_of_it = Wire(peer.port), Wire(peer.port)
    link("down")  # the network is away; the connection does not know
    c.submit(Position(60.1, 24.1))
    def flush():
        try: c.flush()
        except KalosConnectError: pass
    sending = threading.Thread(target=flush, daemon=True)
    sending.start()
    until(lambda: queued(peer.port)[0] > 0)
    waiting, report = queued(peer.port)[0], None
    if REST[0] == "ours": report = c.withdraw()
    link("up")
    if report is None:
        assert arrived.wait(30)
        sending.join(30)
        left = 0
    else:
        sending.join(30)
        left = sum(int(row.split()[1].split(":")[1], 16) == source for row in open("/proc/self/net/tcp").readlines()[1:]
                   if row.split()[3] == "01")
        assert c.wait_for_notices(30)  # the network is back: what is not a position passes
    seen = wire.take(source)
    facts = {"queued": waiting, "connections left": left, "positions": arrived.is_set(), **seen}
    facts["captured"] = all_of_it.take()["bytes"]
    if report is not None: facts |= {"complete": report.complete, "aborted": report.aborted, "held": list(report.holders)}
    say(json.dumps(facts))
    c.close()
"""


@pytest.mark.fault(22)
@pytest.mark.once
@pytest.mark.parametrize("what", ["ours", "control"])
def test_r3_bytes_queued_while_the_network_is_away_never_leave(program, what):
    if subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode:
        pytest.skip("a network of one's own takes CAP_SYS_ADMIN")
    folders = [str(Path(__file__).parents[1] / "transport"), str(Path(__file__).parent)]
    one = program(AWAY, what, *folders, under=("unshare", "-n"))
    facts = json.loads(one.hear())
    assert one.end()[0] == 0
    print(what, facts)
    assert facts["queued"] > 0 and facts["captured"] > 0, "the capture sees what passes"
    if what == "ours":
        assert facts["complete"] and facts["aborted"] == 1 and facts["held"] == []
        assert facts["bytes"] == facts["packets"] == facts["connections left"] == 0 and not facts["positions"]
    else:
        assert facts["bytes"] >= facts["queued"] and facts["positions"], "left alone, the kernel sends them again"
