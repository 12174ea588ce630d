"""What storage raises when the disk does not do as told, besides the public ``StateUnreadable``."""

from __future__ import annotations

import errno

from ..errors import StateError

__all__ = ["HeadMoved", "StorageFailure", "cause"]


class StorageFailure(StateError):
    """A write did not take (no space, I/O error, descriptor limit). Whether it is on disk is unknown (R5).

    The text names the file and the system's error word, never the content (R10).
    """


class HeadMoved(StorageFailure):
    """Another process extended the history in between: read the new events, build again, commit again."""


def cause(error: OSError) -> str:
    """The short word for an ``OSError``: ``ENOSPC``, ``EIO``... Unlike its text it holds no path or value."""
    return errno.errorcode.get(error.errno or 0, "OSError")
