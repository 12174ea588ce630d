"""What a driver is told once parked, from the ledger's events alone (R12)."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalos_connect_sdk.core.history import MalformedEvent, fold, make_event
from kalos_connect_sdk.core.lifecycle import Event
from kalos_connect_sdk.core.review import LEFT_PARK, review
from kalos_connect_sdk.model.consent import Purpose
from kalos_connect_sdk.model.decision import Reason
from kalos_connect_sdk.model.review import DriveOutcome, DriveReview, Outcome
from kalos_connect_sdk.model.vehicle import Motion

NAVIGATION, ABROAD = Purpose.NAVIGATION, Purpose.CROSS_BORDER_TRANSFER
NOT_PARKED = [motion for motion in Motion if motion is not Motion.PARKED]


def event(kind, at=0.0, *, purpose=NAVIGATION, motion=Motion.MOVING, cause=None, reason=None):
    """An event without terms; a grant's are none of the review's business."""
    body = make_event("defer", purpose, 0, at, cause=cause, reason=reason, motion=motion)
    return body | {"kind": kind}


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@pytest.mark.parametrize("motion", Motion)
@pytest.mark.parametrize("kind", [kind for kind in Event if kind is not Event.DEFER])
def test_r12_every_kind_of_outcome_is_told_exactly_when_the_vehicle_was_not_known_to_be_parked(kind, motion):
    told = review([event(kind.value, motion=motion)])
    assert bool(told) is (motion is not Motion.PARKED)


def test_r12_each_event_has_its_own_outcome_but_the_two_ways_to_allow():
    outcomes = [review([event(kind.value)])[0].outcome for kind in Event]
    assert len(set(outcomes)) == len(Event) - 1
    assert outcomes[0] is outcomes[1] is Outcome.ALLOWED


@pytest.mark.parametrize("motion", [*Motion, None])
@pytest.mark.parametrize(("cause", "expected"), [("vehicle", Outcome.DEFERRED), (LEFT_PARK, Outcome.CLOSED)])
def test_r12_what_was_put_off_counts_by_itself(motion, cause, expected):
    assert review([event("defer", motion=motion, cause=cause)])[0].outcome is expected


def test_an_event_from_before_they_said_how_the_vehicle_moved_is_no_news():
    assert review([event(kind.value, motion=None) for kind in Event if kind is not Event.DEFER]) == ()


@pytest.mark.parametrize("kind", ["erased", "registered", "withdraw-again", "minor"])
def test_bookkeeping_is_not_told(kind):
    assert review([event(kind)]) == ()


def test_a_reset_is_told_once_though_it_is_written_for_each_purpose():
    told = review([event("reset", purpose=purpose) for purpose in Purpose])
    assert [(line.outcome, line.purpose, line.times) for line in told] == [(Outcome.RESET, NAVIGATION, 1)]


def test_r12_asking_every_second_hides_nothing_and_the_order_is_that_of_the_last_time():
    bodies = [event("defer", second, purpose=purpose) for second in range(500) for purpose in Purpose]
    bodies.insert(40, event("expire", 20.5, cause="time", reason=Reason.EXPIRED))
    bodies.insert(300, event("defer", 150.2, cause=LEFT_PARK))
    assert review(bodies) == (
        DriveOutcome(Outcome.EXPIRED, NAVIGATION, Reason.EXPIRED, "time", at(20.5), at(20.5)),
        DriveOutcome(Outcome.CLOSED, NAVIGATION, None, LEFT_PARK, at(150.2), at(150.2)),
        DriveOutcome(Outcome.DEFERRED, NAVIGATION, None, None, at(0), at(499), 500),
        DriveOutcome(Outcome.DEFERRED, ABROAD, None, None, at(0), at(499), 500),
    )


KINDS = [*(kind.value for kind in Event), "erased", "registered", "minor", "reset", "withdraw-again"]
BODIES = st.lists(
    st.builds(
        event,
        st.sampled_from(KINDS),
        st.integers(0, 9),
        purpose=st.sampled_from(Purpose),
        motion=st.sampled_from([None, *Motion]),
        cause=st.sampled_from([None, "subject", "service", LEFT_PARK]),
        reason=st.sampled_from([None, Reason.WITHDRAWN, Reason.DEFERRED]),
    )
)


@given(BODIES)
def test_r12_every_outcome_while_moving_is_counted_exactly_once(bodies):
    moved = [b for b in bodies if b["kind"] == "defer" or b.get("motion") in [motion.value for motion in NOT_PARKED]]
    counted = [b for b in moved if b["kind"] in [kind.value for kind in Event]]
    resets = [b for b in moved if b["kind"] == "reset" and b["purpose"] == NAVIGATION.value]
    told = review(bodies)
    assert sum(line.times for line in told) == len(counted) + len(resets)
    assert len({(line.outcome, line.purpose, line.reason, line.by) for line in told}) == len(told)


def test_r10_an_outcome_holds_times_and_words_alone():
    assert set(DriveOutcome.__dataclass_fields__) == {
        "outcome", "purpose", "reason", "by", "first_at", "last_at", "times",
    }  # fmt: skip


def test_nothing_to_tell_is_false():
    assert not DriveReview((), "ab")
    assert DriveReview(review([event("revoke")]), "ab")


@pytest.mark.parametrize("motion", Motion)
def test_an_event_says_how_the_vehicle_moved(motion):
    body = make_event("dismiss", NAVIGATION, 0, 1.0, motion=motion)
    assert json.loads(json.dumps(body))["motion"] == motion.value
    assert fold([body])[NAVIGATION].dismissals == 1


@pytest.mark.parametrize("motion", ["flying", "", 7, None, ["parked"]])
def test_r8_an_event_that_says_nonsense_of_it_is_refused(motion):
    with pytest.raises(MalformedEvent):
        fold([make_event("dismiss", NAVIGATION, 0, 1.0) | {"motion": motion}])
