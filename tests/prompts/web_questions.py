"""A question that is open on a page, and a way to speak to it without a browser."""

from __future__ import annotations

import http.client
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from kalos_connect_sdk import Duration, Precision, PromptAnswer, PromptRequest, Purpose
from kalos_connect_sdk.core.notices.default import CROSS_BORDER_NOTICE, DEFAULT_NOTICE
from kalos_connect_sdk.prompts.web import WebPrompter


def request_in(locale: str = "en", **changes: Any) -> PromptRequest:
    purpose = changes.pop("purpose", Purpose.NAVIGATION)
    notice = CROSS_BORDER_NOTICE if purpose is Purpose.CROSS_BORDER_TRANSFER else DEFAULT_NOTICE
    return PromptRequest(
        **{
            "purpose": purpose,
            "precision": Precision.PRECISE,
            "notice": notice,
            "text": notice.text(locale),
            "durations": (Duration.THIS_DRIVE, Duration.days(7), Duration.UNTIL_WITHDRAWN),
            "deadline": time.monotonic() + 60,
            "cancelled": threading.Event(),
            "service_origin": "https://connect.example.com",
            "_answer": lambda answer: None,
            **changes,
        }
    )


@dataclass
class Question:
    """A question that is being asked on a page: its link, and where the answer will be."""

    request: PromptRequest
    link: str
    answers: queue.Queue[PromptAnswer] = field(repr=False)
    key: str = ""

    @property
    def origin(self) -> str:
        parts = urlsplit(self.link)
        return f"http://{parts.netloc}"

    def answer(self) -> PromptAnswer:
        return self.answers.get(timeout=20)

    def call(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None):
        """One HTTP exchange; headers replace ours, and one of ``None`` is left out. (status, headers, text)."""
        parts = urlsplit(self.link)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        sent = {"Host": parts.netloc, **({"Origin": self.origin} if method == "POST" else {}), **(headers or {})}
        if body is not None:
            sent.setdefault("Content-Length", str(len(body)))
        for name, value in sent.items():
            if value is not None:
                connection.putheader(name, value)
        connection.endheaders(body)
        reply = connection.getresponse()
        text = reply.read().decode()
        connection.close()
        return reply.status, reply.headers, text

    def open(self, **headers: str) -> str:
        """Open the link as a browser would; remembers the page's key."""
        status, _, text = self.call("GET", urlsplit(self.link).path, headers=headers)
        assert status == 200, text
        self.key = re.search(r'data-key="([^"]+)"', text)[1]
        return text

    def post(self, path: str = "/answer", headers: dict[str, str] | None = None, **fields: str):
        """Answer as the page's script does."""
        body = urlencode(fields).encode()
        return self.call("POST", path, body, {"X-Kalos-Key": self.key, **(headers or {})})


@contextmanager
def asking() -> Iterator[Callable[..., Question]]:
    """Puts questions on pages; whatever is still open at the end is cancelled."""
    asked: list[tuple[Question, threading.Thread]] = []

    def put(request: PromptRequest | None = None, **options: Any) -> Question:
        links: queue.Queue[str] = queue.Queue()
        answers: queue.Queue[PromptAnswer] = queue.Queue()
        prompter = WebPrompter(links.put, **options)
        request = request or request_in()
        thread = threading.Thread(target=lambda: answers.put(prompter.ask(request)))
        thread.start()
        question = Question(request, links.get(timeout=10), answers)
        asked.append((question, thread))
        return question

    yield put
    for question, thread in asked:
        question.request.cancelled.set()
        thread.join(20)
        assert not thread.is_alive()
