"""The two pages with the same content every time: what the pictures show and the measurements measure.

The prompt asks the default notice; the centre belongs to a consent of two days of driving, at a fixed time.
"""

from __future__ import annotations

import queue
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

from kalos_connect_sdk import (
    AssertedParked,
    Config,
    Connect,
    Duration,
    Position,
    Precision,
    PromptAnswer,
    PromptRequest,
    Purpose,
)
from kalos_connect_sdk.centre import ConsentCentre
from kalos_connect_sdk.core.notices.default import DEFAULT_NOTICE
from kalos_connect_sdk.prompts.web import WebPrompter
from kalos_connect_sdk.testing import FakeClock, ScriptedPrompter, ServiceEmulator

SCREENS = {"800x480": (800, 480), "1280x720": (1280, 720), "1920x720": (1920, 720), "phone": (390, 844)}
"""A small head unit, a wide one, a very wide one, and a phone held upright."""
PAGES = ("prompt", "centre")
THEMES = ("day", "night")
LANGUAGES = ("en", "zh-CN", "ar")
_USE = (3, 0, 0, 41, 60, 22, 0, 5)  # positions every three hours


@contextmanager
def prompt_link(locale: str, text: Any = None) -> Iterator[str]:
    """The link of an open question; it is cancelled at the end."""
    links: queue.Queue[str] = queue.Queue()
    request = PromptRequest(
        purpose=Purpose.NAVIGATION,
        precision=Precision.PRECISE,
        notice=DEFAULT_NOTICE,
        text=text or DEFAULT_NOTICE.text(locale),
        durations=(Duration.THIS_DRIVE, Duration.days(7), Duration.UNTIL_WITHDRAWN),
        deadline=time.monotonic() + 300,
        cancelled=threading.Event(),
        service_origin="https://connect.example.com",
        _answer=lambda answer: None,
    )
    prompter = WebPrompter(links.put, policy_url="https://example.com/policy")
    asking = threading.Thread(target=prompter.ask, args=(request,))
    asking.start()
    try:
        yield links.get(timeout=20)
    finally:
        request.cancelled.set()
        asking.join(20)


@contextmanager
def driven() -> Iterator[Connect]:
    """A device with a consent of seven days, a day of use, a receipt and a request, on the emulator."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        service = stack.enter_context(ServiceEmulator())
        clock = FakeClock(datetime(2026, 11, 19, 18, 40, tzinfo=UTC))
        config = Config(service_url=service.url, state_dir=folder, vault=f"file:{folder}/vault")
        answers = (PromptAnswer.allow(Duration.days(7)),)
        connect = stack.enter_context(
            Connect("com.example.pictures", config=config, clock=clock, vehicle=AssertedParked("a picture"),
                    prompter=ScriptedPrompter(*answers))
        )  # fmt: skip
        assert connect.request_permission(user_action=True).granted
        for hour, count in enumerate(_USE):
            for number in range(count):
                connect.submit(Position(60.1 + number / 1000, 24.9 + hour / 1000, time=clock.now()))
                clock.advance(1)
            if count:
                assert connect.flush().sent == count
            connect.privacy.report()  # the hour is counted when it is looked at
            clock.advance(3 * 3600 - count)
        connect.privacy.request_explanation()
        yield connect


@contextmanager
def centre_link(locale: str, connect: Connect) -> Iterator[str]:
    """A link to the consent centre of ``connect``."""
    centre = ConsentCentre(connect, locale=locale)
    try:
        yield centre.link()
    finally:
        centre.close()


@contextmanager
def opened(browser: Any, name: str, locale: str, connect: Connect, text: Any = None) -> Iterator[Any]:
    """The page ``name`` in real Chromium, complete, in a language."""
    with prompt_link(locale, text) if name == "prompt" else centre_link(locale, connect) as link:
        page = browser.new_page()
        try:
            page.goto(link)
            if name == "centre":
                page.wait_for_selector("#requests li")
                page.wait_for_selector("#receipts li")
            yield page
        finally:
            page.close()


def show(page: Any, screen: str, theme: str = "day") -> None:
    """The size and the theme of a screen; both pages follow what the browser prefers."""
    width, height = SCREENS[screen]
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme="dark" if theme == "night" else "light")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


__all__ = ["LANGUAGES", "PAGES", "SCREENS", "THEMES", "driven", "opened", "show"]
