"""The way to the service, opened when it is first needed: importing the SDK loads no HTTP library."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from ..config import Config
from ..storage.forks import undivided
from ..transport.flight import Flight, Flights

if TYPE_CHECKING:
    from ..storage.locks import Lease
    from ..transport.client import ServiceClient
    from ..transport.door import Door

__all__ = ["Link"]


class Link:
    """One door and the clients behind it; cuts every flight on demand."""

    def __init__(self, config: Config, on_date: Callable[[float], None]) -> None:
        self._config = config
        self._on_date = on_date
        self._opening = threading.Lock()
        self._lock = threading.Lock()  # counters only: a withdrawal needs them, so no app's thread takes it (R11)
        self._door: Door | None = None
        self._clients: dict[str, ServiceClient] = {}
        self.flights: Final = Flights()
        """The flights that carry a position. Made here: of two first requests at once, neither must miss it (R3)."""
        self._covers: dict[Flight, _Cover] = {}
        self._counted: WeakSet[Flight] = WeakSet()
        self._unreported = (0, 0)
        self.aborted = 0
        """Requests cut since open."""

    def client(self, url: str) -> ServiceClient:
        """The client of a service; positions, places and notices all leave through the same door (R2)."""
        with undivided("loading the way to the service"):
            from ..transport.client import ServiceClient

        door = self.door()
        with self._opening:
            if url not in self._clients:
                self._clients[url] = ServiceClient(door, url)
            return self._clients[url]

    def door(self) -> Door:
        """The one door (R2)."""
        with undivided("loading the way to the service"):
            from ..transport.adapter import DoorAdapter  # noqa: F401 - the door would load it when it is first used
            from ..transport.door import Door

        with self._opening:
            if self._door is None:
                self._door = Door(
                    timeout_s=self._config.timeout_s,
                    ca_bundle=str(self._config.ca_bundle) if self._config.ca_bundle else None,
                    proxy=self._config.proxy,
                    on_date=self._on_date,
                )
            return self._door

    def cut(self) -> None:
        """Cut every request that carries a position; no connection from before is used for anything again (R3)."""
        door = self._door
        if door is not None:
            door.begin_anew()
        for flight in self.flights:
            if flight.abort() or flight.wrote:  # or it has cut itself at its own check, and not landed yet
                self._count(flight)

    def depart(self, lease: Lease, still_open: Callable[[], bool], note: Callable[[], None]) -> Flight:
        """A new flight under ``lease``, which :meth:`cut` finds. ``note``: tells other programs that it was cut and
        may have been delivered; called before the lease is let go, or nobody would count it (R3)."""
        cover = _Cover(lease, note, self._count)
        flight = cover.flight = Flight(still_open, cover.let_go)
        self._covers[flight] = cover
        self.flights.add(flight)
        return flight

    def landed(self, flight: Flight) -> None:
        """A flight is over; one that was cut has been counted, and noted, when this returns."""
        self.flights.discard(flight)
        cover = self._covers.pop(flight, None)
        if cover is not None and flight.aborted:
            cover.let_go()

    def _count(self, flight: Flight) -> None:
        with self._lock:
            if flight not in self._counted:
                self._counted.add(flight)
                self.aborted += 1
                self._unreported = (self._unreported[0] + 1, self._unreported[1] + flight.possibly_delivered)

    def take_cut(self) -> tuple[int, int]:
        """(aborted, possibly delivered) since the last time this was asked: each is reported once."""
        with self._lock:
            taken, self._unreported = self._unreported, (0, 0)
        return taken

    def close(self) -> None:
        """Close idle connections."""
        if self._door is not None:
            self._door.close()


class _Cover:
    """The lease of one flight. Who aborts the flight and who flies it may both let go: the first counts and notes."""

    __slots__ = ("_count", "_lease", "_lock", "_note", "_over", "flight")

    def __init__(self, lease: Lease, note: Callable[[], None], count: Callable[[Flight], None]) -> None:
        self._lease = lease
        self._note = note
        self._count = count
        self._lock = threading.RLock()  # a finalizer that withdraws may interrupt its holder
        self._over = False
        self.flight: Flight | None = None

    def let_go(self) -> None:
        """Nothing of the flight can leave any more."""
        with self._lock:
            flight, over = self.flight, self._over
            self._over = True
            if not over and flight is not None and flight.aborted and flight.wrote:
                self._count(flight)
                if flight.possibly_delivered:
                    self._note()
            self._lease.release()
