"""The system's clocks (R13)."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from ..model.timing import ClockReading

__all__ = ["SystemClock"]

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", 0))
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class SystemClock:
    """Wall clock, boot time that counts suspend, and the boot's id. Elsewhere than Linux, ``monotonic`` stands in."""

    simulated = False

    def __init__(self) -> None:
        self._boot_id = _boot_id()

    def read(self) -> ClockReading:
        """All of them at once."""
        monotonic = time.monotonic()
        boottime = time.clock_gettime(_BOOTTIME) if sys.platform == "linux" else monotonic
        return ClockReading(time.time(), boottime, max(0.0, boottime - monotonic), self._boot_id)

    def stamp(self) -> tuple[float, float]:
        """``(wall_s, boottime_s)`` alone: the hot path's reading."""
        return time.time(), time.clock_gettime(_BOOTTIME)


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return "unknown-boot"
