"""When a person may be asked, and what an app is told (R12)."""

import itertools
import math
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalos_connect_sdk.core.gate import Border, Decision, Facts, decide
from kalos_connect_sdk.core.lifetime import Verdict
from kalos_connect_sdk.core.prompting import Ask, AskFacts, may_ask, motion, permission
from kalos_connect_sdk.model.consent import (
    Duration,
    GrantTerms,
    Permission,
    PermissionState,
    Precision,
    Purpose,
    RecordState,
    Status,
)
from kalos_connect_sdk.model.decision import Reason
from kalos_connect_sdk.model.vehicle import Gear, Ignition, Motion, OsAnswer, VehicleState
from kalos_connect_sdk.ports import AssertedParked

NOW = datetime(2026, 12, 1, tzinfo=UTC)
EXPIRES = NOW + timedelta(days=7)
TERMS = GrantTerms(
    receipt_id="receipt",
    precision=Precision.PRECISE,
    duration=Duration.days(7),
    notice_id="notice",
    notice_version="1",
    notice_locale="en",
    notice_sha256="aa",
    notice_fields_sha256="bb",
    controller_id="controller",
    service_origin="https://service.example:443",
    granted_at=NOW,
    expires_at=EXPIRES,
    granted_boot_id="boot",
    granted_boottime_s=1.0,
    granted_suspended_s=0.0,
)
PARKED = VehicleState(gear=Gear.PARK, speed_mps=0.0, held_s=3.0)


# -- motion ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (None, Motion.UNKNOWN),
        (VehicleState(), Motion.UNKNOWN),
        (PARKED, Motion.PARKED),
        (replace(PARKED, speed_mps=None), Motion.PARKED),
        (replace(PARKED, speed_mps=0.499), Motion.PARKED),
        (replace(PARKED, speed_mps=0.5), Motion.MOVING),
        (replace(PARKED, speed_mps=-0.5), Motion.MOVING),
        (replace(PARKED, speed_mps=math.nan), Motion.MOVING),
        (replace(PARKED, held_s=2.999), Motion.IDLING),
        (replace(PARKED, held_s=math.nan), Motion.IDLING),
        (replace(PARKED, age_s=5.0), Motion.PARKED),
        (replace(PARKED, age_s=5.001), Motion.UNKNOWN),
        (replace(PARKED, age_s=-1.0), Motion.UNKNOWN),
        (replace(PARKED, age_s=math.nan), Motion.UNKNOWN),
        (VehicleState(gear=Gear.DRIVE, speed_mps=0.0, held_s=99.0), Motion.IDLING),
        (VehicleState(gear=Gear.NEUTRAL, speed_mps=0.4, held_s=99.0), Motion.IDLING),
        (VehicleState(gear=Gear.REVERSE, speed_mps=1.0, held_s=99.0), Motion.MOVING),
        (VehicleState(gear=Gear.DRIVE, held_s=99.0), Motion.UNKNOWN),
        (VehicleState(gear=Gear.DRIVE, held_s=99.0, ignition=Ignition.OFF), Motion.IDLING),
        (VehicleState(held_s=99.0, ignition=Ignition.LOCK), Motion.IDLING),
        (VehicleState(held_s=99.0, ignition=Ignition.ACC), Motion.UNKNOWN),
        (VehicleState(held_s=99.0, ignition=Ignition.ON), Motion.UNKNOWN),
        (VehicleState(speed_mps=9.0, ignition=Ignition.OFF), Motion.MOVING),
        (VehicleState(age_s=6.0, ignition=Ignition.OFF), Motion.UNKNOWN),
        (replace(PARKED, ignition=Ignition.START), Motion.IDLING),
        (VehicleState(speed_mps=0.0, held_s=99.0), Motion.IDLING),
        (VehicleState(speed_mps=30.0), Motion.MOVING),
        (VehicleState(asserted_parked="a desk"), Motion.PARKED),
        (VehicleState(asserted_parked="a desk", speed_mps=3.0), Motion.MOVING),
        (VehicleState(asserted_parked="a desk", age_s=6.0), Motion.UNKNOWN),
        (AssertedParked("a laptop on a desk").read(), Motion.PARKED),
    ],
)
def test_r12_motion(state, expected):
    assert motion(state) is expected


@given(
    st.sampled_from([None, *Gear]),
    st.none() | st.floats(),
    st.floats(),
    st.floats(),
    st.sampled_from([None, *Ignition]),
)
def test_r12_parked_is_gear_p_held_fresh_standing_and_not_starting(gear, speed, held, age, ignition):
    said = VehicleState(gear=gear, speed_mps=speed, held_s=held, age_s=age, ignition=ignition)
    standing = speed is None or -0.5 < speed < 0.5
    leaving = ignition is Ignition.START
    assert (motion(said) is Motion.PARKED) is (
        gear is Gear.PARK and held >= 3 and 0 <= age <= 5 and standing and not leaving
    )


