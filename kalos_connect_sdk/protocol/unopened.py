"""Withdrawing from a state that cannot be opened: the tombstone alone is the withdrawal (R5, R11).

A program that is stopped in the middle of a commit keeps the ledger locked, a failing disk keeps it unreadable. The
shared page needs neither: every running program sees the tombstone, and the next opening records and erases.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import StateError
from ..model.consent import Purpose
from ..model.reports import WithdrawalReport
from ..storage.directory import StateDirectory
from ..storage.page import Page

if TYPE_CHECKING:
    from .engine import Parts

__all__ = ["withdraw_unopened"]


def withdraw_unopened(parts: Parts, purposes: Sequence[Purpose], problem: str) -> WithdrawalReport:
    """End on the page what was granted; never ``complete``: nothing is erased. ``problem``: why it is not opened."""
    ended: list[bool] = []
    try:
        directory = StateDirectory.open(parts.app_id, parts.profile, parts.config.state_dir, create=False)
        page = Page.open(directory)
        for purpose in purposes:
            page.count_withdrawal(purpose)
            epoch = page.granted(purpose)
            if epoch:
                ended.append(page.end(purpose, epoch))
        page.close()
    except (StateError, OSError):
        ended.append(False)  # not even that: the report says so
    durable = bool(ended) and all(ended)
    return WithdrawalReport(
        complete=False,
        durable=durable,
        notice="pending" if durable else "none",
        remaining=(problem,),
        detail="Recorded; nothing new is sent. The next opening erases and tells."
        if durable
        else "Nothing is sent; it is not recorded.",
    )
