"""The prompt's page in real Chromium: reachable, readable, alike; measured in the page, not assumed (R12)."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from web_questions import Question, request_in

from kalos_connect_sdk import Duration, PermissionState, Precision, PromptAnswer, Purpose
from kalos_connect_sdk.core.notices.default import DEFAULT_NOTICE
from kalos_connect_sdk.prompts.web import WebPrompter
from kalos_connect_sdk.testing import FakeVehicle

pytestmark = pytest.mark.once
SCREENS = {"head-unit": (800, 480), "wide": (1280, 720), "very-wide": (1920, 720), "phone": (390, 844)}
BOXES = "es => es.map(e => { const b = e.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; })"


Shown = tuple[Question, Any]


@pytest.fixture
def show(browser: Any, ask: Callable[..., Question]) -> Iterator[Callable[..., Shown]]:
    """Open a question in a window of a size; whatever the page complains about fails the test."""
    pages, complaints = [], []

    def open_page(screen: str = "wide", locale: str = "en", *, request: Any = None, **options: Any) -> Shown:
        question = ask(request or request_in(locale), **options)
        width, height = SCREENS[screen]
        page = browser.new_page(viewport={"width": width, "height": height})
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(question.link)
        pages.append(page)
        return question, page

    yield open_page
    for page in pages:
        page.close()
    assert not complaints


def texts(page: Any) -> str:
    return page.inner_text("body")


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("locale", [text.locale for text in DEFAULT_NOTICE.texts])
def test_both_answers_are_in_sight_alike_and_large_on_every_screen(show, screen, locale):
    _, page = show(screen, locale)
    width, height = SCREENS[screen]
    boxes = page.eval_on_selector_all("footer button", BOXES)
    assert len({(round(w, 1), round(h, 1)) for _, _, w, h in boxes}) == 1
    assert len({top for _, top, _, _ in boxes}) == 1
    for left, top, w, h in boxes:
        assert w >= 76 and h >= 76
        assert left >= 0 and left + w <= width and top >= 0 and top + h <= height
    styles = page.eval_on_selector_all(
        "footer button", "es => es.map(e => { const s = getComputedStyle(e);"
        " return [s.color, s.backgroundColor, s.fontSize, s.fontWeight, s.borderWidth, s.fontFamily]; })"
    )  # fmt: skip
    assert styles[0] == styles[1]
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing runs out to the side"


def test_the_browsers_own_preference_chooses_the_theme(show):
    _, page = show()
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(13, 17, 22)"
    page.emulate_media(color_scheme="light")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_a_finger_allows(show):
    question, page = show("head-unit")
    page.click("text=7 days")
    page.click("text=Approximate")
    page.click("button[value=allow]")
    assert question.answer() == PromptAnswer.allow(Duration.days(7), Precision.APPROXIMATE)
    page.wait_for_selector("body.over")
    assert "Your answer was recorded." in texts(page)


def test_the_keyboard_alone_is_enough_and_nothing_is_chosen_by_habit(show):
    question, page = show()
    assert page.evaluate("document.activeElement.tagName") == "H1", "Enter at once answers nothing"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.value") == "days-7"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    order = []
    for _ in range(4):
        order.append(page.evaluate("document.activeElement.value || document.activeElement.tagName"))
        page.keyboard.press("Tab")
    assert {"allow", "deny", "SUMMARY"} <= {*order}
    assert question.answers.empty()
    page.focus("button[value=deny]")
    page.keyboard.press("Enter")
    assert question.answer() == PromptAnswer.deny()


@pytest.mark.parametrize(("locale", "onward"), [("en", "ArrowRight"), ("ar", "ArrowLeft")])
def test_a_rotary_controller_reaches_everything_and_chooses_only_when_pressed(show, locale, onward):
    """It sends arrows to the side and Enter, and no Tab."""
    question, page = show("wide", locale)
    seen = []
    for _ in range(8):
        page.keyboard.press(onward)
        seen.append(page.evaluate("document.activeElement.value || document.activeElement.tagName"))
    radios = ["this-drive", "days-7", "until-withdrawn", "precise", "approximate"]
    assert seen == [*radios, "SUMMARY", "allow", "deny"]
    assert page.eval_on_selector_all("input:checked", "es => es.map(e => e.value)") == ["this-drive", "precise"]
    for _ in range(3):
        page.keyboard.press(onward)
    assert page.evaluate("document.activeElement.value") == "until-withdrawn"
    page.keyboard.press("Enter")
    assert question.answers.empty(), "Enter on a choice chooses it and answers nothing"
    for _ in range(4):
        page.keyboard.press(onward)
    page.keyboard.press("Enter")
    assert question.answer() == PromptAnswer.allow(Duration.UNTIL_WITHDRAWN, Precision.PRECISE)


def test_a_screen_reader_hears_questions_choices_and_the_end(show):
    question, page = show()
    assert page.get_by_role("heading", name="Share your location for navigation?").is_visible()
    assert page.get_by_role("group", name="How long?").get_by_role("radio").count() == 3
    assert page.get_by_role("group", name="How exactly?").get_by_role("radio").count() == 2
    assert page.get_by_role("radio", name="This drive").is_checked()
    assert page.get_by_role("button", name="Allow", exact=True).is_visible()
    assert page.get_by_role("button", name="Don’t allow").is_visible()
    assert page.evaluate("document.documentElement.lang") == "en"
    question.request.cancelled.set()
    page.wait_for_selector("body.over")
    assert page.get_by_role("status").inner_text() == "The question was closed. Nothing was allowed."


def test_the_full_text_and_the_code_are_one_step_away(show):
    _, page = show(policy_url="https://example.com/policy")
    assert not page.locator(".full").is_visible()
    page.click("summary")
    assert "Your rights." in texts(page)
    box = page.locator(".full img").bounding_box()
    assert box["width"] == box["height"] >= 150
    assert page.get_by_role("img", name="The privacy policy").evaluate("e => e.complete && e.naturalWidth > 0")


def test_arabic_runs_from_right_to_left(show):
    _, page = show("wide", "ar")
    allow, deny = page.eval_on_selector_all("footer button", BOXES)
    assert allow[0] > deny[0]
    assert page.eval_on_selector("h1", "e => getComputedStyle(e).direction") == "rtl"


def test_nothing_moves(show):
    _, page = show()
    assert page.evaluate("document.getAnimations().length") == 0
    durations = page.eval_on_selector_all("*", "es => es.map(e => getComputedStyle(e).transitionDuration)")
    assert set(durations) == {"0s"}


def test_a_page_from_elsewhere_cannot_frame_or_reach_it(browser, ask):
    """Another origin of this machine tries: a frame, a form, a fetch. The question stays open and unanswered."""
    import http.server
    import threading

    question = ask()
    question.open()
    attack = f"""<iframe src="{question.origin}/style.css"></iframe>
