"""Data keys: in RAM alone, destroyed and verified, beside counters that never go down (R4, R7)."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kalos_connect_sdk.errors import StateUnreadable
from kalos_connect_sdk.model.consent import Purpose
from kalos_connect_sdk.storage import datakeys, kernelkeys, keyplaces
from kalos_connect_sdk.storage.datakeys import BLOB_SIZE, DataKeys, RamState
from kalos_connect_sdk.storage.directory import StateDirectory
from kalos_connect_sdk.storage.failure import StorageFailure
from kalos_connect_sdk.storage.kernelkeys import KernelKeyring
from kalos_connect_sdk.storage.keyplaces import ProcessPlace, TmpfsPlace, ram_directories
from kalos_connect_sdk.storage.locks import try_lock

NAVIGATION, BORDER = Purpose.NAVIGATION, Purpose.CROSS_BORDER_TRANSFER
KERNEL = KernelKeyring().works()


@pytest.fixture
def ram() -> Iterator[Path]:
    """A private directory in RAM, as far as this machine has one."""
    import tempfile

    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as made:
        path = Path(made)
        if not TmpfsPlace(path, "x").usable():
            pytest.skip("no directory in RAM here")
        yield path


@pytest.fixture(params=["kernel", "tmpfs", "process"])
def keys(request: pytest.FixtureRequest, directory: StateDirectory) -> Iterator[DataKeys]:
    location = request.param
    if location == "kernel" and not KERNEL:
        pytest.skip("the kernel keyring is not available here")
    if location == "tmpfs":
        location = f"tmpfs:{request.getfixturevalue('ram')}"
    found = DataKeys.choose(directory, location)
    assert found.location == location
    yield found
    found.remove()
    assert found.read() is None
    found.remove()


def forget(directory: StateDirectory) -> None:
    DataKeys.choose(directory, "kernel").remove()


def test_r4_a_key_is_made_kept_and_destroyed(keys: DataKeys) -> None:
    assert keys.reachable
    assert keys.read() is None
    assert keys.destroy(5), "nothing there is verified absent"
    made = keys.make(3, 1)
    assert made.key is not None
    assert len(made.key) == 32
    assert keys.read() == made
    assert keys.make(3, 2).key != made.key
    assert keys.destroy(2)
    assert keys.read() == keys.read() != RamState()
    assert keys.read().key is not None, "a newer grant's key is left alone"  # type: ignore[union-attr]
    keys.raise_counter(NAVIGATION, 3)
    assert keys.destroy(3)
    left = keys.read()
    assert left == RamState({NAVIGATION: 3, BORDER: 0}, 3, 2, None)
    assert keys.destroy(3)
    assert keys.reachable


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None)
@given(raised=st.lists(st.tuples(st.sampled_from(Purpose), st.integers(1, 2**62))))
def test_r7_a_counter_never_goes_down(keys: DataKeys, raised: list[tuple[Purpose, int]]) -> None:
    for purpose, epoch in raised:
        before = keys.read() or RamState()
        keys.raise_counter(purpose, epoch)
        after = keys.read()
        assert after is not None
        assert after.counters == {**before.counters, purpose: max(before.counters[purpose], epoch)}


def test_r6_no_key_is_made_for_an_ended_grant(keys: DataKeys) -> None:
    keys.raise_counter(NAVIGATION, 3)
    for epoch in (1, 3):
        with pytest.raises(StorageFailure, match="ended"):
            keys.make(epoch, 1)
    assert keys.read().key is None  # type: ignore[union-attr]
    assert keys.make(4, 1).counters[NAVIGATION] == 3


def test_r10_no_key_shows(keys: DataKeys) -> None:
    made = keys.make(1, 1)
    assert made.key is not None
    for shown in (repr(made), repr(keys), str(made)):
        assert made.key.hex() not in shown
        assert repr(made.key)[2:-1] not in shown


def test_r9_nothing_of_the_key_is_in_the_state_directory(keys: DataKeys, directory: StateDirectory) -> None:
    key = keys.make(1, 1).key
    assert key is not None
    for path in directory.path.rglob("*"):
        assert path.is_dir() or key not in path.read_bytes()


@pytest.mark.parametrize("keys", ["kernel", "tmpfs"], indirect=True)  # a process shares nothing
def test_r4_every_process_finds_the_same_entry(keys: DataKeys, peer: Callable) -> None:
    key = keys.make(1, 1).key
    assert key is not None
    one = peer(
        "from kalos_connect_sdk.storage.datakeys import DataKeys\n"
        f"k = DataKeys.choose(directory, {keys.location!r}); say(k.read().key.hex()); say(k.destroy(1), k.read().key)\n"
    )
    assert one.hear() == key.hex()
    assert one.hear() == "True None"
    assert keys.read().key is None  # type: ignore[union-attr]


@pytest.mark.parametrize("keys", ["kernel", "tmpfs"], indirect=True)  # a process shares nothing
def test_r4_counting_from_two_processes_loses_nothing(keys: DataKeys, peer: Callable) -> None:
    keys.make(10_000, 1)
    one = peer(
        "from kalos_connect_sdk.storage.datakeys import DataKeys\n"
        f"k = DataKeys.choose(directory, {keys.location!r}); say('ready')\n"
        "for epoch in range(1, 301): k.raise_counter(Purpose.NAVIGATION, epoch)\n"
        "say('done')\n"
    )
    assert one.hear() == "ready"
    for epoch in range(1, 301):
        keys.raise_counter(BORDER, epoch)
    assert one.hear() == "done"
    left = keys.read()
    assert left is not None
    assert left.counters == {NAVIGATION: 300, BORDER: 300}
    assert left.key is not None


def test_r4_a_stopped_process_in_mid_change_makes_others_fail_not_overwrite(
    keys: DataKeys, directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datakeys, "_LOCK_S", 0.01)
    made = keys.make(1, 1)
    with try_lock(lambda: directory.open_file("keys.lock", create=True)) or pytest.fail("free"):
        with pytest.raises(StorageFailure, match="another process"):
            keys.raise_counter(NAVIGATION, 1)
        assert not keys.destroy(1)
    assert keys.read() == made
    assert keys.destroy(1)


def test_r4_the_process_place_is_one_process_at_a_time(directory: StateDirectory, peer: Callable) -> None:
    one = peer(
        "from kalos_connect_sdk.storage.datakeys import DataKeys\n"
        "k = DataKeys.choose(directory, 'process'); k.make(1, 1); say('made'); wait(); say(k.destroy(1)); wait()\n"
    )
    assert one.hear() == "made"
    mine = DataKeys.choose(directory, "process")
    assert not mine.reachable
    assert mine.read() is None
    assert not mine.destroy(1), "somebody else's memory still holds the key"
    with pytest.raises(StorageFailure, match="cannot be reached"):
        mine.make(1, 2)
    one.say()
    assert one.hear() == "True"
    assert mine.reachable
    assert mine.destroy(1)
    assert mine.make(2, 1).key is not None
    assert DataKeys.choose(directory, "process").read() == mine.read(), "one entry for all objects of a process"
    one.end(kill=True)
    assert mine.destroy(2)


def test_r4_the_process_place_loses_a_race_by_failing(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = DataKeys.choose(directory, "process")
    taken = try_lock(lambda: directory.open_file("keys.process", create=True))
    assert taken is not None
    monkeypatch.setattr(ProcessPlace, "usable", lambda _: True)
    with pytest.raises(StorageFailure, match="another process"):
        mine.make(1, 1)
    assert mine.read() is None
    taken.release()


def test_r4_a_forked_child_does_not_inherit_the_process_place(directory: StateDirectory, peer: Callable) -> None:
    one = peer(
        "from kalos_connect_sdk.storage.datakeys import DataKeys\n"
        "k = DataKeys.choose(directory, 'process'); k.make(1, 1)\n"
        "pid = os.fork()\n"
        "if pid == 0: say(k.read(), k.reachable, k.destroy(1)); os._exit(0)\n"
        "os.waitpid(pid, 0); say(k.read().key is not None)\n"
    )
    assert one.hear() == "None False False"
    assert one.hear() == "True"


class TestChoosing:
    """Where the entry goes, and that a recorded place is the only place."""

    @pytest.mark.skipif(not KERNEL, reason="the kernel keyring is not available here")
    def test_the_kernel_comes_first(self, directory: StateDirectory) -> None:
        assert DataKeys.choose(directory, None).location == "kernel"

    def test_r4_without_the_kernel_ram_and_never_a_disk(
        self, directory: StateDirectory, ram: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(KernelKeyring, "works", lambda _: False)
        on_disk = tmp_path / "run"
        monkeypatch.setattr(datakeys, "ram_directories", lambda: [on_disk, ram])
        if TmpfsPlace(on_disk, "x").usable():
            pytest.skip("the temporary directory is in RAM here")
        assert DataKeys.choose(directory, None).location == f"tmpfs:{ram}"
        monkeypatch.setattr(datakeys, "ram_directories", lambda: [on_disk])
        chosen = DataKeys.choose(directory, None)
        assert chosen.location == "process"
        assert chosen.reachable

    @pytest.mark.parametrize("recorded", ["kernel", "tmpfs:/nowhere/at/all", "tmpfs:/proc", "floppy"])
    def test_r4_a_recorded_place_that_is_out_of_reach_is_not_replaced(
        self, directory: StateDirectory, recorded: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(KernelKeyring, "works", lambda _: False)
        keys = DataKeys.choose(directory, recorded)
        assert keys.location == recorded
        assert not keys.reachable
        assert keys.read() is None
        assert not keys.destroy(1)
        keys.remove()
        for change in (lambda: keys.make(1, 1), lambda: keys.raise_counter(NAVIGATION, 1)):
            with pytest.raises(StorageFailure, match="cannot be reached"):
                change()

    def test_candidates_in_ram(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
        assert ram_directories()[0] == Path("/run/user/7/kalos-connect")
        monkeypatch.setenv("XDG_RUNTIME_DIR", "relative")
        assert all(path.is_absolute() and "relative" not in path.parts for path in ram_directories())


class TestTmpfs:
    """What counts as a private directory in RAM."""

    def test_only_a_private_directory_of_ours(self, ram: Path) -> None:
        inner = ram / "inner"
        assert TmpfsPlace(inner, "x").usable(), "made when absent"
        assert inner.stat().st_mode & 0o777 == 0o700
        inner.chmod(0o750)
        assert not TmpfsPlace(inner, "x").usable()
        (ram / "link").symlink_to(inner)
        inner.chmod(0o700)
        assert not TmpfsPlace(ram / "link", "x").usable()
        assert not TmpfsPlace(ram / "no" / "such", "x").usable()

    def test_swapping_to_a_disk_disqualifies_but_compressed_ram_does_not(
        self, ram: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = Path.read_text
        head = "Filename\tType\tSize\tUsed\tPriority\n"

        def swaps(answer: str | OSError) -> None:
            def read_text(self: Path, *arguments: object, **named: object) -> str:
                if str(self) != "/proc/swaps":
                    return real(self, *arguments, **named)  # type: ignore[arg-type]
                if isinstance(answer, OSError):
                    raise answer
                return answer

            monkeypatch.setattr(Path, "read_text", read_text)

        for answer, usable in (
            (head, True),
            (head + "/dev/zram0 partition 1 0 100\n", True),
            (head + "/dev/zram0 partition 1 0 100\n/dev/sda2 partition 1 0 -2\n", False),
            (FileNotFoundError(errno.ENOENT, "no swap in this kernel"), True),
            (PermissionError(errno.EACCES, "unknown"), False),
        ):
            swaps(answer)
            assert TmpfsPlace(ram, "x").usable() is usable

    def test_unknown_mounts_are_not_ram(self, ram: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Path, "read_text", lambda *_: (_ for _ in ()).throw(PermissionError()))
        assert not keyplaces._is_ram(ram)
        monkeypatch.setattr(Path, "read_text", lambda *_: "")
        assert not keyplaces._is_ram(ram)

    def test_r8_something_else_in_the_entry_is_kept(self, ram: Path, directory: StateDirectory) -> None:
        keys = DataKeys.choose(directory, f"tmpfs:{ram}")
        keys.make(1, 1)
        entry = ram / directory.slot
        whole = entry.read_bytes()
        assert len(whole) == BLOB_SIZE
        other_magic = b"KALOSDK9" + whole[8:-8]
        entry.write_bytes(b"")
        assert keys.read() is None, "made, and then the disk was full: absent"
        for content in (
            whole[:-1],
            whole[:-1] + b"\0\0",
            bytes(BLOB_SIZE),
            whole[:40] + bytes([whole[40] ^ 1]) + whole[41:],
            other_magic + datakeys.hashlib.sha256(other_magic).digest()[:8],
        ):
            entry.write_bytes(content)
            with pytest.raises(StateUnreadable, match="not ours"):
                keys.read()
            assert not keys.destroy(1)
            with pytest.raises(StateUnreadable):
                keys.raise_counter(NAVIGATION, 2)
            assert entry.read_bytes() == content

    def test_r4_an_entry_in_a_place_that_is_not_private_is_not_read(self, ram: Path, directory: StateDirectory) -> None:
        place = ram / "place"
        DataKeys.choose(directory, f"tmpfs:{place}").make(1, 1)
        place.chmod(0o755)
        assert DataKeys.choose(directory, f"tmpfs:{place}").read() is None
        place.chmod(0o700)
        assert DataKeys.choose(directory, f"tmpfs:{place}").read() is not None

    def test_r7_the_highest_epoch_an_entry_knows(self, ram: Path, directory: StateDirectory) -> None:
        keys = DataKeys.choose(directory, f"tmpfs:{ram}")
        assert keys.epoch() == 0
        keys.raise_counter(Purpose.CROSS_BORDER_TRANSFER, 9)
        assert keys.read() == RamState({NAVIGATION: 0, Purpose.CROSS_BORDER_TRANSFER: 9}, 0, 0, None)
        assert keys.epoch() == 0
        keys.make(4, 1)
        assert keys.epoch() == 4
        keys.raise_counter(NAVIGATION, 6)
        assert keys.epoch() == 6
        (ram / directory.slot).write_bytes(b"damaged")
        assert keys.epoch() == 0

    def test_a_write_that_fails_is_a_failure(
        self, ram: Path, directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keys = DataKeys.choose(directory, f"tmpfs:{ram}")
        keys.make(1, 1)

        def full(*_: object, **__: object) -> int:
            raise OSError(errno.ENOSPC, "injected")

        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full)
            assert not keys.destroy(1)
            with pytest.raises(StorageFailure, match="ENOSPC") as caught:
                keys.raise_counter(NAVIGATION, 1)
            assert caught.value.__context__ is None
            patch.setattr(os, "pwrite", lambda *_: BLOB_SIZE)
            with pytest.raises(StorageFailure, match="did not keep"):
                keys.raise_counter(NAVIGATION, 1)
            patch.setattr(Path, "unlink", full)
            with pytest.raises(StorageFailure, match="removed: ENOSPC"):
                keys.remove()
        assert keys.destroy(1)


@pytest.mark.skipif(not KERNEL, reason="the kernel keyring is not available here")
class TestKernel:
    """The system calls, for real."""

    def test_r4_another_login_session_of_the_user_reads_the_key(self, directory: StateDirectory, base: Path) -> None:
        keys = DataKeys.choose(directory, "kernel")
        key = keys.make(1, 1).key
        assert key is not None
        code = (
            "import sys, ctypes\n"
            "from kalos_connect_sdk.storage import kernelkeys\n"
            "serial, error = kernelkeys._keyctl(1, None)\n"  # KEYCTL_JOIN_SESSION_KEYRING: a session of its own
            "assert serial > 0, error\n"
            "from kalos_connect_sdk.storage.directory import StateDirectory\n"
            "from kalos_connect_sdk.storage.datakeys import DataKeys\n"
            "k = DataKeys.choose(StateDirectory.open('app', None, sys.argv[1]), 'kernel')\n"
            "assert k.reachable; print(k.read().key.hex()); assert k.destroy(1) and k.read().key is None\n"
        )
        import sys

        root = Path(__file__).parents[2]
        done = subprocess.run([sys.executable, "-c", code, str(base)], capture_output=True, text=True, cwd=root)
        assert done.stdout.strip() == key.hex(), done.stderr
        assert done.returncode == 0, done.stderr
        assert keys.read().key is None  # type: ignore[union-attr]
        forget(directory)

    def test_a_revoked_entry_is_absent_and_can_be_made_again(self, directory: StateDirectory) -> None:
        keys = DataKeys.choose(directory, "kernel")
        keys.make(1, 1)
        ring = KernelKeyring()
        serial = ring.search(f"kalos-connect:{directory.slot}")
        assert serial is not None
        kernelkeys._keyctl(kernelkeys._REVOKE, serial)
        assert ring.read(serial) is None
        assert keys.read() is None
        assert keys.make(1, 2).generation == 2
        forget(directory)
        ring.remove(serial)

    @pytest.mark.parametrize("number", [errno.EACCES, errno.EDQUOT, errno.ENOSYS])
    def test_every_refusal_is_a_failure_with_a_word(self, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
        ring = KernelKeyring()
        monkeypatch.setattr(kernelkeys, "_call", lambda *_: (-1, number))
        word = errno.errorcode[number]
        for call in (
            lambda: ring.search("x"),
            lambda: ring.read(1),
            lambda: ring.put("x", b"y"),
            lambda: ring.remove(1),
        ):
            with pytest.raises(StorageFailure, match=word):
                call()
        kernelkeys._works.cache_clear()
        assert not ring.works()
        kernelkeys._works.cache_clear()

    @pytest.mark.parametrize(
        ("call", "word"),
        [(0, "made"), (kernelkeys._UPDATE, "written"), (kernelkeys._SETPERM, "shared"), (kernelkeys._LINK, "shared")],
    )
    def test_each_step_of_writing_may_be_refused(self, call: int, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
        found = 5 if call == kernelkeys._UPDATE else -1

        def refuse(which: int, *arguments: object) -> tuple[int, int]:
            if which == 1 and arguments[0] == kernelkeys._SEARCH:
                return found, errno.ENOKEY
            return (-1, errno.EPERM) if call == (arguments[0] if which else 0) else (5, 0)

        monkeypatch.setattr(kernelkeys, "_call", refuse)
        with pytest.raises(StorageFailure, match=f"{word}: EPERM"):
            KernelKeyring().put("x", b"y")

    def test_a_refused_key_leaves_nothing_in_the_thread(self, directory: StateDirectory) -> None:
        keys = DataKeys.choose(directory, "kernel")
        keys.make(1, 1)
        serial, error = kernelkeys._keyctl(
            kernelkeys._SEARCH, kernelkeys._THREAD_KEYRING, b"user", f"kalos-connect:{directory.slot}".encode(), 0
        )
        assert (serial, error) == (-1, errno.ENOKEY)
        forget(directory)

    def test_an_entry_revoked_between_finding_and_replacing_is_made_anew(
        self, directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ring, name = KernelKeyring(), f"kalos-connect:{directory.slot}"
        old = ring.put(name, b"old")
        kernelkeys._keyctl(kernelkeys._REVOKE, old)
        with monkeypatch.context() as patch:
            patch.setattr(KernelKeyring, "search", lambda *_: old)
            new = ring.put(name, b"new")
        assert new != old
        assert ring.read(new) == b"new"
        assert ring.search(name) == new
        forget(directory)

    def test_machines_without_known_numbers_have_no_keyring(self, monkeypatch: pytest.MonkeyPatch) -> None:
        kernelkeys._library.cache_clear()
        monkeypatch.setattr(kernelkeys, "_NUMBERS", {})
        with pytest.raises(StorageFailure, match="ENOSYS"):
            KernelKeyring().search("x")
        kernelkeys._library.cache_clear()
        monkeypatch.setattr("sys.platform", "darwin")
        assert kernelkeys._library()[1] is None
        kernelkeys._library.cache_clear()

    def test_an_entry_gone_between_finding_and_reading_is_absent(
        self, directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keys = DataKeys.choose(directory, "kernel")
        monkeypatch.setattr(KernelKeyring, "search", lambda *_: 1)
        monkeypatch.setattr(KernelKeyring, "read", lambda *_: None)
        assert keys.read() is None


def test_a_blob_read_in_the_middle_of_a_write_is_read_again(
    directory: StateDirectory, ram: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = DataKeys.choose(directory, f"tmpfs:{ram}")
    made = keys.make(1, 1)
    real, torn = TmpfsPlace.read, [b"torn"]
    monkeypatch.setattr(TmpfsPlace, "read", lambda self: torn.pop() if torn else real(self))
    assert keys.read() == made
