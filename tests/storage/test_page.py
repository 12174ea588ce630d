"""The page of tombstones: seen by every process at once, durable, and never a yes by accident."""

from __future__ import annotations

import errno
import gc
import itertools
import mmap
import os
import random
import signal
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalos_connect_sdk.errors import StateUnreadable
from kalos_connect_sdk.model.consent import Purpose
from kalos_connect_sdk.storage import page as module
from kalos_connect_sdk.storage.directory import StateDirectory
from kalos_connect_sdk.storage.failure import StorageFailure
from kalos_connect_sdk.storage.page import NAME, SIZE, SLOTS, Page

NAVIGATION, BORDER = Purpose.NAVIGATION, Purpose.CROSS_BORDER_TRANSFER


def refuse(number: int) -> Callable[..., int]:
    def call(*_: object) -> int:
        raise OSError(number, "injected")

    return call


def test_a_new_page_has_ended_nothing(directory: StateDirectory) -> None:
    page = Page.open(directory)
    assert page.fresh
    assert page.intact()
    assert not any(page.ended(purpose, epoch) for purpose in Purpose for epoch in range(1, 200))
    assert [page.highest_ended(purpose) for purpose in Purpose] == [0, 0]
    assert (directory.path / NAME).stat().st_size == SIZE
    assert not Page.open(directory).fresh
    assert os.listdir(directory.path) == [NAME]


def test_r3_an_ended_epoch_is_seen_by_another_process_and_after_reopening(
    directory: StateDirectory, peer: Callable
) -> None:
    page = Page.open(directory)
    other = peer(
        "from kalos_connect_sdk.storage.page import Page\n"
        "page = Page.open(directory); version = page.version; say('ready')\n"
        "while page.version == version: pass\n"
        "say(page.ended(Purpose.NAVIGATION, 7), page.ended(Purpose.NAVIGATION, 8), page.ended(Purpose.CROSS_BORDER_TRANSFER, 7))\n"
    )
    assert other.hear() == "ready"
    assert page.end(NAVIGATION, 7)
    assert other.hear() == "True False False"
    assert Page.open(directory).highest_ended(NAVIGATION) == 7


def test_r6_a_late_writer_of_an_old_epoch_lowers_nothing(directory: StateDirectory) -> None:
    page = Page.open(directory)
    assert page.end(NAVIGATION, 3 + SLOTS)
    assert page.end(NAVIGATION, 3)
    assert page.highest_ended(NAVIGATION) == 3 + SLOTS
    assert page.end(NAVIGATION, 2)
    assert page.ended(NAVIGATION, 3 + SLOTS)
    assert page.ended(NAVIGATION, 3)


@given(st.lists(st.tuples(st.sampled_from(Purpose), st.integers(1, 2**63)), max_size=30))
def test_tombstones_of_any_order_keep_the_highest(
    tmp_path_factory: pytest.TempPathFactory, endings: list[tuple[Purpose, int]]
) -> None:
    page = Page.open(StateDirectory.open("app", None, tmp_path_factory.mktemp("page") / "s"))
    for purpose, epoch in endings:
        assert page.end(purpose, epoch)
        assert page.ended(purpose, epoch)
        assert not page.ended(purpose, epoch + 1) or any(p is purpose and e > epoch for p, e in endings)
    for purpose in Purpose:
        assert page.highest_ended(purpose) == max((e for p, e in endings if p is purpose), default=0)
    assert page.intact()
    page.close()
    page.close()


def test_r1_zeros_mean_ended(directory: StateDirectory) -> None:
    page = Page.open(directory)
    (directory.path / NAME).write_bytes(bytes(SIZE))
    assert all(page.ended(purpose, epoch) for purpose in Purpose for epoch in (1, 2, 2**62))
    assert page.granted(NAVIGATION) == 0
    assert not page.intact()
    with pytest.raises(StateUnreadable, match="reset"):
        Page.open(directory).highest_ended(NAVIGATION)


