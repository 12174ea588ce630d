"""The ledger: durable or not at all, never forked, never silently replaced (R5, R8)."""

from __future__ import annotations

import errno
import os
import random
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kalos_connect_sdk.core.chain import GENESIS, BrokenChain, link, verify
from kalos_connect_sdk.errors import StateUnreadable
from kalos_connect_sdk.model.consent import Purpose
from kalos_connect_sdk.storage import ledger as module
from kalos_connect_sdk.storage.directory import StateDirectory
from kalos_connect_sdk.storage.failure import HeadMoved, StorageFailure
from kalos_connect_sdk.storage.ledger import NAME, Ledger, NewEvent, NoticeRow


def event(prev: bytes, body: bytes, *, mac: bytes | None = b"m", key_id: str | None = "k") -> NewEvent:
    return NewEvent(body, prev, link(prev, body), mac, key_id)


def grow(ledger: Ledger, *bodies: bytes) -> None:
    rows = ledger.events()
    prev = rows[-1].hash if rows else GENESIS
    for body in bodies:
        ledger.commit(events=[event(prev, body)])
        prev = link(prev, body)


def notice(name: str, epoch: int = 1, **more: object) -> NoticeRow:
    return NoticeRow(name, Purpose.NAVIGATION, epoch, "https://a:443", "r", "{}")._replace(**more)  # type: ignore[arg-type]


def test_a_new_ledger_is_private_empty_and_pseudonymous(directory: StateDirectory) -> None:
    ledger = Ledger.open(directory)
    assert ledger.fresh
    assert ledger.events() == []
    assert ledger.notices() == []
    assert ledger.meta("x") is None
    ids = [ledger.record_id(purpose) for purpose in Purpose]
    assert len(set(ids)) == len(Purpose)
    assert all(len(bytes.fromhex(one)) == 16 for one in ids)
    assert {name for name in os.listdir(directory.path) if not name.startswith(NAME)} == set()
    assert all((directory.path / name).stat().st_mode & 0o077 == 0 for name in os.listdir(directory.path))
    again = Ledger.open(directory)
    assert not again.fresh
    assert [again.record_id(purpose) for purpose in Purpose] == ids


def test_what_is_committed_is_there_for_another_process(directory: StateDirectory, peer: Callable) -> None:
    ledger = Ledger.open(directory)
    grow(ledger, b"one", b"two")
    ledger.commit(
        add_notices=[notice("n1"), notice("n2", 2, purpose=Purpose.CROSS_BORDER_TRANSFER)], meta={"a": "1", "b": "2"}
    )
    ledger.commit(meta={"a": None, "b": "3", "c": None})
    one = peer(
        "from kalos_connect_sdk.storage.ledger import Ledger\n"
        "l = Ledger.open(directory); say([r.body for r in l.events()], [r.purpose.value for r in l.notices()], l.meta('a'), l.meta('b'))\n"
    )
    assert one.hear() == "[b'one', b'two'] ['navigation', 'cross-border-transfer'] None 3"
    rows = ledger.events()
    assert [row.seq for row in rows] == [1, 2]
    assert verify((row.seq, row.body, row.prev, row.hash) for row in rows) == rows[-1].hash
    assert rows[0].mac == b"m"
    assert ledger.events(1) == rows[1:]


def test_r5_a_notice_sleeps_wakes_once_and_goes_only_when_told(directory: StateDirectory) -> None:
    ledger = Ledger.open(directory)
    ledger.commit(add_notices=[notice("n")])
    assert ledger.notices() == [notice("n")]
    ledger.commit(wake=[("n", "2026-01-01T00:00:00.000Z"), ("unknown", "x")])
    ledger.commit(wake=[("n", "2027-01-01T00:00:00.000Z")], attempted=["n", "n", "unknown"])
    assert ledger.notices() == [notice("n", awake=True, withdrawn_at="2026-01-01T00:00:00.000Z", attempts=2)]
    ledger.commit(delete_notices=["unknown"])
    assert len(ledger.notices()) == 1
    ledger.commit(delete_notices=["n"])
    assert ledger.notices() == []


