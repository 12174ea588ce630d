"""What a parser may do with hostile input: accept it, or raise a documented error that tells nothing of it.

Every error, with all that hangs in its chain, is judged for three things: it is one of those the reader documents;
its text holds no number of the input that could be a coordinate (R10); and it can be shown, on one line, moving no
cursor (row 51 of the faults).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TypeVar

from kalos_connect_sdk.core.shape import can_be_shown

__all__ = ["Leak", "attempt", "check_said"]

_FRACTION = re.compile(r"\d+\.\d{4,}")
T = TypeVar("T")


class Leak(AssertionError):
    """An error told something of the input. The text of this one does not."""


def attempt(read: Callable[[], T], documented: tuple[type[Exception], ...], data: bytes) -> T | None:
    """What ``read()`` returns; None when it raised a documented error that tells nothing of ``data``.

    Everything else it raises comes through: that is a finding.
    """
    refusal: Exception | None = None
    try:
        return read()
    except documented as error:
        refusal = error
    for each in _chain(refusal):
        check_said(f"{each} {each.args!r}", data)
    return None


def check_said(text: str, data: bytes) -> None:
    """Raises :class:`Leak` for a text that holds a fraction of ``data`` or cannot be shown."""
    if not can_be_shown(text):
        raise Leak("an error text holds control characters")
    said = set(_FRACTION.findall(text))
    if said and said & set(_FRACTION.findall(data.decode("latin-1"))):
        raise Leak("an error text repeats a number of the input")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and whatever hangs in its context and cause, even where it would not be printed."""
    pending, seen = [error], set()
    while pending:
        present = pending.pop()
        if present is not None and id(present) not in seen:
            seen.add(id(present))
            yield present
            pending += [present.__cause__, present.__context__]
