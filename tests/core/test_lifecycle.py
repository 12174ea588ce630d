"""The table of the consent's life, written out once more by hand, against every (status, event) pair."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kalos_connect_sdk.core.lifecycle import ENDING, GRANTING, TRANSITIONS, Event, transition
from kalos_connect_sdk.model.consent import Status

PAIRS = [(status, event) for status in Status for event in Event]

# rows: unknown, refused, given, renewed, withdrawn, revoked, expired, invalidated
# "." is refused, "=" keeps the status, else the first letters of the status after
SPECIFICATION = """
                  allow  new-notice amend  deny     withdraw   revoke   expire   invalidate   dismiss defer failed
unknown           given  .          .      refused  =          .        .        .            =       =     =
refused           given  .          .      refused  =          .        .        .            =       =     =
given             .      renewed    given  .        withdrawn  revoked  expired  invalidated  =       =     =
renewed           .      renewed    given  .        withdrawn  revoked  expired  invalidated  =       =     =
withdrawn         given  .          .      refused  =          .        .        .            =       =     =
revoked           given  .          .      refused  =          .        .        .            =       =     =
expired           given  .          .      refused  =          .        .        .            =       =     =
invalidated       given  .          .      refused  =          .        .        .            =       =     =
"""
COLUMNS = [
    Event.ALLOW,
    Event.ALLOW_NEW_NOTICE,
    Event.AMEND,
    Event.DENY,
    Event.WITHDRAW,
    Event.REVOKE,
    Event.EXPIRE,
    Event.INVALIDATE,
    Event.DISMISS,
    Event.DEFER,
    Event.PROMPT_FAILED,
]


def specified() -> dict[tuple[Status, Event], Status | None]:
    table: dict[tuple[Status, Event], Status | None] = {}
    for line in SPECIFICATION.strip().splitlines()[1:]:
        name, *cells = line.split()
        status = Status(name)
        for event, cell in zip(COLUMNS, cells, strict=True):
            table[status, event] = {".": None, "=": status}.get(cell) or (None if cell == "." else Status(cell))
    return table


def test_the_specification_covers_every_pair():
    assert sorted(specified(), key=repr) == sorted(PAIRS, key=repr)


@pytest.mark.parametrize(("status", "event"), PAIRS, ids=lambda value: value.value)
def test_every_pair_is_as_specified(status, event):
    expected = specified()[status, event]
    assert transition(status, event) is expected
    assert TRANSITIONS.get((status, event)) is expected


@given(st.sampled_from(Status), st.sampled_from(Event))
def test_r1_only_an_answer_of_the_person_opens_the_gate(status, event):
    after = transition(status, event)
    if after is not None and after.active and not status.active:
        assert event is Event.ALLOW
    if after is not None and after.active and event not in GRANTING:
        assert after is status


@given(st.sampled_from(Status))
def test_r11_withdrawal_is_accepted_in_every_status_and_never_leaves_it_active(status):
    after = transition(status, Event.WITHDRAW)
    assert after is not None
    assert not after.active
    assert transition(after, Event.WITHDRAW) is after


@pytest.mark.parametrize("status", [Status.GIVEN, Status.RENEWED])
def test_r3_the_ending_events_are_exactly_the_ways_out_of_a_grant(status):
    ways_out = {event for event in Event if (after := transition(status, event)) is not None and not after.active}
    assert ways_out == ENDING


def test_the_table_cannot_be_changed():
    with pytest.raises(TypeError):
        TRANSITIONS[Status.UNKNOWN, Event.AMEND] = Status.GIVEN  # type: ignore[index]


def test_event_values_are_the_kinds_of_the_ledger():
    assert {event.value for event in Event} == {
        "allow",
        "allow-new-notice",
        "amend",
        "deny",
        "dismiss",
        "defer",
        "prompt-failed",
        "withdraw",
        "revoke",
        "expire",
        "invalidate",
    }
    assert not GRANTING & ENDING


class Lives(RuleBasedStateMachine):
    """Any sequence of events: nothing but an allow after the last ending leaves a record active."""

    def __init__(self):
        super().__init__()
        self.status = Status.UNKNOWN
        self.agreed = False

    @rule(event=st.sampled_from(Event))
    def happens(self, event):
        after = transition(self.status, event)
        if after is None:
            return
        if event in GRANTING:
            self.agreed = True
        elif event in ENDING or event is Event.DENY:
            self.agreed = False
        self.status = after

    @invariant()
    def r1_active_means_agreed(self):
        assert self.status.active is self.agreed


TestLives = Lives.TestCase
