"""Requests that programs cut in flight, noted on the shared page before they let go of the barrier (R3).

A withdrawer sees what its own program cut. Every other program notes a request that it cut after bytes had gone out and
before an answer came, while it still holds the barrier: who holds the barrier alone reads all of them.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Final

from ..errors import StateError
from .directory import StateDirectory
from .locks import Lease, wait_lock
from .page import Page

__all__ = ["note_cut", "take_cuts"]

_LOCK: Final = "cuts.lock"
# A program that is stopped while it notes holds the barrier as well: then it is named, and nobody waits for it here.
_WAIT_S: Final = 0.02
_COUNT_BITS: Final = 16


def note_cut(directory: StateDirectory, page: Page, epoch: int) -> None:
    """One more request of ``epoch`` may have reached the service. Never raises; call it while holding the barrier."""
    lease: Lease | None = None
    with suppress(StateError, OSError):  # without the lock two that note at once may share a place
        lease = wait_lock(lambda: directory.open_lock(_LOCK, create=True), time.monotonic() + _WAIT_S, exclusive=True)
    try:
        notes = page.cuts()
        place = _place(notes, page.tag, epoch)
        tag, value = notes[place]
        known = value if tag and value >> _COUNT_BITS == epoch else epoch << _COUNT_BITS
        page.set_cut(place, tag if tag and known == value else page.tag, known + 1)
    finally:
        if lease is not None:
            lease.release()


def take_cuts(page: Page, epoch: int) -> dict[int, int]:
    """What other programs cut of ``epoch`` and later, by pid; each is told once. Only behind the barrier."""
    found: dict[int, int] = {}
    for place, (tag, value) in enumerate(page.cuts()):
        if not tag:
            continue
        page.set_cut(place, 0, 0)
        if tag != page.tag and value >> _COUNT_BITS >= epoch:
            pid = tag >> 32
            found[pid] = found.get(pid, 0) + (value & ((1 << _COUNT_BITS) - 1))
    return found


def _place(notes: list[tuple[int, int]], tag: int, epoch: int) -> int:
    """Our own note of the epoch, else a free place, else one of an older epoch; when all are taken, any: it counts."""
    ours = [at for at, note in enumerate(notes) if note[0] == tag and note[1] >> _COUNT_BITS == epoch]
    free = [at for at, note in enumerate(notes) if not note[0]]
    old = [at for at, note in enumerate(notes) if note[1] >> _COUNT_BITS < epoch]
    return (ours or free or old or [tag % len(notes)])[0]
