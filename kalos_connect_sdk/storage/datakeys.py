"""Data keys: they live in RAM alone, in one entry per state directory (R4).

Rules kept here:

- Where the entry is, is chosen once and recorded in the state: the kernel's user keyring, else a private
  directory on a file system that is RAM, else this process. Who cannot reach the recorded place makes
  no other, and there is no way to a disk.
- R7: beside the key stands the highest ended epoch of each purpose; it never goes down.
- R4: destroying overwrites the key in its entry and reads back that it is gone; the counters stay.
- Changes are read-modify-write under one lock, which is held for microseconds; a stopped holder makes
  a change fail, never overwrite.
"""

from __future__ import annotations

import hashlib
import os
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol

from ..errors import StateError, StateUnreadable
from ..model.consent import Purpose
from .directory import StateDirectory
from .failure import StorageFailure
from .keyplaces import KernelPlace, ProcessPlace, TmpfsPlace, ram_directories
from .locks import wait_lock

__all__ = ["DataKeys", "Place", "RamState"]

_LOCK: Final = "keys.lock"
_LOCK_S: Final = 1.0
_MAGIC: Final = b"KALOSDK1"
_ORDER: Final = (Purpose.NAVIGATION, Purpose.CROSS_BORDER_TRANSFER)  # as stored: only ever append
_BODY: Final = struct.Struct("<8s4QQQB32s")  # room for four purposes
_SUM: Final = 8
BLOB_SIZE: Final = _BODY.size + _SUM


class Place(Protocol):
    """Where one fixed-size entry can be kept in RAM. All but :meth:`usable` raise ``StorageFailure``."""

    @property
    def location(self) -> str: ...

    def usable(self) -> bool: ...

    def read(self) -> bytes | None:
        """The entry, None when absent."""

    def write(self, blob: bytes, *, secret: bool) -> None:
        """Create it, or replace it as a whole. ``secret``: there is a key in it."""

    def remove(self) -> None:
        """Remove it, if it is there."""


@dataclass(frozen=True, slots=True)
class RamState:
    """The entry: ended epochs, and the data key of ``(epoch, generation)`` if there is one."""

    counters: Mapping[Purpose, int] = field(default_factory=lambda: dict.fromkeys(Purpose, 0))
    epoch: int = 0
    generation: int = 0
    key: bytes | None = field(default=None, repr=False)


