"""Whoever finds a way, there is one order: consent, barrier, flight, consent again, bytes, answer; and what a third party
may hear, from real servers in its place."""

from __future__ import annotations

import io
import json
import logging
import re
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from canaries import LATITUDE, LONGITUDE, Canaries, dump, position
from provider_stand_in import ProviderStandIn

from kalos_connect_sdk import (
    DEFAULT_NOTICE,
    AsyncConnect,
    Config,
    ConfigError,
    ConsentRequired,
    NoPosition,
    Place,
    Position,
    Precision,
    PromptAnswer,
    Purpose,
    Reason,
    Route,
    RouteQuestion,
    ServiceRefused,
    ServiceUnreachable,
)
from kalos_connect_sdk.core.wire import route_to_geojson
from kalos_connect_sdk.navigation import AMap, Osrm, Valhalla
from kalos_connect_sdk.protocol.rerouting import Rerouting
from kalos_connect_sdk.service.engine import StraightLine
from kalos_connect_sdk.storage.locks import Barrier
from kalos_connect_sdk.testing import FakeClock, FakeVehicle

HELSINKI, THERE = (60.1699, 24.9384), Place(60.1756, 24.9342)
BEIJING = (39.9042, 116.4074)
OPERATOR = "Maps Example Ltd."
NAMED = replace(DEFAULT_NOTICE, version="with maps", recipients=(*DEFAULT_NOTICE.recipients, OPERATOR))
KEY = "0123456789abcdef0123456789abcdef"
OSRM_WAY = json.dumps(
    {
        "code": "Ok",
        "routes": [
            {
                "distance": 100,
                "duration": 10,
                "legs": [
                    {
                        "steps": [
                            {
                                "geometry": "_sdpA_chjLAA", "distance": 100, "duration": 10, "name": "", "mode": "driving",
                                "maneuver": {"type": "depart"},
                            }
                        ]
                    }
                ],
            }
        ],
    }
).encode()  # fmt: skip


def way(asked) -> tuple[int, bytes]:
    return 200, OSRM_WAY


@pytest.fixture
def here():
    """A provider on this device."""
    with ProviderStandIn(way) as stand_in:
        yield stand_in


@pytest.fixture
def elsewhere(tls):
    """A provider that is not: it has a name, and a certificate for it."""
    with ProviderStandIn(way, tls=tls) as stand_in:
        yield stand_in


@pytest.fixture
def granted(make, ca_bundle):
    def begin(*answers, at=HELSINKI, settings=None, **options):
        connect = make(*answers, settings={"ca_bundle": ca_bundle, **(settings or {})}, **options)
        assert connect.request_permission(user_action=True).granted
        if at is not None:
            assert connect.submit(Position(*at)).accepted
        return connect

    return begin


def routes(service) -> list[dict]:
    return [request for request in service.requests if request["path"] == "/v1/routes"]


# -- one door, whoever answers -------------------------------------------------------------------


def test_r2_a_chosen_provider_is_asked_instead_of_the_service(granted, here, service):
    connect = granted(navigation=Osrm(here.url))
    assert connect.route(THERE).manoeuvres[0].kind == "depart"
    assert connect.route(THERE, origin=Place(*HELSINKI)).line
    assert len(here.asked) == 2 and routes(service) == []
    assert "60.169900" in here.asked[0].target, "OSRM wants it in the path"


def test_without_a_choice_the_service_is_asked(granted, here, service):
    connect = granted()
    assert isinstance(connect.route(THERE), Route)
    (asked,) = routes(service)
    assert asked["headers"]["authorization"].startswith("Bearer ") and here.asked == []


@pytest.mark.once
@pytest.mark.parametrize("kind", ["osrm", "osrm with a post", "valhalla", "amap"])
def test_r10_a_third_party_hears_two_places_and_nothing_else(granted, here, service, kind):
    provider = {
        "osrm": Osrm(here.url),
        "osrm with a post": Osrm(here.url, post=True),
        "valhalla": Valhalla(here.url),
        "amap": AMap(KEY, url=here.url),
    }[kind]
    connect = granted(navigation=provider)
    state = connect._opened().state
    for origin in (None, Place(*HELSINKI)):
        try:
            connect.route(THERE, origin=origin)
        except ServiceUnreachable:
            pass  # it answers as OSRM does, whoever is asked
    record_id = state.snapshot.record_ids[Purpose.NAVIGATION]
    connect.flush()
    token = state.secret.tokens[record_id]
    assert len(here.asked) == 2
    for asked in here.asked:
        said = f"{asked.target} {asked.headers} {asked.body.decode()}"
        assert record_id not in said and token not in said
        assert not re.search("consent|epoch|cookie|traceparent|authorization", said, re.IGNORECASE)
        assert set(asked.headers) <= {"host", "user-agent", "accept", "content-type", "content-length"}
        assert asked.headers["user-agent"].startswith("kalos-connect-sdk/")


