"""A device that speaks plain HTTP, and the service behind each of its doors."""

from __future__ import annotations

import gzip
import http.client
import json
import re
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
import uvicorn

from kalos_connect_sdk.core.record import notice_message, registration_message, request_message
from kalos_connect_sdk.crypto.encoding import b64
from kalos_connect_sdk.crypto.sign import SigningKey
from kalos_connect_sdk.service.app import create_app
from kalos_connect_sdk.service.contract import contract
from kalos_connect_sdk.service.engine import StraightLine
from kalos_connect_sdk.service.server import listen
from kalos_connect_sdk.service.sqlite import SqliteStore
from kalos_connect_sdk.service.store import MemoryStore
from kalos_connect_sdk.testing import ServiceEmulator

CONTRACT = contract()


@dataclass
class Answer:
    """An answer that the contract allows: :meth:`Device.call` has checked it."""

    status: int
    document: dict[str, Any]
    headers: Any

    @property
    def problem(self) -> str | None:
        """The name of the problem, ``None`` for an answer that is none."""
        return self.document.get("type", "").rsplit("/", 1)[-1] if self.status >= 400 else None


class Device:
    """Registers, sends and withdraws; every answer is held against the OpenAPI document."""

    shown, fields = "a" * 64, "b" * 64

    def __init__(self, url: str) -> None:
        self.key = SigningKey.generate()
        self.record_id = secrets.token_hex(16)
        self.token: str | None = None
        parts = urlsplit(url)
        self.connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        sent = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        sent |= headers or {}
        self.connection.request(method, path, body, sent)
        raw = self.connection.getresponse()
        text = raw.read()
        answer = Answer(raw.status, json.loads(text) if text else {}, raw.headers)
        check_answer(method, path, answer)
        return answer

    def record(self, epoch: int, **changes: Any) -> dict[str, Any]:
        return {
            "kc:record": self.record_id,
            "kc:epoch": epoch,
            "kc:purpose": "navigation",
            "kc:precision": "precise",
            "dpv:hasNotice": {"kc:textSha256": self.shown, "kc:fieldsSha256": self.fields},
            "dpv:hasConsentStatus": [{"dpv:hasDuration": {"@type": "dpv:UntilEventDuration"}}],
            **changes,
        }

    def registration(self, epoch: int = 1, **changes: Any) -> dict[str, Any]:
        record, public = self.record(epoch, **changes), b64(self.key.public)
        message = registration_message(self.record_id, epoch, public, record)
        return {"epoch": epoch, "public_key": public, "record": record, "signature": b64(self.key.sign(message))}

    def register(self, epoch: int = 1, **changes: Any) -> Answer:
        answer = self.call("PUT", f"/v1/consents/{self.record_id}", self.registration(epoch, **changes))
        self.token = answer.document.get("access_token", self.token)
        return answer

    def notice(self, epoch: int = 1, notice_id: str = "n1", **changes: Any) -> dict[str, Any]:
        return {
            "notice_id": notice_id,
            "epoch": epoch,
            "withdrawn_at": "2026-01-01T00:00:00.000Z",
            "public_key": b64(self.key.public),
            "signature": b64(self.key.sign(notice_message(self.record_id, notice_id, epoch))),
            **changes,
        }

    def withdraw(self, epoch: int = 1, notice_id: str = "n1", **changes: Any) -> Answer:
        path = f"/v1/consents/{self.record_id}/withdrawals"
        return self.call("POST", path, self.notice(epoch, notice_id, **changes))

    def asking(self, kind: str, reason: str | None, name: str, changes: dict[str, Any] | None) -> dict[str, Any]:
        request_id = f"{name}-{self.record_id[:16]}"
        made_at, public = "2026-01-01T00:00:00Z", b64(self.key.public)
        message = request_message(request_id, kind, reason, made_at, public)
        return {
            "request_id": request_id,
            "kind": kind,
            "reason": reason,
            "made_at": made_at,
            "public_key": public,
            "signature": b64(self.key.sign(message)),
            **(changes or {}),
        }

    def ask(
        self, kind: str, reason: str | None = None, name: str = "r", changes: dict[str, Any] | None = None
    ) -> Answer:
        return self.call("POST", "/v1/requests", self.asking(kind, reason, name, changes))

    def member(self, epoch: int = 1, **changes: Any) -> dict[str, Any]:
        return {
            "record_id": self.record_id,
            "epoch": epoch,
            "purpose": "navigation",
            "precision": "precise",
            "notice_sha256": self.shown,
            **changes,
        }

    def batch(self, epoch: int = 1, count: int = 2, at: tuple[float, float] = (60.17, 24.94), **member: Any) -> dict:
        return {
            "type": "FeatureCollection",
            "consent": self.member(epoch, **member),
            "features": [
                {
                    "type": "Feature",
                    "id": index,
                    "geometry": {"type": "Point", "coordinates": [at[1] + index / 1e4, at[0]]},
                    "properties": {"timestamp": "2026-01-01T00:00:00Z", "speed": 3.5},
                }
                for index in range(count)
            ],
        }

    def send(self, batch: Any = None, key: str = "k1", **headers: str) -> Answer:
        body = batch if isinstance(batch, bytes) else json.dumps(self.batch() if batch is None else batch).encode()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if given.get("Content-Encoding") == "gzip" and not isinstance(batch, bytes):
            body = gzip.compress(body)
        return self.call(
            "POST",
            "/v1/positions",
            body,
            {"Content-Type": "application/geo+json", "Idempotency-Key": f'"{key}"', **given},
        )

    def status(self, **headers: str) -> Answer:
        return self.call("GET", f"/v1/consents/{self.record_id}", headers=headers)

    def route(self, **changes: Any) -> Answer:
        def point(lat: float, lon: float) -> dict[str, Any]:
            return {"type": "Point", "coordinates": [lon, lat]}

        asked = {"origin": point(60.17, 24.94), "destination": point(60.18, 24.95), "locale": "en", **changes}
        return self.call("POST", "/v1/routes", asked)


