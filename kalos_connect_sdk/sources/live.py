"""A source that goes on: it reads while positions come, and comes back by itself when its connection is lost.

At first it must be reachable, or it is not made. Later losses are told to whoever watches, and it tries again, at
once, then after 0.25 s, doubling up to 10 s, for ever: only ``close()`` ends it, from any thread and at once.
What has waited for a reader for more than two seconds is forgotten: nobody had asked for it then (R4).
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Final, Generic, Protocol, TypeVar

from ..errors import SourceError, SourceUnavailable
from ..model.position import Position
from .links import Link, Unwanted, said_of
from .wake import Wake, ready

__all__ = ["ByteSource", "Connection", "LiveSource", "Reading"]

_SETTLED_S: Final = 0.25
"""After the last word about an epoch it is over, although the next has not begun."""
_SILENCE_S: Final = 10.0
_FIRST_PAUSE_S: Final = 0.25
_LONGEST_PAUSE_S: Final = 10.0
_WAITED_S: Final = 2.0
"""A server may say everything at once to whoever connects: a reader that begins right away misses nothing of it."""


class Connection(Protocol):
    """What a source reads from until it is lost."""

    opened_s: float

    def drain(self) -> None:
        """Forget what has arrived so far: it is from before anybody wanted it. Raises ``OSError``."""

    def close(self) -> None: ...


_C = TypeVar("_C", bound=Connection)


class Reading(Protocol):
    """What one connection has said so far."""

    @property
    def heard(self) -> int:
        """How many reports were understood."""

    @property
    def pending(self) -> bool:
        """An epoch is begun that may be over."""

    @property
    def trouble(self) -> str | None:
        """What keeps positions from coming although the connection stands."""

    def feed(self, data: bytes) -> Iterator[Position]: ...

    def settle(self) -> Iterator[Position]:
        """Nothing more came: the positions of the epochs begun."""

    def silence(self) -> str:
        """What to say when nothing was understood for a while."""


class LiveSource(ABC, Generic[_C]):
    """A connection that is made anew. One iteration at a time; ``close()`` ends it and all later ones.

    ``what`` names the other end for people. Raises :class:`SourceUnavailable` when it cannot be reached at first.
    """

    live = True

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = threading.Lock()
        self._closed = False
        self._wake: Wake | None = None
        self._watchers: dict[int, Callable[[str | None], None]] = {}
        self._numbers = 0
        self._trouble: str | None = None
        self._last: Position | None = None
        self._kept: _C | None = self._first()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'closed' if self._closed else 'open'}>"

    def __iter__(self) -> Iterator[Position]:
        """Positions as they come, until :meth:`close`. Raises :class:`SourceError` while another iteration runs."""
        wake = self._begin()
        link: _C | None = None
        pause_s = 0.0
        try:
            link = self._fresh()
            while not wake.is_set():
                if link is None:
                    link = self._again(wake, pause_s)
                    pause_s = min(max(pause_s * 2, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
                    continue
                for position in self._positions(link, wake):
                    pause_s = 0.0
                    yield position
                link.close()
                link = None
        finally:
            if link is not None:
                link.close()
            self._end(wake)

    def close(self) -> None:
        """Stop. A reader that waits ends at once; any thread, any number of times."""
        with self._lock:
            self._closed = True
            kept, self._kept = self._kept, None
            if self._wake is not None:
                self._wake.set()
        if kept is not None:
            kept.close()

    def watch(self, callback: Callable[[str | None], None]) -> Callable[[], None]:
        """Call ``callback`` with why nothing comes any more, and with None once it does; returns an unsubscribe.

        It is called on the reader's thread, at once when there is trouble already.
        """
        with self._lock:
            self._numbers += 1
            number = self._numbers
            self._watchers[number] = callback
            trouble = self._trouble
        if trouble is not None:
            callback(trouble)

        def unsubscribe() -> None:
            with self._lock:
                self._watchers.pop(number, None)

        return unsubscribe

    @abstractmethod
    def _connect(self, wake: Wake) -> _C:
        """A new connection. Raises :class:`SourceUnavailable`, and :class:`Unwanted` once ``wake`` is set."""

    @abstractmethod
    def _read(self, link: _C, wake: Wake) -> Iterator[Position]:
        """Positions until the connection ends or ``wake`` is set. Raises ``OSError``."""

    # -- one iteration ---------------------------------------------------------------------------

    def _first(self) -> _C:
        wake = Wake()
        try:
            return self._connect(wake)
        finally:
            wake.close()

    def _begin(self) -> Wake:
        with self._lock:
            if self._wake is not None:
                raise SourceError("a live source is read once at a time; open another for a second reader")
            self._wake = Wake()
            if self._closed:
                self._wake.set()
            return self._wake

    def _end(self, wake: Wake) -> None:
        with self._lock:
            self._wake = None
        wake.close()

    def _fresh(self) -> _C | None:
        """The connection made at first, without what has waited in it since."""
        with self._lock:
            link, self._kept = self._kept, None
        if link is not None and time.monotonic() - link.opened_s > _WAITED_S:
            try:
                link.drain()
            except OSError:
                pass  # reading it will say so
        return link

    def _again(self, wake: Wake, pause_s: float) -> _C | None:
        if wake.wait(pause_s):
            return None
        try:
            return self._connect(wake)
        except SourceUnavailable as error:
            problem = str(error)
        except Unwanted:
            return None
        self._tell(problem)
        return None

    def _positions(self, link: _C, wake: Wake) -> Iterator[Position]:
        """Until the connection is lost or the source closed."""
        problem = None
        try:
            for position in self._read(link, wake):
                if self._last is None or position.time != self._last.time:  # a new connection may repeat an epoch
                    self._last = position
                    yield position
            problem = None if wake.is_set() else f"{self._what} ended the connection"
        except OSError as error:
            problem = f"the connection to {self._what} was lost: {said_of(error)}"
        if problem is not None and not wake.is_set():
            self._tell(problem)

    def _tell(self, trouble: str | None) -> None:
        with self._lock:
            if trouble == self._trouble or self._closed:
                return
            self._trouble = trouble
            watchers = list(self._watchers.values())
        for callback in watchers:
            callback(trouble)


class ByteSource(LiveSource[Link]):
    """A live source whose other end talks in bytes."""

    @abstractmethod
    def _reading(self, link: Link) -> Reading:
        """Begin to read ``link``. Raises ``OSError``."""

    def _read(self, link: Link, wake: Wake) -> Iterator[Position]:
        reading = self._reading(link)
        heard, heard_s = 0, time.monotonic()
        while not wake.is_set():
            wait_s = _SETTLED_S if reading.pending else max(0.0, heard_s + _SILENCE_S - time.monotonic())
            come = bool(link.rest) or ready((link, wake), wait_s)
            if wake.is_set():
                return
            if come:
                data = link.read()
                if data is None:
                    yield from reading.settle()
                    return
                yield from reading.feed(data)
            elif reading.pending:
                yield from reading.settle()
            if reading.heard != heard:
                heard, heard_s = reading.heard, time.monotonic()
                self._tell(reading.trouble)
            elif reading.trouble is not None:
                self._tell(reading.trouble)
            elif time.monotonic() - heard_s >= _SILENCE_S:
                heard_s = time.monotonic()
                self._tell(reading.silence())
