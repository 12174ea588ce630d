"""Signing: Ed25519 keys of a device, which sign receipts and withdrawal notices (R5, R8, R20).

R10: a key's ``repr`` shows nothing, and no error carries key material. ``cryptography`` is imported when the
first key is made or checked, not when this module is.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NoReturn

from .encoding import b64

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["PUBLIC_KEY_BYTES", "SIGNATURE_BYTES", "SigningKey", "fingerprint", "verify"]

PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64


class SigningKey:
    """A device's private key. It leaves memory only through :meth:`to_bytes`, for the vault."""

    __slots__ = ("_key", "public")

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key().public_bytes_raw()
        """The 32 bytes others verify with."""

    @classmethod
    def generate(cls) -> SigningKey:
        """A fresh key."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_bytes(cls, raw: bytes) -> SigningKey:
        """The key that :meth:`to_bytes` wrote. Raises :class:`ValueError` unless ``raw`` has 32 bytes."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        if not isinstance(raw, bytes) or len(raw) != 32:
            raise ValueError("a signing key has 32 bytes")
        return cls(Ed25519PrivateKey.from_private_bytes(raw))

    def to_bytes(self) -> bytes:
        """The 32 private bytes, for the vault and nothing else."""
        return self._key.private_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature of ``message``."""
        return self._key.sign(message)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is neither copied nor pickled")  # R10

    def __repr__(self) -> str:
        return "<SigningKey>"


def verify(public: bytes, signature: bytes, message: bytes) -> bool:
    """True when ``signature`` of ``message`` was made with the key behind ``public``.

    Malformed keys and signatures are simply not valid; nothing is raised for what a peer may send.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if len(public) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):  # ValueError: 32 bytes that are no point of the curve
        return False
    return True


def fingerprint(public: bytes) -> str:
    """How a person compares two public keys: ``SHA256:`` and the digest of the 32 bytes in base64url."""
    return "SHA256:" + b64(hashlib.sha256(public).digest())
