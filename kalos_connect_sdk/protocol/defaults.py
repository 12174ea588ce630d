"""What stands in where the app gave nothing: the configured vault, the vendor's notices, the terminal of a person.

Each is made when it is first needed, and once.
"""

from __future__ import annotations

import sys

from ..config import Config
from ..model.consent import Purpose
from ..model.notice import Notice
from ..ports import Prompter, Vault
from ..storage.directory import StateDirectory

__all__ = ["Defaults"]


class Defaults:
    """What the app gave, or what stands in for it."""

    def __init__(self, config: Config, vault: Vault | None, notice: Notice | None, prompter: Prompter | None) -> None:
        self._config = config
        self._vault = vault
        self._notice = notice
        self._prompter = prompter

    def vault(self, directory: StateDirectory) -> Vault:
        """The vault of the state in ``directory``."""
        if self._vault is None:
            from ..storage.vault import open_vault

            self._vault = open_vault(self._config.vault, directory)
        return self._vault

    def notice(self, purpose: Purpose) -> Notice:
        """What a person is shown for ``purpose``; an app's own notice is for navigation."""
        from ..core.notices.default import CROSS_BORDER_NOTICE, DEFAULT_NOTICE

        return CROSS_BORDER_NOTICE if purpose is Purpose.CROSS_BORDER_TRANSFER else self._notice or DEFAULT_NOTICE

    def prompter(self) -> Prompter | None:
        """Who asks: the terminal when a person sits at one; else nobody."""
        if self._prompter is None and sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty():
            from ..prompts import terminal_prompter

            self._prompter = terminal_prompter()
        return self._prompter
