"""The desktop's secret store: Secret Service, KWallet, macOS, Windows.

Rules kept here:

- Only backends on the list below are used, instantiated directly: neither ``PYTHON_KEYRING_BACKEND`` nor
  a configuration file can put a plaintext or swallowing backend in between.
- What was written is read back; what was deleted is deleted until it is absent (a store may hold several
  matches, and ``delete_password`` removes one).
- A store may ask its user something and never return: every call runs on a thread of its own and is
  given up after 3 s. While one is stuck no other is begun.
- R10: the store's own errors never escape.
"""

from __future__ import annotations

import importlib
import queue
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any, Final, TypeVar, cast

from ..crypto.encoding import b64, unb64
from ..errors import VaultUnavailable
from .forks import undivided

__all__ = ["KeyringVault"]

SERVICE: Final = "kalos-connect"
_TIMEOUT_S: Final = 3.0
_MATCHES: Final = 16
_BACKENDS: Final = {
    "linux": (("keyring.backends.SecretService", "Keyring"), ("keyring.backends.kwallet", "DBusKeyring")),
    "darwin": (("keyring.backends.macOS", "Keyring"),),
    "win32": (("keyring.backends.Windows", "WinVaultKeyring"),),
}
_T = TypeVar("_T")


class KeyringVault:
    """One entry a slot, user name = slot. The backend is found at the first call."""

    kind = "keyring"
    persistent = True

    __slots__ = ("_backend", "_stuck")

    def __init__(self) -> None:
        self._backend: Any = None
        self._stuck: threading.Thread | None = None

    def __repr__(self) -> str:
        return "<KeyringVault>"

    @property
    def may_prompt(self) -> bool:
        """Whether a call could ask the user something now: an open Secret Service asks nothing."""
        try:
            return not self._call(_is_open)
        except VaultUnavailable:
            return False  # one that cannot be used asks nobody; the next call says why

    def probe(self) -> str:
        """The name of the store that is used here. Raises :class:`VaultUnavailable`."""
        return self._call(lambda store: type(store).__module__.rpartition(".")[2])

    def load(self, slot: str) -> bytes | None:
        """The secret of ``slot``, None when there is none."""
        text = self._call(lambda store: store.get_password(SERVICE, slot))
        secret = None if text is None else _decoded(text)
        if text is not None and secret is None:
            raise VaultUnavailable("the keyring's entry is not one that this SDK wrote; remove it to begin anew")
        return secret

    def store(self, slot: str, secret: bytes) -> None:
        """Keep ``secret`` and read it back."""
        text = b64(secret)

        def write(store: Any) -> bool:
            store.set_password(SERVICE, slot, text)
            if store.get_password(SERVICE, slot) == text:
                return True
            _delete(store, slot)  # another match stands before ours
            store.set_password(SERVICE, slot, text)
            return bool(store.get_password(SERVICE, slot) == text)

        if not self._call(write):
            raise VaultUnavailable("the keyring did not keep what was written")

    def delete(self, slot: str) -> None:
        """Remove every match and verify; nothing happens when there is none."""
        if not self._call(lambda store: _delete(store, slot)):
            raise VaultUnavailable("the keyring did not delete its entry")

    def _call(self, work: Callable[[Any], _T]) -> _T:
        """``work(store)`` on a thread of its own, for at most 3 s."""
        if self._stuck is not None and self._stuck.is_alive():
            raise VaultUnavailable("the keyring still does not answer; it may be waiting for its user")
        answers: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()

        def run() -> None:
            try:
                if self._backend is None:
                    self._backend = _find_backend()
                answers.put(("", work(self._backend)))
            except Exception as error:  # any store, any error: only its kind is told (R10)
                answers.put((type(error).__name__, None))

        thread = threading.Thread(target=run, name="kalos-keyring", daemon=True)
        failure: str = "no thread can be started any more"
        value: Any = None
        try:
            thread.start()
            failure, value = answers.get(timeout=_TIMEOUT_S)
        except queue.Empty:
            self._stuck = thread
            failure = "it does not answer and may be waiting for its user"
        except RuntimeError:
            pass  # the interpreter is shutting down
        if failure:
            raise VaultUnavailable(f"the keyring cannot be used: {failure}")
        return cast(_T, value)


class NoSecretStore(Exception):
    """No backend on the list works here."""


def _find_backend() -> Any:
    for module, name in _BACKENDS.get(sys.platform, ()):
        try:
            with undivided("loading the keyring"):
                backend = getattr(importlib.import_module(module), name)
            if backend.priority > 0:  # raises when its service is not there
                return backend()
        except Exception:  # noqa: S112 - whatever it was, this one is not usable
            continue
    raise NoSecretStore


def _is_open(store: Any) -> bool:
    """True for a Secret Service whose default collection exists and is unlocked; looking asks nobody."""
    if not type(store).__module__.endswith(".SecretService"):
        return False
    import secretstorage

    with closing(secretstorage.dbus_init()) as bus:
        try:
            return not secretstorage.Collection(bus).is_locked()
        except secretstorage.ItemNotFoundException:
            return False  # none yet: making it asks for a password


def _delete(store: Any, slot: str) -> bool:
    for _ in range(_MATCHES):
        if store.get_password(SERVICE, slot) is None:
            return True
        store.delete_password(SERVICE, slot)
    return store.get_password(SERVICE, slot) is None


def _decoded(text: str) -> bytes | None:
    try:
        return unb64(text)
    except ValueError:
        return None
