"""A flight: one request that carries a position, from the first check to the last byte of its answer.

The rule kept here is R3. After :meth:`Flight.abort` returned, no byte of the flight is handed to the
network, by any thread: its socket is severed, bytes still in the kernel's send buffer included, no new
connection can be boarded, and every write looks at the latch first. Consent is read again immediately
before each piece of at most 16 KiB is written (R2), because the gate's first answer is older than the bytes.

The drain is over when the socket is dead, not when the sender's call unwinds: ``on_dead`` (which gives the
sender's lease back) is called by the aborting thread, so a withdrawal waits for no sender.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ..errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .lifeline import Lifeline

__all__ = ["Aborted", "Flight", "Flights"]


class Aborted(TransportError):
    """The request was cut because consent ended; what was not yet delivered is gone."""

    def __init__(self) -> None:
        super().__init__("the request was cut: location may not be sent any more")


class Flight:
    """One request that can be cut. Good for one exchange; :meth:`abort` is safe from any thread, and twice.

    ``still_allowed``: reads consent (microseconds, no lock); an exception from it counts as no (R1).
    ``on_dead``: called exactly once, when after an abort nothing of this flight can leave any more. A flight
    that lands in peace never calls it. Where the system cannot sever a socket from outside, it is called
    when the sender's own call has unwound.

    ``wrote``: bytes of the body were offered to the kernel, so the service may have them. ``answered``: the
    head of an answer arrived. ``aborted``: the latch; it never opens again.
    """

    __slots__ = (
        "__weakref__",
        "_flying",
        "_line",
        "_lock",
        "_on_dead",
        "_still_allowed",
        "_told",
        "aborted",
        "answered",
        "wrote",
    )

    def __init__(self, still_allowed: Callable[[], bool], on_dead: Callable[[], None]) -> None:
        self._still_allowed = still_allowed
        self._on_dead = on_dead
        self._lock = threading.Lock()
        self._line: Lifeline | None = None
        self._flying = False
        self._told = False
        self.aborted = False
        self.wrote = False
        self.answered = False

    @property
    def possibly_delivered(self) -> bool:
        """True when the service may have the body although no answer said so."""
        return self.wrote and not self.answered

    @property
    def drained(self) -> bool:
        """True once it was cut and nothing waits for its sender to unwind."""
        return self.aborted and self._told

    def depart(self) -> None:
        """The exchange begins. Raises :class:`Aborted`, or ``RuntimeError`` when the flight was used before."""
        with self._lock:
            if self._flying or self.wrote or self.answered:
                raise RuntimeError("a flight is good for one exchange")
            if self.aborted:
                raise Aborted
            self._flying = True

    def board(self, line: Lifeline) -> None:
        """From now on an abort severs ``line``. Raises ``ConnectionAbortedError`` once aborted."""
        with self._lock:
            if self.aborted:  # R3: no new connection after the abort
                raise ConnectionAbortedError
            if self._line is not None and self._line is not line:
                self._line.release(self)
            line.bind(self)
            self._line = line

    def check(self) -> None:
        """Called immediately before every piece is written. Raises ``ConnectionAbortedError`` to stop the writer."""
        if not self.aborted and not self._allowed():
            self.abort()  # R2: consent went away after the gate said yes
        if self.aborted:
            raise ConnectionAbortedError

    def _allowed(self) -> bool:
        try:
            return self._still_allowed() is True
        except Exception:  # R1: a state that cannot be read means no
            return False

    def abort(self) -> bool:
        """Cut the flight. True if it was in the air; afterwards nothing of it leaves this device (R3).

        Before the exchange began it closes the latch, so that none begins; after it ended it changes nothing.
        """
        with self._lock:
            flying = self._flying and not self.aborted
            self.aborted = True
            dead = self._line is None or self._line.sever(self)
            tell = dead and not self._told
            self._told = self._told or dead
        if tell:
            self._on_dead()
        return flying

    def land(self) -> None:
        """The exchange is over, its connection closed or back in the pool. Always called, by the door."""
        with self._lock:
            self._flying = False
            if self._line is not None:
                self._line.release(self)
                self._line = None
            tell = self.aborted and not self._told
            self._told = self._told or tell
        if tell:
            self._on_dead()


class Flights:
    """The flights of this process that may be in the air.

    Add a flight *before* its consent is read: then either the abort finds it here, or the flight's own
    check, made later, finds the withdrawal.
    """

    __slots__ = ("_flights", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: set[Flight] = set()

    def __len__(self) -> int:
        return len(self._flights)

    def __iter__(self) -> Iterator[Flight]:
        with self._lock:
            return iter(tuple(self._flights))

    def add(self, flight: Flight) -> None:
        """Make ``flight`` known to :meth:`abort_all`."""
        with self._lock:
            self._flights.add(flight)

    def discard(self, flight: Flight) -> None:
        """Forget ``flight``; nothing happens when it is not known."""
        with self._lock:
            self._flights.discard(flight)

    def abort_all(self) -> int:
        """Abort every known flight; the number that was in the air. A failing ``on_dead`` is raised after the last."""
        count = 0
        failure: Exception | None = None
        for flight in self:
            try:
                count += flight.abort()
            except Exception as error:  # the others must be cut all the same
                failure = failure or error
        if failure is not None:
            raise failure
        return count
