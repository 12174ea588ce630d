"""A checksum over the ledger's rows that the hash chain does not cover: records, notices, settings (R8).

It needs no key, because a withdrawal changes these rows without a vault (R11); it finds damage and plain edits.
Who recomputes it can also read the key file: what a forger must not be able to do is in the chain, under the
vault's key, and a notice is signed.
"""

from __future__ import annotations

import hashlib
import sqlite3
from typing import Final

__all__ = ["is_right", "write"]

_KEY: Final = "rows.sha256"
_ROWS: Final = (
    "SELECT * FROM record ORDER BY purpose",
    "SELECT * FROM notice ORDER BY notice_id",
    f"SELECT * FROM meta WHERE key <> '{_KEY}' ORDER BY key",  # noqa: S608 - our own name
)


def is_right(db: sqlite3.Connection) -> bool:
    """True when the rows are those that were last committed, all read at one moment. Raises ``sqlite3.Error``, and may
    leave a transaction open then."""
    if not db.in_transaction:
        db.execute("BEGIN")  # else another process commits between two of the queries
        right = is_right(db)
        db.execute("ROLLBACK")
        return right
    found = db.execute("SELECT value FROM meta WHERE key = ?", (_KEY,)).fetchone()
    return found is not None and bool(found[0] == _sum(db))


def write(db: sqlite3.Connection) -> None:
    """Note the sum of the rows as they are; inside the transaction that changed them."""
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_KEY, _sum(db)))


def _sum(db: sqlite3.Connection) -> str:
    digest = hashlib.sha256()
    for query in _ROWS:
        for row in db.execute(query):
            digest.update(repr(row).encode("utf-8", "backslashreplace") + b"\n")
        digest.update(b"\n")
    return digest.hexdigest()
