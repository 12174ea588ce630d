"""R4, R11: the outbox where two threads meet, and box files that others remove, replace or cannot be read."""

from __future__ import annotations

import errno
import os
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from kalos_connect_sdk.crypto.mac import mac
from kalos_connect_sdk.crypto.seal import Sealer
from kalos_connect_sdk.storage import boxfiles
from kalos_connect_sdk.storage.box import Box as SealedBox
from kalos_connect_sdk.storage.box import Medium, new_header
from kalos_connect_sdk.storage.boxfiles import BoxFiles
from kalos_connect_sdk.storage.directory import StateDirectory
from kalos_connect_sdk.storage.locks import try_lock
from kalos_connect_sdk.storage.outbox import Outbox

KEY = bytes(range(32))


def opened(directory: StateDirectory, rows: int = 0, *, in_memory: bool = False, epoch: int = 1) -> Outbox:
    found = Outbox(directory, in_memory=in_memory)
    found.bind(epoch, 1, KEY)
    for each in range(rows):
        found.append(bytes([each]) * 40)
    return found


def files(directory: StateDirectory) -> list[Path]:
    return sorted((directory.path / "outbox").iterdir())


def interrupted_drop(found: Outbox) -> None:
    """A drop beside a thread that a signal interrupted while it held the lock."""
    with found._lock:
        dropper = threading.Thread(target=found.drop)
        dropper.start()
        dropper.join(30)
        assert not dropper.is_alive()


@pytest.mark.parametrize(
    "step", ["bind", "append", "take", "acknowledge", "split", "drop_oldest", "drop_expired", "close", "adopt"]
)
def test_no_step_overtakes_one_that_holds_the_lock(directory: StateDirectory, step: str) -> None:
    found = opened(directory, 3)
    batch = found.take(2)
    assert batch is not None
    steps: dict[str, Callable[[], object]] = {
        "bind": lambda: found.bind(1, 1, KEY),
        "append": lambda: found.append(b"x"),
        "take": lambda: found.take(1),
        "acknowledge": lambda: found.acknowledge(batch),
        "split": lambda: found.split(batch),
        "drop_oldest": lambda: found.drop_oldest(1),
        "drop_expired": lambda: found.drop_expired(0, 10, lambda _: 0),
        "close": found.close,
        "adopt": lambda: found.adopt(1, 1, KEY),
    }
    thread = threading.Thread(target=steps[step])
    with found._lock:
        thread.start()
        thread.join(0.05)
        assert thread.is_alive(), "it did not wait"
    thread.join(30)
    assert not thread.is_alive()


@pytest.mark.parametrize("step", ["bind", "drop", "close"])
def test_r11_what_an_interrupted_drop_parked_is_let_go_by_the_next_step(directory: StateDirectory, step: str) -> None:
    found = opened(directory, 1)
    interrupted_drop(found)
    parked = found._parked[0].fd
    {"bind": lambda: found.bind(2, 1, KEY), "drop": found.drop, "close": found.close}[step]()
    assert found._parked == []
    with pytest.raises(OSError):
        os.fstat(parked)


def test_r11_in_memory_there_is_nothing_to_park(directory: StateDirectory) -> None:
    found = opened(directory, 2, in_memory=True)
    interrupted_drop(found)
    assert (len(found), found._parked) == (0, [])
    found.bind(2, 1, KEY)


def test_a_drop_that_held_the_lock_parks_nothing(directory: StateDirectory) -> None:
    found = opened(directory, 2)
    held = next(iter(found._boxes.values()))
    assert held.lease is not None
    fd = held.lease.fd
    assert found.drop() == 2
    assert found._parked == []
    with pytest.raises(OSError):
        os.fstat(fd)


def test_looking_for_a_box_that_is_gone_makes_none(directory: StateDirectory) -> None:
    path = directory.folder("outbox") / "1-1-gone.box"
    assert BoxFiles(directory).claim(path, (1, 1), KEY) is None
    assert boxfiles._count(path) == 0
    assert files(directory) == []


