"""Where the device's keys, token and counter live: chosen by the setting, never by the environment.

``keyring``: the desktop's secret store. ``file:PATH``: a private file, by explicit choice. ``memory``:
this run only (R9). One that does not work says ``VaultUnavailable``; nothing falls back to another.
"""

from __future__ import annotations

from ..errors import ConfigError
from ..ports import Vault
from .directory import StateDirectory
from .filevault import FileVault
from .keyringvault import KeyringVault

__all__ = ["FileVault", "KeyringVault", "MemoryVault", "open_vault"]


def open_vault(setting: str, directory: StateDirectory | None = None) -> Vault:
    """The vault that ``setting`` names; nothing is read and no backend loaded yet.

    Raises :class:`ConfigError` on another word, and for a key file inside the state directory: restoring an
    old copy of that would bring back the counter with it (R7).
    """
    if setting == "keyring":
        return KeyringVault()
    if setting == "memory":
        return MemoryVault()
    if setting.startswith("file:") and len(setting) > 5:
        vault = FileVault(setting[5:])
        if directory is not None and vault.path.resolve().is_relative_to(directory.path.resolve()):
            raise ConfigError("vault must not be a file inside the state directory; write file:PATH with another PATH")
        return vault
    raise ConfigError("vault must be keyring, memory or file:PATH")


class MemoryVault:
    """Secrets of this run only."""

    kind = "memory"
    persistent = False
    may_prompt = False

    def __init__(self) -> None:
        self._slots: dict[str, bytes] = {}

    def __repr__(self) -> str:
        return "<MemoryVault>"

    def load(self, slot: str) -> bytes | None:
        """The secret of ``slot``, None when there is none."""
        return self._slots.get(slot)

    def store(self, slot: str, secret: bytes) -> None:
        """Keep ``secret``."""
        self._slots[slot] = secret

    def delete(self, slot: str) -> None:
        """Forget it; nothing happens when there is none."""
        self._slots.pop(slot, None)
