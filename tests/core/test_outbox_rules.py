"""What enters the outbox, what leaves it next, what has been there too long."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalos_connect_sdk.core.outbox import (
    Admission,
    BatchProgress,
    Done,
    Send,
    Wait,
    after_failure,
    expired_count,
    next_task,
    overflow,
)
from kalos_connect_sdk.core.retry import Action, Outcome
from kalos_connect_sdk.model.decision import Reason

TTL = 900.0
T = 1_000_000.0


def judge(admission, time_s=T, latitude=1.0, longitude=2.0, now_s=T, **how):
    return admission.judge(time_s, latitude, longitude, now_s, TTL, **how)


class TestAdmission:
    @pytest.mark.parametrize(
        ("age", "reason"),
        [
            (900.0, Reason.ALLOWED),
            (900.001, Reason.STALE),
            (-30.0, Reason.ALLOWED),
            (-30.001, Reason.FUTURE),
        ],
    )
    def test_stale_and_future(self, age, reason):
        assert judge(Admission(), time_s=T - age) is reason

    @pytest.mark.parametrize("age", [1e6, -1e6])
    def test_a_recording_keeps_its_times(self, age):
        assert judge(Admission(), time_s=T - age, recording=True) is Reason.ALLOWED

    def test_order(self):
        admission = Admission()
        assert judge(admission, T) is Reason.ALLOWED
        assert judge(admission, T - 1) is Reason.OUT_OF_ORDER
        assert judge(admission, T - 1, recording=True) is Reason.OUT_OF_ORDER
        assert judge(admission, T) is Reason.DUPLICATE
        assert judge(admission, T, latitude=1.1) is Reason.ALLOWED
        assert judge(admission, T, latitude=1.1, longitude=2.1) is Reason.ALLOWED
        assert judge(admission, T + 1, latitude=1.1, longitude=2.1) is Reason.ALLOWED

    def test_an_implied_time_is_neither_out_of_order_nor_a_repetition(self):
        admission = Admission()
        assert judge(admission, T) is Reason.ALLOWED
        assert judge(admission, T, implied=True) is Reason.ALLOWED
        assert judge(admission, T - 1, implied=True) is Reason.ALLOWED

    def test_a_refused_position_is_not_remembered(self):
        admission = Admission()
        assert judge(admission, T) is Reason.ALLOWED
        assert judge(admission, T + 31) is Reason.FUTURE
        assert judge(admission, T + 1) is Reason.ALLOWED

    def test_a_recording_may_begin_before_1970(self):
        assert judge(Admission(), -1e9, recording=True) is Reason.ALLOWED

    def test_r10_it_shows_nothing(self):
        admission = Admission()
        judge(admission, latitude=12.345678)
        assert "12.345678" not in repr(admission)

    @given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), max_size=30))
    def test_what_is_accepted_is_in_order_and_never_twice_in_a_row(self, points):
        admission = Admission()
        accepted = [p for p in points if judge(admission, T + p[0], float(p[1])) is Reason.ALLOWED]
        assert accepted == sorted(accepted, key=lambda point: point[0])
        assert all(a != b for a, b in pairwise(accepted))


class TestNextTask:
    def test_nothing_queued(self):
        assert next_task(0, 200, None, 0.0) == Done()
        assert next_task(0, 200, BatchProgress("k", 5), 0.0) == Done()

    @pytest.mark.parametrize(
        ("queued", "batch_max", "count"), [(1, 200, 1), (200, 200, 200), (201, 200, 200), (5, 0, 1)]
    )
    def test_a_new_batch(self, queued, batch_max, count):
        assert next_task(queued, batch_max, None, 0.0) == Send(count, None)

    def test_a_failed_batch_waits_and_then_goes_first_under_its_key(self):
        batch = BatchProgress("k", 5, 1, 10.0)
        assert next_task(300, 200, batch, 7.5) == Wait(2.5)
        assert next_task(300, 200, batch, 10.0) == Send(5, "k")
        assert next_task(3, 200, batch, 10.0) == Send(3, "k")


class TestAfterFailure:
    def test_backoff_grows_and_the_key_stays(self):
        batch = BatchProgress("k", 5)
        waits = []
        now = 100.0
        while batch is not None:
            batch = after_failure(batch, Outcome(Action.RETRY), now, 1.0, 8)
            if batch is not None:
                assert (batch.key, batch.count) == ("k", 5)
                waits.append(batch.not_before_s - now)
                now = batch.not_before_s
        assert waits == [1, 2, 4, 8, 16, 32, 60, 60]

    def test_no_retries_at_all(self):
        assert after_failure(BatchProgress("k", 5), Outcome(Action.RETRY), 0.0, 0.0, 0) is None

    def test_the_service_can_ask_for_more_but_not_for_less_than_the_backoff(self):
        batch = BatchProgress("k", 5)
        assert after_failure(batch, Outcome(Action.RETRY, 90.0), 1.0, 1.0, 8) == BatchProgress("k", 5, 1, 91.0)
        assert after_failure(batch, Outcome(Action.RETRY, 0.0), 1.0, 1.0, 8) == BatchProgress("k", 5, 1, 2.0)

    def test_a_refused_token_tries_again_at_once_but_only_once(self):
        first = after_failure(BatchProgress("k", 5), Outcome(Action.REGISTER), 10.0, 1.0, 8)
        assert first == BatchProgress("k", 5, 1, 10.0)
        assert after_failure(first, Outcome(Action.REGISTER), 10.0, 1.0, 8) == BatchProgress("k", 5, 2, 12.0)

    def test_split_halves_under_a_new_key_and_ends(self):
        batch = BatchProgress("k", 200, 3, 50.0)
        sizes = []
        while (batch := after_failure(batch, Outcome(Action.SPLIT), 60.0, 1.0, 3)) is not None:
            assert (batch.key, batch.attempts, batch.not_before_s) == (None, 3, 60.0)
            sizes.append(batch.count)
        assert sizes == [100, 50, 25, 12, 6, 3, 1]

    @pytest.mark.parametrize("action", [Action.DONE, Action.EXPIRE, Action.INVALIDATE, Action.REVOKE, Action.REJECT])
    def test_everything_else_gives_the_batch_up(self, action):
        assert after_failure(BatchProgress("k", 5), Outcome(action), 0.0, 0.0, 8) is None


class TestRetention:
    def test_the_oldest_go_first_and_only_they(self):
        assert expired_count([0, 500, 1000, 2000], 11_000, 10.0) == 2
        assert expired_count([0, 500], 10_000, 10.0) == 0
        assert expired_count([0, 500], 99_000, 10.0) == 2
        assert expired_count([], 99_000, 10.0) == 0

    def test_r13_turning_the_clock_back_keeps_nothing_longer(self):
        assert expired_count([50_000], 45_000, 10.0) == 0
        assert expired_count([50_000], 39_999, 10.0) == 1

    @pytest.mark.parametrize(("queued", "limit", "gone"), [(0, 5, 0), (5, 5, 0), (7, 5, 2), (7, 0, 7), (7, -1, 7)])
    def test_overflow(self, queued, limit, gone):
        assert overflow(queued, limit) == gone
