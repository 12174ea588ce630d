"""GeoClue2, the real daemon on a private bus: as a source, and as the operating system's gate in front of consent."""

from __future__ import annotations

import itertools
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from desktop_bench import DEADLINE_S, Desktop, desktop, until
from receivers import Reader, Told, bench

from kalos_connect_sdk import (
    ConsentLost,
    ConsentRequired,
    LocationSource,
    OsAnswer,
    OsPermission,
    Position,
    PromptAnswer,
    Purpose,
    Reason,
    SourceUnavailable,
    Status,
)
from kalos_connect_sdk.cli.exits import Exit
from kalos_connect_sdk.cli.main import main
from kalos_connect_sdk.sources import bus, geoclue, geoclue_client, open_source

__all__ = ["bench", "desktop"]
pytestmark = pytest.mark.once


@pytest.fixture
def permission(desktop: Desktop) -> Iterator[Callable[..., Any]]:
    from kalos_connect_sdk.sources import GeoClueOsPermission

    made: list[Any] = []

    def make_one(*args: Any, **options: Any) -> Any:
        made.append(GeoClueOsPermission(*args, **options))
        return made[-1]

    yield make_one
    for each in made:
        each.close()


def reading(source: LocationSource) -> tuple[list[Position], threading.Thread, list[BaseException]]:
    """What a thread reads from it; ends with it."""
    got: list[Position] = []
    failed: list[BaseException] = []

    def read() -> None:
        try:
            got.extend(source)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return got, thread, failed


def test_positions_arrive_with_their_own_time_and_nothing_shows_them(desktop):
    desktop.run()
    source = open_source("geoclue:?accuracy=exact")
    assert isinstance(source, LocationSource) and source.live is True
    iterator = iter(source)
    first, second = next(iterator), next(iterator)
    source.close()
    assert list(iterator) == []
    assert 60.17 < first.latitude < second.latitude < 60.2 and first.longitude == pytest.approx(24.94)
    assert first.speed_mps == pytest.approx(10.0, abs=0.01)
    assert first.time is not None and abs(first.time.timestamp() - time.time()) < 30 and first.time < second.time
    assert first.accuracy_m is None or first.accuracy_m > 0, "GeoClue's 0 is no accuracy"
    assert repr(source) == "<GeoClueSource closed>" and "60" not in repr(first)


@pytest.mark.parametrize("rest", ["?accuracy=finest", "?accuracy=", "?x=1", "60.17,24.94", "?desktop_id=a/b", "?accuracy=exact&accuracy=city"])  # fmt: skip
def test_r10_a_wrong_url_is_refused_unrepeated(rest):
    with pytest.raises(SourceUnavailable, match=r"is written geoclue:") as caught:
        open_source(f"geoclue:{rest}")
    assert "60.17" not in str(caught.value) and "finest" not in str(caught.value)


def test_no_more_than_was_asked_for_and_no_more_than_the_system_allows(desktop):
    """The receiver is an exact source: GeoClue leaves it out for anybody who may know the city only."""
    agent = desktop.run(level=4)
    assert agent is not None
    wide, _, _ = reading(exact := open_source("geoclue:"))
    coarse, _, _ = reading(city := open_source("geoclue:?accuracy=city"))
    agent.switch(0)
    agent.switch(8)  # the agent's maximum is looked at when a client starts
    until(lambda: wide, "a position once the system allows exact ones")
    assert coarse == []
    exact.close()
    city.close()


def test_r1_without_a_bus_nothing_is_known_and_the_error_says_what_to_do(desktop, permission, make):
    desktop.bus.stop()
    with pytest.raises(SourceUnavailable, match=r"system bus cannot be reached.*start dbus") as caught:
        open_source("geoclue:")
    assert caught.value.__context__ is None
    told = permission()
    until(lambda: told.problem and "system bus" in told.problem, "the problem")
    assert told.read() is OsAnswer.UNKNOWN
    connect = make(os_permission=told)
    assert connect.request_permission(user_action=True).reason is Reason.OS_UNKNOWN
    [row] = [row for row in connect.doctor() if row["name"] == "os permission"]
    assert (row["ok"], row["detail"]) == (False, "unknown") and "start dbus" in row["advice"]
    assert main(["stream", "--from", "geoclue:"]) == Exit.USAGE


