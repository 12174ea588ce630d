"""What came back: bounded, lower-case headers, and a date only when TLS vouches for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Answer", "http_date_s"]


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """One answer of the service.

    ``date_s``: its ``Date`` in seconds since 1970, ``None`` over plain http, where anyone could have written
    it (R13). ``sent_bytes``: size of the request's body as it went over the wire.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    date_s: float | None = None
    sent_bytes: int = 0

    def __repr__(self) -> str:
        return f"<Answer {self.status}, {len(self.body)} bytes>"

    @property
    def ok(self) -> bool:
        """True for 2xx."""
        return 200 <= self.status < 300


def http_date_s(text: str | None) -> float | None:
    """Seconds since 1970 of an HTTP date, ``None`` when it is absent or malformed."""
    if text is None:
        return None
    try:
        date = parsedate_to_datetime(text)
        return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
