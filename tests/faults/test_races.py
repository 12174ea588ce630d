"""Rows 24 and 25: two that withdraw, one that grants against one that withdraws, a renewal and then a withdrawal.

Real processes leave a real barrier together, many rounds; whoever wins, one effect, and a withdrawal never loses to
the Allow it was meant for.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
from machine_peer import APP, Machine, Program

from kalos_connect_sdk.storage.datakeys import DataKeys
from kalos_connect_sdk.storage.directory import StateDirectory
from kalos_connect_sdk.testing import ServiceEmulator

ROUNDS = 100 if os.environ.get("KALOS_SWEEP") == "full" else 12
RAM = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


class Race:
    """Two programs, and the service they both know."""

    def __init__(self, folder: str, service: ServiceEmulator) -> None:
        self.service = service
        self.machine = Machine(folder, service.url)
        self.programs = [Program(self.machine), Program(self.machine)]
        self._gate = f"{folder}/gate"
        self.directory = StateDirectory.open(APP, None, f"{folder}/state")

    def together(self, *calls: tuple[Any, ...]) -> list[Any]:
        """Each program makes its call; all set out at once."""
        with open(self._gate, "w") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            for program, call in zip(self.programs, calls, strict=True):
                program.begin_behind(self._gate, *call)
        return [program.answer() for program in self.programs]

    def has_data_key(self) -> bool:
        """Whether there is a data key in RAM."""
        ram = DataKeys.choose(self.directory, None).read()
        return ram is not None and ram.key is not None

    def withdrawals(self) -> list[tuple[int, str]]:
        """Epoch and id of every notice the service knows, once it knows all."""
        assert self.programs[0].ask("deliver")
        return [(told["epoch"], told["notice_id"]) for told in list(self.service.withdrawals)]


@pytest.fixture
def race() -> Iterator[Race]:
    with tempfile.TemporaryDirectory(prefix="kalos-race-", dir=RAM) as folder, ServiceEmulator() as service:
        made = Race(folder, service)
        try:
            yield made
        finally:
            for program in made.programs:
                program.kill()
            DataKeys.choose(made.directory, None).remove()


GRANT = ("request", "days", "precise", "navigation")
WITHDRAW = ("withdraw", None)


@pytest.mark.once
@pytest.mark.fault(24)
def test_r3_two_withdrawers_have_one_effect(race: Race) -> None:
    for epoch in range(1, ROUNDS + 1):
        assert race.programs[epoch % 2].ask(*GRANT)[:2] == (True, epoch)
        assert race.programs[0].ask("submit", 10 + epoch / 1000) is True
        for report in race.together(WITHDRAW, WITHDRAW):
            assert report["complete"] and report["durable"]
        assert not race.has_data_key()
        assert not list((race.directory.path / "outbox").glob("*"))
        assert [program.ask("permission")[2] for program in race.programs] == ["WITHDRAWN", "WITHDRAWN"]
    told = race.withdrawals()
    assert sorted(epoch for epoch, _ in told) == list(range(1, ROUNDS + 1)), "one notice an epoch, each once"
    assert len({name for _, name in told}) == ROUNDS and race.service.positions == []


@pytest.mark.once
@pytest.mark.fault(24)
def test_r11_a_grant_against_a_withdrawal_is_before_it_or_after_it_and_never_both(race: Race) -> None:
    wins = 0
    for _ in range(ROUNDS):
        highest = max((program.ask("permission")[1] for program in race.programs), default=0)
        granted, report = race.together(GRANT, WITHDRAW)
        assert report["complete"] and report["durable"]
        present = [program.ask("permission") for program in race.programs]
        assert present[0][:2] == present[1][:2], "both programs know the same"
        if present[0][0]:  # the Allow came after the withdrawal: a new grant
            assert granted[0] and granted[1] == present[0][1] > highest
        else:  # the withdrawal found it, or made it void: nothing of it is left
            wins += 1
            assert not race.has_data_key()
            assert race.programs[0].ask("submit", 10.0) == {"raised": "ConsentRequired", "reason": present[0][2]}
        assert race.programs[1].ask(*WITHDRAW)["complete"]
        assert not race.has_data_key()
    epochs = [epoch for epoch, _ in race.withdrawals()]
    assert len(epochs) == len(set(epochs)), "no epoch is withdrawn under two notices"


@pytest.mark.once
@pytest.mark.fault(25)
def test_r4_r6_after_a_renewal_a_withdrawal_leaves_no_key_of_any_epoch(race: Race) -> None:
    """A downgrade is a new epoch under the same consent; the withdrawal races with it."""
    downgrade = ("request", "deny", "approximate", "navigation")  # who is asked anew says no
    for number in range(ROUNDS):
        assert race.programs[0].ask(*GRANT)[0]
        assert race.programs[0].ask("submit", 10 + number / 1000) is True
        _, report = race.together(downgrade, WITHDRAW)
        assert report["complete"] and report["durable"]
        for program in race.programs:
            assert not program.ask("permission")[0], "the renewal was of a consent that is withdrawn"
        assert not race.has_data_key()
        assert not list((race.directory.path / "outbox").glob("*"))
    epochs = [epoch for epoch, _ in race.withdrawals()]
    assert len(epochs) == len(set(epochs)) and len(epochs) >= ROUNDS
    assert race.service.positions == []
