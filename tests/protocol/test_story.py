"""The whole path of one consent: ask, submit, send, withdraw, nothing leaves, the service knows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kalos_connect_sdk import (
    ConsentRequired,
    Duration,
    KalosConnectError,
    PermissionState,
    Place,
    Position,
    Precision,
    PromptAnswer,
    Purpose,
    Reason,
)

HERE = (60.1699, 24.9384)


def walk(count: int) -> list[Position]:
    now = datetime.now(UTC) - timedelta(seconds=1)
    return [
        Position(HERE[0] + i * 1e-5, HERE[1], accuracy_m=4.0, speed_mps=1.2, time=now + timedelta(milliseconds=i))
        for i in range(count)
    ]


def test_r1_before_asking_nothing_is_accepted(make, service):
    connect = make()
    permission = connect.permission()
    assert permission.state is PermissionState.PROMPT and permission.reason is Reason.NOT_ASKED
    with pytest.raises(ConsentRequired) as caught:
        connect.submit(Position(*HERE))
    assert caught.value.reason is Reason.NOT_ASKED
    assert connect.flush().sent == 0
    assert service.requests == []


def test_the_whole_path(make, service):
    connect = make()
    permission = connect.request_permission(user_action=True)
    assert permission.granted and permission.epoch == 1 and permission.precision is Precision.PRECISE
    assert all(connect.submit(position).accepted for position in walk(250))
    assert not [r for r in service.requests if r["path"].endswith("/positions")], "nothing is sent before flush()"
    report = connect.flush()
    assert (report.sent, report.remaining, report.rejected) == (250, 0, 0)
    assert len(service.positions) == 250
    assert service.positions[7]["latitude"] == pytest.approx(HERE[0] + 7e-5, abs=1e-6)
    for position in walk(3):
        assert connect.submit(Position(position.latitude, position.longitude)).accepted
    ended = connect.withdraw()
    assert ended.complete and ended.durable and ended.dropped == 3 and ended.holders == ()
    with pytest.raises(ConsentRequired) as caught:
        connect.submit(Position(*HERE))
    assert caught.value.reason is Reason.WITHDRAWN
    assert connect.permission().state is PermissionState.BLOCKED
    assert connect.wait_for_notices(5.0)
    assert [w["epoch"] for w in service.withdrawals] == [1]
    assert connect.flush().sent == 0
    assert len(service.positions) == 250


def test_r6_a_new_grant_never_revives_what_was_buffered(make, service):
    connect = make()
    connect.request_permission(user_action=True)
    for position in walk(20):
        connect.submit(position)
    connect.withdraw()
    again = connect.request_permission(user_action=True)
    assert again.granted and again.epoch == 2
    assert connect.flush().sent == 0
    assert connect.submit(Position(*HERE)).accepted
    assert connect.flush().sent == 1
    assert {p["epoch"] for p in service.positions} == {2}


def test_r5_a_second_process_finds_it_withdrawn(make, service):
    first = make()
    first.request_permission(user_action=True)
    first.withdraw()
    first.close()
    second = make()
    assert second.permission().reason is Reason.WITHDRAWN


def test_a_grant_survives_closing(make, service):
    first = make(PromptAnswer.allow(Duration.days(7)))
    assert first.request_permission(user_action=True).expires_at is not None
    first.close()
    second = make()
    assert second.permission().granted
    assert second.submit(Position(*HERE)).accepted
    assert second.flush().sent == 1


def test_positions_of_a_closed_facade_are_sent_by_the_next(make, service):
    first = make()
    first.request_permission(user_action=True)
    for position in walk(5):
        first.submit(position)
    first.close()
    assert service.positions == []
    second = make()
    assert second.flush().sent == 5


def test_r15_asking_for_approximate_under_a_precise_grant_downgrades_through_the_drop(make, service):
    connect = make()
    connect.request_permission(user_action=True)
    connect.submit(Position(*HERE))
    permission = connect.request_permission(precision=Precision.APPROXIMATE)
    assert permission.granted and permission.precision is Precision.APPROXIMATE and permission.epoch == 2
    connect.submit(Position(*HERE))
    assert connect.flush().sent == 1
    (sent,) = service.positions
    assert abs(sent["latitude"] - HERE[0]) > 1e-6 or abs(sent["longitude"] - HERE[1]) > 1e-6
    assert sent["epoch"] == 2


def test_an_answer_never_exceeds_the_precision_asked_for(make):
    connect = make(PromptAnswer.allow(precision=Precision.PRECISE))
    permission = connect.request_permission(precision=Precision.APPROXIMATE, user_action=True)
    assert permission.precision is Precision.APPROXIMATE


def test_r12_a_refusal_is_asked_about_again_only_on_a_user_action(make):
    connect = make(PromptAnswer.deny(), PromptAnswer.allow())
    assert connect.request_permission().state is PermissionState.BLOCKED
    assert connect.request_permission().reason is Reason.REFUSED
    assert connect.request_permission(user_action=True).granted


def test_r11_withdrawing_works_in_any_state_and_twice(make, service):
    connect = make()
    assert connect.withdraw().complete
    connect.request_permission(user_action=True)
    assert connect.withdraw().complete
    assert connect.withdraw().complete
    assert connect.permission().reason is Reason.WITHDRAWN


def test_r19_a_route_between_typed_places_needs_no_permission(make, service):
    connect = make()
    with pytest.raises(ConsentRequired):
        connect.route(Place(60.17, 24.94))


def test_r10_reports_and_permissions_show_no_coordinate(make, service):
    connect = make()
    connect.request_permission(user_action=True)
    connect.submit(Position(*HERE))
    shown = repr([connect, connect.permission(), connect.flush(), connect.withdraw(), connect.receipts()])
    assert "60.1" not in shown and "24.9" not in shown


def test_receipts_tell_the_story_and_verify(make, service):
    connect = make()
    connect.request_permission(user_action=True)
    connect.withdraw()
    (receipt,) = connect.receipts()
    assert "60.1" not in receipt.to_json()
    assert "ConsentWithdrawn" in receipt.to_json()
    assert "a test bench" in receipt.to_json()


def test_on_change_hears_of_a_withdrawal_made_elsewhere(make, service):
    import queue

    first, second = make(), make()
    first.request_permission(user_action=True)
    heard: queue.Queue = queue.Queue()
    second.on_change(heard.put)
    first.withdraw()
    reasons = [heard.get(timeout=5).reason]
    while reasons[-1] is not Reason.WITHDRAWN:
        reasons.append(heard.get(timeout=5).reason)
    assert second.permission().reason is Reason.WITHDRAWN


def test_withdrawing_one_purpose_leaves_the_other_alone(make, service):
    connect = make()
    connect.request_permission(user_action=True)
    connect.request_permission(Purpose.CROSS_BORDER_TRANSFER, user_action=True)
    assert connect.withdraw(Purpose.CROSS_BORDER_TRANSFER).complete
    assert connect.permission(Purpose.CROSS_BORDER_TRANSFER).reason is Reason.WITHDRAWN
    assert connect.permission().granted
    assert connect.submit(Position(*HERE)).accepted
    assert connect.flush().sent == 1


def test_a_closed_facade_says_so(make):
    connect = make()
    connect.close()
    with pytest.raises(KalosConnectError, match="closed"):
        connect.permission()
