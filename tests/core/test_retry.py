"""What an answer means: the table, total over every status."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalos_connect_sdk.core.retry import Action, Outcome, backoff_s, notice_outcome, outcome, retry_after_s

NOW = 1_445_412_000.0  # Wed, 21 Oct 2015 07:20:00 GMT

TABLE = [
    (None, None, Action.RETRY),
    (100, None, Action.RETRY),
    (200, None, Action.DONE),
    (202, "consent-withdrawn", Action.DONE),
    (299, None, Action.DONE),
    (300, None, Action.RETRY),
    (307, None, Action.RETRY),
    (308, None, Action.RETRY),
    (400, None, Action.REJECT),
    (401, None, Action.REGISTER),
    (403, "consent-expired", Action.EXPIRE),
    (403, "consent-required", Action.REVOKE),
    (403, "cross-border", Action.REVOKE),
    (403, None, Action.REVOKE),
    (404, None, Action.REJECT),
    (408, None, Action.RETRY),
    (409, "notice-changed", Action.INVALIDATE),
    (409, None, Action.INVALIDATE),
    (409, "something-else", Action.REJECT),
    (410, "consent-withdrawn", Action.REVOKE),
    (410, None, Action.REVOKE),
    (413, None, Action.SPLIT),
    (415, None, Action.REJECT),
    (422, "consent-expired", Action.REJECT),
    (429, None, Action.RETRY),
    (451, None, Action.REJECT),
    (500, None, Action.RETRY),
    (502, "consent-expired", Action.RETRY),
    (503, None, Action.RETRY),
    (599, None, Action.RETRY),
]


@pytest.mark.parametrize(("status", "problem", "action"), TABLE)
def test_the_table(status, problem, action):
    assert outcome(status, problem, None, now_wall_s=NOW) == Outcome(action, None)


@given(st.none() | st.integers(-10, 1000), st.none() | st.text(), st.none() | st.text())
def test_total_and_only_2xx_is_done(status, problem, header):
    result = outcome(status, problem, header, now_wall_s=NOW)
    assert (result.action is Action.DONE) == (status is not None and 200 <= status < 300)
    assert result.wait_s is None or 0 <= result.wait_s <= 3600


@given(st.none() | st.integers(-10, 1000), st.none() | st.text())
def test_r5_nothing_but_a_2xx_makes_a_notice_go_away(status, header):
    action = notice_outcome(status, header, now_wall_s=NOW).action
    assert action is (Action.DONE if status is not None and 200 <= status < 300 else Action.RETRY)


@pytest.mark.parametrize(
    ("status", "action"), [(199, Action.RETRY), (200, Action.DONE), (299, Action.DONE), (300, Action.RETRY)]
)
def test_r5_a_notice_is_acknowledged_by_every_2xx_and_no_other(status, action):
    assert notice_outcome(status).action is action


def test_a_notice_without_a_clock_counts_a_date_from_1970():
    assert notice_outcome(503, "Thu, 01 Jan 1970 00:00:10 GMT").wait_s == 10.0


@pytest.mark.parametrize("status", [429, 503])
def test_a_notice_waits_as_asked(status):
    assert notice_outcome(status, "7", now_wall_s=NOW) == Outcome(Action.RETRY, 7.0)
    assert notice_outcome(status) == Outcome(Action.RETRY, None)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("3601", 3600.0),
        ("0000000000000000000007", 7.0),
        ("9" * 5000, 3600.0),
        ("100000000000", 3600.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 480.0),
        ("Wednesday, 21-Oct-15 07:28:00 GMT", 480.0),
        ("Wed Oct 21 07:28:00 2015", 480.0),
        ("Wed, 21 Oct 2015 07:00:00 GMT", 0.0),
        ("Wed, 21 Oct 2099 07:28:00 GMT", 3600.0),
        ("Wed, 99 Oct 2015 99:28:00 GMT", None),
        ("Wed, 21 Oct 99999999999999 07:28:00 GMT", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT" + " " * 10 + "x" * 100, None),
        ("-5", None),
        ("1.5", None),
        ("١٢", None),
        ("", None),
        ("soon", None),
    ],
)
def test_retry_after_in_both_forms(header, seconds):
    assert retry_after_s(header, now_wall_s=NOW) == seconds


def test_retry_after_counts_only_where_it_is_defined():
    assert outcome(429, None, "30", now_wall_s=NOW).wait_s == 30.0
    assert outcome(503, None, "30", now_wall_s=NOW).wait_s == 30.0
    assert outcome(500, None, "30", now_wall_s=NOW).wait_s is None


@pytest.mark.parametrize(
    ("attempt", "full"), [(0, 1), (1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 32), (7, 60), (8, 60), (10**9, 60)]
)
def test_backoff_doubles_to_a_minute(attempt, full):
    assert backoff_s(attempt, 1.0) == full
    assert backoff_s(attempt, 0.0) == full / 2
    assert backoff_s(attempt, 0.5) == full * 0.75


@given(st.integers(), st.floats(allow_nan=False))
def test_backoff_is_bounded_whatever_it_is_given(attempt, jitter):
    assert 0.5 <= backoff_s(attempt, jitter) <= 60.0
