"""The watcher: sees what other processes, the vehicle, the OS and the clock did, and acts on it (R3, R13).

Acting comes first (cut requests, drop the box, end what is over), telling second: subscribers are called
on a thread of their own, so that a slow one delays nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from ..core.gate import Decision
from ..model.consent import Permission, Purpose
from ..model.decision import Reason
from ..model.vehicle import OsAnswer
from ..storage.watch import Watch
from .bulletin import CLOSES
from .causes import CAUSES, Cause
from .state import State
from .view import View

__all__ = ["Watcher"]

_TICK_S = 0.25
_SOON_S = 0.02
_GRACE_S = 1.0
_GIVE_WAY_S = 0.005
"""What everybody cuts is noted on the page, which would wake everybody's watcher again, while somebody withdraws."""
_KEEP_TIME_S = 300.0
_OVER = {
    Reason.EXPIRED: CAUSES["time"],
    Reason.GUARDIAN_REQUIRED: CAUSES["profile"],
}


class Watcher:
    """One thread that waits on the shared page, and one that tells subscribers."""

    def __init__(
        self,
        state: State,
        view: View,
        cut: Callable[[], None],
        finish: Callable[[], None],
        keep_time: Callable[[], None],
        hear_motion: Callable[[], None],
        end: Callable[[Purpose, Cause], None],
        driving: Callable[[], bool],
        lost: Callable[[Reason], None],
        ask: Callable[[Sequence[Purpose]], None],
    ) -> None:
        self._state = state
        self._view = view
        self._cut = cut
        self._finish = finish
        self._keep_time = keep_time
        self._hear_motion = hear_motion
        self._driving = driving
        self._lost = lost
        self._ask = ask
        self._over_since: float | None = None
        self._next_look = 0.0
        self._urgent = False
        self._owed = False
        self._time_kept = time.monotonic()
        self._end = end
        self._watch = Watch(state.directory, "page")
        self._subscribers: dict[int, Callable[[Permission], None]] = {}
        self._next = 0
        self._lock = threading.Lock()
        self._news: SimpleQueue[Permission | None] = SimpleQueue()
        self._teller: threading.Thread | None = None
        self._last: dict[Purpose, Permission] = {}
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="kalos-watcher", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        try:
            self._thread.start()
        except RuntimeError:
            pass  # the interpreter is shutting down: what is left to do, the caller does

    def wake(self) -> None:
        """Look now: something outside the page changed."""
        self._view.changed()
        self._urgent = True
        self._watch.wake()

    def subscribe(self, callback: Callable[[Permission], None]) -> Callable[[], None]:
        """Call ``callback`` with every changed permission; returns an unsubscribe."""
        with self._lock:
            self._next += 1
            number = self._next
            if not self._last:
                self._last = {purpose: self._view.permission(purpose) for purpose in Purpose}
            self._subscribers[number] = callback
            if self._teller is None:
                self._teller = threading.Thread(target=self._tell, name="kalos-teller", daemon=True)
                self._teller.start()

        def unsubscribe() -> None:
            with self._lock:
                self._subscribers.pop(number, None)

        return unsubscribe

    def stop(self) -> None:
        """End both threads."""
        self._stopping = True
        self._news.put(None)
        self._watch.wake()
        if threading.current_thread() is not self._thread and self._thread.ident is not None:
            self._thread.join(timeout=5)
        if not self._thread.is_alive():
            self._watch.close()

    def _run(self) -> None:
        while not self._stopping:
            self._watch.wait(self._pause_s())
            if self._stopping:
                return
            try:
                self._look()
            except Exception:  # noqa: S112 - no state to be read, an adapter that fails: R3 needs this thread all the same
                continue
            if self._over_since is not None:
                time.sleep(_GIVE_WAY_S)

    def _pause_s(self) -> float:
        """A look that is owed to somebody is made when it is due, not at the next tick."""
        pending = self._owed or self._state.snapshot.version != self._state.page.version
        if not pending or not self._listened_to():
            return _TICK_S
        return min(_SOON_S, max(0.001, self._next_look - time.monotonic()))

    def _look(self) -> None:
        """Cut first, with what is known; read again only for subscribers, or when a while has passed. Who withdraws
        needs the ledger and the processor for some milliseconds: nobody reads meanwhile."""
        records = self._state.snapshot.records.values()
        over = any(record.status.active and self._view.ended(record.purpose, record.epoch) for record in records)
        now = time.monotonic()
        if over:
            self._cut()
            if self._over_since is None:
                self._next_look = now + _SOON_S
            self._finish_if_nobody_does()
        else:
            self._over_since = None
        if now < self._next_look and not self._urgent:
            self._owed = True
            if self._listened_to():  # who subscribed since the last look does not wait for the tick
                self._next_look = min(self._next_look, now + _SOON_S)
            return
        self._urgent = self._owed = False
        self._next_look = now + (_SOON_S if self._listened_to() else _TICK_S)
        self._judge(now)

    def _listened_to(self) -> bool:
        return bool(self._subscribers) or self._driving()

    def _judge(self, now: float) -> None:
        self._hear_motion()
        granted: list[Purpose] = []
        for purpose in Purpose:
            if self._state.snapshot.records[purpose].status.active:
                decision = self._view.decide(purpose)
                if decision.reason is Reason.STATE_UNREADABLE:
                    self._cut()
                self._end_if_over(purpose, decision)
                granted += [purpose] if decision.allowed else []
        self._ask(granted)
        if self._subscribers:
            self._compare()
        if self._driving():
            decision = self._view.certain(Purpose.NAVIGATION)
            if not decision.allowed:
                self._lost(decision.reason)
        if now - self._time_kept > _KEEP_TIME_S:
            self._time_kept = now
            self._keep_time()

    def _finish_if_nobody_does(self) -> None:
        """Who wrote the tombstone erases and counts; only when that takes too long do we."""
        now = time.monotonic()
        if self._over_since is None:
            self._over_since = now
        elif now - self._over_since > _GRACE_S:
            self._over_since = now
            self._finish()

    def _end_if_over(self, purpose: Purpose, decision: Decision) -> None:
        """What ended without anybody calling: time, drive, a lost OS permission, the privacy switch."""
        record = self._state.snapshot.records[purpose]
        if not record.status.active or decision.allowed:
            return
        cause = _OVER.get(decision.reason)
        if self._view.os() is OsAnswer.DENIED:
            cause = CAUSES["os"]
        elif decision.reason is Reason.VEHICLE_PRIVACY:
            cause = CAUSES["vehicle"]
        elif (outdated := self._view.outdated(purpose)) is not None:  # R14: also where it was heard of before the grant
            cause = CLOSES[outdated]
        if cause is not None and not (cause is _OVER.get(Reason.EXPIRED) and not self._view.expiry_certain(record)):
            self._end(purpose, cause)

    def _compare(self) -> None:
        for purpose in Purpose:
            present = self._view.permission(purpose)
            if present != self._last.get(purpose):
                self._last[purpose] = present
                self._news.put(present)

    def _tell(self) -> None:
        while (news := self._news.get()) is not None:
            with self._lock:
                callbacks = list(self._subscribers.values())
            for callback in callbacks:
                try:
                    callback(news)
                except Exception:  # noqa: S112 - a subscriber's error is its own; the others are told all the same
                    continue
