"""Edited rows and restored copies: what was written by another hand, or at another time, opens nothing (R7, R8)."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

import pytest
from damaged_states import NAVIGATION, OWN_REASONS, PLACES, Bench, bench_of, service_of

from kalos_connect_sdk import ConsentRequired, Position, Purpose, Reason, TransportError
from kalos_connect_sdk.cli.verify import judge
from kalos_connect_sdk.core.canonical import canonical
from kalos_connect_sdk.core.chain import link
from kalos_connect_sdk.storage import rowsum


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Bench]]:
    """One state of each story, and a second one that was given."""
    stories = {"given": "given", "withdrawn": "withdrawn", "regranted": "regranted", "another": "given"}
    managers = {name: bench_of(tmp_path_factory.mktemp("rows") / name, story) for name, story in stories.items()}
    yield {name: manager.__enter__() for name, manager in managers.items()}
    for manager in managers.values():
        manager.__exit__(None, None, None)


@pytest.fixture
def bench(made: dict[str, Bench]) -> Callable[[str], Bench]:
    """The state called so, as it was."""

    def put_back(name: str) -> Bench:
        made[name].restore()
        return made[name]

    return put_back


def edit(bench: Bench, change: Callable[[sqlite3.Connection], object], *, signed_off: bool = False) -> None:
    """Change the ledger by hand. ``signed_off``: by someone who also recomputes the sum of the rows."""
    with closing(sqlite3.connect(bench.leaf / "ledger.db", isolation_level=None)) as database:
        database.execute("PRAGMA ignore_check_constraints = ON")
        change(database)
        if signed_off:
            rowsum.write(database)


COLUMNS = {
    "event": ["seq", "body", "prev", "hash", "mac", "key_id"],
    "notice": ["notice_id", "purpose", "epoch", "origin", "record_id", "body", "awake", "withdrawn_at", "attempts"],
    "record": ["purpose", "record_id"],
    "meta": ["key", "value"],
}
UNJUDGED = {("event", "key_id"), ("event", "seq")}
"""A public name of the key beside the code made with it, which chooses a pseudonym and opens nothing; and a number that
only has to rise."""


@pytest.mark.once
@pytest.mark.fault(13)
@pytest.mark.parametrize("story", ["given", "withdrawn", "regranted"])
def test_r8_every_edited_column_is_refused_and_none_opens_the_gate(bench: Callable[[str], Bench], story: str) -> None:
    """Each column of each row of each table, edited, emptied, and copied from its neighbour."""
    cases = 0
    for table, columns in COLUMNS.items():
        with closing(sqlite3.connect(bench(story).leaf / "ledger.db")) as database:
            rows = [row[0] for row in database.execute(f"SELECT rowid FROM {table}")]
        for rowid in rows:
            for column in columns:
                for value in (f"coalesce({column}, '') || 'x'", "7", "x'00'"):
                    one = bench(story)
                    try:
                        edit(one, partial(_set, f"UPDATE {table} SET {column} = {value} WHERE rowid = {rowid}"))
                    except sqlite3.IntegrityError:
                        continue  # SQLite itself does not take it
                    cases += 1
                    verdict = one.judge()
                    if (table, column) in UNJUDGED or (
                        table == "event" and column == "mac" and _is_not_a_grant(one, rowid)
                    ):
                        assert verdict in ("unchanged", "STATE_UNREADABLE")
                    else:
                        assert verdict != "unchanged", (table, column, rowid, value)
    assert cases > 60


def _set(statement: str, db: sqlite3.Connection) -> None:
    db.execute(statement)


def _is_not_a_grant(bench: Bench, rowid: int) -> bool:
    """Only the code of the latest grant says who wrote the history; the chain covers what is before it."""
    with closing(sqlite3.connect(bench.leaf / "ledger.db")) as database:
        grants = [
            row[0]
            for row in database.execute('SELECT seq FROM event WHERE CAST(body AS TEXT) LIKE \'%"kind":"allow"%\'')
        ]
    return not grants or rowid != grants[-1] or bench.story == "withdrawn"


def _delete_first_event(db: sqlite3.Connection) -> None:
    db.execute("DELETE FROM event WHERE seq = (SELECT min(seq) FROM event)")


def _swap_events(db: sqlite3.Connection) -> None:
    low, high = db.execute("SELECT min(seq), max(seq) FROM event").fetchone()
    db.execute("UPDATE event SET seq = -1 WHERE seq = ?", (low,))
    db.execute("UPDATE event SET seq = ? WHERE seq = ?", (low, high))
    db.execute("UPDATE event SET seq = ? WHERE seq = -1", (high,))


def _repeat_grant(db: sqlite3.Connection) -> None:
    """The grant of the past once more at the end, properly linked, with its old code."""
    head = db.execute("SELECT hash FROM event ORDER BY seq DESC LIMIT 1").fetchone()[0]
    body, mac, key = db.execute(
        'SELECT body, mac, key_id FROM event WHERE CAST(body AS TEXT) LIKE \'%"kind":"allow"%\''
    ).fetchone()
    document = json.loads(body)
    document["epoch"] += 5
    raw = canonical(document)
    db.execute(
        "INSERT INTO event (body, prev, hash, mac, key_id) VALUES (?,?,?,?,?)", (raw, head, link(head, raw), mac, key)
    )


@pytest.mark.once
@pytest.mark.fault(13)
@pytest.mark.parametrize("change", [_delete_first_event, _swap_events, _repeat_grant])
@pytest.mark.parametrize("story", ["withdrawn", "regranted"])
def test_r8_events_cut_out_moved_or_repeated_are_refused(
    bench: Callable[[str], Bench], story: str, change: Callable
) -> None:
    one = bench(story)
    edit(one, change, signed_off=True)
    assert one.judge() == "STATE_UNREADABLE"


@pytest.mark.once
@pytest.mark.fault(13, 14)
def test_r7_a_history_cut_off_at_its_withdrawal_is_a_rollback(bench: Callable[[str], Bench]) -> None:
    """The tombstone says that it is over, and so does the counter when the page is forged as well."""
    one = bench("withdrawn")

    def cut_off(db: sqlite3.Connection) -> None:
        grant = db.execute('SELECT seq FROM event WHERE CAST(body AS TEXT) LIKE \'%"kind":"allow"%\'').fetchone()[0]
        db.execute("DELETE FROM event WHERE seq > ?", (grant,))

    edit(one, cut_off, signed_off=True)
    assert one.glance()[0] is Reason.WITHDRAWN, "the tombstone stands"
    words = bytearray(one.path("page").read_bytes())
    from kalos_connect_sdk.storage.page import Page

    at = 8 * Page.slot(NAVIGATION, 1)
    words[at : at + 16] = bytes(8) + b"\xff" * 8
    one.path("page").write_bytes(words)
    assert one.judge() == "STATE_ROLLED_BACK"
    one.vault.unlink()
    assert one.judge() in ("STATE_ROLLED_BACK", "STATE_UNREADABLE")


@pytest.mark.once
@pytest.mark.fault(13)
def test_r18_rows_and_files_of_another_directory_open_nothing(bench: Callable[[str], Bench]) -> None:
    """Another device's ledger, page or vault beside ours: no key vouches for it, or nothing is granted by it."""
    for name in ("ledger.db", "vault"):
        one, other = bench("given"), bench("another")
        shutil.copy(other.path(name), one.path(name))
        assert one.judge() in {reason.name for reason in OWN_REASONS}
    one, other = bench("withdrawn"), bench("another")
    for name in ("ledger.db", "page", "vault"):
        shutil.copy(other.path(name), one.path(name))
    assert one.judge() in {reason.name for reason in OWN_REASONS}, "all three of them: the vault's slot is another"
    one, other = bench("given"), bench("another")
    shutil.copy(other.path("box"), one.leaf / "outbox")
    with service_of(one) as service, one.connect() as connect:
        assert connect.flush().sent == len(PLACES) == len(service.positions), "a foreign box yields no position"


