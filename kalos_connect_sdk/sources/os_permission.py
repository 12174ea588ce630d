"""The operating system's location permission: a cached answer, pushed by whoever knows it, read without waiting.

Until somebody has said so, and whenever nobody is there to say it any more, the answer is unknown, and unknown means
no (R1).
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..model.vehicle import OsAnswer
from .subscribers import Subscribers
from .watching import Watching

__all__ = ["Answer", "PushedOsPermission", "WatchedOsPermission"]


class Answer:
    """The present answer, and who is told when it changes."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._answer = OsAnswer.UNKNOWN
        self._subscribers = Subscribers()

    def get(self) -> OsAnswer:
        return self._answer

    def put(self, answer: OsAnswer) -> None:
        with self._changed:
            if answer is self._answer:
                return
            self._answer = answer
            self._changed.notify_all()
        self._subscribers.tell()

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        return self._subscribers.add(callback)

    def wait_for(self, answer: OsAnswer, timeout_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._answer is answer, timeout_s)


class PushedOsPermission:
    """The permission as a bridge to Android or iOS reports it: give :meth:`tell` to the platform as its callback.

    The app tells it once at its start, and after every answer or change that the platform reports.
    """

    def __init__(self) -> None:
        self._answer = Answer()

    def __repr__(self) -> str:
        return f"<PushedOsPermission {self._answer.get().value}>"

    def tell(self, answer: OsAnswer | bool | None) -> None:
        """``GRANTED`` or true, ``DENIED`` or false; ``None`` for *not asked yet*. Anything else is unknown (R1)."""
        if answer is True or answer is OsAnswer.GRANTED:
            self._answer.put(OsAnswer.GRANTED)
        elif answer is False or answer is OsAnswer.DENIED:
            self._answer.put(OsAnswer.DENIED)
        else:
            self._answer.put(OsAnswer.UNKNOWN)

    def read(self) -> OsAnswer:
        """What was told last; unknown before that."""
        return self._answer.get()

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` on every change, on the thread that told it; returns an unsubscribe."""
        return self._answer.subscribe(callback)


class WatchedOsPermission(Watching):
    """A permission that a thread of its own watches on a bus, from construction to :meth:`close`. A context manager."""

    def __init__(self) -> None:
        self._answer = Answer()
        super().__init__("kalos-os-permission", "the system was not asked yet")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.read().value}>"

    def read(self) -> OsAnswer:
        """The latest answer, at once. Unknown while nobody watches: after :meth:`close`, and in a forked child."""
        return self._answer.get() if self._thread.is_alive() else OsAnswer.UNKNOWN

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` on every change, on the watching thread; returns an unsubscribe."""
        return self._answer.subscribe(callback)

    def wait_for(self, answer: OsAnswer, timeout_s: float = 5.0) -> bool:
        """Wait until the answer is ``answer``: at the start it takes a moment to be known. True when it is."""
        return self._answer.wait_for(answer, timeout_s)

    def _say(self, answer: OsAnswer, problem: str | None = None) -> None:
        self.problem = problem
        if answer is not OsAnswer.UNKNOWN:
            self._well()
        self._answer.put(answer)

    def _lost(self) -> None:
        self._answer.put(OsAnswer.UNKNOWN)
