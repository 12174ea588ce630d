"""The gate over every combination of facts, and the clearance that nobody else can make."""

import copy
import itertools
import pickle
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalos_connect_sdk.core import gate
from kalos_connect_sdk.core.gate import (
    Border,
    Clearance,
    Decision,
    Facts,
    clear_place,
    decide,
    require_place,
    require_position,
)
from kalos_connect_sdk.core.lifetime import Verdict
from kalos_connect_sdk.model.consent import Duration, GrantTerms, Precision, Purpose, RecordState, Status
from kalos_connect_sdk.model.decision import Reason
from kalos_connect_sdk.model.vehicle import OsAnswer

TERMS = GrantTerms(
    receipt_id="receipt",
    precision=Precision.PRECISE,
    duration=Duration.THIS_DRIVE,
    notice_id="notice",
    notice_version="1",
    notice_locale="en",
    notice_sha256="aa",
    notice_fields_sha256="bb",
    controller_id="controller",
    service_origin="https://service.example:443",
    granted_at=datetime(2026, 12, 1, tzinfo=UTC),
    expires_at=None,
    granted_boot_id="boot",
    granted_boottime_s=1.0,
    granted_suspended_s=0.0,
)
UNREADABLE = (None, Reason.STATE_UNREADABLE, Reason.STATE_ROLLED_BACK, Reason.VAULT_UNAVAILABLE)


def record(purpose=Purpose.NAVIGATION, status=Status.GIVEN, **changes):
    return replace(RecordState(purpose, status=status, epoch=3, terms=TERMS), **changes)


def good(purpose=Purpose.NAVIGATION, **changes):
    facts = Facts(
        purpose=purpose,
        state=record(purpose),
        ended=False,
        authentic=True,
        lifetime=Verdict.ACTIVE,
        notice_changed=False,
        controller_changed=False,
        origin_changed=False,
        os=OsAnswer.GRANTED,
        vehicle_privacy=False,
        profile_matches=True,
        guardian_missing=False,
        border=Border.HOME,
    )
    return replace(facts, **changes)


@pytest.mark.once
@pytest.mark.parametrize("purpose", Purpose)
def test_r1_r2_of_every_combination_only_the_all_good_one_is_cleared(purpose):
    records = [record(purpose, status) for status in Status]
    both = (False, True)
    cleared = set()
    for (
        unreadable,
        state,
        ended,
        authentic,
        lifetime,
        notice,
        controller,
        origin,
        os,
        privacy,
        profile,
        guardian,
        border,
    ) in itertools.product(
        UNREADABLE, records, both, both, Verdict, both, both, both, OsAnswer, both, both, both, Border
    ):
        decision = decide(
            Facts(
                purpose=purpose,
                state=state,
                unreadable=unreadable,
                ended=ended,
                authentic=authentic,
                lifetime=lifetime,
                notice_changed=notice,
                controller_changed=controller,
                origin_changed=origin,
                os=os,
                vehicle_privacy=privacy,
                profile_matches=profile,
                guardian_missing=guardian,
                border=border,
            )
        )
        if decision.clearance is not None:
            facts = (unreadable, ended, authentic, lifetime, notice, controller, origin, privacy, profile, guardian)
            cleared.add((*facts, state.status, os, border))
    borders = Border if purpose is Purpose.CROSS_BORDER_TRANSFER else (Border.HOME, Border.ABROAD_ALLOWED)
    assert cleared == {
        (None, False, True, Verdict.ACTIVE, False, False, False, False, True, False, status, os, border)
        for status in (Status.GIVEN, Status.RENEWED)
        for os in (OsAnswer.GRANTED, OsAnswer.NOT_CONFIGURED)
        for border in borders
    }


@pytest.mark.parametrize("purpose", Purpose)
def test_r1_what_is_left_out_refuses(purpose):
    assert not decide(Facts(purpose=purpose, state=record(purpose)))
    stated = {name: getattr(good(purpose), name) for name in Facts.__dataclass_fields__}
    careless = {"purpose", "state", "wanted", "unreadable"}  # the two required ones; two that cannot open anything
    if purpose is Purpose.CROSS_BORDER_TRANSFER:
        careless.add("border")
    for name in stated.keys() - careless:
        assert not decide(Facts(**{key: value for key, value in stated.items() if key != name})), name


