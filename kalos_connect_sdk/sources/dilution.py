"""From dilution of precision to metres: an estimate where a receiver gives nothing better."""

from __future__ import annotations

from typing import Final

__all__ = ["accuracy_from_hdop"]

_USELESS_HDOP: Final = 50.0
"""Receivers say 50, 99.9 and the like for *unknown*."""
_RANGE_ERROR_M: Final = {2: 2.5, 3: 2.5, 4: 0.05, 5: 0.5}
"""One sigma of a range, in metres, by the fix quality of GGA; 5 m for a plain fix."""


def accuracy_from_hdop(hdop: float | None, quality: int = 1) -> float | None:
    """Horizontal accuracy, 68 %, in metres; ``None`` for an unusable HDOP or a position that is only estimated."""
    if hdop is None or not 0 < hdop < _USELESS_HDOP or quality in (6, 7, 8):
        return None
    return hdop * _RANGE_ERROR_M.get(quality, 5.0)
