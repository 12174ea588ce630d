"""The door's rules over plain loopback: clearances, headers, deadlines, bounds, and silence about all of it."""

from __future__ import annotations

import logging
import socket
import threading
import time
import traceback
from collections.abc import Iterator

import pytest
from transport_peers import OK, Conversation, Peer, Ride, flight_of

from kalos_connect_sdk.core.gate import Clearance, clear_place
from kalos_connect_sdk.errors import ConfigError, ServiceUnreachable
from kalos_connect_sdk.transport.answer import Answer, http_date_s
from kalos_connect_sdk.transport.cause import cause_of
from kalos_connect_sdk.transport.door import Door

TOKEN = "tok-CANARY-9"
SECRET_PATH = "-CANARY"  # named, so that the source lines in a traceback do not hold it
BODY = b'{"lat":52.5200,"CANARY":1}'


def answering(*answers: bytes) -> object:
    """A script that gives one canned answer to each request, the last one for ever."""

    def script(talk: Conversation) -> None:
        count = 0
        while talk.request() is not None:
            talk.say(answers[min(count, len(answers) - 1)])
            count += 1

    return script


# -- R2: clearances ---------------------------------------------------------------------------------


def test_r2_a_position_needs_a_position_clearance_and_a_flight(door: Door, clearance: Clearance) -> None:
    with Peer() as peer:
        flight, _ = flight_of()
        for wrong in (None, clear_place(), object(), object.__new__(Clearance)):
            with pytest.raises(TypeError):
                door.exchange("POST", peer.url, headers={}, clearance=wrong, carries="position", flight=flight)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="flight"):
            door.exchange("POST", peer.url, headers={}, clearance=clearance, carries="position")
        assert peer.connections == 0


def test_r2_a_position_never_passes_as_a_typed_place(door: Door, clearance: Clearance) -> None:
    with Peer() as peer:
        for wrong in (None, clearance):
            with pytest.raises(TypeError):
                door.exchange("POST", peer.url, headers={}, clearance=wrong, carries="place")
        for wrong in (clearance, clear_place()):
            with pytest.raises(TypeError):  # whoever has a clearance says what for
                door.exchange("POST", peer.url, headers={}, clearance=wrong)
        with pytest.raises(TypeError):
            door.exchange("POST", peer.url, headers={}, carries="anything")  # type: ignore[arg-type]
        assert peer.connections == 0


def test_r19_a_typed_place_needs_no_consent(door: Door) -> None:
    with Peer() as peer:
        assert door.exchange("POST", peer.url, headers={}, body=b"{}", clearance=clear_place(), carries="place").ok


# -- where to ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:1/",
        "http://192.0.2.1/",
        "ftp://127.0.0.1/",
        "https://",
        "https://us:er@localhost/",
        "https://münchen.example/",
        "nonsense",
    ],
)
def test_plain_http_and_odd_addresses_are_refused(door: Door, url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        door.exchange("GET", url, headers={})
    assert "us:er" not in str(caught.value)


def test_with_a_flight_no_name_is_looked_up(door: Door) -> None:
    flight, _ = flight_of()
    with pytest.raises(ServiceUnreachable, match="name not resolved"):
        door.exchange("GET", "https://localhost:1/", headers={}, flight=flight)


def test_a_name_that_does_not_resolve(door: Door) -> None:
    with pytest.raises(ServiceUnreachable, match="name not resolved") as caught:
        door.resolve("https://nowhere.invalid/")
    assert caught.value.__context__ is None


def test_names_are_kept_for_a_minute_and_connections_use_them(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = socket.getaddrinfo

    def counting(*args: object, **options: object) -> object:
        asked.append(args[0])
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", counting)
    with Peer() as peer:
        for _ in range(3):
            assert door.exchange("GET", peer.url, headers={}).ok
    assert asked == ["127.0.0.1"]


def test_every_address_of_a_name_is_tried(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    with Peer() as peer, socket.socket() as closed:
        closed.bind(("127.0.0.2", 0))  # bound, not listening: refused
        rows = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", closed.getsockname()),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", peer.port)),
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: rows)
        assert door.exchange("GET", peer.url, headers={}).ok


