"""Who may be told where the device is in order to find a way from there (R14, R16)."""

from __future__ import annotations

from collections.abc import Collection

from ..config import is_loopback
from ..model.decision import Reason

__all__ = ["forbidden"]


def forbidden(
    *, url: str, recipient: str, region: str | None, named: Collection[str], in_mainland_china: bool
) -> Reason | None:
    """Why a third party at ``url`` may not have a position, consent being given; None when it may.

    A literal loopback address is this device. Anyone else must be among the recipients ``named`` in the notice that was
    agreed to, and abroad gets no position in mainland China: the cross-border grant is for the Connect service alone.
    """
    if is_loopback(url):
        return None
    if not recipient or recipient not in named:
        return Reason.RECIPIENT_NOT_NAMED  # R14
    return Reason.CROSS_BORDER if in_mainland_china and region != "CN" else None  # R16
