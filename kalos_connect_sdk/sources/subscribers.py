"""Who is told when something changed."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["Subscribers"]


class Subscribers:
    """Callbacks, told on the thread that calls :meth:`tell`, which holds no lock meanwhile: they may read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._numbers = 0

    def add(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Returns an unsubscribe."""
        with self._lock:
            self._numbers += 1
            number = self._numbers
            self._callbacks[number] = callback

        def unsubscribe() -> None:
            with self._lock:
                self._callbacks.pop(number, None)

        return unsubscribe

    def tell(self) -> None:
        with self._lock:
            callbacks = list(self._callbacks.values())
        for callback in callbacks:
            callback()
