"""An integration test of *your* app, with the fixtures this package brings to pytest.

    pytest examples/test_my_app.py

`kalos_connect` is a real Connect against `kalos_service`, a real HTTP server on loopback; `kalos_user` is the
person who answers, `kalos_vehicle` the car, `kalos_clock` the time.
"""

from __future__ import annotations

import pytest

from kalos_connect_sdk import ConsentRequired, PermissionState, Position, PromptAnswer


def share_location(connect, position) -> int:
    """The app under test: asks once, then sends."""
    if not connect.permission().granted and not connect.request_permission(user_action=True).granted:
        return 0
    connect.submit(position)
    return connect.flush().sent


def test_it_sends_after_a_yes(kalos_connect, kalos_service, kalos_user):
    kalos_user.will(PromptAnswer.allow())
    assert share_location(kalos_connect, Position(60.17, 24.94)) == 1
    assert len(kalos_service.positions) == 1


def test_it_sends_nothing_after_a_no(kalos_connect, kalos_service, kalos_user):
    kalos_user.will(PromptAnswer.deny())
    assert share_location(kalos_connect, Position(60.17, 24.94)) == 0
    assert kalos_service.positions == []


def test_it_does_not_ask_while_driving(kalos_connect, kalos_vehicle, kalos_user):
    kalos_user.will(PromptAnswer.allow())
    kalos_vehicle.move(13.9)
    assert kalos_connect.request_permission(user_action=True).state is PermissionState.DEFERRED


def test_it_stops_when_the_driver_says_so(kalos_connect, kalos_service, kalos_user, no_location_leak):
    kalos_user.will(PromptAnswer.allow())
    share_location(kalos_connect, Position(60.17, 24.94))
    assert kalos_connect.withdraw().complete
    with pytest.raises(ConsentRequired):
        kalos_connect.submit(Position(60.18, 24.95))
    assert len(kalos_service.positions) == 1
