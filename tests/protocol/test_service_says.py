"""What the service says, and what we do then: obey, register again, split, reject, wait, give up (R5, section 7)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from kalos_connect_sdk import (
    ConsentRequired,
    PermissionState,
    Place,
    Position,
    PromptAnswer,
    Purpose,
    Reason,
    ServiceUnreachable,
    TransportError,
)
from kalos_connect_sdk.core.notices.default import DEFAULT_NOTICE
from kalos_connect_sdk.core.polling import INTERVAL_S
from kalos_connect_sdk.model.consent import Duration
from kalos_connect_sdk.protocol.identity import Identity
from kalos_connect_sdk.storage.vault import open_vault
from kalos_connect_sdk.testing import FakeClock

NOON = datetime(2027, 5, 4, 12, tzinfo=UTC)
WEEK = PromptAnswer.allow(Duration.days(7))
HERE = (60.1699, 24.9384)


class Answering:
    """A service that takes every consent and answers everything else with ``status`` and ``body``."""

    def __init__(self, body: bytes, status: int = 202) -> None:
        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", "0")))
                known = "/v1/consents/" in self.path
                said = b'{"access_token": "t", "epoch": 1, "status": "given"}' if known else body
                self.send_response(200 if known else status)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            do_PUT = do_POST = do_GET = answer

            def log_message(self, *_: object) -> None:
                """Silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def granted(make, *answers: PromptAnswer, **options):
    connect = make(*answers, **options)
    assert connect.request_permission(user_action=True).granted
    return connect


def fill(connect, count: int) -> None:
    for i in range(count):
        assert connect.submit(Position(HERE[0], HERE[1] + i * 1e-5)).accepted


def requests_to(service, path: str, method: str = "POST") -> list[dict]:
    return [r for r in service.requests if r["path"].endswith(path) and r["method"] == method]


def keys(service) -> list[str]:
    return [r["headers"]["idempotency-key"] for r in requests_to(service, "/positions")]


def registrations(service) -> int:
    return sum(r["method"] == "PUT" for r in service.requests)


# -- 401: register once again --------------------------------------------------------------------


def test_a_401_registers_once_again_and_sends_under_the_same_key(make, service):
    connect = granted(make)
    fill(connect, 3)
    service.fail(401, path="/v1/positions")
    assert connect.flush().sent == 3
    assert registrations(service) == 2
    first, second = keys(service)
    assert first == second
    tokens = [r["headers"]["authorization"] for r in requests_to(service, "/positions")]
    assert tokens[0] != tokens[1], "the new token is used"


def test_a_401_that_stays_is_postponed_and_not_hammered(make, service):
    connect = granted(make, clock=FakeClock(NOON))
    fill(connect, 3)
    service.fail(401, times=None, path="/v1/positions")
    report = connect.flush()
    assert (report.sent, report.remaining) == (0, 3)
    assert registrations(service) == 2 and len(keys(service)) == 2
    connect.flush()
    waiting = connect.flush()
    assert waiting.next_attempt_s is not None and waiting.next_attempt_s > 0
    assert connect.permission().granted, "a token is not a consent"


def test_a_newer_token_in_the_vault_is_used_before_registering(make, service, tmp_path):
    first = granted(make, WEEK)
    fill(first, 1)
    assert first.flush().sent == 1
    second = make()
    service.fail(401, path="/v1/positions")
    fill(second, 1)
    assert second.flush().sent == 1, "the second registers anew, and the first one's token is void"
    assert registrations(service) == 2
    fill(first, 2)
    service.fail(401, path="/v1/positions")
    assert first.flush().sent == 2
    assert registrations(service) == 2, "the token of the second was in the vault"


def test_a_service_that_lost_its_tokens_is_registered_with_at_the_first_question(make, service, tmp_path):
    first = granted(make, WEEK)
    fill(first, 2)
    first.close()
    service.fail(401, path="/v1/consents")
    second = make()
    assert second.flush().sent == 2
    assert registrations(service) == 2


