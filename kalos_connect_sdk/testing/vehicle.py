"""A vehicle that does what the test says (R12, R18)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..model.vehicle import Gear, VehicleState

__all__ = ["FakeVehicle"]

_LONG_HELD_S = 3600.0


class FakeVehicle:
    """Vehicle signals for tests; every change is told to subscribers at once, on the caller's thread."""

    def __init__(self, parked: bool = True, speed_mps: float = 0.0) -> None:
        """``parked``: gear P, long held; otherwise gear D. ``speed_mps``: metres a second."""
        self._lock = threading.Lock()
        self._subscribers: dict[int, Callable[[], None]] = {}
        self._next = 0
        self._state = VehicleState(
            gear=Gear.PARK if parked else Gear.DRIVE, speed_mps=speed_mps, held_s=_LONG_HELD_S if parked else 0.0
        )

    def __repr__(self) -> str:
        return f"<FakeVehicle {self._state.gear.name if self._state.gear else 'silent'}>"

    def read(self) -> VehicleState:
        """The present signals."""
        with self._lock:
            return self._state

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` on every change; returns an unsubscribe."""
        with self._lock:
            self._next += 1
            number = self._next
            self._subscribers[number] = callback

        def unsubscribe() -> None:
            with self._lock:
                self._subscribers.pop(number, None)

        return unsubscribe

    def park(self, held_s: float = _LONG_HELD_S) -> None:
        """Gear P, standing, already held for ``held_s`` seconds."""
        self.set(gear=Gear.PARK, speed_mps=0.0, held_s=held_s, age_s=0.0)

    def move(self, speed_mps: float) -> None:
        """Gear D at ``speed_mps`` metres a second; 0 stands at the lights."""
        self.set(gear=Gear.DRIVE, speed_mps=speed_mps, held_s=0.0, age_s=0.0)

    def go_silent(self, age_s: float = 60.0) -> None:
        """The last reading is ``age_s`` seconds old: stale counts as moving."""
        self.set(age_s=age_s)

    def start_drive(self, drive_id: str) -> None:
        """A new ignition cycle."""
        self.set(drive_id=drive_id)

    def set_privacy(self, on: bool) -> None:
        """The vehicle's privacy switch: on closes the gate."""
        self.set(privacy=on)

    def set_profile(self, profile: str | None) -> None:
        """Who the vehicle says is driving (R18)."""
        self.set(profile=profile)

    def set(self, **signals: Any) -> None:
        """Change any field of :class:`VehicleState` and tell subscribers."""
        with self._lock:
            self._state = replace(self._state, **signals)
            subscribers = list(self._subscribers.values())
        for callback in subscribers:  # outside the lock: a subscriber may read
            callback()