# -- may we ask -----------------------------------------------------------------------------------


def record(status=Status.UNKNOWN, **changes):
    return replace(RecordState(Purpose.NAVIGATION, status=status, epoch=3, terms=TERMS), **changes)


def facts(**changes):
    return replace(
        AskFacts(
            state=record(),
            user_action=False,
            driver_facing=True,
            motion=Motion.PARKED,
            has_prompter=True,
            readable=None,
            os=OsAnswer.GRANTED,
            now_wall_s=NOW.timestamp(),
            guardian_missing=False,
            profile_matches=True,
            vehicle_privacy=False,
            already_granted=False,
        ),
        **changes,
    )


def answer(**changes):
    ask = may_ask(facts(**changes))
    assert bool(ask) is ask.allowed
    assert ask.allowed is (ask.permission_state is None) is (ask.reason is None)
    return (ask.permission_state, ask.reason)


YES = (None, None)
BLOCKED, DENIED, UNAVAILABLE = PermissionState.BLOCKED, PermissionState.DENIED, PermissionState.UNAVAILABLE


@pytest.mark.parametrize("status", Status)
def test_r12_a_no_is_asked_about_again_only_on_a_user_action(status):
    expected = {
        Status.REFUSED: (BLOCKED, Reason.REFUSED),
        Status.WITHDRAWN: (BLOCKED, Reason.WITHDRAWN),
    }.get(status, YES)
    assert answer(state=record(status)) == expected
    assert answer(state=record(status), user_action=True) == YES


@pytest.mark.parametrize("cause", ["service", "controller", "os", "vehicle", "profile", None])
def test_r12_the_services_refusal_counts_like_a_persons(cause):
    expected = (BLOCKED, Reason.REVOKED) if cause == "service" else YES
    assert answer(state=record(Status.REVOKED, ended_cause=cause)) == expected
    assert answer(state=record(Status.REVOKED, ended_cause=cause), user_action=True) == YES
    assert answer(state=record(Status.EXPIRED, ended_cause=cause)) == YES


@pytest.mark.parametrize(
    ("after_s", "quiet"),
    [(0.0, True), (7 * 86400 - 0.001, True), (7 * 86400, False), (-86400.0, True), (math.nan, True)],
)
def test_r12_quiet_for_seven_days_after_three_dismissals(after_s, quiet):
    state = record(embargo_from=NOW)
    now = NOW.timestamp() + after_s
    assert answer(state=state, now_wall_s=now) == ((BLOCKED, Reason.COOLDOWN) if quiet else YES)
    assert answer(state=state, now_wall_s=now, user_action=True) == YES


@pytest.mark.parametrize("where", Motion)
def test_r12_a_driver_is_asked_only_when_parked(where):
    deferred = (PermissionState.DEFERRED, Reason.DEFERRED)
    for user_action in (False, True):
        expected = YES if where is Motion.PARKED else deferred
        assert answer(motion=where, user_action=user_action) == expected
        assert answer(motion=where, user_action=user_action, driver_facing=False) == YES


ONE_THING_WRONG = [
    ({"readable": Reason.STATE_UNREADABLE}, (UNAVAILABLE, Reason.STATE_UNREADABLE)),
    ({"readable": Reason.STATE_ROLLED_BACK}, (UNAVAILABLE, Reason.STATE_ROLLED_BACK)),
    ({"profile_matches": False}, (UNAVAILABLE, Reason.PROFILE_MISMATCH)),
    ({"already_granted": True}, (PermissionState.GRANTED, Reason.ALLOWED)),
    ({"os": OsAnswer.DENIED}, (DENIED, Reason.OS_DENIED)),
    ({"os": OsAnswer.UNKNOWN}, (DENIED, Reason.OS_UNKNOWN)),
    ({"vehicle_privacy": True}, (DENIED, Reason.VEHICLE_PRIVACY)),
    ({"guardian_missing": True}, (DENIED, Reason.GUARDIAN_REQUIRED)),
    ({"state": record(Status.REFUSED)}, (BLOCKED, Reason.REFUSED)),
    ({"has_prompter": False}, (UNAVAILABLE, Reason.NO_PROMPTER)),
    ({"motion": Motion.MOVING}, (PermissionState.DEFERRED, Reason.DEFERRED)),
]


def test_of_several_reasons_the_one_asking_cannot_change_is_told():
    assert answer() == answer(os=OsAnswer.NOT_CONFIGURED) == YES
    for wrong, expected in ONE_THING_WRONG:
        assert answer(**wrong) == expected
    for (outer, expected), (inner, _) in itertools.combinations(ONE_THING_WRONG, 2):
        assert answer(**(inner | outer)) == expected, (outer, inner)


