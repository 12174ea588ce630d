"""One box: a file (or memory) of sealed positions, written by one process, readable with one data key.

Layout: a header of 64 bytes (never changes), a mark of 64 bytes (where the queue begins, and the batch
that is under way), then frames: two bytes of length, eight of sequence number, the sealed row.

Rules kept here:

- R9: only sealed rows are ever written.
- A nonce is the header's random prefix and the sequence number, which moves on before every sealing,
  whatever comes of it; every box has keys of its own, derived from the data key and its header; a box
  that another process adopts is read, marked, and never appended to. So no nonce is used twice.
- One idempotency key belongs to one batch until it is acknowledged, also after ``kill -9``: it is in the
  mark. Rows are never in a batch under two keys unless some were dropped or the service asked for less.
"""

from __future__ import annotations

import errno
import os
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ..crypto.mac import mac, same
from ..crypto.seal import SealBroken, Sealer
from .failure import StorageFailure, cause

__all__ = ["FIRST_FRAME", "Batch", "Box", "Head", "Medium", "count_frames", "new_header", "read_head"]

_MAGIC: Final = b"KALOSBX1"
_HEADER: Final = struct.Struct("<8sQQQ4s16s12x")
_MARK: Final = struct.Struct("<QQI16s")
_CODE_BYTES: Final = 16
_MARK_AT: Final = _HEADER.size
FIRST_FRAME: Final = 128
_FRAME: Final = struct.Struct("<HQ")
_FARTHEST: Final = 1 << 40  # no box is that large; a file's last offsets cannot even be asked for
_SHORTEST: Final = 16  # a seal around nothing
_READ: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows to send in one request. ``key``: its idempotency key. ``rows``: packed, in order, never shown."""

    key: str
    rows: list[bytes] = field(repr=False)
    box: Box = field(repr=False)
    end: int = field(repr=False)

    @property
    def count(self) -> int:
        """How many rows."""
        return len(self.rows)


class Medium(NamedTuple):
    """Where a box lives: ``os.pwrite``, ``os.pread`` and ``os.ftruncate`` of one file, or the same over memory."""

    write: Callable[[bytes, int], int]
    read: Callable[[int, int], bytes]
    truncate: Callable[[int], None]


class Head(NamedTuple):
    """What can be read of a box without its key."""

    header: bytes
    epoch: int
    generation: int
    born: int
    head: int
    mark: bytes


class _Pending(NamedTuple):
    key: bytes
    size: int
    end: int


def new_header(epoch: int, generation: int) -> bytes:
    """The header of a new box. Its time of birth puts boxes in order; it is of this boot, like every data key."""
    return _HEADER.pack(_MAGIC, epoch, generation, time.monotonic_ns(), os.urandom(4), os.urandom(16))


def read_head(read: Callable[[int, int], bytes]) -> Head | None:
    """The beginning of a box; None when it is not one, or damaged, or its maker died before it was whole."""
    start = read(FIRST_FRAME, 0)
    if len(start) < FIRST_FRAME:
        return None
    magic, epoch, generation, born, _, _ = _HEADER.unpack_from(start)
    mark = start[_MARK_AT : _MARK_AT + _MARK.size + _CODE_BYTES]
    head = _MARK.unpack_from(mark)[0]
    if magic != _MAGIC or not FIRST_FRAME <= head <= _FARTHEST:
        return None
    return Head(start[:_MARK_AT], epoch, generation, born, head, mark)


def count_frames(read: Callable[[int, int], bytes], head: int) -> int:
    """How many whole frames stand from ``head`` on; needs no key."""
    return sum(1 for _ in _frames(read, head, None))


class Box:
    """One box, open. ``end``: its size in bytes; ``count``: rows not acknowledged or dropped."""

    __slots__ = (
        "_aad",
        "_head",
        "_header",
        "_mark_key",
        "_pending",
        "_prefix",
        "_seal",
        "_sealer",
        "_seq",
        "count",
        "end",
        "medium",
    )

    def __init__(self, medium: Medium, header: bytes, key: bytes) -> None:
        self.medium = medium
        self._header = header
        self._prefix = _HEADER.unpack(header)[4]
        self._sealer = Sealer(mac(key, b"kalos-connect box rows" + header))
        self._mark_key = mac(key, b"kalos-connect box mark" + header)
        self._seal = self._sealer.seal
        self._aad = header + b"row"
        self._seq = 0
        self._head = FIRST_FRAME
        self._pending: _Pending | None = None
        self.count = 0
        self.end = FIRST_FRAME

    def __repr__(self) -> str:
        return f"<Box of {self.count} positions>"

    @classmethod
    def create(cls, medium: Medium, header: bytes, key: bytes) -> Box:
        """An empty box. Raises ``OSError`` when it cannot be written."""
        box = cls(medium, header, key)
        start = header + box._mark().ljust(FIRST_FRAME - len(header), b"\0")
        if medium.write(start, 0) != len(start):
            raise OSError(errno.ENOSPC, "short write")
        return box

    @classmethod
    def adopt(cls, medium: Medium, head: Head, key: bytes) -> Box | None:
        """The box of a dead process, to be read and never appended to. None when its mark is not authentic."""
        box = cls(medium, head.header, key)
        mark, code = head.mark[: _MARK.size], head.mark[_MARK.size :]
        if not same(mac(box._mark_key, mark)[:_CODE_BYTES], code):
            return None
        box._head, end, count, name = _MARK.unpack(mark)
        if count:
            box._pending = _Pending(name, count, end)
        box.count, box.end = _extent(_frames(medium.read, box._head, None), box._head)  # without a torn last frame
        return box

    def append(self, row: bytes) -> None:
        """Seal and write one row: the hot path. Raises :class:`StorageFailure`; then the row is not queued."""
        seq = self._seq
        self._seq = seq + 1  # first of all: a nonce is used up even if nothing comes of it
        number = seq.to_bytes(8, "little")
        sealed = self._seal(self._prefix + number, row, self._aad)
        frame = len(sealed).to_bytes(2, "little") + number + sealed
        end = self.end
        word = "short write"
        try:
            if self.medium.write(frame, end) == len(frame):
                self.end = end + len(frame)
                self.count += 1
                return
        except OSError as error:
            word = cause(error)
        self._cut(end)
        raise StorageFailure(f"the outbox cannot be written: {word}")

    def take(self, limit: int) -> Batch | None:
        """The batch under way, or a new one of at most ``limit`` rows; None when nothing is queued."""
        while self.count:
            if self._pending is None:
                self._start_batch(limit)
            pending = self._pending
            assert pending is not None
            rows = [row for row in map(self._open, self._queued(pending.size)) if row is not None]
            if rows:
                return Batch(pending.key.hex(), rows, self, pending.end)
            # Not one of them opens: damaged, so never sent. Where not even a frame is left, the rest is given up.
            self._advance(pending.end, pending.size or self.count)
        return None

    @property
    def under_way(self) -> bool:
        """Whether a batch has been taken and not yet acknowledged."""
        return self._pending is not None

    def acknowledge(self, batch: Batch) -> int:
        """Take the rows of ``batch`` off the queue; returns how many were still on it."""
        gone = 0
        for _, _, after in self._queued(None):
            if after > batch.end:
                break
            gone += 1
        if gone:
            self._advance(batch.end, gone)
        return gone

    def split(self, batch: Batch) -> None:
        """Make the batch under way half as long, under a new key, if it is still ``batch``."""
        if self._pending is not None and self._pending.key.hex() == batch.key:
            self._start_batch(max(1, self._pending.size // 2))

    def drop_oldest(self, wanted: int) -> int:
        """Drop up to ``wanted`` of the oldest rows; returns how many. A batch they belonged to is no more."""
        gone, head = _extent(self._queued(wanted), self._head)
        if gone:
            self._advance(head, gone)
        return gone

    def drop_while(self, unwanted: Callable[[bytes], bool]) -> int:
        """Drop the oldest rows as long as they are ``unwanted`` or do not open; returns how many."""
        gone, head = 0, self._head
        for frame in self._queued(None):
            row = self._open(frame)
            if row is not None and not unwanted(row):
                break
            gone, head = gone + 1, frame[2]
        if gone:
            self._advance(head, gone)
        return gone

    def _start_batch(self, limit: int) -> None:
        size, end = _extent(self._queued(max(1, limit)), self._head)
        self._pending = _Pending(os.urandom(16), size, end)
        self._write_mark()

    def _advance(self, head: int, gone: int) -> None:
        self._head = head
        self.count = max(0, self.count - gone)  # what a batch once held may have been torn off the file since
        self._pending = None
        self._write_mark()

    def _open(self, frame: tuple[int, bytes, int]) -> bytes | None:
        seq, sealed, _ = frame
        try:
            return self._sealer.open(self._prefix + seq.to_bytes(8, "little"), sealed, self._aad)
        except SealBroken:
            return None

    def _queued(self, limit: int | None) -> Iterator[tuple[int, bytes, int]]:
        return _frames(self.medium.read, self._head, self.count if limit is None else min(limit, self.count))

    def _mark(self) -> bytes:
        key, count, end = self._pending or (bytes(16), 0, 0)
        mark = _MARK.pack(self._head, end, count, key)
        return mark + mac(self._mark_key, mark)[:_CODE_BYTES]

    def _write_mark(self) -> None:
        try:
            self.medium.write(self._mark(), _MARK_AT)
        except OSError:
            pass  # it matters only after a crash, and then means at worst that rows are sent again

    def _cut(self, end: int) -> None:
        try:
            self.medium.truncate(end)
        except OSError:
            pass  # the next frame is written over what was left


def _extent(frames: Iterable[tuple[int, bytes, int]], start: int) -> tuple[int, int]:
    """How many frames, and the offset after the last one."""
    count, end = 0, start
    for frame in frames:
        count, end = count + 1, frame[2]
    return count, end


def _frames(read: Callable[[int, int], bytes], offset: int, limit: int | None) -> Iterator[tuple[int, bytes, int]]:
    """(sequence number, sealed row, offset after it) of the whole frames from ``offset`` on."""
    portion = _READ if limit is None else min(_READ, 128 * limit)
    data, at, found = b"", 0, 0
    while limit is None or found < limit:
        length = _length(data, at)
        if length is None or len(data) - at < length:
            data, at = read(portion, offset), 0
            length = _length(data, 0)
            if length is not None and len(data) < length:
                data = read(length, offset)
            if length is None or len(data) < length:
                return  # the end, or torn
        seq = _FRAME.unpack_from(data, at)[1]
        sealed = data[at + _FRAME.size : at + length]
        at, offset, found = at + length, offset + length, found + 1
        yield seq, sealed, offset


def _length(data: bytes, at: int) -> int | None:
    """The whole length of the frame at ``at``; None when it is not there or cannot be one."""
    if len(data) - at < _FRAME.size:
        return None
    length = int(_FRAME.unpack_from(data, at)[0])
    return _FRAME.size + length if length >= _SHORTEST else None