def check_answer(method: str, path: str, answer: Answer) -> None:
    """Whatever the service answers, the OpenAPI document must have announced, or be a problem."""
    assert "set-cookie" not in answer.headers and "location" not in answer.headers
    template = re.sub("/v1/consents/[^/]+", "/v1/consents/{record_id}", path.partition("?")[0])
    template = re.sub("/v1/requests/[^/]+", "/v1/requests/{request_id}", template)
    operation = CONTRACT["paths"].get(template, {}).get(method.lower())
    media_type = answer.headers.get("content-type")
    if operation is None or answer.status in (405, 500):
        schema: dict[str, Any] | None = {"$ref": "#/components/schemas/Problem"}
        assert answer.status >= 400 or template.startswith(("/observed", "/openapi")), (method, template)
        if answer.status < 400:
            return
    else:
        announced = operation["responses"][str(answer.status)]
        if "$ref" in announced:
            announced = CONTRACT["components"]["responses"][announced["$ref"].rsplit("/", 1)[-1]]
        content = announced.get("content", {media_type: None})
        assert media_type in content
        schema = content[media_type] and content[media_type]["schema"]
    if schema is not None:
        jsonschema.validate(answer.document, {**schema, "components": CONTRACT["components"]})


class Clock:
    """Seconds since 1970 as the service sees them."""

    now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(scope="session")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session", params=["emulator", "app-memory", "app-sqlite"])
def service_url(
    request: pytest.FixtureRequest, clock: Clock, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The same rules behind every door and over every store; the routes go straight."""
    if request.param == "emulator":
        with ServiceEmulator(now_s=clock) as emulator:
            yield emulator.url
        return
    store = (
        MemoryStore()
        if request.param == "app-memory"
        else SqliteStore(tmp_path_factory.mktemp("service") / "service.db")
    )
    with running(create_app(store, StraightLine(), now_s=clock)) as url:
        yield url
    store.close()


@pytest.fixture
def device(service_url: str) -> Iterator[Device]:
    device = Device(service_url)
    yield device
    device.connection.close()


class running:
    """An application on a free loopback port, in a thread of this process."""

    def __init__(self, app: Any) -> None:
        self._server = uvicorn.Server(
            uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=1)
        )
        self._socket = listen("127.0.0.1", 0)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"  # it listens already

    def __exit__(self, *exc: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()


@pytest.fixture
def run_app() -> type[running]:
    return running


@pytest.fixture
def new_device() -> Iterator[Any]:
    """Makes further devices, and closes their connections."""
    made: list[Device] = []

    def make(url: str) -> Device:
        made.append(Device(url))
        return made[-1]

    yield make
    for device in made:
        device.connection.close()