@pytest.mark.once
@pytest.mark.fault(13)
def test_r20_an_edited_receipt_does_not_verify(bench: Callable[[str], Bench]) -> None:
    one = bench("given")
    with service_of(one), one.connect() as connect:
        receipt = json.loads(connect.receipts()[0].to_json())
    assert judge(receipt, None).valid

    def every(node: object, path: tuple = ()) -> Iterator[tuple]:
        if isinstance(node, dict):
            for key, value in node.items():
                yield from every(value, (*path, key))
        elif isinstance(node, list):
            for index, value in enumerate(node):
                yield from every(value, (*path, index))
        else:
            yield path

    leaves = [path for path in every(receipt) if path[0] != "@context"]
    assert len(leaves) > 20
    for path in leaves:
        forged = json.loads(json.dumps(receipt))
        node = forged
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = "another"
        assert not judge(forged, None).valid, path


# -- restored copies -----------------------------------------------------------------------------

COPIES = {
    "directory": (True, False),
    "vault": (False, True),
    "both": (True, True),
}


def withdrawn_since(bench: Bench) -> None:
    """The story goes on: the consent of ``bench`` is withdrawn, offline, and everything is recorded."""
    with bench.connect() as connect:
        assert connect.withdraw().complete
        engine = connect._opened()
        engine.keeper.call(engine.ending.raise_vault_counters)


