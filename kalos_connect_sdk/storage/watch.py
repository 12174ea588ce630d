"""Seeing another process's change of a file within a hundred microseconds: inotify, else polling."""

from __future__ import annotations

import ctypes
import os
import select
import sys
from contextlib import suppress

from .directory import StateDirectory
from .failure import StorageFailure, cause

__all__ = ["Watch"]

_IN_MODIFY = 0x2
_IN_CLOEXEC = 0o2000000
_IN_NONBLOCK = 0o4000
_POLL_S = 0.02


class Watch:
    """Waits until a file of the state directory is written (``os.pwrite`` counts, a store through mmap does not)."""

    def __init__(self, directory: StateDirectory, name: str) -> None:
        """Raises :class:`StorageFailure` when no descriptor is left."""
        failure = None
        try:
            self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            failure = cause(error)
        if failure is not None:
            raise StorageFailure(f"{directory.path / name} cannot be watched: {failure}")
        self._inotify = _inotify(os.fsencode(directory.path / name))

    def wait(self, timeout_s: float) -> None:
        """Return at a change, at :meth:`wake`, or after ``timeout_s`` (without inotify: after 20 ms)."""
        waiting = select.poll()  # not select(): a host may have more than 1024 descriptors open
        waiting.register(self._wake_read, select.POLLIN)
        if self._inotify >= 0:
            waiting.register(self._inotify, select.POLLIN)
        else:
            timeout_s = min(timeout_s, _POLL_S)
        for descriptor, _ in waiting.poll(1000 * timeout_s):
            try:
                os.read(descriptor, 4096)
            except BlockingIOError:
                pass
            except OSError:  # R3: the waiting thread must live, so without inotify then, which is looked after 20 ms
                if descriptor == self._inotify:
                    self._inotify = -1
                    with suppress(OSError):
                        os.close(descriptor)

    def wake(self) -> None:
        """End the present or the next :meth:`wait`."""
        try:
            os.write(self._wake_write, b"!")
        except OSError:
            pass  # full: the waiter is about to wake anyway; closed: nobody waits

    def close(self) -> None:
        """Release the descriptors. Only after the waiting thread ended."""
        for descriptor in (self._inotify, self._wake_read, self._wake_write):
            if descriptor >= 0:
                os.close(descriptor)
        self._inotify = self._wake_read = self._wake_write = -1


def _inotify(path: bytes) -> int:
    """A descriptor that becomes readable when ``path`` is written; -1 where inotify is not to be had."""
    if sys.platform != "linux":
        return -1
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor: int = libc.inotify_init1(_IN_CLOEXEC | _IN_NONBLOCK)
    if descriptor >= 0 and libc.inotify_add_watch(descriptor, path, _IN_MODIFY) < 0:
        os.close(descriptor)
        return -1
    return descriptor
