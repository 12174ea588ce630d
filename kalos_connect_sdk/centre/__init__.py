"""The consent centre: a local page on which a person sees what is shared, stops it in one step, and uses their rights.

It is served like the prompt's page: on 127.0.0.1, one link a reader, nothing from elsewhere. Stopping works at any
speed (R11); what has to be read appears when the vehicle is parked (R12).
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable
from html import escape
from importlib.resources import files
from types import TracebackType
from typing import Any, Final

from ..connect import Connect
from ..errors import KalosConnectError, StateError
from ..model.consent import Purpose
from ..model.review import DriveReview
from ..model.rights import DeletionReason
from ..prompts.catalogue import direction_of, labels
from ..prompts.web import assets
from ..prompts.web.server import Answer, Asked, Page, PageServer
from ..prompts.words import words_for
from .review import review_document
from .state import indicator, reading
from .words import centre_words, review_words

__all__ = ["ConsentCentre"]

_WAIT_S: Final = 20.0
_LOOK_S: Final = 0.25
_READ_AGAIN_S: Final = 5.0


class ConsentCentre:
    """Serves the page of one :class:`~kalos_connect_sdk.Connect` while it is open. A context manager.

    ``locale``: of the labels; by default the configuration's. ``theme``: ``auto``, ``day`` or ``night``.
    ``same_user``: as for :class:`~kalos_connect_sdk.prompts.web.WebPrompter`.
    """

    def __init__(
        self, connect: Connect, *, locale: str | None = None, theme: str = "auto", same_user: bool = True
    ) -> None:
        if theme not in ("auto", "day", "night"):
            raise ValueError("theme must be one of: auto, day, night")
        self._connect = connect
        self._locale = locale or connect.config.locale or "en"
        self._words = centre_words(self._locale)
        self._names = words_for(self._locale)
        self._review_words = review_words(self._locale)
        self._theme = theme
        script = ("text/javascript; charset=utf-8", (files(__package__) / "assets" / "centre.js").read_bytes())
        sheet = ("text/css; charset=utf-8", (files(__package__) / "assets" / "centre.css").read_bytes())
        self._server = PageServer(
            {**assets("rotary.js"), "/centre.js": script, "/centre.css": sheet}, same_user=same_user
        )
        self._pages: list[Page] = []
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._read: tuple[float, dict[str, Any] | None] = (0.0, None)

    def __enter__(self) -> ConsentCentre:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def link(self) -> str:
        """A new link; it opens the page once. Raises ``OSError`` when no port can be had."""
        page = Page(self._document, self._handle)
        with self._lock:
            self._pages.append(page)
        return self._server.add(page)

    def close(self) -> None:
        """Every page is over."""
        self._closed.set()
        with self._lock:
            pages, self._pages = self._pages, []
        for page in pages:
            self._server.remove(page)

    # -- the page --------------------------------------------------------------------------------

    def _document(self, key: str) -> Answer:
        words, review = self._words, self._review_words
        said = escape(json.dumps(labels(words), ensure_ascii=False))
        return Answer(f"""<!doctype html>
