"""Sealing: AES-256-GCM over bytes.

Rules kept here:

* R4, R9: a sealed position opens only with the data key; changed, cut or moved ciphertext does not open.
* R10: no key shows in ``repr``, and a failure to open carries neither key nor text, in itself or its context.

A nonce is used once per key: the caller counts (``storage.outbox``). ``cryptography`` is imported when the
first key is used, not when this module is.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import NoReturn

__all__ = ["KEY_BYTES", "NONCE_BYTES", "OVERHEAD_BYTES", "SealBroken", "Sealer", "new_key"]

KEY_BYTES = 32
NONCE_BYTES = 12
OVERHEAD_BYTES = 16
"""How much longer sealed bytes are than the plaintext: the authentication tag."""


class SealBroken(ValueError):
    """Sealed bytes do not open: another key, nonce or associated data, or they were changed."""


def new_key() -> bytes:
    """A fresh data key, 32 random bytes."""
    return secrets.token_bytes(KEY_BYTES)


class Sealer:
    """Seals and opens with one data key.

    ``seal(nonce, plaintext, aad) -> bytes`` is the library's own bound method: sealing is on the path of
    every accepted position, and a Python frame around it would cost a third of it.
    """

    __slots__ = ("_broken", "_open", "seal")

    seal: Callable[[bytes, bytes, bytes], bytes]

    def __init__(self, key: bytes) -> None:
        """``key``: 32 bytes. Raises :class:`ValueError` otherwise, without the key."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if not isinstance(key, bytes) or len(key) != KEY_BYTES:
            raise ValueError(f"a data key has {KEY_BYTES} bytes")
        cipher = AESGCM(key)
        self.seal = cipher.encrypt
        self._open = cipher.decrypt
        self._broken = (InvalidTag, ValueError)  # ValueError: a nonce of the wrong length

    def open(self, nonce: bytes, sealed: bytes, aad: bytes) -> bytes:
        """The plaintext. Raises :class:`SealBroken`, without context."""
        try:
            return self._open(nonce, sealed, aad)
        except self._broken:
            pass
        raise SealBroken("sealed bytes do not open")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is neither copied nor pickled")  # R10

    def __repr__(self) -> str:
        return "<Sealer>"
