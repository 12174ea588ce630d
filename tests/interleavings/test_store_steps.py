"""R4, R6: the box of a program and the data key it is sealed with, against what other programs leave and take away."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
from two_programs import NAVIGATION, Program, Scene

from kalos_connect_sdk.storage.datakeys import DataKeys
from kalos_connect_sdk.storage.failure import StorageFailure
from kalos_connect_sdk.storage.locks import Barrier, Lease
from kalos_connect_sdk.storage.outbox import Outbox


@pytest.fixture
def program(scene: Scene) -> Program:
    """A program with the grant of epoch 1, and its data key in RAM."""
    return scene.program()


def filled(program: Program, rows: int, epoch: int = 1) -> Any:
    box = program.store.for_epoch(epoch)
    assert box is not None
    for number in range(rows):
        box.append(bytes([number]) * 28)
    return box


def meanwhile(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Something that another program does just before this one gets the barrier."""
    exclusive = Barrier.exclusive

    def late(barrier: Barrier, *args: Any) -> Lease | None:
        happens()
        return exclusive(barrier, *args)

    monkeypatch.setattr(Barrier, "exclusive", late)


def test_r6_a_box_belongs_to_one_epoch_and_a_late_thread_gets_none(program, scene):
    old = filled(program, 2)
    assert program.store.for_epoch(1) is program.store._open(1) is old
    new = program.store.for_epoch(2)
    assert (new.epoch, new.generation) == (2, 1)
    assert (program.store.dropped, len(old), old.open, scene.rows()) == (2, 0, False, [])
    assert program.state.keys.read().epoch == 2
    new.append(bytes(28))
    assert program.store.for_epoch(1) is None
    assert program.store.box is new
    assert (len(new), new.open, len(scene.rows())) == (1, True, 1)


def test_what_a_failing_disk_cannot_read_of_the_box_is_an_error_of_ours_and_nothing_is_lost(program, monkeypatch):
    fails, pread = threading.Event(), os.pread

    def read(*arguments: Any) -> bytes:
        if fails.is_set():
            raise OSError(errno.EIO, "broken")
        return pread(*arguments)

    monkeypatch.setattr(os, "pread", read)
    box = filled(program, 4)
    batch = box.take(4)
    asked = {
        "take": lambda: box.take(4),
        "acknowledge": lambda: box.acknowledge(batch),
        "split": lambda: box.split(batch),
        "expire": lambda: box.expire(10, 1, lambda row: 0),
        "overflow": lambda: box.overflow(2),
    }
    failed = []
    fails.set()
    for name, ask in asked.items():
        try:
            ask()
        except StorageFailure as error:
            failed.append(name)
            assert "EIO" in str(error) and error.__context__ is None
    fails.clear()
    assert {"take", "acknowledge", "expire", "overflow"} <= set(failed)
    while (left := box.take(4)) is not None:
        box.acknowledge(left)
    assert len(box) == 0


def test_r6_a_box_that_was_dropped_is_never_handed_out_again(program):
    box = filled(program, 3)
    assert box.drop() == 3
    assert not box.open
    again = program.store.for_epoch(1)
    assert again is not box
    again.append(bytes(28))


def test_what_is_closed_is_kept_for_the_next_and_opened_anew_here(program, scene):
    box = filled(program, 3)
    program.store.close()
    assert (box.open, program.store.box, len(scene.rows())) == (False, None, 1)
    assert len(program.store.for_epoch(1)) == 3


def test_r4_a_key_that_is_gone_takes_its_ciphertext_along_and_the_next_is_another_generation(program, scene):
    filled(program, 2)
    program.store.close()
    lost = program.state.keys.read()
    assert program.state.keys.destroy(1)
    box = program.store.for_epoch(1)
    made = program.state.keys.read()
    assert (lost.generation, made.generation, box.generation) == (1, 2, 2)
    assert made.key not in (None, lost.key)
    assert (len(box), scene.rows()) == (0, [])


def test_r4_without_any_entry_the_generations_begin_again(program):
    program.state.keys.remove()
    assert program.store.for_epoch(1).generation == 1
    assert program.store.key_present(program.store.box)


def test_r4_a_key_that_another_program_made_meanwhile_is_used_and_its_box_left_alone(program, scene, monkeypatch):
    program.state.keys.destroy(1)
    other = Outbox(program.state.directory, in_memory=False)

    def elsewhere() -> None:
        made = program.state.keys.make(1, 7)
        other.bind(1, 7, made.key)
        other.append(bytes(28))

    meanwhile(monkeypatch, elsewhere)
    box = program.store.for_epoch(1)
    assert (box.epoch, box.generation) == (1, 7)
    assert (len(other), len(scene.rows())) == (1, 1)
    assert program.store.key_present(box)
    other.drop()


