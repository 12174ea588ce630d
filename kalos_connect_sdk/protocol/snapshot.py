"""What is known of every record at one version of the page: an immutable value, which other threads read as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..model.consent import Purpose, RecordState
from ..model.decision import Reason

__all__ = ["Snapshot"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known of every record at one version of the page."""

    version: int
    withdrawals: Mapping[Purpose, int]
    """The page's count of withdrawals then, or before what is over and not recorded yet: another number now means that
    one came since."""
    records: Mapping[Purpose, RecordState]
    authentic: Mapping[Purpose, bool]
    floor: Mapping[Purpose, int]
    """Highest epoch known to have ended, from RAM and vault."""
    unreadable: Reason | None
    record_ids: Mapping[Purpose, str]
    """The pseudonym of each record as its present grant was registered under."""
    run_only: bool
    """The secret lives for this run only (R9)."""
    published: Mapping[Purpose, str]
    """What the service last published about the notice of each purpose, as the ledger keeps it."""

    def knows(self, record: RecordState) -> bool:
        """Whether it was read under the same grant."""
        return self.records[record.purpose].epoch == record.epoch
