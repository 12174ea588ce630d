"""The guard stops watched positions, in whatever dress it claims to know, and nothing else."""

from __future__ import annotations

import gzip
import json
import random
import socket
import ssl
import threading
from datetime import UTC, datetime

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from kalos_connect_sdk import Connect, ConsentRequired, Datum, KalosConnectError, Position, PromptAnswer
from kalos_connect_sdk.testing import LeakGuard, LocationLeak
from kalos_connect_sdk.testing.leak import _open
from kalos_connect_sdk.testing.traces import Stream, Watched

HERE = Position(60.1699123, 24.9384567)
ELSEWHERE = b'{"coordinates":[25.4651123,65.0121456]}'
DRESSES = {
    "geojson": b'{"type":"Point","coordinates":[24.9384567,60.1699123]}',
    "six decimals": b"lat=60.169912&lon=24.938457",
    "three decimals, cut": b"60.169,24.938",
    "three decimals, rounded": b"60.170 24.938",
    "one number between": b'"lat": 60.16991, "t": 1.5005, "lon": 24.93846',
    "nmea": b"$GPGLL,6010.19474,N,02456.30740,E,120000,A",
    "gzip": gzip.compress(b'{"coordinates":[24.9384567,60.1699123]}'),
}


@pytest.fixture
def pair():
    left, right = socket.socketpair()
    with left, right:
        right.settimeout(5)
        yield left, right


def waiting(sock: socket.socket) -> bytes:
    sock.setblocking(False)
    try:
        return sock.recv(1 << 20)
    except BlockingIOError:
        return b""


@pytest.mark.parametrize("dress", DRESSES)
def test_r2_no_dress_leaves_without_consent(pair, dress):
    left, right = pair
    with pytest.raises(LocationLeak), LeakGuard(HERE, allowed=lambda: False):
        left.sendall(b"POST / HTTP/1.1\r\n\r\n" + DRESSES[dress])
    assert waiting(right) == b""


@pytest.mark.parametrize("dress", DRESSES)
def test_with_consent_everything_leaves_as_it_is(pair, dress):
    left, right = pair
    with LeakGuard(HERE, allowed=lambda: True) as guard:
        left.sendall(DRESSES[dress])
    assert right.recv(1000) == DRESSES[dress] and guard.leaks == []


def test_other_positions_and_other_numbers_leave(pair):
    left, right = pair
    with LeakGuard(HERE, allowed=lambda: False):
        left.sendall(ELSEWHERE)
        left.sendall(b" 60.1 24.9 1060.16991 24.93845 60.1599 24.93845 " + b" " * 100)
        left.sendall(b'"lat": 60.16991' + b" " * 200 + b'"lon": 24.93846')
        left.sendall(b"\x1f\x8b\x08 only looks like gzip")
        left.sendall(gzip.compress(ELSEWHERE) + b"and on")
    assert len(right.recv(1000)) > 300


SENDS = {
    "send": lambda sock, data: sock.send(data),
    "sendall": lambda sock, data: sock.sendall(bytearray(data)),
    "sendmsg": lambda sock, data: sock.sendmsg([data[:20], memoryview(data)[20:]]),
}


@pytest.mark.parametrize("way", SENDS)
def test_every_way_to_send_is_watched(pair, way):
    left, right = pair
    with pytest.raises(LocationLeak), LeakGuard(HERE, allowed=lambda: False):
        SENDS[way](left, DRESSES["geojson"])
    assert waiting(right) == b""
    SENDS[way](left, DRESSES["geojson"])  # and unwatched again afterwards
    assert waiting(right) == DRESSES["geojson"]


def test_sendto_and_sendfile_are_watched(pair, tmp_path):
    (tmp_path / "body").write_bytes(DRESSES["geojson"])
    with LeakGuard(HERE, allowed=lambda: False) as guard:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out, pytest.raises(LocationLeak):
            out.sendto(DRESSES["geojson"], ("127.0.0.1", 9))
        with (tmp_path / "body").open("rb") as file, pytest.raises(LocationLeak):
            pair[0].sendfile(file)
        assert len(guard.leaks) == 2
        guard.leaks.clear()
    assert waiting(pair[1]) == b""