def test_one_commit_is_one_transaction(directory: StateDirectory) -> None:
    ledger = Ledger.open(directory)
    ledger.commit(add_notices=[notice("n")])
    with pytest.raises(StorageFailure, match="CONSTRAINT") as caught:
        ledger.commit(events=[event(GENESIS, b"one")], meta={"a": "1"}, add_notices=[notice("n")])
    assert caught.value.__context__ is None
    assert ledger.events() == []
    assert ledger.meta("a") is None
    grow(ledger, b"one")
    assert len(ledger.events()) == 1


def test_r8_two_processes_cannot_fork_the_history(directory: StateDirectory) -> None:
    one, two = Ledger.open(directory), Ledger.open(directory)
    grow(one, b"first")
    head = one.events()[-1].hash
    one.commit(events=[event(head, b"mine")])
    with pytest.raises(HeadMoved):
        two.commit(events=[event(head, b"theirs")], meta={"x": "1"})
    assert two.meta("x") is None
    grow(two, b"theirs")
    verify((row.seq, row.body, row.prev, row.hash) for row in one.events())
    assert [row.body for row in one.events()] == [b"first", b"mine", b"theirs"]


def test_a_busy_ledger_is_waited_for_and_then_a_failure(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BUSY_S", 0.05)
    ledger = Ledger.open(directory)
    other = sqlite3.connect(directory.path / NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageFailure, match="BUSY"):
        grow(ledger, b"x")
    other.execute("ROLLBACK")
    other.close()
    grow(ledger, b"x")


def test_r5_a_failure_closes_the_connection_and_the_next_call_opens_another(directory: StateDirectory) -> None:
    ledger = Ledger.open(directory)
    grow(ledger, b"one")
    before = ledger._connection
    with pytest.raises(UnicodeEncodeError):
        ledger.commit(meta={"a": "1", "b": "\ud800"})
    assert ledger._connection is None
    assert ledger.meta("a") is None, "nothing of it is there"
    assert ledger._connection not in (None, before)
    ledger.close()
    ledger.close()
    grow(ledger, b"two")


@pytest.mark.fault(16)
def test_r8_a_newer_ledger_is_refused_and_kept(directory: StateDirectory) -> None:
    Ledger.open(directory).close()
    db = sqlite3.connect(directory.path / NAME)
    db.execute("PRAGMA user_version = 2")
    db.close()
    before = (directory.path / NAME).read_bytes()
    with pytest.raises(StateUnreadable, match="newer"):
        Ledger.open(directory)
    assert (directory.path / NAME).read_bytes() == before


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE notice",
        "ALTER TABLE event ADD x",
        "PRAGMA user_version = 0",
        "CREATE TRIGGER t AFTER INSERT ON event BEGIN SELECT 1; END",
    ],
)
def test_r8_a_ledger_that_was_edited_is_refused(directory: StateDirectory, statement: str) -> None:
    Ledger.open(directory).close()
    db = sqlite3.connect(directory.path / NAME)
    db.execute(statement)
    db.close()
    with pytest.raises(StateUnreadable, match="reset"):
        Ledger.open(directory)


@pytest.mark.parametrize("content", [b"", b"x", b"SQLite format 3\0", b"\0" * 4096, os.urandom(8192)])
def test_r8_anything_else_in_its_place_is_refused_and_kept(directory: StateDirectory, content: bytes) -> None:
    (directory.path / NAME).touch(0o600)
    (directory.path / NAME).write_bytes(content)
    with pytest.raises(StateUnreadable) as caught:
        Ledger.open(directory)
    assert caught.value.__context__ is None
    assert (directory.path / NAME).read_bytes() == content


def test_r8_links_and_open_files_are_refused(directory: StateDirectory, tmp_path: Path) -> None:
    Ledger.open(directory).close()
    (directory.path / NAME).chmod(0o644)
    with pytest.raises(StateUnreadable, match="0644"):
        Ledger.open(directory)
    (directory.path / NAME).rename(tmp_path / "elsewhere")
    (directory.path / NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateUnreadable, match="plain file"):
        Ledger.open(directory)


def everything(ledger: Ledger) -> tuple[object, ...]:
    rows = ledger.events()
    verify((row.seq, row.body, row.prev, row.hash) for row in rows)
    return rows, ledger.notices(), [ledger.record_id(purpose) for purpose in Purpose], ledger.meta("a")


