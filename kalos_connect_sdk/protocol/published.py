"""Where the service's own notice is kept, as it was last heard: one setting of the ledger for each purpose (R14)."""

from __future__ import annotations

from ..errors import StateError
from ..model.consent import Purpose
from ..storage.ledger import Ledger
from .standins import UnreadableLedger

__all__ = ["kept", "setting"]

_PREFIX = "published."


def setting(purpose: Purpose) -> str:
    """The name of the setting."""
    return _PREFIX + purpose.value


def kept(ledger: Ledger | UnreadableLedger) -> dict[Purpose, str]:
    """What was heard, as ``core.notices.published`` reads it. Without a ledger the gate says no anyway."""
    try:
        found = ledger.settings(_PREFIX)
    except StateError:
        return {}
    return {purpose: found[setting(purpose)] for purpose in Purpose if setting(purpose) in found}
