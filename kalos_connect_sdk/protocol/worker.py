"""A worker: one daemon thread that runs jobs in order (R11).

The keeper is one (everything durable happens on it, so nothing else needs a lock), the sender and the
courier are the others. Callers wait on a ``SimpleQueue``, which a signal handler may do too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from ..errors import KalosConnectError, silenced

__all__ = ["Reply", "Worker"]

T = TypeVar("T")


class Reply(Generic[T]):
    """One answer on its way from an SDK thread. ``SimpleQueue`` is re-entrant: usable from a signal handler."""

    __slots__ = ("_box",)

    def __init__(self) -> None:
        self._box: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

    def put(self, value: T) -> None:
        self._box.put((value, None))

    def fail(self, error: BaseException) -> None:
        self._box.put((None, error))

    def get(self, timeout_s: float | None = None) -> T:
        """The answer, or the error it failed with. Raises ``TimeoutError``."""
        late = False
        try:
            value, error = self._box.get(timeout=timeout_s)
        except Empty:
            late = True
        if late:
            raise TimeoutError("no answer in time")
        if error is not None:
            raise error
        return value  # type: ignore[return-value]


class Worker:
    """Runs jobs one after the other on a daemon thread; ``idle`` runs between jobs while it asks to."""

    IDLE_S = 0.02

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[tuple[Callable[[], Any], Reply[Any] | None] | None] = SimpleQueue()
        self._idle: Callable[[], bool] = lambda: False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._ended = threading.Event()
        self.stopped = False
        self._gone = False
        self._inline = False

    def start(self, idle: Callable[[], bool]) -> None:
        """Start; ``idle()`` is called every 20 ms for as long as it returns true (unfinished work)."""
        self._idle = idle
        try:
            self._thread.start()
        except RuntimeError:  # the interpreter is shutting down (atexit): the caller's thread does the work
            self._inline = True

    @property
    def here(self) -> bool:
        """True on the worker's own thread."""
        return self._inline or threading.current_thread() is self._thread

    def post(self, job: Callable[[], Any]) -> None:
        """Run ``job`` later; an error in it is its own business."""
        if self._inline:
            self._perform(job, None)
        else:
            self._jobs.put((job, None))

    def begin(self, job: Callable[[], T], reply: Reply[T] | None = None) -> Reply[T]:
        """Run ``job`` later; its answer arrives in the reply. Safe in a signal handler.

        A job that is made with its ``reply`` may answer there before it is done: who waits gets the first answer.
        """
        reply = Reply() if reply is None else reply
        if self._inline:
            self._perform(job, reply)
            return reply
        self._jobs.put((job, reply))
        if self._gone:  # set before the thread looks for the last time: one of us sees the job
            self._refuse_the_rest()
        return reply

    def call(self, job: Callable[[], T], timeout_s: float | None = None) -> T:
        """Run ``job`` there and wait for its answer; at once when already there."""
        if self.here:
            return job()
        return self.begin(job).get(timeout_s)

    def nap(self, seconds: float) -> None:
        """Wait, but not longer than until :meth:`stop`."""
        self._ended.wait(seconds)

    def stop(self, wait_s: float = 5.0) -> None:
        """End after the jobs queued so far; waits for that at most ``wait_s`` seconds."""
        self.stopped = True
        self._ended.set()
        self._jobs.put(None)
        if not self.here:
            self._thread.join(wait_s)

    def _run(self) -> None:
        busy = False
        while True:
            try:
                item = self._jobs.get(timeout=self.IDLE_S if busy else None)
            except Empty:
                busy = self._settle()
                continue
            if item is None:
                self._gone = True
                self._refuse_the_rest()
                return
            self._perform(*item)
            del item
            busy = self._settle()

    @staticmethod
    def _perform(job: Callable[[], Any], reply: Reply[Any] | None) -> None:
        try:
            value = job()
        except BaseException as error:  # it belongs to the caller, who is waiting for it
            if reply is not None:
                reply.fail(silenced(error))
        else:
            if reply is not None:
                reply.put(value)

    def _refuse_the_rest(self) -> None:
        """What was queued behind the end is answered too: nobody waits for a thread that is gone."""
        while True:
            try:
                item = self._jobs.get_nowait()
            except Empty:
                return
            if item is not None and item[1] is not None:
                item[1].fail(KalosConnectError("closed"))

    def _settle(self) -> bool:
        try:
            return self._idle()
        except Exception:  # unfinished work stays unfinished and is tried again
            return True
