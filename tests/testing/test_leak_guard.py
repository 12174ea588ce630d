"""The guard stops watched positions, in whatever dress it claims to know, and nothing else."""

from __future__ import annotations

import asyncio
import base64
import gzip
import http.client
import json
import os
import pickle
import random
import socket
import ssl
import struct
import subprocess
import sys
import threading
import urllib.request
import zlib
from datetime import UTC, datetime

import pytest
import requests
import trustme
from hypothesis import given
from hypothesis import strategies as st

from kalos_connect_sdk import (
    Connect,
    ConsentRequired,
    Datum,
    KalosConnectError,
    Position,
    Precision,
    PromptAnswer,
    Reason,
)
from kalos_connect_sdk.testing import LeakGuard, LocationLeak
from kalos_connect_sdk.testing.leak import _reason
from kalos_connect_sdk.testing.streams import Stream
from kalos_connect_sdk.testing.traces import Watched

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
    "percent-encoded": b"GET /?at=60.169912%2024.938457 HTTP/1.1\r\n\r\n",
    "percent-encoded points": b"at=60%2E169912%2C24%2E938457",
    "columns": b'{"latitudes":[61.5,60.169912,' + b"61.2," * 50 + b'],"longitudes":[25.1,24.938457]}',
    "integers": b'{"lat_e7": 601699123, "lon_e7": 249384567}',
    "integers, fewer digits": b"[[6016991,2493845]]",
    "base64": base64.b64encode(b'{"coordinates":[24.9384567,60.1699123]}'),
    "base64url in a token": b"Bearer "
    + base64.urlsafe_b64encode(b'xx{"lat":60.1699123,"lon":24.9384567}').rstrip(b"="),
    "base64 of gzip": base64.b64encode(gzip.compress(b'{"coordinates":[24.9384567,60.1699123]}')),
    "doubles": b"\x0a\x12\x09" + struct.pack("<d", 60.1699123) + b"\x11" + struct.pack("<d", 24.9384567),
    "doubles, big-endian": b"\x92\xcb" + struct.pack(">d", 60.1699123) + b"\xcb" + struct.pack(">d", 24.9384567),
    "rounded doubles": struct.pack("<dd", 24.938457, 60.169912),
    "floats": struct.pack("!ff", 60.1699123, 24.9384567),
    "32-bit integers": struct.pack("<ii", 601699123, 249384567),
    "base64 of doubles": base64.b64encode(struct.pack("<dd", 60.1699123, 24.9384567)),
    "utf-8 pickle": pickle.dumps({"latitude": 60.1699123, "longitude": 24.9384567}),
}


def here() -> Position:
    """The same, now: a suite may run for longer than a position is worth sending."""
    return Position(HERE.latitude, HERE.longitude)


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