# -- the service closes the gate -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "problem", "reason", "state"),
    [
        (403, "consent-expired", Reason.EXPIRED, PermissionState.PROMPT),
        (403, "consent-required", Reason.REVOKED, PermissionState.BLOCKED),
        (403, "cross-border", Reason.REVOKED, PermissionState.BLOCKED),
        (403, "something-new", Reason.REVOKED, PermissionState.BLOCKED),
        (410, "consent-withdrawn", Reason.REVOKED, PermissionState.BLOCKED),
        (409, "notice-changed", Reason.NOTICE_CHANGED, PermissionState.PROMPT),
    ],
)
def test_r1_where_the_service_closes_its_gate_ours_closes_too(make, service, status, problem, reason, state):
    connect = granted(make, settings={"batch_max_positions": 10})
    fill(connect, 30)
    service.fail(status, times=None, path="/v1/positions", problem=problem)
    report = connect.flush()
    assert (report.sent, report.remaining, report.reason) == (0, 0, reason)
    assert len(keys(service)) == 1, "never retried, and nothing more is sent"
    permission = connect.permission()
    assert (permission.state, permission.reason) == (state, reason)
    with pytest.raises(ConsentRequired) as caught:
        connect.submit(Position(*HERE))
    assert caught.value.reason is reason
    service.clear_failures()
    assert connect.flush().sent == 0 and service.positions == []
    assert connect.wait_for_notices(5) and [w["epoch"] for w in service.withdrawals] == [1]


@pytest.mark.parametrize(("status", "reason"), [(409, Reason.NOTICE_CHANGED), (403, Reason.REVOKED)])
def test_r1_a_no_without_a_name_closes_the_gate(make, status, reason):
    with Answering(b"<html>no</html>", status) as url:
        connect = granted(make, settings={"service_url": url})
        fill(connect, 3)
        report = connect.flush(timeout_s=5.0)
        assert (report.sent, report.remaining, report.reason) == (0, 0, reason)
        connect.close()


def test_a_conflict_of_another_name_is_about_the_batch(make, service):
    connect = granted(make)
    fill(connect, 3)
    service.fail(409, path="/v1/positions", problem="key-mismatch")
    assert connect.flush().rejected == 3
    assert connect.permission().granted


@pytest.mark.parametrize(
    ("status", "problem", "reason"),
    [
        (403, "consent-expired", Reason.EXPIRED),
        (410, "consent-withdrawn", Reason.REVOKED),
        (409, "notice-changed", Reason.NOTICE_CHANGED),
    ],
)
def test_r1_a_registration_that_is_refused_closes_the_gate_without_an_error(make, service, status, problem, reason):
    service.fail(503, path="/v1/consents")
    connect = granted(make)
    fill(connect, 3)
    service.fail(status, times=1, path="/v1/consents", problem=problem)
    report = connect.flush()  # never raises for consent
    assert (report.sent, report.reason) == (0, reason)
    assert connect.permission().reason is reason and keys(service) == []


def test_r12_a_refusal_of_the_service_is_asked_about_again_only_on_a_user_action(make, service):
    connect = granted(make)
    fill(connect, 1)
    service.revoke()
    assert connect.flush().reason is Reason.REVOKED
    assert not connect.request_permission().granted
    assert connect.request_permission(user_action=True).epoch == 2
    fill(connect, 1)
    assert connect.flush().sent == 1


def test_r14_a_notice_the_service_replaced_invalidates_and_the_new_grant_is_to_the_new_one(make, service):
    connect = granted(make)
    fill(connect, 1)
    assert connect.flush().sent == 1
    changed = replace(DEFAULT_NOTICE, version="2", recipients=(*DEFAULT_NOTICE.recipients, "another recipient"))
    service.set_notice(changed)
    fill(connect, 2)
    report = connect.flush()
    assert (report.sent, report.reason) == (0, Reason.NOTICE_CHANGED)
    connect.close()
    again = granted(make, notice=changed)
    fill(again, 2)
    assert again.flush().sent == 2


# -- the service's own word, before the first send of a run --------------------------------------


def test_r7_what_the_service_revoked_is_heard_before_the_first_send_of_a_new_run(make, service):
    first = granted(make, WEEK)
    fill(first, 5)
    first.close()
    service.revoke()
    second = make()
    assert second.permission().granted
    report = second.flush()
    assert (report.sent, report.remaining, report.reason) == (0, 0, Reason.REVOKED)
    assert keys(service) == [], "it asked before it sent"
    assert second.permission().state is PermissionState.BLOCKED


