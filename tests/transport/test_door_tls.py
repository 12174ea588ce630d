"""R10 and R2 over TLS: to the verified peer or not at all; not one byte of the body to anybody else."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from transport_peers import Conversation, Peer, server_context

from kalos_connect_sdk.errors import ConfigError, ServiceUnreachable
from kalos_connect_sdk.transport.door import Door

NOW = datetime.now(UTC)
CANARY = b"LAT=52.5200;"


def _wrong_host(ca: trustme.CA) -> ssl.SSLContext:
    return server_context(ca.issue_cert("evil.example"))


def _expired(ca: trustme.CA) -> ssl.SSLContext:
    return server_context(
        ca.issue_cert("localhost", not_before=NOW - timedelta(days=3), not_after=NOW - timedelta(days=1))
    )


def _not_yet_valid(ca: trustme.CA) -> ssl.SSLContext:
    return server_context(ca.issue_cert("localhost", not_before=NOW + timedelta(days=30)))


def _unknown_ca(ca: trustme.CA) -> ssl.SSLContext:
    return server_context(trustme.CA().issue_cert("localhost"))


@pytest.mark.parametrize("context_of", [_wrong_host, _expired, _not_yet_valid, _unknown_ca])
@pytest.mark.fault(33)
def test_a_peer_that_is_not_verified_sees_no_byte(
    door: Door, authority: trustme.CA, context_of: Callable[[trustme.CA], ssl.SSLContext]
) -> None:
    received = []
    with (
        Peer(lambda talk: received.append(talk.drain()), tls=context_of(authority), name="localhost") as peer,
        pytest.raises(ServiceUnreachable, match="tls certificate") as caught,
    ):
        door.exchange("POST", peer.url, headers={}, body=CANARY)
    assert caught.value.__context__ is None and caught.value.__cause__ is None
    assert peer.connections == 1 and b"".join(received) == b"" and peer.requests == []


@pytest.mark.fault(33)
def test_tls_1_1_is_refused(door: Door, authority: trustme.CA) -> None:
    with pytest.warns(DeprecationWarning):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    authority.issue_cert("localhost").configure_cert(context)
    with Peer(tls=context, name="localhost") as peer, pytest.raises(ServiceUnreachable, match="tls"):
        door.exchange("POST", peer.url, headers={}, body=CANARY)
    assert peer.requests == []


@pytest.mark.fault(33)
def test_a_plain_peer_sees_no_byte_of_the_body(door: Door) -> None:
    received = []

    def plain(talk: Conversation) -> None:
        received.append(talk.conn.recv(65536))
        talk.say(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        received.append(talk.drain())

    with Peer(plain, name="localhost") as peer, pytest.raises(ServiceUnreachable, match="tls"):
        door.exchange("POST", peer.url.replace("http:", "https:"), headers={}, body=CANARY)
    assert CANARY not in b"".join(received)


def test_a_verified_peer_is_spoken_to_and_its_date_counts(door: Door, tls: ssl.SSLContext) -> None:
    def dated(talk: Conversation) -> None:
        while talk.request() is not None:
            talk.say(b"HTTP/1.1 204 No Content\r\nDate: Mon, 02 Nov 2026 00:00:00 GMT\r\n\r\n")

    with Peer(dated, tls=tls, name="localhost") as peer:
        answer = door.exchange("POST", peer.url, headers={}, body=CANARY)
        again = door.exchange("POST", peer.url, headers={}, body=CANARY)
    assert (answer.status, answer.date_s) == (204, datetime(2026, 11, 2, tzinfo=UTC).timestamp())
    assert again.status == 204 and peer.connections == 1
    assert [body for _, body in peer.requests] == [CANARY, CANARY]


@pytest.mark.parametrize("content", [None, b"", b"not a certificate"])
def test_a_ca_bundle_that_cannot_be_used_is_a_configuration_error(tmp_path: object, content: bytes | None) -> None:
    path = f"{tmp_path}/ca.pem"
    if content is not None:
        with open(path, "wb") as file:
            file.write(content)
    door = Door(timeout_s=2.0, ca_bundle=path, proxy=None)
    with pytest.raises(ConfigError, match="ca_bundle") as caught:
        door.exchange("GET", "https://localhost:1/", headers={})
    assert caught.value.__context__ is None


@pytest.mark.fault(35)
def test_the_environment_names_neither_authorities_nor_a_key_log(
    authority: trustme.CA, ca_bundle: str, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, ca_bundle)
    monkeypatch.setenv("SSLKEYLOGFILE", f"{tmp_path}/keys")
    stock = Door(timeout_s=5.0, ca_bundle=None, proxy=None)
    ours = Door(timeout_s=5.0, ca_bundle=ca_bundle, proxy=None)
    with Peer(tls=tls, name="localhost") as peer:
        with pytest.raises(ServiceUnreachable, match="tls certificate"):
            stock.exchange("GET", peer.url, headers={})
        assert ours.exchange("GET", peer.url, headers={}).ok
    stock.close()
    ours.close()
    with pytest.raises(FileNotFoundError):
        open(f"{tmp_path}/keys").close()


def test_r13_the_date_of_a_peer_that_is_not_believed_is_not_told(tls: ssl.SSLContext, ca_bundle: str) -> None:
    def dated(talk: Conversation) -> None:
        while talk.request() is not None:
            talk.say(b"HTTP/1.1 204 No Content\r\nDate: Mon, 02 Nov 2026 00:00:00 GMT\r\n\r\n")

    heard: list[float] = []
    door = Door(timeout_s=5.0, ca_bundle=ca_bundle, proxy=None, on_date=heard.append)
    with Peer(dated, tls=tls, name="localhost") as peer:
        assert door.exchange("GET", peer.url, headers={}, tells_time=False).ok and heard == []
        assert door.exchange("GET", peer.url, headers={}).ok and len(heard) == 1
    door.close()
