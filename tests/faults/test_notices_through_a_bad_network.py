"""R5, R6: the notice always arrives, once in effect, whatever the network does between the car and the service.

A real service stands behind a proxy that ends connections at the very byte it is told to. What is asked at the
service: did the withdrawal take effect exactly once, under one id, without touching a later grant; did positions
arrive once each. ``KALOS_SWEEP=full`` cuts at every byte; else at the edges and at a seeded part of the others.
"""

from __future__ import annotations

import os
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import permutations
from random import Random
from urllib.parse import urlsplit

import pytest
import trustme
from cutting_proxy import Cut, CuttingProxy, Exchange, TlsFront
from real_program import Start, eventually, starter

from kalos_connect_sdk import Position, PromptAnswer, Purpose, Reason, TransportError
from kalos_connect_sdk.model.consent import Duration
from kalos_connect_sdk.protocol import works
from kalos_connect_sdk.testing import FakeClock

FULL = os.environ.get("KALOS_SWEEP") == "full"
SHARE = 10_000 if FULL else 20
NAVIGATION = Purpose.NAVIGATION
NOON = datetime(2027, 5, 4, 12, tzinfo=UTC)
WEEK = PromptAnswer.allow(Duration.days(7))
NOTICE, POSITIONS = b"/withdrawals", b"POST /v1/positions"


@pytest.fixture
def proxy(service) -> Iterator[CuttingProxy]:
    with CuttingProxy(address_of(service.url)) as between:
        yield between


@pytest.fixture
def through(make, proxy):
    """Makes facades that reach the service only through the proxy."""

    def connect(*answers, **options):
        settings = {"service_url": proxy.url, "max_retries": 1000, **options.pop("settings", {})}
        return make(*answers, settings=settings, **options)

    return connect


@pytest.fixture
def program(tmp_path, service) -> Iterator[Start]:
    yield from starter(tmp_path, service.url)


def address_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return str(parts.hostname), int(parts.port or 0)


def granted(connect):
    assert connect.request_permission(user_action=True).granted
    return connect


def place(number: int) -> Position:
    return Position(50.0 + number * 1e-4, 24.0)


