"""R5, R8: what the ledger refuses at the door, and failures of its own tidying up."""

from __future__ import annotations

import os
import sqlite3
import sys
from typing import Any

import pytest

from kalos_connect_sdk.errors import StateUnreadable
from kalos_connect_sdk.model.consent import Purpose
from kalos_connect_sdk.storage import ledger as ledger_module
from kalos_connect_sdk.storage import rowsum
from kalos_connect_sdk.storage.directory import StateDirectory
from kalos_connect_sdk.storage.failure import StorageFailure
from kalos_connect_sdk.storage.ledger import NAME, Ledger


def edited(directory: StateDirectory, statement: str) -> None:
    db = sqlite3.connect(directory.path / NAME, isolation_level=None)
    db.execute(statement)
    db.close()


def test_r8_rows_that_were_edited_are_refused_when_it_is_opened(directory: StateDirectory) -> None:
    Ledger.open(directory).close()
    edited(directory, "INSERT INTO meta VALUES ('mark', 'x')")
    with pytest.raises(StateUnreadable, match="is damaged"):
        Ledger.open(directory)


def test_r8_a_broken_structure_is_refused_although_every_row_can_be_read(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    Ledger.open(directory).close()
    monkeypatch.setattr(rowsum, "is_right", lambda _: True)
    size = os.stat(directory.path / NAME).st_size
    with open(directory.path / NAME, "r+b") as file:
        file.seek(size)
        file.write(bytes(4096))  # a page that belongs to nothing
        file.seek(28)
        file.write((size // 4096 + 1).to_bytes(4, "big"))
    with pytest.raises(StateUnreadable, match="is damaged"):
        Ledger.open(directory)


def test_r8_a_record_without_its_pseudonym_is_damage(directory: StateDirectory) -> None:
    found = Ledger.open(directory)
    edited(directory, "DELETE FROM record WHERE purpose = 'navigation'")
    with pytest.raises(StateUnreadable, match="is damaged"):
        found.record_id(Purpose.NAVIGATION)
    found.close()


@pytest.mark.parametrize("values", ["meta VALUES ('mark', 'x')", "notice VALUES ('n', 'o', 1, '', '', '', 0, NULL, 0)"])
def test_r8_rows_beside_the_history_that_are_edited_later_are_found_with_it(
    directory: StateDirectory, values: str
) -> None:
    found = Ledger.open(directory)
    assert found.events() == []
    edited(directory, f"INSERT INTO {values}")
    with pytest.raises(StateUnreadable, match="is damaged"):
        found.events()
    found.close()


def test_r5_a_draft_that_is_gone_already_is_discarded(directory: StateDirectory) -> None:
    draft = Ledger.draft(directory)
    for path in directory.path.glob("*.new"):
        path.unlink()
    draft.discard()
    assert list(directory.path.iterdir()) == []


def test_a_draft_is_new_and_takes_its_place_without_ever_having_been_read(directory: StateDirectory) -> None:
    Ledger.open(directory).close()
    draft = Ledger.draft(directory)
    assert draft.fresh
    kept = draft.take_place("aside")
    assert kept is not None and kept.exists()
    assert not (directory.path / f"{NAME}-journal").exists()
    assert draft.events() == []
    draft.close()


def test_r5_a_connection_that_cannot_be_closed_is_let_go(directory: StateDirectory) -> None:
    class Stubborn:
        def close(self) -> None:
            raise sqlite3.OperationalError("unable to close")

    found = Ledger.open(directory)
    found.close()
    found._connection = Stubborn()  # type: ignore[assignment]
    found.close()
    assert found._connection is None
    assert found.events() == []
    found.close()


def test_r8_a_ledger_that_was_removed_is_let_go(directory: StateDirectory) -> None:
    found = Ledger.open(directory)
    found.events()
    os.unlink(directory.path / NAME)
    with pytest.raises(StateUnreadable, match="removed while in use"):
        found.events()
    assert found._connection is None


def test_r5_a_ledger_that_cannot_be_made_and_is_gone_already_is_a_failure_of_ours(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_: Any) -> None:
        for path in directory.path.glob("*.new"):
            path.unlink()
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(rowsum, "write", gone)
    with pytest.raises(StorageFailure, match="cannot be created"):
        Ledger.open(directory)


def test_a_forked_child_keeps_the_parents_connection_for_ever(directory: StateDirectory) -> None:
    found = Ledger.open(directory)
    found.events()
    connection = found._connection
    before = sys.getrefcount(connection)
    ledger_module._in_child()
    assert found._connection is None
    assert sys.getrefcount(connection) == before  # the ledger's own is gone, another one is held
    assert connection is not None
    connection.close()
