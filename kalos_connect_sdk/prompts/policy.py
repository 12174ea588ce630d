"""The QR code of the full policy, for the pages that are read when parked. Needs the extra ``web``."""

from __future__ import annotations

from typing import Any

from ..errors import ConfigError

__all__ = ["policy_code"]


def policy_code(url: str) -> Any:
    """A ``segno.QRCode``. Raises :class:`~kalos_connect_sdk.ConfigError` when the extra is not installed."""
    missing = False
    try:
        import segno
    except ImportError:
        missing = True
    if missing:
        raise ConfigError("policy_url needs the extra: pip install 'kalos-connect-sdk[web]'")
    return segno.make(url, error="m")
