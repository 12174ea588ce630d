"""The outbox: the sealed queue of positions waiting to be sent (R4, R6, R9).

A process writes into boxes of its own, each held by ``flock`` as long as the process lives; boxes of
dead processes of the same epoch and generation are adopted, others are removed, because no key opens
them any more. Everything is bound to one (epoch, generation): positions never slip into a later grant.

One lock guards an outbox. Dropping does not depend on it: a signal handler may have interrupted the
thread that holds it, and a withdrawal must not wait for that thread (R11).
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Final

from .box import Batch, Box
from .boxfiles import BoxFiles, Held, begin_in_memory
from .directory import StateDirectory
from .failure import StorageFailure
from .locks import Lease

__all__ = ["Batch", "Outbox"]

_BOX_BYTES: Final = 1 << 19  # then another box is begun; drained ones are removed
_DROP_WAIT_S: Final = 0.05


class Outbox:
    """The outbox of one process for one state directory. Bind it before use."""

    __slots__ = ("__weakref__", "_active", "_bound", "_boxes", "_files", "_key", "_lock", "_parked")

    def __init__(self, directory: StateDirectory, *, in_memory: bool) -> None:
        """``in_memory``: nothing on disk, sealed all the same; for when the data key is in this process only."""
        self._files = None if in_memory else BoxFiles(directory)
        self._parked: list[Lease] = []
        self._forget()
        _outboxes.add(self)

    def _forget(self) -> None:
        """Own nothing: in the beginning, and in a forked child, where files and lock are the parent's."""
        self._lock = threading.Lock()
        self._bound: tuple[int, int] | None = None
        self._key = b""
        self._boxes: dict[Box, Held] = {}  # oldest first
        self._active: Box | None = None

    def __repr__(self) -> str:
        return f"<Outbox of {len(self)} positions>"

    def __len__(self) -> int:
        """Positions accepted and neither acknowledged nor dropped."""
        return sum(box.count for box in tuple(self._boxes))

    def bind(self, epoch: int, generation: int, key: bytes) -> None:
        """Seal from now on with this data key. What was bound to another (epoch, generation) is dropped.

        The box file is made with the first position. Raises ``ValueError`` for a malformed key.
        """
        with self._lock:
            self._release_parked()
            if self._bound == (epoch, generation):
                return
            self._drop_boxes()
            self._bound, self._key = (epoch, generation), key

    def append(self, row: bytes) -> None:
        """Seal one row and hand it to the kernel: it survives ``kill -9`` of this process. The hot path.

        Raises :class:`StorageFailure`: no space, or not bound (any more).
        """
        with self._lock:
            box = self._active
            if box is None or box.end >= _BOX_BYTES:
                box = self._begin_box()
            box.append(row)

    def take(self, limit: int) -> Batch | None:
        """The batch under way, else the oldest rows, at most ``limit``, as a new one; None when empty.

        The same batch comes back under the same key until it is acknowledged, split or partly dropped.
        """
        with self._lock:
            for box in sorted(self._boxes, key=lambda box: not box.under_way):
                batch = box.take(limit)
                if batch is not None:
                    return batch
            return None

    def acknowledge(self, batch: Batch) -> int:
        """The rows of ``batch`` have been answered for; returns how many were still queued."""
        with self._lock:
            gone = batch.box.acknowledge(batch) if batch.box in self._boxes else 0
            self._remove_drained()
            return gone

    def split(self, batch: Batch) -> None:
        """The service wants less at once: the next batch is half of ``batch``, under a new key."""
        with self._lock:
            if batch.box in self._boxes:
                batch.box.split(batch)

    def drop_oldest(self, n: int) -> int:
        """Drop the ``n`` oldest positions; returns how many there were to drop."""
        with self._lock:
            gone = 0
            for box in tuple(self._boxes):
                if gone >= n:
                    break
                gone += box.drop_oldest(n - gone)
            self._remove_drained()
            return gone

    def drop_expired(self, now_ms: int, ttl_ms: int, accepted_ms_of: Callable[[bytes], int]) -> int:
        """Drop the positions accepted more than ``ttl_ms`` ago; returns how many."""
        with self._lock:
            gone = sum(box.drop_while(lambda row: now_ms - accepted_ms_of(row) > ttl_ms) for box in tuple(self._boxes))
            self._remove_drained()
            return gone

    def drop(self) -> int:
        """Forget the key, remove the boxes; returns how many positions they held. The outbox is unbound then.

        Never waits for a thread that a signal interrupted while it held the lock: after 50 ms the files go
        without it, and their descriptors stay open, so that it cannot write into another file.
        """
        locked = self._lock.acquire(timeout=_DROP_WAIT_S)
        try:
            if locked:
                self._release_parked()
            return self._drop_boxes(park=not locked)
        finally:
            if locked:
                self._lock.release()

    def close(self) -> None:
        """Let go: what is queued stays on disk, sealed, for the next process that has the key."""
        with self._lock:
            self._release_parked()
            for box, held in list(self._boxes.items()):
                if not box.count:
                    held.unlink()
                self._let_go(box, held.lease)
            self._bound, self._key = None, b""

    def adopt(self, epoch: int, generation: int, key: bytes) -> int:
        """Take over the boxes that dead processes left under this data key; returns how many positions.

        Boxes of earlier epochs and generations are removed: their keys are gone. Binds like :meth:`bind`.
        """
        self.bind(epoch, generation, key)
        files = self._files
        if files is None:
            return 0
        with self._lock:
            own = {held.path for held in tuple(self._boxes.values())}
            orphans = [files.claim(path, (epoch, generation), key) for path in files.paths() if path not in own]
            adopted = sorted((orphan for orphan in orphans if orphan is not None), key=lambda orphan: orphan.born)
            if adopted:
                self._boxes = {**{orphan.box: orphan.held for orphan in adopted}, **self._boxes}
            return sum(orphan.box.count for orphan in adopted)

    @staticmethod
    def drop_all_files(directory: StateDirectory) -> int:
        """Remove every box of every process; returns how many positions they still held. Needs no key.

        For whoever holds the barrier alone. Raises :class:`StorageFailure` when one cannot be removed.
        """
        return BoxFiles(directory).remove_all()

    def _begin_box(self) -> Box:
        bound, key = self._bound, self._key
        if bound is None:
            raise StorageFailure("the outbox is not bound to a data key")
        box, held = begin_in_memory(bound, key) if self._files is None else self._files.begin(bound, key)
        self._boxes[box], self._active = held, box
        if self._bound != bound:  # dropped meanwhile, by a withdrawal that could not wait for this thread
            self._drop_boxes()
            raise StorageFailure("the outbox was dropped")
        self._remove_drained()
        return box

    def _remove_drained(self) -> None:
        for box, held in list(self._boxes.items()):
            if not box.count and box is not self._active:
                held.unlink()
                self._let_go(box, held.lease)

    def _drop_boxes(self, *, park: bool = False) -> int:
        dropped = 0
        for box, held in list(self._boxes.items()):
            dropped += box.count
            held.unlink()
            if park and held.lease is not None:
                self._parked.append(held.lease)
            self._let_go(box, None if park else held.lease)
        self._bound, self._key = None, b""
        return dropped

    def _let_go(self, box: Box, lease: Lease | None) -> None:
        self._boxes.pop(box, None)
        if box is self._active:
            self._active = None
        if lease is not None:
            lease.release()

    def _release_parked(self) -> None:
        while self._parked:
            self._parked.pop().release()


_outboxes: weakref.WeakSet[Outbox] = weakref.WeakSet()


def _in_child() -> None:
    for outbox in tuple(_outboxes):
        outbox._parked.clear()
        outbox._forget()


os.register_at_fork(after_in_child=_in_child)