@pytest.mark.parametrize("seed", range(60))
def test_r1_no_flipped_bit_makes_an_ended_epoch_look_alive(directory: StateDirectory, seed: int) -> None:
    page = Page.open(directory)
    page.set_granted(NAVIGATION, 5)
    page.end(NAVIGATION, 5)
    page.close()
    content = bytearray((directory.path / NAME).read_bytes())
    first = 8 * Page.slot(NAVIGATION, 5)
    bit = random.Random(seed).choice([*range(64), *range(8 * first, 8 * (first + 16))])
    content[bit // 8] ^= 1 << bit % 8
    (directory.path / NAME).write_bytes(content)
    damaged = Page.open(directory)
    assert damaged.ended(NAVIGATION, 5)
    assert not damaged.intact()
    with pytest.raises(StateUnreadable):
        damaged.highest_ended(NAVIGATION)


@pytest.mark.parametrize("size", [0, 1, SIZE - 1, SIZE + 1])
def test_a_page_of_another_size_is_refused_and_kept(directory: StateDirectory, size: int) -> None:
    Page.open(directory).close()
    os.truncate(directory.path / NAME, size)
    with pytest.raises(StateUnreadable, match="size"):
        Page.open(directory)
    assert (directory.path / NAME).stat().st_size == size


def test_a_page_truncated_removed_or_replaced_while_mapped_is_not_intact(directory: StateDirectory) -> None:
    page = Page.open(directory)
    os.truncate(directory.path / NAME, 0)
    assert not page.intact()
    with pytest.raises(StateUnreadable):
        page.highest_ended(NAVIGATION)
    page.count_withdrawal(NAVIGATION)
    assert page.end(NAVIGATION, 1), "ending still works: pwrite extends the file"
    (directory.path / NAME).unlink()
    assert not page.intact()
    again = Page.open(directory)
    assert again.fresh
    assert not page.intact()
    assert again.intact()


def test_r8_renewing_keeps_the_damaged_page(directory: StateDirectory) -> None:
    old = Page.open(directory)
    (directory.path / NAME).write_bytes(b"x" * SIZE)
    new = Page.renew(directory, "20260101T000000", {NAVIGATION: 70})
    assert new.intact()
    assert new.highest_ended(NAVIGATION) == 70, "what had ended has ended on the new page from its first moment on"
    assert [new.highest_ended(purpose) for purpose in Purpose if purpose is not NAVIGATION] == [0]
    assert not old.intact()
    assert (directory.path / "page.20260101T000000").read_bytes() == b"x" * SIZE


def test_r8_a_stand_in_says_no_to_everything_and_is_renewed(directory: StateDirectory) -> None:
    (directory.path / NAME).write_bytes(b"too short")
    page = Page.stand_in(directory)
    assert not page.fresh and not page.intact()
    assert all(page.ended(purpose, epoch) for purpose in Purpose for epoch in range(1, 200))
    assert [page.granted(purpose) for purpose in Purpose] == [0, 0]
    with pytest.raises(StateUnreadable, match="damaged"):
        page.highest_ended(NAVIGATION)
    withdrawals = page.withdrawals(NAVIGATION)
    page.count_withdrawal(NAVIGATION)
    assert page.withdrawals(NAVIGATION) > withdrawals, "threads of this process see it"
    assert not page.end(NAVIGATION, 1), "nothing in memory is durable"
    assert page.ended(NAVIGATION, 1)
    assert (directory.path / NAME).read_bytes() == b"too short", "the file is kept as it is"
    assert Page.renew(directory, "20260101T000000", {}).intact()
    assert (directory.path / "page.20260101T000000").read_bytes() == b"too short"
    page.close()


def test_r5_after_a_failed_sync_it_is_effective_but_never_called_durable_again(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, other = Page.open(directory), Page.open(directory)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", refuse(errno.EIO))
        assert not page.end(NAVIGATION, 1)
    assert other.ended(NAVIGATION, 1)
    assert not page.end(NAVIGATION, 1), "a sync is never retried and believed"
    assert not page.end(NAVIGATION, 2)
    assert Page.open(directory).end(NAVIGATION, 2)


def test_r5_a_refused_write_goes_through_the_mapping(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, other = Page.open(directory), Page.open(directory)
    version = page.version
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", refuse(errno.EFBIG))
        assert not page.end(NAVIGATION, 9)
        page.bump()
        with pytest.raises(StorageFailure, match="EFBIG") as caught:
            page.set_granted(NAVIGATION, 10)
    assert caught.value.__context__ is None
    assert not page.end(NAVIGATION, 9), "a write that was refused once is not believed later"
    assert other.ended(NAVIGATION, 9)
    assert other.version != version
    assert not other.ended(NAVIGATION, 10)


def test_r5_when_even_the_mapping_refuses_it_is_an_error_and_no_signal(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Page.open(directory)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", refuse(errno.EROFS))
        patch.setattr(os, "pread", refuse(errno.EIO))
        patch.setattr(os, "readv", refuse(errno.EFAULT))
        assert not page.end(NAVIGATION, 1)
        patch.setattr(os, "pipe", refuse(errno.EMFILE))
        assert not page.end(NAVIGATION, 1)
    assert not page.ended(NAVIGATION, 1)


def test_the_mapping_refuses_by_an_error_where_a_store_would_be_a_bus_error(directory: StateDirectory) -> None:
    page = Page.open(directory)
    os.truncate(directory.path / NAME, 0)
    page._store_through_mapping(b"x" * 16, 0)
    assert not page.intact()


def test_granted_is_a_hint_that_survives_nothing_invalid(directory: StateDirectory) -> None:
    page = Page.open(directory)
    assert page.granted(NAVIGATION) == 0
    before = page.version
    page.set_granted(NAVIGATION, 4)
    page.set_granted(BORDER, 2)
    assert (page.granted(NAVIGATION), page.granted(BORDER)) == (4, 2)
    assert page.version != before
    page.words[Page._control(NAVIGATION)] = 5
    assert page.granted(NAVIGATION) == 0


def test_r11_every_withdrawal_is_counted(directory: StateDirectory) -> None:
    page = Page.open(directory)
    seen = [page.withdrawals(NAVIGATION)]
    for epoch in range(50):
        page.count_withdrawal(NAVIGATION)
        seen.append(page.withdrawals(NAVIGATION))
        page.end(NAVIGATION, 1 + epoch, withdrawn=True)
        seen.append(page.withdrawals(NAVIGATION))
    assert seen == sorted(set(seen))
    page.end(NAVIGATION, 60)
    assert page.withdrawals(NAVIGATION) == seen[-1], "what ends by itself is no withdrawal"
    assert page.withdrawals(BORDER) == 0


def test_r11_a_withdrawal_is_counted_where_the_disk_takes_no_tombstone(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Page.open(directory)
    count = page.withdrawals(NAVIGATION)

    def fails(*_: object) -> int:
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(os, "pwrite", fails)
    assert not page.end(NAVIGATION, 1, withdrawn=True)
    assert page.ended(NAVIGATION, 1) and page.withdrawals(NAVIGATION) > count


def test_r11_a_signal_handler_may_end_an_epoch_anywhere(directory: StateDirectory) -> None:
    page = Page.open(directory)
    seen: dict[int, bool] = {}
    epochs = itertools.count(100)  # handlers may interrupt each other

    def handler(*_: object) -> None:
        epoch = next(epochs)
        seen[epoch] = page.end(NAVIGATION, epoch)

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        while len(seen) < 20:
            page.end(BORDER, 1)
            page.intact()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert all(seen.values())
    assert page.highest_ended(NAVIGATION) == max(seen)


def test_readers_never_see_a_third_value(directory: StateDirectory, peer: Callable) -> None:
    page = Page.open(directory)
    other = peer(
        "from kalos_connect_sdk.storage.page import Page\n"
        "page = Page.open(directory); say('ready'); epoch = 64\n"
        "while epoch < 64 * 3000: epoch += 64; page.end(Purpose.NAVIGATION, epoch)\n"
        "say('done')\n"
    )
    assert other.hear() == "ready"
    index, last, value = Page.slot(NAVIGATION, 64), 0, 0
    while value < 64 * 3000:
        value = page.words[index]
        assert value % 64 == 0
        assert value >= last
        assert page.highest_ended(NAVIGATION) >= value
        last = value
    assert other.hear() == "done"


def test_two_that_create_it_at_once_share_one(directory: StateDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    real = directory.open_file
    slower: list[Page] = []

    def open_file(self: StateDirectory, name: str, *, create: bool, writable: bool = True) -> int:
        if name != NAME and not slower:
            slower.append(None)  # type: ignore[arg-type]
            slower[0] = Page.open(directory)
        return real(name, create=create, writable=writable)

    monkeypatch.setattr(StateDirectory, "open_file", open_file)
    page = Page.open(directory)
    assert (page.fresh, slower[0].fresh) == (False, True)
    slower[0].end(NAVIGATION, 3)
    assert page.ended(NAVIGATION, 3)
    assert os.listdir(directory.path) == [NAME]


@pytest.mark.parametrize("call", ["write", "fsync", "link"])
def test_a_page_that_cannot_be_made_leaves_nothing(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse(errno.ENOSPC))
        with pytest.raises(StorageFailure, match="ENOSPC") as caught:
            Page.open(directory)
    assert caught.value.__context__ is None
    assert os.listdir(directory.path) == []


def words_of(directory: StateDirectory) -> list[int]:
    return list(struct.unpack("@512Q", (directory.path / NAME).read_bytes()))


def test_the_layout_on_disk_is_that_of_every_earlier_version(directory: StateDirectory) -> None:
    full = 2**64 - 1
    expected = [0] * 512
    expected[:2] = (int.from_bytes(b"KALOSPG1", "big"), 1)
    expected[8:10] = expected[16:18] = (0, full)
    expected[32 : 32 + 256] = (0, full) * 128
    page = Page.open(directory)
    assert words_of(directory) == expected
    page.end(NAVIGATION, 5)
    page.end(BORDER, 70)
    page.set_granted(NAVIGATION, 6)
    page.set_granted(BORDER, 71)
    expected[8:10], expected[16:18] = (6, full - 6), (71, full - 71)
    expected[42:44], expected[172:174] = (5, full - 5), (70, full - 70)
    found = words_of(directory)
    assert found[1] not in (0, 1)
    assert [*found[:1], *found[2:]] == [*expected[:1], *expected[2:]]
    page.count_withdrawal(BORDER)
    assert words_of(directory)[18] == page.withdrawals(BORDER) > 0


def test_r1_a_page_whose_tombstones_are_all_damaged_is_not_intact(directory: StateDirectory) -> None:
    page = Page.open(directory)
    words = words_of(directory)
    words[32:] = [0] * (512 - 32)
    (directory.path / NAME).write_bytes(struct.pack("@512Q", *words))
    assert not page.intact()


def test_r6_ending_over_a_damaged_tombstone_mends_it_and_ends_no_later_epoch(directory: StateDirectory) -> None:
    page = Page.open(directory)
    index = Page.slot(NAVIGATION, 5)
    page.words[index], page.words[index + 1] = 5 + SLOTS, 2**64 - 1
    assert page.end(NAVIGATION, 5)
    assert page.intact()
    assert page.highest_ended(NAVIGATION) == 5


def descriptors(directory: StateDirectory) -> list[str]:
    """The descriptors of this process that lead into the state directory."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if os.readlink(f"/proc/self/fd/{number}").startswith(str(directory.path)):
                found.append(number)
    return found


def test_a_page_leaves_no_descriptor_open(directory: StateDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    Page.open(directory).close()
    gc.collect()  # the mapping keeps one of its own
    assert descriptors(directory) == []
    os.truncate(directory.path / NAME, 0)
    with pytest.raises(StateUnreadable):
        Page.open(directory)
    assert descriptors(directory) == []
    with monkeypatch.context() as patch:
        patch.setattr(os, "close", refuse(errno.EIO))
        with pytest.raises(StateUnreadable, match="size"):
            Page.open(directory)
    for number in descriptors(directory):
        os.close(int(number))


def test_a_page_that_cannot_be_looked_at_is_a_failure_of_storage(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    Page.open(directory).close()
    real, looks = os.fstat, itertools.count()

    def fstat(fd: int) -> os.stat_result:
        if next(looks) == 1:  # the first is the directory's, which checks who owns it
            raise OSError(errno.EIO, "injected")
        return real(fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", fstat)
        with pytest.raises(StorageFailure, match="EIO") as caught:
            Page.open(directory)
    assert caught.value.__context__ is None


def test_r5_a_renewed_page_is_on_disk_before_it_takes_the_place_and_its_name_after(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    Page.open(directory).close()
    done: list[str] = []
    real_fsync, real_rename = os.fsync, Path.rename

    def fsync(fd: int) -> None:
        name = os.path.basename(os.readlink(f"/proc/self/fd/{fd}"))
        done.append("directory" if name == directory.path.name else name.split(".")[0])
        real_fsync(fd)

    def rename(self: Path, target: Path) -> Path:
        done.append("in its place")
        return real_rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        patch.setattr(Path, "rename", rename)
        Page.renew(directory, "20260101T000000", {})
    assert done == ["page", "directory", "in its place", "directory"]


def test_r5_a_page_that_cannot_be_renewed_stays_in_its_place(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Page.open(directory)
    page.end(NAVIGATION, 3)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refuse(errno.EIO))
        with pytest.raises(StorageFailure, match="EIO") as caught:
            Page.renew(directory, "20260101T000000", {})
    assert caught.value.__context__ is None
    assert page.intact()
    assert Page.open(directory).highest_ended(NAVIGATION) == 3


def test_the_layout_fits_the_page() -> None:
    last = Page.slot(BORDER, SLOTS - 1) + 1
    assert last < SIZE // 8
    controls = {Page._control(purpose) + word for purpose in Purpose for word in range(8)}
    assert max(controls) < module._TOMBSTONES
    assert 0 not in controls
    assert Page.VERSION not in controls
    assert mmap.PAGESIZE >= SIZE
