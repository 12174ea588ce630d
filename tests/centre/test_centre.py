"""The consent centre in real Chromium: what is shared, stopped in one tap at any speed, rights when parked (R11, R12)."""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from kalos_connect_sdk import DriveOutcome, DriveReview, HourOfUse, Outcome, Position, PromptAnswer, Purpose
from kalos_connect_sdk.centre import ConsentCentre
from kalos_connect_sdk.centre.review import review_document, sentence
from kalos_connect_sdk.centre.state import strip
from kalos_connect_sdk.centre.words import review_words
from kalos_connect_sdk.model.vehicle import OsAnswer
from kalos_connect_sdk.prompts.catalogue import DRAFTS
from kalos_connect_sdk.prompts.web.server import _Listener as PageListener
from kalos_connect_sdk.testing import FakeVehicle

SCREENS = {"head-unit": (800, 480), "wide": (1280, 720), "very-wide": (1920, 720), "phone": (390, 844)}


def here() -> Position:
    """A position of now: a suite may run for longer than one is worth sending."""
    return Position(60.169857, 24.938379)


class Reader:
    """One opened link, spoken to without a browser."""

    def __init__(self, link: str) -> None:
        self.parts = urlsplit(link)
        self.origin = f"http://{self.parts.netloc}"
        self.document = self.call("GET", self.parts.path)[1]
        self.key = re.search(r'data-key="([^"]+)"', self.document)[1]

    def call(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self.parts.hostname or "", self.parts.port, timeout=40)
        connection.request(method, path, body, headers)
        reply = connection.getresponse()
        found = reply.status, reply.read().decode()
        connection.close()
        return found

    def post(self, path: str, **fields: str) -> Any:
        headers = {"Origin": self.origin, "X-Kalos-Key": self.key}
        status, text = self.call("POST", path, urlencode(fields).encode(), **headers)
        assert status == 200, text
        return json.loads(text)


class OsAnswers:
    """An operating system that answers what it is told to."""

    def __init__(self) -> None:
        self.answer = OsAnswer.GRANTED

    def read(self) -> OsAnswer:
        return self.answer

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        return lambda: None


@pytest.fixture
def centre(make: Callable[..., Any]) -> Iterator[Callable[..., tuple[Any, ConsentCentre]]]:
    made: list[ConsentCentre] = []

    def open_one(*answers: PromptAnswer, locale: str = "en", **options: Any) -> tuple[Any, ConsentCentre]:
        connect = make(*answers, **options)
        made.append(ConsentCentre(connect, locale=locale))
        return connect, made[-1]

    yield open_one
    for each in made:
        each.close()


def drive_a_bit(connect: Any) -> None:
    assert connect.request_permission(user_action=True).granted
    connect.submit(here())
    assert connect.flush().sent == 1


# -- without a browser ---------------------------------------------------------------------------


def test_r11_stopping_is_one_request_and_works_while_driving(centre, service):
    vehicle = FakeVehicle()
    connect, page = centre(vehicle=vehicle)
    drive_a_bit(connect)
    vehicle.move(20.0)
    reader = Reader(page.link())
    state = reader.post("/state")
    assert state["on"] and not state["parked"] and state["reading"] is None, "nothing to read while driving"
    assert reader.post("/stop")["said"].startswith("Stopped.")
    assert not connect.permission().granted
    assert not reader.post("/state", seen=state["tag"])["on"]


def test_r12_rights_and_copies_wait_until_parked(centre):
    vehicle = FakeVehicle()
    connect, page = centre(vehicle=vehicle)
    drive_a_bit(connect)
    vehicle.move(20.0)
    reader = Reader(page.link())
    assert reader.post("/copy") == {}
    reader.post("/explain")
    assert connect.privacy.requests() == []
    vehicle.park()
    assert reader.post("/copy")["receipts"]
    reader.post("/explain")
    assert len(connect.privacy.requests()) == 1