def spots(length: int, seed: int) -> list[int]:
    """Every byte when all are asked for; else the edges and a seeded part of the others."""
    chosen = Random(seed).sample(range(length), min(length, SHARE))
    return sorted({0, 1, length // 2, length - 2, length - 1, *chosen})


def cuts(way, length: int, seed: int, match: bytes) -> list[Cut]:
    return [Cut(way, at, reset, match) for reset in (False, True) for at in spots(length, seed + reset)]


def passed(proxy: CuttingProxy, part: bytes) -> list[Exchange]:
    return [one for one in proxy.exchanges if part in one.request]


# -- cut at every byte ---------------------------------------------------------------------------


@pytest.mark.fault(27, 28)
@pytest.mark.once
def test_r5_a_notice_cut_at_every_byte_takes_effect_once_and_spares_the_next_grant(through, proxy, service):
    connect = granted(through())
    (row,) = connect._opened().state.ledger.notices()
    proxy.cut = Cut("request", 0, match=NOTICE)
    assert connect.withdraw().complete
    assert connect.flush().notices_pending == 1
    first = passed(proxy, NOTICE)[0]
    assert connect.request_permission(user_action=True).epoch == 2, "no pending notice blocks a new grant"
    sent = tries = 0

    def attempt(cut: Cut, effects: list[str]) -> None:
        nonlocal sent, tries
        proxy.cut = cut
        if tries % 20 == 0:
            connect.submit(place(tries))
        report = connect.flush()
        sent, tries = sent + report.sent, tries + 1
        assert report.notices_pending == 1, f"no whole acknowledgement came, and the notice went away: {cut}"
        assert [w["notice_id"] for w in service.withdrawals] == effects, cut

    before = cuts("request", len(first.request), 28, NOTICE)
    for cut in before:
        attempt(cut, [])
    attempt(Cut("answer", 0, match=NOTICE), [row.notice_id])  # the acknowledgement is lost
    answer = proxy.replay(first)
    after = cuts("answer", len(answer), 29, NOTICE)
    for cut in after:
        attempt(cut, [row.notice_id])
    assert len({bytes(one.request) for one in passed(proxy, NOTICE)}) == 1, "the same words at each try"
    proxy.cut = None
    assert connect.flush().notices_pending == 0
    (consent,) = service.consents.values()
    assert (consent["status"], consent["epoch"], consent["fence"]) == ("given", 2, 1)
    assert len(service.withdrawals) == 1
    assert sent == len(service.positions) == consent["kept"] > 2
    assert {p["epoch"] for p in service.positions} == {2}
    print(f"notice: {len(before)} cuts of the request, {len(after)} of the answer")


@pytest.mark.fault(28)
@pytest.mark.once
def test_r5_registration_and_status_cut_at_every_byte_leave_a_grant_that_works(through, proxy, service):
    proxy.cut = Cut("request", 0)
    connect = granted(through())  # the service hears nothing of it
    courier, standing = connect._opened().courier.worker, connect._opened().standing

    def introduce() -> str:
        token = courier.call(lambda: standing.token(NAVIGATION, 1))
        courier.call(lambda: standing.ask_status(NAVIGATION, 1, token))
        return token

    counts = []
    for start in (b"PUT /v1/consents", b"GET /v1/consents"):
        proxy.cut = Cut("request", 0, match=start)
        with pytest.raises(TransportError):
            introduce()
        request = passed(proxy, start)[-1]
        before = cuts("request", len(request.request), 30, start)
        after = cuts("answer", len(proxy.replay(request)), 31, start)
        for cut in before + after:
            proxy.cut = cut
            # Where only the end of the line is missing, or less, the document is whole all the same.
            with suppress(TransportError):
                introduce()
        counts += [len(before), len(after)]
        assert len(service.consents) == 1
        if start.startswith(b"PUT"):
            proxy.cut = None
            introduce()
            standing._asked.clear()
    proxy.cut = None
    connect.submit(place(1))
    assert connect.flush().sent == 1
    (consent,) = service.consents.values()
    assert (consent["status"], consent["epoch"], consent["fence"], consent["kept"]) == ("given", 1, 0, 1)
    print(f"registration, status: {counts} cuts")


@pytest.mark.fault(28)
@pytest.mark.once
def test_r5_a_batch_cut_at_every_byte_arrives_once_each(through, proxy, service):
    clock = FakeClock(NOON)
    connect = granted(through(WEEK, clock=clock, settings={"outbox_ttl_s": 86_400}))
    submitted = 0

    def submit(count: int) -> None:
        nonlocal submitted
        for _ in range(count):
            submitted += 1
            assert connect.submit(place(submitted)).accepted

    def once_each() -> bool:
        there = [round((p["latitude"] - 50.0) * 1e4) for p in service.positions]
        return len(there) == len(set(there)) and set(there) <= set(range(1, submitted + 1))

    def attempt(cut: Cut | None) -> None:
        proxy.cut = cut
        clock.advance(61)
        with suppress(TransportError):
            connect.flush()
        assert once_each(), cut

    submit(2)
    attempt(Cut("request", 0, match=POSITIONS))
    whole = passed(proxy, POSITIONS)[-1]
    length = len(whole.request)
    answer = len(proxy.replay(whole))
    total = 0
    for way, size in (("request", length), ("answer", answer)):
        for seed, cut in enumerate(cuts(way, size, 32, POSITIONS)):
            if seed % 500 == 499:
                attempt(None)  # within the tries one batch is given
            if not len(connect._opened().store.box or ()):
                submit(2)
            attempt(cut)
            total += 1
    attempt(None)
    assert len(service.positions) == submitted, "each position arrived, and once"
    assert connect._opened().sender.stats.dropped == 0
    keys = {
        bytes(one.request)[one.request.lower().index(b"idempotency-key") :][:60] for one in passed(proxy, POSITIONS)
    }
    assert len(keys) <= submitted // 2, "one key for all tries of a batch"
    print(f"positions: {total} cuts of {length} and {answer} bytes, {submitted} positions")


@pytest.mark.fault(28, 33)
@pytest.mark.once
def test_r5_over_tls_cut_at_every_record_and_at_bytes_within(make, service, tmp_path):
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    clock = FakeClock(datetime.now(UTC))  # the service's own clock is told over TLS (R13)
    with (
        TlsFront(address_of(service.url), context) as front,
        CuttingProxy(front.address, readable=False) as proxy,
    ):
        settings = {
            "service_url": proxy.url.replace("http", "https"),
            "ca_bundle": str(tmp_path / "ca.pem"),
            "max_retries": 1000,
            "outbox_ttl_s": 86_400,
        }
        connect = granted(make(WEEK, clock=clock, settings=settings))
        connect.submit(place(0))
        assert connect.flush().sent == 1
        dice, tries, submitted, dropped, epoch = Random(33), 0, 1, 0, 1

        def attempt(cut: Cut | None) -> bool:
            """One flush over a new connection; whether it was cut."""
            nonlocal tries, submitted
            tries += 1
            clock.advance(61)
            if not len(connect._opened().store.box or ()):
                submitted += 1
                connect.submit(place(submitted))
            proxy.cut = cut
            proxy.drop()
            with suppress(TransportError):
                connect.flush()
            there = [p["latitude"] for p in service.positions]
            assert len(there) == len(set(there)) <= submitted
            effects = [w["epoch"] for w in service.withdrawals]
            assert effects in (list(range(1, epoch)), list(range(1, epoch - 1)))
            return proxy.exchanges[-1].cut

        for way in ("request", "answer"):
            for reset in (False, True):
                proxy.cut = Cut("request", 0, records=True)
                proxy.drop()
                report = connect.withdraw()
                assert report.complete
                dropped += report.dropped
                assert connect.request_permission(user_action=True).epoch == epoch + 1
                epoch += 1
                at = 0
                while attempt(Cut(way, at, reset, records=True)):
                    at += 1
                assert 3 <= at < 30, "a handshake and a request have a few records"
                within = Random(dice.random())
                for _ in range(60 if FULL else 6):
                    attempt(Cut(way, within.randrange(1, 3000), reset))
                attempt(None)
                eventually(lambda: connect.flush().notices_pending == 0)
        clock.advance(61)
        assert connect.flush().remaining == 0
        assert [w["epoch"] for w in service.withdrawals] == [1, 2, 3, 4]
        assert len(service.positions) >= submitted - dropped
        (consent,) = service.consents.values()
        assert (consent["status"], consent["epoch"], consent["fence"]) == ("given", 5, 4)
    print(f"tls: {tries} connections")


# -- a network that repeats what it carried ------------------------------------------------------


@pytest.mark.fault(27)
def test_r6_everything_said_under_an_old_grant_said_again_changes_nothing(through, proxy, service):
    connect = granted(through())
    connect.submit(place(1))
    assert connect.flush().sent == 1
    connect.withdraw()
    assert connect.wait_for_notices(10)
    assert connect.request_permission(user_action=True).epoch == 2
    connect.submit(place(2))
    assert connect.flush().sent == 1
    old = list(proxy.exchanges)

    def known() -> tuple:
        (consent,) = service.consents.values()
        arrived = [(p["epoch"], p["latitude"]) for p in service.positions]
        return consent["status"], consent["epoch"], consent["fence"], consent["kept"], arrived, len(service.withdrawals)

    before = known()
    assert before[:3] == ("given", 2, 1)
    dice = Random(27)
    for order in (old, old[::-1], dice.sample(old, len(old))):
        for exchange in order:
            proxy.replay(exchange)
            assert known() == before, bytes(exchange.request[:60])
    connect.submit(place(3))
    assert connect.flush().sent == 1, "a rotated token heals itself"


@pytest.mark.fault(27, 31)
@pytest.mark.parametrize("order", list(permutations((1, 2))), ids=["oldest first", "newest first"])
def test_r5_two_notices_of_two_epochs_arrive_in_any_order_and_a_third_grant_lives(through, proxy, service, order):
    connect = granted(through())
    proxy.cut = Cut("request", 200, match=NOTICE)
    for epoch in (1, 2):
        connect.submit(place(epoch))
        assert connect.flush().sent == 1
        assert connect.withdraw().complete
        assert connect.request_permission(user_action=True).epoch == epoch + 1
    assert [(n.epoch, n.awake) for n in connect._opened().state.ledger.notices()] == [(1, 1), (2, 1), (3, 0)]
    connect.submit(place(3))
    assert connect.flush().sent == 1, "no notice blocks a new grant"
    proxy.cut = Cut("request", 200, match=f'"epoch":{order[1]}'.encode() + b",")
    assert connect.flush().notices_pending == 1
    assert [w["epoch"] for w in service.withdrawals] == [order[0]]
    connect.submit(place(4))
    assert connect.flush().sent == 1
    proxy.cut = None
    assert connect.flush().notices_pending == 0
    assert [w["epoch"] for w in service.withdrawals] == list(order)
    connect.submit(place(5))
    assert connect.flush().sent == 1, "no old notice harms a new grant"
    (consent,) = service.consents.values()
    assert (consent["status"], consent["epoch"], consent["fence"], consent["kept"]) == ("given", 3, 2, 3)


# -- a service that says something else ----------------------------------------------------------


@pytest.mark.fault(31)
@pytest.mark.once
def test_r5_no_status_but_an_acknowledgement_ends_a_notice(make, service):
    connect = granted(make())
    service.fail(503, times=None, path="/withdrawals")
    connect.withdraw()
    said = 0
    for status in [*range(300, 308), *range(400, 452), *range(500, 512), 599]:
        service.clear_failures()
        service.fail(status, times=None, path="/withdrawals", retry_after=18_000 if status % 2 else None)
        assert connect.flush().notices_pending == 1, status
        said += 1
    assert service.withdrawals == []
    service.clear_failures()
    assert connect.flush().notices_pending == 0
    assert len(service.withdrawals) == 1 and said == 73


# -- days ----------------------------------------------------------------------------------------


@pytest.mark.fault(31)
@pytest.mark.once
def test_r5_days_of_5xx_are_tried_through_with_a_capped_backoff(make, service):
    clock = FakeClock(NOON)
    connect = granted(make(WEEK, clock=clock))
    service.fail(503, times=None, path="/withdrawals")
    connect.withdraw()
    courier = connect._opened().courier
    hours = 72 if FULL else 3
    for _ in range(hours * 120):
        clock.advance(30)
        assert courier.worker.call(lambda: courier.deliver(ignore_backoff=False)) == 1
    tried = sum(r["path"].endswith("/withdrawals") for r in service.requests)
    assert hours * 60 <= tried <= hours * 120 + 10, "between every 30 and every 60 s once the backoff is at its cap"
    assert connect.permission().reason is Reason.WITHDRAWN
    service.clear_failures()
    clock.advance(61)
    eventually(lambda: service.withdrawals)
    eventually(lambda: not courier.pending())
    assert len(service.withdrawals) == 1
    print(f"{hours} hours, {tried} tries")


@pytest.mark.fault(30)
def test_r5_429_with_hours_waits_them_through_and_holds_no_lock_meanwhile(make, service, program):
    clock = FakeClock(NOON)
    connect = granted(make(WEEK, clock=clock))
    service.fail(429, times=None, path="/v1/positions", retry_after=5 * 3600)
    connect.submit(place(1))
    report = connect.flush()
    assert report.sent == 0 and report.next_attempt_s > 3000
    service.fail(429, times=None, path="/withdrawals", retry_after=5 * 3600)
    other = program(r"""
from kalos_connect_sdk.storage.directory import StateDirectory
from kalos_connect_sdk.storage.locks import Barrier
with Barrier(StateDirectory.open("com.example.test", None, STATE, create=False)).exclusive(0.0) as lease:
    say(lease.held)  # at once: nobody waits with the lock in hand
c = make()
r = c.withdraw(timeout_s=5.0)
say(r.complete, r.durable, r.notice, r.holders)
hear()
""")
    assert other.hear() == "True"
    assert other.hear() == "True True pending ()"
    eventually(lambda: any(r["path"].endswith("/withdrawals") for r in service.requests))
    other.kill()
    assert connect.permission().reason is Reason.WITHDRAWN
    courier = connect._opened().courier
    assert connect.flush().notices_pending == 1
    before = len(service.requests)
    clock.advance(3590)
    for _ in range(20):
        courier.worker.call(lambda: courier.deliver(ignore_backoff=False))
    assert len(service.requests) == before, "not a request before its time"
    service.clear_failures()
    clock.advance(20)
    eventually(lambda: service.withdrawals)
    assert len(service.withdrawals) == 1


@pytest.mark.fault(32)
@pytest.mark.once
def test_r5_offline_through_processes_kills_and_a_process_without_any_network(make, service, program):
    connect = granted(make(WEEK))
    connect.submit(place(1))
    (row,) = connect._opened().state.ledger.notices()
    connect.close()
    service.stop()
    first = program("c = make(); r = c.withdraw(); say(r.complete, r.durable, r.notice); hear()")
    assert first.hear() == "True True pending"
    first.kill()  # kill -9, with the notice undelivered
    offline = r"""
c = make()
say(c.permission().reason.name, c.wait_for_notices(0.3))
c.close()
"""
    for _ in range(2):
        one = program(offline)
        assert one.hear() == "WITHDRAWN False"
        assert one.end()[0] == 0
    if subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode == 0:
        alone = program(offline, under=("unshare", "-n"))  # not even a loopback interface
        assert alone.hear() == "WITHDRAWN False"
        assert alone.end()[0] == 0
    service.start()
    assert service.withdrawals == []
    last = program("c = make(); say(c.wait_for_notices(20)); c.close()")
    assert last.hear() == "True"
    assert last.end()[0] == 0
    assert [(w["notice_id"], w["epoch"]) for w in service.withdrawals] == [(row.notice_id, 1)]
    assert service.positions == []


@pytest.mark.fault(32)
@pytest.mark.once
def test_r5_a_notice_waits_through_reboots_and_a_backoff_of_an_earlier_boot_holds_nobody_up(make, service, monkeypatch):
    monkeypatch.setattr(works, "_CLOSE_WAIT_S", 0.0)
    clock = FakeClock(NOON)
    connect = granted(make(WEEK, clock=clock))
    service.fail(429, times=None, path="/withdrawals", retry_after=3600)
    connect.withdraw()
    eventually(lambda: any(r["path"].endswith("/withdrawals") for r in service.requests))
    for _ in range(3):
        clock.advance(86_400)
        clock.reboot()
        assert connect.flush().notices_pending == 1
        connect.close()
        connect = make(WEEK, clock=clock)
        assert connect.permission().reason is Reason.WITHDRAWN
    service.clear_failures()
    clock.reboot()
    clock.advance(1)
    eventually(lambda: service.withdrawals)
    eventually(lambda: not connect._opened().courier.pending())
    assert len(service.withdrawals) == 1


class Trickle:
    """Batch after batch, each when the one before has arrived."""

    live = True

    def __init__(self, service, count: int) -> None:
        self._service, self._count = service, count

    def __iter__(self) -> Iterator[Position]:
        for number in range(self._count):
            yield place(number)
            assert self._service.wait_for(lambda s, n=number: len(s.positions) > n)

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.fault(30, 31)
def test_r5_a_drive_sends_on_and_leaves_a_waiting_notice_its_time(make, service):
    connect = granted(make(WEEK))
    service.fail(429, times=None, path="/withdrawals", retry_after=3600)
    connect.withdraw()
    assert service.wait_for(lambda s: any(r["path"].endswith("/withdrawals") for r in s.requests))
    assert connect.request_permission(user_action=True).epoch == 2
    with connect.drive(Trickle(service, 5)) as drive:
        assert drive.wait(30)
    assert len(service.positions) == 5
    assert sum(r["path"].endswith("/withdrawals") for r in service.requests) == 1, "it asked us to wait an hour"
    assert connect.flush().notices_pending == 1
