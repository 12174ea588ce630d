"""Asking at the next stop: a question that somebody wanted while driving is put once the vehicle is parked (R12).

It was wanted, so it counts as a user action. Leaving park again puts it off again. It resolves when it is answered,
when consent came another way, when a withdrawal cancels what is open (R11), and when the facade is closed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future

from ..model.consent import Permission, PermissionState, Precision, Purpose, guardian_reference
from .asking import Asking
from .view import View

__all__ = ["WhenParked"]

_LOOK_S = 0.2


class WhenParked:
    """The questions that wait for the next stop; one for each purpose, joined by whoever asks again."""

    def __init__(
        self, asking: Asking, view: View, may_ask: Callable[[], bool], withdrawals: Callable[[Purpose], int]
    ) -> None:
        """``may_ask``: a prompt may appear now. ``withdrawals``: a number that rises with each, of any process."""
        self._asking = asking
        self._view = view
        self._may_ask = may_ask
        self._withdrawals = withdrawals
        self._waiting: dict[Purpose, tuple[Future[Permission], Precision, str | None, int]] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def request(self, purpose: Purpose, precision: Precision, guardian: str | None = None) -> Future[Permission]:
        """Ask at the next stop; now, when parked."""
        guardian = guardian_reference(guardian)
        with self._lock:
            known = self._waiting.get(purpose)
            if known is not None:
                return known[0]
            future: Future[Permission] = Future()
            future.set_running_or_notify_cancel()  # others may join it: nobody cancels it for all
            self._waiting[purpose] = (future, precision, guardian, self._withdrawals(purpose))
        waiter = threading.Thread(target=self._wait, args=(purpose,), name="kalos-when-parked", daemon=True)
        try:
            waiter.start()
        except RuntimeError:  # no thread can be had: nobody would wait for the stop
            self._forget(purpose)
            future.set_result(self._view.permission(purpose))
        return future

    def waits(self, purpose: Purpose) -> bool:
        """A question of this purpose waits for the next stop."""
        return purpose in self._waiting

    def close(self) -> None:
        """Whoever waits is told how things stand."""
        self._closed.set()

    def _wait(self, purpose: Purpose) -> None:
        future, precision, guardian, withdrawals = self._waiting[purpose]
        try:
            answer = self._answer(purpose, precision, guardian, withdrawals)
        except BaseException as error:  # it belongs to the caller
            self._forget(purpose)
            future.set_exception(error)
        else:
            self._forget(purpose)
            future.set_result(answer)

    def _forget(self, purpose: Purpose) -> None:
        with self._lock:
            del self._waiting[purpose]

    def _answer(self, purpose: Purpose, precision: Precision, guardian: str | None, withdrawals: int) -> Permission:
        while True:
            present = self._view.permission(purpose, deferred=False)
            if present.granted or self._withdrawals(purpose) != withdrawals or self._closed.is_set():
                return present
            if self._may_ask():
                answer = self._asking.request(purpose, precision, True, guardian).result()
                if answer.state is not PermissionState.DEFERRED:
                    return answer
            self._closed.wait(_LOOK_S)