def test_r1_without_geoclue_nothing_is_known(desktop, permission):
    with pytest.raises(SourceUnavailable, match="no GeoClue on the system bus; install and start"):
        open_source("geoclue:")
    told = permission()
    until(lambda: told.problem and "no GeoClue" in told.problem, "the problem")
    assert told.read() is OsAnswer.UNKNOWN
    desktop.run()
    assert told.wait_for(OsAnswer.GRANTED, DEADLINE_S), "it is found once it runs"


def test_without_an_agent_nobody_hangs(desktop, permission, monkeypatch):
    """GeoClue answers nobody before there is an agent."""
    monkeypatch.setattr(geoclue, "_AGENT_S", 1.0)
    desktop.run(level=None)
    told = permission()
    began_s = time.monotonic()
    with pytest.raises(SourceUnavailable, match="no location agent runs for this user; start") as caught:
        open_source("geoclue:")
    assert time.monotonic() - began_s < 25 and caught.value.__context__ is None
    assert told.read() is OsAnswer.UNKNOWN and "no location agent" in told.problem
    desktop.agent()
    assert told.wait_for(OsAnswer.GRANTED, DEADLINE_S) and told.problem is None
    source = open_source("geoclue:")
    assert next(iter(source))
    source.close()


def test_a_bus_that_takes_the_call_and_says_nothing_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(bus, "_PATIENCE_S", 1.0)
    silent = socket.socket(socket.AF_UNIX)
    silent.bind(str(tmp_path / "silent"))
    silent.listen(4)
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path / 'silent'}")
    with pytest.raises(SourceUnavailable, match=r"gives no client|cannot be reached"):
        open_source("geoclue:")
    silent.close()


def test_close_ends_a_reader_and_a_watcher_that_wait(desktop, permission):
    desktop.run(level=0)
    watcher = permission()
    assert watcher.wait_for(OsAnswer.DENIED, DEADLINE_S)
    desktop.agents[0].switch(8)
    source = open_source("geoclue:")
    got, thread, failed = reading(source)
    until(lambda: got, "a position")
    desktop.agents[0].switch(0)  # nothing comes any more
    source.close()
    source.close()
    thread.join(5)
    assert not thread.is_alive() and not failed
    watcher.close()
    watcher.close()
    assert watcher.read() is OsAnswer.UNKNOWN