def masked(payload: bytes, first: int = 0x82, mask: bytes = b"\x17\xa4\x5c\xe1") -> bytes:
    size = bytes([128 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
    return bytes([first]) + size + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def deflated(payload: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-15)
    return (deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\0\0\xff\xff")


BODY = b'{"coordinates":[24.9384567,60.1699123]}'
HALVES = gzip.compress(BODY)[:20], gzip.compress(BODY)[20:]
UPGRADE = b"GET /live HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
FRAMED = {
    "gzip in chunks": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(*HALVES),
    "a number cut by chunks": b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n" + chunked(BODY[:20], BODY[20:]),
    "deflate": b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(zlib.compress(BODY)) + zlib.compress(BODY),
    "the second request": b"GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    + chunked(*HALVES),
    "after a body": b"PUT / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
    b"PUT / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(zlib.compress(BODY)) + zlib.compress(BODY),
    "websocket": UPGRADE + masked(b"hello", 0x81) + masked(BODY),
    "websocket, long": UPGRADE + masked(b" " * 300 + BODY),
    "websocket, in fragments": UPGRADE + masked(BODY[:20], 0x01) + masked(b"", 0x89) + masked(BODY[20:], 0x80),
    "websocket, compressed": UPGRADE + masked(deflated(b"hi"), 0xC1) + masked(deflated(BODY), 0xC1),
    "websocket, compressed fragments": UPGRADE + masked(deflated(BODY)[:9], 0x41) + masked(deflated(BODY)[9:], 0x80),
}


@pytest.mark.parametrize("size", [1, 7, 64, 4096])
@pytest.mark.parametrize("framed", FRAMED)
def test_r2_framing_hides_nothing(pair, framed, size):
    wire = FRAMED[framed]
    with pytest.raises(LocationLeak), LeakGuard(HERE, allowed=lambda: False):
        for at in range(0, len(wire), size):
            pair[0].sendall(wire[at : at + size])
            pair[1].recv(size)


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
        left.sendall(b'"lat": 60.1699' + b" " * 200 + b'"lon": 24.9384')
        left.sendall(b"\x1f\x8b\x08 only looks like gzip")
        left.sendall(gzip.compress(ELSEWHERE) + b"and on")
    assert len(right.recv(1000)) > 300


SENDS = {
    "os.write": lambda sock, data: os.write(sock.fileno(), data),
    "os.writev": lambda sock, data: os.writev(sock.fileno(), [data[:20], data[20:]]),
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
        with (tmp_path / "body").open("rb") as file, pytest.raises(LocationLeak):
            os.sendfile(pair[0].fileno(), file.fileno(), 0, 1 << 20)
        assert len(guard.leaks) == 3
        guard.leaks.clear()
    assert waiting(pair[1]) == b""


def test_what_holds_no_position_is_sent_whole_by_sendfile(pair, tmp_path):
    (tmp_path / "body").write_bytes(ELSEWHERE)
    with LeakGuard(HERE, allowed=lambda: False), (tmp_path / "body").open("rb") as file:
        assert pair[0].sendfile(file) == len(ELSEWHERE)
        assert os.sendfile(pair[0].fileno(), file.fileno(), 0, 1 << 20) == len(ELSEWHERE)
    assert waiting(pair[1]) == ELSEWHERE * 2


def test_a_file_or_a_pipe_is_no_socket(tmp_path):
    reading, writing = os.pipe()
    with LeakGuard(HERE, allowed=lambda: False), (tmp_path / "log").open("wb", buffering=0) as file:
        os.write(file.fileno(), DRESSES["geojson"])
        os.write(writing, DRESSES["geojson"])
        os.sendfile(writing, os.open(tmp_path / "log", os.O_RDONLY), 0, 10)
        with pytest.raises(OSError):
            os.write(10**6, b"nowhere")
    os.close(reading)
    os.close(writing)


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
            connect.submit(here())
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
            connect.submit(here())
        pair[0].sendall(DRESSES["geojson"])


def test_after_withdrawal_the_same_bytes_are_a_leak(make, pair):
    connect = make()
    with LeakGuard() as guard:
        assert connect.request_permission(user_action=True).granted
        connect.submit(here())
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
        connect.submit(here())
        connect.withdraw()
        connect.close()
        with pytest.raises(LocationLeak):
            pair[0].sendall(DRESSES["geojson"])
        guard.leaks.clear()


def test_r1_a_gate_that_cannot_answer_is_no():
    class Broken:
        @property
        def view(self):
            raise RuntimeError

    assert _reason(Broken()) is not Reason.ALLOWED


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


# -- whoever sends ---------------------------------------------------------------------------------

TEXT = "60.1699123,24.9384567"


def by_http_client(url: str) -> None:
    connection = http.client.HTTPConnection(url.removeprefix("http://"))
    try:
        connection.request("POST", "/x", body=iter([TEXT[:9].encode(), TEXT[9:].encode()]), encode_chunked=True)
    finally:
        connection.close()


CLIENTS = {
    "requests": lambda url: requests.post(url, json={"lat": 60.1699123, "lon": 24.9384567}, timeout=5),
    "requests, query": lambda url: requests.get(url, params={"at": TEXT}, timeout=5),
    "requests, form": lambda url: requests.post(url, data={"lat": "60.1699123", "lon": "24.9384567"}, timeout=5),
    "urllib": lambda url: urllib.request.urlopen(f"{url}/?at={TEXT}", timeout=5),
    "urllib, header": lambda url: urllib.request.urlopen(
        urllib.request.Request(url, headers={"X-At": TEXT}), timeout=5
    ),
    "http.client in chunks": by_http_client,
}


@pytest.mark.parametrize("client", CLIENTS)
def test_r2_the_apps_own_clients_are_watched(service, client):
    Elsewhere = Position(12.3456789, 98.7654321)
    with pytest.raises(LocationLeak), LeakGuard(Elsewhere, HERE):
        CLIENTS[client](service.url)
    arrived = [request for request in service.requests if request["bytes"] >= len(TEXT) or request["query"]]
    assert not arrived, "at most the piece in front of the one that makes it a position"


def over_asyncio(service_url: str) -> None:
    async def send() -> None:
        host, port = service_url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(f"GET /?at={TEXT} HTTP/1.1\r\n\r\n".encode())
            await writer.drain()
        finally:
            writer.close()

    asyncio.run(send())


def test_r2_asyncio_streams_are_watched(service):
    with pytest.raises(LocationLeak), LeakGuard(HERE):
        over_asyncio(service.url)
    assert service.requests == []


def test_r2_asyncio_tls_is_read_before_it_is_encrypted():
    authority = trustme.CA()
    server_side, client_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server_side)
    authority.configure_trust(client_side)
    got: list[bytes] = []

    async def life() -> None:
        served = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                got.append(await reader.read(1000))
            except ConnectionError:
                got.append(b"")
            writer.close()
            served.set()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_side)
        port = server.sockets[0].getsockname()[1]
        with LeakGuard(HERE, allowed=lambda: False) as guard:
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client_side, server_hostname="localhost")
            try:
                writer.write(TEXT.encode())
            except LocationLeak:
                pass
            writer.transport.abort()
            await served.wait()
            assert len(guard.leaks) == 1 and "localhost" in guard.leaks[0]
            guard.leaks.clear()
        server.close()

    asyncio.run(life())
    assert got == [b""]


@pytest.mark.parametrize(
    "given",
    [{"args": ["true", TEXT]}, {"args": f"true {TEXT}", "shell": True}, {"args": ["true"], "env": {"AT": TEXT}}],
)
def test_a_program_is_not_started_with_a_position(given):
    with LeakGuard(HERE, allowed=lambda: False) as guard:
        with pytest.raises(LocationLeak):
            subprocess.run(**given, check=False)
        assert "program" in guard.leaks[0]
        guard.leaks.clear()
        assert subprocess.run([sys.executable, "-c", ""], check=False).returncode == 0


# -- what it says, and whom it watches -------------------------------------------------------------


def test_it_says_who_where_to_and_since_when(make, service):
    connect = make()
    with LeakGuard() as guard:
        assert connect.request_permission(user_action=True).granted
        requests.post(service.url, data="60.1699123,24.9384567", timeout=5)
        connect.submit(here())
        assert connect.withdraw().complete
        line = sys._getframe().f_lineno + 2
        with pytest.raises(LocationLeak) as caught:
            requests.post(service.url, data="60.1699123,24.9384567", timeout=5)
        guard.leaks.clear()
    said = str(caught.value)
    assert service.url.removeprefix("http://") in said
    assert f"MainThread at {__file__}:{line} in test_it_says_who_where_to_and_since_when" in said
    assert "withdrawn 0." in said and "WITHDRAWN" in said
    assert "60.1" not in said and "24.9" not in said


def test_it_says_when_nobody_was_ever_asked(make, pair):
    make().permission()
    with LeakGuard(HERE) as guard:
        with pytest.raises(LocationLeak, match=r"a local socket.*no consent is active \(.*NOT_ASKED"):
            pair[0].sendall(TEXT.encode())
        guard.leaks.clear()


def test_r10_a_name_that_holds_a_position_is_left_out():
    def thread() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            try:
                out.sendto(TEXT.encode(), ("127.0.0.1", 9))
            except LocationLeak as error:
                said.append(str(error))

    said: list[str] = []
    with LeakGuard(HERE, allowed=lambda: False) as guard:
        one = threading.Thread(target=thread, name=f"upload {TEXT}")
        one.start()
        one.join()
        guard.leaks.clear()
    assert said == ["a position was about to leave without consent"]


def test_a_position_that_is_only_made_is_watched(pair):
    with pytest.raises(LocationLeak), LeakGuard():
        fix = Position(60.1699123, 24.9384567)  # an app that reads its own receiver, and asks nobody
        pair[0].sendall(json.dumps([fix.latitude, fix.longitude]).encode())


def test_a_position_made_inside_the_inner_of_two_guards_is_known_to_both(pair):
    with LeakGuard(allowed=lambda: False) as outer:
        with LeakGuard(allowed=lambda: True):
            Position(60.1699123, 24.9384567)
            with pytest.raises(LocationLeak):
                pair[0].sendall(TEXT.encode())
        assert len(outer.leaks) == 1
        outer.leaks.clear()


def test_r15_a_coarse_position_under_an_approximate_grant_is_no_leak(make, service):
    connect = make()
    with LeakGuard() as guard:
        assert connect.request_permission(precision=Precision.APPROXIMATE, user_action=True).granted
        assert connect.submit(here()).accepted
        assert connect.flush().sent == 1
    assert guard.leaks == [] and len(service.positions) == 1


def test_positions_of_a_source_are_watched(make, pair, tmp_path):
    (tmp_path / "drive.gpx").write_text(
        '<gpx><trk><trkseg><trkpt lat="60.1699123" lon="24.9384567"><time>2026-01-01T00:00:00Z</time></trkpt></trkseg></trk></gpx>'
    )
    connect = make()
    with LeakGuard() as guard:
        assert connect.request_permission(user_action=True).granted
        with connect.drive(f"gpx:{tmp_path / 'drive.gpx'}") as drive:
            drive.wait(20)
        assert connect.withdraw().complete
        with pytest.raises(LocationLeak):
            pair[0].sendall(TEXT.encode())
        guard.leaks.clear()


def test_all_datums_of_a_position_are_watched(pair):
    beijing = Position(39.908823, 116.39747)
    with LeakGuard(beijing, allowed=lambda: False) as guard:
        for datum in Datum:
            with pytest.raises(LocationLeak):
                pair[0].sendall(b"%.6f,%.6f" % (beijing.to(datum).longitude, beijing.to(datum).latitude))
        guard.leaks.clear()


def test_as_a_decorator_each_call_has_its_own_guard(pair):
    @LeakGuard(HERE, allowed=lambda: False)
    def leaky() -> None:
        pair[0].sendall(TEXT.encode())

    @LeakGuard(HERE, allowed=lambda: False)
    async def leaky_too() -> None:
        await asyncio.sleep(0)
        pair[0].sendall(TEXT.encode())

    @LeakGuard(HERE, allowed=lambda: False)
    def quiet() -> int:
        return pair[0].send(ELSEWHERE)

    for _ in range(2):
        with pytest.raises(LocationLeak):
            leaky()
        with pytest.raises(LocationLeak):
            asyncio.run(leaky_too())
        assert quiet() == len(ELSEWHERE)


def test_r10_the_guards_frames_are_hidden_from_a_report(pair):
    with LeakGuard(HERE, allowed=lambda: False) as guard:
        with pytest.raises(LocationLeak) as caught:
            pair[0].sendall(TEXT.encode())
        guard.leaks.clear()
    inside = [entry for entry in caught.traceback if "kalos_connect_sdk" in str(entry.path)]
    assert inside and all(entry.ishidden(caught) for entry in inside)


def noise(kind: str, size: int, random: random.Random) -> bytes:
    if kind == "bytes":
        return random.randbytes(size)
    if kind == "base64":
        return base64.b64encode(random.randbytes(size * 3 // 4))
    if kind == "integers":
        return b",".join(b"%d" % random.randrange(-(10**10), 10**10) for _ in range(size // 11))
    return json.dumps([[random.uniform(-180, 180), random.uniform(-90, 90)] for _ in range(size // 40)]).encode()


@pytest.mark.once
@pytest.mark.parametrize("kind", ["bytes", "base64", "integers", "coordinates"])
def test_random_traffic_raises_no_alarm(kind):
    """One MiB each with 100 watched positions here; ``KALOS_SWEEP=full`` takes a hundred."""
    chance = random.Random(2026)
    watched = Watched()
    for _ in range(100):
        watched.add(chance.uniform(-90, 90), chance.uniform(-180, 180))
    watched.add(0.0, 0.0)
    watched.add(60.5, 24.5)
    stream = Stream()
    for _ in range(100 if os.environ.get("KALOS_SWEEP") == "full" else 1):
        for _ in range(16):
            assert not watched.seen_in(stream.read(noise(kind, 1 << 16, chance)))
