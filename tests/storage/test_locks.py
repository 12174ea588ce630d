"""The barrier across processes: kill, stop, fork, and who is named (R3)."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from kalos_connect_sdk.errors import StateUnreadable
from kalos_connect_sdk.storage import holders, locks
from kalos_connect_sdk.storage.directory import StateDirectory
from kalos_connect_sdk.storage.failure import StorageFailure
from kalos_connect_sdk.storage.locks import Barrier, FileLock, wait_lock

SENDER = "from kalos_connect_sdk.storage.locks import Barrier; b = Barrier(directory); lease = b.shared(5); say('held'); wait()\n"
RETRY_S = 20.0


def test_r3_many_send_one_withdraws(directory: StateDirectory) -> None:
    barrier = Barrier(directory)
    first, second = barrier.shared(0), barrier.shared(0)
    assert first is not None
    assert second is not None
    assert barrier.exclusive(0.005) is None
    first.release()
    first.release()
    assert not first.held
    assert barrier.exclusive(0) is None
    second.release()
    with barrier.exclusive(0) or pytest.fail("free"):
        assert barrier.shared(0.005) is None
        assert barrier.exclusive(0.005) is None
    assert barrier.shared(0) is not None


def test_r3_a_waiting_withdrawer_shuts_new_senders_out(directory: StateDirectory) -> None:
    barrier = Barrier(directory)
    sending = barrier.shared(0)
    assert sending is not None
    entered, got = threading.Event(), []
    stopped = threading.Event()

    def stop() -> bool:
        entered.set()
        return stopped.is_set()

    withdrawer = threading.Thread(target=lambda: got.append(barrier.exclusive(RETRY_S, stop)))
    withdrawer.start()
    assert entered.wait(RETRY_S)
    assert barrier.shared(0.01) is None, "the turnstile is taken"
    sending.release()
    withdrawer.join(RETRY_S)
    assert got[0].held
    got[0].release()


def test_a_lease_may_be_released_by_any_thread_and_wakes_the_withdrawer(directory: StateDirectory) -> None:
    barrier = Barrier(directory)
    lease = barrier.shared(0)
    assert lease is not None
    threads = [threading.Thread(target=lease.release) for _ in range(8)]
    for thread in threads:
        thread.start()
    exclusive = barrier.exclusive(RETRY_S)
    assert exclusive is not None
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("kind", ["shared", "exclusive"])
def test_stop_ends_the_waiting_at_the_turnstile_and_at_the_main_lock(directory: StateDirectory, kind: str) -> None:
    barrier = Barrier(directory)
    for name in (Barrier.TURNSTILE, Barrier.MAIN):
        fd = directory.open_file(name, create=False)
        fcntl.flock(fd, fcntl.LOCK_EX)
        calls = []
        assert getattr(barrier, kind)(RETRY_S, lambda calls=calls: calls.append(1) or len(calls) > 3) is None
        assert len(calls) == 4
        os.close(fd)
    assert barrier.exclusive(0) is not None, "nothing was left locked"


def test_r3_a_stopped_holder_is_named_and_a_killed_one_leaves_nothing(
    directory: StateDirectory, peer: Callable
) -> None:
    barrier = Barrier(directory)
    one, two = peer(SENDER), peer(SENDER)
    assert (one.hear(), two.hear()) == ("held", "held")
    os.kill(one.pid, signal.SIGSTOP)
    two.say()
    assert two.end() == 0
    assert barrier.exclusive(0.02) is None
    assert barrier.holders() == (one.pid,)
    one.end(kill=True)
    with barrier.exclusive(RETRY_S) or pytest.fail("the kernel frees a dead process's lock"):
        assert barrier.holders() == (os.getpid(),)
    assert barrier.holders() == ()


def test_r3_who_stands_in_the_turnstile_is_named(directory: StateDirectory, peer: Callable) -> None:
    barrier = Barrier(directory)
    stopped = peer(
        "import time\n"
        "from kalos_connect_sdk.storage.locks import Barrier, wait_lock\n"
        "lease = wait_lock(Barrier(directory)._turnstile, time.monotonic() + 5, exclusive=True); say('held'); wait()\n"
    )
    assert stopped.hear() == "held"
    assert barrier.exclusive(0.005) is None
    assert barrier.holders() == (stopped.pid,), "it keeps everybody out"
    stopped.end(kill=True)
    with wait_lock(barrier._turnstile, time.monotonic() + RETRY_S, exclusive=True) or pytest.fail("free"):
        assert barrier.holders() == (), "who stands there to ask is not named"


def test_a_killed_withdrawer_leaves_the_turnstile_open(directory: StateDirectory, peer: Callable) -> None:
    script = "from kalos_connect_sdk.storage.locks import Barrier; lease = Barrier(directory).exclusive(5); say('held'); wait()\n"
    one = peer(script)
    assert one.hear() == "held"
    barrier = Barrier(directory)
    assert barrier.shared(0) is None
    one.end(kill=True)
    assert barrier.shared(RETRY_S) is not None


FORKER = """
from kalos_connect_sdk.storage.locks import Barrier
lease = Barrier(directory).shared(5)
pid = os.fork()
if pid == 0:
    held = lease.held
    lease.release()                      # must not close somebody else's descriptor
    with open(sys.argv[1] + "/child", "w") as out: out.write(str(held))
    say("child"); wait(); os._exit(0)
