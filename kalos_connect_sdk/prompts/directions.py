"""What a driver is told along a route, as sentences: distance and instruction, in the languages of the catalogues.

The instruction itself comes with the route, in the route's language; here it becomes part of a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

from ..model.events import Arrived, BackOnRoute, DriveEvent, Guidance, OffRoute, Rerouted, RerouteFailed
from .catalogue import N_, in_language

__all__ = ["Directions", "directions_for", "sentence"]

_NOW_M: Final = 50.0
_FINE_M: Final = 100.0
_COARSE_M: Final = 950.0
_FAR_M: Final = 9950.0


@dataclass(frozen=True, slots=True)
class Directions:
    """One language's patterns. ``point`` is the decimal sign."""

    ahead: str = N_("In {distance}, {instruction}")
    end_ahead: str = N_("In {distance} you reach your destination.")
    arrived: str = N_("You have arrived.")
    off_route: str = N_("You have left the route.")
    back: str = N_("You are back on the route.")
    rerouted: str = N_("New route: {distance}, {duration}.")
    retrying: str = N_("There is no new route yet; it is asked for again.")
    given_up: str = N_("There is no new route; the old one goes on.")
    metres: str = N_("{n} m")
    kilometres: str = N_("{n} km")
    minutes: str = N_("{n} min")
    point: str = N_(".")

    def distance(self, metres: float) -> str:
        """As a driver reads it: tens of metres, fifties, then kilometres."""
        if metres < _FINE_M - 5:
            return self.metres.format(n=max(10, 10 * round(metres / 10)))
        if metres < _COARSE_M:
            return self.metres.format(n=50 * round(metres / 50))
        tenths = round(metres / 100) if metres < _FAR_M else 10 * round(metres / 1000)
        text = f"{tenths / 10:.1f}".removesuffix(".0")
        return self.kilometres.format(n=text.replace(".", self.point))

    def duration(self, seconds: float) -> str:
        """In whole minutes, one at least."""
        return self.minutes.format(n=max(1, round(seconds / 60)))


@cache
def directions_for(locale: str) -> Directions:
    """The patterns of ``locale``; English where there are none."""
    return in_language(Directions(), locale)


def sentence(event: DriveEvent, locale: str) -> str | None:
    """An event of guidance as a driver is told it, ``locale`` being the route's; ``None`` for other events."""
    words = directions_for(locale)
    if isinstance(event, Guidance):
        return _guidance(event, words)
    if isinstance(event, Rerouted):
        route = event.route
        return words.rerouted.format(
            distance=words.distance(route.distance_m), duration=words.duration(route.duration_s)
        )
    if isinstance(event, RerouteFailed):
        return words.retrying if event.retrying else words.given_up
    return {Arrived: words.arrived, OffRoute: words.off_route, BackOnRoute: words.back}.get(type(event))


def _guidance(event: Guidance, words: Directions) -> str:
    distance = words.distance(event.distance_m)
    if event.kind.startswith("arrive"):  # its instruction is for whoever is there
        return words.end_ahead.format(distance=distance)
    if event.distance_m < _NOW_M:
        return event.instruction
    return words.ahead.format(distance=distance, instruction=_inside(event.instruction))


def _inside(instruction: str) -> str:
    """An instruction that begins no sentence any more; a name or a road's number keeps its letters."""
    return instruction[:1].lower() + instruction[1:] if instruction[1:2].islower() else instruction
