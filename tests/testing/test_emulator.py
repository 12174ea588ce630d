"""The service emulator: a real server that keeps the service's rules, fails on request and remembers."""

from __future__ import annotations

import gzip
import http.client
import json
import threading
from urllib.parse import urlsplit

import pytest

from kalos_connect_sdk.core.record import notice_message, registration_message
from kalos_connect_sdk.crypto.encoding import b64
from kalos_connect_sdk.crypto.sign import SigningKey
from kalos_connect_sdk.testing.emulator import ServiceEmulator

RECORD = "0123456789abcdef0123456789abcdef"
SHOWN, FIELDS = "a" * 64, "b" * 64


class Device:
    """A device that speaks to the emulator over plain HTTP, without the SDK's transport."""

    def __init__(self, url: str, record_id: str = RECORD) -> None:
        self.key = SigningKey.generate()
        self.record_id = record_id
        self.token = ""
        parts = urlsplit(url)
        self.connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)

    def call(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, dict]:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        if self.token:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        self.connection.request(method, path, data, headers)
        answer = self.connection.getresponse()
        self.headers = answer.headers
        text = answer.read()
        return answer.status, json.loads(text) if text else {}

    def record(self, epoch: int, precision: str = "precise", purpose: str = "navigation") -> dict:
        return {
            "kc:record": self.record_id,
            "kc:epoch": epoch,
            "kc:purpose": purpose,
            "kc:precision": precision,
            "dpv:hasNotice": {"kc:textSha256": SHOWN, "kc:fieldsSha256": FIELDS},
            "dpv:hasConsentStatus": [{"dpv:hasDuration": {"@type": "dpv:UntilEventDuration"}}],
        }

    def register(self, epoch: int = 1) -> int:
        record, public = self.record(epoch), b64(self.key.public)
        signature = b64(self.key.sign(registration_message(self.record_id, epoch, public, record)))
        body = {"epoch": epoch, "public_key": public, "record": record, "signature": signature}
        status, answer = self.call("PUT", f"/v1/consents/{self.record_id}", body)
        self.token = answer.get("access_token", self.token)
        return status

    def withdraw(self, epoch: int = 1, notice_id: str = "n1") -> tuple[int, dict]:
        message = notice_message(self.record_id, notice_id, epoch)
        body = {
            "notice_id": notice_id,
            "epoch": epoch,
            "withdrawn_at": "2026-01-01T00:00:00.000Z",
            "public_key": b64(self.key.public),
            "signature": b64(self.key.sign(message)),
        }
        return self.call("POST", f"/v1/consents/{self.record_id}/withdrawals", body)

    def batch(self, epoch: int = 1, count: int = 2) -> dict:
        return {
            "type": "FeatureCollection",
            "consent": {
                "record_id": self.record_id,
                "epoch": epoch,
                "purpose": "navigation",
                "precision": "precise",
                "notice_sha256": SHOWN,
            },
            "features": [
                {
                    "type": "Feature",
                    "id": index,
                    "geometry": {"type": "Point", "coordinates": [24.94 + index / 1000, 60.17]},
                    "properties": {"timestamp": "2026-01-01T00:00:00Z"},
                }
                for index in range(count)
            ],
        }

    def send(self, epoch: int = 1, count: int = 2, key: str = "k1", **headers: str) -> tuple[int, dict]:
        data = json.dumps(self.batch(epoch, count)).encode()
        if headers.get("Content_Encoding") == "gzip":
            data = gzip.compress(data)
        headers.setdefault("Idempotency_Key", f'"{key}"')
        return self.call("POST", "/v1/positions", data, Content_Type="application/geo+json", **headers)


@pytest.fixture
def service():
    with ServiceEmulator() as emulator:
        yield emulator


@pytest.fixture
def device(service):
    device = Device(service.url)
    yield device
    device.connection.close()


def test_a_drive_as_the_service_sees_it(service, device):
    assert device.register() == 201
    assert device.send(Content_Encoding="gzip") == (202, {"accepted": 2, "rejected": []})
    assert device.withdraw() == (200, {"epoch": 1, "dropped": 2})

    assert [(p["id"], p["epoch"], p["key"], p["latitude"]) for p in service.positions] == [
        (0, 1, "k1", 60.17),
        (1, 1, "k1", 60.17),
    ]
    assert [(w["notice_id"], w["epoch"], w["dropped"]) for w in service.withdrawals] == [("n1", 1, 2)]
    known = service.consents[RECORD]
    assert (known["status"], known["epoch"], known["fence"], known["kept"]) == ("withdrawn", 1, 1, 0)
    assert [(r["method"], r["path"], r["status"]) for r in service.requests] == [
        ("PUT", f"/v1/consents/{RECORD}", 201),
        ("POST", "/v1/positions", 202),
        ("POST", f"/v1/consents/{RECORD}/withdrawals", 200),
    ]
    assert service.requests[1]["bytes"] < len(json.dumps(device.batch()))


def test_r6_nothing_of_an_ended_epoch_is_accepted_and_a_new_one_is(service, device):
    device.register(1)
    device.withdraw(1)
    status, problem = device.send(1)
    assert (status, problem["type"].rsplit("/", 1)[-1]) == (410, "consent-withdrawn")
    assert device.register(1) == 410
    assert device.register(2) == 200
    assert device.send(1, key="old")[0] == 410
    assert device.send(2, key="new")[0] == 202
    assert {p["epoch"] for p in service.positions} == {2}