def test_a_withdrawal_made_elsewhere_reaches_the_car(make, service, tmp_path):
    """The same person withdraws at the service with the same key, as a portal would."""
    from kalos_connect_sdk.core.record import notice_message
    from kalos_connect_sdk.crypto.encoding import b64
    from kalos_connect_sdk.storage.directory import StateDirectory
    from kalos_connect_sdk.transport.client import ServiceClient
    from kalos_connect_sdk.transport.door import Door

    first = granted(make, WEEK)
    fill(first, 5)
    path = first.state_path
    first.close()
    directory = StateDirectory.open("com.example.test", None, str(tmp_path / "state"))
    assert directory.path == path
    secret = Identity(directory.slot, lambda: open_vault(f"file:{tmp_path / 'vault'}", directory), lambda: True).load()
    (record_id,) = service.consents
    message = notice_message(record_id, "portal-1", 1)
    door = Door(timeout_s=5, ca_bundle=None, proxy=None)
    ServiceClient(door, service.url).withdraw(
        record_id,
        {
            "notice_id": "portal-1",
            "epoch": 1,
            "withdrawn_at": None,
            "public_key": b64(secret.signing.public),
            "signature": b64(secret.signing.sign(message)),
        },
    )
    door.close()
    second = make()
    assert second.flush().reason is Reason.REVOKED
    assert keys(service) == [] and not second.permission().granted


def test_an_expiry_the_service_saw_first_is_an_expiry(make):
    from kalos_connect_sdk.testing import ServiceEmulator

    now = [NOON.timestamp()]
    clock = FakeClock(NOON)
    with ServiceEmulator(now_s=lambda: now[0]) as service:
        first = granted(make, WEEK, clock=clock, settings={"service_url": service.url})
        fill(first, 2)
        first.close()
        now[0] += 8 * 86_400
        second = make(clock=clock, settings={"service_url": service.url})
        report = second.flush()
        assert (report.sent, report.reason) == (0, Reason.EXPIRED)
        assert keys(service) == []
        assert second.permission().state is PermissionState.PROMPT
        second.close()


def test_r7_a_service_that_cannot_be_asked_gets_nothing(make, service):
    clock = FakeClock(NOON)
    first = granted(make, WEEK, clock=clock)
    fill(first, 5)
    first.close()
    service.fail(503, times=None, path="/v1/consents")
    second = make(clock=clock)
    with pytest.raises(ServiceUnreachable):
        second.flush()
    assert keys(service) == [] and second.permission().granted
    service.clear_failures()
    clock.advance(1.0)
    assert second.flush().sent == 5


def test_once_asked_a_service_that_stops_answering_questions_still_gets_positions(make, service):
    clock = FakeClock(NOON)
    connect = granted(make, clock=clock)
    for _ in range(3):
        fill(connect, 1)
        assert connect.flush().sent == 1
        clock.advance(INTERVAL_S)
    assert any(r["status"] == 304 for r in service.requests), "asked again, cheaply"
    service.fail(500, times=1, path="/v1/consents")
    fill(connect, 1)
    assert connect.flush().sent == 1


# -- what is wrong with a batch ------------------------------------------------------------------


def test_a_413_splits_the_batch_until_it_fits(make, service):
    connect = granted(make, settings={"batch_max_positions": 40})
    fill(connect, 40)
    service.fail(413, times=2, path="/v1/positions")
    report = connect.flush()
    assert (report.sent, report.rejected, report.remaining) == (40, 0, 0)
    assert len({(p["key"], p["id"]) for p in service.positions}) == 40
    assert len(set(keys(service))) == len(keys(service)), "a split batch is another batch"


def test_a_413_to_a_single_position_rejects_it_and_goes_on(make, service):
    connect = granted(make, settings={"batch_max_positions": 1})
    fill(connect, 3)
    service.fail(413, times=1, path="/v1/positions")
    report = connect.flush()
    assert (report.sent, report.rejected, report.remaining) == (2, 1, 0)


