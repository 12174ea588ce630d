"""Which day it was: NMEA gives most times without a date.

The date of RMC or ZDA counts from then on. A time of day that falls by more than twelve hours has passed
midnight; one that rises by as much came late from the day before. Receivers whose 10-bit GPS week rolled over
are 1024 weeks behind, or a multiple.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final

__all__ = ["EARLIEST", "Calendar"]

EARLIEST: Final = date(2000, 1, 1)
"""No recording is believed to be older: the counter rolled over first in August 1999."""
_ROLL_OVER: Final = timedelta(weeks=1024)
_SUPPORTED: Final = timedelta(days=5 * 365)
"""For so long after this package was made a live date of 1024 weeks ago is taken for a rolled over one."""
_HALF_DAY_MS: Final = 43_200_000


class Calendar:
    """Keeps the date between the sentences that say it."""

    def __init__(self, not_before: date = EARLIEST, now: date | None = None) -> None:
        """``now``: a day that live times are not before."""
        self._not_before = not_before
        self._now = now
        self._day: date | None = None
        self._tod_ms = 0

    def at(self, tod_ms: int, day: date | None) -> datetime | None:
        """The time in UTC of a time of day, with the date if the receiver gave one. None before any date."""
        if day is not None:
            self._day = self._rolled(day)
        elif self._day is not None:
            step_ms = tod_ms - self._tod_ms
            if step_ms < -_HALF_DAY_MS:
                self._day = _shifted(self._day, 1)
            elif step_ms > _HALF_DAY_MS:
                self._day = _shifted(self._day, -1)
        self._tod_ms = tod_ms
        if self._day is None:
            return None
        midnight = datetime(self._day.year, self._day.month, self._day.day, tzinfo=UTC)
        try:
            return midnight + timedelta(milliseconds=tod_ms)
        except OverflowError:
            return None

    def _rolled(self, day: date) -> date:
        while day < self._not_before:
            try:
                day += _ROLL_OVER
            except OverflowError:
                return day
        ahead = _shifted(day, _ROLL_OVER.days)
        if self._now is not None and self._now <= ahead < _shifted(self._now, _SUPPORTED.days):
            return ahead
        return day


def _shifted(day: date, days: int) -> date:
    try:
        return day + timedelta(days=days)
    except OverflowError:
        return day
