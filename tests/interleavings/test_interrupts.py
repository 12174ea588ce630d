"""R11: ``withdraw()`` as a signal handler calls it, at every statement of the call that it interrupts.

The handler runs on the interrupted thread, which may hold any lock of the SDK; everything else is real: threads, files,
keys. It must return, complete, and leave nothing.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

import kalos_connect_sdk
from kalos_connect_sdk import Connect, ConsentRequired, PermissionState, Position
from kalos_connect_sdk.model.reports import WithdrawalReport
from kalos_connect_sdk.protocol.clock import SystemClock
from kalos_connect_sdk.protocol.timekeeping import Timekeeper

pytestmark = [pytest.mark.once, pytest.mark.timeout(900)]

FULL = os.environ.get("KALOS_SWEEP") == "full"
_OURS = os.path.dirname(kalos_connect_sdk.__file__)


class Interrupt:
    """Counts the statements of the SDK on this thread, and calls ``handler`` before the one numbered ``at``."""

    def __init__(self, at: int, handler: Callable[[], Any]) -> None:
        self._at = at
        self._handler = handler
        self.statements = 0
        self.answer: Any = None

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        return self._lines if frame.f_code.co_filename.startswith(_OURS) else None

    def _lines(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            number, self.statements = self.statements, self.statements + 1
            if number == self._at:
                self.answer = self._handler()  # a tracing function is not traced itself
        return self._lines

    @contextmanager
    def armed(self) -> Iterator[None]:
        before = sys.gettrace()
        sys.settrace(self._trace)
        try:
            yield
        finally:
            sys.settrace(before)


def submit(connect: Connect) -> None:
    try:
        connect.submit(Position(60.17, 24.94))
    except ConsentRequired:
        pass  # it was withdrawn in the middle of it


def swept(connect: Connect, call: Callable[[Connect], Any], every: int) -> int:
    """Interrupt ``call`` at each ``every``-th of its statements; how many interruptions."""
    at = count = 0
    while True:
        assert connect.request_permission(user_action=True).granted
        submit(connect)
        interrupt = Interrupt(at, lambda: connect.withdraw(timeout_s=30.0))
        with interrupt.armed():
            call(connect)
        if interrupt.answer is None:  # the call is shorter than that: every statement had its turn
            assert at >= interrupt.statements > 0
            connect.withdraw()
            return count
        report = interrupt.answer
        assert isinstance(report, WithdrawalReport) and report.complete and report.durable, f"statement {at}: {report}"
        assert connect.permission().state is not PermissionState.GRANTED, f"statement {at}"
        box = connect._opened().store.box
        assert box is None or not len(box), f"statement {at}: a position survived"
        ram = connect._opened().state.keys.read()
        assert ram is None or ram.key is None, f"statement {at}: a data key survived"
        at += 1 if FULL else every
        count += 1


@pytest.mark.fault(52)
@pytest.mark.parametrize(
    ("call", "every"),
    [
        (submit, 3),
        (lambda connect: connect.permission(), 11),
        (lambda connect: connect.flush(0.0), 3),
        (lambda connect: connect.withdraw(), 5),
    ],
    ids=["submit", "permission", "flush", "withdraw"],
)
def test_r11_withdraw_in_a_signal_handler_at_any_statement(
    make: Callable[..., Connect], call: Callable[[Connect], Any], every: int
) -> None:
    assert swept(make(settings={"service_url": None}), call, every) >= 5


@pytest.mark.fault(52)
def test_r11_nobody_waits_for_an_interrupted_reading_of_the_clock() -> None:
    keeper = Timekeeper(SystemClock(), None)

    def another_thread_reads() -> bool:
        reader = threading.Thread(target=keeper.now, daemon=True)
        reader.start()
        reader.join(10)
        return not reader.is_alive()

    at = 0
    while True:
        interrupt = Interrupt(at, another_thread_reads)
        with interrupt.armed():
            keeper.now()
        if interrupt.answer is None:
            break
        assert interrupt.answer, f"statement {at}: a reader waits for the interrupted one"
        at += 1
    assert at > 10