# -- R10: what is sent and what is kept ----------------------------------------------------------------


def test_r10_headers_come_from_an_allow_list(door: Door) -> None:
    with Peer() as peer:
        for name in ("Cookie", "traceparent", "User-Agent", "X-Request-Id", "Host", "Referer"):
            with pytest.raises(ValueError, match="list of allowed ones"):
                door.exchange("GET", peer.url, headers={name: "x"})
        door.exchange("POST", peer.url, headers={"Authorization": "Bearer t", "Accept": "a/b"}, body=b"x")
    (head, body) = peer.requests[0]
    lines = head.decode().split("\r\n")
    names = {line.split(":")[0].lower() for line in lines[1:]}
    assert names == {"host", "user-agent", "authorization", "accept", "content-length"}
    assert any(line.startswith("User-Agent: kalos-connect-sdk/") for line in lines)
    assert body == b"x"


def test_r10_cookies_never_return(door: Door) -> None:
    cookie = b"HTTP/1.1 200 OK\r\nSet-Cookie: id=1; Path=/\r\nContent-Length: 0\r\n\r\n"
    with Peer(answering(cookie)) as peer:  # type: ignore[arg-type]
        for _ in range(3):
            assert "set-cookie" not in door.exchange("GET", peer.url, headers={}).headers
    assert all(b"ookie" not in head for head, _ in peer.requests)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.fault(34)
def test_a_redirect_is_never_followed(door: Door, status: int) -> None:
    with Peer() as other:
        moved = f"HTTP/1.1 {status} Moved\r\nLocation: {other.url}\r\nContent-Length: 0\r\n\r\n".encode()
        with Peer(answering(moved)) as peer:  # type: ignore[arg-type]
            answer = door.exchange("POST", peer.url, headers={}, body=BODY)
        assert answer.status == status and not answer.ok
        assert other.connections == 0


