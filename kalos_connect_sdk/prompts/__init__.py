"""Prompters: what shows a notice to a person and brings the answer back (R12, R14)."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TextIO

from .callback import CallbackPrompter
from .terminal import TerminalPrompter

__all__ = ["CallbackPrompter", "TerminalPrompter", "terminal_prompter"]


def terminal_prompter(stdout: TextIO | None = None) -> TerminalPrompter:
    """The best prompter for this terminal: a menu where the extra ``cli`` is installed, else line by line."""
    if find_spec("prompt_toolkit") is None or find_spec("termios") is None:
        return TerminalPrompter(stdout=stdout)
    from .menu import MenuPrompter

    return MenuPrompter(stdout=stdout)
