"""The service's store in SQLite: one file of mode 0600, every step one durable transaction.

``journal_mode=TRUNCATE`` with ``synchronous=FULL`` is the pair that survived every power cut tried, and
``secure_delete`` overwrites what a withdrawal drops. A disk that keeps old blocks keeps them all the same: a
service that must not, needs its file on storage that can forget.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Final

from ..model.rights import DeletionReason, RequestKind, RequestStatus
from ..storage.forks import undivided
from .rights import Case
from .rules import Consent
from .store import MemoryStore, Store, StoredPosition
from .terms import Terms

__all__ = ["SqliteStore", "open_store"]

_SCHEMA: Final = """
CREATE TABLE consent (
  record_id TEXT PRIMARY KEY, public_key TEXT NOT NULL, status TEXT NOT NULL, epoch INTEGER NOT NULL,
  fence INTEGER NOT NULL, revision INTEGER NOT NULL, terms TEXT, record TEXT) STRICT;
CREATE INDEX consent_key ON consent (public_key);
CREATE TABLE token (sha256 TEXT PRIMARY KEY, record_id TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE withdrawal (
  record_id TEXT NOT NULL, notice_id TEXT NOT NULL, dropped INTEGER NOT NULL,
  PRIMARY KEY (record_id, notice_id)) STRICT;
CREATE TABLE position (
  record_id TEXT NOT NULL, batch TEXT NOT NULL, number INTEGER NOT NULL, epoch INTEGER NOT NULL,
  latitude REAL NOT NULL, longitude REAL NOT NULL, time TEXT NOT NULL, properties TEXT NOT NULL,
  received_s REAL NOT NULL, PRIMARY KEY (record_id, batch, number)) STRICT;
CREATE INDEX position_received ON position (received_s);
PRAGMA user_version = 1;
"""
_SECOND: Final = """
CREATE TABLE rights_request (
  request_id TEXT PRIMARY KEY, kind TEXT NOT NULL, reason TEXT, public_key TEXT NOT NULL, status TEXT NOT NULL,
  received_at TEXT NOT NULL, due_at TEXT NOT NULL, outcome TEXT, refusal_code TEXT, refusal_reason TEXT) STRICT;
PRAGMA user_version = 2;
"""
_THIRD: Final = """
ALTER TABLE consent ADD COLUMN minor INTEGER NOT NULL DEFAULT 0;
PRAGMA user_version = 3;
"""
_STEPS: Final = (_SCHEMA, _SECOND, _THIRD)
"""What leads from each version of the database to the next."""
_UNDIVIDED: Final = undivided("using the service's database")
"""A program that is a client as well may fork while the service works: its child must find no lock of SQLite's held."""
_COLUMNS: Final = "record_id, public_key, status, epoch, fence, revision, terms, record, minor"


class SqliteStore:
    """A :class:`~.store.Store` at ``path``. Raises ``OSError`` or ``sqlite3.Error`` when it cannot be used."""

    @_UNDIVIDED
    def __init__(self, path: str | os.PathLike[str]) -> None:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=TRUNCATE", "synchronous=FULL", "secure_delete=ON", "busy_timeout=2000"):
            self._db.execute(f"PRAGMA {pragma}")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > len(_STEPS):
            self._db.close()
            raise OSError("the database was made by a newer version of this service")
        if version < len(_STEPS):
            self._db.executescript(f"BEGIN IMMEDIATE; {' '.join(_STEPS[version:])} COMMIT;")

    @_UNDIVIDED
    def consent(self, record_id: str) -> Consent | None:
        row = self._db.execute(f"SELECT {_COLUMNS} FROM consent WHERE record_id = ?", (record_id,)).fetchone()  # noqa: S608
        return None if row is None else _consent(row)

    @_UNDIVIDED
    def consents_of(self, public_key: str) -> Sequence[Consent]:
        rows = self._db.execute(f"SELECT {_COLUMNS} FROM consent WHERE public_key = ?", (public_key,))  # noqa: S608
        return [_consent(row) for row in rows]

    @_UNDIVIDED
    def record_of(self, token_sha256: str) -> str | None:
        row = self._db.execute("SELECT record_id FROM token WHERE sha256 = ?", (token_sha256,)).fetchone()
        return None if row is None else str(row[0])

    @_UNDIVIDED
    def register(self, consent: Consent, token_sha256: str) -> None:
        with self._transaction() as db:
            self._keep(consent)
            db.execute(
                "INSERT INTO token VALUES (?, ?) ON CONFLICT (record_id) DO UPDATE SET sha256 = excluded.sha256",
                (token_sha256, consent.record_id),
            )

    @_UNDIVIDED
    def keep(self, consent: Consent) -> None:
        self._keep(consent)

    @_UNDIVIDED
    def dropped_by(self, record_id: str, notice_id: str) -> int | None:
        row = self._db.execute(
            "SELECT dropped FROM withdrawal WHERE record_id = ? AND notice_id = ?", (record_id, notice_id)
        ).fetchone()
        return None if row is None else int(row[0])

    @_UNDIVIDED
    def end(self, consent: Consent, notice_id: str | None, up_to_epoch: int) -> int:
        with self._transaction() as db:
            self._keep(consent)
            dropped = db.execute(
                "DELETE FROM position WHERE record_id = ? AND epoch <= ?", (consent.record_id, up_to_epoch)
            ).rowcount
            if notice_id is not None:
                db.execute("INSERT INTO withdrawal VALUES (?, ?, ?)", (consent.record_id, notice_id, dropped))
        return dropped

    @_UNDIVIDED
    def add(self, positions: Sequence[StoredPosition], received_s: float) -> Sequence[StoredPosition]:
        new = []
        with self._transaction() as db:
            for position in positions:
                values = (
                    position.record_id,
                    position.key,
                    position.number,
                    position.epoch,
                    position.latitude,
                    position.longitude,
                    position.time,
                    json.dumps(position.properties),
                    received_s,
                )
                if db.execute("INSERT OR IGNORE INTO position VALUES (?,?,?,?,?,?,?,?,?)", values).rowcount:
                    new.append(position)
        return new

    @_UNDIVIDED
    def forget_before(self, received_s: float) -> int:
        return self._db.execute("DELETE FROM position WHERE received_s < ?", (received_s,)).rowcount

    @_UNDIVIDED
    def count(self, record_id: str) -> int:
        row = self._db.execute("SELECT count(*) FROM position WHERE record_id = ?", (record_id,)).fetchone()
        return int(row[0])

    @_UNDIVIDED
    def case(self, request_id: str) -> Case | None:
        row = self._db.execute("SELECT * FROM rights_request WHERE request_id = ?", (request_id,)).fetchone()
        if row is None:
            return None
        request_id, kind, reason, public_key, status, received_at, due_at, outcome, code, why = row
        return Case(
            request_id,
            RequestKind(kind),
            None if reason is None else DeletionReason(reason),
            public_key,
            RequestStatus(status),
            received_at,
            due_at,
            None if outcome is None else json.loads(outcome),
            code,
            why,
        )

    @_UNDIVIDED
    def keep_case(self, case: Case) -> None:
        values = (
            case.request_id,
            case.kind.value,
            None if case.reason is None else case.reason.value,
            case.public_key,
            case.status.value,
            case.received_at,
            case.due_at,
            None if case.outcome is None else json.dumps(dict(case.outcome), ensure_ascii=False),
            case.refusal_code,
            case.refusal_reason,
        )
        self._db.execute("INSERT OR REPLACE INTO rights_request VALUES (?,?,?,?,?,?,?,?,?,?)", values)

    @_UNDIVIDED
    def close(self) -> None:
        self._db.close()

    def _keep(self, consent: Consent) -> None:
        values = (
            consent.record_id,
            consent.public_key,
            consent.status,
            consent.epoch,
            consent.fence,
            consent.revision,
            None if consent.terms is None else json.dumps(asdict(consent.terms)),
            None if consent.record is None else json.dumps(consent.record, ensure_ascii=False),
            int(consent.minor),
        )
        self._db.execute("INSERT OR REPLACE INTO consent VALUES (?,?,?,?,?,?,?,?,?)", values)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def _consent(row: tuple[Any, ...]) -> Consent:
    record_id, public_key, status, epoch, fence, revision, terms, record, minor = row
    return Consent(
        record_id=record_id,
        public_key=public_key,
        status=status,
        epoch=epoch,
        fence=fence,
        terms=None if terms is None else Terms(**json.loads(terms)),
        record=None if record is None else json.loads(record),
        revision=revision,
        minor=bool(minor),
    )


def open_store(url: str | None) -> Store:
    """The store a ``--database`` names: ``sqlite:PATH``, ``sqlite:///PATH`` or a plain path; memory when there is none.

    Raises ``ValueError`` for another kind of database.
    """
    if url is None or url == "memory":
        return MemoryStore()
    scheme, colon, rest = url.partition(":")
    if not colon or len(scheme) == 1 or "/" in scheme:
        return SqliteStore(url)
    path = rest[2:] if rest.startswith("///") else rest
    if scheme != "sqlite" or not path or path.startswith("//"):
        raise ValueError("the database must be sqlite:PATH, a path, or memory")
    return SqliteStore(path)
