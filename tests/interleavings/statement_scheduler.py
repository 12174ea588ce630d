"""Two threads of real code, one statement at a time, in an order that the test decides.

Exactly one of the two runs at any moment. Between two statements of the modules under test (a *point*) the scheduler
may hand over to the other: *where* is the schedule. ``every_schedule`` performs all schedules with at most so many
preemptions. A thread that must wait hands over without being counted: the locks here try and hand over instead of
blocking, and their clock moves only when somebody waits. Nothing else of the code is replaced.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

_GIVE_UP_S = 30.0
_WAITS = 100_000

_local = threading.local()


class Stuck(AssertionError):
    """Both threads wait, or one waits for what this scheduler does not know."""


class Scheduler:
    """Runs two functions under one schedule: the numbers of the points at which the running thread is preempted."""

    def __init__(self, schedule: Sequence[int], first: int, files: Sequence[str]) -> None:
        self._schedule = frozenset(schedule)
        self._files = tuple(files)
        self._turn = first
        self._go = (threading.Semaphore(0), threading.Semaphore(0))
        self._done = [False, False]
        self._waits = 0
        self.points = 0
        self.now_s = 0.0
        self.errors: list[BaseException] = []

    # -- what the running thread meets -----------------------------------------------------------

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.endswith(self._files):
            return None
        return self._trace_lines

    def _trace_lines(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            number = self.points
            self.points = number + 1
            if number in self._schedule:
                self._hand_over()
        return self._trace_lines

    def wait(self, seconds: float) -> None:
        """The running thread cannot go on: the other's turn. Time passes only here."""
        self.now_s += seconds
        self._waits += 1
        if self._waits > _WAITS:
            raise Stuck("neither of the two goes on")
        self._hand_over()

    def _hand_over(self) -> None:
        me = _local.me
        other = 1 - me
        if self._done[other]:
            return
        self._turn = other
        self._go[other].release()
        if not self._go[me].acquire(timeout=_GIVE_UP_S):
            raise Stuck("the other thread waits for something that is not the scheduler's")

    # -- running ---------------------------------------------------------------------------------

    def run(self, first: Callable[[], None], second: Callable[[], None]) -> None:
        """Perform both; the first error of either is raised."""
        bodies = (first, second)

        def body(me: int) -> None:
            _local.scheduler, _local.me = self, me
            self._go[me].acquire()
            sys.settrace(self._trace)
            try:
                bodies[me]()
            except BaseException as error:
                self.errors.append(error)
            finally:
                sys.settrace(None)
                self._done[me] = True
                if not self._done[1 - me]:
                    self._go[1 - me].release()

        threads = [threading.Thread(target=body, args=(me,), daemon=True) for me in (0, 1)]
        for thread in threads:
            thread.start()
        self._go[self._turn].release()
        for thread in threads:
            thread.join(_GIVE_UP_S * 2)
        if any(thread.is_alive() for thread in threads):
            raise Stuck("a thread never came back")
        if self.errors:
            raise self.errors[0]


def _present() -> Scheduler | None:
    return getattr(_local, "scheduler", None)


class PoliteLock:
    """``threading.Lock``, but who must wait hands over."""

    def __init__(self) -> None:
        self._real = threading.Lock()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        scheduler = _present()
        if scheduler is None:
            return self._real.acquire(blocking, timeout)
        until_s = scheduler.now_s + timeout
        while not self._real.acquire(blocking=False):
            if not blocking or (timeout >= 0 and scheduler.now_s >= until_s):
                return False
            scheduler.wait(0.001)
        return True

    def release(self) -> None:
        self._real.release()

    def locked(self) -> bool:
        return self._real.locked()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class PoliteRLock(PoliteLock):
    """``threading.RLock``: its holder enters again."""

    def __init__(self) -> None:
        super().__init__()
        self._owner, self._depth = 0, 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if self._owner != threading.get_ident() and not super().acquire(blocking, timeout):
            return False
        self._owner, self._depth = threading.get_ident(), self._depth + 1
        return True

    def release(self) -> None:
        self._depth -= 1
        if not self._depth:
            self._owner = 0
            super().release()


class PoliteThreading:
    """Stands for the module ``threading`` where only its locks are used."""

    Lock = PoliteLock
    RLock = PoliteRLock


class PoliteTime:
    """Stands for the module ``time`` where a ``flock`` is polled: sleeping is handing over."""

    @staticmethod
    def monotonic() -> float:
        scheduler = _present()
        return scheduler.now_s if scheduler is not None else 0.0

    @staticmethod
    def sleep(seconds: float) -> None:
        scheduler = _present()
        if scheduler is not None:
            scheduler.wait(seconds)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two functions to run against each other, and the judge of what came of it."""

    first: Callable[[], None]
    second: Callable[[], None]
    judge: Callable[[], None]


def every_schedule(
    make: Callable[[], Pair], files: Sequence[str], preemptions: int, *, one_in: int = 1
) -> Iterator[tuple[tuple[int, ...], int]]:
    """Perform every schedule with at most ``preemptions`` of them, either thread first; yields each.

    ``one_in``: of the schedules with more than one preemption, each so-manieth (a fixed choice). What ``judge`` or a
    thread raises is raised with the schedule that led to it.
    """
    seen = 0

    def perform(schedule: tuple[int, ...], first: int) -> int:
        pair = make()
        scheduler = Scheduler(schedule, first, files)
        failed: BaseException | None = None
        try:
            scheduler.run(pair.first, pair.second)
            pair.judge()
        except Exception as error:
            failed = error
        if failed is not None:
            raise AssertionError(f"thread {first} first, preempted at {schedule}: {failed!r}") from failed
        return scheduler.points

    for first in (0, 1):
        frontier: list[tuple[int, ...]] = [()]
        while frontier:
            schedule = frontier.pop()
            if len(schedule) > 1:
                seen += 1
                if seen % one_in:
                    continue
            points = perform(schedule, first)
            yield schedule, first
            if len(schedule) < preemptions:
                begin = schedule[-1] + 1 if schedule else 0
                frontier.extend((*schedule, at) for at in range(begin, points))