@pytest.mark.once
def test_r12_of_every_combination_only_the_good_ones_ask():
    both = (False, True)
    states = [record(status, embargo_from=quiet) for status in Status for quiet in (None, NOW)]
    asked = 0
    for state, user, driver, where, prompter, readable, os, guardian, profile, privacy, granted in itertools.product(
        states, both, both, Motion, both, (None, Reason.STATE_UNREADABLE), OsAnswer, both, both, both, both
    ):
        ask = may_ask(
            facts(
                state=state,
                user_action=user,
                driver_facing=driver,
                motion=where,
                has_prompter=prompter,
                readable=readable,
                os=os,
                guardian_missing=guardian,
                profile_matches=profile,
                vehicle_privacy=privacy,
                already_granted=granted,
            )
        )
        asked += ask.allowed
        free = user or (state.status not in (Status.REFUSED, Status.WITHDRAWN) and state.embargo_from is None)
        here = where is Motion.PARKED or not driver
        os_open = os in (OsAnswer.GRANTED, OsAnswer.NOT_CONFIGURED)
        open_ = readable is None and os_open and profile and not (guardian or privacy or granted)
        assert ask.allowed is (free and here and prompter and open_)
    assert asked


# -- what an app sees -----------------------------------------------------------------------------


def gate(state, **changes):
    good = {
        "ended": False,
        "authentic": True,
        "lifetime": Verdict.ACTIVE,
        "notice_changed": False,
        "controller_changed": False,
        "origin_changed": False,
        "os": OsAnswer.GRANTED,
        "vehicle_privacy": False,
        "profile_matches": True,
        "guardian_missing": False,
        "border": Border.HOME,
    }
    return decide(Facts(purpose=Purpose.NAVIGATION, state=state, **(good | changes)))


def seen(state, *, has_prompter=True, deferred=False, **changes):
    return permission(gate(state, **changes), state, has_prompter=has_prompter, deferred=deferred)


PROMPT = PermissionState.PROMPT


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (Status.UNKNOWN, (PROMPT, Reason.NOT_ASKED)),
        (Status.REFUSED, (BLOCKED, Reason.REFUSED)),
        (Status.WITHDRAWN, (BLOCKED, Reason.WITHDRAWN)),
        (Status.REVOKED, (PROMPT, Reason.REVOKED)),
        (Status.EXPIRED, (PROMPT, Reason.EXPIRED)),
        (Status.INVALIDATED, (PROMPT, Reason.NOTICE_CHANGED)),
    ],
)
def test_permission_of_every_status_that_is_not_active(status, expected):
    state = record(status)
    assert seen(state) == Permission(*expected)
    assert not seen(state).granted
    assert seen(state, deferred=True) == Permission(PermissionState.DEFERRED, Reason.DEFERRED)
    alone = Permission(UNAVAILABLE, Reason.NO_PROMPTER) if expected[0] is PROMPT else Permission(*expected)
    assert seen(state, has_prompter=False) == alone


def test_permission_revoked_by_the_service_is_blocked():
    state = record(Status.REVOKED, ended_cause="service")
    assert seen(state) == seen(state, has_prompter=False) == Permission(BLOCKED, Reason.REVOKED)
    assert seen(state, os=OsAnswer.DENIED) == Permission(DENIED, Reason.OS_DENIED)  # asking would not help
    assert seen(state, unreadable=Reason.STATE_UNREADABLE) == Permission(UNAVAILABLE, Reason.STATE_UNREADABLE)
    gone = record(Status.EXPIRED, ended_cause="service")
    assert seen(gone) == Permission(PROMPT, Reason.EXPIRED)


