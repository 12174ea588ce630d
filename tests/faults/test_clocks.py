"""R13, rows 36 to 39: clocks that lie, seen from outside: an app that asks, whatever its clocks say.

A state machine drives the real facade with a clock that stands still until it is moved; its oracle counts only true
seconds. Then real processes: wall clocks through libfaketime, boot times through a time namespace.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kalos_connect_sdk import Config, Connect, Duration, PromptAnswer, Purpose, Reason
from kalos_connect_sdk.core.lifetime import RELEASE_EPOCH_S
from kalos_connect_sdk.model.timing import ClockReading
from kalos_connect_sdk.protocol.timekeeping import Timekeeper
from kalos_connect_sdk.storage.datakeys import DataKeys
from kalos_connect_sdk.storage.directory import StateDirectory
from kalos_connect_sdk.testing import FakeClock, FakeVehicle, ScriptedPrompter, ServiceEmulator

ROOT = Path(__file__).resolve().parents[2]
MAY_NOT_SKIP = os.environ.get("KALOS_TESTS_MUST_RUN") == "1"
FULL = os.environ.get("KALOS_SWEEP") == "full"
RAM = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where a machine of thousands of commits does not wait for a disk."""
HOUR, DAY = 3600.0, 86_400.0
GOOD = datetime(2027, 5, 4, 12, tzinfo=UTC)
IN_1970 = datetime(1970, 1, 2, tzinfo=UTC)
IN_2099 = datetime(2099, 6, 1, tzinfo=UTC)
LIMITS = {"this-drive": 12 * HOUR, "2-days": 2 * DAY, "until-withdrawn": 365 * DAY}
DURATIONS = {
    "this-drive": Duration.THIS_DRIVE,
    "2-days": Duration.days(2),
    "until-withdrawn": Duration.UNTIL_WITHDRAWN,  # capped at 365 days by the jurisdiction
}
SLACK_S = 61.0
"""A wall clock may run ahead of boot time by a minute and be believed; once."""


# -- the facade under a clock that is moved --------------------------------------------------------

spans = st.one_of(
    st.integers(0, 300), st.integers(0, int(13 * HOUR)), st.integers(int(DAY), int(3 * DAY)), st.just(int(366 * DAY))
).map(float)
walls = st.one_of(
    st.sampled_from([IN_1970, GOOD, IN_2099, datetime(2026, 11, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)]),
    st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
    st.integers(-5 * int(DAY), 5 * int(DAY)).map(lambda s: GOOD + timedelta(seconds=s)),
)


