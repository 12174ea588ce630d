"""Prompters: what shows a notice to a person and brings the answer back (R12, R14)."""

from __future__ import annotations

from .callback import CallbackPrompter
from .terminal import TerminalPrompter

__all__ = ["CallbackPrompter", "TerminalPrompter"]
