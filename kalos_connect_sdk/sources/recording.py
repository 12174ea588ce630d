"""A recorded drive, replayed: read lazily, paced by its own times, ended at once by ``close()``.

A recording keeps its recorded times (``live`` is false: the outbox waits for room instead of dropping). A gap
of more than an hour, or a step back in time, is not waited for: it is where one trip ends and another begins.
"""

from __future__ import annotations

import errno
import math
import os
import stat
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import BinaryIO, ClassVar, Final

from ..errors import SourceError, SourceUnavailable, silenced
from ..model.position import Position

__all__ = ["Recording", "chunks"]

LONGEST_GAP_S: Final = 3600.0
_CHUNK: Final = 64 * 1024
_COUNTED_BYTES: Final = 64 * 1024 * 1024


class Recording(ABC):
    """A file of positions. Every iteration reads it anew, from the start; ``close()`` ends all of them.

    ``speed``: ``None`` waits as recorded, ``0`` not at all, ``x`` plays ``x`` times faster. Raises
    :class:`SourceUnavailable` when the file cannot be read, and ``ValueError`` for an unusable ``speed``.
    """

    live = False
    _marks: ClassVar[tuple[bytes, ...]] = ()
    """What :attr:`len_hint` counts; the most frequent of them stands for a position."""

    def __init__(self, path: str | os.PathLike[str], *, speed: float | None = None) -> None:
        if speed is not None and (isinstance(speed, bool) or not 0 <= speed < math.inf):
            raise ValueError("speed must be 0 or more: 0 does not wait, 2 plays twice as fast")
        self._path = os.path.abspath(os.fspath(path))
        self._speed = 1.0 if speed is None else float(speed)
        self._closed = threading.Event()
        self._hint: int | None = None
        self.skipped = 0
        """Positions of the latest iteration so far that could not be used: damaged, out of range, undated."""
        with _open(self._path):
            pass  # readable now, so that a wrong path is told when the source is made

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __iter__(self) -> Iterator[Position]:
        """Raises :class:`SourceError` where the file cannot be understood, after what could."""
        try:
            yield from self._replayed()
        except SourceError as error:
            silenced(error)  # R10: the readers' frames hold pieces of the file
            raise

    def _replayed(self) -> Iterator[Position]:
        self.skipped = 0
        due: _Pace | None = None
        with _open(self._path) as file:
            for position in self._read(file):
                if self._closed.is_set():
                    return
                if self._speed:
                    due = due or _Pace(position, self._speed)
                    if self._closed.wait(due.wait_s(position)):
                        return
                yield position
                if self._closed.is_set():
                    return

    def close(self) -> None:
        """Stop. A replay that is waiting ends at once; any thread, any number of times."""
        self._closed.set()

    @property
    def len_hint(self) -> int | None:
        """About how many positions there are, for a progress bar; ``None`` for files too large to count quickly."""
        if self._hint is None:
            try:
                self._hint = self._count()
            except SourceError:
                return None
        return self._hint

    @abstractmethod
    def _read(self, file: BinaryIO) -> Iterator[Position]:
        """The positions of an open file, in its order."""

    def _count(self) -> int | None:
        counts = dict.fromkeys(self._marks, 0)
        with _open(self._path) as file:
            if os.fstat(file.fileno()).st_size > _COUNTED_BYTES:
                return None
            carried = b""
            for chunk in chunks(file):
                text = carried + chunk
                for mark in counts:
                    counts[mark] += text.count(mark)
                # All marks are equally long: this can hold the beginning of one, never a whole one.
                carried = text[-(len(self._marks[0]) - 1) :]
        return max(counts.values())


class _Pace:
    """When each position is due, without drift."""

    def __init__(self, first: Position, speed: float) -> None:
        self._speed = speed
        self._last_s = self._start(_seconds(first))

    def _start(self, recorded_s: float) -> float:
        self._recorded_s, self._begun_s = recorded_s, time.monotonic()
        return recorded_s

    def wait_s(self, position: Position) -> float:
        """Seconds until ``position`` is due, never negative."""
        recorded_s = _seconds(position)
        step_s, self._last_s = recorded_s - self._last_s, recorded_s
        if not 0 <= step_s <= LONGEST_GAP_S:
            self._start(recorded_s)
        due_s = self._begun_s + (recorded_s - self._recorded_s) / self._speed
        return max(0.0, min(due_s - time.monotonic(), threading.TIMEOUT_MAX))


def _seconds(position: Position) -> float:
    assert position.time is not None
    return position.time.timestamp()


def chunks(file: BinaryIO) -> Iterator[bytes]:
    """The bytes of a file, piece by piece. Raises :class:`SourceError` when reading fails."""
    while True:
        problem = None
        chunk = b""
        try:
            chunk = file.read(_CHUNK)
        except OSError as error:
            problem = _word(error)
        if problem is not None:
            raise SourceError(f"reading the recording failed: {problem}")
        if not chunk:
            return
        yield chunk


def _open(path: str) -> BinaryIO:
    """A regular file, opened for reading; a pipe or a device would block and cannot be replayed."""
    name = os.path.basename(path)
    problem = None
    file: BinaryIO | None = None
    try:
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0)
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            problem = "it is not a regular file"
    except OSError as error:
        problem = _word(error)
    except ValueError:  # a NUL in the path
        problem = "the name is not valid"
    if problem is not None or file is None:
        if file is not None:
            file.close()
        raise SourceUnavailable(f"cannot read the recording {name!r}: {problem}")
    return file


def _word(error: OSError) -> str:
    if error.errno == errno.EISDIR:
        return "it is not a regular file"
    return (os.strerror(error.errno) if error.errno else "unknown error").lower()
