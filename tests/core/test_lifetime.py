"""Clocks that lie: back, to 2099 and back, a boot in 1970, suspends (R13)."""

import json
import math
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kalos_connect_sdk.core.lifetime import RELEASE_EPOCH_S, Mark, Now, Verdict, assess, expires_at, observe
from kalos_connect_sdk.model.consent import Duration, GrantTerms, Precision
from kalos_connect_sdk.model.timing import ClockReading

HOUR, DAY, YEAR = 3600.0, 86_400.0, 365 * 86_400.0
START = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
IN_2099 = datetime(2099, 1, 1, tzinfo=UTC).timestamp()
IN_1970 = 30.0


class Device:
    """A device whose wall clock anyone may set. It keeps its mark as text, as the ledger does."""

    def __init__(self, wall_s=START):
        self.wall, self.boottime, self.suspended, self.boot = wall_s, 100.0, 0.0, 1
        self.kept = None
        self.now = self.look()

    def reading(self):
        return ClockReading(self.wall, self.boottime, self.suspended, f"boot-{self.boot}")

    def look(self, confirmed_s=None):
        self.now, mark = observe(self.reading(), Mark.from_text(self.kept), confirmed_s)
        self.kept = mark.to_text()
        assert Mark.from_text(self.kept) == mark
        return self.now

    def run(self, seconds):
        self.wall += seconds
        self.boottime += seconds
        return self.look()

    def suspend(self, seconds):
        self.suspended += seconds
        return self.run(seconds)

    def set_wall(self, wall_s):
        self.wall = wall_s
        return self.look()

    def reboot(self, wall_s):
        self.boot += 1
        self.wall, self.boottime, self.suspended = wall_s, 10.0, 0.0
        return self.look()

    def grant(self, duration=Duration.days(7), jurisdiction="FI", drive_id=None):  # noqa: B008
        until = expires_at(duration, self.now.wall_s, jurisdiction=jurisdiction)
        return GrantTerms(
            receipt_id="receipt",
            precision=Precision.PRECISE,
            duration=duration,
            notice_id="notice",
            notice_version="1",
            notice_locale="en",
            notice_sha256="aa",
            notice_fields_sha256="bb",
            controller_id="controller",
            service_origin="",
            granted_at=datetime.fromtimestamp(self.now.wall_s, UTC),
            expires_at=None if until is None else datetime.fromtimestamp(until, UTC),
            granted_boot_id=f"boot-{self.boot}",
            granted_boottime_s=self.boottime,
            granted_suspended_s=self.suspended,
            drive_id=drive_id,
        )

    def verdict(self, terms, drive_id=None):
        return assess(terms, self.reading(), self.now, drive_id)


# -- what time it is ------------------------------------------------------------------------------


def test_first_sight_believes_a_clock_after_the_release():
    now = Device(START).now
    assert now == Now(START, trusted=True, confirmed=False, proven_s=START)
    assert Device(RELEASE_EPOCH_S).now.trusted


@pytest.mark.parametrize("wall_s", [IN_1970, 0.0, -5.0, math.nan, math.inf, -math.inf, RELEASE_EPOCH_S - 0.001])
def test_r13_first_sight_of_an_impossible_clock_is_not_trusted(wall_s):
    now = Device(wall_s).now
    assert now == Now(RELEASE_EPOCH_S, trusted=False, confirmed=False, proven_s=RELEASE_EPOCH_S)


def test_the_release_is_a_date():
    assert datetime.fromtimestamp(RELEASE_EPOCH_S, UTC) == datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize("value", [Device().now, Mark.from_text(Device().kept)], ids=["now", "mark"])
def test_times_are_frozen(value):
    for name in value.__dataclass_fields__:
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, True)
    assert not hasattr(value, "__dict__")


def test_time_passes_with_the_boot_time():
    device = Device()
    assert device.run(90).wall_s == START + 90
    assert device.suspend(DAY).wall_s == START + 90 + DAY
    assert device.now.proven_s == device.now.wall_s