<html lang="{escape(self._locale)}" dir="{direction_of(self._locale)}" data-theme="{self._theme}">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(words.title)}</title><link rel="icon" href="data:,"><link rel="stylesheet" href="/style.css">
<link rel="stylesheet" href="/centre.css"><script defer src="/rotary.js"></script>
<script defer src="/centre.js"></script></head>
<body data-key="{escape(key)}" data-words="{said}"><main>
<h1 tabindex="-1">{escape(words.title)}</h1>
<div class="light"><span class="lamp" aria-hidden="true"></span><p id="told" role="status" aria-live="polite"></p></div>
<div id="more"></div>
<div class="acts now"><button id="stop" type="button" hidden>{escape(words.stop)}</button>
<button id="ask" type="button" hidden>{escape(words.ask)}</button></div>
<p id="said" role="status" aria-live="assertive"></p>
<p id="parked" hidden>{escape(words.parked_only)}</p>
<div id="reading" hidden>
<section id="review" hidden><h2>{escape(review.title)}</h2><ul id="outcomes"></ul>
<div class="acts"><button class="plain" id="seen" type="button">{escape(review.seen)}</button></div></section>
<div class="strips"><section id="day"></section><section id="week"></section></div>
<h2>{escape(words.rights)}</h2>
<div class="acts"><button class="plain" id="copy" type="button">{escape(words.copy)}</button>
<button class="plain" id="explain" type="button">{escape(words.explain)}</button>
<button class="plain" id="delete" type="button">{escape(words.delete)}</button></div>
<ul id="requests"></ul>
<h2>{escape(words.receipts)}</h2><ul id="receipts"></ul>
</div>
</main></body></html>
""")

    def _handle(self, asked: Asked) -> Answer | None:
        if asked.method != "POST":
            return None
        acts: dict[str, Callable[[Asked], Any]] = {
            "/state": self._state,
            "/stop": self._stop,
            "/ask": self._ask,
            "/copy": self._copy,
            "/explain": self._explain,
            "/delete": self._delete,
            "/seen": self._seen,
        }
        act = acts.get(asked.path)
        if act is None:
            return None
        try:
            return _json(act(asked))
        except KalosConnectError:
            return _json({"said": self._words.failed}, 503)
        finally:
            if asked.path != "/state":
                self._read = (0.0, None)

    def _stop(self, asked: Asked) -> dict[str, Any]:
        """R11: one tap, at any speed."""
        report = self._connect.withdraw()
        return {"said": self._words.stopped if report.complete else self._words.stopping}

    def _ask(self, asked: Asked) -> dict[str, Any]:
        """The person asks to be asked; the prompt appears where prompts appear, now or at the next stop."""
        self._connect.ask_when_parked(Purpose.NAVIGATION)
        return {"said": ""}

    def _copy(self, asked: Asked) -> dict[str, Any]:
        return self._connect.privacy.export() if self._connect.parked else {}

    def _explain(self, asked: Asked) -> dict[str, Any]:
        if self._connect.parked:
            self._connect.privacy.request_explanation()
        return {"said": ""}

    def _delete(self, asked: Asked) -> dict[str, Any]:
        self._connect.privacy.request_deletion(DeletionReason.NO_LONGER_USED)
        return {"said": self._words.stopped}

    def _seen(self, asked: Asked) -> dict[str, Any]:
        """The person has read the review, up to what they were shown; not while driving."""
        if self._connect.parked:
            self._connect.drive_review_seen(DriveReview(upto=asked.fields.get("upto", "")))
        return {"said": ""}

    # -- what it shows ---------------------------------------------------------------------------

    def _state(self, asked: Asked) -> dict[str, Any]:
        """The present state, at once or when it differs from the ``seen`` one; at most 20 s later."""
        deadline = time.monotonic() + _WAIT_S
        while True:
            state = self._present()
            state["tag"] = hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:16]
            if state["tag"] != asked.fields.get("seen") or time.monotonic() > deadline or self._closed.wait(_LOOK_S):
                return state

    def _present(self) -> dict[str, Any]:
        connect = self._connect
        state: dict[str, Any] = indicator(
            {purpose: connect.permission(purpose) for purpose in Purpose}, connect.sharing, self._words, self._names
        )
        try:
            state["parked"] = connect.parked
        except StateError:  # it cannot be opened now: as if driving (R12), and stopping still works (R11)
            state["parked"] = False
        state["waits"] = state["told"] == self._words.deferred
        state["reading"] = self._reading() if state["parked"] else None
        return state

    def _reading(self) -> dict[str, Any] | None:
        """What there is to read, at most five seconds old; None when the state cannot be read: stopping still works."""
        read_at, found = self._read
        if time.monotonic() - read_at > _READ_AGAIN_S:
            try:
                report = self._connect.privacy.report()
                receipts = [dict(receipt) for receipt in self._connect.receipts()]
                found = reading(report.use, receipts, report.requests, report.made_at, self._words, self._names)
                review = self._connect.drive_review() or DriveReview()
                found["review"] = review_document(review, self._review_words)
            except KalosConnectError:
                found = None
            self._read = (time.monotonic(), found)
        return found


def _json(document: Any, status: int = 200) -> Answer:
    return Answer(json.dumps(document, ensure_ascii=False), "application/json", status)
