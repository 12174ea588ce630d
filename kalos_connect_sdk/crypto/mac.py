"""Message authentication: HMAC-SHA256, which ties the ledger to the vault's key (R8)."""

from __future__ import annotations

import hmac

__all__ = ["mac", "same"]


def mac(key: bytes, message: bytes) -> bytes:
    """The 32-byte HMAC-SHA256 of ``message``. Raises :class:`ValueError` for a key shorter than 32 bytes."""
    if len(key) < 32:
        raise ValueError("an authentication key has at least 32 bytes")
    return hmac.digest(key, message, "sha256")


def same(a: bytes, b: bytes) -> bool:
    """Compare two codes in a time that does not tell where they differ."""
    return hmac.compare_digest(a, b)