@pytest.mark.parametrize("wall_s", [START - 1, START - YEAR, IN_1970, math.nan])
def test_r13_back_within_a_boot_is_ignored_and_time_goes_on(wall_s):
    device = Device()
    device.run(HOUR)
    assert device.set_wall(wall_s) == Now(START + HOUR, True, False, START + HOUR)
    device.boottime += HOUR
    assert device.look().wall_s == START + 2 * HOUR


def test_r13_to_2099_and_back_within_a_boot_changes_nothing():
    device = Device()
    terms = device.grant()
    assert device.set_wall(IN_2099) == Now(START, True, False, START)
    assert device.run(5).wall_s == START + 5
    assert device.verdict(terms) is Verdict.ACTIVE
    assert device.set_wall(START + 6) == Now(START + 6, True, False, START + 5)
    assert device.verdict(terms) is Verdict.ACTIVE


@pytest.mark.parametrize(("ahead_s", "believed"), [(60.0, True), (60.001, False)])
def test_r13_a_step_of_a_minute_is_the_limit(ahead_s, believed):
    device = Device()
    device.run(1000)
    now = device.set_wall(START + 1000 + ahead_s)
    assert now.wall_s == (START + 1000 + ahead_s if believed else START + 1000)
    assert now.proven_s == START + 1000


def test_r13_many_small_steps_do_not_add_up():
    device = Device()
    for _ in range(1000):
        device.set_wall(device.wall + 59)
    assert device.now.wall_s <= START + 60
    device = Device()
    for _ in range(100):
        device.wall = device.now.wall_s + 59
        device.look()
    assert device.now.wall_s <= START + 60


def test_r13_a_new_boot_catches_up_unconfirmed():
    device = Device()
    device.run(HOUR)
    assert device.reboot(START + DAY) == Now(START + DAY, True, False, START + HOUR)
    assert device.run(10) == Now(START + DAY + 10, True, False, START + HOUR + 10)
    assert device.set_wall(START + 3 * DAY).wall_s == START + DAY + 10  # trusted: steps are judged again


def test_r13_a_boot_in_1970_is_not_trusted_until_the_clock_reaches_the_mark():
    device = Device()
    device.run(HOUR)
    assert device.reboot(IN_1970) == Now(START + HOUR, False, False, START + HOUR)
    assert device.run(60) == Now(START + HOUR + 60, False, False, START + HOUR + 60)
    assert not device.set_wall(START + HOUR - 0.001).trusted
    assert device.set_wall(START + HOUR + DAY) == Now(START + HOUR + DAY, True, False, START + HOUR + 60)
    assert device.set_wall(IN_2099).wall_s == START + HOUR + DAY


def test_r13_a_clock_slightly_behind_after_a_boot_is_trusted_once_it_gets_there():
    device = Device()
    assert not device.reboot(START - 2).trusted
    assert not device.run(1.999).trusted
    now = device.run(0.001)
    assert now.trusted
    assert now.wall_s == START + 2  # and what passed meanwhile counts
    assert device.reboot(START + 2).trusted


def test_r13_untrusted_boots_do_not_lower_the_mark():
    device = Device()
    device.reboot(IN_1970)
    device.run(100)
    device.reboot(IN_1970)
    assert device.now == Now(START + 100, False, False, START + 100)
    assert not device.reboot(START + 99).trusted
    assert device.reboot(START + 100).trusted


def test_r13_a_boot_time_that_runs_back_is_another_boot():
    device = Device()
    device.run(HOUR)
    device.boottime, device.wall = 50.0, IN_1970
    assert device.look() == Now(START + HOUR, False, False, START + HOUR)


@pytest.mark.parametrize("wall_s", [IN_1970, START - DAY, START + 2 * DAY, IN_2099, math.nan])
def test_r13_authenticated_time_settles_it(wall_s):
    device = Device()
    device.reboot(wall_s)
    assert device.look(START + DAY) == Now(START + DAY, True, True, START + DAY)
    assert device.run(HOUR) == Now(START + DAY + HOUR, True, True, START + DAY + HOUR)
    assert not device.reboot(START + 2 * DAY).confirmed


