"""R2: nothing is read or written outside a voyage, nor after its end."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from kalos_connect_sdk.transport import sockets
from kalos_connect_sdk.transport.names import Names
from kalos_connect_sdk.transport.sockets import GuardedSocket, Voyage, current_voyage


@pytest.fixture
def pair() -> Iterator[tuple[GuardedSocket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as server, GuardedSocket() as near:
        near.connect(server.getsockname())
        far, _ = server.accept()
        with far:
            yield near, far


def test_r2_a_voyage_ends_with_its_block(pair) -> None:
    near, _ = pair
    with Voyage(Names(), 10.0, None) as voyage:
        assert current_voyage() is voyage
        near.sendall(b"inside")
    for act in (lambda: near.send(b"x"), lambda: near.sendall(b"x"), lambda: near.recv(1), current_voyage):
        with pytest.raises(ConnectionAbortedError):
            act()


def test_nothing_goes_on_after_the_deadline(pair) -> None:
    near, far = pair
    far.sendall(b"waiting")
    with Voyage(Names(), 0.0, None) as voyage:
        for act in (voyage.remaining_s, voyage.check, lambda: near.send(b"x"), lambda: near.recv(1)):
            with pytest.raises(TimeoutError):
                act()


def test_no_more_is_read_than_was_asked_for(pair) -> None:
    near, far = pair
    far.sendall(b"abcdef")
    buffer = bytearray(6)
    with Voyage(Names(), 10.0, None):
        assert near.recv_into(buffer, 2) == 2
        assert bytes(buffer) == b"ab\0\0\0\0"
        assert near.recv_into(buffer) == 4
        assert bytes(buffer) == b"cdef\0\0"


def test_each_address_of_a_host_gets_its_share_of_what_is_left() -> None:
    class Two(Names):
        def addresses(self, host: str, port: int) -> tuple[tuple[int, object], ...]:
            return ((socket.AF_INET, ("192.0.2.1", port)), (socket.AF_INET, ("192.0.2.2", port)))

    with Voyage(Two(), 10.0, None) as voyage:
        first, second = (share for *_, share in sockets._shares(voyage, "host", 1))
    assert 0.0 < first <= 5.0 < second <= 10.0
