"""R5, R8, R9: commits beside those of other programs, and grants that lived in the memory of a program that is gone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from two_programs import NAVIGATION, Program

from kalos_connect_sdk import Purpose, Reason
from kalos_connect_sdk.core.chain import link
from kalos_connect_sdk.errors import VaultUnavailable
from kalos_connect_sdk.protocol import identity, runs
from kalos_connect_sdk.storage.failure import StorageFailure
from kalos_connect_sdk.storage.ledger import NewEvent
from kalos_connect_sdk.storage.locks import try_lock
from kalos_connect_sdk.testing import MemoryVault

BORDER = Purpose.CROSS_BORDER_TRANSFER


@pytest.fixture
def brief(tmp_path: Path) -> Iterator[Program]:
    """A program without a lasting vault, with a grant of this run."""
    program = Program(tmp_path / "state", MemoryVault())
    program.allow(program.shown())
    yield program
    program.state.keys.remove()
    program.close()


def kinds(program: Program) -> list[str]:
    return [json.loads(row.body)["kind"] for row in program.state.ledger.events()]


def die(program: Program) -> None:
    """What is left of a program's run when its process is gone."""
    slot = program.state.directory.slot
    identity._this_run.pop(slot)
    _, lease = runs._runs.pop(slot)
    assert lease is not None
    lease.release()


def another(program: Program) -> Program:
    return Program(Path(program.config.state_dir), MemoryVault())


def test_r8_a_commit_follows_what_another_program_wrote_meanwhile(scene):
    one, other = scene.program(), scene.program()
    one.state.commit([one.state.event("deny", BORDER, 0, cause="subject")])
    other.state.commit([other.state.event("dismiss", BORDER, 0, cause="subject")])
    assert kinds(one) == kinds(other) == ["allow", "deny", "dismiss"]
    assert one.state.reload().unreadable is None


def test_r8_of_several_events_each_follows_the_one_before(scene):
    program = scene.program()
    expired = program.state.event("expire", NAVIGATION, 1, cause="time")
    program.state.commit([expired, expired, program.state.event("erased", NAVIGATION, 1)])
    assert kinds(program) == ["allow", "expire", "erased"]
    program.state.commit([expired])
    assert kinds(program) == ["allow", "expire", "erased"]


def test_r3_every_commit_is_told_to_the_other_programs(scene):
    one, other = scene.program(), scene.program()
    before = other.state.page.version
    one.state.commit(meta={"a": "setting"})
    assert other.state.page.version != before


def test_r8_nobody_commits_beside_another(scene):
    program = scene.program()
    program.state.writer_wait_s = 0
    reader = try_lock(program.state._writer, exclusive=False)
    with reader, pytest.raises(StorageFailure, match="another program holds the ledger"):
        program.state.commit(meta={"a": "setting"})
    program.state.commit(meta={"a": "setting"})


@pytest.mark.parametrize("body", [b"[]", b"null", b"{", b"[" * 5000, b"\xff"])
def test_r8_an_event_that_is_no_object_locks_the_state(scene, body):
    program = scene.program()
    head = program.state.ledger.events()[-1].hash
    program.state.ledger.commit(events=[NewEvent(body, head, link(head, body), None, None)])
    assert program.state.reload().unreadable is Reason.STATE_UNREADABLE
    with pytest.raises(StorageFailure, match="does not verify"):
        program.state.commit([program.state.event("deny", BORDER, 0, cause="subject")])


def test_r9_a_grant_of_a_run_that_is_over_is_unfinished_and_of_one_that_lasts_is_not(brief):
    assert not brief.state.dead_run(NAVIGATION)
    assert not brief.state.unfinished()
    other = another(brief)
    assert not other.state.dead_run(NAVIGATION)  # the same process, so the same run
    die(brief)
    later = another(brief)
    assert later.state.unreadable is None
    assert later.state.dead_run(NAVIGATION)
    assert not later.state.dead_run(BORDER)
    assert later.state.unfinished()
    later.close()
    other.close()


def test_r9_the_memory_of_a_running_program_is_no_dead_run(brief):
    identity._this_run.pop(brief.state.directory.slot)
    other = another(brief)
    assert other.state.unreadable is Reason.VAULT_UNAVAILABLE
    assert not other.state.dead_run(NAVIGATION)
    other.close()


def test_r5_a_tombstone_without_an_entry_is_unfinished_and_so_is_what_was_not_erased(scene):
    program = scene.program()
    assert not program.state.unfinished()
    program.state.page.end(NAVIGATION, 1)
    assert program.state.unfinished()
    assert not program.state.dead_run(NAVIGATION)
    program.state.commit([program.state.event("withdraw", NAVIGATION, 1, cause="subject")])
    assert program.state.unfinished()
    program.state.commit([program.state.event("erased", NAVIGATION, 1)])
    assert not program.state.unfinished()


def test_r9_a_lasting_grant_is_no_dead_run_even_where_its_key_is_unknown(scene):
    program = scene.program()
    program.state._authentic_epoch[NAVIGATION] = 0
    assert not program.state.dead_run(NAVIGATION)


def test_r7_raising_a_counter_needs_no_vault_that_shows_what_is_known(scene, monkeypatch):
    program = scene.program()
    assert program.state.raise_vault({NAVIGATION: 0})

    def locked(_: str) -> bytes:
        raise VaultUnavailable("locked")

    monkeypatch.setattr(scene.vault, "load", locked)
    assert program.state.secret is not None
    assert program.state.raise_vault({NAVIGATION: 4})
    assert program.state.secret.counter(NAVIGATION) == 4
    program.state.secret = None
    assert not program.state.raise_vault({NAVIGATION: 5})


def test_r7_without_any_secret_there_is_no_counter_to_raise(scene):
    program = scene.program()
    scene.vault._secrets.clear()
    program.state.secret = None
    assert program.state.raise_vault({NAVIGATION: 3})
    assert program.state.secret is None


def test_what_nobody_knows_of_is_read_as_a_counter_of_none(scene):
    program = scene.program()
    assert dict(program.state.snapshot.floor) == dict.fromkeys(Purpose, 0)
    assert program.state._publish(1, {}).floor == dict.fromkeys(Purpose, 0)
