"""How the vehicle moved when something happened: what every event of the ledger is written with (R12).

A program with vehicle signals goes by what they said last; it does not ask them anew, for a withdrawal waits for no
adapter (R11). It also leaves word for programs that have none (a companion, a command): one setting while the vehicle
is not known to be parked. Theirs count as moving then, whatever they assert of themselves.
"""

from __future__ import annotations

import time
from typing import Final

from ..errors import StateError
from ..model.decision import Reason
from ..model.vehicle import Motion
from .state import State
from .view import View
from .worker import Worker

__all__ = ["Moving"]

_SETTING: Final = "moving"
_AGAIN_S: Final = 30.0


class Moving:
    """Of one opened state."""

    def __init__(self, state: State, view: View, keeper: Worker) -> None:
        self._state = state
        self._view = view
        self._keeper = keeper
        self._told: bool | None = None
        self._again = 0.0

    def now(self) -> Motion:
        """As far as this program, or else another one, knows. On the keeper; never raises."""
        heard = self._view.heard_motion()
        if heard is not None:
            return heard
        try:
            if self._state.ledger.meta(_SETTING) is not None:
                return Motion.MOVING
        except StateError:
            return Motion.UNKNOWN
        return Motion.PARKED if self._view.asserts_parked else Motion.UNKNOWN

    def look(self) -> None:
        """Hear the vehicle and leave word when it sets off or parks. On the watcher; waits for nobody."""
        self._view.vehicle()
        heard = self._view.heard_motion()
        if heard is None:
            return
        moves = heard is not Motion.PARKED
        if moves is not self._told and time.monotonic() >= self._again:
            self._told = moves
            self._keeper.post(lambda: self._tell(moves))

    def _tell(self, moves: bool) -> None:
        setting = "1" if moves else None
        state = self._state
        try:
            if state.unreadable is not Reason.STATE_UNREADABLE and state.ledger.meta(_SETTING) != setting:
                state.commit(meta={_SETTING: setting})
        except StateError:  # a full disk, another program's commit: once more after a while
            self._told, self._again = None, time.monotonic() + _AGAIN_S
