"""Asking at the next stop: a question that somebody wanted while driving is put once the vehicle is parked (R12).

It was wanted, so it counts as a user action. Leaving park again puts it off again. It resolves when it is answered,
when consent came another way, when a withdrawal cancels what is open (R11), and when the facade is closed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from ..model.consent import Permission, PermissionState, Precision, Purpose, guardian_reference
from .asking import Asking
from .view import View

__all__ = ["WhenParked"]

_LOOK_S = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class _Wish:
    """One question; ``withdrawals``: their count when it was wished for."""

    future: Future[Permission]
    purpose: Purpose
    precision: Precision
    guardian: str | None
    withdrawals: int


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
        self._waiting: dict[Purpose, _Wish] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def request(self, purpose: Purpose, precision: Precision, guardian: str | None = None) -> Future[Permission]:
        """Ask at the next stop; now, when parked."""
        guardian = guardian_reference(guardian)
        with self._lock:
            known, withdrawals = self._waiting.get(purpose), self._withdrawals(purpose)
            if known is not None and known.withdrawals == withdrawals:
                return known.future
            future: Future[Permission] = Future()
            future.set_running_or_notify_cancel()  # others may join it: nobody cancels it for all
            wish = self._waiting[purpose] = _Wish(future, purpose, precision, guardian, withdrawals)
        waiter = threading.Thread(target=self._wait, args=(wish,), name="kalos-when-parked", daemon=True)
        try:
            waiter.start()
        except RuntimeError:  # no thread can be had: nobody would wait for the stop
            self._forget(wish)
            future.set_result(self._view.permission(purpose))
        return future

    def waits(self, purpose: Purpose) -> bool:
        """A question of this purpose waits for the next stop."""
        return purpose in self._waiting

    def close(self) -> None:
        """Whoever waits is told how things stand."""
        self._closed.set()

    def _wait(self, wish: _Wish) -> None:
        try:
            answer = self._answer(wish)
        except BaseException as error:  # it belongs to the caller
            self._forget(wish)
            wish.future.set_exception(error)
        else:
            self._forget(wish)
            wish.future.set_result(answer)

    def _forget(self, wish: _Wish) -> None:
        with self._lock:
            if self._waiting.get(wish.purpose) is wish:  # not the one that came after a withdrawal
                del self._waiting[wish.purpose]

    def _answer(self, wish: _Wish) -> Permission:
        purpose, withdrawals = wish.purpose, wish.withdrawals
        while True:
            present = self._view.permission(purpose, deferred=False)
            if present.granted or self._withdrawals(purpose) != withdrawals or self._closed.is_set():
                return present
            if self._may_ask():
                answer = self._asking.request(
                    purpose, wish.precision, True, wish.guardian, withdrawals=withdrawals
                ).result()
                if answer.state is not PermissionState.DEFERRED:
                    return answer
            self._closed.wait(_LOOK_S)
