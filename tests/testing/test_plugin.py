"""The fixtures, as an app's own test suite meets them: in a pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from kalos_connect_sdk import Position, Reason
from kalos_connect_sdk.storage.kernelkeys import KernelKeyring
from kalos_connect_sdk.testing import plugin

# The fixtures of this module, too: so they run here whether or not the package is installed.
NAMES = ("kalos_service", "kalos_connect", "kalos_user", "kalos_vehicle", "kalos_clock", "no_location_leak")
globals().update({name: getattr(plugin, name) for name in NAMES})

SUITE = """
import socket

import pytest
from kalos_connect_sdk import ConsentRequired, Position, PromptAnswer, Reason

HERE = Position(60.1699123, 24.9384567)


def test_a_whole_story(kalos_connect, kalos_service, no_location_leak):
    assert kalos_connect.request_permission(user_action=True).granted
    assert kalos_connect.submit(HERE).accepted
    assert kalos_connect.flush().sent == 1
    assert len(kalos_service.positions) == 1
    assert kalos_connect.withdraw().complete


def test_the_parts_are_wired(kalos_connect, kalos_user, kalos_vehicle, kalos_clock):
    kalos_vehicle.move(13.9)
    assert kalos_connect.request_permission().reason is Reason.DEFERRED
    assert kalos_user.asked == 0
    kalos_vehicle.park()
    kalos_user.will(PromptAnswer.deny())
    assert not kalos_connect.request_permission(user_action=True).granted
    assert kalos_user.asked == 1
    assert kalos_clock.simulated


def test_a_leak_fails(kalos_connect, no_location_leak):
    left, right = socket.socketpair()
    with left, right:
        with pytest.raises(ConsentRequired):
            kalos_connect.submit(HERE)
        try:
            left.sendall(b"60.1699123,24.9384567")
        except AssertionError:
            pass
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    installed = list(entry_points(group="pytest11", name="kalos_connect"))
    load = [] if installed else ["-p", "kalos_connect_sdk.testing.plugin"]
    root = Path(__file__).resolve().parents[2]
    path = [] if installed else [str(root)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment["PYTHONPATH"] = os.pathsep.join([*path, environment.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    # A setting of the developer's own machine must not reach the fixtures.
    environment["KALOS_CONNECT_MAX_RETRIES"] = "not a number"
    command = [sys.executable, "-m", "pytest", *load, "-p", "no:cacheprovider", "-q", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100)


def test_an_app_uses_the_fixtures(tmp_path):
    (tmp_path / "test_app.py").write_text(SUITE)
    done = run(tmp_path)
    assert "\n3 passed, 1 error in" in done.stdout, done.stdout + done.stderr
    assert "ERROR test_app.py::test_a_leak_fails" in done.stdout
    assert "LocationLeak" in done.stdout


def test_a_suite_that_does_not_use_it_imports_nothing_of_it(tmp_path):
    (tmp_path / "test_app.py").write_text(
        "import sys\n"
        "def test_light():\n"
        "    heavy = {'kalos_connect_sdk.connect', 'kalos_connect_sdk.testing.leak', 'requests', 'sqlite3', 'cryptography'}\n"
        "    assert not heavy & set(sys.modules)\n"
    )
    done = run(tmp_path)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


@pytest.fixture
def a_setting_of_this_machine(monkeypatch):
    monkeypatch.setenv("KALOS_CONNECT_MAX_RETRIES", "not a number")


def test_a_story_in_this_process(
    a_setting_of_this_machine, kalos_connect, kalos_service, kalos_user, kalos_vehicle, kalos_clock, no_location_leak
):
    assert kalos_connect.permission().reason is Reason.NOT_ASKED
    assert kalos_connect.request_permission(user_action=True).granted and kalos_user.asked == 1
    assert kalos_connect.submit(Position(60.1699123, 24.9384567)).accepted
    assert kalos_connect.flush().sent == len(kalos_service.positions) == 1
    kalos_clock.advance(13 * 3600)
    assert kalos_connect.permission().reason is Reason.EXPIRED, "a drive lasts twelve hours"


@pytest.fixture
def slot_afterwards():
    slots: list[str] = []
    yield slots
    keyring = KernelKeyring()
    if keyring.works():
        assert [keyring.search(f"kalos-connect:{slot}") for slot in slots] == [None]


def test_no_data_key_outlives_the_test(slot_afterwards, kalos_connect):
    assert kalos_connect.request_permission(user_action=True).granted
    assert kalos_connect.submit(Position(60.1699123, 24.9384567)).accepted
    slot_afterwards.append(kalos_connect._opened().state.directory.slot)


def test_no_state_no_data_key(tmp_path):
    plugin._forget_data_keys(tmp_path)
    assert list(tmp_path.iterdir()) == []
