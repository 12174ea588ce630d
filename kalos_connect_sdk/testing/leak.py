"""A guard that fails a test when a watched position is about to leave this process without consent (R2, R3).

It watches what Python code hands to sockets (see ``wiretap``): plain, over TLS before it is encrypted, and inside
gzip bodies. Numbers in those bytes are compared with the watched positions (see ``traces``). A match while
location is not allowed raises :class:`LocationLeak` before the bytes leave, and again when the guard is left,
for threads that swallow errors.

What it cannot see: other processes; C extensions and ``os.write`` on a socket; bodies that are encrypted, Base64,
binary, compressed otherwise, or gzip in chunked transfer coding; coordinates of fewer than three decimals. It
finds mistakes in tests; it proves nothing about code that hides. A place typed at a watched position counts as
a leak, for the bytes are the same: type another place in such a test.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from ..connect import Connect
from ..model.consent import Precision, Purpose
from ..model.position import Datum, Position
from ..protocol.submitting import Submitter
from .traces import Stream, Watched
from .wiretap import Send, Wiretap

__all__ = ["LeakGuard", "LocationLeak"]


class LocationLeak(AssertionError):
    """A watched position was about to leave without consent. The text says where, never which (R10)."""


class LeakGuard:
    """A context manager. Watches every position that any ``Connect`` of this process is given to submit, refused
    ones included, and those given to :meth:`watch`.

    ``allowed``: says whether a precise position may leave now. By default: one of the ``Connect`` objects that was
    given a position has an active precise grant, or one is withdrawing at this moment (R3 speaks of the time
    after ``withdraw()`` returned). A withdrawal by another process counts from its tombstone on.
    """

    def __init__(self, *positions: Position, allowed: Callable[[], bool] | None = None) -> None:
        self._allowed = allowed or self._any_grant
        self._watched = Watched()
        self._streams: WeakKeyDictionary[Any, Stream] = WeakKeyDictionary()
        self._submitters: WeakSet[Submitter] = WeakSet()
        self._withdrawing = 0
        self._lock = threading.Lock()
        self._wiretap = Wiretap(self._hear)
        self._originals: list[tuple[type, str, Any]] = []
        self.leaks: list[str] = []
        """What was stopped: the name of the thread, once for each attempt."""
        for position in positions:
            self.watch(position)

    def __enter__(self) -> LeakGuard:
        self._wrap(Submitter, "submit", self._submit)
        self._wrap(Connect, "withdraw", self._withdraw)
        self._wiretap.install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wiretap.remove()
        while self._originals:
            owner, name, original = self._originals.pop()
            setattr(owner, name, original)
        if error is None:
            self.check()

    def watch(self, position: Position) -> None:
        """Watch for ``position``, as it is and in WGS-84."""
        with self._lock:
            for form in (position, position.to(Datum.WGS84)):
                self._watched.add(form.latitude, form.longitude)

    def check(self) -> None:
        """Raises :class:`LocationLeak` when anything was stopped so far."""
        if self.leaks:
            threads = ", ".join(sorted(set(self.leaks)))
            raise LocationLeak(f"{len(self.leaks)} times a position was about to leave without consent, from {threads}")

    # -- what it hears ---------------------------------------------------------------------------

    def _hear(self, connection: object, data: bytes, send: Send) -> Any:
        with self._lock:
            before = self._streams.get(connection) or Stream()
            after = before.copy()
            seen = self._watched.seen_in(after.read(data))
        if seen and not self._allowed():
            thread = threading.current_thread().name
            self.leaks.append(thread)
            raise LocationLeak(f"a position was about to leave without consent, from {thread}")
        result = send()
        sent = result if isinstance(result, int) else len(data)
        if sent < len(data):  # the rest will be sent again
            after = before
            for _ in after.read(data[:sent]):
                pass
        with self._lock:
            self._streams[connection] = after
        return result

    def _any_grant(self) -> bool:
        if self._withdrawing:
            return True
        return any(_open(submitter) for submitter in list(self._submitters))

    # -- what it is told -------------------------------------------------------------------------

    def _wrap(self, owner: type, name: str, around: Callable[..., Any]) -> None:
        original = getattr(owner, name)

        @functools.wraps(original)
        def wrapped(this: Any, *arguments: Any, **options: Any) -> Any:
            return around(original, this, *arguments, **options)

        self._originals.append((owner, name, original))
        setattr(owner, name, wrapped)

    def _submit(
        self, original: Callable[..., Any], this: Submitter, position: Position, *rest: Any, **options: Any
    ) -> Any:
        if isinstance(position, Position):
            self.watch(position)
            self._submitters.add(this)
        return original(this, position, *rest, **options)

    def _withdraw(self, original: Callable[..., Any], this: Connect, *rest: Any, **options: Any) -> Any:
        self._withdrawing += 1
        try:
            return original(this, *rest, **options)
        finally:
            self._withdrawing -= 1


def _open(submitter: Submitter) -> bool:
    """The gate's answer, without waiting for any thread of the SDK: this runs inside its sends."""
    try:
        engine = submitter._engine
        decision = engine.view.decide(Purpose.NAVIGATION, snapshot=engine.state.snapshot)
    except Exception:  # closed meanwhile: unknown means no (R1)
        return False
    return decision.allowed and decision.precision is Precision.PRECISE
