"""The ledger: the append-only consent history, the notices waiting for the service, a few settings.

SQLite with a truncated rollback journal and full syncs: the one mode in which no power cut was found to
leave a bad state (R5). Rules kept here:

- One ``commit`` is one transaction: all of it is there afterwards, or none.
- A write that failed is never tried again on the same connection and believed: it is closed, and the
  next call opens a new one (R5).
- An event continues the newest one (``prev`` is its hash), checked inside the transaction, so that two
  processes cannot fork the history (R8).
- Damaged, foreign or newer files are refused and kept (R8). No text of SQLite's errors escapes (R10).

Used by one thread at a time; a forked child opens a connection of its own.
"""

from __future__ import annotations

import ctypes
import os
import re
import sqlite3
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from ..errors import StateError, StateUnreadable
from ..model.consent import Purpose
from . import forks, rowsum
from .directory import StateDirectory, check_private, close_file
from .failure import HeadMoved, StorageFailure, cause
from .schema import SCHEMA, SCHEMA_VERSION, TABLES

__all__ = ["NAME", "EventRow", "Ledger", "NewEvent", "NoticeRow"]

NAME: Final = "ledger.db"
_JOURNAL: Final = NAME + "-journal"
_BUSY_S: Final = 1.0
_STAMP: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# What SQLite says when the content is at fault, not the disk: ERROR (no such table), CORRUPT, MISMATCH, NOTADB.
_CONTENT_CODES: Final = frozenset({1, 11, 20, 26})
_T = TypeVar("_T")


class NewEvent(NamedTuple):
    """An event to append: canonical body, the hash before it, its own, and its authentication if any."""

    body: bytes
    prev: bytes
    hash: bytes
    mac: bytes | None
    key_id: str | None


class EventRow(NamedTuple):
    """An event as stored; ``seq`` counts from 1."""

    seq: int
    body: bytes
    prev: bytes
    hash: bytes
    mac: bytes | None
    key_id: str | None


class NoticeRow(NamedTuple):
    """A withdrawal notice, signed ahead at grant time. Asleep until the withdrawal; gone once acknowledged."""

    notice_id: str
    purpose: Purpose
    epoch: int
    origin: str
    record_id: str
    body: str
    awake: bool = False
    withdrawn_at: str | None = None
    attempts: int = 0


