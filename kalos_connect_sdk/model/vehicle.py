"""What the vehicle says about itself, as far as asking and driving need it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["Gear", "Ignition", "Motion", "OsAnswer", "VehicleState"]


class Gear(Enum):
    """The selected gear; ``PARK`` alone can mean parked."""

    PARK = "P"
    REVERSE = "R"
    NEUTRAL = "N"
    DRIVE = "D"


class Ignition(Enum):
    """The ignition switch, as VSS names its positions (``Vehicle.LowVoltageSystemState``)."""

    LOCK = "LOCK"
    OFF = "OFF"
    ACC = "ACC"
    ON = "ON"
    START = "START"
    """Cranking: somebody is about to leave."""


class Motion(Enum):
    """What may be shown: a prompt appears only when ``PARKED``. Unknown and stale count as moving (R12)."""

    PARKED = "parked"
    IDLING = "idling"
    MOVING = "moving"
    UNKNOWN = "unknown"


class OsAnswer(Enum):
    """The operating system's own location permission, a separate gate."""

    NOT_CONFIGURED = "not-configured"
    GRANTED = "granted"
    DENIED = "denied"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class VehicleState:
    """One reading of the vehicle's signals.

    ``held_s`` is how long the present gear has been held, ``age_s`` how old the reading is, both in
    seconds. ``None`` means the vehicle does not say. A gearbox without P: say ``PARK`` while the parking brake is set.
    """

    gear: Gear | None = None
    speed_mps: float | None = None
    held_s: float = 0.0
    age_s: float = 0.0
    drive_id: str | None = None
    profile: str | None = None
    privacy: bool = False
    """The vehicle's privacy switch: true closes the gate."""
    asserted_parked: str | None = None
    """The reason an app without vehicle signals gave for counting as parked."""
    ignition: Ignition | None = None