def copy_back(bench: Bench, *, directory: bool, vault: bool) -> None:
    """Put the copy from before the withdrawal back; RAM stays."""
    if directory:
        shutil.rmtree(bench.base / "state")
    for path, content in bench.kept.items():
        if vault if path.parent == bench.base else directory:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(0o600)
    for path in (bench.base / "state").rglob("*"):
        if path.is_dir():
            path.chmod(0o700)
    (bench.base / "state").chmod(0o700)


@pytest.mark.once
@pytest.mark.fault(14, 15)
@pytest.mark.parametrize("copy", COPIES)
def test_r7_a_copy_from_before_a_withdrawal_is_refused_within_one_boot(
    bench: Callable[[str], Bench], copy: str
) -> None:
    """Offline, too: RAM remembers. ``reset()`` leads out and the old notice still reaches the service."""
    one = bench("given")
    withdrawn_since(one)
    directory, vault = COPIES[copy]
    copy_back(one, directory=directory, vault=vault)
    with service_of(one) as service, one.connect() as connect:
        reason = connect.permission().reason
        assert reason is (Reason.STATE_ROLLED_BACK if directory else Reason.WITHDRAWN)
        with pytest.raises(ConsentRequired):
            connect.submit(Position(*PLACES[0]))
        if directory:
            assert connect.request_permission(user_action=True).reason is Reason.STATE_ROLLED_BACK, "no new grant on it"
            row = next(row for row in connect.doctor() if row["name"] == "state")
            assert not row["ok"] and "restored" in row["advice"]
            connect.reset()
        assert connect.wait_for_notices(20)
        assert {notice["epoch"] for notice in service.withdrawals} == {1}
        again = connect.request_permission(user_action=True)
        assert again.granted and again.epoch == 2
        assert service.positions == []


def reboot(bench: Bench) -> None:
    """What a power cut does to RAM."""
    bench.keys().remove()