def drive_and_stop(connect: Any, vehicle: FakeVehicle) -> None:
    """On the way the person stops sharing, then two questions are put off."""
    drive_a_bit(connect)
    vehicle.move(20.0)
    assert connect.permission().granted  # heard, whatever the watcher is at
    connect.withdraw()
    for _ in range(2):
        connect.request_permission(user_action=True)


def test_r12_the_review_after_a_drive_is_shown_once_parked_until_it_was_read(centre):
    vehicle = FakeVehicle()
    connect, page = centre(vehicle=vehicle)
    drive_and_stop(connect, vehicle)
    reader = Reader(page.link())
    assert reader.post("/state")["reading"] is None
    vehicle.park()
    state = reader.post("/state")
    review = state["reading"]["review"]
    assert [line["told"] for line in review["lines"]] == [
        "A question about your location was put off. (2 times)",
        "Sharing your location was stopped.",
    ]
    vehicle.move(5.0)
    reader.post("/seen", upto=review["upto"])
    vehicle.park()
    assert reader.post("/state")["reading"]["review"] == review, "nobody reads while driving"
    reader.post("/seen", upto="nothing of ours")
    reader.post("/seen")
    assert reader.post("/state")["reading"]["review"] == review
    reader.post("/seen", upto=review["upto"])
    assert reader.post("/state")["reading"]["review"]["lines"] == []
    assert not connect.drive_review()


@pytest.mark.parametrize("tag", ["en", "zh-CN", *DRAFTS])
def test_every_outcome_has_a_sentence_of_its_own_in_every_language(tag):
    words, at = review_words(tag), datetime(2026, 11, 24, 12, tzinfo=UTC)
    told = {
        sentence(DriveOutcome(outcome, purpose, None, by, at, at, times), words)
        for outcome in Outcome
        for purpose in Purpose
        for by in (("subject", "service", "os", "vehicle", "profile") if outcome is Outcome.REVOKED else ("subject",))
        for times in (1, 3)
    }
    assert len(told) == (len(Outcome) + 4) * len(Purpose) * 2


def test_an_outcome_that_repeats_says_from_when_to_when():
    first = datetime(2026, 11, 24, 12, tzinfo=UTC)
    last = first + timedelta(hours=1)
    line = DriveOutcome(Outcome.DEFERRED, Purpose.NAVIGATION, None, "vehicle", first, last, 9)
    [told] = review_document(DriveReview((line,), "ab"), review_words("en"))["lines"]
    assert told["when"] == f"{first.astimezone():%Y-%m-%d %H:%M} - {last.astimezone():%Y-%m-%d %H:%M}"


def test_a_change_made_elsewhere_is_told_at_once(centre, make):
    connect, page = centre()
    drive_a_bit(connect)
    reader = Reader(page.link())
    state = reader.post("/state")
    told: list[Any] = []
    waiting = threading.Thread(target=lambda: told.append(reader.post("/state", seen=state["tag"])))
    waiting.start()
    make().withdraw()
    waiting.join(30)
    assert told and not told[0]["on"]


def test_r10_nothing_it_serves_holds_a_coordinate_or_a_key(centre, tmp_path):
    connect, page = centre()
    drive_a_bit(connect)
    reader = Reader(page.link())
    served = reader.document + json.dumps(reader.post("/state")) + json.dumps(reader.post("/copy"))
    assert not [canary for canary in ("60.16985", "24.93837", "169857") if canary in served]


def test_a_state_that_cannot_be_read_still_shows_that_it_is_off(centre, make, tmp_path):
    first = make()
    drive_a_bit(first)
    path = first.state_path / "ledger.db"
    first.close()
    path.write_bytes(b"x" * 4096)
    _, page = centre()
    reader = Reader(page.link())
    state = reader.post("/state")
    assert not state["on"] and "cannot be used" in state["told"] and state["reading"] is None
    assert state["stop"], "R11: in any state"
    reader.post("/stop")


