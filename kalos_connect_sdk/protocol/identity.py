"""The vault as the protocol sees it: read once, bounded, never while moving if it could ask (R9)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from ..errors import VaultUnavailable
from ..ports import Vault
from ..storage.forks import undivided
from .secret import Secret

__all__ = ["Identity"]

_this_run: dict[str, Secret] = {}
_this_run_lock = threading.Lock()


def _forget_in_child() -> None:
    global _this_run_lock
    _this_run_lock = threading.Lock()  # another thread may have held it
    _this_run.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)


class Identity:
    """One state directory's secret, in its vault or, without a usable vault, in this process for this run."""

    def __init__(self, slot: str, open_vault: Callable[[], Vault], may_ask_user: Callable[[], bool]) -> None:
        self._slot = slot
        self._open_vault = open_vault
        self._may_ask_user = may_ask_user
        self._vault: Vault | None = None
        self.persistent = False
        """True when the present secret outlives the process."""
        self.problem: str | None = None
        """Why the configured vault is not in use, in words."""

    def load(self) -> Secret | None:
        """The secret, or None where there is none yet. Raises :class:`VaultUnavailable`."""
        problem: str | None = None
        stored: bytes | None = None
        try:
            vault = self._usable()
            if vault.persistent:
                stored = vault.load(self._slot)
        except VaultUnavailable as error:
            problem = str(error)
        self.problem = problem
        with _this_run_lock:
            temporary = _this_run.get(self._slot)
        if stored is not None:
            self.persistent = True
            return Secret.from_bytes(stored)
        if temporary is not None:
            self.persistent = False
            return temporary
        if problem is not None:
            raise VaultUnavailable(problem)
        return None

    def create(self, *, this_run_only: bool = False) -> Secret:
        """A new secret, kept in the vault or, when that is unusable, for this run only (R9)."""
        secret = Secret.new()
        self.persistent = not this_run_only and self._store(secret)
        if not self.persistent:
            with _this_run_lock:
                _this_run[self._slot] = secret
        return secret

    def save(self, secret: Secret) -> bool:
        """Keep a changed secret; True when it is where it belongs."""
        if self.persistent:
            return self._store(secret)
        with _this_run_lock:
            if self._slot in _this_run:
                _this_run[self._slot] = secret
        return True

    def probe(self) -> None:
        """Raises :class:`VaultUnavailable` when the configured vault cannot keep a secret beyond this run."""
        vault = self._usable()
        if not vault.persistent:
            raise VaultUnavailable("the vault is set to memory")
        vault.load(self._slot)

    def forget(self) -> None:
        """Remove the secret (``reset()``)."""
        with _this_run_lock:
            _this_run.pop(self._slot, None)
        try:
            vault = self._usable()
            if vault.persistent:
                vault.delete(self._slot)
        except VaultUnavailable as error:
            self.problem = str(error)

    def _store(self, secret: Secret) -> bool:
        try:
            vault = self._usable()
            if not vault.persistent:
                self.problem = "the vault is set to memory"
                return False
            vault.store(self._slot, secret.to_bytes())
        except VaultUnavailable as error:
            self.problem = str(error)
            return False
        return True

    def _usable(self) -> Vault:
        if self._vault is None:
            with undivided("loading the vault"):
                self._vault = self._open_vault()
        if self._vault.may_prompt and not self._may_ask_user():
            raise VaultUnavailable("the vault could ask for a password, and the vehicle is not parked")
        return self._vault
