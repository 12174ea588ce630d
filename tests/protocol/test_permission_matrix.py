"""The operating system's permission and the person's consent are two gates: only behind both does a position leave (R1).

Every cell is tried with a position that was buffered while all was well and with one that comes now. The table in
docs/permissions.md is this one, told to the people who build apps.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from kalos_connect_sdk import ConsentRequired, OsAnswer, PermissionState, Place, Position, PromptAnswer, Reason
from kalos_connect_sdk.core.prompting import _ANSWER
from kalos_connect_sdk.testing import FakeVehicle

PAGE = Path(__file__).parents[2] / "docs" / "permissions.md"


class Os:
    """An operating system with one answer."""

    def __init__(self, answer: OsAnswer) -> None:
        self.answer = answer

    def read(self) -> OsAnswer:
        return self.answer

    def subscribe(self, callback):
        return lambda: None


def reaches_the_wire(make, service, os: OsAnswer, consent: bool, privacy: bool) -> tuple[int, Reason]:
    """How many positions arrive, and what a submit says."""
    before = make(PromptAnswer.allow() if consent else PromptAnswer.deny(), os_permission=Os(OsAnswer.GRANTED))
    assert before.request_permission(user_action=True).granted is consent
    if consent:
        assert before.submit(Position(60.1, 24.9)).accepted
    before.close()
    vehicle = FakeVehicle()
    vehicle.set(privacy=privacy)
    now = make(os_permission=Os(os), vehicle=vehicle)
    said = Reason.ALLOWED
    try:
        now.submit(Position(60.2, 24.9))
    except ConsentRequired as error:
        said = error.reason
    now.flush()
    sent = [entry for entry in service.requests if entry["path"] == "/v1/positions"]
    assert bool(sent) is bool(service.positions), "not even an empty batch"
    return len(service.positions), said


CELLS = list(itertools.product((OsAnswer.GRANTED, OsAnswer.DENIED), (True, False)))


@pytest.mark.parametrize(("os", "consent"), CELLS)
def test_r1_of_four_cells_only_permission_and_consent_reach_the_wire(make, service, os, consent):
    arrived, said = reaches_the_wire(make, service, os, consent, privacy=False)
    open_cell = os is OsAnswer.GRANTED and consent
    assert (arrived, said is Reason.ALLOWED) == ((2, True) if open_cell else (0, False))
    assert (
        said
        is {
            (OsAnswer.GRANTED, True): Reason.ALLOWED,
            (OsAnswer.GRANTED, False): Reason.REFUSED,
            (OsAnswer.DENIED, True): Reason.OS_DENIED,
            (OsAnswer.DENIED, False): Reason.OS_DENIED,
        }[os, consent]
    )


@pytest.mark.parametrize(("os", "consent"), CELLS)
def test_r1_with_the_privacy_switch_on_no_cell_reaches_the_wire(make, service, os, consent):
    arrived, said = reaches_the_wire(make, service, os, consent, privacy=True)
    assert arrived == 0
    assert said is (Reason.OS_DENIED if os is OsAnswer.DENIED else Reason.VEHICLE_PRIVACY)


def test_r1_an_os_that_does_not_know_is_no_permission(make, service):
    assert reaches_the_wire(make, service, OsAnswer.UNKNOWN, True, privacy=False) == (0, Reason.OS_UNKNOWN)


@pytest.mark.parametrize(("os", "consent"), CELLS)
def test_r19_in_every_cell_a_route_between_typed_places_works(make, os, consent):
    connect = make(PromptAnswer.allow() if consent else PromptAnswer.deny(), os_permission=Os(os))
    connect.request_permission(user_action=True)
    assert connect.route(Place(60.2, 24.9), origin=Place(60.1, 24.9)).distance_m > 0
    assert connect.withdraw().complete


def test_the_page_names_every_reason_and_every_state():
    page = PAGE.read_text()
    reasons = [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")]
    assert len(reasons) == len(set(reasons))
    for reason, state in _ANSWER.items():
        [row] = [line for line in page.splitlines() if line.startswith(f"| `{reason.value}`")]
        assert f"`{state.value}`" in row.split("|")[2]
    assert all(f"`{state.value}`" in page for state in PermissionState)