def test_r11_a_grant_behind_a_no_of_the_system_can_be_stopped(centre):
    permission = OsAnswers()
    connect, page = centre(os_permission=permission)
    drive_a_bit(connect)
    reader = Reader(page.link())
    assert reader.post("/state")["stop"]
    permission.answer = OsAnswer.UNKNOWN
    state = reader.post("/state")
    assert not state["on"] and state["stop"]
    assert reader.post("/stop")["said"].startswith("Stopped.")
    permission.answer = OsAnswer.GRANTED
    assert not reader.post("/state")["stop"]
    assert not connect.permission().granted


def test_r11_a_state_that_cannot_be_opened_can_be_stopped(centre, make):
    first = make()
    drive_a_bit(first)
    path = first.state_path / "barrier"
    _, page = centre()
    path.unlink()
    path.mkdir()
    reader = Reader(page.link())
    state = reader.post("/state")
    assert state["stop"] and not state["on"] and not state["parked"]
    reader.post("/stop")
    assert not first.permission().granted


def test_each_link_is_one_reader_and_closing_ends_them_all(centre):
    _, page = centre()
    first, second = Reader(page.link()), Reader(page.link())
    assert first.key != second.key
    assert first.call("GET", first.parts.path)[0] == 410
    page.close()
    with pytest.raises(OSError):
        first.post("/state")


def test_a_page_that_asks_while_its_program_ends_finds_nobody(centre, monkeypatch):
    """Between the end of the page and the end of the listener: no refusal, which a browser would complain about."""
    _, page = centre()
    reader = Reader(page.link())
    stop, asked = PageListener.shutdown, []

    def shutdown(listener: PageListener) -> None:
        with pytest.raises(http.client.RemoteDisconnected):
            reader.call("POST", "/state", Origin=reader.origin, **{"X-Kalos-Key": reader.key})
        asked.append(True)
        stop(listener)

    monkeypatch.setattr(PageListener, "shutdown", shutdown)
    page.close()
    assert asked == [True]


@pytest.mark.parametrize("path", ["/stop", "/delete", "/ask", "/state", "/copy", "/seen", "/nothing"])
def test_without_the_key_nothing_happens(centre, path):
    connect, page = centre()
    drive_a_bit(connect)
    reader = Reader(page.link())
    assert reader.call("POST", path, Origin=reader.origin)[0] in (403, 404)
    assert reader.call("POST", path, **{"X-Kalos-Key": reader.key})[0] == 403, "no Origin: not our page"
    assert reader.call("GET", path, **{"X-Kalos-Key": reader.key})[0] == 404
    assert connect.permission().granted


def test_strips_count_the_past_day_and_week():
    now = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
    hours = [now.replace(minute=0) - timedelta(hours=back) for back in (0, 1, 23, 24, 25, 167, 168)]
    use = [HourOfUse(hour, Purpose.NAVIGATION, 1) for hour in hours]
    day, week = strip(use, now, 24, timedelta(hours=1)), strip(use, now, 7, timedelta(days=1))
    assert (day[-1], day[-2], day[0], sum(day)) == (1, 1, 1, 3)
    assert (week[-1], week[-2], week[0], sum(week)) == (3, 2, 1, 6)


def test_a_theme_that_is_none_is_refused(make):
    with pytest.raises(ValueError, match="theme"):
        ConsentCentre(make(), theme="dusk")


# -- in Chromium ---------------------------------------------------------------------------------


@pytest.fixture
def show(browser: Any) -> Iterator[Callable[..., Any]]:
    pages, complaints = [], []

    def open_page(centre: ConsentCentre, screen: str = "wide") -> Any:
        width, height = SCREENS[screen]
        page = browser.new_page(viewport={"width": width, "height": height}, accept_downloads=True)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(centre.link())
        page.wait_for_selector("#told:not(:empty)")
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert not [said for said in complaints if "net::ERR_" not in said]  # where the program ends first


