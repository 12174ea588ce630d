"""Public fakes for the tests of apps that use the SDK, and of the SDK itself.

Real behaviour without real hardware: a scripted person, a clock and a vehicle that do as they are told, a
vault in memory, a service on a loopback port, and a guard that fails a test in which a watched coordinate
leaves without consent. As pytest fixtures: ``kalos_service``, ``kalos_connect``, ``kalos_user``,
``kalos_vehicle``, ``kalos_clock``, ``no_location_leak``. Names are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .clock import FakeClock
    from .emulator import ServiceEmulator
    from .leak import LeakGuard, LocationLeak
    from .prompter import ScriptedPrompter
    from .vault import MemoryVault
    from .vehicle import FakeVehicle

__all__ = [
    "FakeClock",
    "FakeVehicle",
    "LeakGuard",
    "LocationLeak",
    "MemoryVault",
    "ScriptedPrompter",
    "ServiceEmulator",
]

_HOMES = {
    "FakeClock": "clock",
    "FakeVehicle": "vehicle",
    "LeakGuard": "leak",
    "LocationLeak": "leak",
    "MemoryVault": "vault",
    "ScriptedPrompter": "prompter",
    "ServiceEmulator": "emulator",
}


def __getattr__(name: str) -> Any:
    module = _HOMES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