ONE_THING_WRONG = [
    ({"unreadable": Reason.STATE_UNREADABLE}, Reason.STATE_UNREADABLE),
    ({"unreadable": Reason.STATE_ROLLED_BACK}, Reason.STATE_ROLLED_BACK),
    ({"unreadable": Reason.VAULT_UNAVAILABLE}, Reason.VAULT_UNAVAILABLE),
    ({"unreadable": Reason.ALLOWED}, Reason.STATE_UNREADABLE),
    ({"profile_matches": False}, Reason.PROFILE_MISMATCH),
    ({"os": OsAnswer.DENIED}, Reason.OS_DENIED),
    ({"os": OsAnswer.UNKNOWN}, Reason.OS_UNKNOWN),
    ({"os": None}, Reason.OS_UNKNOWN),
    ({"vehicle_privacy": True}, Reason.VEHICLE_PRIVACY),
    ({"guardian_missing": True}, Reason.GUARDIAN_REQUIRED),
    ({"state": record(Purpose.CROSS_BORDER_TRANSFER)}, Reason.STATE_UNREADABLE),
    ({"state": record(status=Status.UNKNOWN)}, Reason.NOT_ASKED),
    ({"state": record(status=Status.REFUSED)}, Reason.REFUSED),
    ({"state": record(status=Status.WITHDRAWN)}, Reason.WITHDRAWN),
    ({"state": record(status=Status.REVOKED, ended_reason=Reason.OS_DENIED)}, Reason.REVOKED),
    ({"state": record(status=Status.EXPIRED)}, Reason.EXPIRED),
    ({"state": record(status=Status.INVALIDATED)}, Reason.NOTICE_CHANGED),
    ({"state": record(status=Status.INVALIDATED, ended_reason=Reason.ALLOWED)}, Reason.NOTICE_CHANGED),
    ({"state": record(status=Status.INVALIDATED, ended_reason=Reason.ORIGIN_CHANGED)}, Reason.ORIGIN_CHANGED),
    ({"state": record(status=Status.INVALIDATED, ended_reason=Reason.CONTROLLER_CHANGED)}, Reason.CONTROLLER_CHANGED),
    ({"state": record(status="given")}, Reason.STATE_UNREADABLE),
    ({"state": record(terms=None)}, Reason.STATE_UNREADABLE),
    ({"state": record(epoch=0)}, Reason.STATE_UNREADABLE),
    ({"ended": True}, Reason.WITHDRAWN),
    ({"authentic": False}, Reason.STATE_UNREADABLE),
    ({"controller_changed": True}, Reason.CONTROLLER_CHANGED),
    ({"origin_changed": True}, Reason.ORIGIN_CHANGED),
    ({"notice_changed": True}, Reason.NOTICE_CHANGED),
    ({"lifetime": Verdict.EXPIRED}, Reason.EXPIRED),
    ({"lifetime": Verdict.EXPIRED_UNCONFIRMED}, Reason.EXPIRED),
    ({"lifetime": Verdict.UNTRUSTED}, Reason.CLOCK_UNTRUSTED),
    ({"lifetime": None}, Reason.CLOCK_UNTRUSTED),
    ({"border": Border.ABROAD_DENIED}, Reason.CROSS_BORDER),
    ({"border": None}, Reason.CROSS_BORDER),
]


@pytest.mark.parametrize(("wrong", "reason"), ONE_THING_WRONG, ids=lambda value: None)
def test_one_thing_wrong_is_the_reason(wrong, reason):
    assert decide(good(**wrong)) == Decision(False, reason)


def test_of_several_reasons_the_outermost_is_told():
    """What the person can do nothing about here comes before what asking could change."""
    first_of_each = [ONE_THING_WRONG[i] for i in (0, 4, 5, 8, 9, 13, 23, 24, 25, 26, 27, 28, 32)]
    for (outer, reason), (inner, _) in itertools.combinations(first_of_each, 2):
        assert decide(good(**inner, **outer)).reason is reason, (outer, inner)


@pytest.mark.parametrize("broken", [{"terms": None}, {"epoch": 0}], ids=["terms", "epoch"])
def test_r1_a_grant_that_cannot_be_read_is_told_as_that_whatever_else_changed(broken):
    facts = good(state=record(**broken), notice_changed=True, lifetime=Verdict.EXPIRED)
    assert decide(facts) == Decision(False, Reason.STATE_UNREADABLE)


def test_os_and_consent_are_a_matrix_of_four_cells_with_one_yes():
    cells = {
        (os, status): decide(good(os=os, state=record(status=status))).allowed
        for os in (OsAnswer.GRANTED, OsAnswer.DENIED)
        for status in (Status.GIVEN, Status.WITHDRAWN)
    }
    assert [cell for cell, allowed in cells.items() if allowed] == [(OsAnswer.GRANTED, Status.GIVEN)]


@pytest.mark.parametrize("granted", Precision)
@pytest.mark.parametrize("wanted", Precision)
def test_r15_the_coarser_of_wish_and_grant(granted, wanted):
    decision = decide(good(wanted=wanted, state=record(terms=replace(TERMS, precision=granted))))
    exact = granted is wanted is Precision.PRECISE
    assert decision.allowed
    assert decision.precision is (Precision.PRECISE if exact else Precision.APPROXIMATE)
    assert decision.clearance.precision is decision.precision


def test_r15_an_unknown_precision_is_never_precise():
    assert decide(good(wanted="precise")).precision is Precision.APPROXIMATE
    assert decide(good(state=record(terms=replace(TERMS, precision=None)))).precision is Precision.APPROXIMATE


def test_r16_the_cross_border_grant_does_not_ask_itself():
    assert decide(good(Purpose.CROSS_BORDER_TRANSFER, border=Border.ABROAD_DENIED)).allowed


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 2),
    st.text(max_size=3),
    st.sampled_from([*Reason, *Verdict, *OsAnswer, *Border, *Precision]),
)
FLAGS = ("ended", "authentic", "notice_changed", "controller_changed", "origin_changed", "vehicle_privacy")
FLAGS += ("profile_matches", "guardian_missing", "lifetime", "os", "border", "unreadable", "wanted")


