"""xdg-desktop-portal, the real one with its permission store and a scripted person: as a source, and as a gate."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from desktop_bench import DEADLINE_S, Desktop, Portal, desktop, until
from receivers import Bench, Reader, Told, bench

import kalos_connect_sdk
from kalos_connect_sdk import ConsentRequired, OsAnswer, OsPermission, Position, Reason, SourceUnavailable
from kalos_connect_sdk.sources import open_source

__all__ = ["bench", "desktop"]
pytestmark = pytest.mark.once
APP = "com.kalos.Connect"


@pytest.fixture
def portal(desktop: Desktop, monkeypatch: pytest.MonkeyPatch) -> Portal:
    desktop.run()
    started = desktop.run_portal()
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", started.bus.address)
    return started


@pytest.fixture
def permission(bench: Bench) -> Callable[[], Any]:
    from kalos_connect_sdk.sources import PortalOsPermission

    return lambda: bench.keep(PortalOsPermission(APP))


@pytest.fixture
def begun(tmp_path: Path) -> Callable[[str], subprocess.Popen[str]]:
    """An app inside a sandbox that reads a URL."""
    if os.geteuid() != 0:
        pytest.skip("only root can make the sandbox")
    here = Path(__file__).parent
    project = Path(kalos_connect_sdk.__file__).parents[1]
    kept = {here, project, Path(sys.prefix), Path(sys.base_prefix), tmp_path}
    kept = {one for one in kept if not any(other in one.parents for other in kept)}

    return lambda url: subprocess.Popen(
        [str(here / "in_a_sandbox.sh"), APP, "/mnt", ":".join(map(str, kept)),
         sys.executable, str(here / "portal_reader.py"), url],
        env={**os.environ, "PYTHONPATH": str(project)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def met(app: subprocess.Popen[str]) -> str:
    """What it says, when it has ended."""
    with app:
        try:
            said, complained = app.communicate(timeout=60)
        finally:
            if app.poll() is None:
                os.killpg(app.pid, signal.SIGKILL)
    assert app.returncode == 0, complained
    return said.strip()


@pytest.fixture
def sandboxed(begun: Callable[[str], subprocess.Popen[str]]) -> Callable[[str], str]:
    """What an app inside a sandbox meets at a URL."""
    return lambda url: met(begun(url))


def test_outside_a_sandbox_nobody_is_asked(portal, bench):
    source = bench.keep(open_source("portal:"))
    reader = Reader(source)
    first, second = reader.next(), reader.next()
    assert 60.17 < first.latitude < second.latitude and portal.person.asked == []
    assert first.speed_mps == pytest.approx(10.0, abs=0.01) and repr(source) == "<PortalSource open>"


def test_a_person_who_allows_is_asked_once_and_one_who_denies_never_again(portal, sandboxed, permission):
    told = permission()
    assert told.read() is OsAnswer.UNKNOWN
    portal.person.answer = 1
    assert sandboxed("portal:").startswith("refused: the person does not allow location for this app")
    assert told.wait_for(OsAnswer.DENIED, DEADLINE_S), "the store tells it"
    portal.person.answer = 0
    assert sandboxed("portal:").startswith("refused:"), "a no stands"
    assert [member for member, _ in portal.person.asked] == ["AccessDialog"]
    portal.settings(APP, "EXACT", "0")
    assert told.wait_for(OsAnswer.GRANTED, DEADLINE_S) and told.problem is None
    assert sandboxed("portal:?accuracy=exact") == "allowed: <Position WGS84>"
    assert len(portal.person.asked) == 1


def test_granted_by_the_person_in_the_portal_s_own_question(portal, sandboxed, permission):
    told = permission()
    assert sandboxed("portal:") == "allowed: <Position WGS84>"
    assert told.wait_for(OsAnswer.GRANTED, DEADLINE_S)
    [(_, question)] = portal.person.asked
    assert question[1] == APP


def test_a_portal_that_is_killed_while_a_person_thinks_asks_again(portal, begun):
    portal.person.answer = None
    app = begun("portal:")
    until(lambda: portal.person.asked, "the question")
    portal.person.answer = 0
    portal.restart()
    assert met(app) == "allowed: <Position WGS84>", "nobody had said no"
    assert [member for member, _ in portal.person.asked] == ["AccessDialog"] * 2


def test_that_the_portal_or_its_store_left_is_believed_from_the_bus_alone(portal, bench, permission):
    portal.settings(APP, "EXACT", "0")
    allowed = permission()
    assert allowed.wait_for(OsAnswer.GRANTED, DEADLINE_S)
    answers: list[OsAnswer] = []
    allowed.subscribe(lambda: answers.append(allowed.read()))
    source = bench.keep(open_source("portal:"))
    troubles: list[str | None] = []
    source.watch(troubles.append)
    reader = Reader(source)
    assert reader.next()
    portal.bus.claim_left("org.freedesktop.portal.Desktop")
    portal.bus.claim_left("org.freedesktop.impl.portal.PermissionStore")
    portal.settings(APP, "NONE", "0")
    until(lambda: OsAnswer.DENIED in answers, "the store's own word")
    assert answers == [OsAnswer.DENIED]
    reader.forget()
    assert reader.next() and reader.next() and troubles == []


def test_a_portal_without_positions_says_so(portal, bench, monkeypatch):
    monkeypatch.setattr("kalos_connect_sdk.sources.portal.FIRST_S", 0.5)
    source = bench.keep(open_source("portal:?accuracy=city"))  # there is nothing but a receiver
    told, _ = Told(source), Reader(source)
    assert "check that GeoClue has a receiver or a network" in told.until("says no position")


def test_a_lockdown_and_a_switch_are_told(portal, desktop):
    portal.person.locked = True
    portal.restart()  # it reads the lockdown when it starts
    with pytest.raises(SourceUnavailable, match="administrator has switched it off") as caught:
        next(iter(open_source("portal:")))
    assert caught.value.__context__ is None
    portal.person.locked = False
    portal.restart()
    desktop.agents[0].switch(0)
    with pytest.raises(SourceUnavailable, match="check that GeoClue runs and that location is switched on"):
        next(iter(open_source("portal:")))


def test_r1_the_stored_answer_is_a_gate_in_front_of_consent(portal, permission, make, service):
    told = permission()
    assert isinstance(told, OsPermission)
    connect = make(os_permission=told)
    until(lambda: told.problem and "nobody was asked yet" in told.problem, "the store's answer")
    assert connect.request_permission(user_action=True).reason is Reason.OS_UNKNOWN, "R1"
    portal.settings(APP, "EXACT", "0")
    assert told.wait_for(OsAnswer.GRANTED, DEADLINE_S)
    assert connect.request_permission(user_action=True).granted
    assert connect.submit(Position(60.17, 24.94)).accepted
    portal.settings(APP, "NONE", "0")
    assert told.wait_for(OsAnswer.DENIED, DEADLINE_S) and "privacy settings" in told.problem
    with pytest.raises(ConsentRequired) as refused:
        connect.submit(Position(60.18, 24.94))
    assert refused.value.reason is Reason.OS_DENIED
    until(lambda: service.withdrawals, "the service is told that the grant is over")
    connect.flush()
    assert service.positions == []
    portal.settings(APP, "CITY", "0")
    assert told.wait_for(OsAnswer.GRANTED, DEADLINE_S)
    assert connect.permission().reason is Reason.REVOKED, "R6"


def test_r1_a_store_that_is_gone_vouches_for_nothing(portal, permission):
    portal.settings(APP, "EXACT", "0")
    told = permission()
    assert told.wait_for(OsAnswer.GRANTED, DEADLINE_S)
    portal.kill_store()
    assert told.wait_for(OsAnswer.UNKNOWN, DEADLINE_S)
    until(lambda: told.problem and "cannot be read here" in told.problem, "the problem")
    portal.start_store()
    assert told.wait_for(OsAnswer.GRANTED, DEADLINE_S), "what it stored is there again"


def test_a_portal_that_restarts_is_found_again(portal, bench):
    source = bench.keep(open_source("portal:"))
    told, reader = Told(source), Reader(source)
    assert reader.next()
    portal.restart()
    assert told.until("the portal")
    reader.forget()
    assert reader.next() and told.until(None) is None


def test_r1_without_a_session_bus_or_a_portal_it_is_told(desktop, monkeypatch, tmp_path, permission):
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(SourceUnavailable, match=r"session bus cannot be reached.*desktop session") as caught:
        open_source("portal:")
    assert caught.value.__context__ is None
    told = permission()
    until(lambda: told.problem and "session bus" in told.problem, "the problem")
    assert told.read() is OsAnswer.UNKNOWN
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", desktop.bus.address)  # a bus with nobody on it
    with pytest.raises(SourceUnavailable, match="no location portal on the session bus; install"):
        open_source("portal:")


@pytest.mark.parametrize("rest", ["?accuracy=finest", "60.17", "?desktop_id=x"])
def test_r10_a_wrong_url_is_refused_unrepeated(rest):
    with pytest.raises(SourceUnavailable, match="is written portal:") as caught:
        open_source(f"portal:{rest}")
    assert "60.17" not in str(caught.value)


@pytest.mark.parametrize("app_id", ["", "connect", None, "a b.c", "60.17,24.94"])
def test_an_app_outside_a_sandbox_has_no_such_permission(app_id):
    from kalos_connect_sdk.sources import PortalOsPermission

    with pytest.raises(ValueError, match="app_id must be the id of a sandboxed app"):
        PortalOsPermission(app_id)