<script>window.sent = Promise.allSettled([
  fetch("{question.origin}/answer", {{method: "POST", body: "choice=allow", headers: {{"X-Kalos-Key": "x"}}}}),
  fetch("{question.origin}/answer", {{method: "POST", mode: "no-cors", body: new URLSearchParams(
    {{key: "{question.key}", choice: "allow", duration: "this-drive", precision: "precise"}})}}),
]);</script>""".encode()

    class Attacker(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(attack)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Attacker)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page = browser.new_page()
    try:
        page.goto(f"http://127.0.0.1:{server.server_address[1]}/")
        outcome = page.evaluate("window.sent.then(all => all.map(one => one.status))")
        assert outcome[0] == "rejected", "the browser itself asks first, and is refused"
        assert page.frames[1].url.startswith("chrome-error") or "color-scheme" not in page.frames[1].content()
        assert question.answers.empty(), "even with the key, another origin answers nothing"
        assert question.post(choice="deny")[0] == 200
        assert question.answer() == PromptAnswer.deny()
    finally:
        page.close()
        server.shutdown()
        server.server_close()


def test_the_cross_border_question_is_a_page_of_its_own(show):
    request = request_in("zh-CN", purpose=Purpose.CROSS_BORDER_TRANSFER)
    _, page = show("head-unit", request=request)
    assert "境外" in page.inner_text("h1") and "向境外提供" in texts(page)


def test_r12_the_full_text_and_the_code_are_gone_when_the_vehicle_leaves_park(browser, make):
    """A driver sees layer 2 only when parked: the page exists only then."""
    vehicle, links = FakeVehicle(parked=False), queue.Queue()
    connect = make(prompter=WebPrompter(links.put, policy_url="https://example.com/policy"), vehicle=vehicle)
    assert connect.request_permission(user_action=True).state is PermissionState.DEFERRED and links.empty()
    vehicle.park()
    answer = connect.request_permission_future(user_action=True)
    page = browser.new_page()
    page.goto(links.get(timeout=10))
    page.click("summary")
    assert page.locator(".full img").is_visible()
    vehicle.move(10.0)
    page.wait_for_selector("body.over")
    assert not page.locator(".full, .full img").first.is_visible() and not page.locator("footer").is_visible()
    assert answer.result(20).state is PermissionState.DEFERRED
    page.close()