def test_r5_a_batch_and_a_notice_delivered_twice_have_one_effect(service, device):
    device.register()
    assert device.send()[1]["accepted"] == 2
    assert device.send()[1]["accepted"] == 2
    assert device.send(count=3)[1]["accepted"] == 3
    assert [p["id"] for p in service.positions] == [0, 1, 2]
    assert device.withdraw() == device.withdraw() == (200, {"epoch": 1, "dropped": 3})
    assert len(service.withdrawals) == 1


def test_a_signature_of_another_key_does_nothing(service, device):
    device.register()
    stranger = Device(service.url)
    assert stranger.withdraw()[0] == 409
    stranger.key = device.key
    body = {"notice_id": "n1", "epoch": 1, "public_key": b64(device.key.public), "signature": b64(b"\0" * 64)}
    assert stranger.call("POST", f"/v1/consents/{RECORD}/withdrawals", body)[0] == 401
    assert service.consents[RECORD]["status"] == "given" and service.withdrawals == []
    stranger.connection.close()


@pytest.mark.parametrize(("before", "seen"), [("read", 0), ("effect", 0), ("answer", 2)])
def test_a_failure_strikes_as_far_as_it_was_told(service, device, before, seen):
    device.register()
    service.fail(503, times=1, path="/v1/positions", retry_after=7, before=before)
    status, problem = device.send()
    assert (status, problem["status"], device.headers["Retry-After"]) == (503, 503, "7")
    assert len(service.positions) == seen
    assert device.send()[0] == 202
    assert len(service.positions) == 2


def test_a_lost_answer_was_acted_on_unless_told_otherwise(service, device):
    device.register()
    service.fail(drop=True, path="/v1/positions")
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        device.send()
    device.connection.close()
    assert len(service.positions) == 2 and service.requests[-1]["status"] is None
    assert device.send()[0] == 202
    assert len(service.positions) == 2


def test_failures_are_used_up_in_order_and_match_a_path(service, device):
    device.register()
    service.fail(429, times=2, path="/v1/positions")
    service.fail(403, path="/v1/positions", problem="consent-expired")
    service.fail(500, times=None, path="withdrawals")
    assert [device.send()[0] for _ in range(4)] == [429, 429, 403, 202]
    assert [device.withdraw()[0] for _ in range(3)] == [500, 500, 500]
    service.clear_failures()
    assert device.withdraw()[0] == 200


def test_a_stalled_request_goes_on_when_it_is_released(service, device):
    device.register()
    service.fail(stall_s=60, path="/v1/positions", before="effect")
    answers = []
    sender = threading.Thread(target=lambda: answers.append(device.send()))
    sender.start()
    assert service.wait_for(lambda s: s.requests[-1]["path"] == "/v1/positions")
    assert service.positions == []
    service.clear_failures()
    sender.join()
    assert answers == [(202, {"accepted": 2, "rejected": []})]


def test_stopping_cuts_connections_and_starting_keeps_the_port_and_the_memory(service, device):
    device.register()
    url = service.url
    service.fail(stall_s=60, path="/v1/positions")
    cut = []

    def send() -> None:
        with pytest.raises((OSError, http.client.HTTPException)) as caught:
            device.send()
        cut.append(caught.type)

    sender = threading.Thread(target=send)
    sender.start()
    assert service.wait_for(lambda s: s.positions)
    service.stop()
    sender.join()
    assert cut
    with pytest.raises(OSError):
        Device(url).call("GET", "/v1/notice")
    service.start()
    device.connection.close()
    assert service.url == url
    assert device.send()[0] == 202 and len(service.positions) == 2


def test_a_revocation_by_the_controller_shows_in_status_and_closes_the_gate(service, device):
    device.register()
    service.revoke()
    assert device.call("GET", f"/v1/consents/{RECORD}") == (
        200,
        {"record_id": RECORD, "status": "revoked", "epoch": 1},
    )
    assert device.send()[0] == 410


def test_chunked_bodies_and_broken_ones(service, device):
    device.register()
    data = json.dumps(device.batch()).encode()
    pieces = iter([data[:100], data[100:]])
    headers = {
        "Content-Type": "application/geo+json",
        "Authorization": f"Bearer {device.token}",
        "Idempotency-Key": '"c"',
    }
    device.connection.request("POST", "/v1/positions", pieces, headers, encode_chunked=True)
    answer = device.connection.getresponse()
    assert answer.status == 202 and answer.read()
    device.connection.request("POST", "/v1/positions", data, {**headers, "Content-Length": "1e9"})
    assert device.connection.getresponse().status == 400
    device.connection.close()
    device.connection.request("POST", "/v1/positions", b"", {**headers, "Content-Length": "99999999"})
    assert device.connection.getresponse().status == 413


def test_a_client_that_hangs_up_in_a_body_leaves_no_error_and_no_position(service, device):
    device.register()
    data = json.dumps(device.batch()).encode()
    device.connection.putrequest("POST", "/v1/positions")
    device.connection.putheader("Content-Length", str(len(data) + 10))
    device.connection.endheaders(data)
    assert service.wait_for(lambda s: s.requests[-1]["path"] == "/v1/positions"), "its head has arrived"
    device.connection.close()
    service.stop()
    assert service.positions == [] and service.requests[-1]["t_read"] is None


def test_an_error_inside_the_emulator_is_not_swallowed(service, device, monkeypatch):
    monkeypatch.setattr(service, "_remember", lambda effect: 1 / 0)
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        device.register()
    with pytest.raises(RuntimeError, match="emulator failed"):
        service.stop()
    service.start()


def test_the_url_is_known_only_once_it_listens():
    with pytest.raises(RuntimeError):
        _ = ServiceEmulator().url