def test_what_holds_no_position_is_sent_whole_by_sendfile(pair, tmp_path):
    (tmp_path / "body").write_bytes(ELSEWHERE)
    with LeakGuard(HERE, allowed=lambda: False), (tmp_path / "body").open("rb") as file:
        assert pair[0].sendfile(file) == len(ELSEWHERE)
    assert waiting(pair[1]) == ELSEWHERE


def test_a_position_cut_into_pieces_is_seen(pair):
    left, _ = pair
    body = gzip.compress(
        json.dumps({"points": [[25.0 + i / 1e4, 61.0] for i in range(400)] + [[24.9384567, 60.1699123]]}).encode()
    )
    for whole in (DRESSES["geojson"], body):
        with LeakGuard(HERE, allowed=lambda: False) as guard:
            with pytest.raises(LocationLeak):
                for at in range(0, len(whole), 7):
                    left.sendall(whole[at : at + 7])
            assert len(guard.leaks) == 1
            guard.leaks.clear()


def test_what_left_with_consent_is_no_leak_when_the_connection_is_used_again(pair):
    left, right = pair
    consent = [True]
    with LeakGuard(HERE, allowed=lambda: consent[0]):
        left.sendall(DRESSES["geojson"])
        consent[0] = False
        left.sendall(b"POST /withdrawals")
    assert right.recv(1000).endswith(b"/withdrawals")


def test_a_partial_send_moves_the_stream_on_by_what_was_sent(pair):
    left, right = pair
    left.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    left.setblocking(False)
    noise = random.Random(7)
    body = gzip.compress(noise.randbytes(400_000) + DRESSES["geojson"])
    consent = [True]
    with LeakGuard(HERE, allowed=lambda: consent[0]) as guard:
        sent = left.send(body)
        assert 0 < sent < len(body)
        right.recv(1 << 20)
        sent += left.send(body[sent : sent + 100])
        right.recv(1 << 20)
        consent[0] = False
        with pytest.raises(LocationLeak):  # found only if the inflater stands exactly where the wire does
            left.send(body[sent:])
        guard.leaks.clear()


def test_tls_is_read_before_it_is_encrypted():
    authority = trustme.CA()
    server_side, client_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server_side)
    authority.configure_trust(client_side)
    near, far = socket.socketpair()
    got = []

    def serve() -> None:
        with server_side.wrap_socket(far, server_side=True) as peer:
            try:
                while data := peer.recv(1000):
                    got.append(data)
            except OSError:
                pass

    thread = threading.Thread(target=serve)
    thread.start()
    with LeakGuard(HERE, allowed=lambda: False) as guard:
        tls = client_side.wrap_socket(near, server_hostname="localhost")
        tls.sendall(b"hello")
        for way in (tls.sendall, tls.send, tls.write):
            with pytest.raises(LocationLeak):
                way(DRESSES["geojson"])
        assert len(guard.leaks) == 3
        guard.leaks.clear()
        tls.close()
    thread.join(10)
    assert got == [b"hello"]


def test_a_tls_socket_before_its_handshake_is_watched_once():
    tls = ssl.create_default_context().wrap_socket(socket.socket(), server_hostname="localhost")
    with tls, LeakGuard(HERE, allowed=lambda: False) as guard:
        with pytest.raises(OSError):  # not connected
            tls.send(ELSEWHERE)
        with pytest.raises(LocationLeak):
            tls.send(DRESSES["geojson"])
        assert len(guard.leaks) == 1
        guard.leaks.clear()


def test_a_swallowed_leak_still_fails_the_block(pair):
    with pytest.raises(LocationLeak), LeakGuard(HERE, allowed=lambda: False):
        try:
            pair[0].sendall(DRESSES["geojson"])
        except AssertionError:
            pass


def test_r10_the_leak_names_no_coordinate(pair):
    with pytest.raises(LocationLeak) as caught, LeakGuard(HERE, allowed=lambda: False):
        pair[0].sendall(DRESSES["geojson"])
    assert "60.1" not in str(caught.value) and "24.9" not in str(caught.value)
    assert caught.value.__context__ is None


def test_both_datums_of_a_position_are_watched(pair):
    beijing = Position(39.908823, 116.39747, datum=Datum.GCJ02)
    wgs = beijing.to(Datum.WGS84)
    with LeakGuard(beijing, allowed=lambda: False) as guard:
        for form in (beijing, wgs):
            with pytest.raises(LocationLeak):
                pair[0].sendall(b"%.6f,%.6f" % (form.longitude, form.latitude))
        guard.leaks.clear()