@pytest.mark.parametrize("status", [400, 404, 415, 422])
def test_a_batch_the_service_does_not_want_is_rejected_and_the_rest_goes_on(make, service, status):
    connect = granted(make, settings={"batch_max_positions": 10})
    fill(connect, 25)
    service.fail(status, times=1, path="/v1/positions")
    report = connect.flush()
    assert (report.sent, report.rejected, report.remaining) == (15, 10, 0)
    assert connect.permission().granted and len(service.positions) == 15


def test_features_the_service_rejects_are_counted_apart(make):
    with Answering(
        b'{"accepted": 1, "rejected": [{"id": 0, "problem": "out-of-range"}, {"id": 2, "problem": "x"}]}'
    ) as url:
        connect = granted(make, settings={"service_url": url})
        fill(connect, 3)
        report = connect.flush()
        assert (report.sent, report.rejected, report.remaining) == (1, 2, 0)
        connect.close()


def test_a_success_without_a_readable_body_is_an_acknowledgement(make):
    with Answering(b"<html>") as url:
        connect = granted(make, settings={"service_url": url})
        fill(connect, 3)
        assert connect.flush().sent == 3
        connect.close()


# -- waiting -------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 502, 503, 408, 302])
def test_a_failing_service_postpones_with_growing_waits_and_one_key(make, service, status):
    clock = FakeClock(NOON)
    connect = granted(make, clock=clock, settings={"max_retries": 20, "outbox_ttl_s": 86_400})
    fill(connect, 5)
    assert connect.flush().sent == 5
    fill(connect, 5)
    del service.requests[:]
    service.fail(status, times=None, path="/v1/positions")
    waits = []
    for _ in range(9):
        report = connect.flush()
        assert (report.sent, report.remaining) == (0, 5)
        waits.append(report.next_attempt_s)
        again = connect.flush()
        assert again.next_attempt_s == pytest.approx(report.next_attempt_s, abs=0.002), "not due: nothing is sent"
        clock.advance(report.next_attempt_s + 0.01)
    assert len(keys(service)) == 9 and len(set(keys(service))) == 1
    for attempt, wait in enumerate(waits):
        full = min(60.0, 2.0**attempt)
        assert full / 2 <= wait <= full
    service.clear_failures()
    assert connect.flush().sent == 5
    assert len(set(keys(service))) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_in_seconds_is_kept(make, service, status):
    clock = FakeClock(NOON)
    connect = granted(make, clock=clock)
    fill(connect, 5)
    service.fail(status, path="/v1/positions", retry_after=120)
    report = connect.flush()
    assert report.next_attempt_s == pytest.approx(120)
    clock.advance(119)
    assert connect.flush().sent == 0
    clock.advance(2)
    assert connect.flush().sent == 5
    assert len(set(keys(service))) == 1


def test_retry_after_as_a_date_is_kept_and_bounded(make, service):
    clock = FakeClock(NOON)
    connect = granted(make, clock=clock, settings={"outbox_ttl_s": 86_400})
    fill(connect, 5)
    service.fail(503, path="/v1/positions", retry_after=format_datetime(NOON + timedelta(seconds=90), usegmt=True))
    assert connect.flush().next_attempt_s == pytest.approx(90, abs=1)
    clock.advance(91)
    service.fail(503, path="/v1/positions", retry_after=10**9)
    assert connect.flush().next_attempt_s == pytest.approx(3600)


def test_after_max_retries_a_batch_is_given_up_and_the_next_one_goes(make, service):
    clock = FakeClock(NOON)
    connect = granted(make, clock=clock, settings={"max_retries": 2, "batch_max_positions": 5})
    fill(connect, 10)
    service.fail(503, times=3, path="/v1/positions")
    for _ in range(2):
        clock.advance(connect.flush().next_attempt_s + 0.01)
    report = connect.flush()
    assert (report.sent, report.remaining, report.next_attempt_s) == (0, 5, None)
    assert connect.flush().sent == 5
    assert len(set(keys(service))) == 2


def test_positions_too_old_to_be_wanted_are_dropped_unsent(make, service):
    clock = FakeClock(NOON)
    connect = granted(make, clock=clock, settings={"outbox_ttl_s": 60})
    fill(connect, 5)
    clock.advance(30)
    fill(connect, 2)
    clock.advance(31)
    assert connect.flush().sent == 2