class DataKeys:
    """The entry of one state directory. Made by :meth:`choose`."""

    __slots__ = ("_directory", "_place", "location")

    def __init__(self, directory: StateDirectory, location: str, place: Place | None) -> None:
        self._directory = directory
        self._place = place
        self.location: Final = location
        """``kernel``, ``tmpfs:PATH`` or ``process``: what the state must record."""

    def __repr__(self) -> str:
        return f"<DataKeys {self.location}>"

    @classmethod
    def choose(cls, directory: StateDirectory, recorded: str | None) -> DataKeys:
        """The recorded place, reachable or not; the best one that works here when none is recorded."""
        if recorded is not None:
            return cls(directory, recorded, _place_of(directory, recorded))
        candidates: list[Place] = [KernelPlace(directory.slot)]
        candidates += [TmpfsPlace(path, directory.slot) for path in ram_directories()]
        for place in candidates:
            if place.usable():
                return cls(directory, place.location, place)
        return cls(directory, ProcessPlace.location, ProcessPlace(directory))

    @property
    def reachable(self) -> bool:
        """Whether the recorded place works here. If not, buffer nothing: there is no other place (R4)."""
        return self._place is not None and self._place.usable()

    def read(self) -> RamState | None:
        """The entry, None when it is absent (after a reboot) or its place cannot be reached.

        Raises :class:`StateUnreadable` when something else stands there.
        """
        if self._place is None:
            return None
        for _ in range(3):  # a tmpfs entry may be in the middle of being written
            blob = self._place.read()
            if blob is None:
                return None
            state = _decode(blob)
            if state is not None:
                return state
        raise StateUnreadable(f"the entry of the data keys in {self.location} is not ours; it is kept")

    def epoch(self) -> int:
        """The highest epoch the entry knows of navigation, given or ended; 0 when there is none to be read."""
        try:
            state = self.read()
        except StateError:
            return 0
        return 0 if state is None else max(state.epoch, state.counters[Purpose.NAVIGATION])

    def raise_counter(self, purpose: Purpose, epoch: int) -> None:
        """Remember that ``epoch`` has ended (R7); an entry that knows a higher one stays as it is.

        Raises :class:`StorageFailure`: then the tombstone alone says so.
        """

        def higher(state: RamState) -> RamState:
            return replace(state, counters={**state.counters, purpose: max(epoch, state.counters[purpose])})

        self._change(higher)

    def make(self, epoch: int, generation: int) -> RamState:
        """A new key for ``(epoch, generation)`` in place of any other; for the holder of the barrier alone.

        Raises :class:`StorageFailure`, also when the entry says that ``epoch`` has ended (R6).
        """

        def keyed(state: RamState) -> RamState:
            if state.counters[Purpose.NAVIGATION] >= epoch:
                raise StorageFailure("no data key is made for a grant that has ended")
            return replace(state, epoch=epoch, generation=generation, key=os.urandom(32))

        return self._change(keyed)

    def destroy(self, up_to_epoch: int) -> bool:
        """Overwrite the key if its epoch is at most ``up_to_epoch``. True when verified absent (R4).

        False: the place cannot be reached or changed, or another process still holds the key.
        """

        def keyless(state: RamState) -> RamState:
            return replace(state, key=None) if state.epoch <= up_to_epoch else state

        if self._place is None:
            return False
        try:
            state = self.read()
            if state is not None and state.key is not None and state.epoch <= up_to_epoch:
                self._change(keyless)
                state = self.read()
        except (StateUnreadable, StorageFailure):
            return False
        gone = state is None or state.key is None or state.epoch > up_to_epoch
        return gone and self._place.usable()

    def remove(self) -> None:
        """Remove the whole entry, counters included: for a state directory that is being deleted for good, so
        that it does not use up the user's quota. Raises :class:`StorageFailure`."""
        if self._place is not None:
            self._place.remove()

    def _change(self, change: Callable[[RamState], RamState]) -> RamState:
        if self._place is None or not self._place.usable():
            raise StorageFailure(f"the place of the data keys, {self.location}, cannot be reached")
        opener = lambda: self._directory.open_lock(_LOCK, create=True)  # noqa: E731 - one use, one line
        lease = wait_lock(opener, time.monotonic() + _LOCK_S, exclusive=True)
        if lease is None:
            raise StorageFailure("another process holds the lock of the data keys")
        with lease:
            before = self.read() or RamState()
            after = change(before)
            if after != before:
                self._place.write(_encode(after), secret=after.key is not None)
                if self.read() != after:
                    raise StorageFailure(f"the place of the data keys, {self.location}, did not keep what was written")
        return after


def _place_of(directory: StateDirectory, location: str) -> Place | None:
    """The place that ``location`` names, None when it cannot be used here."""
    place: Place | None = None
    if location == KernelPlace.location:
        place = KernelPlace(directory.slot)
    elif location == ProcessPlace.location:
        return ProcessPlace(directory)  # usable or not from moment to moment
    elif location.startswith(TmpfsPlace.PREFIX):
        place = TmpfsPlace(Path(location.removeprefix(TmpfsPlace.PREFIX)), directory.slot)
    return place if place is not None and place.usable() else None


def _encode(state: RamState) -> bytes:
    counters = [state.counters[purpose] for purpose in _ORDER] + [0] * (4 - len(_ORDER))
    has_key = state.key is not None
    body = _BODY.pack(_MAGIC, *counters, state.epoch, state.generation, has_key, state.key or bytes(32))
    return body + hashlib.sha256(body).digest()[:_SUM]


def _decode(blob: bytes) -> RamState | None:
    """None when it is not one of ours, whole."""
    body, checksum = blob[:-_SUM], blob[-_SUM:]
    if len(blob) != BLOB_SIZE or hashlib.sha256(body).digest()[:_SUM] != checksum:
        return None
    magic, *numbers, has_key, key = _BODY.unpack(body)
    if magic != _MAGIC:
        return None
    counters = dict(zip(_ORDER, numbers, strict=False))
    return RamState(counters, numbers[4], numbers[5], key if has_key else None)
