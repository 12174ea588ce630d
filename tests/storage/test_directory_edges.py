"""R5, R8, R18: the state directory where what stands there is a directory, damaged, or changes meanwhile."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from kalos_connect_sdk.errors import StateUnreadable
from kalos_connect_sdk.storage.directory import StateDirectory, check_private, open_private, sync_directory
from kalos_connect_sdk.storage.failure import StorageFailure
from kalos_connect_sdk.storage.ledger import Ledger
from kalos_connect_sdk.storage.locks import Barrier
from kalos_connect_sdk.storage.outbox import Outbox
from kalos_connect_sdk.storage.page import Page


def broken(*_: Any, **__: Any) -> Any:
    raise OSError(errno.EIO, "broken")


@pytest.mark.parametrize("bit", range(9))
def test_every_bit_for_others_is_one_too_many(tmp_path: Path, bit: int) -> None:
    """The innermost directory is 0700, not one bit more or less."""
    found = StateDirectory.open("app", None, tmp_path / "state")
    found.path.chmod(0o700 ^ (1 << bit))
    with pytest.raises(StateUnreadable):
        StateDirectory.open("app", None, tmp_path / "state")


def test_r8_a_directory_in_a_files_place_is_moved_aside_and_never_over_another(directory: StateDirectory) -> None:
    for expected in ("thing.then", "thing.then.2"):
        (directory.path / "thing").mkdir()
        assert directory.set_aside("thing", "then") == directory.path / expected
        assert not (directory.path / "thing").exists()
        assert (directory.path / expected).is_dir()


def test_r8_a_directory_that_cannot_be_moved_aside_is_said_so(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    (directory.path / "thing").mkdir()
    monkeypatch.setattr(Path, "rename", broken)
    with pytest.raises(StorageFailure, match="cannot be moved aside: EIO"):
        directory.set_aside("thing", "then")


def test_r8_a_file_set_aside_has_one_name_or_both(directory: StateDirectory) -> None:
    (directory.path / "thing").write_bytes(b"x")
    kept = directory.set_aside("thing", "then", keep=True)
    assert kept is not None and kept.exists() and (directory.path / "thing").exists()
    moved = directory.set_aside("thing", "then")
    assert moved is not None and moved != kept and not (directory.path / "thing").exists()


def test_r8_a_link_is_set_aside_itself_and_not_what_it_leads_to(directory: StateDirectory, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"x")
    (directory.path / "thing").symlink_to(tmp_path / "elsewhere")
    kept = directory.set_aside("thing", "then")
    assert kept is not None and kept.is_symlink()
    assert (tmp_path / "elsewhere").stat().st_nlink == 1


@pytest.mark.parametrize("taken", [False, True])
def test_r5_what_is_published_is_on_disk(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch, taken: bool
) -> None:
    synced: list[bool] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        synced.append(stat.S_ISDIR(os.fstat(fd).st_mode) and (directory.path / "thing").exists())
        real(fd)

    (directory.path / "new").write_bytes(b"x")
    if taken:
        (directory.path / "thing").write_bytes(b"y")
    monkeypatch.setattr(os, "fsync", fsync)
    assert directory.publish("new", "thing") is not taken
    assert synced == [True]
    assert not (directory.path / "new").exists()


def test_r5_only_a_directory_is_synced_as_one(directory: StateDirectory) -> None:
    (directory.path / "thing").write_bytes(b"x")
    with pytest.raises(StorageFailure, match="ENOTDIR"):
        sync_directory(directory.path / "thing")


def test_a_file_that_cannot_be_looked_at_is_not_used(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.close(directory.open_file("thing", create=True))
    before = os.listdir("/proc/self/fd")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", broken)
        with pytest.raises(StorageFailure, match="cannot be read: EIO"):
            open_private(directory.path / "thing", create=False)
    with monkeypatch.context() as patch:
        patch.setattr(os, "lstat", broken)
        with pytest.raises(StorageFailure, match="cannot be read: EIO"):
            check_private(directory.path / "thing")
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_a_close_that_fails_undoes_nothing_and_raises_nothing(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failing disk may say so only then: whatever had to last was synced before."""
    close = os.close

    def fails(fd: int) -> None:
        close(fd)
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(os, "close", fails)
    page, ledger = Page.open(directory), Ledger.open(directory)
    assert page.intact() and ledger.events() == []
    lease = Barrier(directory).exclusive(0)
    assert lease is not None
    lease.release()
    page.close()
    outbox = Outbox(directory, in_memory=False)
    outbox.bind(1, 1, bytes(32))
    outbox.append(b"a row")
    outbox.close()
    assert Outbox.drop_all_files(directory) == 1
    assert [name for name in os.listdir(directory.path) if name.endswith(".new")] == []


def test_a_box_that_cannot_be_read_now_stays_for_later(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead, heir = Outbox(directory, in_memory=False), Outbox(directory, in_memory=False)
    dead.bind(1, 1, bytes(32))
    dead.append(b"a row")
    dead.close()
    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", broken)
        assert heir.adopt(1, 1, bytes(32)) == 0
    assert heir.adopt(1, 1, bytes(32)) == 1