class Ledger:
    """The ledger of one state directory. Made by :meth:`open`; ``fresh`` when it did not exist before."""

    __slots__ = ("__weakref__", "_connection", "_directory", "_identity", "_name", "fresh")

    def __init__(self, directory: StateDirectory, *, fresh: bool, name: str = NAME) -> None:
        self._directory = directory
        self._name = name
        self._connection: sqlite3.Connection | None = None
        self._identity = (0, 0)
        self.fresh: Final = fresh
        _ledgers.add(self)

    @classmethod
    def open(cls, directory: StateDirectory) -> Ledger:
        """Open and check the ledger, made first when absent.

        Raises :class:`StateUnreadable` when it is damaged, foreign or newer than this SDK, and
        :class:`StorageFailure` when it cannot be made or read.
        """
        fresh = not check_private(directory.path / NAME) and _create(directory)
        ledger = cls(directory, fresh=fresh)
        problem = ledger._run(_problem)
        if problem is not None:
            ledger.close()
            raise StateUnreadable(f"{directory.path / NAME} {problem}")
        return ledger

    @classmethod
    def draft(cls, directory: StateDirectory) -> Ledger:
        """A new ledger that nobody else sees until :meth:`take_place`. Raises :class:`StorageFailure`."""
        return cls(directory, fresh=True, name=_build(directory))

    def in_place(self) -> bool:
        """Whether the file that was read last still stands there. Any thread, one system call."""
        try:
            found = os.lstat(self._directory.path / NAME)
        except OSError:
            return False
        return self._identity == (found.st_dev, found.st_ino)

    @property
    def identity(self) -> tuple[int, int]:
        """Which file was read last."""
        return self._identity

    def record_id(self, purpose: Purpose) -> str:
        """The random 128-bit pseudonym of the purpose's record, in hex."""
        rows = self._select("SELECT record_id FROM record WHERE purpose = ?", purpose.value)
        if len(rows) != 1:
            raise self._damaged()
        return str(rows[0][0])

    def meta(self, key: str) -> str | None:
        """One setting, or None."""
        rows = self._select("SELECT value FROM meta WHERE key = ?", key)
        return str(rows[0][0]) if rows else None

    def settings(self, prefix: str) -> dict[str, str]:
        """The settings whose name begins with ``prefix``, by name."""
        query = "SELECT key, value FROM meta WHERE substr(key, 1, ?) = ? ORDER BY key"
        return {str(key): str(value) for key, value in self._select(query, len(prefix), prefix)}

    def events(self, after_seq: int = 0) -> list[EventRow]:
        """The history after ``after_seq``, in order. ``core.chain`` judges whether it holds together; the rows
        beside it are judged here. Raises :class:`StateUnreadable`."""
        query = "SELECT seq, body, prev, hash, mac, key_id FROM event WHERE seq > ? ORDER BY seq"
        if not self._run(rowsum.is_right):
            raise self._damaged()
        return [EventRow(*row) for row in self._select(query, after_seq)]

    def notices(self) -> list[NoticeRow]:
        """Every notice not acknowledged yet, oldest epoch first."""
        query = f"SELECT {', '.join(NoticeRow._fields)} FROM notice ORDER BY epoch, notice_id"  # noqa: S608 - our own names
        rows = self._select(query)
        known = {purpose.value: purpose for purpose in Purpose}
        if any(row[1] not in known for row in rows):
            raise self._damaged()
        return [NoticeRow(*row)._replace(purpose=known[row[1]], awake=bool(row[6])) for row in rows]

    def commit(
        self,
        *,
        events: Sequence[NewEvent] = (),
        add_notices: Sequence[NoticeRow] = (),
        wake: Sequence[tuple[str, str]] = (),
        attempted: Sequence[str] = (),
        delete_notices: Sequence[str] = (),
        meta: Mapping[str, str | None] | None = None,
    ) -> None:
        """One durable transaction of everything given; a meta value of None deletes.

        ``wake``: (notice id, withdrawn at); the first waking counts. Raises :class:`HeadMoved` when another
        process appended first, :class:`StorageFailure` when the outcome is unknown: open the state as if the
        power had failed (R5).
        """
        settings = dict(meta or {})
        notices = [(row[0], row.purpose.value, *row[2:]) for row in add_notices]

        def transaction(db: sqlite3.Connection) -> bool | None:
            db.execute("BEGIN IMMEDIATE")
            if not rowsum.is_right(db):  # R8: no damage is signed off by the next change
                db.execute("ROLLBACK")
                return None
            head = db.execute("SELECT hash FROM event ORDER BY seq DESC LIMIT 1").fetchone()
            if events and head is not None and head[0] != events[0].prev:
                db.execute("ROLLBACK")
                return False
            db.executemany("INSERT INTO event (body, prev, hash, mac, key_id) VALUES (?, ?, ?, ?, ?)", events)
            db.executemany("INSERT INTO notice VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", notices)
            db.executemany(
                "UPDATE notice SET awake = 1, withdrawn_at = ? WHERE notice_id = ? AND awake = 0",
                [(withdrawn_at, notice_id) for notice_id, withdrawn_at in wake],
            )
            _each(db, "UPDATE notice SET attempts = attempts + 1 WHERE notice_id = ?", attempted)
            _each(db, "DELETE FROM notice WHERE notice_id = ?", delete_notices)
            _each(db, "DELETE FROM meta WHERE key = ?", settings)
            db.executemany("INSERT INTO meta VALUES (?, ?)", [pair for pair in settings.items() if pair[1] is not None])
            rowsum.write(db)
            db.execute("COMMIT")
            return True

        done = self._run(transaction)
        if done is None:
            raise self._damaged()
        if not done:
            raise HeadMoved("another process extended the history first")

    def take_place(self, stamp: str) -> Path | None:
        """Of a :meth:`draft`: be the ledger from now on. The old one is kept as ``ledger.db.<stamp>``, which is
        returned, None when there was none. One rename, so that a power cut leaves either, whole (R5).

        Raises :class:`StorageFailure`; then the old one stands.
        """
        self.close()
        kept = _keep_aside(self._directory, stamp)
        failure = None
        try:
            (self._directory.path / self._name).rename(self._directory.path / NAME)
            self._unlink_journal()
            self._name = NAME
        except OSError as error:
            failure = cause(error)
        if failure is not None:
            raise StorageFailure(f"{self._directory.path / NAME} cannot be replaced: {failure}")
        self._directory.sync()
        return kept

    def discard(self) -> None:
        """Of a :meth:`draft`: remove it, unless it has taken the ledger's place."""
        self.close()
        if self._name != NAME:
            self._unlink_journal()
            with suppress(OSError):
                os.unlink(self._directory.path / self._name)

    def _unlink_journal(self) -> None:
        with suppress(OSError):  # it is empty: whatever was in it is committed
            os.unlink(self._directory.path / f"{self._name}-journal")

    def close(self) -> None:
        """Close the connection; the next call would open another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            # A failed close leaves nothing that a retry could mend; in a child forked in the middle, it is not ours.
            with suppress(sqlite3.Error, StorageFailure), forks.undivided(self):
                connection.close()

    def _select(self, query: str, *values: str | int) -> list[Any]:
        return self._run(lambda db: db.execute(query, values).fetchall())

    def _run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Do ``work`` on the connection, opened when needed; any failure closes it and is translated. No fork divides
        it: what is locked in the middle would stay so in the child."""
        failure: StateError
        before = forks.enter(self)
        try:
            return work(self._connect())
        except sqlite3.Error as error:
            failure = self._translate(error)
            self.close()
        except UnicodeDecodeError:
            failure = self._damaged()  # a damaged file can make SQLite's own messages undecodable
            self.close()
        except BaseException:
            self.close()  # never leave a transaction open
            raise
        finally:
            forks.leave(before)
        raise failure

    def _connect(self) -> sqlite3.Connection:
        found = check_private(self._directory.path / self._name)
        if found is None:
            self.close()
            raise StateUnreadable(f"{self._directory.path / self._name} was removed while in use; close and open again")
        if self._connection is None or self._identity != (found.st_dev, found.st_ino):
            self.close()  # what was moved aside must not be written to any more
            self._identity = (found.st_dev, found.st_ino)
            self._connection = _open(self._directory.path / self._name)
        return self._connection

    def _translate(self, error: sqlite3.Error) -> StateError:
        code = getattr(error, "sqlite_errorcode", 1) & 0xFF
        if code in _CONTENT_CODES:
            return self._damaged()
        name = getattr(error, "sqlite_errorname", "error")
        return StorageFailure(f"{self._directory.path / self._name} failed: {name}")

    def _damaged(self) -> StateUnreadable:
        return StateUnreadable(f"{self._directory.path / self._name} is damaged; keep it and call reset()")


