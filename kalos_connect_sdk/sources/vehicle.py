"""What a vehicle says, as an app or an adapter tells it: how old each word is, and how long a gear is held.

Two things make a reading doubtful, and doubtful counts as moving (R12). Age: gear and speed each count for five
seconds, then somebody has to say them again. Contradiction: a vehicle that moves in P has a gear that is wrong, and is
not believed until it is said anew.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from ..core.prompting import STALE_S, STANDING_MPS
from ..model.vehicle import Gear, VehicleState
from .subscribers import Subscribers

__all__ = ["PushedVehicle"]

_BESIDE: Final = ("drive_id", "profile", "privacy")
_KINDS: Final[dict[str, type]] = {"gear": Gear, "speed_mps": float, "drive_id": str, "profile": str, "privacy": bool}


@dataclass(slots=True)
class _Word:
    """One signal: its value, since when it is that, when it was said last. In seconds of a clock that runs in sleep."""

    value: Any
    since_s: float
    at_s: float


def _awake_and_asleep_s() -> float:
    """Seconds since boot, suspended time included: what was said before a sleep is old after it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class PushedVehicle:
    """Vehicle signals that an app has of its own: :meth:`tell` them from any thread, whenever they come.

    ``gear_on_change``: the gear is told only when it changes, so it does not age while the speed keeps coming. Without
    it, repeat gear and speed at least every five seconds.
    """

    def __init__(self, *, gear_on_change: bool = False, now_s: Callable[[], float] = _awake_and_asleep_s) -> None:
        self._gear_on_change = gear_on_change
        self._now_s = now_s
        self._lock = threading.Lock()
        self._words: dict[str, _Word] = {}
        self._beside = VehicleState()
        self._subscribers = Subscribers()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def read(self) -> VehicleState:
        """What was said last, and how old it is. At once."""
        with self._lock:
            now_s = self._now_s()
            gear, speed = self._words.get("gear"), self._words.get("speed_mps")
            return replace(
                self._beside,
                gear=gear.value if gear is not None else None,
                speed_mps=speed.value if speed is not None else None,
                held_s=max(0.0, now_s - gear.since_s) if gear is not None else 0.0,
                age_s=self._age_s(now_s, gear, speed),
            )

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` when something changed, on the thread that told it; returns an unsubscribe."""
        return self._subscribers.add(callback)

    def tell(self, *, lag_s: float = 0.0, **signals: Any) -> None:
        """Any of ``gear`` (a :class:`Gear`), ``speed_mps``, ``drive_id``, ``profile``, ``privacy``; ``None`` is *not
        known*. ``lag_s``: how old they are already. Raises ``TypeError`` for another name or kind."""
        for name, value in signals.items():
            _check(name, value)
        with self._lock:
            before = self._shown()
            now_s = self._now_s()
            for name, value in signals.items():
                if name in _BESIDE:
                    self._beside = replace(self._beside, **{name: value})
                else:
                    self._hear(name, value, now_s - lag_s, now_s)
            self._disbelieve()
            changed = self._shown() != before
        if changed:
            self._subscribers.tell()

    def forget(self) -> None:
        """Nobody says gear and speed any more; who drives, which drive and the privacy switch stay as they were."""
        self.tell(gear=None, speed_mps=None)

    # -- under the lock --------------------------------------------------------------------------

    def _hear(self, name: str, value: Any, at_s: float, now_s: float) -> None:
        before = self._words.get(name)
        if value is None:
            self._words.pop(name, None)
            return
        held = before is not None and before.value is value and self._still_said(name, before, now_s)
        self._words[name] = _Word(value, before.since_s if held and before is not None else now_s, at_s)

    def _still_said(self, name: str, word: _Word, now_s: float) -> bool:
        return (name == "gear" and self._gear_on_change) or now_s - word.at_s <= STALE_S

    def _disbelieve(self) -> None:
        gear, speed = self._words.get("gear"), self._words.get("speed_mps")
        if gear is None or speed is None or gear.value is not Gear.PARK or speed.at_s < gear.at_s:
            return
        if not speed.value < STANDING_MPS:
            del self._words["gear"]

    def _age_s(self, now_s: float, gear: _Word | None, speed: _Word | None) -> float:
        ages = [now_s - word.at_s for word in (gear if not self._gear_on_change else None, speed) if word is not None]
        if not ages or (self._gear_on_change and speed is None):
            return math.inf
        return max(0.0, *ages)

    def _shown(self) -> tuple[Any, ...]:
        gear, speed = self._words.get("gear"), self._words.get("speed_mps")
        moves = None if speed is None else speed.value >= STANDING_MPS
        return (gear.value if gear is not None else None, moves, self._beside)


def _check(name: str, value: Any) -> None:
    if name not in _KINDS or (value is None and name == "privacy"):
        raise TypeError("a vehicle is told gear, speed_mps, drive_id, profile or privacy, which is true or false")
    if value is None:
        return
    if name == "speed_mps":
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
            raise TypeError("speed_mps must be a number of at least 0, or None")
    elif not isinstance(value, _KINDS[name]):
        raise TypeError(f"{name} must be of type {_KINDS[name].__name__}, or None")
