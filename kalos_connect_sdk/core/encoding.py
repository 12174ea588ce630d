"""Bytes as text, in one way only: base64url without padding (RFC 4648, section 5)."""

from __future__ import annotations

import base64
import binascii

__all__ = ["b64", "unb64"]


def b64(raw: bytes) -> str:
    """Unpadded base64url text of ``raw``."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def unb64(text: str) -> bytes:
    """The inverse of :func:`b64`, and of nothing else: padding, white space, other alphabets and stray trailing
    bits are refused, so that one key or signature has one spelling.

    Raises :class:`ValueError`, without the text (R10).
    """
    raw: bytes | None = None
    if isinstance(text, str):
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            pass
    if raw is None or b64(raw) != text:
        raise ValueError("not unpadded base64url")
    return raw