def test_r19_between_typed_places_nobody_is_asked_for_consent(make, elsewhere, ca_bundle):
    provider = Osrm(elsewhere.url, recipient="nobody that a notice names")
    connect = make(PromptAnswer.deny(), navigation=provider, settings={"ca_bundle": ca_bundle})
    connect.request_permission(user_action=True)
    assert connect.route(THERE, origin=Place(*BEIJING)).line
    assert len(elsewhere.asked) == 1


def test_r19_a_provider_needs_no_service(make, here):
    connect = make(navigation=Osrm(here.url), settings={"service_url": None})
    assert connect.route(THERE, origin=Place(*HELSINKI)).line


def test_a_route_from_here_needs_a_position_and_a_precise_grant(granted, here):
    with pytest.raises(NoPosition):
        granted(at=None, navigation=Osrm(here.url)).route(THERE)
    connect = granted(PromptAnswer.allow(precision=Precision.APPROXIMATE), navigation=Osrm(here.url))
    connect.request_permission(precision=Precision.APPROXIMATE)
    with pytest.raises(ConsentRequired) as caught:
        connect.route(THERE)
    assert caught.value.reason is Reason.PRECISION and here.asked == []


def test_r2_without_consent_a_provider_hears_nothing(make, here):
    connect = make(navigation=Osrm(here.url))
    with pytest.raises(ConsentRequired) as caught:
        connect.route(THERE)
    assert caught.value.reason is Reason.NOT_ASKED and here.asked == []


async def _asynchronously(make_options, there) -> Route:
    async with AsyncConnect("com.example.test", **make_options) as connect:
        return await connect.route(there, origin=Place(*HELSINKI))


def test_the_same_for_asyncio(here, tmp_path):
    import asyncio

    options = {"config": Config(state_dir=tmp_path, vault="memory"), "navigation": Osrm(here.url)}
    assert asyncio.run(_asynchronously(options, THERE)).line


# -- R3: a withdrawal cuts it --------------------------------------------------------------------


class Background:
    """A call on a thread of its own, and what became of it."""

    def __init__(self, call) -> None:
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(call,))
        self._thread.start()

    def _run(self, call) -> None:
        try:
            call()
        except BaseException as error:
            self.error = error

    def outcome(self) -> BaseException | None:
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self.error


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_r3_withdrawing_cuts_a_question_to_a_provider_that_stalls(granted, here, elsewhere, where):
    stand_in = {"here": here, "elsewhere": elsewhere}[where]
    stand_in.stall = True
    connect = granted(navigation=Osrm(stand_in.url, recipient=OPERATOR), notice=NAMED)
    asking = Background(lambda: connect.route(THERE))
    assert stand_in.wait_for_a_question()
    report = connect.withdraw()
    assert report.complete and report.aborted == 1
    assert report.possibly_delivered == 1, "a place in the path of a GET counts as one in a body"
    error = asking.outcome()
    assert isinstance(error, ConsentRequired) and error.reason is Reason.WITHDRAWN
    with pytest.raises(ConsentRequired):
        connect.route(THERE)
    assert len(stand_in.asked) == 1, "nothing after withdraw()"
    stand_in.let_go()
    assert connect.route(THERE, origin=Place(*HELSINKI)).line, "between typed places it goes on (R19)"


def test_r3_a_question_that_waits_for_its_turn_hears_of_a_withdrawal(granted, here):
    connect = granted(navigation=Osrm(here.url))
    worker, busy, go = connect._opened().sender.worker, threading.Event(), threading.Event()
    worker.post(lambda: (busy.set(), go.wait(30)))
    assert busy.wait(30)
    asking = Background(lambda: connect.route(THERE))
    deadline, pause = time.monotonic() + 30, threading.Event()
    while worker._jobs.empty():
        assert time.monotonic() < deadline, "it does not wait for its turn"
        pause.wait(0.01)
    assert connect.withdraw().complete
    go.set()
    error = asking.outcome()
    assert isinstance(error, ConsentRequired) and here.asked == []


