"""R5, R10: whatever a peer answers, within the deadline and in bounded memory; no answer is taken for another's."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from transport_peers import OK, Conversation, Peer

from kalos_connect_sdk.errors import ServiceRefused, ServiceUnreachable, TransportError
from kalos_connect_sdk.transport.client import ServiceClient
from kalos_connect_sdk.transport.door import Door

NOTICE = {"notice_id": "n", "epoch": 3, "public_key": "k", "signature": "s"}
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
LONG_S = 30.0
"""Far more than any of these takes; only what must run into a deadline is given a short one."""


@pytest.fixture
def door() -> Iterator[Door]:
    door = Door(timeout_s=LONG_S, ca_bundle=None, proxy=None)
    yield door
    door.close()


def client_of(door: Door, peer: Peer) -> ServiceClient:
    return ServiceClient(door, peer.url.rpartition("/v1/")[0])


def saying(*pieces: bytes) -> Callable[[Conversation], None]:
    def script(talk: Conversation) -> None:
        while talk.request() is not None:
            for piece in pieces:
                talk.say(piece)
            talk.conn.close()

    return script


def endless(first: bytes, again: bytes, most: int = 1 << 26) -> Callable[[Conversation], None]:
    """``first``, and then ``again`` for as long as anybody reads, up to ``most`` bytes."""

    def script(talk: Conversation) -> None:
        talk.request()
        talk.say(first)
        block = again * max(1, 4096 // len(again))
        for _ in range(most // len(block)):
            talk.say(block)

    return script


# -- bounds ---------------------------------------------------------------------------------------


@pytest.mark.fault(29)
@pytest.mark.parametrize(
    ("script", "cause"),
    [
        pytest.param(endless(b"HTTP/1.1 200 OK\r\n", b"X: a\r\n"), "not http", id="headers without end"),
        pytest.param(endless(b"HTTP/1.1 200 OK\r\nX: ", b"a"), "not http", id="one header without end"),
        pytest.param(endless(b"", b"a"), "not http", id="a first line without end"),
        pytest.param(endless(HEAD + b"\r\n", b"a"), "too large", id="a body without end"),
        pytest.param(endless(CHUNKED, b"5\r\nabcde\r\n"), "too large", id="chunks without end"),
        pytest.param(endless(CHUNKED + b"FFFFFFFFFFFFFFFF\r\n", b"a"), "too large", id="a chunk without end"),
        pytest.param(endless(CHUNKED + b"-5\r\n", b"a"), "reset", id="a chunk of less than nothing"),
        pytest.param(endless(CHUNKED + b"5;", b"a"), "not http", id="a chunk extension without end"),
    ],
)
def test_r5_an_answer_without_end_ends_early(door: Door, script: Callable[[Conversation], None], cause: str) -> None:
    with Peer(script) as peer, pytest.raises(ServiceUnreachable, match=cause):
        client_of(door, peer).withdraw("r", NOTICE)


@pytest.mark.fault(29)
@pytest.mark.parametrize(
    "script",
    [
        pytest.param(endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n", most=1 << 40), id="continue, without end"),
        pytest.param(endless(CHUNKED + b"0\r\n", b"X: a\r\n", most=1 << 40), id="trailers without end"),
    ],
)
def test_r5_what_no_bound_ends_the_deadline_ends(script: Callable[[Conversation], None]) -> None:
    door = Door(timeout_s=0.5, ca_bundle=None, proxy=None)
    with Peer(script) as peer, pytest.raises(ServiceUnreachable, match="timeout"):
        client_of(door, peer).withdraw("r", NOTICE)
    door.close()


# -- what is no answer ----------------------------------------------------------------------------

ACK = json.dumps({"epoch": 3, "dropped": 0}).encode()


def whole(status: bytes, body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


NOT_ACKNOWLEDGED = {
    "nothing": b"",
    "http 0.9": ACK,
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "http 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "half a status": b"HTTP/1.1 20",
    "no content": whole(b"204 No Content", b""),
    "a page": whole(b"200 OK", b"<html>sign in</html>", b"Content-Type: text/html"),
    "an empty document": whole(b"200 OK", b"{}"),
    "null": whole(b"200 OK", b"null"),
    "a list": whole(b"200 OK", b'[{"epoch": 3}]'),
    "a word for an epoch": whole(b"200 OK", b'{"epoch": "3"}'),
    "true for an epoch": whole(b"200 OK", b'{"epoch": true}'),
    "half an epoch": whole(b"200 OK", b'{"epoch": 3.5}'),
    "less than no epoch": whole(b"200 OK", b'{"epoch": -3}'),
    "an older notice's": whole(b"200 OK", b'{"epoch": 2, "dropped": 7}'),
    "twice the same key": whole(b"200 OK", b'{"epoch": 2, "epoch": 3}'),
    "cut short": HEAD + b"Content-Length: 99\r\n\r\n" + ACK,
    "cut in a chunk": CHUNKED + b"40\r\n" + ACK,
    "without the last chunk": CHUNKED + b"%x\r\n" % len(ACK) + ACK + b"\r\n",
    "compressed unasked": whole(b"200 OK", gzip.compress(ACK), b"Content-Encoding: gzip"),
    "a bomb": whole(b"200 OK", gzip.compress(b" " * (1 << 24) + ACK), b"Content-Encoding: gzip"),
    "compressed in transfer": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + ACK,
    "two lengths": HEAD + b"Content-Length: 3\r\nContent-Length: %d\r\n\r\n" % len(ACK) + ACK,
    "length and chunks": whole(b"200 OK", ACK, b"Transfer-Encoding: chunked"),
    "early hints": whole(b"103 Early Hints", b"") + whole(b"200 OK", ACK),
    "switching": whole(b"101 Switching Protocols", b"") + whole(b"200 OK", ACK),
    "processing": whole(b"102 Processing", b"") + whole(b"200 OK", ACK),
    "a head in pieces": HEAD + b"Content-Length: 27\r\n" + ACK + b"\r\n\r\n" + ACK,
}


@pytest.mark.fault(27, 31)
@pytest.mark.parametrize("answer", list(NOT_ACKNOWLEDGED.values()), ids=list(NOT_ACKNOWLEDGED))
def test_r5_nothing_but_an_acknowledgement_acknowledges(door: Door, answer: bytes) -> None:
    with Peer(saying(answer)) as peer:
        client = client_of(door, peer)
        for call in (
            lambda: client.withdraw("r", NOTICE),
            lambda: client.register("r", {}),
            lambda: client.status("r", "t"),
        ):
            with pytest.raises(TransportError) as caught:
                call()
            assert not isinstance(caught.value, ServiceRefused) and caught.value.__context__ is None


def test_r5_an_acknowledgement_acknowledges(door: Door) -> None:
    """The control: what the tests above vary is taken when it is right."""
    good = [whole(b"200 OK", ACK), CHUNKED + b"%x;x=y\r\n" % len(ACK) + ACK + b"\r\n0\r\nX: y\r\n\r\n"]
    good += [b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + good[0], HEAD + b"\r\n" + ACK]
    for answer in good:
        with Peer(saying(answer)) as peer:
            assert client_of(door, peer).withdraw("r", NOTICE) == 0


@pytest.mark.fault(48)
def test_r10_of_a_head_that_does_not_parse_nothing_is_logged(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    canary = b"token-canary-77"
    answer = HEAD + b'Content-Length: 2\r\n["' + canary + b'"]\r\n\r\n{}'
    caplog.set_level(logging.DEBUG)
    with Peer(saying(answer)) as peer, pytest.raises(ServiceUnreachable, match="not http"):
        client_of(door, peer).register("record-canary-78", {})
    warned = [record.getMessage() for record in caplog.records if record.levelno > logging.DEBUG]
    assert not any("canary" in line for line in warned), "a library logged what was received"


# -- whose answer it is ---------------------------------------------------------------------------


@pytest.mark.fault(27)
@pytest.mark.parametrize(
    "extra",
    [whole(b"200 OK", b'{"epoch": 1}'), b"\r\n", b"garbage", whole(b"304 Not Modified", b"")],
    ids=["an answer", "an empty line", "garbage", "not modified"],
)
@pytest.mark.parametrize("moment", ["with the answer", "after it"])
def test_r5_an_answer_too_many_is_nobodys(door: Door, extra: bytes, moment: str) -> None:
    said = threading.Semaphore(0)

    def script(talk: Conversation) -> None:
        talk.conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while (request := talk.request()) is not None:
            number = json.loads(request[1])["epoch"]
            mine = whole(b"200 OK", json.dumps({"epoch": number, "dropped": number}).encode())
            if moment == "with the answer":
                talk.say(mine + extra)
            else:
                talk.say(mine)
                talk.say(extra)
            said.release()

    with Peer(script) as peer:
        client = client_of(door, peer)
        for epoch in range(2, 8):
            assert client.withdraw("r", {**NOTICE, "epoch": epoch}) == epoch
            assert said.acquire(timeout=LONG_S)  # it is in our receive buffer before the next request


def test_r5_after_a_deadline_the_late_answer_is_nobodys(door: Door) -> None:
    late = threading.Event()

    def script(talk: Conversation) -> None:
        while (request := talk.request()) is not None:
            if b"/slow" in request[0]:
                late.wait(LONG_S)
            talk.say(OK if b"/slow" in request[0] else whole(b"200 OK", ACK))

    with Peer(script) as peer:
        with pytest.raises(ServiceUnreachable, match="timeout"):
            door.exchange("GET", peer.url + "/slow", headers={}, deadline_s=0.2)
        late.set()
        assert door.exchange("GET", peer.url, headers={}).body == ACK
        assert peer.connections == 2
