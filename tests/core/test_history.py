"""Ledger events: what can be written, what is refused, and what they fold to."""

import copy
import json
import math
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kalos_connect_sdk.core.canonical import canonical
from kalos_connect_sdk.core.history import (
    MARKS,
    MalformedEvent,
    apply,
    fold,
    make_event,
    terms_from_json,
    terms_to_json,
)
from kalos_connect_sdk.core.lifecycle import ENDING, GRANTING, Event, transition
from kalos_connect_sdk.model.consent import Duration, GrantTerms, Precision, Purpose, RecordState, Status
from kalos_connect_sdk.model.decision import Reason

NOW = datetime(2026, 12, 1, 12, 0, 0, 250_000, tzinfo=UTC)
NOW_S = NOW.timestamp()
NAVIGATION, BORDER = Purpose.NAVIGATION, Purpose.CROSS_BORDER_TRANSFER
TERMS = GrantTerms(
    receipt_id="0123456789abcdef",
    precision=Precision.PRECISE,
    duration=Duration.days(7),
    notice_id="notice",
    notice_version="1",
    notice_locale="en",
    notice_sha256="aa",
    notice_fields_sha256="bb",
    controller_id="controller",
    service_origin="",
    granted_at=NOW,
    expires_at=NOW + timedelta(days=7),
    granted_boot_id="boot",
    granted_boottime_s=12.345,
    granted_suspended_s=0.5,
)

text = st.text(min_size=1, max_size=12).filter(lambda t: not any(0xD800 <= ord(c) <= 0xDFFF for c in t))
times = st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC)).map(
    lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000)
)
durations = st.one_of(
    st.just(Duration.THIS_DRIVE), st.just(Duration.UNTIL_WITHDRAWN), st.integers(1, 3650).map(Duration.days)
)
milliseconds = st.integers(0, 10**12).map(lambda ms: ms / 1000)
grants = st.builds(
    GrantTerms,
    receipt_id=text,
    precision=st.sampled_from(Precision),
    duration=durations,
    notice_id=text,
    notice_version=text,
    notice_locale=text,
    notice_sha256=text,
    notice_fields_sha256=text,
    controller_id=text,
    service_origin=st.one_of(st.just(""), text),
    granted_at=times,
    expires_at=st.none() | times,
    granted_boot_id=text,
    granted_boottime_s=milliseconds,
    granted_suspended_s=milliseconds,
    drive_id=st.none() | text,
    asserted_parked=st.none() | text,
    simulated=st.booleans(),
    guardian=st.none() | text,
    run_id=st.none() | text,
)


def event(kind, epoch=1, purpose=NAVIGATION, at=NOW, **more):
    kind = kind.value if isinstance(kind, Event) else kind
    if Event.ALLOW.value == kind or kind in {e.value for e in GRANTING}:
        more.setdefault("terms", TERMS)
    return make_event(kind, purpose, epoch, at.timestamp(), **more)


def after(*bodies):
    return fold(bodies)[NAVIGATION]


# -- the JSON form --------------------------------------------------------------------------------


@given(grants)
def test_terms_survive_the_ledger_exactly(terms):
    assert terms_from_json(json.loads(canonical(terms_to_json(terms)))) == terms


@pytest.mark.parametrize("name", ["drive_id", "asserted_parked", "guardian", "run_id"])
def test_an_empty_answer_of_an_adapter_makes_no_ledger_unreadable(name):
    terms = replace(TERMS, **{name: ""})
    assert terms_from_json(terms_to_json(terms)) == terms


@given(grants, st.floats(0, 4e9), st.integers(1, 2**63 - 1))
def test_an_event_holds_no_floating_point_number(terms, wall_s, epoch):
    def no_float(value):
        assert not isinstance(value, float)
        for item in value.values() if isinstance(value, dict) else ():
            no_float(item)

    body = make_event("allow", NAVIGATION, epoch, wall_s, cause="subject", terms=terms)
    no_float(body)
    assert json.loads(canonical(body)) == body
    assert apply(RecordState(NAVIGATION), body).terms == terms