def test_r2_consent_is_read_again_under_the_barrier(granted, here, monkeypatch):
    """The driver's privacy switch goes on between the gate's first yes and the bytes."""
    vehicle = FakeVehicle()
    connect = granted(navigation=Osrm(here.url), vehicle=vehicle)
    taking = Barrier.shared

    def late(self, *args, **options):
        vehicle.set(privacy=True)
        return taking(self, *args, **options)

    monkeypatch.setattr(Barrier, "shared", late)
    with pytest.raises(ConsentRequired) as caught:
        connect.route(THERE)
    assert caught.value.reason in (Reason.VEHICLE_PRIVACY, Reason.WITHDRAWN, Reason.REVOKED)
    assert here.asked == []


# -- R14: a recipient is named -------------------------------------------------------------------


def test_r14_whom_the_notice_does_not_name_gets_no_position(granted, elsewhere):
    connect = granted(navigation=Osrm(elsewhere.url, recipient=OPERATOR))
    with pytest.raises(ConsentRequired) as caught:
        connect.route(THERE)
    assert caught.value.reason is Reason.RECIPIENT_NOT_NAMED
    assert elsewhere.asked == [] and connect.permission().granted, "the grant itself stands"


def test_r14_whom_it_names_does(granted, elsewhere):
    connect = granted(navigation=Osrm(elsewhere.url, recipient=OPERATOR), notice=NAMED)
    assert connect.route(THERE).line and len(elsewhere.asked) == 1
    names = [who.get("dpv:hasName") for who in connect.receipts()[0]["dpv:hasProcess"][0]["dpv:hasRecipient"]]
    assert OPERATOR in names, "and the receipt says so"


def test_r14_naming_one_more_recipient_asks_again(granted, make, elsewhere, ca_bundle):
    granted().close()
    provider = Osrm(elsewhere.url, recipient=OPERATOR)
    connect = make(navigation=provider, notice=NAMED, settings={"ca_bundle": ca_bundle})
    assert connect.permission().reason is Reason.NOTICE_CHANGED, "the old grant did not cover it"
    with pytest.raises(ConsentRequired) as caught:
        connect.route(THERE)
    assert caught.value.reason is Reason.NOTICE_CHANGED and elsewhere.asked == []
    assert connect.request_permission(user_action=True).granted
    assert connect.submit(Position(*HELSINKI)).accepted
    assert connect.route(THERE).line


def test_r14_a_literal_loopback_address_is_this_device(granted, here):
    assert granted(navigation=Osrm(here.url, recipient=OPERATOR)).route(THERE).line


# -- R16: the border -----------------------------------------------------------------------------


def test_r16_a_position_in_mainland_china_goes_to_no_provider_abroad(granted, elsewhere):
    connect = granted(at=BEIJING, navigation=Osrm(elsewhere.url, recipient=OPERATOR, region="SG"), notice=NAMED)
    with pytest.raises(ConsentRequired) as caught:
        connect.route(THERE)
    assert caught.value.reason is Reason.CROSS_BORDER
    assert connect.request_permission(Purpose.CROSS_BORDER_TRANSFER, user_action=True).granted
    with pytest.raises(ConsentRequired) as caught:
        connect.route(THERE)
    assert caught.value.reason is Reason.CROSS_BORDER, "that grant is for the Connect service alone"
    assert elsewhere.asked == []


@pytest.mark.parametrize("region", ["CN", "cn"])
def test_r16_it_goes_to_one_at_home(granted, elsewhere, region):
    connect = granted(at=BEIJING, navigation=Osrm(elsewhere.url, recipient=OPERATOR, region=region), notice=NAMED)
    assert connect.route(THERE).line


def test_r16_and_to_one_on_this_device(granted, here):
    assert granted(at=BEIJING, navigation=Osrm(here.url)).route(THERE).line


def test_r16_whose_country_is_not_known_is_abroad(granted, elsewhere):
    connect = granted(at=BEIJING, navigation=Osrm(elsewhere.url, recipient=OPERATOR), notice=NAMED)
    with pytest.raises(ConsentRequired) as caught:
        connect.route(THERE)
    assert caught.value.reason is Reason.CROSS_BORDER and elsewhere.asked == []


# -- what a third party may not do ---------------------------------------------------------------