@pytest.mark.fault(35)
def test_proxy_and_netrc_variables_are_ignored(door: Door, monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    with open(f"{tmp_path}/netrc", "w") as file:
        file.write("machine 127.0.0.1 login u password hunter2\ndefault login u password hunter2\n")
    monkeypatch.setenv("NETRC", f"{tmp_path}/netrc")
    with Peer() as proxy, Peer() as peer:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert door.exchange("GET", peer.url, headers={}).ok
        assert proxy.connections == 0
    assert all(b"uthorization" not in head for head, _ in peer.requests)


def test_plain_http_never_takes_the_proxy(ca_bundle: str) -> None:
    with Peer() as proxy, Peer() as peer:
        door = Door(timeout_s=5.0, ca_bundle=ca_bundle, proxy=f"http://127.0.0.1:{proxy.port}")
        assert door.exchange("GET", peer.url, headers={}).ok
        assert proxy.connections == 0
        door.close()


def _tunnel(talk: Conversation) -> None:
    """An HTTP proxy: CONNECT host:port, then bytes both ways."""
    request = talk.request()
    assert request is not None
    line = request[0].split(b"\r\n")[0].decode()
    assert line.startswith("CONNECT localhost:")
    port = int(line.split()[1].split(":")[1])
    with socket.create_connection(("127.0.0.1", port)) as far:
        talk.say(b"HTTP/1.1 200 Connection established\r\n\r\n")

        def back() -> None:
            try:
                while piece := far.recv(65536):
                    talk.say(piece)
            except OSError:
                pass

        thread = threading.Thread(target=back, daemon=True)
        thread.start()
        try:
            while piece := talk.conn.recv(65536):
                far.sendall(piece)
        except OSError:
            pass
        far.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@pytest.mark.parametrize("proxy_tls", [False, True], ids=["http-proxy", "https-proxy"])
def test_https_goes_through_the_configured_proxy_and_stays_sealed(
    ca_bundle: str, authority: object, proxy_tls: bool
) -> None:
    from transport_peers import server_context

    inner = server_context(authority.issue_cert("localhost"))  # type: ignore[attr-defined]
    outer = server_context(authority.issue_cert("localhost")) if proxy_tls else None  # type: ignore[attr-defined]
    with Peer(_tunnel, tls=outer) as proxy, Peer(tls=inner, name="localhost") as peer:
        scheme = "https" if proxy_tls else "http"
        door = Door(timeout_s=5.0, ca_bundle=ca_bundle, proxy=f"{scheme}://localhost:{proxy.port}")
        for _ in range(2):
            assert door.exchange("POST", peer.url, headers={"Authorization": f"Bearer {TOKEN}"}, body=BODY).ok
        door.close()
    assert [body for _, body in peer.requests] == [BODY, BODY]
    assert len(proxy.requests) == 1 and TOKEN.encode() not in proxy.requests[0][0]


def test_a_proxy_that_refuses_is_said_to(ca_bundle: str) -> None:
    with Peer(answering(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")) as proxy:  # type: ignore[arg-type]
        door = Door(timeout_s=5.0, ca_bundle=ca_bundle, proxy=f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(ServiceUnreachable, match="proxy"):
            door.exchange("GET", "https://service.example/", headers={})


# -- bounds -----------------------------------------------------------------------------------------


def drip(talk: Conversation) -> None:
    """One byte of the answer at a time, each well within any time-out for a single read."""
    talk.request()
    talk.say(b"HTTP/1.1 200 OK\r\nX: ")
    pause = threading.Event()
    while True:
        talk.say(b"a")
        pause.wait(0.05)


def drip_body(talk: Conversation) -> None:
    talk.request()
    talk.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    pause = threading.Event()
    while True:
        talk.say(b"a")
        pause.wait(0.05)


@pytest.mark.parametrize("script", [drip, drip_body])
@pytest.mark.fault(29)
def test_an_answer_in_drips_ends_at_the_total_deadline(door: Door, script: object) -> None:
    with Peer(script) as peer:  # type: ignore[arg-type]
        ride = Ride(lambda: door.exchange("GET", peer.url, headers={}, deadline_s=0.4)).join()
    assert isinstance(ride.error, ServiceUnreachable) and "timeout" in str(ride.error)


@pytest.mark.fault(29)
def test_a_body_that_is_not_taken_ends_at_the_total_deadline(door: Door) -> None:
    hold = threading.Event()
    with Peer(lambda talk: hold.wait(10) and None, receive_buffer=4096) as peer:
        ride = Ride(lambda: door.exchange("POST", peer.url, headers={}, body=b"x" * 4_000_000, deadline_s=0.4)).join()
        hold.set()
    assert isinstance(ride.error, ServiceUnreachable) and "timeout" in str(ride.error)


@pytest.mark.parametrize("length", [b"Content-Length: 2000000\r\n", b""], ids=["declared", "until close"])
@pytest.mark.fault(29)
def test_an_oversized_answer_is_not_read(door: Door, length: bytes) -> None:
    def big(talk: Conversation) -> None:
        talk.request()
        talk.say(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n" + b"x" * 2_000_000)

    with Peer(big) as peer, pytest.raises(ServiceUnreachable, match="too large"):
        door.exchange("GET", peer.url, headers={})


def test_an_answer_of_exactly_the_limit_is_taken(door: Door) -> None:
    with Peer(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + b"x" * 10)) as peer:  # type: ignore[arg-type]
        for _ in range(2):
            assert len(door.exchange("GET", peer.url, headers={}, answer_max_bytes=10).body) == 10
        assert peer.connections == 1
        with pytest.raises(ServiceUnreachable, match="too large"):
            door.exchange("GET", peer.url, headers={}, answer_max_bytes=9)


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"", "reset"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "reset"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not http"),
        (b"HTTP/1.1 abc\r\n\r\n", "not http"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000, "not http"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nab", "encoded"),
    ],
)
def test_a_broken_answer_is_no_answer(door: Door, answer: bytes, cause: str) -> None:
    def broken(talk: Conversation) -> None:
        talk.request()
        talk.say(answer)

    with Peer(broken) as peer, pytest.raises(ServiceUnreachable, match=cause) as caught:
        door.exchange("POST", peer.url, headers={}, body=BODY)
    assert caught.value.__context__ is None
    assert peer.connections == 1  # nothing is tried again


def test_chunked_answers_are_read(door: Door) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    with Peer(answering(chunked)) as peer:  # type: ignore[arg-type]
        assert door.exchange("GET", peer.url, headers={}).body == b"abcde"
        assert door.exchange("GET", peer.url, headers={}).body == b"abcde"
        assert peer.connections == 1


def test_refused_and_closed(door: Door) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(ServiceUnreachable, match="refused"):
            door.exchange("GET", f"http://127.0.0.1:{closed.getsockname()[1]}/", headers={})


def test_an_idle_connection_the_peer_closed_is_replaced(door: Door) -> None:
    closed = threading.Event()

    def once(talk: Conversation) -> None:
        talk.request()
        talk.say(OK)
        talk.conn.close()
        closed.set()

    with Peer(once) as peer:
        for _ in range(3):
            closed.clear()
            assert door.exchange("GET", peer.url, headers={}).ok
            assert closed.wait(10)
        assert peer.connections == 3


def test_a_connection_idle_for_long_is_not_used_again(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    from kalos_connect_sdk.transport import adapter

    with Peer() as peer:
        assert door.exchange("GET", peer.url, headers={}).ok
        monkeypatch.setattr(adapter, "_IDLE_S", 0.0)
        assert door.exchange("GET", peer.url, headers={}).ok
        assert peer.connections == 2


def test_r3_what_begins_anew_uses_no_connection_from_before(door: Door, clearance: Clearance) -> None:
    def send(url: str) -> None:
        door.resolve(url)
        flight = flight_of()[0]
        assert door.exchange(
            "POST", url, headers={}, body=b"{}", clearance=clearance, carries="position", flight=flight
        ).ok

    with Peer() as peer:
        send(peer.url)
        send(peer.url)
        assert peer.connections == 1
        door.begin_anew()
        assert door.exchange("POST", peer.url, headers={}, body=b"a notice").ok
        assert peer.connections == 2
        send(peer.url)
        assert peer.connections == 2, "one that was opened since is as good as any"


def test_a_closed_door_opens_again(door: Door) -> None:
    with Peer() as peer:
        assert door.exchange("GET", peer.url, headers={}).ok
        door.close()
        assert door.exchange("GET", peer.url, headers={}).ok
        assert peer.connections == 2


def test_gzip_compresses_and_says_how_much_was_sent(door: Door) -> None:
    import gzip

    with Peer() as peer:
        answer = door.exchange("POST", peer.url, headers={}, body=b"a" * 10_000, gzip=True)
    head, body = peer.requests[0]
    assert b"\r\nContent-Encoding: gzip\r\n" in head + b"\r\n"
    assert gzip.decompress(body) == b"a" * 10_000 and answer.sent_bytes == len(body) < 200


# -- R10: silence -----------------------------------------------------------------------------------


def _everything_about(error: BaseException) -> Iterator[str]:
    seen: list[BaseException] = []
    pending: list[BaseException | None] = [error]
    while pending:
        each = pending.pop()
        if each is None or each in seen:
            continue
        seen.append(each)
        yield repr(each) + str(each) + repr(each.args) + repr(vars(each)) + repr(getattr(each, "__notes__", ""))
        yield "".join(traceback.format_exception(each))
        pending += [each.__context__, each.__cause__]


@pytest.mark.parametrize("answer", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"])
def test_r10_errors_hold_nothing_of_the_request(
    door: Door, answer: bytes, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    import http.client

    def broken(talk: Conversation) -> None:
        talk.request()
        talk.say(answer)

    http.client.HTTPConnection.debuglevel = 1
    try:
        with caplog.at_level(logging.DEBUG), Peer(broken) as peer:
            ride = Ride(
                lambda: door.exchange(
                    "POST", peer.url + SECRET_PATH, headers={"Authorization": f"Bearer {TOKEN}"}, body=BODY
                )
            ).join()
    finally:
        http.client.HTTPConnection.debuglevel = 0
    assert isinstance(ride.error, ServiceUnreachable)
    assert len(list(_everything_about(ride.error))) == 2  # no context, no cause
    for text in _everything_about(ride.error):
        assert "CANARY" not in text and "52.52" not in text
    printed = "".join(capfd.readouterr()) + "".join(record.getMessage() for record in caplog.records)
    assert TOKEN not in printed and "52.52" not in printed


def test_r10_an_answer_shows_only_its_size() -> None:
    answer = Answer(200, {"x": "CANARY"}, b"CANARY")
    assert repr(answer) == f"{answer}" == "<Answer 200, 6 bytes>"


@pytest.mark.parametrize(
    "text", [None, "", "yesterday", "Mon, 99 Foo 2026 00:00:00 GMT", "Mon, 02 Nov 99999999 00:00:00 GMT"]
)
def test_an_odd_date_is_no_date(text: str | None) -> None:
    assert http_date_s(text) is None


def test_over_plain_http_nobody_vouches_for_the_date(door: Door) -> None:
    dated = b"HTTP/1.1 200 OK\r\nDate: Mon, 02 Nov 2026 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n"
    with Peer(answering(dated)) as peer:  # type: ignore[arg-type]
        assert door.exchange("GET", peer.url, headers={}).date_s is None


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OSError(101, "x"), "no network"),
        (OSError(24, "x"), "no resources"),
        (OSError(5, "CANARY"), "failed"),
        (RuntimeError("CANARY"), "failed"),
        (ConnectionResetError(), "reset"),
        (RuntimeError(RuntimeError(TimeoutError("CANARY"))), "timeout"),
    ],
)
def test_a_cause_is_one_of_a_few_words(error: Exception, cause: str) -> None:
    error.__context__ = error.__context__ or error.__cause__
    assert cause_of(error) == cause


# -- a place in the target, as some providers want it ---------------------------------------------


def test_r10_what_the_library_logs_has_no_target(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    path = "/way/24.938444,60.169944?a=60.1756"
    with caplog.at_level(logging.DEBUG), Peer() as peer:
        url = peer.url.removesuffix("/v1/x") + path
        assert door.exchange("GET", url, headers={}, clearance=clear_place(), carries="place").ok
    assert peer.requests[0][0].startswith(f"GET {path} HTTP/1.1".encode()), "the peer does see it"
    said = [record.getMessage() for record in caplog.records if record.name.startswith("urllib3")]
    assert any('"GET / HTTP/1.1" 200' in text for text in said), "and the library did log the request"
    assert not any("60.1" in text or "24.9" in text for text in said)


@pytest.mark.parametrize("body", [BODY, None])
def test_r3_a_position_counts_as_written_wherever_it_stands(
    door: Door, clearance: Clearance, body: bytes | None
) -> None:
    with Peer(lambda talk: talk.request() and talk.drain()) as peer:
        door.resolve(peer.url)
        flight, _ = flight_of()
        ride = Ride(
            lambda: door.exchange(
                "GET", peer.url, headers={}, body=body, clearance=clearance, carries="position", flight=flight
            )
        )
        deadline = time.monotonic() + 10
        while not peer.requests and time.monotonic() < deadline:
            threading.Event().wait(0.005)
        flight.abort()
        ride.join()
    assert flight.wrote and flight.possibly_delivered


def test_a_request_that_carries_nothing_delivers_nothing(door: Door) -> None:
    with Peer() as peer:
        door.resolve(peer.url)
        flight, _ = flight_of()
        assert door.exchange("GET", peer.url, headers={}, flight=flight).ok
    assert flight.answered and not flight.wrote
