"""Box files in the state directory: making, claiming, counting, removing them.

A box is ``outbox/<epoch>-<generation>-<random>.box`` and held by ``flock`` as long as its process lives:
a box whose lock is free is an orphan. It gets its name only when it is locked and whole.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from ..errors import StateError, StateUnreadable
from .box import Box, Medium, count_frames, new_header, read_head
from .directory import StateDirectory, close_file, open_private
from .failure import StorageFailure, cause
from .locks import Lease, try_lock

__all__ = ["BoxFiles", "Held", "Orphan", "begin_in_memory"]

FOLDER: Final = "outbox"
_TRIES: Final = 5


class Held(NamedTuple):
    """What holds a box: its file and the lock on it; neither for one in memory."""

    path: Path | None
    lease: Lease | None

    def unlink(self) -> None:
        """Remove the file. A leftover would be no leak: it is sealed under a key that is only in RAM."""
        if self.path is not None:
            _unlink(self.path)


class Orphan(NamedTuple):
    """A box whose process is gone, taken over; ``born`` sorts oldest first."""

    born: int
    box: Box
    held: Held


class BoxFiles:
    """The box files of one state directory."""

    __slots__ = ("_directory", "_folder")

    def __init__(self, directory: StateDirectory) -> None:
        self._directory = directory
        self._folder = directory.path / FOLDER

    def paths(self) -> list[Path]:
        """Every file there, boxes in the making included. Raises :class:`StorageFailure`."""
        failure = None
        try:
            return [self._folder / name for name in os.listdir(self._folder)]
        except (FileNotFoundError, NotADirectoryError):
            return []  # no box was ever made here
        except OSError as error:
            failure = cause(error)
        raise StorageFailure(f"the outbox cannot be read: {failure}")

    def begin(self, bound: tuple[int, int], key: bytes) -> tuple[Box, Held]:
        """A new box of ``bound`` = (epoch, generation). Raises :class:`StorageFailure`."""
        failure = None
        try:
            self._directory.folder(FOLDER)
        except StateUnreadable as error:
            failure = str(error)
        if failure is not None:
            raise StorageFailure(failure)
        for _ in range(_TRIES):
            made = self._try_begin(bound, key)
            if made is not None:
                return made
        raise StorageFailure("a box of the outbox cannot be made: others keep removing it")

    def _try_begin(self, bound: tuple[int, int], key: bytes) -> tuple[Box, Held] | None:
        """None when someone who was cleaning up was faster with the unfinished file."""
        name = f"{bound[0]}-{bound[1]}-{os.urandom(8).hex()}"
        making, path = self._folder / f"{name}.new", self._folder / f"{name}.box"
        lease = try_lock(partial(open_private, making, create=True))
        if lease is None:
            return None
        failure = None
        try:
            box = Box.create(_file(lease.fd), new_header(*bound), key)
            making.rename(path)
            return box, Held(path, lease)
        except FileNotFoundError:
            pass
        except OSError as error:
            failure = cause(error)
        lease.release()
        if failure is None:
            return None
        _unlink(making)
        raise StorageFailure(f"a box of the outbox cannot be made: {failure}")

    def claim(self, path: Path, bound: tuple[int, int], key: bytes) -> Orphan | None:
        """Take over the box at ``path``. None when it is in use, or empty or of a dead key and so removed."""
        try:
            lease = try_lock(partial(open_private, path, create=False))
        except (FileNotFoundError, StateError):
            return None
        if lease is None:
            return None
        try:
            return self._claimed(path, lease, bound, key)
        except OSError:  # it cannot be read now, and stays where it is
            lease.release()
            return None

    @staticmethod
    def _claimed(path: Path, lease: Lease, bound: tuple[int, int], key: bytes) -> Orphan | None:
        medium = _file(lease.fd)
        head = read_head(medium.read)
        if head is not None and (head.epoch, head.generation) == bound:
            box = Box.adopt(medium, head, key)
            if box is not None and box.count and os.fstat(lease.fd).st_nlink:
                return Orphan(head.born, box, Held(path, lease))
        if head is None or (head.epoch, head.generation) <= bound:
            _unlink(path)
        lease.release()
        return None

    def remove_all(self) -> int:
        """Remove every file, in use or not; how many positions they still held. Raises :class:`StorageFailure`."""
        dropped, failure = 0, None
        for path in self.paths():
            try:
                dropped += _count(path)
                path.unlink(missing_ok=True)
            except OSError as error:
                failure = cause(error)
        if failure is not None:
            raise StorageFailure(f"a box of the outbox cannot be removed: {failure}")
        return dropped


def begin_in_memory(bound: tuple[int, int], key: bytes) -> tuple[Box, Held]:
    """A new box in this process's memory, sealed like any other."""
    return Box.create(_memory(), new_header(*bound), key), Held(None, None)


def _file(fd: int) -> Medium:
    return Medium(partial(os.pwrite, fd), partial(os.pread, fd), partial(os.ftruncate, fd))


def _memory() -> Medium:
    content = bytearray()

    def write(data: bytes, offset: int) -> int:
        content[offset : offset + len(data)] = data
        return len(data)

    def truncate(size: int) -> None:
        del content[size:]

    return Medium(write, lambda length, offset: bytes(content[offset : offset + length]), truncate)


def _count(path: Path) -> int:
    """Positions in a box file; 0 for what is none or cannot be read, which is removed all the same (R4)."""
    try:
        fd = open_private(path, create=False, writable=False)
    except (OSError, StateError):
        return 0
    try:
        read = partial(os.pread, fd)
        head = read_head(read)
        return 0 if head is None else count_frames(read, head.head)
    except OSError:
        return 0
    finally:
        close_file(fd)


def _unlink(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
