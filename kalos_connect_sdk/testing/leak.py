"""A guard that fails a test when a watched position is about to leave this process without consent (R2, R3).

It watches what Python code hands to sockets (see ``wiretap``): plain, over TLS before it is encrypted, inside HTTP
chunks, gzip bodies and WebSocket frames (see ``streams``), and what it passes to a program it starts. Numbers and
binary fields in those bytes are compared with the watched positions (see ``traces``). A match while location is not
allowed raises :class:`LocationLeak` before the bytes leave, and again when the guard is left, for threads that
swallow errors.

What it cannot see stands in ``docs/testing.md``. It finds mistakes in tests; it proves nothing about code that hides. A
place typed at a watched position counts as a leak, for the bytes are the same: type another place in such a test.
"""

from __future__ import annotations

import functools
import inspect
import os
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from ..connect import Connect
from ..model.consent import Precision, Purpose
from ..model.decision import Reason
from ..model.position import Datum, Position
from ..protocol.engine import Engine
from ..protocol.one_process import living
from ..protocol.submitting import Submitter
from .streams import Stream
from .traces import Watched
from .wiretap import Line, Send, Wiretap

__all__ = ["LeakGuard", "LocationLeak"]

_F = TypeVar("_F", bound=Callable[..., Any])
_PACKAGE: Final = str(Path(__file__).resolve().parents[1]) + os.sep
_STANDARD: Final = tuple({sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib")})
_INSTALLED: Final = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))


class LocationLeak(AssertionError):
    """A watched position was about to leave without consent. The text says from where, to whom, and since when there
    was no consent; never which position (R10)."""


