"""The pseudonyms of records: what the service knows a record by (R6).

The ledger is made with one random name for each purpose. A grant of another identity (a lost vault, or consent
that lived in a program's memory) gets a new one, because the service knows the old one by its key.
"""

from __future__ import annotations

import json
import secrets
from typing import Protocol

from ..model.consent import Purpose

__all__ = ["Names", "next_record_id", "record_id"]

_IDS = "record_ids."


class Names(Protocol):
    """The part of the ledger that names are kept in."""

    def record_id(self, purpose: Purpose) -> str: ...

    def meta(self, key: str) -> str | None: ...


def record_id(names: Names, purpose: Purpose, epoch: int) -> str:
    """The pseudonym under which the grant of ``epoch`` is known to the service."""
    known = names.record_id(purpose)
    for first, later in _later(names, purpose):
        if epoch >= first:
            known = later
    return known


def next_record_id(names: Names, purpose: Purpose, epoch: int, *, same_identity: bool) -> tuple[str, dict[str, str]]:
    """The pseudonym of a new grant, and the settings to commit with it."""
    if same_identity:
        return record_id(names, purpose, epoch), {}
    fresh = secrets.token_hex(16)
    return fresh, {_IDS + purpose.value: json.dumps([*_later(names, purpose), [epoch, fresh]])}


def _later(names: Names, purpose: Purpose) -> list[tuple[int, str]]:
    try:
        return [(int(first), str(name)) for first, name in json.loads(names.meta(_IDS + purpose.value) or "[]")]
    except (ValueError, TypeError, OverflowError, RecursionError):
        return []  # then the service knows this record by another key, and refuses it
