"""The engine of one :class:`Connect`: opens the state and wires the protocol's parts together.

It is opened by the first call that needs state and closed with the facade; a forked child opens its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..config import Config
from ..errors import KalosConnectError
from ..model.consent import Purpose
from ..model.notice import Notice
from ..model.reports import WithdrawalReport
from ..ports import Clock, OsPermission, Prompter, Vault, VehicleSignals
from ..storage.directory import StateDirectory
from .asking import Asking
from .courier import Courier
from .ending import CAUSES, Cause, Ending, Silence
from .granting import Granting
from .identity import Identity
from .link import Link
from .sending import Sender
from .state import Snapshot, State
from .store import Store
from .view import View
from .watching import Watcher
from .worker import Worker

__all__ = ["Engine", "Parts"]

_GRACE_S = 0.5
_REGISTER_WAIT_S = 2.0
_CLOSE_WAIT_S = 2.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What the facade was given."""

    app_id: str
    profile: str | None
    config: Config
    notices: Mapping[Purpose, Notice]
    clock: Clock
    vehicle: VehicleSignals | None
    os_permission: OsPermission | None
    open_vault: Callable[[StateDirectory], Vault]
    prompter: Callable[[], Prompter | None]
    simulated: bool = False


class Engine:
    """Opened state and running threads. Raises :class:`StateError` when the state directory cannot be used."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        config, notices = parts.config, dict(parts.notices)
        self.keeper = Worker("kalos-keeper")
        self.keeper.start(self._idle)
        self._ending: Ending | None = None
        self._unsubscribe: list[Callable[[], None]] = []
        try:
            self.state = self.keeper.call(self._open_state)
        except BaseException:
            self.keeper.stop()
            raise
        state = self.state
        self.link = Link(config)
        self.view = View(config, notices, parts.profile, parts.vehicle, parts.os_permission, state, self._refresh)
        self.store = Store(state, self.keeper)
        silence = Silence(cut=self.link.cut, take_cut=self.link.take_cut, forget=self.store.forget)
        self.courier = Courier(state, config, self.keeper, notices, self.link.client, self.end_because)
        self.ending = Ending(state, silence, self.courier.wake)
        granting = Granting(state, config, silence, self.ending)
        self.asking = Asking(
            state,
            config,
            self.keeper,
            self.view,
            granting,
            notices,
            parts.prompter,
            parts.simulated,
            self._registered_soon,
        )
        self.sender = Sender(state, config, self.view, self.store, self.courier, self.link)
        self.watcher = Watcher(
            state, self.view, self.asking.permission, self.link.cut, self._finish, self._keep_time, self.end_because
        )
        self._start()

    def _open_state(self) -> State:
        parts = self.parts
        directory = StateDirectory.open(parts.app_id, parts.profile, parts.config.state_dir)
        identity = Identity(directory.slot, lambda: parts.open_vault(directory), self._parked)
        return State(directory, identity, parts.clock)

    def _parked(self) -> bool:
        from ..core.prompting import motion
        from ..model.vehicle import Motion

        vehicle = self.parts.vehicle
        return vehicle is not None and motion(vehicle.read()) is Motion.PARKED

    def _start(self) -> None:
        self.courier.worker.start(self.courier.idle)
        self.sender.worker.start(lambda: False)
        self.watcher.start()
        for port in (self.parts.vehicle, self.parts.os_permission):
            if port is not None:
                self._unsubscribe.append(port.subscribe(self.watcher.wake))
        self.keeper.call(self.ending.recover)
        self._ending = self.ending
        if any(row.awake for row in self.keeper.call(self.state.ledger.notices)):
            self.courier.wake()

    def _idle(self) -> bool:
        return self._ending.settle() if self._ending is not None else False

    def _refresh(self) -> Snapshot:
        return self.keeper.call(self._reload)

    def _reload(self) -> Snapshot:
        """Read what other processes wrote. Who wrote a tombstone finishes; we do when it has not after a while."""
        if self.state.snapshot.version != self.state.page.version:
            self.state.reload()
            if not self.state.snapshot.records[Purpose.NAVIGATION].status.active:
                self.store.forget()
        return self.state.snapshot

    def _finish(self) -> None:
        """What another process left unfinished for a second: it died, or it is stopped (R5)."""
        self.keeper.call(self.ending.recover)

    def _keep_time(self) -> None:
        self.keeper.call(self.state.keep_time)

    # -- ends ------------------------------------------------------------------------------------

    def end_because(self, purpose: Purpose, cause: Cause) -> None:
        """End one grant because of what happened; the same drop as a withdrawal (R3, R4)."""
        self.keeper.call(lambda: self.ending.end([purpose], cause, 1.0))
        self.view.changed()

    def withdraw(self, purposes: Sequence[Purpose], timeout_s: float) -> WithdrawalReport:
        """Withdraw. Waits for no lock of this process: a signal handler may be the caller (R11)."""
        started = time.monotonic()
        durable = True
        state = self.state
        for purpose in purposes:
            epoch = max(state.page.granted(purpose), state.snapshot.records[purpose].epoch)
            if epoch:
                self.view.latch[purpose] = max(self.view.latch[purpose], epoch)
                if not state.page.ended(purpose, epoch):
                    durable = state.page.end(purpose, epoch) and durable
        self.asking.cancelled += 1
        self.view.changed()
        reply = self.keeper.begin(
            lambda: self.ending.end(purposes, CAUSES["subject"], timeout_s, tombstones_durable=durable)
        )
        late = False
        try:
            return reply.get(max(0.0, timeout_s) + _GRACE_S)
        except TimeoutError:
            late = True
        assert late
        return WithdrawalReport(
            complete=False,
            durable=durable,
            notice="pending",
            holders=state.barrier.holders(),
            remaining=("waiting for an earlier task of this program; it goes on in the background",),
            elapsed_s=time.monotonic() - started,
            detail="Recorded; nothing new is sent. What is left goes on in the background.",
        )

    # -- service ---------------------------------------------------------------------------------

    def _registered_soon(self, purpose: Purpose, epoch: int) -> None:
        """After a grant: tell the service, waiting at most two seconds; otherwise before the first send."""
        if not self.parts.config.service_url:
            return
        reply = self.courier.worker.begin(lambda: self.courier.token(purpose, epoch))
        try:
            reply.get(_REGISTER_WAIT_S)
        except (KalosConnectError, TimeoutError):
            pass  # the grant stands; what was wrong is told before the first send

    def wait_for_notices(self, timeout_s: float) -> bool:
        """Try pending notices until none is left or the time is over; true when none is left."""
        deadline = time.monotonic() + timeout_s
        while True:
            reply = self.courier.worker.begin(lambda: self.courier.deliver(ignore_backoff=True))
            try:
                if reply.get(max(0.0, deadline - time.monotonic())) == 0:
                    return True
            except (TimeoutError, KalosConnectError):
                pass
            if deadline - time.monotonic() < 0.2:
                return False
            self.courier.worker.nap(0.2)

    def close(self) -> None:
        """Wait at most two seconds for a pending notice, then stop. Sends no position; the box stays, sealed."""
        try:
            if self.courier.pending():
                self.wait_for_notices(_CLOSE_WAIT_S)
        except KalosConnectError:
            pass
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self.watcher.stop()
        self.sender.worker.stop()
        self.courier.worker.stop()
        self.keeper.call(self.store.close)
        self.keeper.call(self.state.keep_time)
        self.keeper.call(self.state.close)
        self.keeper.stop()
        self.link.close()