def test_r1_a_forked_child_has_nobody_who_watches(desktop, permission):
    desktop.run()
    told = permission()
    assert told.wait_for(OsAnswer.GRANTED, DEADLINE_S)
    child = os.fork()
    if child == 0:
        os._exit(0 if told.read() is OsAnswer.UNKNOWN else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert told.read() is OsAnswer.GRANTED


def test_denied_by_the_configuration(desktop, permission):
    if os.geteuid() != 0:
        pytest.skip("only root can put another configuration under GeoClue")
    desktop.run(refused="kalos-connect")
    told, other = permission(), permission(desktop_id="com.example.other")
    assert told.wait_for(OsAnswer.DENIED, DEADLINE_S) and "geoclue.conf" in told.problem
    assert other.wait_for(OsAnswer.GRANTED, DEADLINE_S)
    with pytest.raises(SourceUnavailable, match="does not allow location for this app") as caught:
        next(iter(open_source("geoclue:")))
    assert caught.value.__context__ is None
    assert next(iter(open_source("geoclue:?desktop_id=com.example.other")))


def test_r1_r3_switched_off_in_mid_stream_revokes_consent_and_sends_nothing_more(desktop, permission, make, service):
    agent = desktop.run()
    told = permission()
    assert isinstance(told, OsPermission)
    connect = make(os_permission=told)
    assert told.wait_for(OsAnswer.GRANTED, DEADLINE_S)
    assert connect.request_permission().granted
    changes: list[Reason] = []
    connect.on_change(lambda permission: changes.append(permission.reason))
    with connect.drive("geoclue:") as drive:
        until(lambda: drive.stats.sent, "a position at the service")
        agent.switch(0)
        events = list(drive)
    lost = [event for event in events if isinstance(event, ConsentLost)]
    assert [event.reason for event in lost] == [Reason.OS_DENIED]
    until(lambda: Reason.OS_DENIED in changes, "the app is told")
    until(lambda: ended(connect) == (Status.REVOKED, "os"), "the end is in the ledger, with its cause")
    with pytest.raises(ConsentRequired) as refused:
        connect.submit(Position(60.17, 24.94))
    assert refused.value.reason is Reason.OS_DENIED
    until(lambda: service.withdrawals, "the service is told")
    counted = len(service.positions)
    connect.flush()
    assert len(service.positions) == counted

    agent.switch(8)
    assert told.wait_for(OsAnswer.GRANTED, DEADLINE_S)
    assert connect.permission().reason is Reason.REVOKED, "switched on again is no consent: R6"
    with pytest.raises(ConsentRequired):
        connect.submit(Position(60.17, 24.94))
    assert connect.request_permission().granted
    assert connect.submit(Position(60.17, 24.94)).accepted


def ended(connect: Any) -> tuple[Status, str | None]:
    record = connect._opened().view.snapshot().records[Purpose.NAVIGATION]
    return record.status, record.ended_cause


def test_killed_and_started_again_the_daemon_is_found_again(desktop, permission):
    desktop.run()
    told = permission()
    source = open_source("geoclue:")
    troubles: list[str | None] = []
    source.watch(troubles.append)
    got, thread, failed = reading(source)
    until(lambda: got, "a position")
    assert told.wait_for(OsAnswer.GRANTED, DEADLINE_S)
    desktop.geoclue.kill()
    assert told.wait_for(OsAnswer.UNKNOWN, DEADLINE_S), "R1: a daemon that is gone vouches for nothing"
    until(lambda: troubles and troubles[-1] and "no GeoClue" in troubles[-1], "the loss is told")
    before = len(got)
    desktop.geoclue.start()
    desktop.agent()
    assert told.wait_for(OsAnswer.GRANTED, DEADLINE_S)
    until(lambda: len(got) > before, "positions again")
    assert troubles[-1] is None and not failed
    source.close()
    thread.join(10)


def test_killed_while_it_starts_the_daemon_is_found_again(desktop, bench):
    desktop.run()
    source = bench.keep(open_source("geoclue:"))
    told = Told(source)
    desktop.geoclue.freeze()
    reader = Reader(source)  # it waits for the answer to its start
    desktop.geoclue.kill()
    assert told.until("no GeoClue")
    desktop.geoclue.start()
    desktop.agent()
    assert reader.next() and told.until(None) is None and reader.error is None


def test_r1_a_daemon_that_is_killed_while_it_starts_has_refused_nothing(desktop, permission, make, monkeypatch):
    desktop.run()
    told = permission()
    connect = make(os_permission=told)
    assert told.wait_for(OsAnswer.GRANTED, DEADLINE_S)
    assert connect.request_permission().granted
    answers: list[OsAnswer] = []
    told.subscribe(lambda: answers.append(told.read()))
    start, killed = geoclue_client.Client.start, threading.Event()

    def start_of_one_who_is_killed(client: Any) -> Any:
        if not killed.is_set():
            desktop.geoclue.kill()
            killed.set()
        return start(client)

    monkeypatch.setattr(geoclue_client.Client, "start", start_of_one_who_is_killed)
    desktop.geoclue.kill()
    assert told.wait_for(OsAnswer.UNKNOWN, DEADLINE_S)
    desktop.geoclue.start()
    desktop.agent()
    assert killed.wait(DEADLINE_S)
    desktop.geoclue.start()
    desktop.agent()
    until(lambda: OsAnswer.GRANTED in answers, "the daemon is found again")
    assert answers == [OsAnswer.UNKNOWN, OsAnswer.GRANTED], "nobody has said no"
    assert connect.permission().granted, "so the consent stays"


def test_a_source_says_that_location_is_switched_off_or_that_nothing_comes(desktop, bench, monkeypatch):
    agent = desktop.run()
    source = bench.keep(open_source("geoclue:"))
    told, reader = Told(source), Reader(source)
    assert reader.next()
    agent.switch(0)
    assert "location is switched off for this user; switch location on" in told.until("switched off")
    agent.switch(8)
    assert told.until(None) is None and reader.next()
    monkeypatch.setattr(geoclue, "FIRST_S", 0.5)
    coarse = bench.keep(open_source("geoclue:?accuracy=city"))  # there is nothing but a receiver
    nothing, _ = Told(coarse), Reader(coarse)
    assert "check that GeoClue has a receiver or a network" in nothing.until("says no position")


CELLS = list(itertools.product((True, False), (True, False)))


@pytest.mark.parametrize(("allowed", "consent"), CELLS)
def test_r1_of_four_cells_with_geoclue_only_both_reach_the_wire(desktop, permission, make, service, allowed, consent):
    agent = desktop.run()
    told = permission()
    assert told.wait_for(OsAnswer.GRANTED, DEADLINE_S)
    connect = make(PromptAnswer.allow() if consent else PromptAnswer.deny(), os_permission=told)
    assert connect.request_permission(user_action=True).granted is consent
    if not allowed:
        agent.switch(0)
        assert told.wait_for(OsAnswer.DENIED, DEADLINE_S)
    said = Reason.ALLOWED
    try:
        connect.submit(Position(60.17, 24.94))
    except ConsentRequired as error:
        said = error.reason
    connect.flush()
    assert len(service.positions) == (1 if allowed and consent else 0)
    assert (
        said
        is {
            (True, True): Reason.ALLOWED,
            (True, False): Reason.REFUSED,
            (False, True): Reason.OS_DENIED,
            (False, False): Reason.OS_DENIED,
        }[allowed, consent]
    )


def test_what_is_sent_straight_to_us_by_somebody_else_is_not_believed(desktop, permission):
    """Any program on the bus can address a signal to us: only the owner of GeoClue's name is heard."""
    from jeepney import DBusAddress, HeaderFields, new_signal

    desktop.run(level=0)
    told = permission()
    assert told.wait_for(OsAnswer.DENIED, DEADLINE_S)
    liar = desktop.bus.connect()
    for number in range(1, 4):  # whichever connection and client it is
        emitter = DBusAddress(f"/org/freedesktop/GeoClue2/Client/{number}", interface="org.freedesktop.DBus.Properties")
        for peer in range(30):
            lie = new_signal(
                emitter,
                "PropertiesChanged",
                "sa{sv}as",
                ("org.freedesktop.GeoClue2.Client", {"Active": ("b", True)}, []),
            )
            lie.header.fields[HeaderFields.destination] = f":1.{peer}"
            liar.send(lie)
    liar.close()
    assert not told.wait_for(OsAnswer.GRANTED, 1.0)
    desktop.agents[0].switch(8)
    assert told.wait_for(OsAnswer.GRANTED, DEADLINE_S)


def test_r3_switched_off_while_a_request_is_in_flight_cuts_it(desktop, permission, make, service):
    agent = desktop.run()
    told = permission()
    connect = make(os_permission=told)
    assert told.wait_for(OsAnswer.GRANTED, DEADLINE_S)
    assert connect.request_permission().granted
    service.fail(path="/v1/positions", stall_s=60.0)
    with connect.drive("geoclue:") as drive:
        until(lambda: [one for one in service.requests if one["path"] == "/v1/positions"], "a request at the service")
        agent.switch(0)
        assert drive.wait(DEADLINE_S)
    assert drive.stats.aborted == 1 and drive.stats.sent == 0
    until(lambda: ended(connect) == (Status.REVOKED, "os"), "the end is in the ledger, with its cause")
