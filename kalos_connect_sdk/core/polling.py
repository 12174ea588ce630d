"""When the service is asked again whether a consent still stands, while nothing else is said to it (R7, R13).

* About once a minute, never twice at once: a fleet that started together does not ask together.
* Failures ask less often, up to five minutes; what the service itself asks for counts most, within bounds.
* Time is the boot's own, which no wall clock moves. A machine that slept asks when it wakes, unless it was told to
  wait; and what another boot noted says nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from ..model.timing import ClockReading
from .retry import RETRY_AFTER_MAX_S

__all__ = [
    "INTERVAL_S",
    "Plan",
    "after_answer",
    "after_failure",
    "at_opening",
    "is_due",
    "plan_from_text",
    "plan_to_text",
]

INTERVAL_S: Final = 60.0
_FIRST_S: Final = 5.0
_RARELY_S: Final = 300.0
_SLEPT_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """The next question: not before ``due_s`` of the boot. ``attempts``: failures in a row. ``told``: the service
    named that time."""

    boot_id: str
    due_s: float
    suspended_s: float
    attempts: int = 0
    told: bool = False


def at_opening(reading: ClockReading, jitter: float) -> Plan:
    """The first one of a run. ``jitter`` in [0, 1)."""
    return Plan(reading.boot_id, reading.boottime_s + _FIRST_S * (0.5 + 0.5 * jitter), reading.suspended_s)


def after_answer(reading: ClockReading, jitter: float) -> Plan:
    """The service answered, or is being asked now."""
    return Plan(reading.boot_id, reading.boottime_s + INTERVAL_S * (0.9 + 0.2 * jitter), reading.suspended_s)


def after_failure(plan: Plan, reading: ClockReading, jitter: float, wait_s: float | None = None) -> Plan:
    """It did not. ``wait_s``: what it asked for in ``Retry-After``."""
    attempts = min(plan.attempts + 1, 8)
    own = min(INTERVAL_S * 2.0 ** (attempts - 1), _RARELY_S) * (0.9 + 0.2 * jitter)
    due_s = reading.boottime_s + min(max(own, wait_s or 0.0), RETRY_AFTER_MAX_S)
    return Plan(reading.boot_id, due_s, reading.suspended_s, attempts, wait_s is not None and wait_s >= own)


def is_due(plan: Plan, reading: ClockReading) -> bool:
    """Whether to ask now. A plan for later than any wait there is was made by a clock that is none."""
    if plan.boot_id != reading.boot_id:
        return True
    if not plan.told and not abs(reading.suspended_s - plan.suspended_s) < _SLEPT_S:
        return True
    return not reading.boottime_s < plan.due_s <= reading.boottime_s + RETRY_AFTER_MAX_S


def plan_to_text(plan: Plan) -> str:
    """For the other programs of the same state."""
    return json.dumps(
        [plan.boot_id, round(plan.due_s * 1000), round(plan.suspended_s * 1000), plan.attempts, plan.told]
    )


def plan_from_text(text: str) -> Plan | None:
    """The inverse; None for anything else: a note that cannot be read keeps nobody from asking."""
    found: Any = None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        pass
    if not (isinstance(found, list) and [type(item) for item in found] == [str, int, int, int, bool]):
        return None
    boot_id, due_ms, suspended_ms, attempts, told = found
    if not (0 <= due_ms < 2**53 and 0 <= suspended_ms < 2**53 and 0 <= attempts <= 8):
        return None
    return Plan(boot_id, due_ms / 1000, suspended_ms / 1000, attempts, told)
