"""A profile that is a minor's: marked once, for good (R17). Runs on the keeper.

The mark is an event of the ledger, so that no edit of a file takes it away unseen (R8). One commit holds it together
with the request for deletion; what was granted without evidence of a guardian's consent ends right after. From the
commit on the gate says no, in every process: if this one dies there, another's watcher, or its own at the next
opening, ends the grant.
"""

from __future__ import annotations

from ..errors import VaultUnavailable
from ..model.consent import Purpose
from ..model.rights import DeletionReason, MarkedBy, RequestKind, RightsRequest
from .causes import CAUSES
from .ending import Ending
from .rights import Rights
from .state import State
from .usage import Usage

__all__ = ["Minors"]

_TIMEOUT_S = 5.0


class Minors:
    """Marks the profile of one state."""

    def __init__(self, state: State, ending: Ending, rights: Rights, usage: Usage) -> None:
        self._state = state
        self._ending = ending
        self._rights = rights
        self._usage = usage

    def mark(self, by: MarkedBy) -> RightsRequest | None:
        """Mark, revoke and have deleted what was granted without evidence; the request, if there was any need of one.

        Raises :class:`StateError` when it cannot be recorded and :class:`VaultUnavailable` when the request cannot be
        signed; the mark stands in the second case, and in both the grants have ended.
        """
        state = self._state
        try:
            records = state.reload().records
            if all(record.minor for record in records.values()):
                return None
            return self._record(by)
        finally:
            records = state.snapshot.records
            ended = [p for p, r in records.items() if r.status.active and r.terms is not None and not r.terms.guardian]
            if ended:
                self._ending.end(ended, CAUSES["profile"], _TIMEOUT_S)

    def _record(self, by: MarkedBy) -> RightsRequest | None:
        state = self._state
        events = [
            state.event("minor", record.purpose, record.epoch, cause=by.value)
            for record in state.snapshot.records.values()
        ]
        if not self._collected_without_evidence():
            state.commit(events)
            return None
        try:
            return self._rights.make(
                RequestKind.DELETION, DeletionReason.NO_CONSENT, tuple(self._usage.names()), tuple(events)
            )
        except VaultUnavailable:
            state.commit(events)
            raise

    def _collected_without_evidence(self) -> bool:
        """Positions may have been taken under a grant that no guardian stands for. Only navigation takes any."""
        state = self._state
        record = state.snapshot.records[Purpose.NAVIGATION]
        granted = record.epoch > 0 or state.page.granted(Purpose.NAVIGATION) > 0
        return granted and (record.terms is None or record.terms.guardian is None)