@pytest.mark.once
@pytest.mark.parametrize("status", [401, 403, 409, 410, 422, 500, 301])
def test_a_third_partys_no_ends_no_grant(granted, elsewhere, service, status):
    body = b'{"type": "https://kalos-connect.invalid/problems/consent-withdrawn", "status": 410, "code": "x"}'
    elsewhere.reply = lambda asked: (status, body)
    connect = granted(navigation=Osrm(elsewhere.url, recipient=OPERATOR), notice=NAMED)
    with pytest.raises(ServiceRefused) as caught:
        connect.route(THERE)
    assert caught.value.problem["status"] == status and caught.value.problem["type"].endswith("/provider-refused")
    assert len(elsewhere.asked) == 1 and connect.permission().granted


def test_r13_a_third_party_sets_no_clock(make, elsewhere, ca_bundle, monkeypatch):
    """Its certificate is as good as the service's; its date is not believed all the same."""
    heard: list[float] = []
    clock = FakeClock(datetime(2027, 5, 4, tzinfo=UTC))
    connect = make(navigation=Osrm(elsewhere.url, recipient="x"), clock=clock, settings={"ca_bundle": ca_bundle})
    monkeypatch.setattr(connect._opened().link, "_on_date", heard.append)
    assert connect.route(THERE, origin=Place(*HELSINKI)).line
    assert heard == []
    with ProviderStandIn(lambda asked: (200, json.dumps(route_to_geojson(LINE)).encode()), tls=elsewhere.tls) as ours:
        again = make(settings={"ca_bundle": ca_bundle, "service_url": ours.url})
        monkeypatch.setattr(again._opened().link, "_on_date", heard.append)
        assert again.route(THERE, origin=Place(*HELSINKI)).line
    assert len(heard) == 1, "the service's is"


LINE = StraightLine().route(Place(*HELSINKI), THERE, "en")


class Odd:
    """A provider of an app's own, with whatever it asks and reads."""

    recipient, region = "", None

    def __init__(self, url, question=None, answer=None) -> None:
        self.url, self._question, self._answer = url, question, answer

    def question(self, origin, to, locale):
        return RouteQuestion("GET", self.url + "/way") if self._question is None else self._question(self.url)

    def answer(self, status, headers, body, locale):
        return LINE if self._answer is None else self._answer(body)


@pytest.mark.once
@pytest.mark.parametrize(
    "question",
    [
        lambda url: RouteQuestion("GET", "http://127.0.0.1:1/way"),
        lambda url: RouteQuestion("GET", url + ".evil.example/way"),
        lambda url: RouteQuestion("GET", url.replace("http://", "http://user@") + "/way"),
        lambda url: RouteQuestion("GET", url + "@evil.example/way"),
        lambda url: RouteQuestion("GET", url + "/a way"),
        lambda url: RouteQuestion("GET", url + "/w\u00e4y"),
        lambda url: RouteQuestion("GET", url + "/way\r\nX: y"),
        lambda url: RouteQuestion("PUT", url + "/way"),
        lambda url: RouteQuestion("GET", url),
        lambda url: url + "/way",
        lambda url: None,
    ],
)
@pytest.mark.parametrize("origin", [None, Place(*HELSINKI)])
def test_r2_a_question_to_anyone_else_is_not_sent(granted, here, question, origin):
    connect = granted(navigation=Odd(here.url, question))
    with pytest.raises(ConfigError, match="its own origin"):
        connect.route(THERE, origin=origin)
    assert here.asked == []


def test_a_provider_of_ones_own_is_asked_and_read(granted, here):
    assert granted(navigation=Odd(here.url)).route(THERE) == LINE
    assert here.asked[0].target == "/way"


@pytest.mark.parametrize(
    "answer", [lambda body: None, lambda body: json.loads(body)["no such member"], lambda body: 1 / 0]
)
def test_r10_what_a_provider_of_ones_own_cannot_read_is_an_unreadable_answer(granted, here, answer):
    connect = granted(navigation=Odd(here.url, answer=answer))
    with pytest.raises(ServiceUnreachable, match="unreadable answer") as caught:
        connect.route(THERE)
    assert caught.value.__context__ is None and caught.value.__cause__ is None


# -- R10: nothing in the margins -----------------------------------------------------------------


@pytest.fixture
def logged():
    """Everything any library logs, at DEBUG."""
    stream, root = io.StringIO(), logging.getLogger()
    handler, before = logging.StreamHandler(stream), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.setLevel(before)
    root.removeHandler(handler)


