"""What a service remembers: consents, withdrawals, rights requests, and the positions it may keep for now.

:class:`Store` is the port; :class:`MemoryStore` serves the emulator and tests, :mod:`.sqlite` the service.
A :class:`~.desk.Desk` calls a store under its own lock, so a store need not be safe for threads.

A position is kept until its consent ends, or until ``retention_s`` is over; a dropped one is gone (R3, R4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .rights import Case
from .rules import Consent

__all__ = ["MemoryStore", "Store", "StoredPosition"]


@dataclass(frozen=True, slots=True, repr=False)
class StoredPosition:
    """A position as accepted. ``number`` is the Feature's id within the batch ``key``; degrees, WGS-84."""

    record_id: str
    epoch: int
    key: str
    number: int
    latitude: float
    longitude: float
    time: str
    properties: dict[str, Any]

    def __repr__(self) -> str:
        return f"<StoredPosition of epoch {self.epoch}>"  # R10


class Store(Protocol):
    """The service's memory. Every method is one atomic step; ids and keys are text."""

    def consent(self, record_id: str) -> Consent | None:
        """What is known of a record."""

    def consents_of(self, public_key: str) -> Sequence[Consent]:
        """Every record of one device's key (R16: navigation and cross-border have records of their own)."""

    def record_of(self, token_sha256: str) -> str | None:
        """The record a token was given for."""

    def register(self, consent: Consent, token_sha256: str) -> None:
        """Keep ``consent`` and its newest token; older tokens of the record stop working."""

    def keep(self, consent: Consent) -> None:
        """Keep ``consent`` as it stands now; its token and positions stay."""

    def dropped_by(self, record_id: str, notice_id: str) -> int | None:
        """How many positions a withdrawal notice dropped; ``None`` when it was never seen."""

    def end(self, consent: Consent, notice_id: str | None, up_to_epoch: int) -> int:
        """Keep ``consent``, remember the notice and drop every position up to an epoch; returns how many."""

    def add(self, positions: Sequence[StoredPosition], received_s: float) -> Sequence[StoredPosition]:
        """Keep the positions that are new by (record, key, number) and return those."""

    def forget_before(self, received_s: float) -> int:
        """Drop the positions received before a time; returns how many."""

    def count(self, record_id: str) -> int:
        """How many positions of a record are kept."""

    def case(self, request_id: str) -> Case | None:
        """A rights request."""

    def keep_case(self, case: Case) -> None:
        """Keep a rights request as it stands now."""

    def close(self) -> None:
        """Nothing is used afterwards."""


class MemoryStore:
    """A store that ends with the process."""

    def __init__(self) -> None:
        self._consents: dict[str, Consent] = {}
        self._tokens: dict[str, str] = {}
        self._notices: dict[tuple[str, str], int] = {}
        self._positions: dict[tuple[str, str, int], tuple[StoredPosition, float]] = {}
        self._cases: dict[str, Case] = {}

    def consent(self, record_id: str) -> Consent | None:
        return self._consents.get(record_id)

    def consents(self) -> Sequence[Consent]:
        """Every consent, in the order they were first heard of."""
        return list(self._consents.values())

    def consents_of(self, public_key: str) -> Sequence[Consent]:
        return [consent for consent in self._consents.values() if consent.public_key == public_key]

    def record_of(self, token_sha256: str) -> str | None:
        return self._tokens.get(token_sha256)

    def register(self, consent: Consent, token_sha256: str) -> None:
        self._consents[consent.record_id] = consent
        self._tokens = {token: owner for token, owner in self._tokens.items() if owner != consent.record_id}
        self._tokens[token_sha256] = consent.record_id

    def keep(self, consent: Consent) -> None:
        self._consents[consent.record_id] = consent

    def dropped_by(self, record_id: str, notice_id: str) -> int | None:
        return self._notices.get((record_id, notice_id))

    def end(self, consent: Consent, notice_id: str | None, up_to_epoch: int) -> int:
        self._consents[consent.record_id] = consent
        gone = [
            place
            for place, (position, _) in self._positions.items()
            if position.record_id == consent.record_id and position.epoch <= up_to_epoch
        ]
        for place in gone:
            del self._positions[place]
        if notice_id is not None:
            self._notices[consent.record_id, notice_id] = len(gone)
        return len(gone)

    def add(self, positions: Sequence[StoredPosition], received_s: float) -> Sequence[StoredPosition]:
        new = []
        for position in positions:
            place = (position.record_id, position.key, position.number)
            if place not in self._positions:
                self._positions[place] = (position, received_s)
                new.append(position)
        return new

    def forget_before(self, received_s: float) -> int:
        gone = [place for place, (_, received) in self._positions.items() if received < received_s]
        for place in gone:
            del self._positions[place]
        return len(gone)

    def count(self, record_id: str) -> int:
        return sum(position.record_id == record_id for position, _ in self._positions.values())

    def case(self, request_id: str) -> Case | None:
        return self._cases.get(request_id)

    def cases(self) -> Sequence[Case]:
        """Every rights request, in the order they came."""
        return list(self._cases.values())

    def keep_case(self, case: Case) -> None:
        self._cases[case.request_id] = case

    def close(self) -> None:
        self._positions.clear()