say("parent", pid); wait()
os.kill(pid, 9); os.waitpid(pid, 0)
"""


def test_r3_a_forked_child_holds_nothing(directory: StateDirectory, base: Path, peer: Callable) -> None:
    barrier = Barrier(directory)
    one = peer(FORKER)
    assert {one.hear().split()[0], one.hear().split()[0]} == {"child", "parent"}
    assert (base / "child").read_text() == "False"
    assert barrier.holders() == (one.pid,)
    one.process.kill()  # the child lives on, and keeps nothing
    one.process.wait(30)
    with barrier.exclusive(RETRY_S) or pytest.fail("a child keeps its dead parent's lock"):
        pass


def test_r3_a_lease_of_the_parent_survives_the_fork(directory: StateDirectory, peer: Callable) -> None:
    one = peer(FORKER)
    assert {one.hear().split()[0], one.hear().split()[0]} == {"child", "parent"}
    barrier = Barrier(directory)
    assert barrier.exclusive(0.01) is None
    one.say()
    assert one.end() == 0
    assert barrier.exclusive(RETRY_S) is not None


def test_the_hooks_of_a_fork_in_this_process(directory: StateDirectory) -> None:
    lease = Barrier(directory).shared(0)
    assert lease is not None
    fd = lease.fd
    locks._before_fork()
    locks._in_parent()
    assert lease.held
    locks._in_child()
    assert not lease.held
    with pytest.raises(OSError):
        os.fstat(fd)
    assert locks._held == {}


def test_a_removed_lock_file_is_not_made_again(directory: StateDirectory) -> None:
    barrier = Barrier(directory)
    (directory.path / Barrier.MAIN).unlink()
    with pytest.raises(StateUnreadable, match="removed"):
        barrier.exclusive(0)
    assert barrier.holders() == ()
    (directory.path / Barrier.MAIN).touch(0o600)
    assert barrier.exclusive(0) is not None, "the turnstile was let go"


def test_locks_that_do_not_work_are_a_failure(directory: StateDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    barrier, real, before = Barrier(directory), fcntl.flock, set(locks._held)

    def flock(fd: int, operation: int) -> None:
        if operation & fcntl.LOCK_NB:
            raise OSError(errno.ENOLCK, "injected")
        real(fd, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(StorageFailure, match="ENOLCK") as caught:
        barrier.shared(0)
    assert caught.value.__context__ is None
    assert set(locks._held) == before


def test_r3_with_stop_and_go_of_real_senders_no_two_overlap_with_a_withdrawer(
    directory: StateDirectory, peer: Callable
) -> None:
    script = (
        "from kalos_connect_sdk.storage.locks import Barrier\n"
        "b = Barrier(directory); path = directory.path / 'busy'\n"
        "say('ready')\n"
        "for n in range(400):\n"
        "    with b.shared(20):\n"
        "        fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600); os.write(fd, b'x'); os.close(fd)\n"
        "say('done')\n"
    )
    peers = [peer(script) for _ in range(2)]
    assert [one.hear() for one in peers] == ["ready", "ready"]
    barrier, path = Barrier(directory), directory.path / "busy"
    rounds = 0
    while not path.exists() or path.stat().st_size < 800:
        with barrier.exclusive(RETRY_S) or pytest.fail("starved"):
            before = path.stat().st_size if path.exists() else 0
            for _ in range(50):
                assert (path.stat().st_size if path.exists() else 0) == before
        rounds += 1
    assert rounds > 1
    assert [one.hear() for one in peers] == ["done", "done"]


def test_a_file_lock_is_one_at_a_time(directory: StateDirectory, peer: Callable) -> None:
    lock, other = FileLock(directory, "prompt.lock"), FileLock(directory, "prompt.lock")
    assert not lock.held_elsewhere()
    lease = lock.try_acquire()
    assert lease is not None
    assert lock.try_acquire() is None
    assert not lock.held_elsewhere()
    assert other.held_elsewhere()
    lease.release()
    assert not other.held_elsewhere()
    one = peer(
        "from kalos_connect_sdk.storage.locks import FileLock; l = FileLock(directory, 'prompt.lock').try_acquire(); say('held'); wait()\n"
    )
    assert one.hear() == "held"
    assert lock.held_elsewhere()
    assert lock.try_acquire() is None
    one.end(kill=True)
    assert not lock.held_elsewhere()


def test_waiting_is_bounded(directory: StateDirectory) -> None:
    barrier = Barrier(directory)
    lease = barrier.shared(0)
    begun = time.monotonic()
    assert barrier.exclusive(0.03) is None
    assert 0.02 < time.monotonic() - begun < 5
    assert lease is not None


def test_r3_a_released_lock_is_free_though_a_copy_of_its_descriptor_survives(directory: StateDirectory) -> None:
    barrier = Barrier(directory)
    lease = barrier.exclusive(0)
    assert lease is not None
    assert os.path.basename(os.readlink(f"/proc/self/fd/{lease.fd}")) == Barrier.MAIN, "the one taken last"
    with lease as same:
        assert same is lease
        copies = [os.dup(fd) for fd in lease._fds]
    try:
        with barrier.shared(0) or pytest.fail("a copy keeps the lock"):
            pass
    finally:
        for copy in copies:
            os.close(copy)


def test_no_lock_leaves_a_descriptor_open(directory: StateDirectory) -> None:
    barrier, file_lock = Barrier(directory), FileLock(directory, "one.lock")
    with barrier.shared(0) or pytest.fail("it is free"), file_lock.try_acquire() or pytest.fail("it is free"):
        assert barrier.exclusive(0) is None
        assert file_lock.try_acquire() is None
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            assert not os.readlink(f"/proc/self/fd/{number}").startswith(str(directory.path))


def test_r11_no_thread_waits_for_a_fork_or_a_lock_that_is_over(directory: StateDirectory) -> None:
    with Barrier(directory).shared(0) or pytest.fail("it is free"):
        locks._before_fork()
        locks._in_parent()
    free: list[bool] = []

    def look() -> None:  # it is reentrant: only another thread can tell
        free.append(locks._forking.acquire(blocking=False))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert free == [True]
    locks._forking = threading.RLock()  # that thread is gone


def test_a_close_or_an_unlock_that_fails_is_no_failure(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_close, real_flock = os.close, fcntl.flock

    def close(fd: int) -> None:
        real_close(fd)
        raise OSError(errno.EIO, "injected")

    def flock(fd: int, operation: int) -> None:
        real_flock(fd, operation)
        if operation == fcntl.LOCK_UN:
            raise OSError(errno.EIO, "injected")

    monkeypatch.setattr(os, "close", close)
    monkeypatch.setattr(fcntl, "flock", flock)
    barrier = Barrier(directory)
    for _ in range(2):
        lease = barrier.exclusive(0)
        assert lease is not None
        lease.release()
    lease = barrier.shared(0)
    assert lease is not None
    locks._in_child()
    assert not lease.held


def test_r3_senders_pass_the_turnstile_together(directory: StateDirectory) -> None:
    barrier = Barrier(directory)
    with locks.try_lock(barrier._turnstile, exclusive=False) or pytest.fail("it is free"):
        assert barrier.shared(0) is not None, "another sender that is just passing keeps nobody out"


def test_two_who_look_at_a_lock_at_once_do_not_take_each_other_for_its_holder(directory: StateDirectory) -> None:
    one, other = FileLock(directory, "one.lock"), FileLock(directory, "one.lock")
    assert not one.held_elsewhere()
    with one.try_acquire() or pytest.fail("it is free"):
        pass
    with locks.try_lock(one._opener, exclusive=False) or pytest.fail("it is free"):
        assert not other.held_elsewhere()


class TestHolders:
    """The fallbacks of :mod:`holders`, where ``/proc/locks`` alone does not tell."""

    def test_a_copy_kept_by_a_child_of_a_dead_taker_is_found(self, directory: StateDirectory, peer: Callable) -> None:
        Barrier(directory)
        script = (
            "import fcntl\n"
            "fd = directory.open_file('barrier', create=False); fcntl.flock(fd, fcntl.LOCK_SH)\n"
            "pid = os.fork()\n"
            "if pid == 0: say(os.getpid()); wait(); os._exit(0)\n"
            "os._exit(0)\n"
        )
        one = peer(script)
        child = int(one.hear())
        one.process.wait(30)
        assert Barrier(directory).holders() == (child,)
        one.say()

    def test_an_undumpable_holder_counts(self, directory: StateDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
        barrier = Barrier(directory)
        lease = barrier.shared(0)
        assert lease is not None
        real = os.listdir

        def listdir(path: str) -> list[str]:
            if str(path).endswith("/fd"):
                raise PermissionError
            return real(path)

        monkeypatch.setattr(os, "listdir", listdir)
        assert barrier.holders() == (os.getpid(),)

    def test_waiters_and_other_files_do_not_count(self, directory: StateDirectory) -> None:
        Barrier(directory)
        found = os.stat(directory.path / Barrier.MAIN)
        lines = [
            f"1: FLOCK  ADVISORY  READ 11 08:01:{found.st_ino} 0 EOF",
            f"1: -> FLOCK  ADVISORY  WRITE 12 08:01:{found.st_ino} 0 EOF",
            f"2: POSIX  ADVISORY  WRITE 13 08:01:{found.st_ino} 0 EOF",
            f"3: FLOCK  ADVISORY  WRITE 14 08:01:{found.st_ino}1 0 EOF",
            f"4: FLOCK  ADVISORY  WRITE -1 08:01:{found.st_ino} 0 EOF",
            "5: FLOCK",
        ]
        assert list(holders._pids("\n".join(lines), found)) == [11]

    def test_processes_that_vanish_are_skipped(self, directory: StateDirectory) -> None:
        Barrier(directory)
        found = os.stat(directory.path / Barrier.MAIN)
        assert not holders._has_open(2**22 + 1, found)
        assert holders._names("/proc/none") == []
        assert holders._read("/proc/none") == ""
        assert not holders._same("/proc/none", found)


def test_who_looks_whether_a_lock_is_held_keeps_nobody_from_it(directory: StateDirectory) -> None:
    """Looking is trying, for microseconds: a prompt must not fail because somebody looked just then."""
    lock = FileLock(directory, "prompt.lock")
    opener = lock._opener
    looking = wait_lock(opener, 0.0, exclusive=False)
    assert looking is not None
    opened = []

    def opening() -> int:
        opened.append(len(opened))
        if len(opened) == 3:  # tried, looked, and now tried again
            looking.release()
        return opener()

    lock._opener = opening
    lease = lock.try_acquire()
    assert lease is not None and lease.held and len(opened) == 3
    assert FileLock(directory, "prompt.lock").try_acquire() is None
    lease.release()
