"""Pytest fixtures for apps that use the SDK; installed with the package through an entry point.

``kalos_connect`` is a ``Connect`` on a state of its own, wired to ``kalos_service`` (a real service on a
loopback port), ``kalos_user`` (says allow, until told otherwise with ``will(...)``), ``kalos_vehicle``
(parked) and ``kalos_clock`` (stands still at the time the test began). ``no_location_leak`` fails the test when
a position leaves without consent. Everything is imported only by the tests that ask for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ..connect import Connect
    from .clock import FakeClock
    from .emulator import ServiceEmulator
    from .leak import LeakGuard
    from .prompter import ScriptedPrompter
    from .vehicle import FakeVehicle

_APP = "com.example.test"


@pytest.fixture
def kalos_service() -> Iterator[ServiceEmulator]:
    """A Connect service on a free loopback port."""
    from .emulator import ServiceEmulator

    with ServiceEmulator() as service:
        yield service


@pytest.fixture
def kalos_user() -> ScriptedPrompter:
    """The person: allows, until the test says ``kalos_user.will(PromptAnswer.deny())``."""
    from ..model.consent import PromptAnswer
    from .prompter import ScriptedPrompter

    return ScriptedPrompter(PromptAnswer.allow())


@pytest.fixture
def kalos_vehicle() -> FakeVehicle:
    """A parked vehicle."""
    from .vehicle import FakeVehicle

    return FakeVehicle()


@pytest.fixture
def kalos_clock() -> FakeClock:
    """A clock that stands still at the present time."""
    from datetime import UTC, datetime

    from .clock import FakeClock

    return FakeClock(datetime.now(UTC))


@pytest.fixture
def kalos_connect(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kalos_service: ServiceEmulator,
    kalos_user: ScriptedPrompter,
    kalos_vehicle: FakeVehicle,
    kalos_clock: FakeClock,
) -> Iterator[Connect]:
    """A ``Connect`` with all of the above, a key file and a private state directory; no variable is read."""
    from ..config import ENVIRONMENT_PREFIX, Config
    from ..connect import Connect

    for name in list(os.environ):
        if name.startswith(ENVIRONMENT_PREFIX):
            monkeypatch.delenv(name)
    state = tmp_path / "kalos-state"
    config = Config(service_url=kalos_service.url, state_dir=state, vault=f"file:{tmp_path / 'kalos-vault'}")
    with Connect(_APP, config=config, prompter=kalos_user, vehicle=kalos_vehicle, clock=kalos_clock) as connect:
        yield connect
    _forget_data_keys(state)


@pytest.fixture
def no_location_leak() -> Iterator[LeakGuard]:
    """Fails the test when a position given to any ``Connect`` leaves this process without consent."""
    from .leak import LeakGuard

    with LeakGuard() as guard:
        yield guard


def _forget_data_keys(state: Path) -> None:
    """A state that no one will open again must not use up the keyring's quota, 200 keys a user."""
    from ..storage.datakeys import DataKeys
    from ..storage.directory import StateDirectory
    from ..storage.kernelkeys import KernelKeyring

    if not StateDirectory.exists(_APP, None, str(state)):
        return
    directory = StateDirectory.open(_APP, None, str(state), create=False)
    location = DataKeys.choose(directory, None).location
    if location == "kernel":
        keyring = KernelKeyring()
        serial = keyring.search(f"kalos-connect:{directory.slot}")
        if serial is not None:
            keyring.remove(serial)
    elif location.startswith("tmpfs:"):
        (Path(location.removeprefix("tmpfs:")) / directory.slot).unlink(missing_ok=True)
