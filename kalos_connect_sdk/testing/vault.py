"""A vault in memory that can be locked, restored from a copy, or made to fail (R7, R9)."""

from __future__ import annotations

import threading

from ..errors import VaultUnavailable

__all__ = ["MemoryVault"]


class MemoryVault:
    """Keeps secrets in this object.

    By default it says so (``persistent`` is false) and consent lasts for this run only. With
    ``persistent=True`` it stands for a keyring that survives the process: pass the same object to the next
    ``Connect``. ``may_prompt``: it counts as a vault that could ask for a password.
    """

    kind = "memory"

    def __init__(self, *, persistent: bool = False, may_prompt: bool = False) -> None:
        self.persistent = persistent
        self.may_prompt = may_prompt
        self.available = True
        """Set to false and every call raises :class:`VaultUnavailable`: locked, or its service is gone."""
        self._lock = threading.Lock()
        self._secrets: dict[str, bytes] = {}

    def __repr__(self) -> str:
        return f"<MemoryVault of {len(self._secrets)}>"

    def load(self, slot: str) -> bytes | None:
        """The secret of ``slot``, or None."""
        with self._lock:
            self._check()
            return self._secrets.get(slot)

    def store(self, slot: str, secret: bytes) -> None:
        """Keep ``secret`` under ``slot``, replacing what was there."""
        with self._lock:
            self._check()
            self._secrets[slot] = bytes(secret)

    def delete(self, slot: str) -> None:
        """Forget ``slot``; nothing to forget is success."""
        with self._lock:
            self._check()
            self._secrets.pop(slot, None)

    def copy(self) -> MemoryVault:
        """A vault with the same secrets as now: put it in place later, and the vault was rolled back."""
        other = MemoryVault(persistent=self.persistent, may_prompt=self.may_prompt)
        with self._lock:
            other._secrets = dict(self._secrets)
        return other

    def _check(self) -> None:
        if not self.available:
            raise VaultUnavailable("the vault in memory was made unavailable")
