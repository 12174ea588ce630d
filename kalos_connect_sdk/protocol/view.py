"""Asking the gate, from any thread: the live page, the snapshot, the vehicle, the OS, the clock (R1, R2).

The slow path gathers every fact and calls ``core.gate.decide``. The fast path repeats the last answer while
the shared page says that nothing changed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

from ..config import Config
from ..core.gate import Border, Decision, Facts, decide
from ..core.lifetime import Verdict, assess
from ..core.prompting import motion, permission
from ..model.consent import Permission, Precision, Purpose, RecordState
from ..model.decision import Reason
from ..model.notice import Notice
from ..model.vehicle import Motion, OsAnswer, VehicleState
from ..ports import AssertedParked, OsPermission, Prompter, VehicleSignals
from .snapshot import Snapshot
from .state import State

__all__ = ["View"]

_REPEAT_S = 1.0
_REPEAT_NO_S = 0.1
_ALL_ONES = (1 << 64) - 1
_NAVIGATION = Purpose.NAVIGATION


class View:
    """The gate as this process sees it now."""

    def __init__(
        self,
        config: Config,
        notices: Callable[[Purpose], Notice],
        profile: str | None,
        vehicle: VehicleSignals | None,
        os_permission: OsPermission | None,
        prompter: Callable[[], Prompter | None],
        state: State,
        refresh: Callable[[], Snapshot],
    ) -> None:
        self._config = config
        self._notices = notices
        self._fields: dict[Purpose, tuple[str, str]] = {}
        self._published: dict[Purpose, tuple[str, Reason | None]] = {}
        self._prompter = prompter
        self._profile = profile
        self._vehicle = vehicle
        self._heard = VehicleState()
        self._heard_at = -math.inf
        self.asserts_parked = isinstance(vehicle, AssertedParked)
        """The app says that it is parked; nobody has looked."""
        self._os = os_permission
        self._state = state
        self.waits: Callable[[Purpose], bool] = lambda purpose: False
        """Whether a question of the purpose waits for the next stop."""
        self._refresh = refresh
        self.latch: dict[Purpose, int] = dict.fromkeys(Purpose, 0)
        """Highest epoch this process was told to end: plain attributes, set even in a signal handler."""
        self._words = state.page.words
        self._version_at = state.page.VERSION
        self._slot = (-1, 0)
        self._last: tuple[Decision, bool, int, int, int, float] | None = None
        self._changes = 0
        self._over_since = (-1, 0.0)
        self._simulated = bool(getattr(state.clock, "simulated", False))

    # -- facts -----------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """The snapshot of the present version of the page; read again when another process changed it."""
        snapshot = self._state.snapshot
        return snapshot if snapshot.version == self._state.page.version else self._refresh()

    def ended(self, purpose: Purpose, epoch: int) -> bool:
        """True when a tombstone or this process's latch says that the epoch is over. Any thread, no lock."""
        return self.latch[purpose] >= epoch or self._state.page.ended(purpose, epoch)

    def vehicle(self) -> VehicleState | None:
        """One reading of the vehicle, or None without signals. An adapter that fails has gone silent: what it said
        last is stale (R12)."""
        if self._vehicle is None:
            return None
        try:
            heard = self._vehicle.read()
        except Exception:
            return replace(self._heard, age_s=math.inf)
        self._heard, self._heard_at = heard, time.monotonic()
        return heard

    def heard_motion(self) -> Motion | None:
        """How the vehicle moves by what its signals said last, as old as that is by now; None without signals. Any
        thread; asks nobody."""
        if self._vehicle is None or self.asserts_parked:
            return None
        heard = self._heard
        return motion(replace(heard, age_s=heard.age_s + time.monotonic() - self._heard_at))

    def os(self) -> OsAnswer:
        """The operating system's answer; an adapter that fails is unknown, and unknown means no (R1)."""
        if self._os is None:
            return OsAnswer.NOT_CONFIGURED
        try:
            return self._os.read()
        except Exception:
            return OsAnswer.UNKNOWN

    def border_open(self, snapshot: Snapshot | None = None) -> bool:
        """R16: positions in mainland China may go where the service is."""
        if self._config.service_region == "CN" or self._config.service_is_loopback:
            return True
        return self.decide(Purpose.CROSS_BORDER_TRANSFER, snapshot=snapshot).allowed

    def lifetime(self, record: RecordState) -> Verdict:
        """R13, judged now."""
        if record.terms is None:
            return Verdict.UNTRUSTED
        vehicle = self.vehicle()
        return assess(record.terms, self._state.clock.read(), self._state.now(), vehicle.drive_id if vehicle else None)

    def expiry_certain(self, record: RecordState) -> bool:
        """R13: over by clocks that cannot lie, not only by a wall clock nobody confirmed: may be recorded."""
        return self.lifetime(record) is Verdict.EXPIRED

    def facts(self, purpose: Purpose, wanted: Precision, snapshot: Snapshot) -> Facts:
        """Everything the gate wants to know."""
        record = snapshot.records[purpose]
        vehicle = self.vehicle() or VehicleState()
        terms = record.terms
        ended = record.status.active and self.ended(purpose, record.epoch)
        unreadable = snapshot.unreadable
        if unreadable is None and record.status.active and not ended and snapshot.floor[purpose] >= record.epoch:
            unreadable = Reason.STATE_ROLLED_BACK  # R7
        if unreadable is None and record.status.active and not self._in_place():
            unreadable = Reason.STATE_UNREADABLE
        origin = self._config.origin
        fields, controller = self._agreed(purpose) if terms is not None else ("", "")
        outdated = self.outdated(purpose, snapshot)
        return Facts(
            purpose=purpose,
            wanted=wanted,
            state=record,
            unreadable=unreadable,
            ended=ended,
            authentic=snapshot.authentic[purpose],
            lifetime=self.lifetime(record) if record.status.active else Verdict.ACTIVE,
            notice_changed=terms is not None and (terms.notice_fields_sha256 != fields or outdated is not None),
            controller_changed=terms is not None
            and (terms.controller_id != controller or outdated is Reason.CONTROLLER_CHANGED),
            origin_changed=terms is not None and bool(origin) and terms.service_origin != origin,
            os=self.os(),
            vehicle_privacy=vehicle.privacy,
            profile_matches=self.profile_matches(vehicle),
            guardian_missing=record.guardian_missing,
            border=Border.HOME,
        )

    def _in_place(self) -> bool:
        """R1: a state directory that was removed or replaced under this program vouches for nothing. About 45 us."""
        return self._state.page.intact() and self._state.ledger.in_place()

    def _agreed(self, purpose: Purpose) -> tuple[str, str]:
        """(hash of the notice's machine-readable fields, controller) as they are now (R14)."""
        if purpose not in self._fields:
            from ..core.notices.hashing import fields_sha256

            notice = self._notices(purpose)
            self._fields[purpose] = (fields_sha256(notice), notice.controller.id)
        return self._fields[purpose]

    def outdated(self, purpose: Purpose, snapshot: Snapshot | None = None) -> Reason | None:
        """Why the service takes no consent to the notice that this app shows: it published a later one, with other
        machine-readable fields (R14). Asking a person helps only after an update of the app."""
        said = (snapshot or self._state.snapshot).published.get(purpose)
        if said is None:
            return None
        known = self._published.get(purpose)
        if known is None or known[0] != said:
            from ..core.notices.published import forbids, load

            theirs = load(said, self._config.origin)
            known = said, None if theirs is None else forbids(theirs, self._notices(purpose))
            self._published[purpose] = known
        return known[1]

    def profile_matches(self, vehicle: VehicleState) -> bool:
        """R18: the vehicle names no other driver than the one this state belongs to."""
        return self._profile is None or vehicle.profile is None or vehicle.profile == self._profile

    def decide(
        self, purpose: Purpose, wanted: Precision = Precision.PRECISE, *, snapshot: Snapshot | None = None
    ) -> Decision:
        """The gate's answer now, from all the facts.

        With a ``snapshot`` it never waits for the keeper: the sender asks this way while it holds the lock.
        """
        return decide(self.facts(purpose, wanted, snapshot if snapshot is not None else self.snapshot()))

    def certain(self, purpose: Purpose) -> Decision:
        """The same, with the reason that was recorded: a tombstone says that it is over, the ledger says why."""
        snapshot = self.snapshot()
        decision = self.decide(purpose, snapshot=snapshot)
        if decision.reason is Reason.WITHDRAWN and snapshot.records[purpose].status.active:
            decision = self.decide(purpose, snapshot=self._refresh())
        return decision

    def permission(self, purpose: Purpose, *, deferred: bool | None = None) -> Permission:
        """What an app sees, without asking anybody. ``deferred``: a question waits for the next stop; by default as
        it is."""
        deferred = self.waits(purpose) if deferred is None else deferred
        decision = self.certain(purpose)
        record = self._state.snapshot.records[purpose]
        return permission(
            decision,
            record,
            has_prompter=self._prompter() is not None,
            deferred=deferred,
            outdated=self.outdated(purpose),
        )

    # -- the hot path ----------------------------------------------------------------------------

    def navigation(self) -> tuple[Decision, bool]:
        """``(decision, border_open)`` for one position: the last answer, while nothing changed, else all the facts.

        A yes is repeated for at most a second, and only while three words of shared memory (the version, and the
        tombstone of the epoch with its complement) say that nothing ended. A no is repeated for a tenth of one.
        """
        last = self._last
        if last is not None:
            decision, border_open, version, slot, epoch, until = last
            words = self._words
            over = words[slot]
            if (
                words[self._version_at] == version
                and (epoch < 0 or (over < epoch and over ^ words[slot + 1] == _ALL_ONES))
                and (epoch < 0 or self.latch[_NAVIGATION] < epoch)
                and time.monotonic() < until
            ):
                return decision, border_open
        return self._ask_in_full()

    def _ask_in_full(self) -> tuple[Decision, bool]:
        self._last = None
        changes = self._changes
        over = self.just_over()
        decision = over if over is not None else self.certain(_NAVIGATION)
        border_open = self.border_open() if decision.allowed else False
        if not self._simulated:
            clearance = decision.clearance
            epoch, repeat_s = (clearance.epoch, _REPEAT_S) if clearance is not None else (-1, _REPEAT_NO_S)
            version, slot = self._state.snapshot.version, self._state.page.slot(_NAVIGATION, max(epoch, 0))
            self._last = (decision, border_open, version, slot, epoch, time.monotonic() + repeat_s)
            if changes != self._changes:
                self._last = None
        return decision, border_open

    def just_over(self) -> Decision | None:
        """A no at once while somebody withdraws: to read the ledger now would only keep them waiting. None when nothing
        is over, and when only the ledger can say why."""
        snapshot, page = self._state.snapshot, self._state.page
        record = snapshot.records[_NAVIGATION]
        if not record.status.active or not self.ended(_NAVIGATION, record.epoch):
            return None
        counted = page.withdrawals(_NAVIGATION) != snapshot.withdrawals[_NAVIGATION]
        if not counted and self.latch[_NAVIGATION] < record.epoch:
            return None  # time, the service, the vehicle: whoever ended it writes down which
        now = time.monotonic()
        if self._over_since[0] != record.epoch:
            self._over_since = (record.epoch, now)
        late = now - self._over_since[1] > _REPEAT_NO_S
        if late or page.granted(_NAVIGATION) > record.epoch:
            return None
        return self.decide(_NAVIGATION, snapshot=snapshot)

    def ending_elsewhere(self) -> bool:
        """True while another program withdraws, as far as we know."""
        epoch = self._state.snapshot.records[_NAVIGATION].epoch
        return self.just_over() is not None and self.latch[_NAVIGATION] < epoch

    def still_open(self, epoch: int) -> bool:
        """Checked for every piece of a body: the epoch is not over. Any thread, no lock, no system call."""
        known, slot = self._slot
        if known != epoch:
            slot = self._state.page.slot(_NAVIGATION, epoch)
            self._slot = (epoch, slot)
        words = self._words
        over = words[slot]
        return over < epoch and over ^ words[slot + 1] == _ALL_ONES and self.latch[_NAVIGATION] < epoch

    def changed(self) -> None:
        """Something outside the page changed (vehicle, OS, latch): the next question is asked in full."""
        self._changes += 1
        self._last = None