def test_r6_no_key_is_made_for_an_epoch_that_ended_before_the_barrier_was_ours(program, monkeypatch):
    program.state.keys.destroy(1)
    meanwhile(monkeypatch, lambda: program.state.page.end(NAVIGATION, 1))
    assert program.store.for_epoch(1) is None
    assert program.state.keys.read().key is None


def test_r3_no_key_is_made_while_somebody_holds_the_barrier(program, monkeypatch):
    program.state.keys.destroy(1)
    monkeypatch.setattr(Barrier, "exclusive", lambda *_: None)
    assert program.store.for_epoch(1) is None
    assert program.state.keys.read().key is None


def test_what_a_program_that_is_gone_left_is_taken_over_when_sending_and_when_opening(program, scene):
    other = scene.program()
    box = filled(program, 1)
    filled(other, 2)
    assert program.store.for_sending(1) is box
    assert len(box) == 1  # it lives: its box is its own
    other.store.close()
    assert program.store.for_epoch(1) is box
    assert len(box) == 1  # nothing is looked for while positions are accepted
    assert program.store.for_sending(1) is box
    assert len(box) == 3
    program.store.close()
    assert len(other.store.for_epoch(1)) == 3


@pytest.mark.parametrize("key", ["gone", "without an entry", "another generation", "another epoch"])
def test_r4_under_another_key_nothing_is_taken_over_and_nothing_removed(program, scene, key):
    other = scene.program()
    box = filled(program, 1)
    filled(other, 2)
    other.store.close()
    assert program.store.key_present(box)
    keys = program.state.keys
    {
        "gone": lambda: keys.destroy(1),
        "without an entry": keys.remove,
        "another generation": lambda: keys.make(1, 2),
        "another epoch": lambda: keys.make(2, 1),
    }[key]()
    assert not program.store.key_present(box)
    assert program.store.for_sending(1) is box
    assert (len(box), len(scene.rows())) == (1, 2)


def test_a_folder_that_cannot_be_read_hinders_no_taking_over_later(program, scene):
    box = filled(program, 1)
    folder = scene.rows()[0].parent
    folder.rename(folder.with_name("aside"))
    folder.symlink_to(folder)
    key = program.state.keys.read().key
    assert box.adopt(key) == 0
    folder.unlink()
    folder.with_name("aside").rename(folder)
    other = scene.program()
    filled(other, 2)
    other.store.close()
    assert box.adopt(key) == 2


def test_a_box_knows_the_keys_of_the_batch_under_way_alone(program):
    box = filled(program, 3)
    assert box.keys_taken == set()
    first = box.take(2)
    assert box.keys_taken == {first.key}
    box.acknowledge(first)
    second = box.take(2)
    assert box.keys_taken == {second.key} != {first.key}
    box.acknowledge(second)
    assert box.take(2) is None
    assert box.keys_taken == {second.key}


@pytest.mark.parametrize(("rows", "limit", "dropped"), [(0, 1, 0), (2, 3, 0), (3, 3, 1), (5, 3, 3)])
def test_room_for_one_more_is_made_by_dropping_the_oldest(program, rows, limit, dropped):
    box = filled(program, rows)
    assert box.overflow(limit) == dropped
    assert len(box) == rows - dropped
    if len(box):
        assert box.take(1).rows[0][0] == dropped


def test_discarding_counts_once_and_forgets_only_what_is_present(program):
    first = filled(program, 2)
    assert program.store.forget() == 2
    assert program.store.forget() == 0
    second = filled(program, 3)
    assert program.store.discard(first) == 0
    assert program.store.box is second
    assert program.store.discard(second) == 3
    assert (program.store.box, program.store.dropped) == (None, 5)


def test_r4_two_that_discard_at_once_do_not_lose_the_box_that_came_between(program):
    box = filled(program, 1)
    thread = threading.Thread(target=program.store.discard, args=(box,))
    with program.store._lock:
        thread.start()
        thread.join(0.05)
        assert thread.is_alive(), "it did not wait"
    thread.join(30)
    assert not thread.is_alive()
    assert program.store.box is None


def test_r4_a_place_that_fails_is_a_place_that_cannot_be_had(program, monkeypatch):
    def fail(*_: Any) -> None:
        raise StorageFailure("EIO")

    monkeypatch.setattr(Outbox, "bind", fail)
    assert program.store.for_epoch(1) is None
    assert program.store.box is None
    monkeypatch.undo()
    monkeypatch.setattr(type(program.state.keys), "make", fail)
    program.state.keys.destroy(1)
    assert program.store.for_epoch(1) is None
    assert program.store.for_sending(1) is None
    monkeypatch.undo()
    assert program.store.for_epoch(1).generation == 2


def test_r9_where_the_key_lives_in_the_process_the_box_does_too(program, scene, monkeypatch):
    keys = DataKeys.choose(program.state.directory, "process")
    monkeypatch.setattr(program.state, "keys", keys)
    box = filled(program, 2)
    assert (len(box), scene.rows()) == (2, [])
    assert keys.read().key is not None
