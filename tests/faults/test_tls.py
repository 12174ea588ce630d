"""R2, R10: a facade speaks to the verified service or not at all, whatever stands there and whatever the environment says.

The peers of this laboratory count the bytes of application data they are given: the sum must be zero, for positions,
registrations and notices alike. Not promised: revocation (no CRL is fetched, no OCSP answer is asked for).
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from real_program import Start, starter
from transport_peers import Conversation, Peer

from kalos_connect_sdk import KalosConnectError, Position, PromptAnswer
from kalos_connect_sdk.model.consent import Duration
from kalos_connect_sdk.protocol import works

WEEK = PromptAnswer.allow(Duration.days(7))
NOW = datetime.now(UTC)
ACK = b'{"access_token": "t", "encodings": ["gzip"], "epoch": 1, "dropped": 0, "accepted": 1, "rejected": []}'
OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(ACK) + ACK


@pytest.fixture(autouse=True)
def _no_wait_for_notices_that_cannot_be_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(works, "_CLOSE_WAIT_S", 0.0)


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def bundle(ca: trustme.CA, tmp_path: Path) -> str:
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return str(tmp_path / "ca.pem")


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Start]:
    yield from starter(tmp_path, "http://127.0.0.1:1")


def _server(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def _made_by_hand(tmp_path: Path, names: list[str], common_name: str) -> ssl.SSLContext:
    """A self-signed certificate; without names it has a common name only."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=30))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    path = tmp_path / "by-hand.pem"
    path.write_bytes(
        certificate.public_bytes(Encoding.PEM) + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def _old(ca: trustme.CA, version: ssl.TLSVersion) -> ssl.SSLContext:
    context = _server(ca.issue_cert("localhost"))
    with pytest.warns(DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


LAB: dict[str, Callable[[trustme.CA, Path], ssl.SSLContext | None]] = {
    "another host": lambda ca, _: _server(ca.issue_cert("evil.example")),
    "an address in place of the name": lambda ca, _: _server(ca.issue_cert("127.0.0.1")),
    "a wildcard above": lambda ca, _: _server(ca.issue_cert("*.localhost")),
    "expired": lambda ca, _: _server(ca.issue_cert("localhost", not_after=NOW - timedelta(days=1))),
    "not yet valid": lambda ca, _: _server(ca.issue_cert("localhost", not_before=NOW + timedelta(days=3))),
    "an unknown authority": lambda _ca, _: _server(trustme.CA().issue_cert("localhost")),
    "self-signed": lambda _ca, path: _made_by_hand(path, ["localhost"], "localhost"),
    "a common name alone": lambda _ca, path: _made_by_hand(path, [], "localhost"),
    "TLS 1.0": lambda ca, _: _old(ca, ssl.TLSVersion.TLSv1),
    "TLS 1.1": lambda ca, _: _old(ca, ssl.TLSVersion.TLSv1_1),
    "plain text": lambda _ca, _path: None,
}


class Counted:
    """Counts what a peer is given after the handshake, and answers yes to everything."""

    def __init__(self, *, hasty: bool = False) -> None:
        self.application_bytes = 0
        self.hasty = hasty

    def __call__(self, talk: Conversation) -> None:
        if not isinstance(talk.conn, ssl.SSLSocket) and self.hasty:
            hello = talk.conn.recv(65536)
            talk.say(OK)  # in plain text, to whatever was said
            said = hello + talk.drain()
            self.application_bytes += 0 if said[:1] == b"\x16" and b"HTTP" not in said else len(said)
            return
        while (request := talk.request()) is not None:
            self.application_bytes += sum(map(len, request))
            talk.say(OK)


@pytest.mark.fault(33)
@pytest.mark.parametrize("who", list(LAB), ids=list(LAB))
def test_r2_no_byte_to_a_peer_that_is_not_the_verified_service(make, ca, bundle, tmp_path, who):
    counted = Counted(hasty=True)
    context = LAB[who](ca, tmp_path)
    with Peer(counted, tls=context, name="localhost") as peer:
        url = f"https://localhost:{peer.port}"
        connect = make(WEEK, settings={"service_url": url, "ca_bundle": bundle, "timeout_s": 5.0})
        assert connect.request_permission(user_action=True).granted
        for number in range(3):
            connect.submit(Position(60.0 + number, 24.0))
        with pytest.raises(KalosConnectError) as caught:
            connect.flush()
        assert "tls" in str(caught.value) and caught.value.__context__ is None
        report = connect.withdraw()
        assert report.complete and report.notice == "pending" and report.possibly_delivered == 0
        assert connect.flush().notices_pending == 1
        connect.close()
        assert peer.connections > 0
    assert counted.application_bytes == 0 and peer.requests == []


@pytest.mark.fault(33)
def test_r2_the_verified_service_is_spoken_to(make, ca, bundle):
    """The control: the laboratory counts bytes when the certificate is right."""
    counted = Counted()
    with Peer(counted, tls=_server(ca.issue_cert("localhost")), name="localhost") as peer:
        url = f"https://localhost:{peer.port}"
        connect = make(WEEK, settings={"service_url": url, "ca_bundle": bundle})
        assert connect.request_permission(user_action=True).granted
        connect.submit(Position(60.0, 24.0))
        assert connect.flush().sent == 1
        assert connect.withdraw().complete and connect.wait_for_notices(10)
        connect.close()
    assert counted.application_bytes > 1000


# -- the environment ------------------------------------------------------------------------------


@pytest.mark.fault(35)
def test_r10_no_variable_of_the_environment_names_a_proxy_a_password_an_authority_or_a_key_log(
    program, ca, bundle, tmp_path, monkeypatch
):
    """A fresh process, because OpenSSL and Python read some of them once, at the start."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".netrc").write_text("default login u password hunter2\n")
    (home / ".netrc").chmod(0o600)
    hashed = tmp_path / "hashed"
    hashed.mkdir()
    (hashed / "ca.pem").write_bytes(Path(bundle).read_bytes())
    trap, counted = Counted(), Counted()
    script = r"""
bundle = REST[0]
def once(**settings):
    c = make(settings={"service_url": URL, "timeout_s": 10.0, **settings})
    granted = c.request_permission(user_action=True).granted
    c.submit(Position(60.0, 24.0 + len(settings)))
    try: said = "sent", c.flush().sent
    except KalosConnectError as error: said = "refused", "tls certificate" in str(error)
    say(granted, *said)
    c.withdraw()
    c.close()
once()
once(ca_bundle=bundle)
"""
    with Peer(trap) as proxy, Peer(counted, tls=_server(ca.issue_cert("localhost")), name="localhost") as peer:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "FTP_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", "nothing.example")
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
            monkeypatch.setenv(name, bundle)
        monkeypatch.setenv("SSL_CERT_DIR", str(hashed))
        monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys.log"))
        monkeypatch.setenv("PYTHONHTTPSVERIFY", "0")
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("NETRC", str(home / ".netrc"))
        one = program(script, bundle, url=f"https://localhost:{peer.port}")
        assert one.hear() == "True refused True", "an authority that only the environment names is none"
        assert counted.application_bytes == 0
        assert one.hear() == "True sent 1"
        assert one.end()[0] == 0
    assert proxy.connections == 0
    assert not (tmp_path / "keys.log").exists(), "the secrets of our connections are nobody's to write down"
    assert all(b"Basic" not in head for head, _ in peer.requests)


# -- redirects ------------------------------------------------------------------------------------


@pytest.mark.fault(34)
@pytest.mark.parametrize(
    ("status", "to"),
    [(300, "itself"), (301, "http"), (302, "https"), (303, "no scheme"), (307, "http"), (308, "https")],
)
def test_r2_a_redirect_takes_nothing_anywhere(make, ca, bundle, status, to):
    """Positions, the registration and the notice are each told to go elsewhere; nobody elsewhere hears of them."""
    counted = Counted()
    with Peer(counted) as plain, Peer(counted, tls=_server(ca.issue_cert("localhost")), name="localhost") as secure:
        target = {
            "http": f"http://127.0.0.1:{plain.port}/v1/positions",
            "https": f"https://localhost:{secure.port}/v1/positions",
            "no scheme": f"//127.0.0.1:{plain.port}/v1/positions",
            "itself": "/v1/elsewhere",
        }[to]
        moved = f"HTTP/1.1 {status} Moved\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode()
        paths = []

        def script(talk: Conversation) -> None:
            while (request := talk.request()) is not None:
                paths.append(request[0].split()[1])
                talk.say(OK if request[0].startswith(b"PUT") and paths.count(paths[-1]) > 1 else moved)

        with Peer(script, tls=_server(ca.issue_cert("localhost")), name="localhost") as peer:
            url = f"https://localhost:{peer.port}"
            connect = make(WEEK, settings={"service_url": url, "ca_bundle": bundle})
            assert connect.request_permission(user_action=True).granted  # its registration is redirected
            connect.submit(Position(60.0, 24.0))
            sent = 0
            with suppress(KalosConnectError):
                sent = connect.flush().sent
            assert sent == 0 and connect.withdraw().complete
            assert connect.flush().notices_pending == 1
            connect.close()
        assert b"/v1/positions" in paths and b"/v1/elsewhere" not in paths
        assert any(path.endswith(b"/withdrawals") for path in paths)
        assert plain.connections == secure.connections == counted.application_bytes == 0
