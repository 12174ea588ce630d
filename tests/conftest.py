"""What every test shares: a private state, a real service on loopback, and no skip where CI says it must run."""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import HealthCheck, settings

from kalos_connect_sdk import AssertedParked, Config, Connect, PromptAnswer
from kalos_connect_sdk.storage.datakeys import DataKeys
from kalos_connect_sdk.storage.directory import StateDirectory
from kalos_connect_sdk.testing import ScriptedPrompter, ServiceEmulator

MayNotSkip = os.environ.get("KALOS_TESTS_MUST_RUN") == "1"

settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")  # a busy machine is not a failing test


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Iterator[None]:
    """Where CI installs everything and the recordings are at hand, a skip is a failure."""
    outcome: Any = yield
    report = outcome.get_result()
    if MayNotSkip and report.skipped and not hasattr(report, "wasxfail"):
        reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"skipped where it must run: {reason}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """``KALOS_ONCE=1/3``: of the tests marked `once`, the part of the first of three interpreters. A test's name decides,
    so that a repetition of a few finds the same ones. Those marked `first` are all the first one's."""
    part, _, parts = os.environ.get("KALOS_ONCE", "1/1").partition("/")

    def ours(item: pytest.Item) -> bool:
        if item.get_closest_marker("first") is not None:
            return part == "1"
        name = item.nodeid.partition("[")[0]
        return item.get_closest_marker("once") is None or zlib.adler32(name.encode()) % int(parts) == int(part) - 1

    left = [item for item in items if not ours(item)]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if ours(item)]


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Who vouches for the servers of tests over TLS."""
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_bundle(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file that makes a client believe it."""
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture(autouse=True)
def _private_environment(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads this machine's settings or writes its state."""
    for name in list(os.environ):
        if name.startswith("KALOS_CONNECT_"):
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    for name, folder in (("XDG_STATE_HOME", "state"), ("XDG_CONFIG_HOME", "config"), ("XDG_DATA_HOME", "data")):
        monkeypatch.setenv(name, str(home / folder))


@pytest.fixture
def service() -> Iterator[ServiceEmulator]:
    """A real HTTP service on a free loopback port."""
    with ServiceEmulator() as emulator:
        yield emulator


QUIET_CHROMIUM = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Real Chromium, which talks to nobody but the page."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=list(QUIET_CHROMIUM))
        yield browser
        browser.close()


Maker = Callable[..., Connect]


@pytest.fixture
def make(tmp_path: Path, service: ServiceEmulator) -> Iterator[Maker]:
    """Makes facades that share one state directory and one key file; closes them at the end."""
    made: list[Connect] = []

    def make_one(*answers: PromptAnswer, **options: Any) -> Connect:
        settings = {
            "service_url": service.url,
            "state_dir": str(tmp_path / "state"),
            "vault": f"file:{tmp_path / 'vault'}",
            **options.pop("settings", {}),
        }
        options.setdefault("vehicle", AssertedParked("a test bench"))
        options.setdefault("prompter", ScriptedPrompter(*(answers or (PromptAnswer.allow(),))))
        connect = Connect("com.example.test", config=Config(**settings), **options)
        made.append(connect)
        return connect

    yield make_one
    for connect in made:
        connect.close()
    for leaf in (tmp_path / "state").glob("*/*/"):
        profile = None if leaf.name.startswith("_") else leaf.name
        directory = StateDirectory.open(leaf.parent.name, profile, str(tmp_path / "state"), create=False)
        DataKeys.choose(directory, None).remove()  # the kernel's keyring has a quota
