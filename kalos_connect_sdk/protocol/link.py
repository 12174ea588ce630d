"""The way to the service, opened when it is first needed: importing the SDK loads no HTTP library."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ..config import Config

if TYPE_CHECKING:
    from ..transport.client import ServiceClient
    from ..transport.door import Door
    from ..transport.flight import Flight, Flights

__all__ = ["Link"]


class Link:
    """One door and the clients behind it; cuts every flight on demand."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._door: Door | None = None
        self._clients: dict[str, ServiceClient] = {}
        self._flights: Flights | None = None
        self.aborted = 0
        """Requests cut since open."""

    def client(self, url: str) -> ServiceClient:
        """The client of a service; positions, places and notices all leave through the same door (R2)."""
        from ..transport.client import ServiceClient
        from ..transport.door import Door

        with self._lock:
            if self._door is None:
                self._door = Door(
                    timeout_s=self._config.timeout_s,
                    ca_bundle=str(self._config.ca_bundle) if self._config.ca_bundle else None,
                    proxy=self._config.proxy,
                )
            if url not in self._clients:
                self._clients[url] = ServiceClient(self._door, url)
            return self._clients[url]

    def flights(self) -> Flights:
        """The flights that carry a position."""
        from ..transport.flight import Flights

        if self._flights is None:
            self._flights = Flights()
        return self._flights

    def cut(self) -> tuple[int, int]:
        """Cut every request that carries a position: (aborted, possibly delivered). R3."""
        if self._flights is None:
            return 0, 0
        flights: list[Flight] = list(self._flights)
        aborted = self._flights.abort_all()
        self.aborted += aborted
        return aborted, sum(1 for flight in flights if flight.aborted and flight.possibly_delivered)

    def close(self) -> None:
        """Close idle connections."""
        if self._door is not None:
            self._door.close()
