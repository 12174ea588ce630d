"""Lines from a keyboard that can be interrupted from another thread.

``select`` waits on the input and on a pipe. A small thread waits for the cancelling event and closes its end of
the pipe, which wakes the reader at once; it owns that end alone, so no descriptor is ever closed under a writer.
Ctrl-C is read as a character while the question is open: the signal would interrupt the program's main thread,
not the thread that asks.
"""

from __future__ import annotations

import os
import select
import threading
import time
from types import TracebackType
from typing import Any, Final, TextIO

try:
    import termios
except ImportError:  # no POSIX terminal here: signals keep their meaning, nothing is flushed
    termios = None  # type: ignore[assignment]

__all__ = ["Keyboard", "may_change"]

_INTERRUPT: Final = b"\x03"
_END_OF_INPUT: Final = b"\x04"
_LONGEST: Final = 4096


class Keyboard:
    """A context manager: lines of ``stream`` until ``cancelled`` is set or ``deadline`` (monotonic seconds) passes."""

    def __init__(self, stream: TextIO, cancelled: threading.Event, deadline: float) -> None:
        self._fd = stream.fileno()
        self._tty = stream.isatty()
        self._cancelled = cancelled
        self._deadline = deadline
        self._over = threading.Event()
        self._wake = -1
        self._typed = b""
        self._mode: list[Any] | None = None

    def __enter__(self) -> Keyboard:
        self._wake, write_end = os.pipe()
        watcher = threading.Thread(target=self._watch, args=(write_end,), name="kalos-connect-prompt", daemon=True)
        watcher.start()
        self._mode = _take_interrupt(self._fd) if self._tty else None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        os.close(self._wake)
        if self._mode is not None:
            termios.tcsetattr(self._fd, termios.TCSANOW, self._mode)

    def forget_typed_ahead(self) -> None:
        """Drop what was typed on a terminal before now."""
        if self._mode is not None:
            termios.tcflush(self._fd, termios.TCIFLUSH)

    def line(self) -> str | None:
        """The next line in lower case, without the spaces around it.

        ``None``: cancelled, too late, Ctrl-C, Ctrl-D or the end of the input. A line longer than 4 KiB is one too.
        """
        while b"\n" not in self._typed:
            chunk = self._chunk()
            if not chunk or _INTERRUPT in chunk or _END_OF_INPUT in chunk or len(self._typed) > _LONGEST:
                return None
            self._typed += chunk.replace(b"\r", b"\n")
        line, _, self._typed = self._typed.partition(b"\n")
        if self._cancelled.is_set():  # R11: a late Allow is void
            return None
        return line.decode("utf-8", "replace").strip().casefold()

    def _chunk(self) -> bytes:
        """Some input, or nothing when the question is over."""
        left = self._deadline - time.monotonic()
        if left <= 0 or self._cancelled.is_set():
            return b""
        ready, _, _ = select.select([self._fd, self._wake], [], [], left)
        if self._fd not in ready or self._wake in ready:
            return b""
        try:
            return os.read(self._fd, 1024)
        except OSError:  # the terminal is gone
            return b""

    def _watch(self, write_end: int) -> None:
        try:
            while not self._over.is_set() and not self._cancelled.wait(0.2):
                pass
        finally:
            os.close(write_end)


def may_change(fd: int) -> bool:
    """Whether this process may change the mode of its terminal.

    A process in the background may not: it would be stopped. On a terminal that is not the controlling one there is
    no such rule.
    """
    if termios is None:
        return False
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return True


def _take_interrupt(fd: int) -> list[Any] | None:
    """Make Ctrl-C a character that ends a line; returns the mode to put back, or ``None`` if it was left alone."""
    if not may_change(fd):
        return None
    try:
        before = termios.tcgetattr(fd)
        mode = termios.tcgetattr(fd)
        mode[6][termios.VINTR] = b"\x00"
        mode[6][termios.VEOL] = _INTERRUPT
        termios.tcsetattr(fd, termios.TCSANOW, mode)
    except termios.error:
        return None
    return before