def test_r8_a_flipped_bit_never_adds_or_removes_an_event_unnoticed(directory: StateDirectory) -> None:
    ledger = Ledger.open(directory)
    grow(ledger, b"a" * 300, b"b" * 200)
    ledger.commit(add_notices=[notice("n")], meta={"a": "1"})
    before = everything(ledger)
    ledger.close()
    whole = (directory.path / NAME).read_bytes()
    used = [at for at, byte in enumerate(whole) if byte]
    refused = 0
    for seed in range(200):
        chooser, content = random.Random(seed), bytearray(whole)
        content[chooser.choice(used)] ^= 1 << chooser.randrange(8)
        (directory.path / NAME).write_bytes(content)
        try:
            damaged = Ledger.open(directory)
            after = everything(damaged)
            damaged.close()
        except StateUnreadable as error:
            assert error.__context__ is None
            refused += 1
            continue
        except BrokenChain:
            refused += 1
            continue
        assert [row.body for row in after[0]] == [row.body for row in before[0]]  # type: ignore[attr-defined]
    assert refused > 100


@pytest.mark.fault(12)
@pytest.mark.parametrize("keep", [1, 100, 4095, 4096, 8192, 12288])
def test_r8_a_truncated_ledger_is_refused_and_kept(directory: StateDirectory, keep: int) -> None:
    ledger = Ledger.open(directory)
    grow(ledger, b"x" * 3000)
    ledger.close()
    os.truncate(directory.path / NAME, keep)
    with pytest.raises(StateUnreadable):
        Ledger.open(directory)
    assert (directory.path / NAME).stat().st_size == keep


def test_r8_damage_found_later_is_unreadable_too(directory: StateDirectory) -> None:
    ledger = Ledger.open(directory)
    db = sqlite3.connect(directory.path / NAME)
    db.execute("DELETE FROM record")
    db.execute("PRAGMA ignore_check_constraints = ON")
    db.execute("INSERT INTO notice VALUES ('n', 'nosuch', 1, '', '', '', 0, NULL, 0)")
    db.commit()
    with pytest.raises(StateUnreadable):
        ledger.record_id(Purpose.NAVIGATION)
    with pytest.raises(StateUnreadable):
        ledger.notices()
    db.execute("DROP TABLE meta")
    db.commit()
    db.close()
    with pytest.raises(StateUnreadable) as caught:
        ledger.meta("a")
    assert caught.value.__context__ is None


def test_r10_content_never_shows_in_an_error(directory: StateDirectory) -> None:
    ledger = Ledger.open(directory)
    db = sqlite3.connect(directory.path / NAME)
    db.execute("INSERT INTO meta VALUES ('a', CAST(x'43414e415259ff' AS TEXT))")
    db.commit()
    db.close()
    with pytest.raises(StateUnreadable) as caught:
        ledger.meta("a")
    assert "CANARY" not in repr(caught.value)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


@pytest.mark.fault(18)
def test_a_ledger_removed_while_in_use_is_not_made_again(directory: StateDirectory) -> None:
    ledger = Ledger.open(directory)
    (directory.path / NAME).unlink()
    with pytest.raises(StateUnreadable, match="removed"):
        ledger.events()
    assert not (directory.path / NAME).exists()


def names(directory: StateDirectory) -> list[str]:
    return sorted(os.listdir(directory.path))


def test_r8_a_new_ledger_takes_the_place_of_the_old_one_which_is_kept(directory: StateDirectory) -> None:
    ledger = Ledger.open(directory)
    grow(ledger, b"one")
    other = Ledger.open(directory)
    draft = Ledger.draft(directory)
    grow(draft, b"first of the new one")
    assert [row.body for row in other.events()] == [b"one"], "nobody sees it before it is in place"
    kept = draft.take_place("20260101T000000")
    assert kept == directory.path / f"{NAME}.20260101T000000"
    assert draft.record_id(Purpose.NAVIGATION) == Ledger.open(directory).record_id(Purpose.NAVIGATION)
    grow(other, b"second")
    assert [row.body for row in draft.events()] == [b"first of the new one", b"second"]
    db = sqlite3.connect(kept)
    assert db.execute("SELECT body FROM event").fetchall() == [(b"one",)]
    db.close()
    draft.discard()
    assert len(Ledger.open(directory).events()) == 2, "a draft that is in place stays"