class ClocksBeforeAnApp(RuleBasedStateMachine):
    """The oracle: what truly passed since the grant, in this boot and before; and whether a clock can be trusted."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="kalos-clocks-", dir=RAM))
        self.connect: Connect | None = None

    @initialize(wall=st.one_of(st.just(GOOD), st.just(GOOD), walls))
    def starts(self, wall: datetime) -> None:
        self.clock = FakeClock(wall)
        self.vehicle = FakeVehicle(parked=True)
        self.true_s = GOOD.timestamp()  # what a service would say
        self.never_trusted = wall.timestamp() < RELEASE_EPOCH_S
        self.sound = not self.never_trusted
        """The clock was right at first, and there has been no reboot since."""
        self.kind: str | None = None
        self.over = True
        self.opens()

    def opens(self) -> None:
        """A program that was killed leaves no goodbye; the next one reads what is on disk."""
        if self.connect is not None:
            self.connect.close()
        self.connect = Connect(
            "com.example.clocks",
            config=Config(state_dir=str(self.folder / "state"), vault=f"file:{self.folder / 'vault'}"),
            clock=self.clock,
            vehicle=self.vehicle,
            prompter=ScriptedPrompter(PromptAnswer.dismiss()),
        )

    def passes(self, seconds: float, *, asleep: bool = False) -> None:
        self.true_s += seconds
        self.ran_s = getattr(self, "ran_s", 0.0) + seconds
        self.slept_s = getattr(self, "slept_s", 0.0) + (seconds if asleep else 0.0)

    @rule(seconds=spans)
    def runs(self, seconds: float) -> None:
        self.passes(seconds)
        self.clock.advance(seconds)

    @rule(seconds=spans)
    def sleeps(self, seconds: float) -> None:
        self.passes(seconds, asleep=True)
        self.clock.suspend(seconds)

    @rule(wall=walls)
    def is_set(self, wall: datetime) -> None:
        self.clock.set_wall(wall)
        if wall.timestamp() >= RELEASE_EPOCH_S:
            self.never_trusted = False  # an untrusted clock may catch up
        else:
            self.sound = False  # it may be the first reading that anybody takes

    @rule(seconds=st.integers(-200, 200))
    def is_corrected(self, seconds: int) -> None:
        self.is_set(min(max(self.clock.now() + timedelta(seconds=seconds), IN_1970), IN_2099))

    @rule(off=spans, wall=st.none() | walls)
    def reboots(self, off: float, wall: datetime | None) -> None:
        """Off for a while; the wall clock keeps going, or says anything."""
        self.true_s += off
        if wall is None:
            wall = min(self.clock.now() + timedelta(seconds=off), datetime(2105, 1, 1, tzinfo=UTC))
        self.clock.reboot(wall)
        if wall.timestamp() >= RELEASE_EPOCH_S:
            self.never_trusted = False
        self.rebooted = True
        self.sound = False
        self.opens()

    @rule()
    def starts_again(self) -> None:
        self.opens()

    @rule(error=st.integers(-2, 2))
    def hears_the_time(self, error: int) -> None:
        """The ``Date`` of a TLS-verified answer."""
        assert self.connect is not None
        engine = self.connect._opened()
        engine._heard_time(self.true_s + error)
        engine.keeper.call(lambda: None)  # what was heard is now known
        self.told = True
        self.never_trusted = False

    @rule(kind=st.sampled_from(sorted(LIMITS)))
    def grants(self, kind: str) -> None:
        assert self.connect is not None
        self.connect.withdraw()
        self.connect._defaults._prompter.will(PromptAnswer.allow(DURATIONS[kind]))  # type: ignore[union-attr]
        self.believed = self.connect.request_permission(user_action=True).granted
        assert self.believed or kind != "this-drive"
        assert self.believed or not self.sound, "a clock that was right from the start is trusted"
        self.kind, self.over = kind, False
        self.ran_s = self.slept_s = 0.0
        self.rebooted = False
        self.told = False

    @rule(kind=st.sampled_from(sorted(LIMITS)), wall=walls, seconds=spans)
    def grants_under_a_clock_that_jumps(self, kind: str, wall: datetime, seconds: float) -> None:
        self.grants(kind)
        self.is_set(wall)
        self.r13_the_answer_is_within_what_truly_passed()
        self.runs(seconds)

    @precondition(lambda self: self.kind is not None)
    @rule()
    def withdraws(self) -> None:
        assert self.connect is not None
        assert self.connect.withdraw().complete
        self.kind = None

    @invariant()
    def r13_the_answer_is_within_what_truly_passed(self) -> None:
        if self.connect is None:
            return
        permission = self.connect.permission()
        if self.kind is None:
            assert not permission.granted
            return
        limit_s = LIMITS[self.kind]
        if self.kind == "this-drive":  # needs no wall clock: boot time alone decides, both ways
            lasts = not self.rebooted and self.ran_s < limit_s and self.slept_s < 60
            assert permission.granted == (lasts and not self.over), permission.reason
        else:
            if permission.granted:
                assert self.ran_s < limit_s + (SLACK_S if self.told else 0.002), "longer than its duration"
                assert not self.never_trusted, "the clock cannot be trusted"
            if not self.rebooted and not self.told and self.believed and not self.over:
                # Trusted when granted and no reboot since: whatever the wall clock says, nothing but boot time ends it.
                if self.ran_s < limit_s - SLACK_S:
                    assert permission.granted, permission.reason
                elif self.ran_s >= limit_s:
                    assert permission.reason is Reason.EXPIRED
        if self.ran_s >= limit_s + SLACK_S:
            assert not permission.granted
            self.over = True
        record = self.connect._opened().state.snapshot.records[Purpose.NAVIGATION]
        if not record.status.active:
            self.over = True
        if self.over:  # expired stays expired, whatever the clocks say next
            assert not permission.granted

    def teardown(self) -> None:
        if self.connect is not None:
            self.connect.close()
            directory = StateDirectory.open("com.example.clocks", None, str(self.folder / "state"))
            DataKeys.choose(directory, None).remove()
        shutil.rmtree(self.folder)


@pytest.mark.once
@pytest.mark.fault(37, 38, 39)
def test_r13_no_clock_lengthens_ends_or_poisons_a_grant() -> None:
    from hypothesis.stateful import run_state_machine_as_test

    steps = settings(
        max_examples=4000 if FULL else 20,
        stateful_step_count=20,
        derandomize=not FULL,
        database=None,
        phases=[Phase.generate],  # its steps say enough; making them fewer takes as long as finding them
        deadline=None,
    )
    run_state_machine_as_test(ClocksBeforeAnApp, settings=steps)


# -- several threads, one clock --------------------------------------------------------------------


class _Interrupted(FakeClock):
    """Between a reading and its use, another thread reads the clock a little later."""

    meanwhile: Callable[[], object] | None = None

    def read(self) -> ClockReading:
        reading = super().read()
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            self.advance(0.005)
            other = threading.Thread(target=meanwhile)
            other.start()
            other.join(0.2)  # it must not get in between; then it waits for us
        return reading


def test_r13_two_threads_that_ask_at_once_do_not_cost_the_clock_its_trust() -> None:
    clock = _Interrupted(GOOD)
    keeper = Timekeeper(clock, None)
    assert keeper.now().trusted
    clock.meanwhile = keeper.now
    now = keeper.now()
    assert now.trusted and keeper.now().trusted
    clock.set_wall(IN_2099)  # an untrusted clock would catch up by any amount
    assert abs(keeper.now().wall_s - GOOD.timestamp()) < 60


def test_r13_a_thread_that_asks_does_not_undo_what_authenticated_time_said() -> None:
    clock = _Interrupted(GOOD)
    keeper = Timekeeper(clock, None)
    keeper.now()
    told = (GOOD - timedelta(days=30)).timestamp()
    done = threading.Event()

    def hear() -> None:
        keeper.now(told)
        done.set()

    clock.meanwhile = hear
    keeper.now()
    assert done.wait(10)
    assert keeper.now().confirmed and abs(keeper.now().wall_s - told) < 60


# -- real processes: libfaketime for the wall, a time namespace for the boot time --------------------

_SHIPPED = [Path(folder) / "libfaketime/vendor/libfaketime/src/libfaketime.so.1" for folder in sys.path]
LIBRARY = next((path for path in _SHIPPED if path.exists()), Path("absent"))
PROGRAM = r"""
import json, sys
from kalos_connect_sdk import AssertedParked, Config, Connect, ConsentRequired, Duration, Position, PromptAnswer
from kalos_connect_sdk import TransportError
from kalos_connect_sdk.testing import ScriptedPrompter
settings, duration, calls = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3:]
answer = PromptAnswer.allow(Duration.parse(duration))
with Connect("com.example.clocks", config=Config(**settings), vehicle=AssertedParked("a test bench"),
             prompter=ScriptedPrompter(answer)) as connect:
    said = []
    for call in calls:
        if call == "ask":
            found = connect.request_permission(user_action=True)
        elif call == "look":
            found = connect.permission()
        if call in ("ask", "look"):
            said.append([found.granted, found.reason.name])
        elif call == "submit":
            try:
                said.append(connect.submit(Position(60.0, 24.0)).accepted)
            except ConsentRequired as error:
                said.append(error.reason.name)
        elif call == "flush":
            try:
                report = connect.flush()
                said.append([report.sent, report.remaining])
            except TransportError as error:
                said.append(str(error))
    print(json.dumps(said))