def test_the_form_of_an_event_is_fixed():
    assert make_event("withdraw", NAVIGATION, 3, NOW_S, cause="guardian", reason=Reason.WITHDRAWN) == {
        "v": 1,
        "kind": "withdraw",
        "purpose": "navigation",
        "epoch": 3,
        "at": "2026-12-01T12:00:00.250Z",
        "cause": "guardian",
        "reason": "withdrawn",
    }
    assert event("allow")["precision"] == "precise"
    assert event("allow")["terms"] == {
        "receipt_id": "0123456789abcdef",
        "precision": "precise",
        "duration": "7-days",
        "notice_id": "notice",
        "notice_version": "1",
        "notice_locale": "en",
        "notice_sha256": "aa",
        "notice_fields_sha256": "bb",
        "controller_id": "controller",
        "service_origin": "",
        "granted_at": "2026-12-01T12:00:00.250Z",
        "expires_at": "2026-12-08T12:00:00.250Z",
        "granted_boot_id": "boot",
        "granted_boottime_ms": 12345,
        "granted_suspended_ms": 500,
        "drive_id": None,
        "asserted_parked": None,
        "simulated": False,
        "guardian": None,
        "run_id": None,
    }


@pytest.mark.parametrize(
    ("wall_s", "at"),
    [
        (-5.0, "1970-01-01T00:00:00.000Z"),
        (math.nan, "1970-01-01T00:00:00.000Z"),
        (math.inf, "1970-01-01T00:00:00.000Z"),
        (1.7e308, "9999-12-31T23:59:59.999Z"),
        (1e300, "9999-12-31T23:59:59.999Z"),
        (253_402_300_799.9996, "9999-12-31T23:59:59.999Z"),
        (0.0019, "1970-01-01T00:00:00.001Z"),
    ],
)
def test_r13_no_clock_prevents_a_withdrawal(wall_s, at):
    body = make_event("withdraw", NAVIGATION, 1, wall_s, cause="subject")
    assert body["at"] == at
    assert not fold([event("allow"), body])[NAVIGATION].status.active


def test_times_of_other_zones_are_written_in_utc():
    terms = replace(TERMS, granted_at=datetime.fromisoformat("2026-12-01T20:00:00.250+08:00"))
    assert terms_to_json(terms)["granted_at"] == "2026-12-01T12:00:00.250Z"
    assert terms_from_json(terms_to_json(terms)) == TERMS


# -- folding --------------------------------------------------------------------------------------


def test_no_events_is_unknown_for_every_purpose():
    assert fold([]) == {purpose: RecordState(purpose) for purpose in Purpose}


def test_r6_a_grant_pins_its_terms_and_epoch():
    state = after(event("allow", 4))
    assert state == RecordState(NAVIGATION, status=Status.GIVEN, epoch=4, terms=TERMS, changed_at=NOW)
    renewed = apply(state, event("allow-new-notice", 5))
    assert (renewed.status, renewed.epoch) == (Status.RENEWED, 5)
    amended = apply(renewed, event("amend", 9, terms=replace(TERMS, precision=Precision.APPROXIMATE)))
    assert (amended.status, amended.epoch, amended.terms.precision) == (Status.GIVEN, 9, Precision.APPROXIMATE)


@pytest.mark.parametrize("epoch", [1, 2, 3])
@pytest.mark.parametrize("kind", GRANTING, ids=lambda kind: kind.value)
def test_r6_a_grant_at_or_below_the_epoch_is_refused(kind, epoch):
    before = [event("allow", 3)] + ([event("expire", 3)] if kind is Event.ALLOW else [])
    with pytest.raises(MalformedEvent, match="new epoch"):
        fold([*before, event(kind, epoch)])


@pytest.mark.parametrize("epoch", [0, 2, 4])
@pytest.mark.parametrize("kind", ["withdraw", "revoke", "expire", "invalidate", "dismiss", "defer", "prompt-failed"])
def test_r6_every_other_event_names_the_present_epoch(kind, epoch):
    with pytest.raises(MalformedEvent, match="another epoch"):
        fold([event("allow", 3), event(kind, epoch)])


@pytest.mark.parametrize(
    ("kind", "status", "cause", "reason"),
    [
        ("withdraw", Status.WITHDRAWN, "subject", Reason.WITHDRAWN),
        ("revoke", Status.REVOKED, "controller", Reason.REVOKED),
        ("expire", Status.EXPIRED, "time", Reason.EXPIRED),
        ("invalidate", Status.INVALIDATED, "notice", Reason.NOTICE_CHANGED),
    ],
)
def test_an_ending_keeps_the_terms_and_says_who_and_why(kind, status, cause, reason):
    later = NOW + timedelta(hours=1)
    ended = after(event("allow"), event(kind, at=later))
    assert ended == RecordState(
        NAVIGATION,
        status=status,
        epoch=1,
        terms=TERMS,
        ended_cause=cause,
        ended_reason=reason,
        changed_at=later,
    )
    told = after(event("allow"), event(kind, cause="service", reason="os-denied"))
    assert (told.ended_cause, told.ended_reason) == ("service", Reason.OS_DENIED)
    again = apply(told, event("allow", 2))
    assert (again.ended_cause, again.ended_reason) == (None, None)


