"""How much was sent, hour by hour, for the person to see: counts alone, kept for eight days.

A count is one setting of the ledger per purpose, hour and run, so that programs that share a state never overwrite
each other's. It is written with the time mark (every few minutes and at the end), not with each batch.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from ..model.consent import Purpose
from ..model.rights import HourOfUse
from .state import State

__all__ = ["PREFIX", "Usage"]

PREFIX: Final = "use."
KEPT: Final = timedelta(days=8)
_HOUR: Final = "%Y-%m-%dT%H"


class Usage:
    """Counts what the sender has delivered. Everything here belongs to the keeper."""

    def __init__(self, state: State, sent: Callable[[], int]) -> None:
        """``sent``: positions acknowledged since this program opened the state."""
        self._state = state
        self._sent = sent
        self._counted = 0
        self._run = secrets.token_hex(4)
        self._name = ""
        self._in_name = 0

    def settings(self) -> dict[str, str | None]:
        """What is to be written now: this hour's count, and the removal of what is older than eight days."""
        fresh, self._counted = self._sent() - self._counted, self._sent()
        if fresh <= 0:
            return {}
        now = datetime.fromtimestamp(self._state.now().wall_s, UTC)
        name = f"{PREFIX}{Purpose.NAVIGATION.value}.{now.strftime(_HOUR)}.{self._run}"
        self._in_name = fresh + (self._in_name if name == self._name else 0)
        self._name = name
        old = {key: None for key, hour in _hours(self._state.ledger.settings(PREFIX)).items() if hour < now - KEPT}
        return {**old, name: str(self._in_name)}

    def names(self) -> tuple[str, ...]:
        """Every setting of it, to be forgotten with a deletion request."""
        self._name, self._counted = "", self._sent()
        return tuple(self._state.ledger.settings(PREFIX))

    def hours(self, days: int) -> list[HourOfUse]:
        """The hours of the last ``days`` days in which something was sent, oldest first."""
        settings = self._state.ledger.settings(PREFIX)
        since = datetime.fromtimestamp(self._state.now().wall_s, UTC) - timedelta(days=days)
        counts: dict[tuple[datetime, Purpose], int] = {}
        for name, hour in _hours(settings).items():
            if hour > since - timedelta(hours=1):
                place = (hour, Purpose(name.split(".")[1]))
                counts[place] = counts.get(place, 0) + int(settings[name])
        return [HourOfUse(hour, purpose, counts[hour, purpose]) for hour, purpose in sorted(counts, key=lambda p: p[0])]


def _hours(settings: Mapping[str, str]) -> dict[str, datetime]:
    return {name: datetime.strptime(name.split(".")[2], _HOUR).replace(tzinfo=UTC) for name in settings}