@pytest.mark.once
@pytest.mark.parametrize("screen", SCREENS)
def test_r11_one_tap_stops_on_every_screen(centre, show, screen):
    connect, opened = centre()
    drive_a_bit(connect)
    page = show(opened, screen)
    box = page.locator("#stop").bounding_box()
    width, height = SCREENS[screen]
    assert box["y"] + box["height"] <= height and box["height"] >= 76 and box["width"] >= 76
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.click("#stop")
    page.wait_for_selector("body:not(.on)")
    assert page.get_by_text("Stopped. Nothing precise leaves this device any more").is_visible()
    assert not connect.permission().granted


@pytest.mark.once
def test_the_keyboard_alone_stops(centre, show):
    connect, opened = centre()
    drive_a_bit(connect)
    page = show(opened)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "stop"
    page.keyboard.press("Enter")
    page.wait_for_selector("body:not(.on)")
    assert not connect.permission().granted


@pytest.mark.once
def test_a_person_reads_what_was_sent_and_asks_for_deletion(centre, show, service):
    connect, opened = centre()
    drive_a_bit(connect)
    page = show(opened)
    page.wait_for_selector("#receipts li")
    assert page.get_by_role("img", name="Sent in the last 24 hours: navigation: 1 positions").is_visible()
    assert page.locator("#day rect").count() == 1
    assert "navigation · Precise · agreed" in page.inner_text("#receipts")
    with page.expect_download() as saved:
        page.click("#copy")
    copy = json.loads(Path(saved.value.path()).read_text("utf-8"))
    assert copy["receipts"] and copy["use"]
    page.click("#delete")
    page.wait_for_selector("#requests li")
    page.wait_for_selector("body:not(.on)")
    assert "Deletion" in page.inner_text("#requests")
    assert service.wait_for(lambda seen: seen.cases)


@pytest.mark.once
def test_asking_again_is_the_persons_own_act(centre, show):
    connect, opened = centre()
    drive_a_bit(connect)
    page = show(opened)
    page.click("#stop")
    page.wait_for_selector("#ask:not([hidden])")
    page.click("#ask")
    page.wait_for_selector("body.on")
    assert connect.permission().granted


@pytest.mark.once
def test_driving_hides_what_has_to_be_read(centre, show):
    vehicle = FakeVehicle()
    connect, opened = centre(vehicle=vehicle)
    drive_a_bit(connect)
    page = show(opened)
    page.wait_for_selector("#reading:not([hidden])")
    vehicle.move(15.0)
    page.wait_for_selector("#reading", state="hidden")
    assert page.locator("#stop").is_visible() and page.get_by_text("The rest is shown when parked.").is_visible()


@pytest.mark.once
def test_r12_a_person_reads_the_review_once_parked_and_says_so(centre, show):
    vehicle = FakeVehicle()
    connect, opened = centre(vehicle=vehicle, locale="zh-CN")
    drive_and_stop(connect, vehicle)
    page = show(opened, "head-unit")
    assert page.locator("#review").is_hidden()
    vehicle.park()
    page.wait_for_selector("#review:not([hidden])")
    assert page.locator("#outcomes li").count() == 2
    assert "已停止共享您的位置。" in page.inner_text("#outcomes")
    box = page.locator("#seen").bounding_box()
    assert box["height"] >= 76 and box["width"] >= 76
    page.focus("#seen")
    page.keyboard.press("Enter")
    page.wait_for_selector("#review", state="hidden")
    assert page.locator("#reading").is_visible() and not connect.drive_review()


@pytest.mark.once
def test_it_speaks_chinese(centre, show):
    connect, opened = centre(locale="zh-CN")
    drive_a_bit(connect)
    page = show(opened)
    page.wait_for_selector("#receipts li")
    assert page.locator("#stop").inner_text() == "停止共享我的位置"
    assert page.evaluate("document.documentElement.lang") == "zh-CN"


@pytest.mark.once
def test_when_its_program_ends_the_page_says_so(centre, show):
    _, opened = centre()
    page = show(opened)
    opened.close()
    page.locator(
        "#said", has_text="no longer connected"
    ).wait_for()  # a function would be evaluated: the page forbids it
    assert page.locator("#ask").is_disabled()