@pytest.mark.parametrize("off_s", [60.0, -60.0, 1.5])
def test_r13_authenticated_time_within_a_minute_sets_nothing_back(off_s):
    device = Device()
    assert device.look(START + off_s).wall_s == START + max(off_s, 0)


def test_r13_authenticated_time_takes_back_a_wrong_catching_up():
    device = Device()
    assert device.reboot(IN_2099).wall_s == IN_2099
    assert device.look(START + DAY) == Now(START + DAY, True, True, START + DAY)
    assert device.reboot(START + 2 * DAY).trusted  # the mark is not poisoned


@pytest.mark.parametrize("confirmed_s", [0.0, RELEASE_EPOCH_S - 1, math.nan, math.inf, -1.0])
def test_r13_authenticated_nonsense_is_not_believed(confirmed_s):
    device = Device()
    assert device.look(confirmed_s) == Now(START, True, False, START)


def test_time_ends_with_the_year_9999():
    device = Device(1e300)
    assert device.run(DAY) == device.now == Now(253_402_300_799.0, True, False, 253_402_300_799.0)
    assert datetime.fromtimestamp(device.now.wall_s, UTC).year == 9999


def test_authenticated_time_at_the_release_is_believed():
    assert Device(IN_1970).look(RELEASE_EPOCH_S) == Now(RELEASE_EPOCH_S, True, True, RELEASE_EPOCH_S)


# -- the mark -------------------------------------------------------------------------------------

milliseconds = st.integers(0, 253_402_300_799_000).map(lambda ms: ms / 1000)
marks = st.builds(
    Mark,
    wall_s=milliseconds,
    proven_s=milliseconds,
    boot_id=st.text(max_size=8),
    boottime_s=milliseconds,
    trusted=st.booleans(),
    confirmed=st.booleans(),
    anchor_wall_s=milliseconds,
    anchor_boottime_s=milliseconds,
)


@given(marks)
def test_a_mark_written_and_read_again_is_the_same(mark):
    document = mark.to_json()
    assert not any(isinstance(value, float) for value in document.values())
    assert Mark.from_json(document) == Mark.from_text(mark.to_text()) == mark


def test_no_mark_is_kept_as_nothing():
    assert Mark.from_text(None) is None


GOOD = json.loads(Device().kept)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "1", '"x"', "{}", "[" * 100_000]
    + [json.dumps({key: value for key, value in GOOD.items() if key != gone}) for gone in GOOD]
    + [json.dumps(GOOD | {"wall_ms": value}) for value in (-1, 1.5, True, "1", None, 253_402_300_799_001)]
    + [json.dumps(GOOD | {"trusted": 1}), json.dumps(GOOD | {"boot_id": None}), json.dumps(GOOD | {"confirmed": "no"})],
    ids=lambda text: text[:20],
)
def test_r13_a_damaged_mark_frees_no_clock(text):
    device = Device()
    days, drive = device.grant(), device.grant(Duration.THIS_DRIVE)
    device.kept = text
    assert not device.look().trusted
    assert device.verdict(days) is Verdict.UNTRUSTED
    assert device.verdict(drive) is Verdict.ACTIVE
    assert not device.reboot(START + DAY).trusted  # and not by restarting, either
    assert not device.reboot(IN_2099).trusted
    assert device.look(START + DAY).trusted


@given(
    marks,
    st.floats(),
    st.floats(),
    st.floats(),
    st.booleans(),
    st.none() | st.floats(),
)
def test_r13_observe_is_total_and_never_runs_back_unauthenticated(mark, wall, boot, suspended, same, confirmed):
    reading = ClockReading(wall, boot, suspended, mark.boot_id if same else mark.boot_id + "-next")
    now, kept = observe(reading, mark, confirmed)
    assert math.isfinite(now.wall_s)
    assert (now.wall_s, now.trusted, now.confirmed, now.proven_s) == (
        kept.wall_s,
        kept.trusted,
        kept.confirmed,
        kept.proven_s,
    )
    assert Mark.from_text(kept.to_text()) == kept
    if confirmed is None:
        assert now.wall_s >= mark.wall_s
        assert now.proven_s >= mark.proven_s
    assert observe(reading, kept)[0].wall_s >= now.wall_s