@pytest.mark.once
@pytest.mark.fault(15)
def test_r7_after_a_reboot_both_restored_the_services_fence_is_asked_before_the_first_send(
    bench: Callable[[str], Bench],
) -> None:
    """The documented limit: nothing on the device remembers. The service does, and no position leaves before it spoke."""
    one = bench("given")
    with service_of(one) as service:
        with one.connect() as connect:
            assert connect.flush().sent == len(PLACES)
            assert connect.withdraw().complete
            assert connect.wait_for_notices(20)
        sent = len(service.positions)
        copy_back(one, directory=True, vault=True)
        reboot(one)
        with one.connect() as connect:
            connect.permission()
            try:
                connect.submit(Position(*PLACES[0]))
            except ConsentRequired:
                pass
            assert connect.flush(timeout_s=10).sent == 0
            assert connect.permission().reason in (Reason.REVOKED, Reason.WITHDRAWN)
        assert len(service.positions) == sent, "the fence won before the first byte of a position"
        posts = [r for r in service.requests if r["path"].endswith("/positions") and r["method"] == "POST"]
        assert len(posts) == 1, "the one before the withdrawal"


@pytest.mark.once
@pytest.mark.fault(15)
def test_r7_after_a_reboot_both_restored_and_offline_nothing_is_sent(bench: Callable[[str], Bench]) -> None:
    one = bench("given")
    withdrawn_since(one)
    copy_back(one, directory=True, vault=True)
    reboot(one)
    with one.connect() as connect:
        permission = connect.permission()
        if permission.granted:
            connect.submit(Position(*PLACES[0]))
            with pytest.raises(TransportError):
                connect.flush(timeout_s=5)
        assert connect.withdraw().complete


@pytest.mark.once
@pytest.mark.fault(14)
def test_r7_after_a_reboot_the_vaults_counter_refuses_a_restored_directory(bench: Callable[[str], Bench]) -> None:
    one = bench("given")
    withdrawn_since(one)
    copy_back(one, directory=True, vault=False)
    reboot(one)
    assert one.judge() == "STATE_ROLLED_BACK"


@pytest.mark.once
@pytest.mark.fault(14)
@pytest.mark.parametrize("kept", ["vault", "ram", "neither"])
def test_r7_a_missing_directory_is_no_rollback_and_no_epoch_comes_twice(
    bench: Callable[[str], Bench], kept: str
) -> None:
    one = bench("given")
    withdrawn_since(one)
    shutil.rmtree(one.base / "state")
    if kept != "vault":
        one.vault.unlink()
    if kept != "ram":
        reboot(one)
    with service_of(one) as service, one.connect() as connect:
        assert connect.permission().reason is Reason.NOT_ASKED
        again = connect.request_permission(user_action=True)
        assert again.granted and again.epoch == (1 if kept == "neither" else 2)
        assert connect.submit(Position(*PLACES[0])).accepted and connect.flush().sent == 1
        assert {consent["epoch"] for consent in service.consents.values()} == {again.epoch}


def test_the_columns_above_are_all_there_are(bench: Callable[[str], Bench]) -> None:
    with closing(sqlite3.connect(bench("given").leaf / "ledger.db")) as database:
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        found = {table: [row[1] for row in database.execute(f"PRAGMA table_info({table})")] for table in tables}
    assert found == COLUMNS
    assert set(Purpose) == {NAVIGATION, Purpose.CROSS_BORDER_TRANSFER}


@pytest.mark.fault(12)
def test_r8_rows_that_another_process_changes_meanwhile_are_no_damage(bench: Callable[[str], Bench]) -> None:
    """The sum and what it covers are read at one moment: a commit between two of the queries changes nothing."""
    path = bench("given").leaf / "ledger.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as reading, closing(sqlite3.connect(path)) as writing:
        queries: list[str] = []
        refused: list[str] = []

        def commit_between(statement: str) -> None:
            queries.append(statement)
            if "FROM notice" in statement:
                try:
                    writing.execute("PRAGMA busy_timeout = 0")
                    writing.execute("UPDATE meta SET value = value || 'x' WHERE key = 'ram'")
                    writing.commit()
                except sqlite3.OperationalError as error:
                    refused.append(str(error))

        reading.set_trace_callback(commit_between)
        assert rowsum.is_right(reading)
        reading.set_trace_callback(None)
        assert refused and queries[0] == "BEGIN", "the other waits for its turn"