@pytest.mark.parametrize("has_prompter", [False, True])
@pytest.mark.parametrize("deferred", [False, True])
@pytest.mark.parametrize("status", [Status.GIVEN, Status.RENEWED])
def test_permission_granted_says_all_that_was_granted(status, has_prompter, deferred):
    assert seen(record(status), has_prompter=has_prompter, deferred=deferred) == Permission(
        PermissionState.GRANTED, Reason.ALLOWED, Precision.PRECISE, EXPIRES, 3, "receipt"
    )
    coarse = record(status, terms=replace(TERMS, precision=Precision.APPROXIMATE))
    assert seen(coarse).precision is Precision.APPROXIMATE


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"os": OsAnswer.DENIED}, (DENIED, Reason.OS_DENIED)),
        ({"os": OsAnswer.UNKNOWN}, (DENIED, Reason.OS_UNKNOWN)),
        ({"vehicle_privacy": True}, (DENIED, Reason.VEHICLE_PRIVACY)),
        ({"guardian_missing": True}, (DENIED, Reason.GUARDIAN_REQUIRED)),
        ({"border": Border.ABROAD_DENIED}, (DENIED, Reason.CROSS_BORDER)),
        ({"profile_matches": False}, (UNAVAILABLE, Reason.PROFILE_MISMATCH)),
        ({"unreadable": Reason.STATE_UNREADABLE}, (UNAVAILABLE, Reason.STATE_UNREADABLE)),
        ({"unreadable": Reason.STATE_ROLLED_BACK}, (UNAVAILABLE, Reason.STATE_ROLLED_BACK)),
        ({"unreadable": Reason.VAULT_UNAVAILABLE}, (UNAVAILABLE, Reason.VAULT_UNAVAILABLE)),
        ({"lifetime": Verdict.UNTRUSTED}, (UNAVAILABLE, Reason.CLOCK_UNTRUSTED)),
        ({"lifetime": Verdict.EXPIRED_UNCONFIRMED}, (PROMPT, Reason.EXPIRED)),
        ({"notice_changed": True}, (PROMPT, Reason.NOTICE_CHANGED)),
        ({"controller_changed": True}, (PROMPT, Reason.CONTROLLER_CHANGED)),
        ({"origin_changed": True}, (PROMPT, Reason.ORIGIN_CHANGED)),
        ({"ended": True}, (BLOCKED, Reason.WITHDRAWN)),
    ],
)
def test_permission_of_a_grant_that_something_else_forbids(wrong, expected):
    state = record(Status.GIVEN)
    assert seen(state, **wrong) == Permission(*expected)
    if expected[0] in (DENIED, UNAVAILABLE):  # waiting until parked would change nothing
        assert seen(state, **wrong, deferred=True, has_prompter=False) == Permission(*expected)


@given(
    st.sampled_from([reason for reason in Reason if reason is not Reason.ALLOWED]),
    st.builds(record, st.sampled_from(Status)),
    st.booleans(),
    st.booleans(),
)
def test_r1_permission_is_total_and_grants_nothing_without_a_yes(reason, state, has_prompter, deferred):
    told = permission(Decision(False, reason), state, has_prompter=has_prompter, deferred=deferred)
    assert not told.granted
    assert told.reason is not Reason.ALLOWED
    assert (told.precision, told.expires_at, told.epoch, told.receipt_id) == (None, None, 0, None)


def test_r1_a_yes_without_terms_grants_nothing():
    yes = gate(record(Status.GIVEN))
    told = permission(yes, record(Status.GIVEN, terms=None), has_prompter=True, deferred=False)
    assert told == Permission(UNAVAILABLE, Reason.STATE_UNREADABLE)


def test_a_no_to_asking_is_never_mistaken_for_a_yes():
    assert not Ask(False, PermissionState.GRANTED, Reason.ALLOWED)
    assert Ask(True)


@pytest.mark.parametrize("value", [Ask(True), facts()], ids=["ask", "facts"])
def test_questions_and_answers_are_frozen(value):
    for name in value.__dataclass_fields__:
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, True)
    assert not hasattr(value, "__dict__")


# -- a service that takes no consent to our notice any more ----------------------------------------


@pytest.mark.parametrize("user_action", [True, False])
def test_r14_nobody_is_asked_for_a_consent_that_the_service_does_not_take(user_action):
    facts = AskFacts(
        state=RecordState(Purpose.NAVIGATION),
        user_action=user_action,
        driver_facing=False,
        motion=Motion.PARKED,
        has_prompter=True,
        readable=None,
        os=OsAnswer.GRANTED,
        now_wall_s=0.0,
        guardian_missing=False,
        profile_matches=True,
        vehicle_privacy=False,
        already_granted=False,
        outdated=Reason.CONTROLLER_CHANGED,
    )
    ask = may_ask(facts)
    assert (ask.allowed, ask.permission_state, ask.reason) == (
        False,
        PermissionState.DENIED,
        Reason.CONTROLLER_CHANGED,
    )
    assert may_ask(replace(facts, outdated=None)).allowed


@pytest.mark.parametrize("has_prompter", [True, False])
def test_r14_an_app_is_told_that_asking_does_not_help(has_prompter):
    no = Decision(False, Reason.EXPIRED)
    record = RecordState(Purpose.NAVIGATION)
    told = permission(no, record, has_prompter=has_prompter, deferred=True, outdated=Reason.NOTICE_CHANGED)
    assert (told.state, told.reason) == (PermissionState.DENIED, Reason.NOTICE_CHANGED)
    refused = Decision(False, Reason.REFUSED)
    told = permission(refused, record, has_prompter=True, deferred=False, outdated=Reason.NOTICE_CHANGED)
    assert (told.state, told.reason) == (PermissionState.BLOCKED, Reason.REFUSED), "what the person said comes first"