def test_r11_withdrawing_nothing_is_evidence_and_changes_nothing():
    for before in ([], [event("deny", 0)], [event("allow"), event("expire", at=NOW + timedelta(1))]):
        state = after(*before)
        for kind in ("withdraw", "withdraw-again"):
            assert apply(state, event(kind, state.epoch, cause="subject")) == state


def test_a_refusal_keeps_what_was_granted_before():
    state = after(event("allow"), event("withdraw"), event("deny", at=NOW + timedelta(1)))
    assert state.status is Status.REFUSED
    assert (state.epoch, state.terms, state.changed_at) == (1, TERMS, NOW + timedelta(1))


def test_r12_the_third_dismissal_in_a_row_starts_the_quiet_time():
    times_ = [NOW + timedelta(days=n) for n in range(7)]
    states = [after(*(event("dismiss", 0, at=at) for at in times_[:n])) for n in range(7)]
    assert [state.dismissals for state in states] == [0, 1, 2, 0, 1, 2, 0]
    assert [state.embargo_from for state in states] == [None] * 3 + [times_[2]] * 3 + [times_[5]]
    assert {state.status for state in states} == {Status.UNKNOWN}
    assert all(state.changed_at is None for state in states)


@pytest.mark.parametrize(("answer", "epoch"), [("deny", 0), ("allow", 1)])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_r12_an_answer_ends_the_counting_and_the_quiet_time(answer, epoch, count):
    state = after(*(event("dismiss", 0) for _ in range(count)), event(answer, epoch))
    assert (state.dismissals, state.embargo_from) == (0, None)


@pytest.mark.parametrize("kind", ["defer", "prompt-failed"])
def test_r12_only_a_dismissal_counts(kind):
    state = after(event("dismiss", 0), event("dismiss", 0), event(kind, 0))
    assert (state.dismissals, state.embargo_from) == (2, None)


def test_r12_dismissals_after_an_expiry_count_as_well():
    state = after(event("allow"), event("expire"), *(event("dismiss") for _ in range(3)))
    assert (state.status, state.embargo_from) == (Status.EXPIRED, NOW)


def test_marks_of_drop_and_registration_rise_and_never_fall():
    state = after(event("allow", 2), event("registered", 2), event("registered", 1))
    assert (state.registered_epoch, state.status) == (2, Status.GIVEN)
    state = apply(state, event("erased", 1))  # what an earlier grant left, while this one is active
    assert state.erased_epoch == 1
    for body in (event("withdraw", 2), event("erased", 2), event("erased", 1), event("registered", 2)):
        state = apply(state, body)
    assert (state.status, state.erased_epoch, state.registered_epoch) == (Status.WITHDRAWN, 2, 2)
    assert state.changed_at == NOW


@pytest.mark.parametrize("kind", ["erased", "registered", "withdraw-again"])
def test_a_mark_never_names_an_epoch_that_was_not_granted(kind):
    with pytest.raises(MalformedEvent, match="never granted"):
        fold([event("allow", 2), event("withdraw", 2), event(kind, 3)])


@pytest.mark.parametrize("kind", ["erased", "withdraw-again"])
def test_r3_an_active_grant_is_never_called_over(kind):
    with pytest.raises(MalformedEvent, match="active grant"):
        fold([event("allow", 2), event(kind, 2)])
    assert after(event("allow", 2), event(kind, 1)).status is Status.GIVEN


def test_r8_a_reset_starts_anew_above_the_epoch():
    before = after(event("allow", 2), event("registered", 2), event("withdraw", 2), event("erased", 2))
    state = apply(before, event("reset", 5))
    assert state == RecordState(NAVIGATION, epoch=5, erased_epoch=2, changed_at=NOW)
    assert apply(before, event("reset", 2)).epoch == 2
    with pytest.raises(MalformedEvent, match="lower the epoch"):
        apply(before, event("reset", 1))
    with pytest.raises(MalformedEvent, match="new epoch"):
        apply(state, event("allow", 5))


def test_purposes_do_not_touch_each_other():
    records = fold([event("allow", 1), event("deny", 0, BORDER), event("withdraw", 1), event("allow", 7, BORDER)])
    assert (records[NAVIGATION].status, records[NAVIGATION].epoch) == (Status.WITHDRAWN, 1)
    assert (records[BORDER].status, records[BORDER].epoch) == (Status.GIVEN, 7)
    with pytest.raises(MalformedEvent, match="another purpose"):
        apply(records[BORDER], event("withdraw", 7))


