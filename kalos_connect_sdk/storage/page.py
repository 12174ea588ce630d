"""The shared page: tombstones that every process sees at once, and that a full disk cannot refuse.

Rules kept here:

- R3, R5: ending an epoch is one 16-byte ``pwrite`` into preallocated space and one ``fdatasync``.
- R1: a tombstone is a value and its complement; a pair that does not match counts as ended, and so does
  a page of zeros.
- R6: an epoch has a slot of its own among 64, so that a late writer of an old one cannot lower a newer.
- R11: no lock anywhere, so that a signal handler may end an epoch whatever it interrupted.

Every write is one ``pwrite`` of whole words: readers of the mapping see the old or the new word, never
a third one (``struct.pack_into`` would show zeros in between), and watchers get their inotify event.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Mapping
from typing import Final

from ..errors import StateUnreadable
from ..model.consent import Purpose
from .directory import StateDirectory, close_file
from .failure import StorageFailure, cause

__all__ = ["NAME", "Page"]

NAME: Final = "page"
SIZE: Final = 4096
SLOTS: Final = 64
_MASK: Final = 0xFFFF_FFFF_FFFF_FFFF
_MAGIC: Final = int.from_bytes(b"KALOSPG1", "big")
_ORDER: Final = {Purpose.NAVIGATION: 0, Purpose.CROSS_BORDER_TRANSFER: 1}  # on disk: never renumber
_CONTROL: Final = 8  # first word of the control words, 8 a purpose
_TOMBSTONES: Final = 32  # first word of the tombstones, 128 a purpose
_CUTS: Final = 288  # first word of the notes of requests cut in flight, two a note
_NOTES: Final = 112
_PAIR: Final = struct.Struct("@QQ")
_WORD: Final = struct.Struct("@Q")
_REREADS: Final = 64


class Page:
    """The mapped page of one state directory. Made by :meth:`open`.

    ``words`` is the hot path's view: an index costs 0.05 us. ``fresh``: it did not exist before.
    """

    VERSION: Final = 1
    """Index into ``words``: differs after every change that readers must notice. Compare with ``!=``."""

    __slots__ = ("_directory", "_fd", "_map", "_unsynced", "fresh", "tag", "words")

    def __init__(self, directory: StateDirectory, fd: int, *, fresh: bool) -> None:
        self._directory = directory
        self._fd = fd
        self._map = mmap.mmap(fd, SIZE)
        self._unsynced = False
        self.words: Final = memoryview(self._map).cast("Q")
        self.fresh: Final = fresh
        self.tag: Final = os.getpid() << 32 | int.from_bytes(os.urandom(4), "little") | 1
        """This page object's name, the pid in its upper half."""

    @classmethod
    def open(cls, directory: StateDirectory) -> Page:
        """Map the page, made and synced first when absent.

        Raises :class:`StateUnreadable` when it is not 4096 bytes long or not ours, :class:`StorageFailure`
        when it cannot be made. Damage inside it does not stop the opening: see :meth:`intact`.
        """
        fresh = False
        try:
            fd = directory.open_file(NAME, create=False)
        except FileNotFoundError:
            fresh = True
        if fresh:
            fresh = _create(directory)
            fd = directory.open_file(NAME, create=False)
        failure = None
        try:
            if os.fstat(fd).st_size == SIZE:  # mapping another would end in SIGBUS
                return cls(directory, fd, fresh=fresh)
        except OSError as error:
            failure = cause(error)
        close_file(fd)
        if failure is not None:
            raise StorageFailure(f"{directory.path / NAME} cannot be read: {failure}")
        raise StateUnreadable(f"{directory.path / NAME} has the wrong size; keep it and call reset()")

    @classmethod
    def stand_in(cls, directory: StateDirectory) -> Page:
        """A page in memory for a file that is none: every epoch counts as ended, nothing on it is ever durable,
        :meth:`intact` is false, and :meth:`renew` replaces both."""
        fd = os.memfd_create("kalos-page", os.MFD_CLOEXEC)
        os.ftruncate(fd, SIZE)
        page = cls(directory, fd, fresh=False)
        page._unsynced = True
        return page

    @staticmethod
    def slot(purpose: Purpose, epoch: int) -> int:
        """Index into ``words`` of the tombstone of ``epoch``; its complement is the next word."""
        return _TOMBSTONES + 2 * SLOTS * _ORDER[purpose] + 2 * (epoch % SLOTS)

    def ended(self, purpose: Purpose, epoch: int) -> bool:
        """Whether ``epoch`` has a tombstone. Two shared-memory reads; unreadable means ended (R1)."""
        index = self.slot(purpose, epoch)
        value = self.words[index]
        return value ^ self.words[index + 1] != _MASK or value >= epoch

    def highest_ended(self, purpose: Purpose) -> int:
        """The highest epoch with a tombstone, 0 for none. Raises :class:`StateUnreadable` on a damaged page."""
        first = self.slot(purpose, 0)
        whole = self._whole()  # reading a truncated mapping would be a SIGBUS
        values = [self._settled(index) for index in range(first, first + 2 * SLOTS, 2)] if whole else [None]
        if None in values or self.words[0] != _MAGIC:
            raise StateUnreadable(f"{self._directory.path / NAME} is damaged; keep it and call reset()")
        return max(value for value in values if value is not None)

    def end(self, purpose: Purpose, epoch: int, *, withdrawn: bool = False) -> bool:
        """Write the tombstone of ``epoch``. True when it is on disk. ``withdrawn``: count the withdrawal with it, so
        that other programs know the reason at once.

        False: the disk did not take it. Readers of the page see it all the same, unless even the mapping
        refused; the caller's own latch holds in any case. Once a sync has failed, this object never says
        True again: what the kernel then calls clean may not be on disk (R5).
        """
        index = self.slot(purpose, epoch)
        value, complement = self._read(index, 2)
        if value ^ complement == _MASK and value > epoch:
            epoch = value  # R6: 64 epochs late; the newer tombstone covers this one, but sync it
        pair = _PAIR.pack(epoch, epoch ^ _MASK)
        try:
            os.pwrite(self._fd, pair, 8 * index)
        except OSError:
            self._unsynced = True
            self._store_through_mapping(pair, 8 * index)
            if withdrawn:
                self.count_withdrawal(purpose)
            return False
        if withdrawn:
            self.count_withdrawal(purpose)
        try:
            os.fdatasync(self._fd)
        except OSError:
            self._unsynced = True
        self.bump()
        return not self._unsynced

    @property
    def version(self) -> int:
        """See :attr:`VERSION`."""
        return self.words[Page.VERSION]

    def bump(self) -> None:
        """Tell every reader and every inotify watcher that something changed. Never raises."""
        # A random word: two processes that bump at once cannot write the same one, as two counters would.
        self._put(Page.VERSION, int.from_bytes(os.urandom(8), "little") | 1)

    def granted(self, purpose: Purpose) -> int:
        """The epoch last announced by :meth:`set_granted`; 0 for none or when unreadable. A hint, never a yes."""
        index = self._control(purpose)
        value = self.words[index]
        return value if value ^ self.words[index + 1] == _MASK else 0

    def set_granted(self, purpose: Purpose, epoch: int) -> None:
        """Announce the epoch of the present grant, 0 for none. Not synced: the ledger is the truth."""
        failure = None
        try:
            os.pwrite(self._fd, _PAIR.pack(epoch, epoch ^ _MASK), 8 * self._control(purpose))
        except OSError as error:
            failure = cause(error)
        self.bump()
        if failure is not None:
            raise StorageFailure(f"{self._directory.path / NAME} cannot be written: {failure}")

    def withdrawals(self, purpose: Purpose) -> int:
        """A number that rises with every withdrawal, also of nothing: a late Allow compares it (R11)."""
        return self.words[self._control(purpose) + 2]

    def count_withdrawal(self, purpose: Purpose) -> None:
        """Raise :meth:`withdrawals`. Never raises: a tombstone follows anyway when something was granted."""
        # The clock, not plus one: two processes at once would count to the same number.
        index = self._control(purpose) + 2
        self._put(index, max(self._read(index, 1)[0] + 1, time.monotonic_ns()) & _MASK)

    def cuts(self) -> list[tuple[int, int]]:
        """The notes of requests cut in flight, (tag, value); (0, 0) is a free place. See :mod:`.cuts`."""
        words = self._read(_CUTS, 2 * _NOTES)
        return list(zip(words[::2], words[1::2], strict=True))

    def set_cut(self, place: int, tag: int, value: int) -> None:
        """Write one of them. Never raises; not synced: a power cut ends every request, and every report."""
        pair, index = _PAIR.pack(tag, value), _CUTS + 2 * place
        try:
            os.pwrite(self._fd, pair, 8 * index)
        except OSError:
            self._store_through_mapping(pair, 8 * index)

    def intact(self) -> bool:
        """Whether the file is still in its place, whole, and every tombstone readable. About 20 us."""
        try:
            here = os.fstat(self._fd)
            there = os.lstat(self._directory.path / NAME)
        except OSError:
            return False
        if (here.st_dev, here.st_ino, here.st_size) != (there.st_dev, there.st_ino, SIZE):
            return False
        if self.words[0] != _MAGIC:
            return False
        pairs = iter(self.words[_TOMBSTONES : _TOMBSTONES + 2 * SLOTS * len(_ORDER)].tolist())
        if all(value ^ complement == _MASK for value, complement in zip(pairs, pairs, strict=True)):
            return True
        return all(  # one that was being written is read again
            self._settled(self.slot(purpose, epoch)) is not None for purpose in Purpose for epoch in range(SLOTS)
        )

    @staticmethod
    def renew(directory: StateDirectory, stamp: str, ended: Mapping[Purpose, int]) -> Page:
        """For ``reset()``: keep the old page as ``page.<stamp>`` and put a new one in its place, the tombstones of
        ``ended`` on it already: no power cut may bring back what had ended (R5). Who still maps the old one sees
        :meth:`intact` turn false. Raises :class:`StorageFailure`."""
        directory.set_aside(NAME, stamp, keep=True)
        temporary = _build(directory, ended)
        failure = None
        try:
            directory.sync()
            (directory.path / temporary).rename(directory.path / NAME)
        except OSError as error:
            failure = cause(error)
        if failure is not None:
            raise StorageFailure(f"{directory.path / NAME} cannot be replaced: {failure}")
        directory.sync()
        return Page.open(directory)

    def close(self) -> None:
        """Close the descriptor; the mapping stays readable, so that nobody's hot path breaks."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            close_file(fd)

    @staticmethod
    def _control(purpose: Purpose) -> int:
        return _CONTROL + 8 * _ORDER[purpose]

    def _whole(self) -> bool:
        try:
            return os.fstat(self._fd).st_size == SIZE
        except OSError:
            return False

    def _settled(self, index: int) -> int | None:
        """The tombstone at ``index``; None when it stays invalid (a writer is between its two words for
        nanoseconds only)."""
        for _ in range(_REREADS):
            value = self.words[index]
            if value ^ self.words[index + 1] == _MASK:
                return value
        return None

    def _read(self, index: int, count: int) -> tuple[int, ...]:
        """Words as the file has them, zeros where it cannot be read: an ending must survive a truncated file,
        whose mapping would answer with SIGBUS."""
        try:
            found = os.pread(self._fd, 8 * count, 8 * index)
        except OSError:
            found = b""
        return struct.unpack(f"@{count}Q", found.ljust(8 * count, b"\0"))

    def _put(self, index: int, value: int) -> None:
        word = _WORD.pack(value)
        try:
            os.pwrite(self._fd, word, 8 * index)
        except OSError:
            self._store_through_mapping(word, 8 * index)

    def _store_through_mapping(self, data: bytes, offset: int) -> None:
        """The last resort, when the file refuses writes: let the kernel copy into the mapping, because a store
        of our own to a page it cannot make writable would be a SIGBUS, and here it is an error."""
        try:
            reading, writing = os.pipe()
        except OSError:
            return
        try:
            os.write(writing, data)
            os.readv(reading, [memoryview(self._map)[offset : offset + len(data)]])
        except OSError:
            pass
        finally:
            os.close(reading)
            os.close(writing)


def _create(directory: StateDirectory) -> bool:
    """Write a whole page under another name, sync it, then give it its name. False: another process did."""
    temporary = _build(directory, {})
    failure = None
    try:
        return directory.publish(temporary, NAME)
    except OSError as error:
        failure = cause(error)
    raise StorageFailure(f"{directory.path / NAME} cannot be created: {failure}")


def _build(directory: StateDirectory, ended: Mapping[Purpose, int]) -> str:
    """A whole, synced page with the tombstones of ``ended``; the name it has for now."""
    words = [0] * (SIZE // 8)
    words[0] = _MAGIC
    words[Page.VERSION] = 1
    for purpose in Purpose:
        words[Page._control(purpose) + 1] = _MASK
        for epoch in range(SLOTS):
            words[Page.slot(purpose, epoch) + 1] = _MASK
        last = Page.slot(purpose, ended.get(purpose, 0))
        words[last : last + 2] = (ended.get(purpose, 0), ended.get(purpose, 0) ^ _MASK)
    temporary = f"{NAME}.{os.urandom(8).hex()}.new"
    failure = None
    try:
        fd = directory.open_file(temporary, create=True)
        try:
            os.write(fd, struct.pack(f"@{len(words)}Q", *words))
            os.fsync(fd)
        except OSError:
            os.unlink(directory.path / temporary)
            raise
        finally:
            close_file(fd)
        return temporary
    except OSError as error:
        failure = cause(error)
    raise StorageFailure(f"{directory.path / NAME} cannot be created: {failure}")
