"""Sees every system call of every thread of a child process, and at a chosen one kills it, fails it, or pauses it.

The child puts itself under a seccomp filter for all of its threads (:func:`come_under`); the parent serves the
filter's listener (:class:`Tap`). A call that is reported has not been made yet: the kernel keeps its thread waiting
until the parent has answered, so a kill there is a kill between two system calls, whatever the other threads do.
Nothing is emulated and nothing is counted per thread, which is where ``strace -e inject=...:when=N`` falls short.

Linux 5.19 or later on x86_64 (:func:`missing` says what is missing).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import re
import select
import signal
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["CHANGES", "LOOKS", "Call", "Point", "Tap", "come_under", "forbid", "missing"]

_X86_64 = """
    read=0 write=1 open=2 close=3 stat=4 fstat=5 lstat=6 poll=7 lseek=8 mmap=9 mprotect=10 munmap=11 brk=12 ioctl=16
    pread64=17 pwrite64=18 readv=19 writev=20 access=21 pipe=22 select=23 sched_yield=24 mremap=25 msync=26
    madvise=28 dup=32 dup2=33 nanosleep=35 getpid=39 socket=41 connect=42 accept=43 sendto=44 recvfrom=45 sendmsg=46
    recvmsg=47 shutdown=48 bind=49 listen=50 getsockname=51 getpeername=52 socketpair=53 setsockopt=54 getsockopt=55
    clone=56 exit=60 uname=63 fcntl=72 flock=73 fsync=74 fdatasync=75 truncate=76 ftruncate=77 getcwd=79 rename=82
    mkdir=83 rmdir=84 creat=85 link=86 unlink=87 symlink=88 readlink=89 chmod=90 fchmod=91 umask=95 sysinfo=99
    getuid=102 getgid=104 geteuid=107 sigaltstack=131 prctl=157 gettid=186 futex=202 getdents64=217
    clock_gettime=228 clock_nanosleep=230 exit_group=231 epoll_wait=232 epoll_ctl=233 tgkill=234 add_key=248
    request_key=249 keyctl=250 inotify_add_watch=254 inotify_rm_watch=255 openat=257 mkdirat=258 newfstatat=262
    unlinkat=263 renameat=264 linkat=265 symlinkat=266 readlinkat=267 fchmodat=268 faccessat=269 pselect6=270
    ppoll=271 set_robust_list=273 fallocate=285 eventfd2=290 epoll_create1=291 pipe2=293 inotify_init1=294
    preadv=295 pwritev=296 prlimit64=302 sendmmsg=307 renameat2=316 getrandom=318 memfd_create=319 membarrier=324
    statx=332 rseq=334 clone3=435 close_range=436 faccessat2=439