class LeakGuard:
    """A context manager, and a decorator of functions and coroutine functions.

    It watches every ``Position`` that the app or its test makes while it is active, every one that any ``Connect`` of
    this process is given to submit, refused ones included, from a source too, and those given to :meth:`watch`.

    ``allowed``: says whether a precise position may leave now. By default: a ``Connect`` of this process has an active
    precise grant, or is withdrawing at this moment (R3 speaks of the time after ``withdraw()`` returned). A withdrawal
    by another process counts from its tombstone on.
    """

    def __init__(self, *positions: Position, allowed: Callable[[], bool] | None = None) -> None:
        self._positions = positions
        self._allowed_by = allowed
        self._watched = Watched()
        self._streams: WeakKeyDictionary[Any, Stream] = WeakKeyDictionary()
        self._submitters: WeakSet[Submitter] = WeakSet()
        self._withdrawing = 0
        self._withdrawn_at: float | None = None
        self._lock = threading.RLock()
        self._wiretap = Wiretap(self._hear)
        self._originals: list[tuple[type, str, Any]] = []
        self.leaks: list[str] = []
        """What was stopped, in words, once for each attempt."""
        for position in positions:
            self.watch(position)

    def __enter__(self) -> LeakGuard:
        self._wrap(Position, "__init__", self._made)
        self._wrap(Submitter, "submit", self._submit)
        self._wrap(Connect, "withdraw", self._withdraw)
        self._wrap(subprocess.Popen, "__init__", self._start)
        self._wiretap.install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wiretap.remove()
        while self._originals:
            owner, name, original = self._originals.pop()
            setattr(owner, name, original)
        if error is None or (isinstance(error, Exception) and not isinstance(error, LocationLeak)):
            self.check()  # asyncio, for one, makes a lost connection of it

    def __call__(self, function: _F) -> _F:
        """As a decorator: each call has a guard of its own, with the same positions."""

        def anew() -> LeakGuard:
            return LeakGuard(*self._positions, allowed=self._allowed_by)

        @functools.wraps(function)
        def guarded(*arguments: Any, **options: Any) -> Any:
            with anew():
                return function(*arguments, **options)

        @functools.wraps(function)
        async def awaited(*arguments: Any, **options: Any) -> Any:
            with anew():
                return await function(*arguments, **options)

        chosen: Any = awaited if inspect.iscoroutinefunction(function) else guarded
        result: _F = chosen
        return result

    def watch(self, position: Position) -> None:
        """Watch for ``position``, as it is and in every other datum."""
        forms = [position, *(position.to(datum) for datum in Datum)]
        with self._lock:
            for form in forms:
                self._watched.add(form.latitude, form.longitude)

    def check(self) -> None:
        """Raises :class:`LocationLeak` when anything was stopped so far."""
        if self.leaks:
            first = sorted(set(self.leaks))[0]
            raise LocationLeak(first if len(self.leaks) == 1 else f"{len(self.leaks)} times, such as: {first}")

    # -- what it hears ---------------------------------------------------------------------------

    def _hear(self, line: Line, data: bytes, send: Send) -> Any:
        __tracebackhide__ = True  # R10: pytest would show the arguments of this frame
        with self._lock:
            before = self._streams.get(line.key) or Stream()
            after = before.copy()
            seen = self._watched.seen_in(after.read(data))
        if seen and not self._allowed():
            self._stop(line.peer())
        result = send()
        sent = result if isinstance(result, int) else len(data)
        if sent < len(data):  # the rest will be sent again
            after = before
            for _ in after.read(data[:sent]):
                pass
        with self._lock:
            self._streams[line.key] = after
        return result

    def _stop(self, peer: str) -> None:
        __tracebackhide__ = True
        told = f"a position was about to leave without consent, to {peer}, from {_sender()}; {self._since()}"
        with self._lock:
            if self._watched.seen_in([(told.encode(), 0)]):  # R10: names may hold anything
                told = "a position was about to leave without consent"
            self.leaks.append(told)
        raise LocationLeak(told)

    # -- consent ---------------------------------------------------------------------------------

    def _allowed(self) -> bool:
        if self._allowed_by is not None:
            return self._allowed_by()
        if self._withdrawing:
            return True
        return any(reason is Reason.ALLOWED for reason in self._reasons())

    def _reasons(self) -> list[Reason]:
        engines = [known._engine for known in living() if isinstance(known, Connect)]
        engines += [submitter._engine for submitter in list(self._submitters)]
        return [_reason(engine) for engine in {id(one): one for one in engines if one is not None}.values()]

    def _since(self) -> str:
        if self._allowed_by is not None:
            return "allowed() says no"
        reasons = ", ".join(sorted({reason.name for reason in self._reasons()})) or "no Connect was asked"
        if self._withdrawn_at is None:
            return f"no consent is active ({reasons})"
        return f"withdrawn {time.monotonic() - self._withdrawn_at:.3f} s before ({reasons})"

    # -- what it is told -------------------------------------------------------------------------

    def _wrap(self, owner: type, name: str, around: Callable[..., Any]) -> None:
        original = getattr(owner, name)

        @functools.wraps(original)
        def wrapped(this: Any, *arguments: Any, **options: Any) -> Any:
            __tracebackhide__ = True
            return around(original, this, *arguments, **options)

        self._originals.append((owner, name, original))
        setattr(owner, name, wrapped)

    def _made(self, original: Callable[..., Any], this: Position, *rest: Any, **options: Any) -> None:
        original(this, *rest, **options)
        maker: FrameType | None = sys._getframe(2)
        while maker is not None and maker.f_code.co_filename == __file__:  # guards that nest
            maker = maker.f_back
        if maker is not None and not maker.f_code.co_filename.startswith(
            _PACKAGE
        ):  # ours may be coarse; what a source makes is submitted
            self.watch(this)

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
            self._withdrawn_at = time.monotonic()

    def _start(self, original: Callable[..., Any], this: Any, *rest: Any, **options: Any) -> None:
        __tracebackhide__ = True
        words = options.get("args", rest[0] if rest else ())
        listed = [words] if isinstance(words, str | bytes | os.PathLike) else list(words)
        given = [*listed, *(options.get("env") or {}).values()]
        text = b" ".join(os.fsencode(word) for word in given if isinstance(word, str | bytes | os.PathLike))
        with self._lock:
            seen = self._watched.seen_in([(text, 0)])
        if seen and not self._allowed():
            this._child_created = False  # or its __del__ would complain
            self._stop("a program that was being started")
        original(this, *rest, **options)


def _sender() -> str:
    """The thread, and the innermost line of code that is neither a library's nor ours."""
    thread = threading.current_thread().name
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        library = file.startswith((_PACKAGE, *_STANDARD, "<frozen")) or any(folder in file for folder in _INSTALLED)
        if not library:
            return f"{thread} at {file}:{frame.f_lineno} in {frame.f_code.co_name}"
        frame = frame.f_back
    return thread


def _reason(engine: Engine) -> Reason:
    """The gate's answer, without waiting for any thread of the SDK: this runs inside its sends."""
    try:
        decision = engine.view.decide(Purpose.NAVIGATION, snapshot=engine.state.snapshot)
    except Exception:  # closed meanwhile: unknown means no (R1)
        return Reason.STATE_UNREADABLE
    if decision.allowed and decision.precision is not Precision.PRECISE:
        return Reason.PRECISION
    return decision.reason
