"""When a new route may be asked for: at most once in some seconds, and less often while none is had.

Time is that of the positions, so that a recording played fast asks as often as the drive would have.
"""

from __future__ import annotations

from typing import Final

from .retry import backoff_s

__all__ = ["Pace"]

_APART_S: Final = 10.0
_FAILED_APART_S: Final = 5.0


class Pace:
    """How often one drive asks. Seconds are those of the positions' clock, whose steps back count as waited (R13)."""

    def __init__(self) -> None:
        self._asked_s: float | None = None
        self._wait_s = _APART_S
        self._failures = 0

    def is_due(self, now_s: float) -> bool:
        """A request may be made now."""
        return self._asked_s is None or not 0.0 <= now_s - self._asked_s < self._wait_s

    def begins(self, now_s: float) -> None:
        """One is made."""
        self._asked_s = now_s

    def succeeded(self) -> None:
        self._failures, self._wait_s = 0, _APART_S

    def failed(self, jitter: float) -> None:
        """``jitter`` in [0, 1): see :func:`~.retry.backoff_s`."""
        self._failures += 1
        self._wait_s = max(_FAILED_APART_S, backoff_s(self._failures, jitter))