"""
_NUMBERS = {name: int(number) for name, _, number in (item.partition("=") for item in _X86_64.split())}
_NAMES = {number: name for name, number in _NUMBERS.items()}

CHANGES = frozenset(
    [
        "open",
        "creat",
        "openat",
        "write",
        "writev",
        "pwrite64",
        "pwritev",
        "fsync",
        "fdatasync",
        "msync",
        "unlink",
        "unlinkat",
        "rename",
        "renameat",
        "renameat2",
        "truncate",
        "ftruncate",
        "fallocate",
        "mkdir",
        "mkdirat",
        "rmdir",
        "link",
        "linkat",
        "symlink",
        "symlinkat",
        "chmod",
        "fchmod",
        "fchmodat",
        "flock",
        "add_key",
        "keyctl",
        "memfd_create",
        "connect",
        "sendto",
        "sendmsg",
        "shutdown",
        "clone",
        "clone3",
    ]
)
"""Calls that change something which outlives the process, or which another can see."""

LOOKS = frozenset(
    [
        "read",
        "readv",
        "pread64",
        "preadv",
        "newfstatat",
        "fstat",
        "lstat",
        "stat",
        "statx",
        "lseek",
        "getdents64",
        "recvfrom",
        "recvmsg",
        "fcntl",
        "mmap",
        "close",
        "socket",
        "setsockopt",
        "inotify_init1",
        "inotify_add_watch",
    ]
)
"""Calls that only look, or that a death undoes: a kill before one is a kill after the change before it. All can fail."""

_PATHS = {
    **dict.fromkeys(
        ["open", "creat", "stat", "lstat", "access", "truncate", "mkdir", "rmdir", "unlink", "chmod", "readlink"], (0,)
    ),
    **dict.fromkeys(["rename", "link", "symlink"], (0, 1)),
    **dict.fromkeys(
        ["openat", "mkdirat", "newfstatat", "unlinkat", "fchmodat", "faccessat", "faccessat2", "readlinkat", "statx"],
        (1,),
    ),
    **dict.fromkeys(["renameat", "renameat2", "linkat"], (1, 3)),
}
_FIRST_IS_FD = frozenset(
    [
        "read",
        "write",
        "close",
        "fstat",
        "lseek",
        "ioctl",
        "pread64",
        "pwrite64",
        "readv",
        "writev",
        "connect",
        "sendto",
        "recvfrom",
        "sendmsg",
        "recvmsg",
        "shutdown",
        "setsockopt",
        "getsockopt",
        "fcntl",
        "flock",
        "fsync",
        "fdatasync",
        "ftruncate",
        "fchmod",
        "getdents64",
        "fallocate",
        "inotify_add_watch",
    ]
)
_RANDOM = re.compile(r"[0-9a-f]{16,32}|\d{8}T\d{6}")
_BY_NUMBER = {"keyctl": 0, "fcntl": 1, "setsockopt": 2, "shutdown": 1, "futex": 1}  # which argument says what it does

_SET_NO_NEW_PRIVS, _SECCOMP = 38, 317
_FLAGS = 1 | 8 | 16 | 32  # all threads, with a listener, one errno for "a thread could not", waits only for a kill
_RECV, _SEND, _ADDFD = 0xC0502100, 0xC0182101, 0x40182103
_PIDFD_GETFD = 438
_NOTICE, _ANSWER = struct.Struct("<QIIiIQ6Q"), struct.Struct("<QqiI")
_TO_LISTENER, _ALLOW, _ERRNO = 0x7FC00000, 0x7FFF0000, 0x00050000


class Point(NamedTuple):
    """One system call of a window: the k-th of its kind, of this thread, on this file. The same in every run."""

    thread: str
    call: str
    on: str
    k: int

    def __str__(self) -> str:
        return f"{self.thread}: {self.call}({self.on}) #{self.k}"


@dataclass(frozen=True, slots=True)
class Call:
    """A call as it arrives: its point, its place in the order of all, and what it is about."""

    point: Point
    order: int
    fd: int | None


@dataclass(slots=True)
class Tap:
    """Serves one child. ``at(call)`` says what to do: None (let it be), ``"kill"``, a negative errno, or a function
    to call while the thread waits, after which it goes on, or is killed when that answers ``"kill"``.

    ``closed`` is the number of the descriptor whose first write ends the window; ``root`` is cut from paths.
    """

    pid: int
    at: Callable[[Call], str | int | Callable[[], str | None] | None]
    closed: int
    root: str
    timeout_s: float = 60.0
    points: list[Point] = field(default_factory=list)
    hit: Point | None = None
    hung: bool = False
    status: int = 0
    _counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _threads: dict[int, str] = field(default_factory=dict)
    _open: bool = True
    _memory: int = -1

    def serve(self) -> None:
        """Until the child has ended, one way or another; it is reaped."""
        deadline = time.monotonic() + self.timeout_s
        pidfd = os.pidfd_open(self.pid)
        listener = -1
        try:
            listener = self._listener(pidfd, deadline)
            if listener >= 0:
                self._memory = os.open(f"/proc/{self.pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
                self._answer_all(listener, pidfd, deadline)
            if not select.select([pidfd], [], [], max(0.0, deadline - time.monotonic()))[0]:
                self.hung = True
                os.kill(self.pid, signal.SIGKILL)
            _, self.status = os.waitpid(self.pid, 0)
        finally:
            for fd in (listener, pidfd, self._memory):
                if fd >= 0:
                    os.close(fd)

    def _listener(self, pidfd: int, deadline: float) -> int:
        """The child's listener, taken over; -1 when it ended without one."""
        while time.monotonic() < deadline:
            try:
                for name in os.listdir(f"/proc/{self.pid}/fd"):
                    if os.readlink(f"/proc/{self.pid}/fd/{name}") == "anon_inode:seccomp notify":
                        return _syscall(_PIDFD_GETFD, pidfd, int(name), 0)
            except OSError:
                pass
            if select.select([pidfd], [], [], 0.0003)[0]:
                return -1
        return -1

    def _answer_all(self, listener: int, pidfd: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        poll.register(pidfd, select.POLLIN)
        while True:
            ready = dict(poll.poll(max(0.0, deadline - time.monotonic()) * 1000))
            if not ready or pidfd in ready or ready.get(listener, 0) & ~select.POLLIN:
                return
            notice = bytearray(_NOTICE.size)
            try:
                fcntl.ioctl(listener, _RECV, notice)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.EINTR):
                    continue  # its thread is gone
                raise
            number, tid, _, nr, _, _, *arguments = _NOTICE.unpack(notice)
            verdict = self._judge(tid, nr, arguments)
            if callable(verdict):
                verdict = verdict()
            if verdict == "kill":
                os.kill(self.pid, signal.SIGKILL)
                return
            try:
                if isinstance(verdict, int):
                    if _NAMES.get(nr) == "close":
                        self._really_close(listener, number, arguments[0])
                    fcntl.ioctl(listener, _SEND, bytearray(_ANSWER.pack(number, 0, verdict, 0)))
                else:
                    fcntl.ioctl(listener, _SEND, bytearray(_ANSWER.pack(number, 0, 0, 1)))
            except OSError as error:
                if error.errno != errno.ENOENT:
                    raise

    def _really_close(self, listener: int, number: int, fd: int) -> None:
        """A ``close`` that fails on Linux has closed all the same: let /dev/null take the place of the file."""
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(listener, _ADDFD, bytearray(struct.pack("<QIIII", number, 1, null, fd, os.O_CLOEXEC)))
        finally:
            os.close(null)

    def _judge(self, tid: int, nr: int, arguments: list[int]) -> str | int | Callable[[], str | None] | None:
        if not self._open:
            return None
        call = _NAMES.get(nr, str(nr))
        fd = arguments[0] if call in _FIRST_IS_FD else None
        if call == "mmap":
            fd = arguments[4] & 0xFFFFFFFF
            if fd == 0xFFFFFFFF:
                fd = None
        if call == "write" and fd == self.closed:
            self._open = False
            return None
        what = (self._thread(tid), call, self._about(call, fd, arguments))
        self._counts[what] += 1
        point = Point(*what, self._counts[what])
        self.points.append(point)
        verdict = self.at(Call(point, len(self.points), fd))
        if verdict is not None and self.hit is None:
            self.hit = point
        return verdict

    def _thread(self, tid: int) -> str:
        if tid == self.pid:
            return "caller"
        name = self._threads.get(tid)
        if name is None:
            try:
                with open(f"/proc/{self.pid}/task/{tid}/comm") as comm:
                    name = comm.read().strip()
            except OSError:
                return "thread"
            if not name.startswith("kalos-"):
                return "thread"  # not named yet
            self._threads[tid] = name
        return name.removeprefix("kalos-")

    def _about(self, call: str, fd: int | None, arguments: list[int]) -> str:
        if call in _PATHS:
            paths = [self._text(arguments[index]) for index in _PATHS[call]]
            if any(paths):
                return " ".join(map(self._short, paths))
            fd = arguments[0]  # with AT_EMPTY_PATH: fstat()
        found = ""
        if fd is not None:
            try:
                found = self._short(os.readlink(f"/proc/{self.pid}/fd/{fd}"))
            except OSError:
                found = "closed"
        if call in _BY_NUMBER:
            found = f"{found} {arguments[_BY_NUMBER[call]] & 0xFFFFFFFF}".strip()
        elif call == "mmap" and fd is None:
            found = "memory"
        return found

    def _short(self, path: str) -> str:
        """Files under the root without it, others with their leading slash, and nothing that differs from run to run."""
        path = path.removesuffix(" (deleted)")
        for kind in ("socket", "pipe"):
            if path.startswith(f"{kind}:["):
                return kind
        if path.startswith(f"{self.root}/"):
            path = path[len(self.root) + 1 :]
        return _RANDOM.sub("*", path) or "."

    def _text(self, address: int) -> str:
        try:
            return os.pread(self._memory, 4096, address).partition(b"\0")[0].decode("utf-8", "replace")
        except OSError:
            try:
                return os.pread(self._memory, 4096 - address % 4096, address).partition(b"\0")[0].decode()
            except OSError:
                return "?"


