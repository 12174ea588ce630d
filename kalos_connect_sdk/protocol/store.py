"""The box of sealed positions of this process, and the data key it is sealed with (R4, R6)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from ..errors import StateError
from ..model.consent import Purpose
from ..storage.failure import StorageFailure, cause
from ..storage.outbox import Outbox
from .state import State
from .worker import Worker

if TYPE_CHECKING:
    from ..storage.outbox import Batch

__all__ = ["Box", "Store"]

T = TypeVar("T")

_LOCK_WAIT_S = 1.0


def _read(ask: Callable[[], T]) -> T:
    """A disk that cannot read the box fails with an error of ours; the rows stay, and are sent another time."""
    failure = None
    try:
        return ask()
    except OSError as error:
        failure = cause(error)
    raise StorageFailure(f"the box of queued positions cannot be read: {failure}")


class Box:
    """One outbox, bound for life to one (epoch, generation): a position can never slip into a later grant."""

    __slots__ = ("_outbox", "append", "epoch", "generation", "keys_taken", "open")

    def __init__(self, outbox: Outbox, epoch: int, generation: int) -> None:
        self._outbox = outbox
        self.epoch = epoch
        self.generation = generation
        self.append = outbox.append
        self.keys_taken: set[str] = set()
        self.open = True

    def __len__(self) -> int:
        return len(self._outbox)

    def take(self, limit: int) -> Batch | None:
        """The oldest unacknowledged rows under one idempotency key, the same until acknowledged."""
        batch = _read(lambda: self._outbox.take(limit))
        if batch is not None:
            self.keys_taken = {batch.key}
        return batch

    def acknowledge(self, batch: Batch) -> None:
        """These rows have been answered for. Raises :class:`StorageFailure` when the disk cannot read its own: they are
        sent again then, under the same key."""
        _read(lambda: self._outbox.acknowledge(batch))

    def split(self, batch: Batch) -> None:
        """The service found it too large: the next batch is half of it."""
        _read(lambda: self._outbox.split(batch))

    def expire(self, now_ms: int, ttl_ms: int, accepted_ms_of: Callable[[bytes], int]) -> int:
        """Drop rows older than the retention time."""
        return _read(lambda: self._outbox.drop_expired(now_ms, ttl_ms, accepted_ms_of))

    def overflow(self, limit: int) -> int:
        """Make room for one more row by dropping the oldest."""
        over = len(self._outbox) - limit + 1
        return _read(lambda: self._outbox.drop_oldest(over)) if over > 0 else 0

    def adopt(self, key: bytes) -> int:
        """Take over boxes that dead processes left; one that cannot be read stays where it is."""
        try:
            return self._outbox.adopt(self.epoch, self.generation, key)
        except StorageFailure:
            return 0

    def close(self) -> None:
        """Let go of the file and keep it."""
        self.open = False
        self._outbox.close()

    def drop(self) -> int:
        """Forget the key and every row."""
        self.open = False
        return self._outbox.drop()


class Store:
    """Opens the box when the first position needs it; drops it when its epoch ends."""

    def __init__(self, state: State, keeper: Worker) -> None:
        self._state = state
        self._keeper = keeper
        self._lock = threading.Lock()
        self.box: Box | None = None
        self.dropped = 0

    def for_epoch(self, epoch: int) -> Box | None:
        """The box for positions accepted under ``epoch``; None when this process can keep no data key."""
        box = self.box
        if box is not None and box.epoch == epoch and box.open:
            return box
        return self._keeper.call(lambda: self._opened(epoch))

    def for_sending(self, epoch: int) -> Box | None:
        """The box to send from, orphans of dead processes included."""
        box = self.for_epoch(epoch)
        if box is not None:
            ram = self._state.keys.read()
            if ram is not None and ram.key is not None and (ram.epoch, ram.generation) == (box.epoch, box.generation):
                box.adopt(ram.key)
        return box

    def key_present(self, box: Box) -> bool:
        """Looked up at every send: the data key of the box is still there."""
        ram = self._state.keys.read()
        return ram is not None and ram.key is not None and (ram.epoch, ram.generation) == (box.epoch, box.generation)

    def discard(self, box: Box) -> int:
        """Drop one box and what it held."""
        with self._lock:
            if self.box is box:
                self.box = None
        dropped = box.drop()
        self.dropped += dropped
        return dropped

    def forget(self) -> int:
        """Drop the present box and what it held; returns the number of positions."""
        box = self.box
        return self.discard(box) if box is not None else 0

    def close(self) -> None:
        """Let go of the box; its file stays, sealed, and the next to open the state adopts it."""
        box, self.box = self.box, None
        if box is not None:
            box.close()

    def _opened(self, epoch: int) -> Box | None:
        """A place that fails is a place that cannot be had: nothing is buffered (R4)."""
        try:
            return self._open(epoch)
        except StateError:
            return None

    def _open(self, epoch: int) -> Box | None:
        """On the keeper. A missing key is made anew under the exclusive lock, after the tombstone check."""
        state = self._state
        if self.box is not None and self.box.epoch == epoch and self.box.open:
            return self.box
        if self.box is not None:
            if self.box.open and self.box.epoch > epoch:
                return None  # a late thread of an ended grant: the newer box is none of its business
            self.discard(self.box)
        if not state.keys.reachable:
            return None
        ram = state.keys.read()
        if ram is None or ram.key is None or ram.epoch != epoch:
            lease = state.barrier.exclusive(_LOCK_WAIT_S)
            if lease is None:
                return None
            with lease:
                if state.page.ended(Purpose.NAVIGATION, epoch):
                    return None
                ram = state.keys.read()
                if ram is None or ram.key is None or ram.epoch != epoch:
                    Outbox.drop_all_files(state.directory)
                    generation = ram.generation + 1 if ram is not None and ram.epoch == epoch else 1
                    ram = state.keys.make(epoch, generation)
        if ram.key is None:
            return None
        outbox = Outbox(state.directory, in_memory=state.keys.location == "process")
        try:
            outbox.bind(epoch, ram.generation, ram.key)
        except StorageFailure:
            return None
        box = Box(outbox, epoch, ram.generation)
        box.adopt(ram.key)
        self.box = box
        return box
