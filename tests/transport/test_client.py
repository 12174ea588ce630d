"""The service client: what each call puts on the wire, and what counts as an answer."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable

import pytest
import responses
from hypothesis import given, settings
from hypothesis import strategies as st
from transport_peers import Peer, flight_of

from kalos_connect_sdk.core.gate import Clearance
from kalos_connect_sdk.core.wire import problem_from
from kalos_connect_sdk.errors import ServiceRefused, ServiceUnreachable, TransportError
from kalos_connect_sdk.transport.client import ConsentStatus, ServiceClient
from kalos_connect_sdk.transport.door import Door

BASE = "http://127.0.0.1:8787"
RECORD = "0" * 31 + "a"
CONSENT = f"{BASE}/v1/consents/{RECORD}"


@pytest.fixture
def client(door: Door) -> ServiceClient:
    return ServiceClient(door, BASE + "/")


def test_register_puts_the_signed_grant_and_takes_the_token(client: ServiceClient) -> None:
    with responses.RequestsMock() as mock:
        mock.put(CONSENT, status=201, json={"access_token": "tok-1", "encodings": ["gzip", "identity", 7]})
        registration = client.register(RECORD, {"epoch": 1, "record": {"名": "x"}}, enrolment_token="vendor")
        sent = mock.calls[0].request
    assert (registration.access_token, registration.encodings) == ("tok-1", ("gzip", "identity"))
    assert "tok-1" not in repr(registration)
    assert json.loads(sent.body or b"") == {"epoch": 1, "record": {"名": "x"}}
    assert sent.headers["Authorization"] == "Bearer vendor"
    assert sent.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    "answer",
    [{}, {"access_token": 1}, {"access_token": "a b"}, {"access_token": ""}, {"access_token": "t", "encodings": 3}, []],
)
def test_a_registration_without_a_usable_token_is_no_answer(client: ServiceClient, answer: object) -> None:
    with responses.RequestsMock() as mock:
        mock.put(CONSENT, json=answer)
        with pytest.raises(ServiceUnreachable, match="unreadable"):
            client.register(RECORD, {})


def test_status_asks_with_the_etag_and_hears_that_nothing_changed(client: ServiceClient) -> None:
    with responses.RequestsMock() as mock:
        mock.get(CONSENT, json={"record_id": RECORD, "status": "given", "epoch": 3}, headers={"ETag": '"e3"'})
        assert client.status(RECORD, "t") == ConsentStatus("given", 3, '"e3"')
        assert "If-None-Match" not in mock.calls[0].request.headers
        mock.get(CONSENT, status=304)
        assert client.status(RECORD, "t", '"e3"') is None
        assert mock.calls[1].request.headers["If-None-Match"] == '"e3"'


@pytest.mark.parametrize("answer", [{"status": "given"}, {"status": 1, "epoch": 1}, {"status": "given", "epoch": True}])
def test_a_status_that_cannot_be_read_changes_nothing(client: ServiceClient, answer: object) -> None:
    with responses.RequestsMock() as mock:
        mock.get(CONSENT, json=answer)
        with pytest.raises(ServiceUnreachable):
            client.status(RECORD, "t")


def test_r5_withdraw_is_acknowledged_by_a_2xx_document_alone(client: ServiceClient) -> None:
    url = CONSENT + "/withdrawals"
    with responses.RequestsMock() as mock:
        mock.post(url, json={"epoch": 1, "dropped": 7})
        assert client.withdraw(RECORD, {"notice_id": "n", "epoch": 1}) == 7
        assert "Authorization" not in mock.calls[0].request.headers
    for status in (301, 400, 401, 403, 404, 409, 410, 429, 500, 503):
        with responses.RequestsMock() as mock:
            mock.post(url, status=status, json={"epoch": 1, "dropped": 7})
            with pytest.raises(ServiceRefused):
                client.withdraw(RECORD, {})
    for body in ("", "<html>sign in to this network</html>", "[]", "null", "{}", '{"epoch": true}'):
        with responses.RequestsMock() as mock:
            mock.post(url, body=body)
            with pytest.raises(ServiceUnreachable, match="unreadable"):
                client.withdraw(RECORD, {})


def test_positions_leave_compressed_with_a_quoted_key(door: Door, clearance: Clearance) -> None:
    with Peer() as peer:
        client = ServiceClient(door, f"http://127.0.0.1:{peer.port}")
        client.resolve()
        flight, _ = flight_of()
        answer = client.send_positions(clearance, b'{"type":1}', key="0a-b", token="t", flight=flight)
        assert answer.ok and flight.wrote and flight.answered
    head, body = peer.requests[0]
    lines = set(head.decode().split("\r\n"))
    assert {
        "POST /v1/positions HTTP/1.1",
        "Content-Type: application/geo+json",
        "Content-Encoding: gzip",
        'Idempotency-Key: "0a-b"',
        "Authorization: Bearer t",
    } <= lines
    assert gzip.decompress(body) == b'{"type":1}' and answer.sent_bytes == len(body)


def test_a_service_without_gzip_gets_plain_bodies(door: Door, clearance: Clearance) -> None:
    with responses.RequestsMock() as mock:
        mock.put(CONSENT, json={"access_token": "t", "encodings": ["identity"]})
        mock.post(f"{BASE}/v1/positions", status=410, json={"type": "https://x.invalid/p/consent-withdrawn"})
        client = ServiceClient(door, BASE)
        client.register(RECORD, {})
        answer = client.send_positions(clearance, b"{}", key="k", token="t", flight=flight_of()[0])
        assert mock.calls[1].request.body == b"{}"
    assert answer.status == 410  # the sender decides, so no exception


@pytest.mark.parametrize("key", ["", 'a"b', "a\r\nX: y", "ü", "a" * 201])
def test_an_odd_idempotency_key_is_refused(client: ServiceClient, clearance: Clearance, key: str) -> None:
    with pytest.raises(ValueError, match="idempotency"):
        client.send_positions(clearance, b"{}", key=key, token="t", flight=flight_of()[0])


def test_the_notice_and_its_absence(client: ServiceClient) -> None:
    with responses.RequestsMock() as mock:
        mock.get(f"{BASE}/v1/notice?locale=zh-CN", json={"version": "2"})
        assert client.notice("zh-CN") == {"version": "2"}
        mock.get(f"{BASE}/v1/notice", status=404)
        assert client.notice() is None


def test_r10_of_a_problem_only_name_and_status_are_kept(client: ServiceClient) -> None:
    document = {
        "type": "https://evil.example/60.1699,24.9384/consent-required",
        "title": "CANARY",
        "detail": "at 60.1699, 24.9384",
        "status": 200,
    }
    with responses.RequestsMock() as mock:
        mock.get(CONSENT, status=403, json=document, headers={"Retry-After": "120"})
        with pytest.raises(ServiceRefused) as caught:
            client.status(RECORD, "tok-CANARY")
    problem = caught.value.problem
    assert problem["status"] == 403 and problem["retry_after"] == "120"
    assert problem["type"].endswith("/consent-required")
    assert set(problem) == {"type", "status", "retry_after"}
    for text in (str(caught.value), repr(caught.value), repr(problem)):
        assert "60.1699" not in text and "CANARY" not in text
    assert caught.value.__context__ is None and caught.value.__cause__ is None


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200) | st.dictionaries(st.text(), st.text()).map(lambda d: json.dumps(d).encode()))
def test_whatever_a_problem_holds_it_has_a_type_and_a_status(body: bytes) -> None:
    problem = problem_from(500, {"retry-after": body.decode("latin-1")}, body)
    assert problem["status"] == 500 and isinstance(problem["type"], str)


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.register("../x y", {}),
        lambda client: client.status("../x y", "t"),
        lambda client: client.withdraw("../x y", {}),
    ],
)
def test_a_record_id_stays_one_path_segment(door: Door, call: Callable[[ServiceClient], object]) -> None:
    with Peer() as peer:
        with pytest.raises(TransportError):
            call(ServiceClient(door, f"http://127.0.0.1:{peer.port}"))
        assert b" /v1/consents/..%2Fx%20y" in peer.requests[0][0]


def test_requests_is_imported_with_the_first_request_only() -> None:
    import subprocess

    script = (
        "import sys; from kalos_connect_sdk.transport import client, door, flight\n"
        "c = client.ServiceClient(door.Door(timeout_s=1, ca_bundle=None, proxy=None), 'http://127.0.0.1:1')\n"
        "assert not {'requests', 'urllib3', 'http.client.x'} & set(sys.modules)\n"
        "c.resolve()\n"
        "assert 'requests' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