# -- when a grant ends ----------------------------------------------------------------------------


@pytest.mark.parametrize("jurisdiction", ["CN", "cn", "FI", ""])
def test_the_end_of_a_grant(jurisdiction):
    china = jurisdiction.upper() == "CN"
    assert expires_at(Duration.days(7), START, jurisdiction=jurisdiction) == START + 7 * DAY
    assert expires_at(Duration.THIS_DRIVE, START, jurisdiction=jurisdiction) is None
    assert expires_at(Duration.UNTIL_WITHDRAWN, START, jurisdiction=jurisdiction) == (START + YEAR if china else None)


def test_r13_days_end_when_they_have_passed():
    device = Device()
    terms = device.grant()
    device.run(7 * DAY - 0.001)
    assert device.verdict(terms) is Verdict.ACTIVE
    device.run(0.001)
    assert device.verdict(terms) is Verdict.EXPIRED


def test_r13_a_suspend_counts():
    device = Device()
    terms = device.grant()
    device.suspend(7 * DAY)
    assert device.verdict(terms) is Verdict.EXPIRED


def test_r13_time_off_is_answered_and_committed_only_when_confirmed():
    device = Device()
    terms = device.grant()
    device.reboot(START + 8 * DAY)
    assert device.verdict(terms) is Verdict.EXPIRED_UNCONFIRMED
    device.look(START + 8 * DAY)
    assert device.verdict(terms) is Verdict.EXPIRED


def test_r13_the_end_itself_is_too_late():
    device = Device()
    terms = device.grant()
    late = replace(device.reading(), boottime_s=device.boottime + 7 * DAY)
    assert assess(terms, late, device.now, None) is Verdict.EXPIRED  # by boot time alone
    device.reboot(START + 7 * DAY)
    assert device.verdict(terms) is Verdict.EXPIRED_UNCONFIRMED  # by the wall clock alone


def test_r13_a_boot_in_2099_does_not_expire_for_good():
    device = Device()
    terms = device.grant()
    device.reboot(IN_2099)
    assert device.verdict(terms) is Verdict.EXPIRED_UNCONFIRMED
    device.look(START + DAY)
    assert device.verdict(terms) is Verdict.ACTIVE
    device.run(6 * DAY)
    assert device.verdict(terms) is Verdict.EXPIRED


def test_r13_expired_stays_expired_when_the_clock_goes_back():
    device = Device()
    terms = device.grant()
    device.reboot(START + 8 * DAY)
    for wall_s in (START + DAY, START, IN_1970):
        device.set_wall(wall_s)
        assert device.verdict(terms) is Verdict.EXPIRED_UNCONFIRMED
        device.reboot(wall_s)
        assert device.verdict(terms) is Verdict.EXPIRED_UNCONFIRMED


def test_r13_back_to_before_the_mark_is_not_trusted_but_unlimited_grants_hold():
    device = Device()
    days, unlimited, year = (
        device.grant(),
        device.grant(Duration.UNTIL_WITHDRAWN),
        device.grant(Duration.UNTIL_WITHDRAWN, "CN"),
    )
    device.run(DAY)
    device.reboot(START + HOUR)
    assert device.verdict(days) is Verdict.UNTRUSTED
    assert device.verdict(year) is Verdict.UNTRUSTED
    assert device.verdict(unlimited) is Verdict.ACTIVE


def test_r13_a_grant_of_a_clock_that_proved_wrong_ends():
    device = Device(IN_2099)
    terms = device.grant()
    assert device.verdict(terms) is Verdict.ACTIVE
    device.look(START)
    assert device.verdict(terms) is Verdict.EXPIRED
    assert assess(terms, device.reading(), Now(START, True, False), None) is Verdict.UNTRUSTED


@pytest.mark.parametrize(("back_s", "verdict"), [(60.0, Verdict.ACTIVE), (60.001, Verdict.EXPIRED)])
def test_r13_a_grant_a_minute_in_the_future_is_still_one(back_s, verdict):
    device = Device()
    terms = device.grant()
    now = Now(round(START - back_s, 3), trusted=True, confirmed=True)
    assert assess(terms, device.reading(), now, None) is verdict


