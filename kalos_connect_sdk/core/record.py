"""Consent records and receipts (R20)."""

from __future__ import annotations

from .messages import MalformedRecord, attach_signature, notice_message, registration_message, signing_bytes

__all__ = ["MalformedRecord", "attach_signature", "notice_message", "registration_message", "signing_bytes"]
