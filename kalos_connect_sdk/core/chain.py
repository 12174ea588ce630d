"""The hash chain of the consent history (R8).

Rules kept here:

* R8: every event's hash covers the hash before it, so that nothing can be changed, cut out, inserted or
  moved without every later hash changing. What is cut off at the *end* shows against the counters of R7.
* A chain that does not verify is reported; this module repairs nothing.

Who may write is settled outside: the vault's key authenticates the links.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

__all__ = ["GENESIS", "BrokenChain", "link", "verify"]

_TAG = b"kalos-connect ledger 1\x00"
_DIGEST_BYTES = 32

GENESIS: bytes = hashlib.sha256(_TAG).digest()
"""What the first event links to."""


class BrokenChain(ValueError):
    """The history does not verify. The text names the event by its number and holds nothing of its content."""


def link(prev: bytes, body: bytes) -> bytes:
    """The hash of an event: SHA-256 over this format's tag, the 32-byte hash before it, and the event's bytes.

    Raises :class:`ValueError` for a ``prev`` of another length, which would let two events share one hash.
    """
    if len(prev) != _DIGEST_BYTES:
        raise ValueError("a link has 32 bytes")
    return hashlib.sha256(_TAG + prev + body).digest()


def verify(rows: Iterable[tuple[int, bytes, bytes, bytes]], start: tuple[int, bytes] = (0, GENESIS)) -> bytes:
    """Check ``(seq, body, prev, hash)`` rows, oldest first, that follow ``start = (seq, hash)``.

    Returns the hash of the last row, or that of ``start`` when there is none. ``seq`` must rise; gaps mean
    nothing, because it is ``prev`` that proves that no event is missing. Raises :class:`BrokenChain`.
    """
    last, head = start
    for seq, body, prev, digest in rows:
        if type(seq) is not int or seq <= last:
            raise BrokenChain("the history's events are out of order")
        # R8: a damaged or foreign file may hold any type in any column
        if not (isinstance(body, bytes) and isinstance(prev, bytes) and isinstance(digest, bytes)):
            raise BrokenChain(f"event {seq} of the history is not bytes")
        if prev != head:
            raise BrokenChain(f"event {seq} of the history does not follow the one before it")
        if digest != link(prev, body):
            raise BrokenChain(f"event {seq} of the history was changed")
        last, head = seq, digest
    return head
