"""A key file, by explicit choice: for head units without a secret store.

Rules kept here: the file is 0600, ours and no link; it is replaced as a whole (written beside, synced,
renamed, directory synced), under a lock, so that a crash or a full disk leaves the old one; a damaged
one is kept and refused. Everything lies in PATH or siblings ``PATH.*``. R10: no error shows a secret.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from ..crypto.encoding import b64, unb64
from ..errors import StateError, VaultUnavailable
from .directory import make_private, open_private, sync_directory
from .failure import cause
from .locks import wait_lock

__all__ = ["FileVault"]

_LOCK_S: Final = 3.0
_LONGEST: Final = 1 << 20
_VERSION: Final = 1
_T = TypeVar("_T")


class FileVault:
    """All slots in one JSON file at ``path``. Every failure is a :class:`VaultUnavailable`."""

    kind = "file"
    persistent = True
    may_prompt = False

    __slots__ = ("path",)

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Final = Path(os.path.abspath(Path(path).expanduser()))

    def __repr__(self) -> str:
        return f"<FileVault {self.path}>"

    def load(self, slot: str) -> bytes | None:
        """The secret of ``slot``, None when there is none."""
        return self._guarded(lambda: self._read().get(slot))

    def store(self, slot: str, secret: bytes) -> None:
        """Keep ``secret``, durably, and read it back."""

        def change() -> None:
            self._change(lambda slots: {**slots, slot: secret})
            if self._read().get(slot) != secret:
                raise VaultUnavailable(f"{self.path} did not keep what was written")

        self._guarded(change)

    def delete(self, slot: str) -> None:
        """Remove it; nothing happens when there is none. The old bytes may stay on flash: see the security model."""
        self._guarded(
            lambda: self._change(lambda slots: {name: value for name, value in slots.items() if name != slot})
        )

    def _change(self, change: Callable[[dict[str, bytes]], dict[str, bytes]]) -> None:
        make_private(self.path.parent)
        lease = wait_lock(
            partial(open_private, self._beside(".lock"), create=True), time.monotonic() + _LOCK_S, exclusive=True
        )
        if lease is None:
            raise VaultUnavailable(f"{self.path} is locked by another program")
        with lease:
            before = self._read()
            after = change(before)
            if after != before:
                self._replace(after)

    def _replace(self, slots: dict[str, bytes]) -> None:
        document = {"version": _VERSION, "slots": {slot: b64(secret) for slot, secret in sorted(slots.items())}}
        content = json.dumps(document, indent=1).encode() + b"\n"
        temporary = self._beside(".tmp")
        temporary.unlink(missing_ok=True)  # left by a crash; the lock is ours
        fd = open_private(temporary, create=True)
        try:
            if os.write(fd, content) != len(content):
                raise VaultUnavailable(f"{self.path} cannot be written: ENOSPC")
            os.fsync(fd)
        finally:
            os.close(fd)
        temporary.rename(self.path)
        sync_directory(self.path.parent)

    def _read(self) -> dict[str, bytes]:
        try:
            fd = open_private(self.path, create=False, writable=False)
        except FileNotFoundError:
            return {}
        try:
            content = os.read(fd, _LONGEST)
        finally:
            os.close(fd)
        slots = _parsed(content)
        if slots is None:
            raise VaultUnavailable(f"{self.path} is damaged or not a key file; it is kept as it is")
        return slots

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)

    def _guarded(self, work: Callable[[], _T]) -> _T:
        """``work``, with every failure of the system or the state as ``VaultUnavailable``, without context."""
        failure = ""
        try:
            return work()
        except VaultUnavailable:
            raise
        except StateError as error:
            failure = str(error)
        except OSError as error:
            failure = f"{self.path} cannot be used: {cause(error)}"
        raise VaultUnavailable(failure)


def _parsed(content: bytes) -> dict[str, bytes] | None:
    """The slots; None when it is not a key file of this version."""
    try:
        document: Any = json.loads(content)
        if document["version"] != _VERSION:
            return None
        return {str(slot): unb64(secret) for slot, secret in document["slots"].items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