# -- malformed ------------------------------------------------------------------------------------

BAD = [
    ("v", [0, 2, True, "1", 1.5, None]),
    ("kind", ["", "Allow", "granted", None, 1, [], {}]),
    ("purpose", ["", "NAVIGATION", None, 1, [], {}]),
    ("epoch", [-1, 2**63, 1.0, True, "1", None, [], 0]),
    ("at", ["", "2026-12-01", "2026-12-01T12:00:00Z", "2026-12-01T12:00:00.250+00:00", "2026-02-30T12:00:00.250Z"]),
    ("at", [0, None, "２０２６-12-01T12:00:00.250Z", "2026-12-01T12:00:00.250Z\n", "2026-12-01T25:00:00.250Z"]),
    ("cause", ["", "Subject", "two words", "-x", "x" * 33, 1, [], "subject\n"]),
    ("reason", ["", "allowed", "REFUSED", 1, [], {}]),
    ("precision", ["approximate", None, 1]),
    ("terms", [None, [], "terms", 1, {}]),
]
BAD_TERMS = [
    ("receipt_id", ["", None, 1]),
    ("notice_id", ["", None, 1]),
    ("notice_version", ["", None, 1]),
    ("notice_locale", ["", None, 1]),
    ("notice_sha256", ["", None, 1]),
    ("notice_fields_sha256", ["", None, 1]),
    ("controller_id", ["", None, 1]),
    ("granted_boot_id", ["", None, 1]),
    ("service_origin", [None, 1]),
    ("precision", ["exact", None, []]),
    ("duration", ["", "for-ever", "0-days", "3651-days", "٣-days", "days", None, 7]),
    ("granted_at", [None, 0, "2026-12-01"]),
    ("expires_at", ["", 0, "2026-12-01"]),
    ("granted_boottime_ms", [-1, 1.5, None, True, "1"]),
    ("granted_suspended_ms", [-1, 1.5, None, True, "1"]),
    ("simulated", [None, 0, "false"]),
    ("drive_id", [1, []]),
    ("asserted_parked", [1, []]),
    ("guardian", [1, []]),
    ("run_id", [1, []]),
]


def refused(body):
    with pytest.raises(MalformedEvent) as caught:
        fold([body])
    assert caught.value.__context__ is None and caught.value.__cause__ is None  # R10
    return str(caught.value)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD for value in values])
def test_r8_a_malformed_event_is_refused(name, value):
    refused(event("allow") | {name: value})


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD_TERMS for value in values])
def test_r14_malformed_terms_are_refused(name, value):
    body = event("allow")
    body["terms"][name] = value
    assert name in refused(body)


@pytest.mark.parametrize("name", [name for name in event("allow") if name not in ("cause", "reason")])
def test_r8_a_missing_member_is_refused(name):
    body = event("allow")
    del body[name]
    refused(body)


@pytest.mark.parametrize("name", sorted({name for name, _ in BAD_TERMS} - {"expires_at"}))
def test_r14_missing_terms_are_refused(name):
    optional = {"drive_id", "asserted_parked", "guardian", "run_id"}
    body = event("allow")
    del body["terms"][name]
    if name in optional:
        assert getattr(after(body).terms, name) is None
    else:
        refused(body)


@pytest.mark.parametrize("kind", sorted({e.value for e in Event} - {e.value for e in GRANTING} | MARKS))
def test_r14_terms_belong_to_a_grant_alone(kind):
    assert "terms belong" in refused(event("allow") | {"kind": kind})


@pytest.mark.parametrize("kind", ["allow", "erased", "registered"])
def test_r6_epoch_zero_was_never_granted(kind):
    with pytest.raises(MalformedEvent, match="at least 1"):
        event(kind, 0)


def test_the_last_epoch_is_one():
    assert after(event("allow", 2**63 - 1)).epoch == 2**63 - 1


@pytest.mark.parametrize("thing", [None, [], "event", 1, b"{}"])
def test_r8_what_is_no_object_is_refused(thing):
    refused(thing)
    with pytest.raises(MalformedEvent):
        apply(RecordState(NAVIGATION), thing)


def test_a_writer_cannot_make_what_a_reader_would_refuse():
    for arguments in (
        {"kind": "granted"},
        {"kind": "allow"},
        {"kind": "withdraw", "terms": TERMS},
        {"kind": "withdraw", "epoch": -1},
        {"kind": "withdraw", "cause": "Not A Word"},
        {"kind": "revoke", "reason": Reason.ALLOWED},
        {"kind": "allow", "terms": replace(TERMS, notice_sha256="")},
    ):
        with pytest.raises(MalformedEvent):
            make_event(**{"purpose": NAVIGATION, "epoch": 1, "wall_s": NOW_S} | arguments)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300)
