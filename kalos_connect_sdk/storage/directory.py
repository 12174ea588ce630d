"""The state directory: one fixed, checked place for one (app, profile) (R18).

Rules kept here: it is a real directory of ours, mode 0700, with no symbolic link in its last three
steps and nobody else able to replace it; its files are 0600, ours and opened without following links.
What is not so is refused with a sentence that says what to do; nothing is repaired silently (R8).
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..errors import ConfigError, StateUnreadable
from .failure import StorageFailure, cause

__all__ = ["StateDirectory"]

_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_NO_PROFILE: Final = "_default"  # no plain profile starts with an underscore
_ARCHIVES: Final = 1000
_OTHERS: Final = 0o077
_OTHERS_WRITE: Final = 0o022
_ROOM: Final = 256 * 1024
"""A commit of the ledger takes some pages of its journal and of itself."""
_DIRECTORY_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class StateDirectory:
    """One (app, profile)'s directory, open for use. Made by :meth:`open`."""

    __slots__ = ("path", "slot")

    def __init__(self, path: Path, slot: str) -> None:
        self.path: Final = path
        self.slot: Final = slot
        """32 hex digits that name this directory in the vault and beside the data keys."""

    def __repr__(self) -> str:
        return f"<StateDirectory {self.slot}>"

    @classmethod
    def open(
        cls, app_id: str, profile: str | None, state_dir: str | os.PathLike[str] | None, *, create: bool = True
    ) -> StateDirectory:
        """Check, and by default create, the directory of ``app_id`` and ``profile``.

        Raises :class:`ConfigError` on a malformed id, :class:`StateUnreadable` when the directory is not
        safe to use or is absent and not to be created, :class:`StorageFailure` when it cannot be created.
        """
        leaf = _leaf(app_id, profile, state_dir)
        base = leaf.parent.parent
        for step in (base, leaf.parent, leaf):
            if create:
                make_private(step)
            _check_directory(step, exact=step == leaf)
        identity = "\n".join((app_id, profile or "", os.path.realpath(leaf)))
        return cls(leaf, hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()[:32])

    @staticmethod
    def exists(app_id: str, profile: str | None, state_dir: str | os.PathLike[str] | None) -> bool:
        """Whether there is anything at that place, safe or not. Raises :class:`ConfigError` on a malformed id."""
        return os.path.lexists(_leaf(app_id, profile, state_dir))

    def folder(self, name: str) -> Path:
        """A 0700 folder inside, created when absent. Raises like :meth:`open`."""
        path = self.path / name
        make_private(path)
        _check_directory(path, exact=True)
        return path

    def open_file(self, name: str, *, create: bool, writable: bool = True) -> int:
        """A close-on-exec descriptor of the file ``name``, created empty with mode 0600 when absent.

        Raises ``FileNotFoundError`` when it is absent and not to be created, :class:`StateUnreadable` when
        it is a link, foreign, not a file or open to others, :class:`StorageFailure` otherwise.
        """
        return open_private(self.path / name, create=create, writable=writable)

    def open_lock(self, name: str, *, create: bool) -> int:
        """Like :meth:`open_file`, to lock it: also where nothing can be written any more, for an end must still wait
        for the senders and destroy the data key there (R3, R4)."""
        failure: StorageFailure | None = None
        try:
            return self.open_file(name, create=create)
        except StorageFailure as error:
            failure = error
        try:
            return self.open_file(name, create=False, writable=False)
        except (FileNotFoundError, StorageFailure):
            pass
        raise failure

    def publish(self, temporary: str, name: str) -> bool:
        """Give the finished, synced file ``temporary`` its ``name``, unless that is taken: then False.

        Either way ``temporary`` is gone afterwards, and the directory is on disk.
        """
        try:
            os.link(self.path / temporary, self.path / name)
            published = True
        except FileExistsError:
            published = False
        finally:
            os.unlink(self.path / temporary)
        self.sync()
        return published

    def set_aside(self, name: str, stamp: str, *, keep: bool = False) -> Path | None:
        """Rename ``name`` to ``name.stamp`` (or ``name.stamp.2``...), never over a file; None when absent.

        ``keep``: it has both names then, until something else takes the first.
        """
        for number in range(1, _ARCHIVES):
            target = self.path / (f"{name}.{stamp}" if number == 1 else f"{name}.{stamp}.{number}")
            failure = None
            try:
                os.link(self.path / name, target, follow_symlinks=False)
                if not keep:
                    os.unlink(self.path / name)
                return target
            except FileExistsError:
                continue
            except FileNotFoundError:
                return None
            except PermissionError:  # a directory, or a file of someone else's: neither can be linked
                if os.path.lexists(target):
                    continue
                failure = _renamed(self.path / name, target)
                if failure is None:
                    return target
            except OSError as error:
                failure = cause(error)
            raise StorageFailure(f"{self.path / name} cannot be moved aside: {failure}")
        raise StorageFailure(f"too many archives of {name} of the same time")

    def has_room(self) -> bool:
        """Whether the disk has some space left, as far as it says. About 2 us."""
        try:
            found = os.statvfs(self.path)
        except OSError:
            return False
        return found.f_bavail * found.f_frsize >= _ROOM and not found.f_flag & os.ST_RDONLY

    def sync(self) -> None:
        """Make names (creations, renames, removals) durable. Raises :class:`StorageFailure`."""
        sync_directory(self.path)


