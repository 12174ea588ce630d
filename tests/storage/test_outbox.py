"""The outbox: sealed, bounded, surviving kill -9, and nothing else surviving (R4, R6, R9)."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kalos_connect_sdk.crypto.seal import Sealer
from kalos_connect_sdk.storage import box as box_module
from kalos_connect_sdk.storage import boxfiles, outbox
from kalos_connect_sdk.storage.box import FIRST_FRAME, Box, Medium
from kalos_connect_sdk.storage.directory import StateDirectory
from kalos_connect_sdk.storage.failure import StorageFailure
from kalos_connect_sdk.storage.outbox import Outbox

KEY = bytes(range(32))
CANARY = b"CANARY-60.1699-24.9384"


def row(number: int) -> bytes:
    return CANARY + number.to_bytes(24, "big")


def number(row: bytes) -> int:
    return int.from_bytes(row[len(CANARY) :], "big")


def boxes(directory: StateDirectory) -> list[Path]:
    folder = directory.path / "outbox"
    return sorted(folder.iterdir()) if folder.exists() else []


def opened(directory: StateDirectory, rows: int = 0, *, in_memory: bool = False) -> Outbox:
    found = Outbox(directory, in_memory=in_memory)
    found.bind(1, 1, KEY)
    for each in range(rows):
        found.append(row(each))
    return found


def drained(outbox: Outbox, limit: int = 1000) -> list[int]:
    rows = []
    while (batch := outbox.take(limit)) is not None:
        rows += [number(each) for each in batch.rows]
        assert outbox.acknowledge(batch) == batch.count
    return rows


@pytest.fixture(params=["file", "memory"])
def box(request: pytest.FixtureRequest, directory: StateDirectory) -> Outbox:
    return opened(directory, in_memory=request.param == "memory")


def test_rows_come_back_in_order_and_once(box: Outbox) -> None:
    assert box.take(10) is None
    for each in range(250):
        box.append(row(each))
    assert len(box) == 250
    first = box.take(100)
    assert first is not None
    assert [number(each) for each in first.rows] == list(range(100))
    assert first.count == 100
    assert box.acknowledge(first) == 100
    assert box.acknowledge(first) == 0
    assert drained(box, 70) == list(range(100, 250))
    assert len(box) == 0


def test_one_idempotency_key_until_acknowledged(box: Outbox) -> None:
    for each in range(10):
        box.append(row(each))
    first = box.take(4)
    assert first is not None
    box.append(row(10))
    for limit in (1, 4, 100):
        again = box.take(limit)
        assert again is not None
        assert (again.key, again.rows) == (first.key, first.rows)
    box.acknowledge(first)
    second = box.take(4)
    assert second is not None
    assert second.key != first.key
    assert len(bytes.fromhex(first.key)) == 16


def test_splitting_gives_halves_under_new_keys_down_to_one(box: Outbox) -> None:
    for each in range(9):
        box.append(row(each))
    sizes, keys = [], set()
    batch = box.take(9)
    for _ in range(5):
        assert batch is not None
        sizes.append(batch.count)
        keys.add(batch.key)
        box.split(batch)
        box.split(batch)  # not the batch under way any more: nothing happens
        batch = box.take(9)
    assert sizes == [9, 4, 2, 1, 1]
    assert len(keys) == 5
    assert drained(box) == list(range(9))


def test_dropping_the_oldest_makes_a_batch_of_the_rest_another_batch(box: Outbox) -> None:
    for each in range(10):
        box.append(row(each))
    batch = box.take(5)
    assert batch is not None
    assert box.drop_oldest(2) == 2
    assert box.drop_oldest(0) == 0
    assert len(box) == 8
    rest = box.take(5)
    assert rest is not None
    assert rest.key != batch.key
    assert [number(each) for each in rest.rows] == [2, 3, 4, 5, 6]
    assert box.acknowledge(batch) == 3, "rows 2 to 4, which had been sent with 0 and 1"
    assert drained(box) == [5, 6, 7, 8, 9]
    assert box.drop_oldest(5) == 0


def test_expired_rows_go_oldest_first(box: Outbox) -> None:
    for each in range(10):
        box.append(row(each))
    assert box.drop_expired(14, 10, number) == 4
    assert box.drop_expired(14, 10, number) == 0
    first = box.take(2)
    assert first is not None
    assert box.acknowledge(first) == 2
    assert box.drop_expired(100, 10, number) == 4
    assert len(box) == 0


def test_r4_dropping_forgets_everything_and_unbinds(box: Outbox, directory: StateDirectory) -> None:
    for each in range(10):
        box.append(row(each))
    batch = box.take(5)
    assert batch is not None
    assert box.drop() == 10
    assert box.drop() == 0
    assert boxes(directory) == []
    assert len(box) == 0
    assert box.take(5) is None
    assert box.acknowledge(batch) == 0
    box.split(batch)
    with pytest.raises(StorageFailure, match="not bound"):
        box.append(row(1))


def test_r6_binding_to_another_grant_drops_what_was_there(box: Outbox) -> None:
    box.append(row(1))
    box.bind(1, 1, KEY)
    assert len(box) == 1
    box.bind(2, 1, bytes(32))
    assert len(box) == 0
    box.append(row(2))
    assert drained(box) == [2]


def test_r10_nothing_shows(box: Outbox) -> None:
    box.append(row(1))
    batch = box.take(1)
    for shown in (repr(box), repr(batch), repr(batch.box if batch else None)):
        assert "CANARY" not in shown
        assert KEY.hex() not in shown


def test_r9_no_plaintext_in_the_state_directory(directory: StateDirectory) -> None:
    found = opened(directory, 500)
    found.take(100)
    contents = b"".join(path.read_bytes() for path in directory.path.rglob("*") if path.is_file())
    assert len(contents) > 500 * 40
    assert CANARY not in contents
    assert CANARY[:6] not in contents
    assert KEY not in contents
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in boxes(directory))
    assert (directory.path / "outbox").stat().st_mode & 0o777 == 0o700


def test_in_memory_touches_no_disk(directory: StateDirectory) -> None:
    found = opened(directory, 100, in_memory=True)
    assert found.adopt(1, 1, KEY) == 0
    assert len(found) == 100
    assert boxes(directory) == []
    found.close()
    assert len(found) == 0


def test_r9_no_nonce_is_ever_used_twice(directory: StateDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[bytes, bytes]] = []
    real = Sealer.__init__

    def spying(self: Sealer, key: bytes) -> None:
        real(self, key)
        seal = self.seal
        self.seal = lambda nonce, plaintext, aad: (seen.append((key, nonce)), seal(nonce, plaintext, aad))[1]

    monkeypatch.setattr(Sealer, "__init__", spying)
    monkeypatch.setattr(outbox, "_BOX_BYTES", 1000)
    for _ in range(5):
        found = opened(directory, 20)
        held = next(reversed(found._boxes))
        medium = held.medium
        held.medium = medium._replace(write=lambda data, offset: (_ for _ in ()).throw(OSError(errno.ENOSPC, "")))
        with pytest.raises(StorageFailure, match="ENOSPC"):
            found.append(row(99))
        held.medium = medium
        found.append(row(20))
        found.adopt(1, 1, KEY)
        found.append(row(21))
        found.close()
    assert len(seen) == len(set(seen)) == 5 * 23


@pytest.mark.parametrize("written", [0, 1, 30])
def test_r5_a_torn_write_is_cut_off_and_not_queued(box: Outbox, written: int) -> None:
    found = box
    for each in range(3):
        found.append(row(each))
    held = next(iter(found._boxes))
    medium = held.medium
    held.medium = medium._replace(write=lambda data, offset: medium.write(data[:written], offset) if written else 0)
    with pytest.raises(StorageFailure, match="short write"):
        found.append(row(3))
    held.medium = medium
    assert len(medium.read(1 << 20, 0)) == held.end
    found.append(row(4))
    assert drained(found) == [0, 1, 2, 4]


def test_r5_a_cut_that_fails_is_written_over(directory: StateDirectory) -> None:
    found = opened(directory, 1)
    held = next(iter(found._boxes))
    medium = held.medium

    def no(*_: object) -> None:
        raise OSError(errno.EIO, "injected")

    held.medium = medium._replace(write=lambda data, offset: medium.write(data[:20], offset), truncate=no)
    with pytest.raises(StorageFailure) as caught:
        found.append(row(1))
    assert caught.value.__context__ is None
    held.medium = medium
    found.append(row(2))
    assert drained(found) == [0, 2]


def test_a_mark_that_cannot_be_written_costs_nothing_now(directory: StateDirectory) -> None:
    found = opened(directory, 4)
    held = next(iter(found._boxes))
    held.medium = held.medium._replace(write=lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "injected")))
    batch = found.take(2)
    assert batch is not None
    assert found.take(2).key == batch.key  # type: ignore[union-attr]
    assert found.acknowledge(batch) == 2
    assert drained(found) == [2, 3]


WRITER = """
from kalos_connect_sdk.storage.outbox import Outbox
o = Outbox(directory, in_memory=False); o.bind(%d, %d, bytes(range(32)))
for n in range(%d): o.append(b"CANARY-60.1699-24.9384" + n.to_bytes(24, "big"))
"""


def test_r5_positions_of_a_killed_process_are_adopted_with_their_batch(
    directory: StateDirectory, peer: Callable
) -> None:
    one = peer(WRITER % (1, 1, 300) + "b = o.take(100); o.acknowledge(b); b = o.take(50); say(b.key); wait()\n")
    key = one.hear()
    mine = opened(directory, 5)
    assert mine.adopt(1, 1, KEY) == 0, "its process lives"
    os.kill(one.pid, signal.SIGKILL)
    one.process.wait(30)
    assert mine.adopt(1, 1, KEY) == 200
    assert mine.adopt(1, 1, KEY) == 0
    assert len(mine) == 205
    batch = mine.take(200)
    assert batch is not None
    assert batch.key == key
    assert [number(each) for each in batch.rows] == list(range(100, 150))
    assert drained(mine) == [*range(100, 300), *range(5)]
    assert len(boxes(directory)) == 1, "a drained box is removed"


def test_r5_kill_9_while_appending_loses_nothing_that_was_accepted(directory: StateDirectory, peer: Callable) -> None:
    script = WRITER % (1, 1, 0) + (
        "n = 0\nwhile True:\n"
        "    o.append(b'CANARY-60.1699-24.9384' + n.to_bytes(24, 'big')); n += 1\n"
        "    if n % 1000 == 0: say(n)\n"
    )
    one = peer(script)
    told = [int(one.hear()) for _ in range(5)][-1]
    os.kill(one.pid, signal.SIGKILL)
    one.process.wait(30)
    mine = opened(directory)
    held = mine.adopt(1, 1, KEY)
    assert held >= told
    assert drained(mine, 5000) == list(range(held))


def test_a_batch_under_way_comes_first(directory: StateDirectory, peer: Callable) -> None:
    one = peer(WRITER % (1, 1, 3) + "say('ready'); wait()\n")
    assert one.hear() == "ready"
    mine = opened(directory, 4)
    batch = mine.take(2)
    one.end(kill=True)
    assert batch is not None
    assert mine.adopt(1, 1, KEY) == 3
    assert mine.take(9).key == batch.key  # type: ignore[union-attr]


def test_r6_boxes_of_ended_grants_are_removed_newer_ones_left(directory: StateDirectory, peer: Callable) -> None:
    for epoch, generation in ((1, 1), (2, 1), (2, 2), (2, 3), (3, 1)):
        one = peer(WRITER % (epoch, generation, 2) + "say('ready'); wait()\n")
        assert one.hear() == "ready"
        one.end(kill=True)
    mine = Outbox(directory, in_memory=False)
    assert mine.adopt(2, 2, KEY) == 2
    assert sorted(path.name.split("-")[:2] for path in boxes(directory)) == [["2", "2"], ["2", "3"], ["3", "1"]]


def test_r4_a_withdrawal_counts_and_removes_the_boxes_of_everybody(directory: StateDirectory, peer: Callable) -> None:
    assert Outbox.drop_all_files(directory) == 0
    one = peer(WRITER % (1, 1, 30) + "b = o.take(10); o.acknowledge(b); o.take(5); say('ready'); wait()\n")
    assert one.hear() == "ready"
    mine = opened(directory, 7)
    (directory.path / "outbox" / "junk.box").write_bytes(b"x" * 300)
    (directory.path / "outbox" / "short.new").write_bytes(b"x")
    (directory.path / "outbox" / "link.box").symlink_to("/etc/passwd")
    assert Outbox.drop_all_files(directory) == 20 + 7
    assert boxes(directory) == []
    assert mine.drop() == 7
    assert Path("/etc/passwd").exists()
    one.say()


def test_r4_a_box_that_cannot_be_removed_is_said_so(directory: StateDirectory) -> None:
    opened(directory, 1)
    (directory.path / "outbox" / "folder.box").mkdir(mode=0o700)
    with pytest.raises(StorageFailure, match="cannot be removed") as caught:
        Outbox.drop_all_files(directory)
    assert caught.value.__context__ is None
    assert [path.name for path in boxes(directory)] == ["folder.box"], "the others are gone all the same"
    assert opened(directory).adopt(1, 1, KEY) == 0


def test_useless_files_are_cleared_away_when_adopting(directory: StateDirectory) -> None:
    found = opened(directory, 1)
    folder = directory.path / "outbox"
    (folder / "1-1-made-halfway.new").touch(0o600)
    (folder / "garbage.box").touch(0o600)
    (folder / "garbage.box").write_bytes(os.urandom(300))
    (folder / "link.box").symlink_to("/etc/passwd")
    assert found.adopt(1, 1, KEY) == 0
    assert sorted(path.suffix for path in boxes(directory)) == [".box", ".box"]
    assert (folder / "link.box").is_symlink(), "none of ours: not touched"


@pytest.mark.parametrize("at", [0, 8, 16, 24, 33, 44, 60, 64, 72, 80, 90, 110])
def test_r8_a_box_with_a_damaged_beginning_is_never_sent(directory: StateDirectory, at: int) -> None:
    first = opened(directory, 5)
    first.take(2)
    first.close()
    path = boxes(directory)[0]
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    mine = Outbox(directory, in_memory=False)
    adopted = mine.adopt(1, 1, KEY)
    assert adopted == 0
    assert mine.take(10) is None


def test_r8_a_damaged_row_is_never_sent_and_blocks_nothing(directory: StateDirectory) -> None:
    first = opened(directory, 5)
    first.close()
    path = boxes(directory)[0]
    content = bytearray(path.read_bytes())
    frame = (len(content) - FIRST_FRAME) // 5
    content[FIRST_FRAME + 2 * frame + 30] ^= 1
    path.write_bytes(content)
    mine = Outbox(directory, in_memory=False)
    assert mine.adopt(1, 1, KEY) == 5
    batch = mine.take(10)
    assert batch is not None
    assert [number(each) for each in batch.rows] == [0, 1, 3, 4]
    assert mine.acknowledge(batch) == 5
    assert len(mine) == 0


def test_a_batch_of_nothing_but_damaged_rows_is_passed_over(directory: StateDirectory) -> None:
    opened(directory, 4).close()
    path = boxes(directory)[0]
    content = bytearray(path.read_bytes())
    frame = (len(content) - FIRST_FRAME) // 4
    for each in (0, 1):
        content[FIRST_FRAME + each * frame + 30] ^= 1
    path.write_bytes(content)
    mine = Outbox(directory, in_memory=False)
    assert mine.adopt(1, 1, KEY) == 4
    assert mine.drop_expired(0, 100, number) == 2, "what does not open is dropped with the expired"
    mine.close()
    path.write_bytes(content)
    mine = Outbox(directory, in_memory=False)
    mine.adopt(1, 1, KEY)
    batch = mine.take(2)
    assert batch is not None
    assert [number(each) for each in batch.rows] == [2, 3]


@pytest.mark.parametrize("cut", [1, 9, 10, 11, 40])
def test_r5_a_torn_last_frame_is_dropped(directory: StateDirectory, cut: int) -> None:
    opened(directory, 3).close()
    path = boxes(directory)[0]
    os.truncate(path, path.stat().st_size - cut)
    mine = Outbox(directory, in_memory=False)
    assert mine.adopt(1, 1, KEY) == 2
    assert drained(mine) == [0, 1]


def test_another_key_opens_nothing(directory: StateDirectory) -> None:
    opened(directory, 3).close()
    mine = Outbox(directory, in_memory=False)
    assert mine.adopt(1, 1, bytes(32)) == 0
    with pytest.raises(ValueError, match="32 bytes"):
        broken = Outbox(directory, in_memory=True)
        broken.bind(1, 1, b"short")
        broken.append(b"x")


def test_closing_keeps_what_is_queued_and_removes_what_is_not(directory: StateDirectory) -> None:
    found = opened(directory, 2)
    drained(found)
    found.close()
    assert boxes(directory) == []
    opened(directory, 2).close()
    assert len(boxes(directory)) == 1
    assert opened(directory).adopt(1, 1, KEY) == 2


def test_long_queues_use_several_boxes_and_give_them_back(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "_BOX_BYTES", 2000)
    found = opened(directory, 100)
    most = len(boxes(directory))
    assert most > 3
    assert found.drop_oldest(60) == 60
    assert len(boxes(directory)) < most
    found.close()
    mine = Outbox(directory, in_memory=False)
    assert mine.adopt(1, 1, KEY) == 40
    assert drained(mine, 7) == list(range(60, 100))
    assert boxes(directory) == []
    for each in range(300):
        mine.append(row(each))
        if len(mine) > 10:
            mine.drop_oldest(1)
    assert len(boxes(directory)) <= 3, "an overflowing outbox does not grow on disk"


def test_rows_longer_than_a_portion_are_read(box: Outbox) -> None:
    long = os.urandom(60_000)
    for each in (long, b"", long):
        box.append(each)
    batch = box.take(3)
    assert batch is not None
    assert batch.rows == [long, b"", long]


def test_r11_dropping_does_not_wait_for_an_interrupted_thread(directory: StateDirectory) -> None:
    found = opened(directory, 3)
    path = boxes(directory)[0]
    found._lock.acquire()  # as if a signal had interrupted append()
    done: list[int] = []
    dropper = threading.Thread(target=lambda: done.append(found.drop()))
    dropper.start()
    dropper.join(30)
    assert done == [3]
    assert not path.exists()
    parked = found._parked[0].fd
    os.fstat(parked)  # still open: the interrupted append cannot hit another file
    found._lock.release()
    found.bind(2, 1, KEY)
    assert found._parked == []
    with pytest.raises(OSError):
        os.fstat(parked)


def test_r11_a_box_begun_while_it_was_dropped_is_dropped_too(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = opened(directory)
    real = boxfiles.BoxFiles.begin

    def begin(self: boxfiles.BoxFiles, bound: tuple[int, int], key: bytes) -> object:
        found._drop_boxes(park=True)
        return real(self, bound, key)

    monkeypatch.setattr(boxfiles.BoxFiles, "begin", begin)
    with pytest.raises(StorageFailure, match="dropped"):
        found.append(row(1))
    assert len(found) == 0
    assert boxes(directory) == []


def test_the_first_box_may_fail_and_the_next_succeed(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = opened(directory)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", lambda *_: 5)
        with pytest.raises(StorageFailure, match="ENOSPC") as caught:
            found.append(row(1))
    assert caught.value.__context__ is None
    assert boxes(directory) == []
    (directory.path / "outbox").rmdir()
    (directory.path / "outbox").symlink_to("/tmp")
    with pytest.raises(StorageFailure, match="symbolic link"):
        found.append(row(1))
    (directory.path / "outbox").unlink()
    found.append(row(1))
    assert drained(found) == [1]


def test_someone_clearing_away_unfinished_boxes_is_survived(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, real, calls = opened(directory), boxfiles.try_lock, []

    def try_lock(opener: Callable[[], int]) -> object:
        calls.append(1)
        lease = real(opener)
        if len(calls) == 1:
            lease.release()  # type: ignore[union-attr]
            return None
        if len(calls) == 2:
            Outbox.drop_all_files(directory)
        return lease

    monkeypatch.setattr(boxfiles, "try_lock", try_lock)
    found.append(row(1))
    assert len(calls) == 3
    assert drained(found) == [1]
    monkeypatch.setattr(boxfiles, "try_lock", lambda _: None)
    with pytest.raises(StorageFailure, match="keep removing"):
        opened(directory).append(row(1))


def test_a_box_gone_between_listing_and_claiming_is_skipped(directory: StateDirectory) -> None:
    files = boxfiles.BoxFiles(directory)
    assert files.claim(directory.path / "outbox" / "gone.box", (1, 1), KEY) is None
    assert boxfiles._count(directory.path / "outbox" / "gone.box") == 0


def test_a_forked_child_has_no_rows_no_key_and_no_file(directory: StateDirectory, peer: Callable) -> None:
    one = peer(
        WRITER % (1, 1, 5) + "m = Outbox(directory, in_memory=True); m.bind(1, 1, bytes(range(32))); m.append(b'x')\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    failed = 0\n"
        "    for each in (o, m):\n"
        "        try: each.append(b'y')\n"
        "        except Exception as error: failed += type(error).__name__ == 'StorageFailure'\n"
        "    say(len(o), o.take(5), len(m), m.take(5), failed); os._exit(0)\n"
        "os.waitpid(pid, 0); o.append(b'z'); say(len(o), len(m))\n"
    )
    assert one.hear() == "0 None 0 None 2"
    assert one.hear() == "6 1"


def test_the_hook_of_a_fork_in_this_process(directory: StateDirectory) -> None:
    found = opened(directory, 1)
    kept = dict(found._boxes)
    outbox._in_child()
    assert len(found) == 0
    for held in kept.values():
        assert held.lease is not None
        held.lease.release()


def test_many_threads_append_and_one_sends(box: Outbox) -> None:
    def append(start: int) -> None:
        for each in range(start, start + 300):
            box.append(row(each))

    threads = [threading.Thread(target=append, args=(1000 * each,)) for each in range(4)]
    for thread in threads:
        thread.start()
    sent: list[int] = []
    while any(thread.is_alive() for thread in threads):
        sent += drained(box, 50)
    for thread in threads:
        thread.join()
    sent += drained(box)
    assert sorted(sent) == sorted(each + 1000 * one for one in range(4) for each in range(300))
    for one in range(4):
        own = [each for each in sent if each // 1000 == one]
        assert own == sorted(own)


def test_a_short_first_write_of_a_box_is_an_error() -> None:
    medium = Medium(lambda data, offset: 1, lambda length, offset: b"", lambda size: None)
    with pytest.raises(OSError, match="short write"):
        Box.create(medium, box_module.new_header(1, 1), KEY)


class OutboxModel(RuleBasedStateMachine):
    """Any order of calls, crashes and adoptions against a plain list."""

    @initialize(size=st.sampled_from([300, 1 << 19]))
    def begin(self, size: int) -> None:
        import tempfile

        self.before, outbox._BOX_BYTES = outbox._BOX_BYTES, size
        self.base = tempfile.TemporaryDirectory()
        self.directory = StateDirectory.open("app", None, Path(self.base.name) / "s")
        self.box = opened(self.directory)
        self.rows: list[int] = []
        self.next = 0
        self.batch: tuple[str, list[int]] | None = None

    @rule(count=st.integers(1, 6))
    def append(self, count: int) -> None:
        for _ in range(count):
            self.box.append(row(self.next))
            self.rows.append(self.next)
            self.next += 1

    @rule(limit=st.integers(1, 8))
    def take(self, limit: int) -> None:
        batch = self.box.take(limit)
        if batch is None:
            assert self.rows == []
            return
        found = [number(each) for each in batch.rows]
        if self.batch is not None:
            assert (batch.key, found) == self.batch
        else:
            assert found == self.rows[: len(found)]
            assert 1 <= len(found) <= limit
        self.batch = batch.key, found

    @precondition(lambda self: self.batch is not None)
    @rule()
    def acknowledge(self) -> None:
        batch = self.box.take(1)
        assert batch is not None
        assert self.batch is not None
        assert batch.key == self.batch[0]
        assert self.box.acknowledge(batch) == len(self.batch[1])
        del self.rows[: len(self.batch[1])]
        self.batch = None

    @precondition(lambda self: self.batch is not None)
    @rule()
    def split(self) -> None:
        batch = self.box.take(1)
        assert batch is not None
        self.box.split(batch)
        again = self.box.take(1)
        assert again is not None
        assert again.count == max(1, batch.count // 2)
        assert again.key != batch.key
        self.batch = again.key, [number(each) for each in again.rows]

    @rule(count=st.integers(1, 5))
    def drop_oldest(self, count: int) -> None:
        assert self.box.drop_oldest(count) == min(count, len(self.rows))
        self._dropped(count)

    @rule(age=st.integers(0, 40))
    def drop_expired(self, age: int) -> None:
        gone = sum(1 for each in self.rows if self.next - each > age)
        assert self.box.drop_expired(self.next, age, number) == gone
        self._dropped(gone)

    def _dropped(self, count: int) -> None:
        if count and self.rows:
            self.batch = None
        del self.rows[:count]

    @rule()
    def crash_and_adopt(self) -> None:
        """Nothing is let go in an orderly way: the locks vanish, as they do with a process."""
        for held in list(self.box._boxes.values()):
            assert held.lease is not None
            held.lease.release()
        self.box = Outbox(self.directory, in_memory=False)
        assert self.box.adopt(1, 1, KEY) == len(self.rows)

    @rule()
    def drop(self) -> None:
        assert self.box.drop() == len(self.rows)
        self.rows, self.batch = [], None
        self.box.bind(1, 1, KEY)

    @invariant()
    def counted(self) -> None:
        if hasattr(self, "box"):
            assert len(self.box) == len(self.rows)

    def teardown(self) -> None:
        if hasattr(self, "box"):
            assert Outbox.drop_all_files(self.directory) == len(self.rows)
            self.box.close()
            self.base.cleanup()
            outbox._BOX_BYTES = self.before


TestOutboxModel = OutboxModel.TestCase
TestOutboxModel.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
