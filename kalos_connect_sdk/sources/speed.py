"""What a receiver can say about the vehicle: that it moves. Never that it is parked (R12).

A speed of zero may be a red light, a tunnel or a lost fix. So this fallback closes a prompt that another signal would
allow, and opens none: standing counts as unknown.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from ..core.prompting import STALE_S, STANDING_MPS
from ..errors import KalosConnectError
from ..model.vehicle import VehicleState
from ..ports import LocationSource, VehicleSignals

__all__ = ["SpeedFallback"]

_UNKNOWN: Final = VehicleState()


class SpeedFallback:
    """Vehicle signals from the speed that a live source says; it reads ``source`` on a thread until :meth:`close`.

    Give it a source of its own, such as ``open_source("gpsd://localhost")``; nothing of it is kept but the speed, and
    nothing sent. ``vehicle``: the signals that it adds to, for instance those of a car that says its gear alone.
    Raises ``ValueError`` for a recording.
    """

    def __init__(
        self,
        source: LocationSource,
        *,
        vehicle: VehicleSignals | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        if not getattr(source, "live", False):
            raise ValueError("a recording does not say how the vehicle moves now; give a live source")
        self._source = source
        self._vehicle = vehicle
        self._now_s = now_s
        self._lock = threading.Lock()
        self._subscribers: dict[int, Callable[[], None]] = {}
        self._numbers = 0
        self._heard: tuple[float, float] | None = None
        self._thread = threading.Thread(target=self._listen, name="kalos-speed", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<SpeedFallback {'moving' if self._moving() else 'unknown'}>"

    def read(self) -> VehicleState:
        """The state of ``vehicle``, or an unknown one; with our speed where that is one of moving."""
        state = self._vehicle.read() if self._vehicle is not None else _UNKNOWN
        speed_mps = self._moving()
        if speed_mps is None or (state.speed_mps is not None and not abs(state.speed_mps) < STANDING_MPS):
            return state
        return replace(state, speed_mps=speed_mps)

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` when moving begins or ends, and on every change of ``vehicle``; returns an unsubscribe.

        Nobody is called when a speed has grown old without another word: :meth:`read` knows that by itself.
        """
        with self._lock:
            self._numbers += 1
            number = self._numbers
            self._subscribers[number] = callback
        leave = self._vehicle.subscribe(callback) if self._vehicle is not None else None

        def unsubscribe() -> None:
            with self._lock:
                self._subscribers.pop(number, None)
            if leave is not None:
                leave()

        return unsubscribe

    def close(self) -> None:
        """Stop listening, and close the source; the state is then that of ``vehicle`` alone."""
        self._source.close()
        if threading.current_thread() is not self._thread:
            self._thread.join(5.0)

    def _moving(self) -> float | None:
        """The speed, if it was said within the last seconds and is one of moving."""
        heard = self._heard
        if heard is None or self._now_s() - heard[1] > STALE_S or heard[0] < STANDING_MPS:
            return None
        return heard[0]

    def _listen(self) -> None:
        try:
            for position in self._source:
                self._note(position.speed_mps)
        except KalosConnectError:
            pass  # it says no speed any more, which is what unknown means
        self._note(None)

    def _note(self, speed_mps: float | None) -> None:
        before = self._moving() is not None
        self._heard = None if speed_mps is None else (speed_mps, self._now_s())
        if before == (self._moving() is not None):
            return
        with self._lock:
            subscribers = list(self._subscribers.values())
        for callback in subscribers:  # outside the lock: a subscriber may read
            callback()
