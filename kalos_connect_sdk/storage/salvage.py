"""Reading the notices of a ledger that is refused, so that a damaged file silences no withdrawal (R5, R8).

The file is opened read-only and never changed. What it yields is only what SQLite can still read, in the types
the table demands; whether a row means anything is for its signature to say.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing, suppress
from pathlib import Path

from ..model.consent import Purpose
from . import forks
from .failure import StorageFailure
from .ledger import NoticeRow

__all__ = ["readable_notices"]

_KNOWN = {purpose.value: purpose for purpose in Purpose}
_MOST = 1000
_TEXTS = (0, 1, 3, 4, 5)  # notice id, purpose, origin, record id, body
_NUMBERS = (2, 6, 8)  # epoch, awake, attempts


def readable_notices(path: Path) -> list[NoticeRow]:
    """Every notice in ``path`` that can still be read; none for what is no ledger. Never raises."""
    found: list[NoticeRow] = []
    # A damaged row ends the reading; a damaged file may even make SQLite's own messages undecodable.
    with suppress(OSError, sqlite3.Error, UnicodeDecodeError, StorageFailure):
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return found
        where = f"{path.as_uri()}?mode=ro&immutable=1"
        with forks.undivided(path), closing(sqlite3.connect(where, uri=True)) as db:
            for pragma in ("writable_schema = ON", "cell_size_check = ON", "trusted_schema = OFF"):
                db.execute(f"PRAGMA {pragma}")  # the first: damage to another table's description is overlooked
            db.text_factory = lambda raw: raw.decode("utf-8", "replace")
            query = f"SELECT {', '.join(NoticeRow._fields)} FROM notice NOT INDEXED LIMIT {_MOST}"  # noqa: S608 - our own names
            for row in db.execute(query):
                if _plausible(row):
                    found.append(NoticeRow(*row)._replace(purpose=_KNOWN[row[1]], awake=bool(row[6])))
    return found


def _plausible(row: tuple[object, ...]) -> bool:
    texts = all(isinstance(row[at], str) for at in _TEXTS) and isinstance(row[7], str | None)
    numbers = all(type(row[at]) is int for at in _NUMBERS)
    return texts and numbers and row[1] in _KNOWN