def test_r13_the_earlier_of_what_was_chosen_and_what_was_written_counts():
    device = Device()
    terms = device.grant()
    later = replace(terms, expires_at=terms.granted_at + timedelta(days=900))
    never = replace(terms, expires_at=None)
    sooner = replace(terms, expires_at=terms.granted_at + timedelta(days=1))
    device.run(DAY)
    assert [device.verdict(t) for t in (later, never, sooner)] == [Verdict.ACTIVE, Verdict.ACTIVE, Verdict.EXPIRED]
    device.run(6 * DAY)
    assert [device.verdict(t) for t in (later, never)] == [Verdict.EXPIRED, Verdict.EXPIRED]


def test_r1_a_time_that_is_none_ends_a_grant():
    device = Device()
    for now in (Now(math.nan, True, False), Now(math.nan, True, True), Now(math.nan, False, False)):
        assert assess(device.grant(), device.reading(), now, None) is Verdict.EXPIRED_UNCONFIRMED


# -- this drive -----------------------------------------------------------------------------------


@pytest.mark.parametrize("wall_s", [IN_1970, IN_2099, START, math.nan])
def test_r13_this_drive_needs_no_wall_clock(wall_s):
    device = Device(wall_s)
    terms = device.grant(Duration.THIS_DRIVE)
    assert terms.expires_at is None
    device.run(12 * HOUR - 0.001)
    for other in (IN_1970, IN_2099, START):
        device.set_wall(other)
        assert device.verdict(terms) is Verdict.ACTIVE
    device.boottime += 0.001
    device.look()
    assert device.verdict(terms) is Verdict.EXPIRED


@pytest.mark.parametrize(("seconds", "verdict"), [(59.999, Verdict.ACTIVE), (60.0, Verdict.EXPIRED)])
def test_r13_a_suspend_of_a_minute_ends_the_drive(seconds, verdict):
    device = Device()
    device.suspend(500)
    terms = device.grant(Duration.THIS_DRIVE)
    device.suspend(seconds)
    assert device.verdict(terms) is verdict
    assert device.verdict(terms, "drive-1") is verdict  # known on one side only: the boot decides


def test_r13_a_new_boot_ends_a_drive_the_vehicle_does_not_name():
    device = Device()
    terms = device.grant(Duration.THIS_DRIVE)
    named = device.grant(Duration.THIS_DRIVE, drive_id="drive-1")
    device.reboot(START + 10)
    assert device.verdict(terms) is Verdict.EXPIRED
    assert device.verdict(terms, "drive-1") is Verdict.EXPIRED
    assert device.verdict(named) is Verdict.EXPIRED
    assert device.verdict(named, "drive-1") is Verdict.ACTIVE


def test_r13_the_vehicles_drive_outlasts_a_suspend_and_ends_with_its_id():
    device = Device()
    terms = device.grant(Duration.THIS_DRIVE, drive_id="drive-1")
    device.suspend(HOUR)
    assert device.verdict(terms, "drive-1") is Verdict.ACTIVE
    assert device.verdict(terms, "drive-2") is Verdict.EXPIRED
    device.run(11 * HOUR)
    assert device.verdict(terms, "drive-1") is Verdict.EXPIRED


@pytest.mark.parametrize("wall_s", [START + HOUR, IN_1970])
def test_r13_a_constant_drive_id_does_not_last_longer_than_a_drive(wall_s):
    """Restarting the head unit within a drive is no way around the twelve hours, whatever its clock says."""
    device = Device()
    terms = device.grant(Duration.THIS_DRIVE, drive_id="always-the-same")
    ran = 0.0
    while device.verdict(terms, "always-the-same") is Verdict.ACTIVE:
        device.run(HOUR)
        ran += HOUR
        device.reboot(wall_s)
        assert ran <= 12 * HOUR
    assert ran >= 11 * HOUR