# -- no answer -----------------------------------------------------------------------------------


def test_r5_an_answer_that_is_lost_makes_no_duplicates(make, service):
    clock = FakeClock(NOON)
    connect = granted(make, clock=clock)
    fill(connect, 20)
    service.fail(path="/v1/positions", drop=True)  # it takes the batch, and its answer is lost
    with pytest.raises(ServiceUnreachable):
        connect.flush()
    assert len(service.positions) == 20
    clock.advance(5)
    assert connect.flush().sent == 20
    assert len(service.positions) == 20 and len(set(keys(service))) == 1


def test_an_unreachable_service_raises_keeps_the_positions_and_says_nothing_of_them(make, service):
    clock = FakeClock(NOON)
    connect = granted(make, clock=clock)
    fill(connect, 7)
    service.stop()
    with pytest.raises(ServiceUnreachable) as caught:
        connect.flush()
    error = caught.value
    assert error.__context__ is None and error.__cause__ is None
    assert "60.1" not in str(error) and "24.9" not in str(error)
    service.start()
    clock.advance(1.0)
    assert connect.flush().sent == 7


def test_without_a_service_flush_says_what_is_missing(make):
    connect = granted(make, settings={"service_url": None})
    fill(connect, 1)
    with pytest.raises(TransportError, match="service_url"):
        connect.flush()
    assert connect.withdraw().dropped == 1
    assert connect.wait_for_notices(5), "there is nobody to tell"


def test_what_was_sent_before_the_service_went_away_is_reported(make, service):
    connect = granted(make, settings={"batch_max_positions": 10})
    fill(connect, 25)
    service.fail(stall_s=0.0, path="/v1/positions")  # the first batch passes
    service.fail(drop=True, times=None, path="/v1/positions", before="read")
    report = connect.flush()
    assert (report.sent, report.remaining) == (10, 15) and report.next_attempt_s is not None


