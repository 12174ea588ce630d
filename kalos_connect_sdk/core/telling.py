"""What a driver is told along a route, and when: each manoeuvre once a band of distance, each turn of events once.

Off the route nothing of the old one is told: its next turn means nothing from where the car is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ..model.events import Arrived, BackOnRoute, DriveEvent, Guidance, OffRoute
from ..model.route import Manoeuvre
from .guidance import Step

__all__ = ["BANDS_M", "Telling", "ahead"]

BANDS_M: Final = (1000.0, 500.0, 200.0, 50.0)
"""A manoeuvre is told when it becomes the next one, and when its distance falls below each of these."""


class Telling:
    """From the steps of one route to events."""

    def __init__(self) -> None:
        self._told: tuple[Manoeuvre | None, int] | None = None
        self._off = False
        self._there = False

    def of(self, step: Step) -> Iterator[DriveEvent]:
        """What is new in ``step``; nothing after the arrival."""
        if self._there:
            return
        if step.arrived:
            self._there = True
            yield Arrived()
            return
        if step.off_route != self._off:
            self._off, self._told = step.off_route, None
            yield OffRoute(step.aside_m) if step.off_route else BackOnRoute()
        guidance = ahead(step)
        mark = (step.manoeuvre, _band(step.distance_m))
        if guidance is not None and mark != self._told:
            self._told = mark
            yield guidance


def ahead(step: Step) -> Guidance | None:
    """The next manoeuvre of a step, where there is one and the car is on the way to it."""
    manoeuvre = step.manoeuvre
    if manoeuvre is None or step.off_route or step.arrived:
        return None
    return Guidance(manoeuvre.instruction, step.distance_m, manoeuvre.kind, step.remaining_m)


def _band(distance_m: float) -> int:
    return sum(distance_m < edge for edge in BANDS_M)
