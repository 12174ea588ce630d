"""A pseudo-terminal with a prompt on it, and the person at its other end."""

from __future__ import annotations

import io
import os
import pty
import select
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from fcntl import ioctl

from kalos_connect_sdk.model.consent import Duration, Precision, PromptAnswer, Purpose
from kalos_connect_sdk.model.notice import Controller, Notice, NoticeText
from kalos_connect_sdk.ports import PromptRequest
from kalos_connect_sdk.prompts import TerminalPrompter

DURATIONS = (Duration.THIS_DRIVE, Duration.days(7), Duration.UNTIL_WITHDRAWN)
ENGLISH = NoticeText(
    locale="en",
    title="Location for navigation",
    who="Example Maps Ltd asks for your location.",
    what="Where the car is, as exactly as the satellite receiver knows it.",
    why="To find the way and to warn of what lies ahead.",
    how_to_stop="Stop at any time, at any speed, in the settings.",
    allow="Allow",
    deny="Don't allow",
    full="The whole notice.\n\nIts second paragraph.",
)
CHINESE = NoticeText(
    locale="zh-CN",
    title="导航所需的位置信息",
    who="示例地图公司请求您的位置信息。",
    what="车辆的精确位置。",
    why="用于规划路线。",
    how_to_stop="您可以随时在设置中停止。",
    allow="允许",
    deny="不允许",
    full="完整告知。",
)


def request_for(
    text: NoticeText = ENGLISH, *, precision: Precision = Precision.PRECISE, patience_s: float = 30.0
) -> PromptRequest:
    notice = Notice(
        id="n",
        version="1",
        effective=date(2024, 3, 18),
        controller=Controller("c", "Example", "privacy@example.com"),
        purpose="navigation",
        data=("position",),
        method=("transmission",),
        recipients=("c",),
        texts=(text,),
    )
    return PromptRequest(
        Purpose.NAVIGATION,
        precision,
        notice,
        text,
        DURATIONS,
        time.monotonic() + patience_s,
        threading.Event(),
        "https://maps.example:443",
        lambda answer: None,
    )


class Terminal:
    """The other end of a pseudo-terminal on which one prompt runs."""

    def __init__(
        self,
        request: PromptRequest,
        columns: int = 0,
        *,
        rows: int = 30,
        plain: bool = False,
        kind: type[TerminalPrompter] = TerminalPrompter,
    ) -> None:
        self._far, near = pty.openpty()
        ioctl(near, termios.TIOCSWINSZ, bytes([rows, 0, columns, 0, 0, 0, 0, 0]))
        self.near = os.fdopen(near, "r+b", buffering=0)
        self._streams = (io.TextIOWrapper(self.near, "utf-8"), os.fdopen(os.dup(near), "w", encoding="utf-8"))
        self.mode = termios.tcgetattr(near)
        self.prompter = kind(*self._streams, plain=plain)
        self.request = request
        self.screen, self._read = "", b""
        self.answers: list[PromptAnswer | None] = []
        self._thread = threading.Thread(target=lambda: self.answers.append(self.prompter.ask(request)))

    def start(self) -> None:
        self._thread.start()

    def type(self, text: str) -> None:
        os.write(self._far, text.encode())

    def read_until(self, wanted: str, times: int = 1) -> str:
        deadline = time.monotonic() + 10
        while self.screen.count(wanted) < times:
            assert time.monotonic() < deadline, f"{wanted!r} not on the screen: {self.screen!r}"
            self._drain(0.1)
        return self.screen

    def answer(self) -> PromptAnswer | None:
        deadline = time.monotonic() + 10
        while self._thread.is_alive():
            assert time.monotonic() < deadline, f"unanswered: {self.screen!r}"
            self._drain(0.01)
        self._thread.join()
        self._drain(0)
        return self.answers[0]

    def _drain(self, timeout_s: float) -> None:
        while select.select([self._far], [], [], timeout_s)[0]:
            self._read += os.read(self._far, 65536)
            timeout_s = 0
        self.screen = self._read.decode(errors="ignore").replace("\r\n", "\n")  # a character may have come in part

    def close(self) -> None:
        self.request.cancelled.set()
        if self._thread.ident is not None:
            self._thread.join(10)
        for stream in self._streams:
            stream.close()
        os.close(self._far)


@contextmanager
def terminal(request: PromptRequest | None = None, **how: object) -> Iterator[Terminal]:
    opened = Terminal(request or request_for(), **how)  # type: ignore[arg-type]
    try:
        yield opened
    finally:
        opened.close()
