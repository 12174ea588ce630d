"""Reading the review of a drive from the ledger, and remembering how far a person has read. Runs on the keeper."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from ..core.review import review
from ..errors import StateUnreadable
from ..model.decision import Reason
from ..model.review import DriveReview

if TYPE_CHECKING:
    from .state import State

__all__ = ["mark_seen", "unseen"]

_SEEN: Final = "review.seen"


def unseen(state: State) -> DriveReview:
    """What happened while moving and nobody has marked as seen. Raises :class:`StateError`."""
    from .evidence import await_history

    await_history(state)
    if state.unreadable is Reason.STATE_UNREADABLE:
        raise StateUnreadable(state.problem)
    rows = state.ledger.events(_seen(state))
    return DriveReview(review(json.loads(row.body) for row in rows), rows[-1].hash.hex() if rows else "")


def mark_seen(state: State, shown: DriveReview) -> None:
    """Everything up to what ``shown`` looked at has been seen; a later event has not, and an event of another history
    marks nothing. Raises :class:`StateError`."""
    seen = [row.seq for row in state.ledger.events(_seen(state)) if row.hash.hex() == shown.upto]
    if seen:
        state.commit(meta={_SEEN: str(seen[0])})


def _seen(state: State) -> int:
    """0 where the setting is no number: telling twice is better than not at all."""
    known = state.ledger.meta(_SEEN) or ""
    return int(known) if known.isascii() and known.isdigit() else 0
