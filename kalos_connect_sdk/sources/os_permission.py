"""The operating system's location permission: a cached answer, pushed by whoever knows it, read without waiting.

Until somebody has said so, and whenever nobody is there to say it any more, the answer is unknown, and unknown means
no (R1).
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from ..model.vehicle import OsAnswer
from .subscribers import Subscribers
from .wake import Wake

__all__ = ["Answer", "PushedOsPermission", "WatchedOsPermission"]

_FIRST_PAUSE_S: Final = 0.25
_LONGEST_PAUSE_S: Final = 10.0


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


class WatchedOsPermission(ABC):
    """A permission that a thread of its own watches on a bus, from construction to :meth:`close`. A context manager."""

    def __init__(self) -> None:
        self.problem: str | None = None
        """Why the answer is unknown or no, and what to do; for the doctor and the log."""
        self._answer = Answer()
        self._wake = Wake()
        self._pause_s = 0.0
        self._thread = threading.Thread(target=self._run, name="kalos-os-permission", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.read().value}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self) -> OsAnswer:
        """The latest answer, at once. Unknown while nobody watches: after :meth:`close`, and in a forked child."""
        return self._answer.get() if self._thread.is_alive() else OsAnswer.UNKNOWN

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` on every change, on the watching thread; returns an unsubscribe."""
        return self._answer.subscribe(callback)

    def wait_for(self, answer: OsAnswer, timeout_s: float = 5.0) -> bool:
        """Wait until the answer is ``answer``: at the start it takes a moment to be known. True when it is."""
        return self._answer.wait_for(answer, timeout_s)

    def close(self) -> None:
        """Stop watching, at once; any thread, any number of times."""
        self._wake.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=5)

    @abstractmethod
    def _watch(self) -> None:
        """Say what is so with :meth:`_say`, until what is watched is gone."""

    def _say(self, answer: OsAnswer, problem: str | None = None) -> None:
        self.problem = problem
        if answer is not OsAnswer.UNKNOWN:
            self._pause_s = 0.0
        self._answer.put(answer)

    def _run(self) -> None:
        while not self._wake.is_set():
            begun_s = time.monotonic()
            try:
                self._watch()
            except Exception:  # R1: whatever went wrong, nobody knows now
                self.problem = "watching the system's permission failed"
            self._say(OsAnswer.UNKNOWN, self.problem)
            if time.monotonic() - begun_s > _LONGEST_PAUSE_S:
                self._pause_s = 0.0
            self._wake.wait(self._pause_s)
            self._pause_s = min(max(self._pause_s * 2, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
        self._wake.close()
