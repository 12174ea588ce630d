"""The prompt as a local web page, for head units with a web view and for browsers.

``show`` gets the link, which works once: a head unit loads it in its web view, by default the browser is opened.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from importlib.resources import files
from typing import Final

from ...model.consent import Precision, PromptAnswer
from ...ports import PromptRequest
from ..policy import policy_code
from ..words import words_for
from .document import THEMES, duration_of, message, prompt_document
from .server import Answer, Asked, Page, PageServer

__all__ = ["WebPrompter", "assets"]

_WAIT_S: Final = 20.0
_SEEN_S: Final = 0.5


def assets(*scripts: str) -> dict[str, tuple[str, bytes]]:
    """The style sheet and the named scripts, by path."""
    folder = files(__package__) / "assets"
    found = {"/style.css": ("text/css; charset=utf-8", (folder / "style.css").read_bytes())}
    for script in scripts:
        found[f"/{script}"] = ("text/javascript; charset=utf-8", (folder / script).read_bytes())
    return found


def _open_browser(link: str) -> None:
    import webbrowser

    if not webbrowser.open(link):
        raise RuntimeError("no browser could be opened; pass show=... to WebPrompter")


class WebPrompter:
    """A :class:`~kalos_connect_sdk.Prompter` that asks on a page of its own, served on 127.0.0.1 to one reader.

    ``show``: called with the link, once for each question; the link is a secret until it is opened, so hand it to
    the web view and log it nowhere. ``driver_facing``: set to false on a phone or a desk. ``theme``: ``auto`` (what
    the browser prefers), ``day`` or ``night``. ``policy_url``: printed as a QR code below the full text, when the
    extra ``web`` is installed. ``same_user``: on Linux the page answers only programs of the user who asks; set to
    false when the web view runs as another one.
    """

    def __init__(
        self,
        show: Callable[[str], object] | None = None,
        *,
        driver_facing: bool = True,
        theme: str = "auto",
        policy_url: str | None = None,
        same_user: bool = True,
    ) -> None:
        if theme not in THEMES:
            raise ValueError(f"theme must be one of: {', '.join(THEMES)}")
        self.driver_facing = driver_facing
        self._show = show or _open_browser
        self._theme = theme
        self._code = None if policy_url is None else str(policy_code(policy_url).svg_data_uri(scale=4))
        self._server = PageServer(assets("rotary.js", "prompt.js"), same_user=same_user)

    def ask(self, request: PromptRequest) -> PromptAnswer:
        """The person's answer; *dismiss* when the question closed without one."""
        question = _Question(request, self._theme, self._code)
        page = Page(question.document, question.handle)
        link = self._server.add(page)
        try:
            self._show(link)
            answer = question.wait()
        finally:
            question.over.set()
            question.seen.wait(_SEEN_S)  # an open page is told before its port closes
            self._server.remove(page)
        return answer


class _Question:
    """One prompt, as its page sees it."""

    def __init__(self, request: PromptRequest, theme: str, code: str | None) -> None:
        self._request = request
        self._theme = theme
        self._code = code
        self._words = words_for(request.text.locale)
        self._answer: PromptAnswer | None = None
        self._lock = threading.Lock()
        self.over = threading.Event()
        self.seen = threading.Event()
        """The page was told that the question is over, or there is no page to tell."""
        self.seen.set()

    def wait(self) -> PromptAnswer:
        """Until there is an answer, or the prompt must close."""
        request = self._request
        while self._answer is None and not request.cancelled.is_set() and time.monotonic() < request.deadline:
            self.over.wait(0.05)
        return self._answer or PromptAnswer.dismiss()

    def document(self, key: str) -> Answer:
        return Answer(prompt_document(self._request, key, theme=self._theme, code=self._code))

    def handle(self, asked: Asked) -> Answer | None:
        if (asked.method, asked.path) == ("POST", "/wait"):
            return self._until_over()
        if (asked.method, asked.path) == ("POST", "/answer"):
            return self._answered(asked)
        return None

    def _until_over(self) -> Answer:
        self.seen.clear()
        try:
            if not self.over.wait(_WAIT_S):
                return Answer("", status=204)
            return _text(self._outcome())
        finally:
            self.seen.set()

    def _answered(self, asked: Asked) -> Answer:
        answer = self._read(asked)
        if answer is None:
            return Answer("incomplete answer\n", "text/plain; charset=utf-8", 400)
        with self._lock:
            if not self.over.is_set() and not self._request.cancelled.is_set():
                self._answer = answer
            self.over.set()
        said = self._outcome()
        return _text(said) if asked.scripted else Answer(message(self._request, said, theme=self._theme))

    def _outcome(self) -> str:
        return self._words.closed if self._answer is None else self._words.answered

    def _read(self, asked: Asked) -> PromptAnswer | None:
        choice = asked.fields.get("choice")
        if choice == "deny":
            return PromptAnswer.deny()
        duration = duration_of(self._request, asked.fields.get("duration", ""))
        precisions = {precision.value: precision for precision in Precision}
        precision = precisions.get(asked.fields.get("precision", ""))
        if choice != "allow" or duration is None or precision is None:
            return None
        if self._request.precision is Precision.APPROXIMATE:  # R15
            precision = Precision.APPROXIMATE
        return PromptAnswer.allow(duration, precision)


def _text(said: str) -> Answer:
    return Answer(said, "text/plain; charset=utf-8")