def test_a_box_of_this_grant_that_the_key_does_not_open_or_that_is_empty_goes(directory: StateDirectory) -> None:
    opened(directory, 3).close()
    mine = Outbox(directory, in_memory=False)
    assert mine.adopt(1, 1, bytes(32)) == 0
    assert files(directory) == []
    empty = opened(directory, 1)
    batch = empty.take(1)
    path = files(directory)[0]
    assert batch is not None
    empty.acknowledge(batch)
    for held in empty._boxes.values():
        assert held.lease is not None
        held.lease.release()  # as if its process had died before it could remove it
    assert path.exists()
    other = Outbox(directory, in_memory=False)
    assert other.adopt(1, 1, KEY) == 0
    assert files(directory) == []


def test_a_newer_box_is_left_and_its_lock_given_back(directory: StateDirectory) -> None:
    opened(directory, 2, epoch=5).close()
    path = files(directory)[0]
    assert BoxFiles(directory).claim(path, (1, 1), KEY) is None
    lease = try_lock(lambda: os.open(path, os.O_RDWR))
    assert lease is not None, "it is still locked"
    lease.release()
    assert opened(directory, epoch=5).adopt(5, 1, KEY) == 2


def test_r4_a_box_that_cannot_be_read_counts_nothing_and_is_removed(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(directory, 3).close()
    opened(directory, 2).close()
    real = os.pread
    bad = os.stat(files(directory)[0]).st_ino
    left = 5 - boxfiles._count(files(directory)[0])

    def pread(fd: int, length: int, offset: int) -> bytes:
        if os.fstat(fd).st_ino == bad:
            raise OSError(errno.EIO, "cannot be read")
        return real(fd, length, offset)

    monkeypatch.setattr(os, "pread", pread)
    assert Outbox.drop_all_files(directory) == left
    assert files(directory) == []


def test_r4_a_box_that_another_program_removes_meanwhile_is_removed(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(directory, 3).close()
    real = boxfiles._count

    def count(path: Path) -> int:
        found = real(path)
        path.unlink()
        return found

    monkeypatch.setattr(boxfiles, "_count", count)
    assert Outbox.drop_all_files(directory) == 3


def test_r11_a_box_that_cannot_be_removed_stops_no_drop(directory: StateDirectory) -> None:
    found = opened(directory, 3)
    path = files(directory)[0]
    path.unlink()
    path.mkdir()
    assert found.drop() == 3


def test_a_batch_is_whole_at_every_size_of_a_portion(directory: StateDirectory) -> None:
    """Frames are read in portions of 128 bytes a row: rows of every length around one."""
    for length in range(60, 260, 7):
        found = opened(directory)
        rows = [os.urandom(length) for _ in range(9)]
        for row in rows:
            found.append(row)
        for limit in (1, 2, 3, 3):
            batch = found.take(limit)
            assert batch is not None
            assert batch.rows == rows[: batch.count]
            assert batch.count == limit
            found.acknowledge(batch)
            rows = rows[limit:]
        found.drop()


def test_r9_rows_and_marks_are_sealed_and_signed_as_the_format_says(directory: StateDirectory) -> None:
    found = opened(directory, 2)
    batch = found.take(1)
    assert batch is not None
    assert repr(batch) == f"Batch(key={batch.key!r})"
    content = files(directory)[0].read_bytes()
    header, mark, code, at = content[:64], content[64:100], content[100:116], 128
    assert mark == struct.pack("<QQI16s", at, batch.end, 1, bytes.fromhex(batch.key))
    assert code == mac(mac(KEY, b"kalos-connect box mark" + header), mark)[:16]
    for number in range(2):
        length, sequence = struct.unpack_from("<HQ", content, at)
        nonce = header[32:36] + sequence.to_bytes(8, "little")
        sealed = content[at + 10 : at + 10 + length]
        rows = Sealer(mac(KEY, b"kalos-connect box rows" + header))
        assert rows.open(nonce, sealed, header + b"row") == bytes([number]) * 40
        at += 10 + length
    assert at == len(content)


def test_r8_a_queue_whose_frames_are_gone_is_given_up_at_once() -> None:
    content = bytearray()

    def write(data: bytes, offset: int) -> int:
        content[offset : offset + len(data)] = data
        return len(data)

    def truncate(size: int) -> None:
        del content[size:]

    medium = Medium(write, lambda length, offset: bytes(content[offset : offset + length]), truncate)
    box = SealedBox.create(medium, new_header(1, 1), KEY)
    for _ in range(4):
        box.append(bytes(40))
    first = box.take(2)
    assert first is not None and first.count == 2
    del content[130:]  # the file was cut behind our back
    assert box.take(2) is None
    assert box.count == 0