def _keep_aside(directory: StateDirectory, stamp: str) -> Path | None:
    """Give the ledger, readable or not, a second name, ``ledger.db.<stamp>``; None when there is none.

    Its journal moves there first: left behind, it would be rolled into the next ledger. Raises
    :class:`StorageFailure`.
    """
    if not _STAMP.fullmatch(stamp):
        raise ValueError("a stamp holds letters, digits, '.', '_' and '-'")
    journal = directory.set_aside(_JOURNAL, stamp)
    kept = directory.set_aside(NAME, stamp, keep=True)
    if kept is not None and journal is not None and (wanted := Path(f"{kept}-journal")) != journal:
        with suppress(OSError):  # under SQLite's own name it is found again when someone opens the archive
            journal.rename(wanted)
    directory.sync()
    return kept


def _open(path: Path) -> sqlite3.Connection:
    # check_same_thread: one thread at a time is the caller's promise, not always the same one.
    db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        for pragma in ("journal_mode = TRUNCATE", "synchronous = FULL", "temp_store = MEMORY", "trusted_schema = OFF"):
            db.execute(f"PRAGMA {pragma}")
    except BaseException:
        db.close()
        raise
    return db


def _problem(db: sqlite3.Connection) -> str | None:
    """What makes this file not one that this SDK wrote: version, tables, structure, types (R8)."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        return "was written by a newer version of this SDK; update the SDK, or keep the file and call reset()"
    found = set(db.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL"))
    if version != SCHEMA_VERSION or found != TABLES:
        return "is not a ledger; keep it and call reset()"
    if db.execute("PRAGMA integrity_check(1)").fetchall() != [("ok",)] or not rowsum.is_right(db):
        return "is damaged; keep it and call reset()"
    return None


def _each(db: sqlite3.Connection, statement: str, values: Iterable[str]) -> None:
    db.executemany(statement, [(value,) for value in values])


def _create(directory: StateDirectory) -> bool:
    """Build a whole ledger under another name, then give it its name: an empty file in its place is damage,
    never a new ledger. False: another process was faster."""
    temporary = _build(directory)
    failure = None
    try:
        return directory.publish(temporary, NAME)
    except OSError as error:
        failure = cause(error)
    raise StorageFailure(f"{directory.path / NAME} cannot be created: {failure}")


@forks.undivided("making a ledger")
def _build(directory: StateDirectory) -> str:
    """A whole, synced ledger without events; the name it has for now."""
    temporary = f"{NAME}.{os.urandom(8).hex()}.new"
    failure = None
    fd = directory.open_file(temporary, create=True)  # 0600 before SQLite writes to it
    try:
        with closing(sqlite3.connect(directory.path / temporary, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode = MEMORY")  # no journal file: until it is published nobody needs one
            db.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
            records = [(purpose.value, os.urandom(16).hex()) for purpose in Purpose]
            db.executemany("INSERT INTO record VALUES (?, ?)", records)
            rowsum.write(db)
        os.fsync(fd)
        return temporary
    except sqlite3.Error as error:
        failure = getattr(error, "sqlite_errorname", "error")
    except OSError as error:
        failure = cause(error)
    finally:
        close_file(fd)
    with suppress(OSError):
        os.unlink(directory.path / temporary)
    raise StorageFailure(f"{directory.path / NAME} cannot be created: {failure}")


# A child of fork() must neither use nor close the parent's connections, not even at its exit.
_ledgers: weakref.WeakSet[Ledger] = weakref.WeakSet()


def _in_child() -> None:
    for ledger in _ledgers:
        connection, ledger._connection = ledger._connection, None
        if connection is None:
            continue
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))  # never collected: never closed
        if ledger is forks.divided_here():  # a finalizer forked in the middle of a transaction: it ends here
            connection.set_authorizer(_refuse)


def _refuse(*_: object) -> int:
    return sqlite3.SQLITE_DENY


os.register_at_fork(after_in_child=_in_child)
