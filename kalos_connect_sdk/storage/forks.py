"""What a fork waits for: that no other thread is inside SQLite, or half way through an import (R3).

A fork copies every lock as it stands, but only the thread that forks: SQLite's own locks (allocator, open files) and
that of a module being imported would stay held in the child for ever, and its first call would hang. So threads note
where they are, a fork waits until nobody is there, and nobody enters meanwhile. A fork never waits long: where another
program keeps a thread inside, or a disk does, it goes on, and the child, which can tell, refuses to use the state.

There is no lock in here: a signal handler or a finalizer may fork, or enter, wherever it has interrupted its thread.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Final

from . import locks  # noqa: F401 - a fork waits here before it takes the lock there: hooks run last registered first
from .failure import StorageFailure

__all__ = ["divided_here", "enter", "leave", "undivided"]

_WAIT_S: Final = 1.0
# Who forks may have been interrupted by a handler that withdraws, and waits for the thread that enters here (R11).
_GIVE_WAY_S: Final = 0.02
_FIRST_PAUSE_S: Final = 50e-6
_LONGEST_PAUSE_S: Final = 1e-3

_inside: dict[int, object] = {}
"""Thread -> what it is doing. Each thread writes its own entry alone."""
_forking: list[int] = []
_divided = False
"""This process was forked from one that was inside, or from a child of such a one."""
_divided_here: object | None = None


def enter(what: object) -> object | None:
    """This thread is inside from now on; for :func:`leave`, what it was doing before. Raises
    :class:`StorageFailure` in a child that was forked in the middle."""
    if _divided:
        raise StorageFailure(
            "the program forked while another of its threads was in the middle of using the state; start children with "
            "spawn or exec, or fork before the first call"
        )
    me = get_ident()
    before = _inside.get(me)
    _inside[me] = what
    if _forking and before is None:
        _give_way(me, what)
    return before


def leave(before: object | None) -> None:
    """The end of what :func:`enter` began."""
    if before is None:
        _inside.pop(get_ident(), None)  # gone already in a child that was forked in the middle
    else:
        _inside[get_ident()] = before


@contextmanager
def undivided(what: object) -> Iterator[None]:
    """No fork of this program in here, but this thread's own."""
    before = enter(what)
    try:
        yield
    finally:
        leave(before)


def divided_here() -> object | None:
    """In a child: what its only thread was doing when it forked, if it was inside itself: a finalizer may fork."""
    return _divided_here


def _give_way(me: int, what: object) -> None:
    """Out again, until the fork is over."""
    del _inside[me]
    try:
        deadline, pause_s = time.monotonic() + _GIVE_WAY_S, _FIRST_PAUSE_S
        while _forking and time.monotonic() < deadline:
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
    finally:
        _inside[me] = what


def _before_fork() -> None:
    me = get_ident()
    _forking.append(me)
    deadline, pause_s = time.monotonic() + _WAIT_S, _FIRST_PAUSE_S
    while any(thread != me for thread in tuple(_inside)) and time.monotonic() < deadline:
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _in_parent() -> None:
    _forking.remove(get_ident())


def _in_child() -> None:
    global _divided, _divided_here
    _divided = _divided or bool(_inside)
    _divided_here = _inside.get(get_ident())
    _inside.clear()
    _forking.clear()


os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
