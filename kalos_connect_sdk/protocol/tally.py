"""What a withdrawal has achieved so far, and the report that claims no more than that (R3)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..errors import StateError
from ..model.reports import WithdrawalReport
from .state import State

__all__ = ["Tally", "report_of"]


@dataclass(slots=True)
class Tally:
    """Counts and claims of one ending."""

    dropped: int = 0
    aborted: int = 0
    possibly_delivered: int = 0
    tombstones_durable: bool = True
    recorded: bool = False
    """Every end is in the ledger."""
    audited: bool = False
    """The wish itself is in the ledger, once."""
    granted: bool = False
    """Something had been granted at all."""
    remaining: list[str] = field(default_factory=list)
    holders: tuple[int, ...] = ()
    waited_for: set[int] = field(default_factory=set)
    """Other programs counted because they held the barrier."""

    def still(self, item: str) -> None:
        """Note what is left to do, once."""
        if item not in self.remaining:
            self.remaining.append(item)

    def take(self, cut: tuple[int, int]) -> None:
        """Add (aborted, possibly delivered)."""
        self.aborted += cut[0]
        self.possibly_delivered += cut[1]

    def count_holders(self, holders: Iterable[int]) -> None:
        """Each other program that holds the barrier has a request under way whose answer we shall never see."""
        self.waited_for = {pid for pid in holders if pid != os.getpid()}
        self.possibly_delivered += len(self.waited_for)

    def count_cuts(self, cuts: Mapping[int, int]) -> None:
        """What other programs noted of the requests they cut, by pid; a holder that noted is not counted twice. One
        that noted nothing stays counted: it died, or was answered after all."""
        for pid, count in cuts.items():
            self.possibly_delivered += count - (pid in self.waited_for)


def report_of(state: State, tally: Tally, complete: bool, started: float) -> WithdrawalReport:
    """The report. ``started`` in seconds of ``time.monotonic()``."""
    detail = "No precise position leaves this device any more, and what was buffered is gone."
    if not complete:
        detail = "Nothing new is sent. What could not be finished goes on in the background."
    elif not tally.granted:
        detail = "Nothing had been granted; nothing leaves this device."
    elif tally.possibly_delivered:
        detail += f" {tally.possibly_delivered} request(s) cut in flight may have reached the service."
    return WithdrawalReport(
        complete=complete,
        dropped=tally.dropped,
        aborted=tally.aborted,
        possibly_delivered=tally.possibly_delivered,
        notice=_notice(state, tally),
        holders=tally.holders,
        durable=tally.recorded or tally.tombstones_durable,
        remaining=tuple(tally.remaining),
        elapsed_s=time.monotonic() - started,
        detail=detail,
    )


def _notice(state: State, tally: Tally) -> str:
    """``delivered`` only when the ledger says that no notice of an ended grant is left."""
    if not tally.granted:
        return "none"
    if not tally.recorded:
        return "pending"
    try:
        rows = state.ledger.notices()
    except StateError:
        return "pending"
    return "pending" if any(row.awake or state.page.ended(row.purpose, row.epoch) for row in rows) else "delivered"
