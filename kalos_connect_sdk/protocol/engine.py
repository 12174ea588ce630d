"""The engine of one :class:`Connect`: the opened state, the gate's view of it, the keeper, and the rest on demand.

It is opened by the first call that needs state and closed with the facade; a forked child opens its own. What
asks, sends and ends (``works``) is loaded on the keeper right after opening, so that a first ``permission()``
does not wait for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..config import Config
from ..errors import StateError
from ..model.consent import Purpose
from ..model.decision import Reason
from ..model.notice import Notice
from ..model.reports import WithdrawalReport
from ..ports import Clock, NavigationProvider, OsPermission, Prompter, Vault, VehicleSignals
from ..storage.directory import StateDirectory
from ..storage.forks import undivided
from .identity import Identity
from .link import Link
from .moving import Moving
from .snapshot import Snapshot
from .state import State
from .view import View
from .worker import Reply, Worker

if TYPE_CHECKING:
    from .asking import Asking
    from .causes import Cause
    from .courier import Courier
    from .ending import Ending
    from .sending import Sender
    from .standing import Standing
    from .store import Store
    from .watching import Watcher
    from .works import Works

__all__ = ["Engine", "Parts"]

_GRACE_S = 0.5


@dataclass(frozen=True, slots=True)
class Parts:
    """What the facade was given."""

    app_id: str
    profile: str | None
    config: Config
    notices: Callable[[Purpose], Notice]
    clock: Clock
    vehicle: VehicleSignals | None
    os_permission: OsPermission | None
    open_vault: Callable[[StateDirectory], Vault]
    prompter: Callable[[], Prompter | None]
    driving: Callable[[], bool]
    """Whether a drive is running."""
    consent_lost: Callable[[Reason], None]
    """Tells running drives; called on an SDK thread."""
    simulated: bool = False
    navigation: NavigationProvider | None = None
    """Who finds a way; None: the service."""

    def __post_init__(self) -> None:
        if self.navigation is not None:
            from ..navigation.address import checked

            checked(self.navigation.url, self.navigation.recipient, self.navigation.region)


class Engine:
    """Opened state and running threads. Raises :class:`StateError` when the state directory cannot be used."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.keeper = Worker("kalos-keeper")
        self.keeper.start(self._idle)
        self._works: Works | None = None
        try:
            self.state = self.keeper.call(self._open_state)
        except BaseException:
            self.keeper.stop()
            raise
        self.link = Link(parts.config, self._heard_time)
        self.view = View(
            parts.config,
            parts.notices,
            parts.profile,
            parts.vehicle,
            parts.os_permission,
            parts.prompter,
            self.state,
            lambda: self.keeper.call(self._reload),
        )
        self.moving = Moving(self.state, self.view, self.keeper)
        self.state.motion = self.moving.now
        if self.state.unfinished():
            self.keeper.call(self._build)  # recovery comes before any answer (R5)
        else:
            self.keeper.post(self._build)

    def _open_state(self) -> State:
        parts = self.parts
        directory = StateDirectory.open(parts.app_id, parts.profile, parts.config.state_dir)
        identity = Identity(directory.slot, lambda: parts.open_vault(directory), lambda: self.parked)
        return State(directory, identity, parts.clock)

    @property
    def parked(self) -> bool:
        """Whether the vehicle is known to be parked; unknown and stale are no (R12)."""
        from ..core.prompting import motion
        from ..model.vehicle import Motion

        vehicle = self.parts.vehicle
        try:
            return vehicle is not None and motion(vehicle.read()) is Motion.PARKED
        except Exception:  # R1: an adapter that fails says nothing
            return False

    def _idle(self) -> bool:
        return self._works.ending.settle() if self._works is not None else False

    def _reload(self) -> Snapshot:
        """Read what other processes wrote. Who wrote a tombstone finishes; we do when it has not after a while."""
        if self.state.snapshot.version != self.state.page.version:
            self.state.reload()
            if self._works is not None and not self.state.snapshot.records[Purpose.NAVIGATION].status.active:
                self._works.store.forget()
        return self.state.snapshot

    # -- the rest, on demand ---------------------------------------------------------------------

    @property
    def works(self) -> Works:
        """What asks, sends and ends; loaded now when it is not there yet."""
        return self._works if self._works is not None else self.keeper.call(self._build)

    def _build(self) -> Works:
        if self._works is None:
            with undivided("loading what asks, sends and ends"):
                from .works import Works

            works = Works(self)
            works.start()
            self._works = works
        return self._works

    @property
    def store(self) -> Store:
        """The box of sealed positions."""
        return self.works.store

    @property
    def courier(self) -> Courier:
        """Withdrawal notices, and the thread that talks to the service about consent."""
        return self.works.courier

    @property
    def standing(self) -> Standing:
        """Registration, the service's word."""
        return self.works.standing

    @property
    def ending(self) -> Ending:
        """Every way out of a grant."""
        return self.works.ending

    @property
    def asking(self) -> Asking:
        """The coordinator of prompts."""
        return self.works.asking

    @property
    def sender(self) -> Sender:
        """The sender thread."""
        return self.works.sender

    @property
    def watcher(self) -> Watcher:
        """The watcher thread."""
        return self.works.watcher

    def _heard_time(self, wall_s: float) -> None:
        """A TLS-verified answer said what time it is (R13)."""
        if not self.state.now().confirmed:
            self.keeper.post(lambda: self.state.confirm_time(wall_s))

    # -- ends ------------------------------------------------------------------------------------

    def end_because(self, purpose: Purpose, cause: Cause, epoch: int | None = None) -> None:
        """End one grant because of what happened; the same drop as a withdrawal (R3, R4). ``epoch``: the one that was
        spoken of; a later grant is none of its business (R6)."""

        def end() -> None:
            if epoch is None or self.state.snapshot.records[purpose].epoch == epoch:
                self.ending.end([purpose], cause, 1.0)

        self.keeper.call(end)
        self.view.changed()

    def withdraw(self, purposes: Sequence[Purpose], timeout_s: float) -> WithdrawalReport:
        """Withdraw. Waits for no lock of this process: a signal handler may be the caller (R11), or a finalizer that
        the garbage collector runs on the keeper or the sender, in the middle of its task: that one does not wait."""
        started = time.monotonic()
        written: dict[Purpose, tuple[int, bool]] = {}
        state = self.state
        for purpose in purposes:
            written[purpose] = self._end_on_page(purpose)
        self.view.changed()
        reply: Reply[WithdrawalReport] = Reply()
        self.keeper.begin(lambda: self.works.withdraw(purposes, timeout_s, written, reply.put), reply)
        busy = self.keeper.here or (self._works is not None and self._works.sender.worker.here)
        try:
            return reply.get(0.0 if busy else max(0.0, timeout_s) + _GRACE_S)
        except TimeoutError:
            left = "waiting for an earlier task of this program; it goes on in the background"
        except StateError as error:
            left = f"{error}; call withdraw() again"
        except (OSError, ImportError):  # not even what finishes it could be loaded
            left = "this program can open no more files; call withdraw() again"
        return WithdrawalReport(
            complete=False,
            durable=all(on_disk for _, on_disk in written.values()),
            notice="pending",
            holders=state.barrier.holders(),
            remaining=(left,),
            elapsed_s=time.monotonic() - started,
            detail="Nothing new is sent. What is left to do is in remaining.",
        )

    def _end_on_page(self, purpose: Purpose) -> tuple[int, bool]:
        """Tombstone and count, in one; up to which epoch, and whether it is on disk. Whoever grants announces the epoch
        before they read the count, so either they see ours, or we see theirs (R11)."""
        page, on_disk = self.state.page, True
        epoch = max(page.granted(purpose), self.state.snapshot.records[purpose].epoch)
        if epoch:
            self.view.latch[purpose] = max(self.view.latch[purpose], epoch)
            on_disk = page.end(purpose, epoch, withdrawn=True)
        else:
            page.count_withdrawal(purpose)
        slipped_in = page.granted(purpose)
        if slipped_in > epoch:
            self.view.latch[purpose] = max(self.view.latch[purpose], slipped_in)
            epoch, on_disk = slipped_in, page.end(purpose, slipped_in)
        return epoch, on_disk

    def close(self) -> None:
        """Wait at most two seconds for a pending notice, then stop. Sends no position; the box stays, sealed."""
        works = self.keeper.call(lambda: self._works)
        if works is not None:
            works.close()
        else:
            self.keeper.call(self.state.keep_time)
        self.keeper.call(self.state.close)
        self.keeper.stop()
        self.link.close()