def open_private(path: Path, *, create: bool, writable: bool = True) -> int:
    """See :meth:`StateDirectory.open_file`; also for the key file, which may lie elsewhere."""
    flags = (os.O_RDWR if writable else os.O_RDONLY) | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    failure = None
    fd = -1
    try:
        fd = os.open(path, flags | os.O_CREAT if create else flags, 0o600)
    except FileNotFoundError:
        if not create:
            raise
        failure = "ENOENT"
    except OSError as error:
        failure = cause(error)
    if failure in ("ELOOP", "EISDIR", "ENXIO"):
        raise StateUnreadable(f"{path} is not a plain file; move it away")
    if failure is not None:
        raise StorageFailure(f"{path} cannot be opened: {failure}")
    problem = None
    try:
        problem = _file_problem(os.fstat(fd))
    except OSError as error:
        failure = cause(error)
    if failure is None and problem is None:
        return fd
    close_file(fd)
    if failure is not None:
        raise StorageFailure(f"{path} cannot be read: {failure}")
    raise StateUnreadable(f"{path} {problem}")


def close_file(fd: int) -> None:
    """Whatever closing says, the descriptor is gone; what had to last was synced before. Never raises."""
    with suppress(OSError):
        os.close(fd)


def check_private(path: Path) -> os.stat_result | None:
    """What ``path`` is when it is a private file of ours, None when absent, without opening it (SQLite's own file:
    any ``close()`` of it would drop SQLite's locks). Raises :class:`StateUnreadable` or :class:`StorageFailure`."""
    failure, found = None, None
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        failure = cause(error)
    if failure is not None or found is None:
        raise StorageFailure(f"{path} cannot be read: {failure}")
    problem = _file_problem(found)
    if problem is not None:
        raise StateUnreadable(f"{path} {problem}")
    return found


def sync_directory(path: Path) -> None:
    """fsync a directory. Raises :class:`StorageFailure`; never tries twice (R5)."""
    failure = None
    try:
        fd = os.open(path, _DIRECTORY_FLAGS)
        try:
            os.fsync(fd)
        finally:
            close_file(fd)
    except OSError as error:
        failure = cause(error)
    if failure is not None:
        raise StorageFailure(f"{path} cannot be synced: {failure}")


def _leaf(app_id: str, profile: str | None, state_dir: str | os.PathLike[str] | None) -> Path:
    if not isinstance(app_id, str) or not _PLAIN.fullmatch(app_id):
        raise ConfigError(
            "app_id must start with a letter or digit and hold at most 100 letters, digits, '.', '_' or '-',"
            " such as com.example.headunit"
        )
    if profile is not None and (not isinstance(profile, str) or not profile):
        raise ConfigError("profile must be text, or None for the only one")
    if state_dir is None:
        import platformdirs  # only needed here; an explicit state_dir does without

        state_dir = platformdirs.user_state_dir("kalos-connect", appauthor=False)
    base = Path(os.path.abspath(Path(state_dir).expanduser()))
    return base / app_id / _profile_name(profile)


def _profile_name(profile: str | None) -> str:
    if profile is None:
        return _NO_PROFILE
    if _PLAIN.fullmatch(profile):
        return profile
    return "_" + hashlib.sha256(profile.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def make_private(path: Path) -> None:
    """Create ``path`` and its missing parents, each 0700 and durable. Raises :class:`StorageFailure`."""
    missing = []
    while not os.path.lexists(path):
        missing.append(path)
        path = path.parent
    failure = None
    for step in reversed(missing):
        try:
            os.mkdir(step, 0o700)
            os.chmod(step, 0o700)  # whatever the umask took away
            sync_directory(step.parent)
        except FileExistsError:
            continue  # another process was faster; the check that follows judges what it made
        except OSError as error:
            failure = cause(error)
            break
    if failure is not None:
        raise StorageFailure(f"{step} cannot be created: {failure}; choose another state_dir")


def _check_directory(path: Path, *, exact: bool) -> None:
    failure = None
    try:
        found = os.lstat(path)
    except OSError as error:
        failure = cause(error)
    if failure is not None:
        raise StateUnreadable(f"{path} cannot be read: {failure}")
    if not stat.S_ISDIR(found.st_mode):
        raise StateUnreadable(f"{path} is not a directory (a symbolic link is not one); move it away")
    if found.st_uid != os.geteuid():
        raise StateUnreadable(f"{path} belongs to another user; choose another state_dir")
    mode = stat.S_IMODE(found.st_mode)
    if exact and mode & 0o777 != 0o700:
        raise StateUnreadable(f"{path} has mode {mode:04o}; others could use it: chmod 700 if that was intended")
    if mode & _OTHERS_WRITE:
        raise StateUnreadable(
            f"{path} is writable by others (mode {mode:04o}); chmod go-w, or choose another state_dir"
        )


def _renamed(path: Path, target: Path) -> str | None:
    try:
        path.rename(target)
    except OSError as error:
        return cause(error)
    return None


def _file_problem(found: os.stat_result) -> str | None:
    if not stat.S_ISREG(found.st_mode):
        return "is not a plain file; move it away"
    if found.st_uid != os.geteuid():
        return "belongs to another user; move it away"
    if found.st_mode & _OTHERS:
        return f"is open to others (mode {stat.S_IMODE(found.st_mode):04o}); chmod 600 if that was intended"
    return None
