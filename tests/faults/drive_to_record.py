"""The programs whose writes are recorded: ``python drive_to_record.py ROOT URL STORY``. They say what was returned."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crash_recovery import facade

from kalos_connect_sdk import Position, Precision, Purpose

__all__ = ["STORIES"]


def mark(text: str) -> None:
    """What the program's user has been told by now."""
    os.write(2, f"MARK {text}\n".encode())


def grant(connect: Any) -> None:
    """Ask and be granted; a later epoch each time."""
    mark("asked")
    permission = connect.request_permission(user_action=True)
    assert permission.granted
    mark(f"granted {permission.epoch}")


def buffer(connect: Any) -> None:
    """Positions on their way, sealed."""
    for i in range(3):
        assert connect.submit(Position(60.0 + i / 1000, 24.0)).accepted


def withdraw(connect: Any) -> None:
    """Withdraw and be told."""
    mark("withdrawing")
    report = connect.withdraw()
    assert report.complete and report.durable
    mark("withdrawn")


def offline(connect: Any) -> None:
    """Grant, buffer, withdraw, grant again, change precision, withdraw: nobody hears of it."""
    grant(connect)
    buffer(connect)
    withdraw(connect)
    grant(connect)
    mark("asked")
    assert connect.request_permission(precision=Precision.APPROXIMATE).granted
    mark("granted 3")
    buffer(connect)
    withdraw(connect)


def online(connect: Any) -> None:
    """The same with a service that answers: registered, sent, told."""
    grant(connect)
    buffer(connect)
    assert connect.flush().sent == 3
    buffer(connect)
    withdraw(connect)
    assert connect.wait_for_notices(30)
    grant(connect)
    withdraw(connect)
    assert connect.wait_for_notices(30)


def reset(connect: Any) -> None:
    """The way out of a locked state, with a grant in it."""
    grant(connect)
    buffer(connect)
    mark("withdrawing")
    connect.reset()
    mark("withdrawn")
    grant(connect)


def repair(connect: Any) -> None:
    """A damaged page: withdrawn all the same, then reset."""
    grant(connect)
    mark("damaged")
    page = os.open(connect.state_path / "page", os.O_RDWR)
    os.pwrite(page, b"\xff" * 8, 8 * connect._opened().state.page.slot(Purpose.NAVIGATION, 9))
    os.fsync(page)
    withdraw(connect)
    connect.reset()
    mark("reset")
    grant(connect)


def border(connect: Any) -> None:
    """A second purpose, withdrawn on its own."""
    grant(connect)
    assert connect.request_permission(Purpose.CROSS_BORDER_TRANSFER, user_action=True).granted
    buffer(connect)
    assert connect.withdraw(Purpose.CROSS_BORDER_TRANSFER).complete
    withdraw(connect)


def recover(connect: Any) -> None:
    """Only open what is there, and finish it."""
    connect.permission()
    engine = connect._opened()
    engine.keeper.call(lambda: engine.works.ending.settle())


STORIES: dict[str, Callable[[Any], None]] = {
    "offline": offline,
    "online": online,
    "reset": reset,
    "repair": repair,
    "border": border,
    "recover": recover,
}

if __name__ == "__main__":
    story = STORIES[sys.argv[3]]
    story(facade(Path(sys.argv[1]), sys.argv[2], reboot=story is recover))
    os._exit(0)  # the end of a process is no part of the story