@given(st.sampled_from(sorted(event("allow"))), json_values, st.sampled_from(["", *sorted(event("allow")["terms"])]))
def test_r8_whatever_is_in_the_ledger_it_folds_or_is_refused(name, value, term):
    body = copy.deepcopy(event("allow"))
    if term:
        body["terms"][term] = value
    else:
        body[name] = value
    try:
        state = fold([body])[NAVIGATION]
    except MalformedEvent as error:
        assert error.__context__ is None
    else:
        assert state.status in (Status.GIVEN, Status.UNKNOWN, Status.REFUSED)


SECRET = "60.169856,24.938379"


@given(st.sampled_from(sorted(set(event("allow")) | set(event("allow")["terms"]))))
def test_r10_the_text_of_a_refusal_holds_no_value(name):
    body = event("allow")
    (body if name in body else body["terms"])[name] = [SECRET]
    assert SECRET not in refused(body)


def test_r17_a_mark_stays_and_no_later_grant_is_without_evidence():
    marked = after(event("allow", 2), event("minor", 2), event("revoke", 2), event("erased", 2))
    assert marked.minor and marked.guardian_missing
    for state in (marked, apply(marked, event("reset", 2))):
        with pytest.raises(MalformedEvent, match="guardian"):
            apply(state, event("allow", 3))
    form = make_event("allow", NAVIGATION, 3, NOW_S, terms=replace(TERMS, guardian="form 7"))
    again = apply(marked, form)
    assert again.status is Status.GIVEN and again.minor and not again.guardian_missing
    with pytest.raises(MalformedEvent, match="never granted"):
        apply(marked, event("minor", 3))


# -- the machine ----------------------------------------------------------------------------------


class Ledgers(RuleBasedStateMachine):
    """Any sequence of events on every purpose: folding is the table plus epochs, and pieces fold like the whole."""

    def __init__(self):
        super().__init__()
        self.bodies = []
        self.records = fold([])
        self.grants = defaultdict(int)
        self.ended_epochs = defaultdict(set)

    @rule(
        purpose=st.sampled_from(Purpose),
        kind=st.sampled_from([*Event, *sorted(MARKS)]),
        epoch_step=st.sampled_from([0, 0, 0, 1, 1, -1, 2]),
    )
    def happens(self, purpose, kind, epoch_step):
        before = self.records[purpose]
        epoch = max(before.epoch + epoch_step, 0)
        at = NOW + timedelta(seconds=len(self.bodies))
        try:
            body = event(kind, epoch, purpose, at=at)
            state = apply(before, body)
        except MalformedEvent:
            assert self.records[purpose] is before
            return
        self.bodies.append(body)
        self.records[purpose] = state
        if isinstance(kind, Event):
            assert state.status is transition(before.status, kind)
        if kind in GRANTING:
            assert epoch > before.epoch
            self.grants[purpose] = epoch
            if before.status.active:
                self.ended_epochs[purpose].add(before.epoch)
        elif kind in ENDING and before.status.active:
            self.ended_epochs[purpose].add(before.epoch)

    @invariant()
    def r6_an_ended_epoch_is_never_active_again(self):
        for purpose, record in self.records.items():
            if record.status.active:
                assert record.epoch not in self.ended_epochs[purpose]
                assert record.epoch == self.grants[purpose]
                assert record.terms is not None
                assert record.erased_epoch < record.epoch

    @invariant()
    def r17_a_minor_is_granted_nothing_without_evidence(self):
        for purpose, record in self.records.items():
            marks = [
                n for n, body in enumerate(self.bodies) if (body["kind"], body["purpose"]) == ("minor", purpose.value)
            ]
            assert record.minor is bool(marks)
            later = self.bodies[marks[0] :] if marks else []
            assert not any(body["purpose"] == purpose.value and "terms" in body for body in later)

    @invariant()
    def counts_stay_in_their_bounds(self):
        for record in self.records.values():
            assert 0 <= record.dismissals < 3
            assert record.erased_epoch <= record.epoch and record.registered_epoch <= record.epoch

    @invariant()
    def pieces_fold_like_the_whole(self):
        middle = len(self.bodies) // 2
        assert fold(self.bodies[middle:], fold(self.bodies[:middle])) == self.records


TestLedgers = Ledgers.TestCase
TestLedgers.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
