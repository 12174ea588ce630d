"""What a service may say about itself for demonstrations: counts and bytes for each record, and no position.

Silence after a withdrawal is measured where the bytes would arrive. A request counts for the record its token
belongs to, from its first byte, whether or not it is accepted in the end.
"""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass

__all__ = ["Counts", "Watch"]


@dataclass(slots=True)
class Counts:
    """Of one record. ``positions``: kept now. ``accepted``: ever. ``requests`` and ``bytes``: of position requests,
    in all, since the withdrawal notice arrived, and since the mark."""

    positions: int = 0
    accepted: int = 0
    requests: int = 0
    bytes: int = 0
    bytes_after_withdrawal: int = 0
    bytes_after_mark: int = 0
    requests_after_mark: int = 0
    withdrawn: bool = False


class Watch:
    """Counts for each record; bytes of requests that show no known token count under ``unknown``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, Counts] = {}
        self._marked = False

    def mark(self) -> None:
        """From now on count what arrives apart; counts since an earlier mark start again at zero."""
        with self._lock:
            self._marked = True
            for counts in self._counts.values():
                counts.bytes_after_mark = counts.requests_after_mark = 0

    def request(self, record_id: str) -> None:
        """A position request began."""
        with self._lock:
            counts = self._of(record_id)
            counts.requests += 1
            counts.requests_after_mark += self._marked

    def received(self, record_id: str, size: int) -> None:
        """Bytes of its body arrived."""
        with self._lock:
            counts = self._of(record_id)
            counts.bytes += size
            if counts.withdrawn:
                counts.bytes_after_withdrawal += size
            if self._marked:
                counts.bytes_after_mark += size

    def accepted(self, record_id: str, new: int) -> None:
        """New positions were accepted."""
        with self._lock:
            self._of(record_id).accepted += new

    def granted(self, record_id: str) -> None:
        """A grant was registered: from now on its positions are no longer late."""
        with self._lock:
            self._of(record_id).withdrawn = False

    def withdrawn(self, record_id: str) -> None:
        """A withdrawal had its effect."""
        with self._lock:
            self._of(record_id).withdrawn = True

    def document(self, kept: dict[str, int]) -> dict[str, object]:
        """Everything counted; ``kept``: record -> positions kept now."""
        with self._lock:
            for record_id, positions in kept.items():
                self._of(record_id).positions = positions
            return {
                "marked": self._marked,
                "records": {record_id: asdict(counts) for record_id, counts in self._counts.items()},
            }

    def records(self) -> list[str]:
        """The records counted so far."""
        with self._lock:
            return list(self._counts)

    def _of(self, record_id: str) -> Counts:
        return self._counts.setdefault(record_id, Counts())