"""


class Unit:
    """A head unit whose clocks are told what to say; every run is a program of its own."""

    def __init__(self, folder: Path) -> None:
        self.settings: dict[str, Any] = {"state_dir": f"{folder}/state", "vault": f"file:{folder}/vault"}

    def run(self, wall: str | None, duration: str, *calls: str, boottime_s: int | None = None) -> list[Any]:
        """What the program said. ``wall``: as libfaketime reads it; ``boottime_s``: seconds asleep, so to say."""
        if wall is not None and not LIBRARY.exists():
            pytest.skip("libfaketime is not installed")
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)), TZ="UTC")
        if wall is not None:
            environment |= {"LD_PRELOAD": str(LIBRARY), "FAKETIME": wall, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        command = [sys.executable, "-c", PROGRAM, json.dumps(self.settings), duration, *calls]
        if boottime_s is not None:
            command = ["unshare", "--time", "--boottime", str(boottime_s), "--fork", *command]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=100, check=False)
        if boottime_s is not None and done.returncode and "unshare" in done.stderr:
            pytest.skip("this machine has no time namespaces for us")
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.fixture
def unit(tmp_path: Path) -> Iterator[Unit]:
    yield Unit(tmp_path)
    DataKeys.choose(StateDirectory.open("com.example.clocks", None, f"{tmp_path}/state"), None).remove()


@pytest.mark.once
@pytest.mark.fault(36, 37, 38)
def test_r13_real_programs_in_1970_in_2099_and_back(unit: Unit) -> None:
    yes, untrusted = [True, "ALLOWED"], [False, "CLOCK_UNTRUSTED"]
    assert unit.run("@1970-01-02 00:00:00", "2-days", "ask") == [untrusted], "a grant that can end needs a clock"
    assert unit.run("@1970-01-02 00:00:00", "this-drive", "ask", "submit") == [yes, True], "this drive needs none"
    assert unit.run("@2027-05-04 12:00:00", "2-days", "look") == [yes]
    assert unit.run("@2099-06-01 00:00:00", "2-days", "look") == [yes]


@pytest.mark.once
@pytest.mark.fault(37, 38)
def test_r13_one_boot_to_2099_and_back_neither_expires_nor_lengthens(unit: Unit) -> None:
    yes = [True, "ALLOWED"]
    assert unit.run("@2027-05-04 12:00:00", "2-days", "ask") == [yes]
    for wall in ("@2099-06-01 00:00:00", "@1970-01-02 00:00:00", "@2027-05-01 12:00:00", "@2027-05-08 12:00:00"):
        assert unit.run(wall, "2-days", "look") == [yes], wall


@pytest.mark.once
@pytest.mark.fault(37, 38, 39)
def test_r13_a_real_suspend_counts_whatever_the_wall_clock_says(unit: Unit) -> None:
    assert unit.run("@2027-05-04 12:00:00", "2-days", "ask", boottime_s=0) == [[True, "ALLOWED"]]
    almost, over = 2 * 86_400 - 3600, 2 * 86_400 + 60
    assert unit.run("@2027-05-04 12:00:00", "2-days", "look", boottime_s=almost) == [[True, "ALLOWED"]]
    assert unit.run("@1970-01-02 00:00:00", "2-days", "look", "submit", boottime_s=over) == [
        [False, "EXPIRED"],
        "EXPIRED",
    ]
    for wall in ("@2027-05-04 12:00:00", "@2099-06-01 00:00:00"):
        assert unit.run(wall, "2-days", "look", boottime_s=0)[0][0] is False, "expired stays expired"


@pytest.mark.once
@pytest.mark.fault(39)
def test_r13_a_real_suspend_ends_the_drive(unit: Unit) -> None:
    assert unit.run(None, "this-drive", "ask", "look", boottime_s=0) == [[True, "ALLOWED"]] * 2
    assert unit.run(None, "this-drive", "look", boottime_s=30) == [[True, "ALLOWED"]]
    assert unit.run(None, "this-drive", "look", boottime_s=90) == [[False, "EXPIRED"]]


# -- row 36: TLS before the certificate is valid -----------------------------------------------------


@pytest.mark.fault(36)
def test_r10_in_1970_tls_fails_positions_wait_and_no_byte_of_them_leaves(unit: Unit, tmp_path: Path) -> None:
    """A real service behind real TLS; what it was handed is counted after decryption."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with ServiceEmulator() as service, _Tls(authority, service.url) as front:
        unit.settings |= {"service_url": front.url, "ca_bundle": str(tmp_path / "ca.pem"), "timeout_s": 5}
        said = unit.run("@1970-01-02 00:00:00", "this-drive", "ask", "submit", "flush", "look")
        assert said[:2] == [[True, "ALLOWED"], True]
        assert "tls certificate" in said[2] and said[3] == [True, "ALLOWED"]
        assert front.plain == b"" and service.requests == [], "verification is never off"
        assert unit.run(None, "this-drive", "flush") == [[1, 0]], "when the clock is right they go"
    assert len(service.positions) == 1


class _Tls:
    """TLS before a plain service on loopback; ``plain``: what clients said once they trusted it."""

    def __init__(self, authority: trustme.CA, url: str) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost", "127.0.0.1").configure_cert(self._context)
        self._to = int(url.rsplit(":", 1)[1])
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self.plain = b""
        self._over = False

    def __enter__(self) -> _Tls:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        socket.create_connection(self._listener.getsockname()).close()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._over:
                near.close()
                return
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: Any) -> None:
        with near, contextlib.suppress(OSError), self._context.wrap_socket(near, server_side=True) as talk:
            with socket.create_connection(("127.0.0.1", self._to)) as far:

                def back() -> None:
                    with contextlib.suppress(OSError):
                        while piece := far.recv(65536):
                            talk.sendall(piece)

                threading.Thread(target=back, daemon=True).start()
                while piece := talk.recv(65536):
                    self.plain += piece
                    far.sendall(piece)
