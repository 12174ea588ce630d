"""A full disk, for real: a withdrawal's tombstone succeeds, everything else fails closed (R5)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kalos_connect_sdk.core.chain import GENESIS, link
from kalos_connect_sdk.errors import VaultUnavailable
from kalos_connect_sdk.model.consent import Purpose
from kalos_connect_sdk.storage.directory import StateDirectory
from kalos_connect_sdk.storage.failure import StorageFailure
from kalos_connect_sdk.storage.ledger import Ledger, NewEvent
from kalos_connect_sdk.storage.locks import Barrier
from kalos_connect_sdk.storage.outbox import Outbox
from kalos_connect_sdk.storage.page import Page
from kalos_connect_sdk.storage.vault import FileVault


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of half a megabyte."""
    point = tmp_path / "small"
    point.mkdir(mode=0o700)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k,mode=0700", "none", str(point)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("file systems cannot be mounted here")
    yield point
    subprocess.run(["umount", "-l", str(point)], check=True)


def fill(point: Path) -> None:
    with (point / "fill").open("wb", buffering=0) as out:
        for size in (4096, 1):
            try:
                while out.write(b"x" * size) == size:
                    pass
            except OSError:
                continue


def commit(ledger: Ledger, body: bytes) -> None:
    rows = ledger.events()
    prev = rows[-1].hash if rows else GENESIS
    ledger.commit(events=[NewEvent(body, prev, link(prev, body), None, None)])


def test_r5_on_a_full_disk_the_tombstone_is_written_and_nothing_else_is_believed(small: Path) -> None:
    directory = StateDirectory.open("app", None, small)
    page, barrier, ledger = Page.open(directory), Barrier(directory), Ledger.open(directory)
    vault = FileVault(small / "vault")
    vault.store("a", b"old")
    commit(ledger, b"x" * 6000)
    outbox = Outbox(directory, in_memory=False)
    outbox.bind(1, 1, bytes(32))
    for _ in range(10):
        outbox.append(bytes(46))
    fill(small)

    assert page.end(Purpose.NAVIGATION, 1)
    page.count_withdrawal(Purpose.NAVIGATION)
    assert Page.open(directory).ended(Purpose.NAVIGATION, 1)
    with pytest.raises(StorageFailure):
        while True:  # within the page it has, then refused
            outbox.append(bytes(46))
    held = len(outbox)
    with pytest.raises(StorageFailure):
        commit(ledger, b"y" * 20_000)
    assert len(ledger.events()) == 1
    with pytest.raises(VaultUnavailable, match="ENOSPC"):
        vault.store("a", b"new" * 5000)
    assert vault.load("a") == b"old"
    with barrier.exclusive(5) or pytest.fail("locks need no space"):
        assert Outbox.drop_all_files(directory) == held
    assert outbox.drop() == held

    (small / "fill").unlink()
    commit(ledger, b"y" * 20_000)
    assert len(ledger.events()) == 2
    vault.store("a", b"new")
    assert vault.load("a") == b"new"


def test_r5_a_state_that_does_not_fit_is_not_half_made(small: Path) -> None:
    directory = StateDirectory.open("app", None, small)
    fill(small)
    for make in (Page.open, Ledger.open):
        with pytest.raises(StorageFailure):
            make(directory)
    assert os.listdir(directory.path) == []
