"""After a fork the child shares no socket with the parent: closing in the parent really ends a connection."""

from __future__ import annotations

import os
import socket
import ssl
import stat
import threading

import pytest
from transport_peers import Conversation, Peer, Ride, flight_of

from kalos_connect_sdk.core.gate import Clearance
from kalos_connect_sdk.transport import lifeline
from kalos_connect_sdk.transport.door import Door
from kalos_connect_sdk.transport.flight import Aborted

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")  # 3.12: threads are running


def socket_inodes() -> set[int]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            status = os.fstat(int(name))
        except OSError:
            continue
        if stat.S_ISSOCK(status.st_mode):
            found.add(status.st_ino)
    return found


def in_child(check: object) -> int:
    """Exit status of a forked child that runs ``check``."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if check() else 2  # type: ignore[operator]
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
@pytest.mark.fault(23)
def test_the_child_shares_no_socket_and_opens_its_own(door: Door, tls: ssl.SSLContext, secure: bool) -> None:
    with Peer(tls=tls if secure else None) as peer:
        assert door.exchange("GET", peer.url, headers={}).ok
        (line,) = [line for line in lifeline._lines if line._sock.getpeername()[1] == peer.port]
        ours = os.fstat(line._fd).st_ino
        before = lifeline.fork_generation()

        def child() -> bool:
            apart = ours not in socket_inodes() and lifeline.fork_generation() == before + 1
            return apart and door.exchange("GET", peer.url, headers={}).ok

        assert in_child(child) == 0
        assert lifeline.fork_generation() == before
        assert door.exchange("GET", peer.url, headers={}).ok  # ours is as it was
        assert peer.connections == 2


@pytest.mark.fault(23)
def test_a_fork_in_the_middle_of_a_tls_handshake_copies_no_socket(door: Door) -> None:
    hello, finish = threading.Event(), threading.Event()

    def mute(talk: Conversation) -> None:
        talk.conn.recv(65536)
        hello.set()
        finish.wait(10)

    before = set(lifeline._lines)  # of other tests' connections, which nobody has collected yet
    with Peer(mute) as peer:
        ride = Ride(lambda: door.exchange("GET", peer.url.replace("http:", "https:"), headers={}))
        assert hello.wait(10)
        (line,) = set(lifeline._lines) - before
        ours = os.fstat(line._fd).st_ino
        assert in_child(lambda: ours not in socket_inodes()) == 0
        finish.set()
        assert ride.join().error is not None


@pytest.mark.fault(23)
def test_r3_an_abort_in_the_parent_reaches_the_peer_although_a_child_was_forked(
    door: Door, clearance: Clearance
) -> None:
    got, ended = threading.Event(), threading.Event()

    def silent(talk: Conversation) -> None:
        talk.request()
        got.set()
        talk.drain()
        ended.set()

    with Peer(silent) as peer:
        door.resolve(peer.url)
        flight, _ = flight_of()
        ride = Ride(
            lambda: door.exchange(
                "POST", peer.url, headers={}, body=b"x", clearance=clearance, carries="position", flight=flight
            )
        )
        assert got.wait(10)
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:  # lives on until the parent says so
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)
        os.close(reader)
        assert flight.abort() is True
        assert isinstance(ride.join().error, Aborted)
        assert ended.wait(10)
        os.close(writer)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_kill_leaves_nothing_in_the_send_buffer() -> None:
    """FAULTS 21: SO_LINGER(1,0) is set before the first byte, so a dead process's queue is dropped."""
    from kalos_connect_sdk.transport.names import Names
    from kalos_connect_sdk.transport.sockets import Voyage, open_socket

    with socket.create_server(("127.0.0.1", 0)) as server, Voyage(Names(), 5.0, None) as voyage:
        sock, line = open_socket(voyage, "127.0.0.1", server.getsockname()[1])
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == lifeline.LINGER_NONE
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 2 * 32 * 1024
        assert not os.get_inheritable(line._fd) and not sock.get_inheritable()
        sock.close()
        line.retire()


def test_a_descriptor_number_used_again_is_not_closed_in_the_child(door: Door) -> None:
    """Only the very socket is closed: a number that means something else by then stays open."""
    near, far = socket.socketpair()
    line = lifeline.Lifeline(near)
    try:
        line.hold(socket.socket())  # stands for a TLS object that never reached us
        line._sock.close()
        os.dup2(far.fileno(), line._number)  # the number now names another socket
        other = os.fstat(line._number).st_ino
        assert in_child(lambda: other in socket_inodes()) == 0
    finally:
        line.retire()
        near.close()
        far.close()