TARGET = (84.6153842907, 131.9472615383)
ANSWERS = {
    "a way": (200, OSRM_WAY),
    "garbage": (200, b"<html>84.6153842907"),
    "another shape": (200, b'{"routes": [{"legs": "83.4729184653,117.6283947216"}]}'),
    "a no": (400, b'{"code": "InvalidQuery", "message": "83.4729184653,117.6283947216"}'),
    "no way": (400, b'{"code": "NoRoute", "message": "83.4729184653,117.6283947216"}'),
    "a redirect": (302, b""),
}


@pytest.mark.once
@pytest.mark.fault(48)
@pytest.mark.parametrize("said", ANSWERS)
@pytest.mark.parametrize("kind", ["osrm", "valhalla", "amap"])
def test_r10_no_log_and_no_error_holds_what_a_provider_is_asked(granted, here, elsewhere, logged, kind, said):
    """OSRM's path holds both places; at DEBUG the HTTP library would log it."""
    canaries = Canaries(
        position(LATITUDE, LONGITUDE, "origin"), position(*TARGET, "destination"), [("key", KEY.encode())]
    )
    for stand_in in (here, elsewhere):
        stand_in.reply = lambda asked: ANSWERS[said]
        provider = {
            "osrm": Osrm(stand_in.url, recipient=OPERATOR),
            "valhalla": Valhalla(stand_in.url, recipient=OPERATOR),
            "amap": AMap(KEY, url=stand_in.url, recipient=OPERATOR),
        }[kind]
        connect = granted(at=(LATITUDE, LONGITUDE), navigation=provider, notice=NAMED)
        for origin in (None, Place(LATITUDE, LONGITUDE)):
            told: dict[str, bytes] = {}
            try:
                connect.route(Place(*TARGET), origin=origin)
            except Exception as error:
                told = dump(error, __file__)
            assert {where: found for where, text in told.items() if (found := canaries.found_in(text))} == {}
        heard = "".join(asked.target + asked.body.decode() for asked in stand_in.asked)
        assert len(stand_in.asked) == 2 and canaries.found_in(heard), "it was told, so there was something to log"
        connect.close()
    assert "GET / " in logged.getvalue() or kind != "osrm", "the library did log the request"
    assert canaries.found_in(logged.getvalue()) == []


def test_r10_nor_when_nobody_answers(granted, logged):
    canaries = Canaries(position(LATITUDE, LONGITUDE, "origin"), position(*TARGET, "destination"))
    connect = granted(at=(LATITUDE, LONGITUDE), navigation=Osrm("http://127.0.0.1:9"))
    with pytest.raises(ServiceUnreachable) as caught:
        connect.route(Place(*TARGET))
    told = dump(caught.value, __file__)
    assert [name for text in told.values() for name in canaries.found_in(text)] == []
    assert canaries.found_in(logged.getvalue()) == []


# -- doctor --------------------------------------------------------------------------------------


def test_doctor_says_who_finds_the_way(make, granted, here):
    def row(connect) -> dict | None:
        return next((row for row in connect.doctor() if row["name"] == "navigation"), None)

    assert row(make()) is None, "the service has a row of its own"
    assert row(make(navigation=Osrm(here.url)))["ok"]
    amap = row(make(navigation=AMap(KEY)))
    assert not amap["ok"] and "recipients" in amap["advice"] and "region CN" in amap["detail"]
    assert KEY not in str(amap)
    named = replace(DEFAULT_NOTICE, version="with AMap", recipients=(*DEFAULT_NOTICE.recipients, AMap.RECIPIENT))
    assert row(make(navigation=AMap(KEY), notice=named))["ok"]


# -- on the way ----------------------------------------------------------------------------------


def test_r14_a_new_route_on_the_way_is_asked_of_the_same_provider_under_the_same_rules(granted, here, elsewhere):
    """What guidance asks when a route was left (``protocol.rerouting``)."""
    connect = granted(navigation=Osrm(here.url))
    old = connect.route(THERE)
    new = Rerouting(connect._opened()).begin(Position(60.18, 24.95), old).get(30)
    assert new.line and "24.950000,60.180000" in here.asked[1].target
    connect.close()
    stranger = granted(navigation=Osrm(elsewhere.url, recipient=OPERATOR))
    with pytest.raises(ConsentRequired) as caught:
        Rerouting(stranger._opened()).begin(Position(60.18, 24.95), old).get(30)
    assert caught.value.reason is Reason.RECIPIENT_NOT_NAMED and elsewhere.asked == []