def test_r13_a_restart_into_2099_during_a_drive_is_answered_but_not_committed():
    device = Device()
    terms = device.grant(Duration.THIS_DRIVE, drive_id="drive-1")
    device.reboot(IN_2099)
    assert device.verdict(terms, "drive-1") is Verdict.EXPIRED_UNCONFIRMED
    device.look(START + 60)
    assert device.verdict(terms, "drive-1") is Verdict.ACTIVE
    long_boot = replace(device.reading(), boottime_s=12 * HOUR)
    assert assess(terms, long_boot, Now(START, True, True), "drive-1") is Verdict.EXPIRED


@pytest.mark.parametrize(
    "change",
    [{"boottime_s": math.nan}, {"suspended_s": math.nan}, {"boottime_s": 99.999}, {"boottime_s": math.inf}],
)
def test_r1_a_clock_that_makes_no_sense_ends_the_drive(change):
    device = Device()
    terms = device.grant(Duration.THIS_DRIVE)
    assert assess(terms, replace(device.reading(), **change), device.now, None) is Verdict.EXPIRED


# -- the machine ----------------------------------------------------------------------------------

spans = st.one_of(st.integers(0, 200), st.integers(0, int(40 * HOUR)), st.integers(0, int(5 * DAY))).map(float)
walls = st.one_of(
    st.sampled_from([0.0, IN_1970, START, IN_2099, RELEASE_EPOCH_S]),
    st.integers(int(START - 10 * DAY), int(START + 30 * DAY)).map(float),
)
offsets = st.one_of(st.integers(-90, 90), st.integers(int(-9 * DAY), int(9 * DAY))).map(float)


class LyingClocks(RuleBasedStateMachine):
    """Real time passes; the wall clock says whatever it likes; now and then a service says what time it is."""

    @initialize(wall=walls)
    def start(self, wall):
        self.device = Device(wall)
        self.true = START  # what a service would say
        self.terms, self.drive = {}, None
        self.checked = True

    def renew(self):
        """Grant again what has ended for good. A grant that can end needs a clock that is trusted."""
        if self.drive is None:
            self.drive = self.device.grant(Duration.THIS_DRIVE)
            self.drive_ran = self.drive_slept = 0.0
            self.drive_rebooted = False
        if not self.terms and self.device.now.trusted:
            self.terms = {"days": self.device.grant(Duration.days(7))}
            self.ran = 0.0  # seconds this device has certainly been on since
            self.told = None  # the latest authenticated time since
            self.shift = 0.0

    def passed(self, seconds):
        self.true += seconds
        self.ran = getattr(self, "ran", 0.0) + seconds
        self.drive_ran = getattr(self, "drive_ran", 0.0) + seconds

    @rule(seconds=spans)
    def runs(self, seconds):
        before = self.device.now
        self.passed(seconds)
        self.device.run(seconds)
        self.forward(before, seconds)

    @rule(seconds=spans)
    def sleeps(self, seconds):
        before = self.device.now
        self.passed(seconds)
        self.drive_slept = getattr(self, "drive_slept", 0.0) + seconds
        self.device.suspend(seconds)
        self.forward(before, seconds)

    @rule(wall=walls)
    def is_set(self, wall):
        before = self.device.now
        self.device.set_wall(wall)
        self.forward(before, 0.0)

    @rule(offset=offsets)
    def is_shifted(self, offset):
        before = self.device.now
        self.device.set_wall(self.device.wall + offset)
        self.forward(before, 0.0)

    @rule(off=spans, wall=st.none() | walls)
    def restarts(self, off, wall):
        before = self.device.now
        self.true += off
        self.drive_rebooted = True
        self.device.reboot(self.device.wall + off if wall is None else wall)
        assert self.device.now.wall_s >= before.wall_s
        assert not self.device.now.confirmed

    @rule(error=st.integers(-2, 2))
    def hears_the_time(self, error):
        self.device.look(self.true + error)
        self.told = self.true + error
        now = self.device.now
        assert now.trusted and now.confirmed
        assert abs(now.wall_s - self.true) <= 62

    def forward(self, before, seconds):
        """R13 within a boot: at least the boot time passes; with a trusted clock hardly more."""
        now = self.device.now
        assert now.wall_s >= before.wall_s + seconds - 0.002
        assert now.trusted or not before.trusted
        if before.trusted:
            assert now.wall_s <= before.wall_s + seconds + 60.002

    @invariant()
    def r13_the_drive_is_measured_without_a_wall_clock(self):
        if self.drive is None:
            return self.renew()
        over = self.drive_rebooted or self.drive_slept >= 60 or self.drive_ran >= 12 * HOUR
        verdict = self.device.verdict(self.drive)
        assert verdict is (Verdict.EXPIRED if over else Verdict.ACTIVE)
        if over:
            self.drive = None
        return None

    @invariant()
    def r13_no_clock_lengthens_or_ends_a_grant(self):
        terms = self.terms.get("days")
        if terms is None:
            return self.renew()
        device, limit, granted = self.device, 7 * DAY, terms.granted_at.timestamp()
        verdict = device.verdict(terms)
        if verdict is Verdict.ACTIVE:
            assert device.now.trusted
            assert device.now.wall_s < granted + limit
            if self.told is None:
                assert self.ran < limit  # whatever its clock was told, it did not run longer
            else:
                assert self.ran < limit + 63
        elif verdict is Verdict.EXPIRED:
            # Only what is proven is committed: it ran that long, or authenticated time says that it is over, or that
            # the clock it was granted by was wrong.
            proof = self.ran >= limit - 0.002
            if self.told is not None:
                proof = proof or device.now.wall_s >= granted + limit or device.now.wall_s < granted - 60
                proof = proof or device.now.proven_s >= granted + limit
            assert proof
            self.terms = {}
        elif verdict is Verdict.UNTRUSTED:
            assert not device.now.trusted or device.now.wall_s < granted - 60
        else:
            assert device.now.wall_s >= granted + limit
        return None


