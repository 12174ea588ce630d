"""The ledger's tables. A change here is a new ``SCHEMA_VERSION``."""

from __future__ import annotations

from typing import Final

__all__ = ["SCHEMA", "SCHEMA_VERSION", "TABLES"]

SCHEMA_VERSION: Final = 1

# The types are checked by the tables themselves, so that a flipped bit in a row's header is an integrity error.
_STATEMENTS: Final = (
    """CREATE TABLE event (
  seq INTEGER PRIMARY KEY,
  body BLOB NOT NULL CHECK (typeof(body) = 'blob'),
  prev BLOB NOT NULL CHECK (typeof(prev) = 'blob'),
  hash BLOB NOT NULL UNIQUE CHECK (typeof(hash) = 'blob'),
  mac BLOB CHECK (typeof(mac) IN ('blob', 'null')),
  key_id TEXT CHECK (typeof(key_id) IN ('text', 'null'))
)""",
    """CREATE TABLE notice (
  notice_id TEXT NOT NULL PRIMARY KEY CHECK (typeof(notice_id) = 'text'),
  purpose TEXT NOT NULL CHECK (typeof(purpose) = 'text'),
  epoch INTEGER NOT NULL CHECK (typeof(epoch) = 'integer' AND epoch >= 1),
  origin TEXT NOT NULL CHECK (typeof(origin) = 'text'),
  record_id TEXT NOT NULL CHECK (typeof(record_id) = 'text'),
  body TEXT NOT NULL CHECK (typeof(body) = 'text'),
  awake INTEGER NOT NULL CHECK (awake IN (0, 1)),
  withdrawn_at TEXT CHECK (typeof(withdrawn_at) IN ('text', 'null')),
  attempts INTEGER NOT NULL CHECK (typeof(attempts) = 'integer' AND attempts >= 0)
)""",
    """CREATE TABLE record (
  purpose TEXT NOT NULL PRIMARY KEY CHECK (typeof(purpose) = 'text'),
  record_id TEXT NOT NULL CHECK (typeof(record_id) = 'text' AND length(record_id) = 32)
)""",
    """CREATE TABLE meta (
  key TEXT NOT NULL PRIMARY KEY CHECK (typeof(key) = 'text'),
  value TEXT NOT NULL CHECK (typeof(value) = 'text')
)""",
)

SCHEMA: Final = ";\n".join(_STATEMENTS) + ";"
TABLES: Final = frozenset((statement.split()[2], statement) for statement in _STATEMENTS)
