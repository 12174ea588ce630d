"""What a person can see and ask for: report, export, deletion, explanation (R8, R10, R19, R20)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from kalos_connect_sdk import (
    AsyncConnect,
    ConsentRequired,
    DeletionReason,
    Position,
    PromptAnswer,
    Purpose,
    RequestKind,
    RequestStatus,
    StateError,
    VaultUnavailable,
)
from kalos_connect_sdk.testing import FakeClock, MemoryVault, ServiceEmulator

CANARIES = ("60.16985", "24.93837", "169857", "938379")


def here() -> Position:
    """A position of now: a suite may run for longer than one is worth sending."""
    return Position(60.169857, 24.938379)


@pytest.fixture
def granted(make, service):
    connect = make()
    assert connect.request_permission(user_action=True).granted
    connect.submit(here())
    assert connect.flush().sent == 1
    return connect


def test_r19_a_deletion_ends_consent_here_and_everything_there(granted, service):
    granted.submit(Position(60.2, 24.9))
    request = granted.privacy.request_deletion(DeletionReason.NO_LONGER_USED)
    with pytest.raises(ConsentRequired):
        granted.submit(here())
    assert (request.kind, request.status) == (RequestKind.DELETION, RequestStatus.PENDING)
    assert request.recipients[1] == service.url and "@" in request.contact
    [known] = granted.privacy.requests()
    assert known.status is RequestStatus.COMPLETED
    assert [case["status"] for case in service.cases] == ["completed"]
    assert [consent["kept"] for consent in service.consents.values()] == [0]
    assert granted.privacy.report().use == ()


def test_r5_killed_and_restarted_a_request_is_delivered_once(make, tmp_path):
    program = """
import os, sys
from kalos_connect_sdk import *
connect = Connect("com.example.test", vehicle=AssertedParked("a bench"),
    config=Config(service_url=sys.argv[2], state_dir=sys.argv[1] + "/state", vault="file:" + sys.argv[1] + "/vault"))