@pytest.mark.once
@given(st.sampled_from(Purpose), st.dictionaries(st.sampled_from(FLAGS), anything, max_size=4))
def test_r1_total_and_no_even_over_values_of_the_wrong_type(purpose, changes):
    facts = good(purpose, **changes)
    decision = decide(facts)
    assert decision.allowed is (decision.reason is Reason.ALLOWED) is (decision.clearance is not None)
    if decision:
        fine = replace(good(purpose), wanted=facts.wanted, os=facts.os, border=facts.border)
        assert facts.os in (OsAnswer.GRANTED, OsAnswer.NOT_CONFIGURED)
        assert all(getattr(facts, name) is getattr(fine, name) for name in FLAGS)


# -- decisions and clearances ----------------------------------------------------------------------


def test_a_no_is_never_mistaken_for_a_yes():
    assert bool(decide(good())) is True
    assert bool(Decision(False, Reason.REFUSED)) is False
    real = decide(good()).clearance
    for allowed, reason, clearance in itertools.product(
        (True, False, 1), (Reason.ALLOWED, Reason.REFUSED), (None, real)
    ):
        if allowed is True and reason is Reason.ALLOWED and clearance is real:
            continue
        if allowed is False and reason is Reason.REFUSED and clearance is None:
            continue
        with pytest.raises(ValueError, match="a decision is"):
            Decision(allowed, reason, Precision.PRECISE, clearance)


def test_r2_a_yes_carries_purpose_epoch_and_precision():
    clearance = decide(good()).clearance
    assert (clearance.kind, clearance.purpose, clearance.epoch) == ("position", Purpose.NAVIGATION, 3)
    assert clearance.precision is Precision.PRECISE
    assert require_position(clearance) is clearance


@pytest.mark.parametrize("token", [None, object(), True, "token", 0])
def test_r2_nobody_else_makes_a_clearance(token):
    with pytest.raises(TypeError, match="only the gate"):
        Clearance(token, "position", Purpose.NAVIGATION, 1, Precision.PRECISE)


def test_r2_an_empty_clearance_opens_nothing():
    forged = object.__new__(Clearance)
    object.__setattr__(forged, "kind", "position")
    object.__setattr__(forged, "purpose", Purpose.NAVIGATION)
    for require in (require_position, require_place):
        with pytest.raises(TypeError):
            require(forged)


@pytest.mark.parametrize("make", [clear_place, lambda: decide(good()).clearance], ids=["place", "position"])
def test_r2_a_clearance_cannot_be_copied_stored_or_changed(make):
    clearance = make()
    for copier in (copy.copy, copy.deepcopy, *(lambda c, p=p: pickle.dumps(c, p) for p in range(6))):
        with pytest.raises(TypeError):
            copier(clearance)
    with pytest.raises(AttributeError):
        clearance.kind = "position"
    with pytest.raises(AttributeError):
        del clearance.kind
    with pytest.raises(AttributeError):
        clearance.more = 1
    assert not hasattr(clearance, "__dict__")


def test_r2_a_clearance_cannot_be_subclassed():
    with pytest.raises(TypeError, match="subclassed"):
        type("Mine", (Clearance,), {})


def test_r2_a_typed_place_never_passes_for_a_position():
    place, position = clear_place(), decide(good()).clearance
    assert require_place(place) is place
    assert (place.kind, place.purpose, place.epoch, place.precision) == ("place", None, 0, None)
    with pytest.raises(TypeError, match="positions"):
        require_position(place)
    with pytest.raises(TypeError, match="places"):
        require_place(position)


def test_r2_another_purpose_does_not_open_the_door():
    with pytest.raises(TypeError):
        require_position(decide(good(Purpose.CROSS_BORDER_TRANSFER)).clearance)


class Lookalike:
    kind, purpose, epoch, precision = "position", Purpose.NAVIGATION, 1, Precision.PRECISE
    _token = gate._TOKEN

    @property
    def __class__(self):
        return Clearance


@pytest.mark.parametrize("thing", [None, True, "position", object(), Lookalike(), Clearance], ids=lambda v: "")
def test_r2_nothing_else_opens_the_door(thing):
    for require in (require_position, require_place):
        with pytest.raises(TypeError):
            require(thing)


def test_r10_a_clearance_shows_no_more_than_what_it_is():
    assert repr(decide(good()).clearance) == "<Clearance position navigation epoch 3>"
    assert repr(clear_place()) == "<Clearance place>"


def test_the_first_epoch_is_a_grant():
    assert decide(good(state=record(epoch=1))).clearance.epoch == 1


@pytest.mark.parametrize("value", [good(), decide(good())], ids=["facts", "decision"])
def test_facts_and_decisions_are_frozen(value):
    for name in value.__dataclass_fields__:
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, True)
    assert not hasattr(value, "__dict__")