# -- in the child --------------------------------------------------------------------------------


def come_under(calls: Iterable[str] | None) -> None:
    """From now on ``calls`` (None: all) of every thread of this process, now and later, are reported first."""
    numbers = None if calls is None else sorted(_NUMBERS[name] for name in calls)
    _install(numbers, _TO_LISTENER, _FLAGS)


def forbid(calls: Iterable[str], number: int) -> None:
    """``calls`` answer the error ``number`` in this process from now on, as in a container that forbids them."""
    _install(sorted(_NUMBERS[name] for name in calls), _ERRNO | number, 1)


def _install(numbers: list[int] | None, action: int, flags: int) -> None:
    rules = [(0x20, 0, 0, 4), (0x15, 1, 0, 0xC000003E), (0x06, 0, 0, _ALLOW), (0x20, 0, 0, 0)]
    if numbers is not None:
        for index, number in enumerate(numbers):
            rules.append((0x15, len(numbers) - index, 0, number))
        rules.append((0x06, 0, 0, _ALLOW))
    rules.append((0x06, 0, 0, action))
    code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *rule) for rule in rules))
    program = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", len(rules), ctypes.addressof(code)))
    ctypes.CDLL(None).prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _syscall(_SECCOMP, 1, flags, ctypes.addressof(program))


def _syscall(*arguments: int) -> int:
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    result = int(library.syscall(*(ctypes.c_long(item) for item in arguments)))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def missing() -> str | None:
    """What this machine lacks to tap system calls; None when it can."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return "system calls are tapped on Linux on x86_64 only"
    pid = os.fork()
    if pid == 0:
        try:
            come_under(["umask"])
            os._exit(0)
        except BaseException:
            os._exit(1)
    return None if os.waitpid(pid, 0)[1] == 0 else "the kernel offers no seccomp listener here"