def test_r8_an_unreadable_ledger_is_kept_with_its_journal(directory: StateDirectory) -> None:
    for name in (NAME, f"{NAME}-journal"):
        (directory.path / name).touch(0o600)
        (directory.path / name).write_bytes(b"broken " + name.encode())
    assert Ledger.draft(directory).take_place("then") == directory.path / f"{NAME}.then"
    assert names(directory) == [NAME, f"{NAME}.then", f"{NAME}.then-journal"]
    assert Ledger.open(directory).events() == []
    (directory.path / NAME).unlink()
    assert Ledger.draft(directory).take_place("later") is None
    draft = Ledger.draft(directory)
    with pytest.raises(ValueError, match="stamp"):
        draft.take_place("../x")
    draft.discard()
    assert names(directory) == [NAME, f"{NAME}.then", f"{NAME}.then-journal"]


def test_r5_a_draft_that_cannot_take_its_place_leaves_the_old_ledger(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger.open(directory)
    grow(ledger, b"one")
    draft = Ledger.draft(directory)

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "injected")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fail)
        with pytest.raises(StorageFailure, match="EIO"):
            draft.take_place("then")
    draft.discard()
    assert [row.body for row in ledger.events()] == [b"one"]
    assert not [name for name in names(directory) if name.endswith(".new")]


def test_two_that_create_it_at_once_share_one(directory: StateDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    real, others = StateDirectory.publish, []

    def publish(self: StateDirectory, temporary: str, name: str) -> bool:
        if not others:
            others.append(None)
            others[0] = Ledger.open(directory)
        return real(self, temporary, name)

    monkeypatch.setattr(StateDirectory, "publish", publish)
    ledger = Ledger.open(directory)
    assert (ledger.fresh, others[0].fresh) == (False, True)
    assert ledger.record_id(Purpose.NAVIGATION) == others[0].record_id(Purpose.NAVIGATION)


def test_r5_a_ledger_that_cannot_be_made_leaves_nothing(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "injected")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageFailure, match="ENOSPC") as caught:
            Ledger.open(directory)
        assert caught.value.__context__ is None
        patch.undo()
        patch.setattr(module, "SCHEMA", "CREATE nonsense;")
        with pytest.raises(StorageFailure, match="SQLITE_ERROR"):
            Ledger.open(directory)
    assert os.listdir(directory.path) == []


KILLED = """
from kalos_connect_sdk.storage.ledger import Ledger, NewEvent
from kalos_connect_sdk.core.chain import GENESIS, link
l = Ledger.open(directory); rows = l.events(); prev = rows[-1].hash if rows else GENESIS; n = len(rows)
say("ready")
while True:
    n += 1; body = b"%d" % n
    l.commit(events=[NewEvent(body, prev, link(prev, body), None, None)], meta={"count": str(n)})
    prev = link(prev, body); say(n)
"""


def test_r5_kill_9_at_any_moment_leaves_a_whole_ledger(directory: StateDirectory, peer: Callable) -> None:
    told = 0
    for round_ in range(6):
        one = peer(KILLED)
        assert one.hear() == "ready"
        for _ in range(3 + round_):
            told = int(one.hear())
        os.kill(one.pid, signal.SIGKILL)
        one.process.wait(30)
        ledger = Ledger.open(directory)
        rows = ledger.events()
        verify((row.seq, row.body, row.prev, row.hash) for row in rows)
        assert len(rows) >= told
        assert ledger.meta("count") == str(len(rows))
        ledger.close()


def test_a_forked_child_neither_uses_nor_closes_the_parents_connection(
    directory: StateDirectory, peer: Callable
) -> None:
    one = peer(
        "from kalos_connect_sdk.storage.ledger import Ledger\n"
        "l = Ledger.open(directory); l.commit(meta={'a': '1'}); before = l._connection\n"
        "l._connection.execute('BEGIN IMMEDIATE'); l._connection.execute(\"UPDATE meta SET value = 'parent'\")\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    say(l._connection is None, l.meta('a')); del l; sys.exit(0)\n"
        "os.waitpid(pid, 0); l._connection.execute('COMMIT'); say(l._connection is before, l.meta('a'))\n"
    )
    assert one.hear() == "True 1"
    assert one.hear() == "True parent"


