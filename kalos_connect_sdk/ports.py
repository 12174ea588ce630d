"""Everything outside the rules, as Protocols: who asks, where positions come from, what the car says,
who finds a way, where keys live, what time it is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from .model.consent import Duration, Precision, PromptAnswer, Purpose
from .model.notice import Notice, NoticeText
from .model.position import Place, Position
from .model.route import Route, RouteQuestion
from .model.timing import ClockReading
from .model.vehicle import OsAnswer, VehicleState

__all__ = [
    "AssertedParked",
    "Clock",
    "LocationSource",
    "NavigationProvider",
    "OsPermission",
    "PromptRequest",
    "Prompter",
    "Recovering",
    "Vault",
    "VehicleSignals",
]


@dataclass(frozen=True, slots=True, eq=False)
class PromptRequest:
    """What a prompter must show, and how it answers.

    Render ``text`` verbatim. Answer by returning a :class:`PromptAnswer` from ``ask`` or by returning
    ``None`` and calling :meth:`answer` later from any thread. ``cancelled`` is set when the prompt must
    close (withdrawal, leaving park, time-out); ``deadline`` is in seconds of ``time.monotonic()``.
    """

    purpose: Purpose
    precision: Precision
    notice: Notice
    text: NoticeText
    durations: tuple[Duration, ...]
    deadline: float
    cancelled: threading.Event
    service_origin: str
    _answer: Callable[[PromptAnswer], None] = field(repr=False)

    def answer(self, answer: PromptAnswer) -> None:
        """Resolve the prompt. Only the first answer counts; one after ``cancelled`` is void."""
        self._answer(answer)


@runtime_checkable
class Prompter(Protocol):
    """Shows a notice and returns a person's answer. Called on an SDK thread.

    ``driver_facing`` (default true when absent): the SDK asks only when the vehicle is parked.
    """

    def ask(self, request: PromptRequest) -> PromptAnswer | None:
        """Show the prompt; may block until ``request.cancelled``."""


@runtime_checkable
class LocationSource(Protocol):
    """An iterable of positions. ``live`` sources drop their oldest when the outbox is full, recordings wait."""

    live: bool

    def __iter__(self) -> Iterator[Position]: ...

    def close(self) -> None:
        """Stop: a blocked iteration ends soon afterwards. Safe from any thread, and twice."""


@runtime_checkable
class Recovering(Protocol):
    """What a :class:`LocationSource` offers besides, if it outlives losses: it tries again, and tells of both."""

    def watch(self, callback: Callable[[str | None], None]) -> Callable[[], None]:
        """Call ``callback`` with why nothing comes any more, and with None once it does; returns an unsubscribe."""


@runtime_checkable
class NavigationProvider(Protocol):
    """Finds a way, by describing one HTTP request and reading its answer: it opens no connection, so that every byte
    leaves through the one door (R2). Called on SDK threads, several at a time.

    ``recipient``: who runs it, as the notice's ``recipients`` name them (R14). ``url``: its base; the question goes to
    the same origin. ``region``: ISO 3166 code of the country it stands in, None when that is not known (R16).
    """

    @property
    def recipient(self) -> str: ...

    @property
    def url(self) -> str: ...

    @property
    def region(self) -> str | None: ...

    def question(self, origin: Place, to: Place, locale: str) -> RouteQuestion:
        """What to send. Places may be in any datum: ``place.to(...)`` converts."""

    def answer(self, status: int, headers: Mapping[str, str], body: bytes, locale: str) -> Route:
        """The way, in WGS-84, in ``locale`` or the nearest language there is. Raises :class:`TransportError`; any other
        exception counts as an answer that cannot be read. ``headers`` are in lower case."""


@runtime_checkable
class VehicleSignals(Protocol):
    """Reads the vehicle. Must return at once; stale data says so in ``age_s``."""

    def read(self) -> VehicleState: ...

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` on every change; returns an unsubscribe."""


@runtime_checkable
class OsPermission(Protocol):
    """The operating system's location permission. Unknown means no (R1)."""

    def read(self) -> OsAnswer: ...

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]: ...


@runtime_checkable
class Vault(Protocol):
    """Keeps one small secret per slot. Every failure is a ``VaultUnavailable``.

    ``persistent``: what is stored outlives the process. ``may_prompt``: a call could ask the user, so it
    is never made while moving. ``kind``: ``keyring``, ``file`` or ``memory``.
    """

    @property
    def kind(self) -> str: ...

    @property
    def persistent(self) -> bool: ...

    @property
    def may_prompt(self) -> bool: ...

    def load(self, slot: str) -> bytes | None: ...

    def store(self, slot: str, secret: bytes) -> None: ...

    def delete(self, slot: str) -> None: ...


@runtime_checkable
class Clock(Protocol):
    """``simulated`` clocks also decide what *now* is for a position that carries no time of its own."""

    simulated: bool

    def read(self) -> ClockReading: ...


class AssertedParked:
    """Vehicle signals of an app that has none: it says it is parked, and why. The receipt records the reason."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        """``reason``: 1 to 200 characters, such as ``"a laptop on a desk"``. Raises ``ValueError``."""
        if not isinstance(reason, str) or not reason.strip() or len(reason) > 200:
            raise ValueError("AssertedParked needs a reason of 1 to 200 characters")
        self.reason = reason.strip()

    def read(self) -> VehicleState:
        from .model.vehicle import Gear

        return VehicleState(gear=Gear.PARK, speed_mps=0.0, held_s=3600.0, asserted_parked=self.reason)

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        return lambda: None
