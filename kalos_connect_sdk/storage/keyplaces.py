"""The three places in RAM where the entry of the data keys can stand (R4)."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from .directory import StateDirectory, close_file, open_private
from .failure import StorageFailure, cause
from .kernelkeys import KernelKeyring
from .locks import FileLock, Lease

__all__ = ["KernelPlace", "ProcessPlace", "TmpfsPlace", "ram_directories"]

_RAM_FILE_SYSTEMS: Final = frozenset({"tmpfs", "ramfs"})


class KernelPlace:
    """The kernel's user keyring: never swapped, gone with the last process of the user or the reboot."""

    location = "kernel"

    __slots__ = ("_description", "_keyring")

    def __init__(self, slot: str) -> None:
        self._description = f"kalos-connect:{slot}"
        self._keyring = KernelKeyring()

    def usable(self) -> bool:
        """Whether keys can be added and read here; containers often forbid it."""
        return self._keyring.works()

    def read(self) -> bytes | None:
        serial = self._keyring.search(self._description)
        return None if serial is None else self._keyring.read(serial)

    def write(self, blob: bytes, *, secret: bool) -> None:
        # In place when it exists: there is no moment without the counters, and the kernel wipes what was there.
        self._keyring.put(self._description, blob)

    def remove(self) -> None:
        serial = self._keyring.search(self._description)
        if serial is not None:
            self._keyring.remove(serial)


class TmpfsPlace:
    """A file in a 0700 directory of ours on tmpfs or ramfs, when nothing in RAM is swapped to a disk."""

    PREFIX: Final = "tmpfs:"

    __slots__ = ("_directory", "_file", "location")

    def __init__(self, directory: Path, slot: str) -> None:
        self._directory = directory
        self._file = directory / slot
        self.location = f"{self.PREFIX}{directory}"

    def usable(self) -> bool:
        try:
            if not os.path.lexists(self._directory):
                os.mkdir(self._directory, 0o700)
            found = os.lstat(self._directory)
        except OSError:
            return False
        return (
            stat.S_ISDIR(found.st_mode)
            and found.st_uid == os.geteuid()
            and stat.S_IMODE(found.st_mode) & 0o777 == 0o700
            and _is_ram(self._directory)
        )

    def read(self) -> bytes | None:
        try:
            fd = open_private(self._file, create=False, writable=False)
        except FileNotFoundError:
            return None
        failure = None
        try:
            return os.read(fd, 4096) or None  # made, and then the disk was full or the maker died
        except OSError as error:
            failure = cause(error)
        finally:
            close_file(fd)
        raise StorageFailure(f"{self._file} cannot be read: {failure}")

    def write(self, blob: bytes, *, secret: bool) -> None:
        """In place, so that the old key's bytes in RAM are overwritten, not left in a freed page."""
        failure = None
        fd = open_private(self._file, create=True)
        try:
            os.pwrite(fd, blob, 0)
        except OSError as error:
            failure = cause(error)
        finally:
            close_file(fd)
        if failure is not None:
            raise StorageFailure(f"{self._file} cannot be written: {failure}")

    def remove(self) -> None:
        failure = None
        try:
            self._file.unlink(missing_ok=True)
        except OSError as error:
            failure = cause(error)
        if failure is not None:
            raise StorageFailure(f"{self._file} cannot be removed: {failure}")


class ProcessPlace:
    """This process's memory, the last resort. While it holds a key it holds a lock, so that no other
    process makes a second one or believes a key to be gone that is not."""

    location = "process"

    __slots__ = ("_lock", "_slot")

    def __init__(self, directory: StateDirectory) -> None:
        self._slot = directory.slot
        self._lock = FileLock(directory, "keys.process")

    def usable(self) -> bool:
        lease, _ = _entries.get(self._slot, (None, b""))
        return (lease is not None and lease.held) or not self._lock.held_elsewhere()

    def read(self) -> bytes | None:
        return _entries[self._slot][1] if self._slot in _entries else None

    def write(self, blob: bytes, *, secret: bool) -> None:
        lease, _ = _entries.get(self._slot, (None, b""))
        if secret and lease is None:
            lease = self._lock.try_acquire()
            if lease is None:
                raise StorageFailure("another process holds the data key in its memory")
        _entries[self._slot] = (lease if secret else None, blob)
        if lease is not None and not secret:
            lease.release()

    def remove(self) -> None:
        lease, _ = _entries.pop(self._slot, (None, b""))
        if lease is not None:
            lease.release()


# One entry for all objects of this process. A forked child has neither the lock nor the key.
_entries: dict[str, tuple[Lease | None, bytes]] = {}
os.register_at_fork(after_in_child=_entries.clear)


def ram_directories() -> list[Path]:
    """Where a private directory in RAM may be made, best first."""
    found = []
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/"):
        found.append(Path(runtime) / "kalos-connect")
    found.append(Path(f"/run/user/{os.geteuid()}/kalos-connect"))
    found.append(Path(f"/dev/shm/kalos-connect-{os.geteuid()}"))  # noqa: S108 - checked before use: ours, 0700, RAM
    return found


def _is_ram(directory: Path) -> bool:
    """Whether the directory is on a file system in RAM and RAM is not swapped to a disk."""
    try:
        device = os.stat(directory).st_dev
        mounts = Path("/proc/self/mountinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return False
    wanted = f"{os.major(device)}:{os.minor(device)}"
    kinds = {line.partition(" - ")[2].split(" ")[0] for line in mounts if line.split(" ")[2:3] == [wanted]}
    return bool(kinds) and kinds <= _RAM_FILE_SYSTEMS and (kinds == {"ramfs"} or not _swaps_to_disk())


def _swaps_to_disk() -> bool:
    """True unless every swap device is compressed RAM; unknown counts as a disk (R1), no swap list as none."""
    try:
        lines = Path("/proc/swaps").read_text("utf-8", "replace").splitlines()[1:]
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return any(not line.startswith("/dev/zram") for line in lines if line.strip())