def test_the_hook_of_a_fork_in_this_process(directory: StateDirectory) -> None:
    ledger = Ledger.open(directory)
    grow(ledger, b"x")
    inherited = ledger._connection
    module._in_child()
    assert ledger._connection is None
    assert len(ledger.events()) == 1
    module._ledgers.discard(ledger)
    ledger.close()
    module._in_child()
    assert inherited is not None
    inherited.close()


class LedgerModel(RuleBasedStateMachine):
    """Any order of commits, failures, reopenings and archives against a plain model of it."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.base = tempfile.TemporaryDirectory()
        self.directory = StateDirectory.open("app", None, Path(self.base.name) / "s")
        self.ledger = Ledger.open(self.directory)
        self.bodies: list[bytes] = []
        self.meta: dict[str, str] = {}
        self.notices: dict[str, NoticeRow] = {}

    names = st.sampled_from(["n1", "n2", "n3"])

    @rule(
        bodies=st.lists(st.binary(min_size=1, max_size=40), max_size=3),
        key=names,
        value=st.none() | st.text("ab", max_size=3),
    )
    def commit(self, bodies: list[bytes], key: str, value: str | None) -> None:
        prev = self.ledger.events()[-1].hash if self.bodies else GENESIS
        events = []
        for body in bodies:
            events.append(event(prev, body, mac=None, key_id=None))
            prev = events[-1].hash
        self.ledger.commit(events=events, meta={key: value})
        self.bodies += bodies
        self.meta.pop(key, None)
        if value is not None:
            self.meta[key] = value

    @rule(name=names, epoch=st.integers(1, 3))
    def add(self, name: str, epoch: int) -> None:
        row = notice(name, epoch)
        if name in self.notices:
            with pytest.raises(StorageFailure):
                self.ledger.commit(add_notices=[row], meta={"lost": "1"})
        else:
            self.ledger.commit(add_notices=[row])
            self.notices[name] = row

    @rule(name=names, at=st.sampled_from(["t1", "t2"]))
    def wake(self, name: str, at: str) -> None:
        self.ledger.commit(wake=[(name, at)], attempted=[name])
        if name in self.notices:
            row = self.notices[name]
            row = row._replace(attempts=row.attempts + 1)
            self.notices[name] = row if row.awake else row._replace(awake=True, withdrawn_at=at)

    @rule(name=names)
    def delete(self, name: str) -> None:
        self.ledger.commit(delete_notices=[name])
        self.notices.pop(name, None)

    @rule(prev=st.binary(min_size=32, max_size=32))
    def fork(self, prev: bytes) -> None:
        if self.bodies:
            with pytest.raises(HeadMoved):
                self.ledger.commit(events=[event(prev, b"x")], delete_notices=list(self.notices))

    @rule()
    def reopen(self) -> None:
        self.ledger.close()
        self.ledger = Ledger.open(self.directory)
        assert not self.ledger.fresh

    @rule()
    def archive(self) -> None:
        Ledger.draft(self.directory).take_place("then")
        self.ledger = Ledger.open(self.directory)
        self.bodies, self.meta, self.notices = [], {}, {}

    @invariant()
    def holds(self) -> None:
        rows = self.ledger.events()
        verify((row.seq, row.body, row.prev, row.hash) for row in rows)
        assert [row.body for row in rows] == self.bodies
        assert {key: self.ledger.meta(key) for key in ("n1", "n2", "n3", "lost")} == {
            "n1": None,
            "n2": None,
            "n3": None,
            "lost": None,
            **self.meta,
        }
        assert {row.notice_id: row for row in self.ledger.notices()} == self.notices

    def teardown(self) -> None:
        self.ledger.close()
        self.base.cleanup()


TestLedgerModel = LedgerModel.TestCase
TestLedgerModel.settings = settings(max_examples=12, stateful_step_count=12, deadline=None)
