"""One reading of every clock the rules need (R13)."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ClockReading"]


@dataclass(frozen=True, slots=True)
class ClockReading:
    """``wall_s``: seconds since 1970, may lie. ``boottime_s``: seconds since boot, counts suspend, never jumps.
    ``suspended_s``: seconds of this boot spent suspended. ``boot_id``: changes with every boot."""

    wall_s: float
    boottime_s: float
    suspended_s: float
    boot_id: str
