"""Guidance along a route: where on the line are we, what comes next, have we left it, are we there (pure).

A fix is looked for in a window of the line around the place where the car must be; the whole line is looked over only
to find it at first, and when it is lost. That the car has left the route, or is back on it, takes evidence of several
fixes and of metres driven: see ``deviation``. docs/guidance.md has the numbers, and what they were taken from.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Final

from ..model.route import Manoeuvre, Route
from .deviation import USELESS_M, Evidence, Fix, allowed_m, leads_against
from .line import Line, Passage

__all__ = ["Guide", "Step"]

_AHEAD_M: Final = 100.0
_AHEAD_A_METRE: Final = 3.0
_BEHIND_M: Final = 150.0
_DOUBT: Final = 0.1
"""Metres aside that a metre along the line counts: a fix is seldom 100 m further than it moved."""
_WENT_BACK_M: Final = 60.0
_RETURN_M: Final = 10.0
"""How much nearer than allowed one has to be to be back: who is at the limit is not told again and again."""
_REACHED_M: Final = 1.0
_THERE_M: Final = 10.0
_NEARLY_THERE_M: Final = 25.0
_STOOD_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Step:
    """What to tell now. ``manoeuvre`` is the next one, ``distance_m`` along the line until it.

    ``aside_m``: from the line. Off the route the distances along it are as they were when it was left.
    """

    manoeuvre: Manoeuvre | None
    distance_m: float
    remaining_m: float
    arrived: bool
    off_route: bool
    aside_m: float = 0.0


class _Where(Enum):
    SOUGHT = "sought"
    ON = "on"
    OFF = "off"
    THERE = "there"


class Guide:
    """Follows one route. Raises ``ValueError`` for a route without a line."""

    def __init__(self, route: Route) -> None:
        self._line = Line(route.line)
        found = sorted(((self._line.at(m.begin_index), m) for m in route.manoeuvres), key=lambda each: each[0])
        self._begins = [at for at, _ in found]
        self._manoeuvres = [manoeuvre for _, manoeuvre in found]
        self._where = _Where.SOUGHT
        self._here_m = 0.0  # where the latest fix is; it may go back
        self._come_m = 0.0  # the furthest that was told; it never does while on the route
        self._aside_m = 0.0
        self._slack_m = math.inf
        self._before: Fix | None = None
        self._stands_since_s: float | None = None
        self._left = Evidence()
        self._back = Evidence()

    @property
    def length_m(self) -> float:
        """Length of the line in metres."""
        return self._line.length_m

    def update(
        self,
        latitude: float,
        longitude: float,
        *,
        accuracy_m: float | None = None,
        speed_mps: float | None = None,
        course_deg: float | None = None,
        time_s: float | None = None,
    ) -> Step:
        """The step for a position in WGS-84 degrees; whatever else is known of it makes the answer better."""
        fix = Fix(latitude, longitude, accuracy_m, speed_mps, course_deg, time_s)
        if self._where is not _Where.THERE and (accuracy_m is None or accuracy_m <= USELESS_M):
            if self._where is _Where.SOUGHT:
                self._seek(fix)
            elif self._where is _Where.ON:
                self._follow(fix)
            else:
                self._return(fix)
            self._before = fix
        return self._step()

    # -- the three ways to look for a fix --------------------------------------------------------

    def _seek(self, fix: Fix) -> None:
        """Before the line was reached: from a car park, say. Who comes no nearer, and then goes away, has left it."""
        limit = allowed_m(fix.accuracy_m)
        nearest, passages = self._line.passages(fix.latitude, fix.longitude, limit)
        self._aside_m = nearest.aside_m
        self._slack_m = min(self._slack_m, nearest.aside_m)
        if passages:  # of a line that ends where it begins, the beginning
            self._join(passages[0], fix)
        elif nearest.aside_m <= self._slack_m + limit:
            self._left.clear()
        elif not fix.standing and self._left.grows(fix):
            self._where = _Where.OFF

    def _follow(self, fix: Fix) -> None:
        """On the route: in the window around where the car must be."""
        assert self._before is not None
        moved = self._before.apart_m(fix)
        passage = self._line.likeliest(
            fix.latitude,
            fix.longitude,
            expected_m=self._here_m + moved,
            low_m=self._here_m - _BEHIND_M - moved,
            high_m=self._here_m + _AHEAD_M + _AHEAD_A_METRE * moved,
            doubt=_DOUBT,
            wrong_way=partial(leads_against, fix) if fix.heading is not None else None,
        )
        self._aside_m = passage.aside_m
        if passage.aside_m > allowed_m(fix.accuracy_m):
            self._stray(fix)
            return
        self._here_m = passage.along_m
        if leads_against(fix, self._line.course_deg(passage.segment)) or self._come_m - self._here_m > _WENT_BACK_M:
            self._stray(fix)
            return
        self._left.clear()
        if not fix.standing:  # noise must not carry a car forward that waits at a light
            self._come_m = max(self._come_m, self._here_m)
        self._arrive(fix)

    def _stray(self, fix: Fix) -> None:
        """A fix speaks against being on the route here. Believed, it may still be on the line further ahead."""
        if fix.standing or not self._left.grows(fix):
            return
        passage = self._found_again(self._left, fix, allowed_m(fix.accuracy_m))
        if passage is not None and passage.along_m >= self._come_m:
            self._join(passage, fix)
        else:
            self._where = _Where.OFF
            self._aside_m = self._line.passages(fix.latitude, fix.longitude, 0.0)[0].aside_m

    def _return(self, fix: Fix) -> None:
        """Off the route: over the whole line."""
        limit = allowed_m(fix.accuracy_m) - _RETURN_M
        nearest, passages = self._line.passages(fix.latitude, fix.longitude, limit)
        self._aside_m = nearest.aside_m
        if not passages:
            self._back.clear()
        elif not fix.standing and self._back.grows(fix):
            passage = self._found_again(self._back, fix, limit)
            self._back.clear()
            if passage is not None:
                self._come_m = passage.along_m
                self._join(passage, fix)

    def _found_again(self, evidence: Evidence, fix: Fix, limit_m: float) -> Passage | None:
        """Where the car goes along the line, between the first fix of the evidence and the present one; the next
        such place on the way, else the last one behind. Who only crosses the line goes along it nowhere."""
        first = evidence.first
        assert first is not None
        driven = first.apart_m(fix)
        before = self._line.passages(first.latitude, first.longitude, limit_m)[1]
        after = self._line.passages(fix.latitude, fix.longitude, limit_m)[1]
        along = [b for b in after if any(_goes_along(b.along_m - a.along_m, driven) for a in before)]
        ahead = [passage for passage in along if passage.along_m >= self._come_m]
        return min(ahead, key=_along) if ahead else max(along, key=_along, default=None)

    # -- from one to the other -------------------------------------------------------------------

    def _join(self, passage: Passage, fix: Fix) -> None:
        self._where = _Where.ON
        self._here_m, self._aside_m = passage.along_m, passage.aside_m
        self._come_m = max(self._come_m, passage.along_m)
        self._left.clear()
        self._arrive(fix)

    def _arrive(self, fix: Fix) -> None:
        """There within 10 m, or as near as the fix can tell; within 25 m for who stands there, or has no speed."""
        rest_m = self.length_m - self._here_m
        if not fix.standing or rest_m > _NEARLY_THERE_M:
            self._stands_since_s = None
        elif self._stands_since_s is None:
            self._stands_since_s = fix.time_s
        there_m = max(_THERE_M, min(fix.accuracy_m or 0.0, _NEARLY_THERE_M))
        if fix.speed_mps is None or (
            self._stands_since_s is not None and (fix.time_s or 0.0) - self._stands_since_s >= _STOOD_S
        ):
            there_m = _NEARLY_THERE_M
        if rest_m <= there_m:
            self._where = _Where.THERE

    def _step(self) -> Step:
        remaining = max(0.0, self.length_m - self._come_m)
        there, off = self._where is _Where.THERE, self._where is _Where.OFF
        index = bisect_right(self._begins, self._come_m + _REACHED_M)
        if index < len(self._begins):
            distance = self._begins[index] - self._come_m
            return Step(self._manoeuvres[index], distance, remaining, there, off, self._aside_m)
        last = self._manoeuvres[-1] if self._manoeuvres else None
        return Step(last, remaining, remaining, there, off, self._aside_m)


def _along(passage: Passage) -> float:
    return passage.along_m


def _goes_along(along_m: float, driven_m: float) -> bool:
    """The line leads on between two places as far as a car drove between them, more or less."""
    return 0.5 * driven_m <= along_m <= _AHEAD_A_METRE * driven_m + _AHEAD_M
