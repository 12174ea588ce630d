"""R5: the service is told at least once, the effect happens once, and only an acknowledgement ends the telling."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from kalos_connect_sdk import Position, PromptAnswer, Purpose, Reason
from kalos_connect_sdk.model.consent import Duration
from kalos_connect_sdk.protocol import view
from kalos_connect_sdk.storage.ledger import Ledger
from kalos_connect_sdk.testing import FakeClock, MemoryVault, ServiceEmulator

NOON = datetime(2027, 5, 4, 12, tzinfo=UTC)
WEEK = PromptAnswer.allow(Duration.days(7))
HERE = (60.1699, 24.9384)


def granted(make, *answers: PromptAnswer, **options):
    connect = make(*answers, **options)
    assert connect.request_permission(user_action=True).granted
    return connect


def notices(service) -> list[dict]:
    return [r for r in service.requests if r["path"].endswith("/withdrawals")]


def positions(service) -> list[dict]:
    return [r for r in service.requests if r["path"].endswith("/positions")]


def told(service, *epochs: int) -> bool:
    return service.wait_for(lambda s: {w["epoch"] for w in s.withdrawals} >= set(epochs))


@pytest.fixture
def dead(service) -> Iterator[ServiceEmulator]:
    """The service, failing every withdrawal until told otherwise."""
    service.fail(503, times=None, path="/withdrawals")
    yield service
    service.clear_failures()


def test_r5_delivery_starts_at_once_and_the_row_goes_with_the_acknowledgement(make, service):
    connect = granted(make)
    assert connect.withdraw().complete
    assert told(service, 1)
    assert connect.wait_for_notices(5)
    assert connect.flush().notices_pending == 0
    assert connect.withdraw().notice in ("none", "delivered")
    assert len(service.withdrawals) == 1 and len(notices(service)) == 1


def test_r5_an_offline_withdrawal_is_complete_and_says_that_the_notice_is_pending(make, service):
    connect = granted(make)
    connect.submit(Position(*HERE))
    service.stop()
    report = connect.withdraw()
    assert report.complete and report.durable and report.dropped == 1
    assert report.notice == "pending"
    assert not connect.wait_for_notices(0.0)
    service.start()
    assert connect.wait_for_notices(5)
    assert [w["epoch"] for w in service.withdrawals] == [1]


def test_r5_a_pending_notice_survives_a_restart_and_is_delivered_at_open(make, service):
    connect = granted(make)
    service.stop()
    connect.withdraw()
    connect.close()
    service.start()
    assert service.withdrawals == []
    again = make()
    assert again.permission().reason is Reason.WITHDRAWN  # nothing but opening
    assert told(service, 1)


def test_r5_a_grant_the_service_never_saw_is_withdrawn_there_too(make, service):
    service.stop()
    connect = granted(make)
    connect.withdraw()
    service.start()
    assert connect.wait_for_notices(5)
    (consent,) = service.consents.values()
    assert consent["status"] == "withdrawn" and consent["fence"] == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 413, 415, 422, 429, 302, 500, 503])
def test_r5_no_other_answer_makes_a_notice_go_away(make, service, status):
    service.fail(status, times=3, path="/withdrawals")
    connect = granted(make)
    report = connect.withdraw()
    assert report.complete and report.notice == "pending"
    assert connect.wait_for_notices(10)
    assert [w["epoch"] for w in service.withdrawals] == [1]
    assert len(notices(service)) == 4


def test_r5_a_page_that_says_200_is_no_acknowledgement(make):
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    class Portal(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("Content-Length", "13")
            self.end_headers()
            self.wfile.write(b"<html></html>")

        do_PUT = do_POST

        def log_message(self, *_: object) -> None:
            """Silent."""

    portal = ThreadingHTTPServer(("127.0.0.1", 0), Portal)
    thread = Thread(target=portal.serve_forever, args=(0.02,))
    thread.start()
    try:
        connect = granted(make, settings={"service_url": f"http://127.0.0.1:{portal.server_address[1]}"})
        assert connect.withdraw().complete
        assert not connect.wait_for_notices(0.5)
        connect.close()
    finally:
        portal.shutdown()
        thread.join()
        portal.server_close()


def test_r5_a_lost_acknowledgement_is_told_again_with_one_effect(make, service):
    service.fail(path="/withdrawals", drop=True, times=2)  # it takes the notice, and its answer is lost
    connect = granted(make)
    connect.withdraw()
    assert connect.wait_for_notices(10)
    assert len(notices(service)) == 3 and len(service.withdrawals) == 1


def test_r5_the_notices_id_never_changes(make, dead):
    connect = granted(make)
    before = [(n.notice_id, n.body) for n in connect._opened().state.ledger.notices()]
    connect.withdraw()
    connect.withdraw()
    connect.close()
    again = make()
    assert [(n.notice_id, n.body) for n in again._opened().state.ledger.notices()] == before
    dead.clear_failures()
    assert again.wait_for_notices(5)
    assert [w["notice_id"] for w in dead.withdrawals] == [before[0][0]]


def test_r5_two_epochs_can_be_pending_at_once_and_a_new_grant_is_not_blocked(make, dead):
    connect = granted(make)
    connect.withdraw()
    assert connect.request_permission(user_action=True).epoch == 2
    connect.submit(Position(*HERE))
    assert connect.flush().sent == 1, "a notice that cannot be delivered stands in nobody's way"
    connect.withdraw()
    assert connect.request_permission(user_action=True).epoch == 3
    rows = connect._opened().state.ledger.notices()
    assert [(row.epoch, row.awake) for row in rows] == [(1, True), (2, True), (3, False)]
    dead.clear_failures()
    assert connect.wait_for_notices(5)
    assert sorted(w["epoch"] for w in dead.withdrawals if w["epoch"] < 3) in ([1, 2], [2])
    connect.submit(Position(*HERE))
    assert connect.flush().sent == 1, "a late notice of an older epoch ends no newer grant"


def test_flush_ignores_the_backoff_of_notices_and_counts_what_is_left(make, dead):
    connect = granted(make)
    connect.withdraw()
    assert dead.wait_for(lambda s: notices(s))
    seen = len(notices(dead))
    for _ in range(3):
        assert connect.flush().notices_pending == 1
    assert len(notices(dead)) >= seen + 3
    dead.clear_failures()
    assert connect.flush().notices_pending == 0
    assert len(dead.withdrawals) == 1


def test_r5_who_flushes_while_another_withdraws_leaves_telling_to_it_and_tells_when_it_does_not(
    make, service, monkeypatch
):
    asking, dying = granted(make), make()
    asking.submit(Position(*HERE))
    page = dying._opened().state.page
    page.end(Purpose.NAVIGATION, 1, withdrawn=True)  # the last that the other does
    with monkeypatch.context() as patch:
        patch.setattr(view, "_REPEAT_NO_S", 60.0)  # however slow this machine is, the other is still at it
        report = asking.flush()
    assert (report.sent, report.reason, report.notices_pending) == (0, Reason.WITHDRAWN, 1)
    assert positions(service) == []
    assert told(service, 1), "without another call of anybody's"
    assert asking.wait_for_notices(5)
    asking._opened().view._over_since = (1, 0.0)  # a tenth of a second later
    assert asking.flush().notices_pending == 0
    assert len(service.withdrawals) == 1


def test_r5_a_flush_reads_the_notices_again_once_something_ended(make, service, dead, monkeypatch):
    clock = FakeClock(NOON)
    connect, other = granted(make, WEEK, clock=clock), make(clock=clock)
    asked: list[None] = []
    read = Ledger.notices
    monkeypatch.setattr(Ledger, "notices", lambda ledger: (asked.append(None), read(ledger))[1])
    for _ in range(3):
        connect.submit(Position(*HERE, time=clock.now()))
        clock.advance(0.1)
        assert connect.flush().notices_pending == 0
    assert len(asked) == 1, "nothing changed since"
    clock.advance(1.0)
    assert connect.flush().notices_pending == 0 and len(asked) == 2
    assert other.withdraw().complete
    assert other.request_permission(user_action=True).granted  # so that the flush has a reason to go on
    assert connect.flush().notices_pending == 1


def test_retry_after_keeps_the_background_away_and_flush_does_not_care(make, service):
    service.fail(429, path="/withdrawals", retry_after=3000)
    connect = granted(make)
    connect.withdraw()
    assert service.wait_for(lambda s: notices(s))
    courier = connect._opened().courier
    courier.worker.call(lambda: None)
    ((_, not_before),) = courier._due.values()
    assert not_before - time.clock_gettime(time.CLOCK_BOOTTIME) > 2000
    assert len(notices(service)) == 1
    assert connect.flush().notices_pending == 0


def test_a_notice_that_another_process_delivered_is_forgotten(make, dead):
    first = granted(make, WEEK)
    first.withdraw()
    assert dead.wait_for(lambda s: notices(s))
    courier = first._opened().courier
    courier.worker.call(lambda: None)
    assert courier._due
    dead.clear_failures()
    second = make()
    assert second.wait_for_notices(5)
    assert first.wait_for_notices(5)
    assert not courier._due, "nothing keeps it awake"


def test_close_waits_at_most_two_seconds_for_a_service_that_does_not_answer(make, service):
    connect = granted(make)
    service.fail(stall_s=60.0, times=None, path="/withdrawals")
    connect.withdraw()
    begun = time.monotonic()
    connect.close()
    assert time.monotonic() - begun < 4.0
    service.clear_failures()
    assert make().wait_for_notices(5)
    assert len(service.withdrawals) == 1


def test_close_gives_a_pending_notice_its_chance(make, service):
    service.fail(503, times=2, path="/withdrawals")
    connect = granted(make)
    connect.withdraw()
    connect.close()
    assert [w["epoch"] for w in service.withdrawals] == [1]


def test_r11_a_notice_needs_no_vault(make, service):
    vault = MemoryVault(persistent=True)
    connect = granted(make, WEEK, vault=vault)
    service.stop()
    vault.available = False
    assert connect.withdraw().complete
    connect.close()
    service.start()
    assert make(vault=vault).wait_for_notices(5)
    assert [w["epoch"] for w in service.withdrawals] == [1]


def test_a_notice_goes_to_the_service_the_grant_was_given_to(make, service):
    connect = granted(make)
    service.stop()
    connect.withdraw()
    connect.close()
    service.start()
    with ServiceEmulator() as other:
        again = make(settings={"service_url": other.url})
        assert again.wait_for_notices(5)
        assert other.requests == [] and [w["epoch"] for w in service.withdrawals] == [1]
        again.close()


def test_an_expiry_tells_the_service_too(make, service):
    clock = FakeClock(NOON)
    connect = granted(make, clock=clock)
    clock.advance(12 * 3600 + 5)
    assert connect.permission().reason is Reason.EXPIRED
    assert told(service, 1)


def test_a_ledger_that_broke_meanwhile_makes_no_claim(make, service, tmp_path):
    connect = granted(make)
    (ledger,) = (tmp_path / "state").rglob("ledger.db")
    service.stop()
    connect.withdraw()
    ledger.write_bytes(b"\xff" * ledger.stat().st_size)
    assert not connect.wait_for_notices(0.3)