KILLED = """
import os, signal, sys
from kalos_connect_sdk import AssertedParked, Config, Connect, Position, TransportError
config = Config(state_dir=sys.argv[1], vault=sys.argv[2], service_url=sys.argv[3])
connect = Connect("com.example.test", config=config, vehicle=AssertedParked("a test bench"))
for i in range(30):
    assert connect.submit(Position(60.0, 24.0 + i * 1e-5)).accepted
try:
    connect.flush()
except TransportError:
    pass
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_r5_killed_after_a_lost_answer_the_batch_goes_again_under_its_key(make, service, tmp_path):
    connect = granted(make, WEEK)
    service.fail(path="/v1/positions", drop=True)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "state"), f"file:{tmp_path / 'vault'}", service.url],
        capture_output=True,
        timeout=60,
        env={**os.environ},
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert len(service.positions) == 30
    assert connect.flush().sent == 30
    assert len(service.positions) == 30, "the service knew the key"
    assert len(keys(service)) == 2 and len(set(keys(service))) == 1


def test_a_closed_facade_leaves_its_batch_and_its_key_to_the_next(make, service):
    first = granted(make, WEEK)
    fill(first, 10)
    service.fail(503, path="/v1/positions")
    assert first.flush().remaining == 10
    first.close()
    second = make()
    assert second.flush().sent == 10
    assert len(set(keys(service))) == 1


# -- registering ---------------------------------------------------------------------------------


def test_a_grant_the_service_could_not_hear_of_is_registered_before_the_first_send(make, service):
    service.fail(503, times=1, path="/v1/consents")
    connect = granted(make)
    assert service.consents == {}
    fill(connect, 2)
    assert connect.flush().sent == 2
    (consent,) = service.consents.values()
    assert consent["status"] == "given"


def test_the_vendors_enrolment_token_is_shown(make, tmp_path):
    from kalos_connect_sdk.testing import ServiceEmulator

    with ServiceEmulator(enrolment_token="from-the-vendor") as service:
        token = tmp_path / "token"
        token.write_text("from-the-vendor\n")
        options = {"service_url": service.url, "enrolment_token_file": str(token)}
        connect = granted(make, settings=options)
        assert service.consents
        connect.close()


def test_an_enrolment_token_that_cannot_be_read_grants_all_the_same_and_is_told_at_the_flush(make, service, tmp_path):
    clock = FakeClock(NOON)
    connect = granted(make, clock=clock, settings={"enrolment_token_file": str(tmp_path / "missing")})
    fill(connect, 1)
    with pytest.raises(TransportError, match="enrolment_token_file"):
        connect.flush()
    assert service.consents == {}
    clock.advance(1.0)
    (tmp_path / "missing").write_text("anything")
    assert connect.flush().sent == 1


def test_r16_a_cross_border_grant_is_registered_too(make, service):
    connect = granted(make)
    connect.request_permission(Purpose.CROSS_BORDER_TRANSFER, user_action=True)
    fill(connect, 1)
    assert connect.flush().sent == 1
    assert {c["purpose"] for c in service.consents.values()} == {"navigation", "cross-border-transfer"}


# -- routes --------------------------------------------------------------------------------------


def test_a_route_from_here_needs_a_fresh_position_and_carries_the_consent(make, service):
    from kalos_connect_sdk import NoPosition

    clock = FakeClock(NOON)
    connect = granted(make, clock=clock)
    with pytest.raises(NoPosition):
        connect.route(Place(60.2, 24.9))
    fill(connect, 1)
    route = connect.route(Place(60.2, 24.9), locale="en")
    assert route.distance_m > 0 and len(route.line) > 1
    clock.advance(31)
    with pytest.raises(NoPosition):
        connect.route(Place(60.2, 24.9))


def test_r19_a_route_between_typed_places_needs_no_permission_and_no_token(make, service):
    connect = make()
    route = connect.route(Place(60.2, 24.9), origin=Place(60.1, 24.8), locale="en")
    assert len(route.line) > 1
    (asked,) = requests_to(service, "/routes")
    assert "authorization" not in asked["headers"]


def test_r15_a_route_from_here_needs_a_precise_grant(make):
    from kalos_connect_sdk import Precision

    connect = granted(make, PromptAnswer.allow(precision=Precision.APPROXIMATE))
    fill(connect, 1)
    with pytest.raises(ConsentRequired) as caught:
        connect.route(Place(60.2, 24.9))
    assert caught.value.reason is Reason.PRECISION


def test_a_401_to_a_route_registers_once_again(make, service):
    connect = granted(make)
    fill(connect, 1)
    service.fail(401, path="/v1/routes")
    assert len(connect.route(Place(60.2, 24.9)).line) > 1
    assert registrations(service) == 2


def test_r1_a_route_the_service_refuses_for_consent_closes_the_gate(make, service):
    connect = granted(make)
    fill(connect, 1)
    service.revoke()
    with pytest.raises(ConsentRequired) as caught:
        connect.route(Place(60.2, 24.9))
    assert caught.value.reason is Reason.REVOKED
    assert connect.permission().state is PermissionState.BLOCKED


def test_r3_withdrawing_cuts_a_route_that_is_being_asked_for(make, service):
    connect = granted(make)
    fill(connect, 1)
    service.fail(stall_s=30.0, path="/v1/routes")
    caught: list[BaseException] = []

    def ask() -> None:
        try:
            connect.route(Place(60.2, 24.9))
        except Exception as error:
            caught.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    assert service.wait_for(lambda s: any(r["path"] == "/v1/routes" and r["t_read"] for r in s.requests))
    report = connect.withdraw()
    thread.join(5)
    assert report.complete and report.aborted == 1
    assert isinstance(caught[0], ConsentRequired) and caught[0].reason is Reason.WITHDRAWN


def test_a_route_without_a_service_says_what_is_missing(make):
    connect = make(settings={"service_url": None})
    with pytest.raises(ServiceUnreachable, match="service_url"):
        connect.route(Place(60.2, 24.9), origin=Place(60.1, 24.8))


@pytest.mark.parametrize("origin", [Place(60.1, 24.8), None])
def test_a_route_that_cannot_be_read_is_no_answer(make, origin):
    with Answering(b'{"type": "Feature"}') as url:
        connect = granted(make, settings={"service_url": url})
        fill(connect, 1)
        with pytest.raises(ServiceUnreachable):
            connect.route(Place(60.2, 24.9), origin=origin)
        connect.close()
