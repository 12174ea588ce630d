"""R3: an end that another program or the service made reaches subscribers, a running drive and the indicator."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kalos_connect_sdk import Permission, PermissionState, Position, Reason
from kalos_connect_sdk.model.events import ConsentLost
from kalos_connect_sdk.sources import PushSource

HERE = (60.1699, 24.9384)
CLI = "import sys; from kalos_connect_sdk.cli.main import main; sys.exit(main())"
OTHER = r"""
import sys
from kalos_connect_sdk import Config, Connect
connect = Connect("com.example.test", config=Config(state_dir=sys.argv[1], vault=sys.argv[2], service_url=sys.argv[3]))
assert connect.withdraw(timeout_s=30).complete
connect.close()
"""


class Told:
    """A granted facade with a subscriber and a running drive."""

    def __init__(self, make: Any) -> None:
        self.connect = make()
        assert self.connect.request_permission(user_action=True).granted
        self.news: queue.SimpleQueue[Permission] = queue.SimpleQueue()
        self.connect.on_change(self.news.put)
        self.source = PushSource()
        self.drive = self.connect.drive(self.source)
        assert self.connect.sharing

    def assert_ended(self, state: PermissionState, reason: Reason) -> None:
        """Each waits for the event itself."""
        told = self.news.get(timeout=60)
        assert not told.granted, "the first news is the end"
        while (told.state, told.reason) != (state, reason):
            told = self.news.get(timeout=60)
            assert not told.granted
        assert self.drive.wait(60), "the drive ends by itself"
        lost = [event for event in self.drive if isinstance(event, ConsentLost)]
        assert len(lost) == 1
        assert not self.connect.sharing
        assert self.connect.permission().state is state


@pytest.fixture
def told(make) -> Told:
    return Told(make)


def withdraw_elsewhere(by: str, tmp_path: Path, url: str) -> None:
    state, vault = str(tmp_path / "state"), f"file:{tmp_path / 'vault'}"
    if by == "another program":
        command, settings = [sys.executable, "-c", OTHER, state, vault, url], {}
    else:
        command = [sys.executable, "-c", CLI, "consent", "withdraw", "--app", "com.example.test"]
        settings = {"STATE_DIR": state, "VAULT": vault, "SERVICE_URL": url}
    environment = {**os.environ, **{f"KALOS_CONNECT_{name}": value for name, value in settings.items()}}
    done = subprocess.run(command, capture_output=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.once
@pytest.mark.fault(19)
@pytest.mark.parametrize("by", ["another program", "the command line"])
def test_r3_a_withdrawal_made_elsewhere_is_told_everywhere(told, service, tmp_path, by):
    withdraw_elsewhere(by, tmp_path, service.url)
    told.assert_ended(PermissionState.BLOCKED, Reason.WITHDRAWN)


@pytest.mark.once
@pytest.mark.fault(31)
@pytest.mark.parametrize(
    ("status", "problem", "state", "reason"),
    [
        (410, "consent-withdrawn", PermissionState.BLOCKED, Reason.REVOKED),
        (403, "consent-required", PermissionState.BLOCKED, Reason.REVOKED),
        (403, "consent-expired", PermissionState.PROMPT, Reason.EXPIRED),
        (403, "cross-border", PermissionState.BLOCKED, Reason.REVOKED),
        (409, "notice-changed", PermissionState.PROMPT, Reason.NOTICE_CHANGED),
    ],
)
def test_r3_what_the_service_answers_to_a_send_is_told_everywhere(told, service, status, problem, state, reason):
    service.fail(status=status, problem=problem, path="/v1/positions", times=None)
    told.source.put(Position(*HERE))
    told.assert_ended(state, reason)


@pytest.mark.once
@pytest.mark.fault(26)
def test_r3_what_the_service_says_when_asked_is_told_everywhere(make, service):
    make().request_permission(user_action=True)
    told = Told(make)  # a program that has not asked yet
    service.revoke()
    told.source.put(Position(*HERE))
    told.assert_ended(PermissionState.BLOCKED, Reason.REVOKED)
    assert service.positions == []