TestLyingClocks = pytest.mark.once(LyingClocks.TestCase)
TestLyingClocks.settings = settings(max_examples=250, stateful_step_count=40, deadline=None)


@pytest.mark.once
@settings(max_examples=200)
@given(
    st.lists(st.tuples(spans, walls | offsets.map(lambda o: START + o), st.booleans()), max_size=12),
    st.integers(1, 20),
)
def test_r13_turning_the_clock_back_never_lengthens_a_grant(steps, day_count):
    """The same history with an honest clock and with any other: where the honest one has ended, so has the other."""
    honest, liar = Device(), Device()
    terms = honest.grant(Duration.days(day_count))
    for seconds, wall_s, restart in steps:
        assume(honest.now.wall_s + seconds < START + 30 * DAY)
        honest.run(seconds)
        liar.boottime += seconds
        liar.look()
        if restart:
            honest.reboot(honest.wall)
            liar.reboot(wall_s)
        else:
            liar.set_wall(wall_s)
        if honest.verdict(terms) is not Verdict.ACTIVE:
            assert liar.verdict(terms) is not Verdict.ACTIVE
        assert liar.now.wall_s >= honest.now.proven_s - 0.05


@given(boottime_s=st.floats(0, 1e9, allow_nan=False))
def test_r13_a_drive_is_active_at_the_very_moment_it_was_granted(boottime_s):
    """Stored in whole milliseconds, a grant must not seem to come from the future."""
    from kalos_connect_sdk.core.history import terms_from_json, terms_to_json

    reading = ClockReading(1_800_000_000.0, boottime_s, 0.0, "boot")
    now, _ = observe(reading, None)
    terms = GrantTerms(
        receipt_id="r",
        precision=Precision.PRECISE,
        duration=Duration.THIS_DRIVE,
        notice_id="n",
        notice_version="1",
        notice_locale="en",
        notice_sha256="0" * 64,
        notice_fields_sha256="0" * 64,
        controller_id="c",
        service_origin="http://127.0.0.1:1",
        granted_at=datetime(2027, 1, 15, 8, tzinfo=UTC),
        expires_at=None,
        granted_boot_id="boot",
        granted_boottime_s=boottime_s,
        granted_suspended_s=0.0,
    )
    assert assess(terms_from_json(terms_to_json(terms)), reading, now, None) is Verdict.ACTIVE
