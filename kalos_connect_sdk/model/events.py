"""What a drive tells while it runs. No event holds a coordinate (R10)."""

from __future__ import annotations

from dataclasses import dataclass

from .decision import Reason
from .route import Route

__all__ = [
    "Arrived",
    "BackOnRoute",
    "ConsentLost",
    "DriveEvent",
    "DriveStats",
    "Guidance",
    "OffRoute",
    "Progress",
    "RerouteFailed",
    "Rerouted",
    "SourceLost",
    "SourceRestored",
]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the drive has come, in positions; ``bytes_sent`` on the wire, compressed.

    ``answer``: the status of the service's latest answer, or why there was none; empty before the first.
    """

    accepted: int
    sent: int
    dropped: int
    queued: int
    bytes_sent: int
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Guidance:
    """The next instruction and the distance to it, in metres; its ``kind``, and how far it is to the route's end."""

    instruction: str
    distance_m: float
    kind: str = ""
    remaining_m: float = 0.0


@dataclass(frozen=True, slots=True)
class Arrived:
    """The end of the route was reached."""


@dataclass(frozen=True, slots=True)
class OffRoute:
    """The route was left; it is ``distance_m`` metres away. Told once, until it is followed again."""

    distance_m: float


@dataclass(frozen=True, slots=True)
class BackOnRoute:
    """The route that was left is followed again."""


@dataclass(frozen=True, slots=True)
class Rerouted:
    """A new route from where the car was, to the same end; guidance goes on along it."""

    route: Route


@dataclass(frozen=True, slots=True)
class RerouteFailed:
    """No new route was had; guidance goes on along the old one. ``detail`` says why, without a position.

    ``retrying``: it is asked for again while the car is off the route; else never again in this drive.
    """

    detail: str
    retrying: bool = True


@dataclass(frozen=True, slots=True)
class ConsentLost:
    """Consent ended while driving; nothing more is sent. Never dropped from the event queue."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class SourceLost:
    """The source stopped delivering; ``detail`` says why, without a position.

    ``retrying``: it tries again by itself, and :class:`SourceRestored` follows once it is heard.
    """

    detail: str
    retrying: bool = False


@dataclass(frozen=True, slots=True)
class SourceRestored:
    """A source that was lost is heard again."""


DriveEvent = (
    Progress
    | Guidance
    | Arrived
    | OffRoute
    | BackOnRoute
    | Rerouted
    | RerouteFailed
    | ConsentLost
    | SourceLost
    | SourceRestored
)


@dataclass(slots=True)
class DriveStats:
    """Counts of one drive, in positions unless said: ``filtered`` were not admitted (stale, duplicate, ...),
    ``dropped`` were accepted and then dropped (withdrawal, overflow, age), ``aborted`` counts requests cut
    in flight, ``batches`` requests answered, ``bytes_sent`` compressed bytes of answered requests."""

    accepted: int = 0
    filtered: int = 0
    sent: int = 0
    rejected: int = 0
    dropped: int = 0
    aborted: int = 0
    batches: int = 0
    bytes_sent: int = 0
