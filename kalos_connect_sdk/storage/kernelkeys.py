"""The Linux kernel's user keyring through plain system calls: no library, no daemon, no file."""

from __future__ import annotations

import errno
import os
import struct
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from .failure import StorageFailure

if TYPE_CHECKING:
    import ctypes

__all__ = ["KernelKeyring"]

# System call numbers of add_key and keyctl, by machine and pointer size.
_GENERIC: Final = (217, 219)
_NUMBERS: Final = {
    ("x86_64", 8): (248, 250),
    ("aarch64", 8): _GENERIC,
    ("riscv64", 8): _GENERIC,
    ("loongarch64", 8): _GENERIC,
    ("armv7l", 4): (309, 311),
    ("armv8l", 4): (309, 311),
    ("aarch64", 4): (309, 311),
    ("i686", 4): (286, 288),
    ("x86_64", 4): (286, 288),
    ("ppc64le", 8): (269, 271),
    ("s390x", 8): (278, 280),
}
_THREAD_KEYRING: Final = -1
_USER_KEYRING: Final = -4
_UPDATE, _REVOKE, _SETPERM, _LINK, _UNLINK, _SEARCH, _READ = 2, 3, 5, 8, 9, 10, 11
# Possessor: all. User: view, read, write, search. Without user-read a process of another login session of
# the same user, which does not possess the key, gets EACCES.
_PERMISSIONS: Final = 0x3F0F0000
_ABSENT: Final = frozenset({errno.ENOKEY, errno.EKEYREVOKED, errno.EKEYEXPIRED})
_TYPE: Final = b"user"
_LONGEST: Final = 4096


class KernelKeyring:
    """Entries by description. Every failure is a :class:`StorageFailure` with the error's word."""

    __slots__ = ()

    def works(self) -> bool:
        """Whether a key can be added, read and removed by this process. Found out once in a process."""
        return _works(os.getpid())

    def search(self, description: str) -> int | None:
        """The serial of the entry, None when absent or revoked."""
        serial, error = _keyctl(_SEARCH, _USER_KEYRING, _TYPE, description.encode(), 0)
        if serial >= 0:
            return serial
        if error in _ABSENT:
            return None
        raise _failure("found", error)

    def read(self, serial: int) -> bytes | None:
        """The entry's content, None when it is gone by now."""
        import ctypes

        buffer = ctypes.create_string_buffer(_LONGEST)
        length, error = _keyctl(_READ, serial, buffer, _LONGEST)
        content = buffer.raw[: max(0, length)]
        ctypes.memset(buffer, 0, _LONGEST)
        if length >= 0:
            return content
        if error in _ABSENT:
            return None
        raise _failure("read", error)

    def put(self, description: str, content: bytes) -> int:
        """Add the entry, or replace its content as a whole (the kernel wipes the old one). Its serial."""
        serial = self.search(description)
        if serial is not None:
            result, error = _keyctl(_UPDATE, serial, content, len(content))
            if result >= 0:
                return serial
            if error not in _ABSENT:
                raise _failure("written", error)
        return _add(description.encode(), content)

    def remove(self, serial: int) -> None:
        """Revoke and unlink the entry; its content is freed and wiped by the kernel."""
        _keyctl(_REVOKE, serial)
        result, error = _keyctl(_UNLINK, serial, _USER_KEYRING)
        if result < 0 and error not in (*_ABSENT, errno.ENOENT):
            raise _failure("removed", error)


def _add(description: bytes, content: bytes) -> int:
    """A session need not possess the user keyring, and then could not share what it adds there: so the key is
    made in the thread's own keyring, which is possessed, shared, and only then linked."""
    serial, error = _call(0, _TYPE, description, content, len(content), _THREAD_KEYRING)
    if serial < 0:
        raise _failure("made", error)
    result, error = _keyctl(_SETPERM, serial, _PERMISSIONS)
    if result >= 0:
        result, error = _keyctl(_LINK, serial, _USER_KEYRING)
    _keyctl(_UNLINK, serial, _THREAD_KEYRING)
    if result < 0:
        raise _failure("shared", error)
    return serial


@lru_cache(maxsize=1)
def _works(pid: int) -> bool:
    probe = f"kalos-connect:probe:{os.urandom(8).hex()}"
    ring = KernelKeyring()
    try:
        serial = ring.put(probe, probe.encode())
        readable = ring.read(serial) == probe.encode()
        ring.remove(serial)
        return readable and ring.search(probe) is None
    except StorageFailure:
        return False


def _failure(verb: str, error: int) -> StorageFailure:
    return StorageFailure(f"the data keys' entry in the kernel keyring cannot be {verb}: {errno.errorcode.get(error)}")


def _keyctl(*arguments: Any) -> tuple[int, int]:
    return _call(1, *arguments)


def _call(which: int, *arguments: Any) -> tuple[int, int]:
    """(result, errno) of add_key (0) or keyctl (1)."""
    import ctypes

    library, numbers = _library()
    if numbers is None:
        return -1, errno.ENOSYS
    values = [ctypes.c_long(item) if isinstance(item, int) else item for item in arguments]
    ctypes.set_errno(0)
    return int(library.syscall(ctypes.c_long(numbers[which]), *values)), ctypes.get_errno()


@lru_cache(maxsize=1)
def _library() -> tuple[ctypes.CDLL, tuple[int, int] | None]:
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    if sys.platform != "linux":
        return library, None
    return library, _NUMBERS.get((os.uname().machine, struct.calcsize("P")))
