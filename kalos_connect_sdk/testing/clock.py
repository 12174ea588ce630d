"""A clock that stands still until a test moves it (R13)."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

from ..model.timing import ClockReading

__all__ = ["FakeClock"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class FakeClock:
    """The wall clock, the boot time and the boot of one imaginary machine.

    Two of them are the same machine in the same boot, with the time between their walls gone by: so a second
    process in a test may simply make its own. ``wall``: an aware datetime. Nothing moves on its own. Readings are in
    whole milliseconds, the resolution that is kept of a grant, so that no time passes between a grant and its copy.
    """

    simulated = True

    def __init__(self, wall: datetime) -> None:
        """Raises ``ValueError`` for a ``wall`` without a time zone."""
        self._lock = threading.Lock()
        self._wall_us = _microseconds(wall)
        # Boot time begins at the wall's own number, so that a later FakeClock is later in the same boot.
        self._boottime_us = max(0, self._wall_us)
        self._suspended_us = 0
        self._boots = 1

    def __repr__(self) -> str:
        return f"<FakeClock {self.now().isoformat()}, boot {self._boots}>"

    def read(self) -> ClockReading:
        """What every clock of the machine says."""
        with self._lock:
            return ClockReading(
                _seconds(self._wall_us),
                _seconds(self._boottime_us),
                _seconds(self._suspended_us),
                f"fake-boot-{self._boots}",
            )

    def now(self) -> datetime:
        """The wall clock as an aware datetime in UTC."""
        return datetime.fromtimestamp(self.read().wall_s, UTC)

    def advance(self, seconds: float) -> None:
        """Let time pass. Raises ``ValueError`` for negative ``seconds``: only :meth:`set_wall` goes back."""
        self._pass(seconds, suspended=False)

    def suspend(self, seconds: float) -> None:
        """Let time pass while the machine sleeps."""
        self._pass(seconds, suspended=True)

    def set_wall(self, wall: datetime) -> None:
        """Turn the wall clock to any time, forwards or back; boot time does not notice."""
        with self._lock:
            self._wall_us = _microseconds(wall)

    def reboot(self, wall: datetime | None = None) -> None:
        """A new boot: boot time begins at zero. ``wall``: what the wall clock says then; kept when None.

        Reboots the clock alone: data keys in this machine's memory stay where they are.
        """
        with self._lock:
            self._boots += 1
            self._boottime_us = self._suspended_us = 0
            if wall is not None:
                self._wall_us = _microseconds(wall)

    def _pass(self, seconds: float, *, suspended: bool) -> None:
        if not 0 <= seconds < float("inf"):
            raise ValueError("time passes by zero or more seconds; set_wall() turns the wall clock back")
        passed_us = round(seconds * 1_000_000)
        with self._lock:
            self._wall_us += passed_us
            self._boottime_us += passed_us
            if suspended:
                self._suspended_us += passed_us


def _microseconds(wall: datetime) -> int:
    if wall.utcoffset() is None:
        raise ValueError("wall must carry a time zone, such as datetime(2027, 1, 15, 9, 0, tzinfo=UTC)")
    return (wall - _EPOCH) // timedelta(microseconds=1)


def _seconds(microseconds: int) -> float:
    return microseconds // 1000 / 1000