print(connect.privacy.request_deletion(DeletionReason.BREACH).id, flush=True)
sys.stdin.read()
"""
    with ServiceEmulator() as service:
        service.fail(503, times=None, path="/v1/requests")
        child = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path), service.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        name = child.stdout.readline().strip()
        os.kill(child.pid, signal.SIGKILL)
        child.communicate()
        assert not service.cases
        service.clear_failures()
        again = make(settings={"service_url": service.url})
        assert [(request.id, request.status) for request in again.privacy.requests()] == [
            (name, RequestStatus.COMPLETED)
        ]
        again.privacy.requests()
        assert [case["request_id"] for case in service.cases] == [name]


def test_r5_no_answer_but_an_acknowledgement_moves_it_on(granted, service):
    for status in (400, 401, 404, 409, 410, 422, 429, 500):
        service.fail(status, path="/v1/requests")
    request = granted.privacy.request_explanation()
    for _ in range(8):
        assert granted.privacy.requests()[0].status is RequestStatus.PENDING
        if sum(seen["path"] == "/v1/requests" for seen in service.requests) >= 8:
            break
    assert service.wait_for(lambda seen: sum(r["path"] == "/v1/requests" for r in seen.requests) >= 8)
    done = granted.privacy.requests()[0]
    assert (done.id, done.status) == (request.id, RequestStatus.COMPLETED)
    assert "map" in done.outcome["text"]
    assert granted.permission().granted, "asking a question ends nothing"


def test_identity_refusal_and_a_refusal_without_a_reason(granted, service):
    service.review(lambda case: replace(case, status=RequestStatus.IDENTITY_PENDING))
    granted.privacy.request_access()
    assert granted.privacy.requests()[0].status is RequestStatus.IDENTITY_PENDING
    service.review(lambda case: replace(case, status=RequestStatus.REFUSED, refusal_code="legal-hold"))
    [refused] = granted.privacy.requests()
    assert refused.unexplained and refused.refusal_code == "legal-hold"
    service.review(lambda case: None)
    assert granted.privacy.requests() == [refused], "a closed request is not told again"


def test_due_by_the_earliest_and_the_service_cannot_put_it_off(make, service):
    clock = FakeClock(datetime(2026, 11, 24, 12, tzinfo=UTC))
    connect = make(clock=clock, settings={"service_region": "CN"})
    service.review(lambda case: replace(case, due_at="2030-01-01T00:00:00+00:00"))
    connect.privacy.request_access()
    [request] = connect.privacy.requests()
    assert request.due_at == datetime(2026, 12, 8, 12, tzinfo=UTC)
    assert not request.overdue(request.made_at) and request.overdue(request.made_at + timedelta(days=15))
    service.review(lambda case: replace(case, due_at="2026-12-01T00:00:00+00:00"))
    assert connect.privacy.requests()[0].due_at == datetime(2026, 12, 1, tzinfo=UTC)


def test_offline_it_is_kept_and_said_to_be_pending(make):
    connect = make(settings={"service_url": "http://127.0.0.1:9"})
    connect.privacy.request_explanation()
    assert [request.status for request in connect.privacy.requests()] == [RequestStatus.PENDING]
    without = make(settings={"service_url": None, "state_dir": str(connect.state_path.parent / "other")})
    without.privacy.request_explanation()
    assert [request.status for request in without.privacy.requests()] == [RequestStatus.PENDING]


def test_r8_reset_loses_no_request(make, service):
    connect = make()
    service.fail(503, times=None, path="/v1/requests")
    request = connect.privacy.request_access()
    connect.reset()
    service.clear_failures()
    again = make()
    assert [(found.id, found.status) for found in again.privacy.requests()] == [(request.id, RequestStatus.COMPLETED)]


def test_without_the_key_nothing_is_asked_and_consent_has_ended_all_the_same(granted, make, service, tmp_path):
    granted.close()

    locked = MemoryVault(persistent=True)
    locked.available = False
    connect = make(vault=locked)
    with pytest.raises(VaultUnavailable):
        connect.privacy.request_deletion(DeletionReason.BREACH)
    assert not connect.permission().granted
    assert connect.privacy.requests() == []


@pytest.mark.parametrize("reason", ["breach", None, 1])
def test_only_a_reason_is_a_reason(make, reason):
    with pytest.raises(TypeError):
        make().privacy.request_deletion(reason)


def test_a_report_counts_by_the_hour_and_survives_the_program(make, service):
    clock = FakeClock(datetime(2026, 11, 24, 12, 30, tzinfo=UTC))
    connect = make(PromptAnswer.allow(), clock=clock)
    assert connect.request_permission(user_action=True).granted
    for number in range(3):
        connect.submit(Position(60.1 + number / 100, 24.9))
    connect.flush()
    report = connect.privacy.report()
    assert [(hour.start.hour, hour.purpose, hour.positions) for hour in report.use] == [(12, Purpose.NAVIGATION, 3)]
    assert connect.privacy.report() == replace(report, made_at=connect.privacy.report().made_at)
    clock.advance(3600)
    connect.submit(Position(60.3, 24.9))
    connect.flush()
    connect.close()
    again = make(clock=clock)
    report = again.privacy.report()
    assert [(hour.start.hour, hour.positions) for hour in report.use] == [(12, 3), (13, 1)]
    assert (report.positions, report.grants, report.permissions[Purpose.NAVIGATION].granted) == (4, 1, True)
    clock.advance(26 * 3600)
    assert [hour.start.hour for hour in again.privacy.report(days=1).use] == []
    assert len(again.privacy.report(days=7).use) == 2


def test_old_counts_are_forgotten(make, service):
    clock = FakeClock(datetime(2026, 11, 1, 12, tzinfo=UTC))
    connect = make(clock=clock)
    connect.request_permission(user_action=True)
    connect.submit(here())
    connect.flush()
    connect.privacy.report()
    clock.advance(9 * 86_400)
    connect.request_permission(user_action=True)
    connect.submit(Position(60.3, 24.9))
    connect.flush()
    assert [hour.start.day for hour in connect.privacy.report().use] == [10]
    assert len(connect._opened().state.ledger.settings("use.")) == 1


@pytest.mark.parametrize("days", [0, 8, True, "7", 1.5])
def test_a_report_is_about_one_to_seven_days(make, days):
    with pytest.raises(ValueError, match="1 to 7"):
        make().privacy.report(days)


def test_r10_an_export_holds_everything_but_coordinates_keys_and_tokens(granted, tmp_path):
    granted.submit(Position(60.169858, 24.938378))
    granted.privacy.request_access()
    export = granted.privacy.export()
    text = json.dumps(export)
    assert export["buffered_positions"] == 1
    assert export["receipts"] and export["requests"] and export["use"][0]["positions"] == 1
    assert {event["kind"] for event in export["history"]} >= {"allow", "registered"}
    assert not [canary for canary in CANARIES if canary in text]
    secret = json.loads((tmp_path / "vault").read_text()) if (tmp_path / "vault").is_file() else {}
    assert not [value for value in _leaves(secret) if len(value) > 20 and value in text]
    assert repr(granted.privacy.requests()[0]).count("signature") == 0


def _leaves(value):
    if isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, str):
        yield value


def test_r8_a_state_that_cannot_be_read_says_so(make, tmp_path):
    connect = make()
    connect.request_permission(user_action=True)
    path = connect.state_path / "ledger.db"
    connect.close()
    path.write_bytes(b"x" * 4096)
    again = make()
    for call in (again.privacy.report, again.privacy.export, again.privacy.requests, again.privacy.request_access):
        with pytest.raises(StateError):
            call()


def test_for_asyncio_too(service, tmp_path):
    async def story() -> list[RequestStatus]:
        from kalos_connect_sdk import Config

        config = Config(service_url=service.url, state_dir=str(tmp_path / "s"), vault=f"file:{tmp_path / 'v'}")
        async with AsyncConnect("com.example.test", config=config) as connect:
            await connect.privacy.request_access()
            await connect.privacy.request_explanation()
            await connect.privacy.request_deletion(DeletionReason.NO_CONSENT)
            assert (await connect.privacy.report()).grants == 0
            assert (await connect.privacy.export())["requests"]
            return [request.status for request in await connect.privacy.requests()]

    assert asyncio.run(story()) == [RequestStatus.COMPLETED] * 3
