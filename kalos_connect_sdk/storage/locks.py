"""The barrier between senders and withdrawers, and simple locks, over ``flock`` (R3).

``flock`` and never POSIX ``lockf``: any ``close()`` of the file would drop the latter. The kernel frees
the lock of a dead process; a stopped one keeps it, and :meth:`Barrier.holders` names it.

A *turnstile* in front of the main lock keeps a stream of senders from shutting a locker out: lockers
take it exclusively before the main lock, senders pass it shared and let go.

A forked child holds nothing: descriptors of locks are closed in it, or its copies would keep the lock
of a dead parent.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from ..errors import StateUnreadable
from .directory import StateDirectory, close_file
from .failure import StorageFailure, cause
from .holders import holders_of

__all__ = ["Barrier", "FileLock", "Lease", "close_held", "open_held", "try_lock", "wait_lock"]

_FIRST_WAIT_S: Final = 50e-6
_LONGEST_WAIT_S: Final = 1e-3
_LOOKERS: Final = 4
"""How often a lock is tried that nobody holds: somebody may have been looking, for microseconds, each time."""

# Descriptors that must not outlive a fork, each with what to do in the child. Opening and registering is
# one step under this lock, which a forking thread takes first. Reentrant: a signal handler may fork. Nobody else
# waits for it for long: its holder may have been interrupted by a handler that withdraws, and waits for us (R11).
_forking = threading.RLock()
_FORKING_WAIT_S: Final = 0.02
_held: dict[int, Callable[[], None]] = {}


def open_held(opener: Callable[[], int], forget: Callable[[], None]) -> int:
    """Open a descriptor that a forked child closes at once; there, ``forget`` is called too."""
    alone = _forking.acquire(timeout=_FORKING_WAIT_S)
    try:
        fd = opener()
        _held[fd] = forget
    finally:
        if alone:
            _forking.release()
    return fd


def close_held(fd: int) -> None:
    """Close what :func:`open_held` opened, freeing its ``flock`` even if some copy of it survives."""
    with suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_UN)
    alone = _forking.acquire(timeout=_FORKING_WAIT_S)
    try:
        _held.pop(fd, None)
        with suppress(OSError):  # whatever it says, the descriptor is gone, and the lock with it
            os.close(fd)
    finally:
        if alone:
            _forking.release()


def _before_fork() -> None:
    _forking.acquire()


def _in_parent() -> None:
    _forking.release()


def _in_child() -> None:
    global _forking
    _forking = threading.RLock()
    for fd, forget in list(_held.items()):
        with suppress(OSError):
            os.close(fd)
        forget()
    _held.clear()


os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)


class Lease:
    """A lock that is held until :meth:`release`, from any thread, or the end of the process."""

    __slots__ = ("_fds",)

    def __init__(self) -> None:
        self._fds: list[int] = []

    @property
    def fd(self) -> int:
        """The descriptor of the lock taken last, for whoever also reads or writes the locked file."""
        return self._fds[-1]

    @property
    def held(self) -> bool:
        """False once released, and in a forked child."""
        return bool(self._fds)

    def release(self) -> None:
        """Let go. Idempotent; ``list.pop`` is what makes two threads at once safe."""
        while True:
            try:
                fd = self._fds.pop()
            except IndexError:
                return
            close_held(fd)

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def try_lock(opener: Callable[[], int], *, exclusive: bool = True, lease: Lease | None = None) -> Lease | None:
    """Lock the file that ``opener`` opens, without waiting; None when another holds it. With ``lease``, the
    lock joins it. Raises :class:`StorageFailure` when locks do not work here."""
    lease = Lease() if lease is None else lease
    fd = open_held(opener, lease._fds.clear)
    failure = None
    try:
        fcntl.flock(fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        close_held(fd)
        return None
    except OSError as error:
        failure = cause(error)
    if failure is not None:
        close_held(fd)
        raise StorageFailure(f"locks do not work in the state directory: {failure}")
    lease._fds.append(fd)
    return lease


def wait_lock(
    opener: Callable[[], int],
    deadline: float,
    *,
    exclusive: bool,
    stop: Callable[[], bool] | None = None,
    lease: Lease | None = None,
) -> Lease | None:
    """:func:`try_lock` again and again until ``deadline`` (of ``time.monotonic()``) or ``stop()``."""
    wait_s = _FIRST_WAIT_S
    while True:
        got = try_lock(opener, exclusive=exclusive, lease=lease)
        if got is not None:
            return got
        if time.monotonic() >= deadline or (stop is not None and stop()):
            return None
        time.sleep(wait_s)
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)


class Barrier:
    """Senders hold it shared while bytes may leave; a withdrawer holds it alone (R3).

    Opening it creates the two lock files; taking it never does: when somebody removed them, a new file
    would be another lock, so that is a :class:`StateUnreadable`.
    """

    MAIN: Final = "barrier"
    TURNSTILE: Final = "turnstile"

    __slots__ = ("_directory",)

    def __init__(self, directory: StateDirectory) -> None:
        self._directory = directory
        for name in (self.MAIN, self.TURNSTILE):
            fd = directory.open_file(name, create=True)
            close_file(fd)

    def shared(self, timeout_s: float, stop: Callable[[], bool] | None = None) -> Lease | None:
        """A sender's lease, or None after ``timeout_s`` or once ``stop()``. Read consent only after this."""
        deadline = time.monotonic() + timeout_s
        turnstile = wait_lock(self._turnstile, deadline, exclusive=False, stop=stop)
        if turnstile is None:
            return None
        with turnstile:
            return wait_lock(self._main, deadline, exclusive=False, stop=stop)

    def exclusive(self, timeout_s: float, stop: Callable[[], bool] | None = None) -> Lease | None:
        """The withdrawer's lease: nobody sends while it is held. None after ``timeout_s`` or once ``stop()``:
        then somebody may still be sending, and :meth:`holders` says who."""
        deadline = time.monotonic() + timeout_s
        lease = wait_lock(self._turnstile, deadline, exclusive=True, stop=stop)
        if lease is None:
            return None
        held = None
        try:
            held = wait_lock(self._main, deadline, exclusive=True, stop=stop, lease=lease)
        finally:
            if held is None:
                lease.release()
        return held

    def holders(self) -> tuple[int, ...]:
        """The pids that hold the main lock now, ascending, this process's among them if it does; and of others
        also those that stand in the turnstile, for they keep everybody out as well."""
        waiting = set(holders_of(self._directory.path / self.TURNSTILE)) - {os.getpid()}
        return tuple(sorted(waiting | set(holders_of(self._directory.path / self.MAIN))))

    def _main(self) -> int:
        return _reopen(self._directory, self.MAIN)

    def _turnstile(self) -> int:
        return _reopen(self._directory, self.TURNSTILE)


def _reopen(directory: StateDirectory, name: str) -> int:
    with suppress(FileNotFoundError):
        return directory.open_lock(name, create=False)
    raise StateUnreadable(f"{directory.path / name} was removed while in use; close and open again")


class FileLock:
    """One exclusive lock by name, never waited for: who prompts, who runs."""

    __slots__ = ("_lease", "_opener", "_path")

    def __init__(self, directory: StateDirectory, name: str) -> None:
        self._path = directory.path / name
        self._opener = lambda: directory.open_lock(name, create=True)
        self._lease: Lease | None = None

    def try_acquire(self) -> Lease | None:
        """The lock, or None when anyone, this object included, holds it. Who only looks does not count."""
        for _ in range(_LOOKERS):
            lease = try_lock(self._opener)
            if lease is not None:
                self._lease = lease
                return lease
            if self.held_elsewhere():
                break
        return None

    def held_elsewhere(self) -> bool:
        """Whether someone other than this object holds it. Looks by trying, for microseconds."""
        if self._lease is not None and self._lease.held:
            return False
        if not os.path.lexists(self._path):
            return False
        probe = try_lock(self._opener, exclusive=False)
        if probe is None:
            return True
        probe.release()
        return False
