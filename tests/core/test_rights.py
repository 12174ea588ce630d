"""When an answer to a rights request is owed, and what counts as one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalos_connect_sdk.core.rights import due, word_of
from kalos_connect_sdk.model.rights import DeletionReason, RequestKind, RequestStatus, RightsRequest

AWARE = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("made", "where", "owed"),
    [
        ("2026-11-24", "CN", "2026-12-08"),  # ten working days, two weekends between
        ("2026-11-28", "CN", "2026-12-11"),  # made on a Saturday
        ("2026-11-24", "DE", "2026-12-24"),
        ("2026-01-31", "DE", "2026-02-28"),  # one month is less than 30 days
        ("2024-01-31", "DE", "2024-02-29"),
        ("2026-12-15", "DE", "2027-01-14"),  # 30 days are less than one month
    ],
)
def test_the_earliest_of_policy_and_law(made, where, owed):
    assert due(at(made), where) == at(owed)


@given(AWARE, st.sampled_from(["CN", "DE", "US", ""]))
def test_an_answer_is_never_owed_later_than_the_policy_promises(made, where):
    assert made < due(made, where) <= made + timedelta(days=30)


def said(**changes):
    return {"request_id": "r", "kind": "deletion", "status": "completed", **changes}


def test_a_word_about_another_request_or_kind_is_none():
    assert word_of(said(), "r", RequestKind.DELETION).status is RequestStatus.COMPLETED
    assert word_of(said(request_id="s"), "r", RequestKind.DELETION) is None
    assert word_of(said(kind="access"), "r", RequestKind.DELETION) is None


@pytest.mark.parametrize("status", ["pending", "done", None, 1, [], {}])
def test_only_a_known_status_acknowledges(status):
    assert word_of(said(status=status), "r", RequestKind.DELETION) is None


def test_a_refusal_is_kept_with_its_reason_and_a_success_has_none():
    refusal = {"code": "legal-hold", "reason": "A court."}
    word = word_of(said(status="refused", refusal=refusal), "r", RequestKind.DELETION)
    assert (word.refusal_code, word.refusal_reason) == ("legal-hold", "A court.")
    assert word_of(said(refusal=refusal), "r", RequestKind.DELETION).refusal_code is None


@pytest.mark.parametrize(
    "text", ["2026-13-01", "yesterday", "2026-01-01T00:00:00", 5, None, "9999-12-31T23:59:59+00:00"]
)
def test_a_due_date_that_is_none_is_left_out(text):
    assert word_of(said(due_at=text), "r", RequestKind.DELETION).due_at is None


@pytest.mark.parametrize("text", ["2026-12-24T01:00:00+01:00", "2026-12-24T00:00:00Z"])
def test_a_due_date_is_kept_as_the_moment_it_names(text):
    assert word_of(said(due_at=text), "r", RequestKind.DELETION).due_at == at("2026-12-24")


def test_of_an_outcome_twenty_members_are_kept():
    outcome = {f"part-{number:02}": number for number in range(25)}
    assert word_of(said(outcome=outcome), "r", RequestKind.DELETION).outcome == dict(list(outcome.items())[:20])


def test_of_an_outcome_only_counts_and_short_texts_are_kept():
    outcome = {"positions": 3, "text": "x" * 5000, "where": [60.1, 24.9], "at": 60.17, "no": None, "n" * 65: 1}
    kept = word_of(said(outcome=outcome), "r", RequestKind.DELETION).outcome
    assert kept == {"positions": 3, "text": "x" * 2000}


@given(JSON)
def test_no_answer_crashes_it(document):
    word_of(document, "r", RequestKind.ACCESS)
    if isinstance(document, dict):
        word_of({**document, "request_id": "r", "kind": "access", "status": "refused"}, "r", RequestKind.ACCESS)


def request(status: RequestStatus, reason: str | None = None) -> RightsRequest:
    return RightsRequest(
        "r", RequestKind.DELETION, DeletionReason.BREACH, at("2026-01-01"), at("2026-01-15"), status, (), "x",
        refusal_reason=reason,
    )  # fmt: skip


def test_a_refusal_without_a_reason_is_flagged():
    assert request(RequestStatus.REFUSED).unexplained and request(RequestStatus.REFUSED, " ").unexplained
    assert not request(RequestStatus.REFUSED, "A court.").unexplained
    assert not request(RequestStatus.COMPLETED).unexplained


def test_overdue_is_about_requests_still_open():
    late = at("2026-01-16")
    assert request(RequestStatus.PENDING).overdue(late) and request(RequestStatus.IDENTITY_PENDING).overdue(late)
    assert not request(RequestStatus.COMPLETED).overdue(late) and not request(RequestStatus.PENDING).overdue(
        at("2026-01-15")
    )