coordinates = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


@given(coordinates, st.integers(3, 12), st.booleans(), st.binary(max_size=40), st.integers(1, 30))
def test_any_position_is_found_in_any_stream(where, decimals, compressed, noise, piece):
    watched = Watched()
    watched.add(*where)
    body = f"[{where[1]:.{decimals}f},{where[0]:.{decimals}f}] ".encode()
    wire = noise.replace(b"\x1f\x8b\x08", b"") + b" " + (gzip.compress(body) if compressed else body)
    stream = Stream()
    assert any(watched.seen_in(stream.read(wire[at : at + piece])) for at in range(0, len(wire), piece))


@given(st.lists(st.binary(max_size=64), max_size=20))
def test_no_stream_of_bytes_crashes_it(pieces):
    watched = Watched()
    watched.add(1.2345, 2.3456)
    stream = Stream()
    for piece in pieces:
        watched.seen_in(stream.copy().read(b"\x1f\x8b\x08" + piece))
        watched.seen_in(stream.read(piece))


# -- with a real Connect ---------------------------------------------------------------------------


def test_r1_r3_a_connect_that_keeps_its_promise_passes(make, service):
    connect = make(PromptAnswer.allow())
    with LeakGuard() as guard:
        with pytest.raises(ConsentRequired):
            connect.submit(HERE)
        assert connect.request_permission(user_action=True).granted
        assert connect.submit(Position(60.17, 24.94)).accepted
        assert connect.flush().sent == 1
        connect.submit(Position(60.18, 24.95, time=datetime.now(UTC)))
        assert connect.withdraw().complete
        connect.wait_for_notices()
    assert guard.leaks == [] and len(service.positions) == 1


def test_a_refused_position_sent_behind_the_door_is_caught(make, pair):
    connect = make()
    with pytest.raises(LocationLeak), LeakGuard():
        with pytest.raises(ConsentRequired):
            connect.submit(HERE)
        pair[0].sendall(DRESSES["geojson"])


def test_after_withdrawal_the_same_bytes_are_a_leak(make, pair):
    connect = make()
    with LeakGuard() as guard:
        assert connect.request_permission(user_action=True).granted
        connect.submit(HERE)
        pair[0].sendall(DRESSES["geojson"])
        assert connect.withdraw().complete
        with pytest.raises(LocationLeak):
            pair[0].sendall(DRESSES["geojson"])
        guard.leaks.clear()


def test_r3_while_withdraw_runs_its_barrier_is_not_judged(make, pair):
    connect = make()
    with LeakGuard(HERE) as guard:
        guard._withdraw(lambda this: pair[0].sendall(DRESSES["geojson"]), connect)
        with pytest.raises(LocationLeak):
            pair[0].sendall(DRESSES["geojson"])
        guard.leaks.clear()


def test_r1_a_closed_connect_allows_nothing(make, pair):
    connect = make()
    with LeakGuard() as guard:
        assert connect.request_permission(user_action=True).granted
        connect.submit(HERE)
        connect.withdraw()
        connect.close()
        with pytest.raises(LocationLeak):
            pair[0].sendall(DRESSES["geojson"])
        guard.leaks.clear()


def test_r1_a_gate_that_cannot_answer_is_no():
    class Broken:
        @property
        def _engine(self):
            raise RuntimeError

    assert _open(Broken()) is False


def test_what_is_no_position_is_left_to_connect_to_refuse(make):
    with LeakGuard(), pytest.raises(KalosConnectError):
        connect = make()
        connect.request_permission(user_action=True)
        connect.submit((60.1, 24.9))  # type: ignore[arg-type]


def test_guards_nest_and_leave_nothing_behind(pair):
    before = (dict(socket.socket.__dict__), dict(ssl.SSLSocket.__dict__), Connect.withdraw)
    with LeakGuard(HERE, allowed=lambda: True), LeakGuard(HERE, allowed=lambda: False) as inner:
        with pytest.raises(LocationLeak):
            pair[0].sendall(DRESSES["geojson"])
        inner.leaks.clear()
    assert before == (dict(socket.socket.__dict__), dict(ssl.SSLSocket.__dict__), Connect.withdraw)
