"""Connect: the facade and only composition root.

Everything an app calls is here; the rules are in ``core``, the order of things in ``protocol``.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .config import Config
from .core.gate import clear_place
from .errors import ConsentRequired, KalosConnectError, NoPosition, StateError, quiet, silenced
from .model.consent import Permission, PermissionState, Precision, Purpose
from .model.decision import Reason, reason_of
from .model.notice import Notice
from .model.position import Place, Position
from .model.reports import FlushReport, Submission, WithdrawalReport
from .model.review import DriveReview
from .model.route import Route
from .protocol.clock import SystemClock
from .protocol.defaults import Defaults
from .protocol.engine import Engine, Parts
from .protocol.one_process import OneProcess

if TYPE_CHECKING:
    from concurrent.futures import Future

    from .core.record import Receipt
    from .ports import Clock, LocationSource, NavigationProvider, OsPermission, Prompter, Vault, VehicleSignals
    from .privacy import Privacy
    from .protocol.driving import Drive
    from .protocol.submitting import Submitter

__all__ = ["Connect"]


class Connect(OneProcess):
    """Location consent and navigation data of one (app, profile). A context manager.

    ``app_id``: letters, digits, dot, dash, underscore. ``prompter``: by default the terminal when there is one.
    ``notice``: for navigation, by default ours for the vendor's policy. ``vehicle``: its signals; without them the
    motion is unknown and a driver-facing prompt is deferred, so apps outside a car pass ``AssertedParked(reason)``.
    ``os_permission``: the operating system's own answer, a gate of its own. ``vault``, ``clock``: replaced in tests.
    ``profile``: one driver's state is not another's (R18). ``simulated``: receipts say that no person answered.
    ``navigation``: who finds routes, from ``kalos_connect_sdk.navigation`` or of your own; by default the service.

    Cheap to build: nothing is opened before it is needed.
    """

    def __init__(
        self,
        app_id: str,
        *,
        config: Config | None = None,
        prompter: Prompter | None = None,
        notice: Notice | None = None,
        vehicle: VehicleSignals | None = None,
        os_permission: OsPermission | None = None,
        vault: Vault | None = None,
        clock: Clock | None = None,
        profile: str | None = None,
        simulated: bool = False,
        navigation: NavigationProvider | None = None,
    ) -> None:
        super().__init__()
        self.config = config if config is not None else Config()
        self._defaults = Defaults(self.config, vault, notice, prompter)
        self._parts = Parts(
            app_id=app_id,
            profile=profile,
            config=self.config,
            notices=self._defaults.notice,
            clock=clock or SystemClock(),
            vehicle=vehicle,
            os_permission=os_permission,
            open_vault=self._defaults.vault,
            prompter=self._defaults.prompter,
            driving=self._driving,
            consent_lost=self._consent_lost,
            simulated=simulated,
            navigation=navigation,
        )
        self._opening = threading.RLock()
        self._engine: Engine | None = None
        self._submitter: Submitter | None = None
        self._drives: weakref.WeakSet[Drive] = weakref.WeakSet()
        self._closed = False

    def __enter__(self) -> Connect:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Connect {self._parts.app_id}>"

    # -- consent ---------------------------------------------------------------------------------

    def permission(self, purpose: Purpose = Purpose.NAVIGATION) -> Permission:
        """The present answer to *may I?*. Never prompts, never raises for consent; unknown means no (R1)."""
        try:
            return self._opened().view.permission(purpose)
        except StateError as error:
            return Permission(PermissionState.UNAVAILABLE, reason_of(error))

    @quiet
    def request_permission(
        self,
        purpose: Purpose = Purpose.NAVIGATION,
        *,
        precision: Precision = Precision.PRECISE,
        user_action: bool = False,
        guardian: str | None = None,
    ) -> Permission:
        """Ask the person when the rules allow (R12) and wait for the answer; at most 120 s, always resolves.

        ``user_action``: the person asked for it, which reopens what a refusal or a withdrawal closed. ``guardian``: a
        reference to evidence of a guardian's consent, which a minor's grant needs (R17); it is kept in the receipt.
        """
        asked = self.request_permission_future
        return asked(purpose, precision=precision, user_action=user_action, guardian=guardian).result()

    @quiet
    def request_permission_future(
        self,
        purpose: Purpose = Purpose.NAVIGATION,
        *,
        precision: Precision = Precision.PRECISE,
        user_action: bool = False,
        guardian: str | None = None,
    ) -> Future[Permission]:
        """The same for user-interface threads: returns at once."""
        return self._asked(lambda engine: engine.asking.request(purpose, precision, user_action, guardian))

    @quiet
    def ask_when_parked(
        self,
        purpose: Purpose = Purpose.NAVIGATION,
        *,
        precision: Precision = Precision.PRECISE,
        guardian: str | None = None,
    ) -> Future[Permission]:
        """The person wants to be asked: now when parked, else at the next stop (R12). A withdrawal cancels it."""
        return self._asked(lambda engine: engine.works.when_parked.request(purpose, precision, guardian))

    @quiet
    def withdraw(self, purpose: Purpose | None = None, *, timeout_s: float = 5.0) -> WithdrawalReport:
        """Withdraw consent, for one purpose or for all: the barrier (R3).

        Works offline, in any state, twice, from any thread, a signal handler or ``atexit``; needs no vault and
        no prompt. When it returns with ``complete``, no precise position leaves any more and what was buffered
        is gone. ``timeout_s``: how long to wait for other programs to let go; the report names those that did not.
        """
        purposes = list(Purpose) if purpose is None else [purpose]
        try:
            engine = self._opened(even_closed=True)
        except StateError as error:
            from .protocol.unopened import withdraw_unopened

            return withdraw_unopened(self._parts, purposes, str(error))
        try:
            report = engine.withdraw(purposes, timeout_s)
        except KalosConnectError:  # another thread closed it just now: one that is opened anew finishes
            return self.withdraw(purpose, timeout_s=timeout_s)
        if Purpose.NAVIGATION in purposes and self._submitter is not None:
            self._submitter.forget()
        return report  # running drives are told by the watcher: a signal handler may be our caller

    @quiet
    def reset(self) -> None:
        """The way out of a locked state (R8): ends every grant, tells the service, keeps the old files aside,
        begins a new record. Raises :class:`StateError` when even that is impossible."""
        engine = self._opened()
        from .protocol.reset import reset

        for drive in list(self._drives):
            drive.consent_lost(Reason.WITHDRAWN)
        engine.keeper.call(lambda: reset(engine))
        self._engine, self._submitter = None, None
        engine.close()

    def on_change(self, callback: Callable[[Permission], None]) -> Callable[[], None]:
        """Call ``callback`` on an SDK thread with every changed permission, whoever changed it. Returns an
        unsubscribe."""
        return self._opened().watcher.subscribe(callback)

    @property
    def sharing(self) -> bool:
        """For the indicator: precise location may be leaving now."""
        engine = self._engine
        if engine is None or self._closed:
            return False
        busy = engine.sender.sending or any(drive.running for drive in self._drives)
        box = engine.store.box
        if not busy and (box is None or not len(box)):
            return False
        present = self.permission()
        return present.granted and present.precision is Precision.PRECISE

    @property
    def parked(self) -> bool:
        """Whether the vehicle is known to be parked (R12)."""
        return self._opened().parked

    # -- positions -------------------------------------------------------------------------------

    def submit(self, position: Position) -> Submission:
        """Accept one position: consent first, then the filters, then sealed into the outbox. Returns at once.

        Nothing is sent before :meth:`flush` or inside a :meth:`drive`. Raises :class:`ConsentRequired` with
        ``.reason``.
        """
        if self._submitter is None:
            self._open_submitter()
        assert self._submitter is not None
        try:
            return self._submitter.submit(position)
        except BaseException as error:
            if not isinstance(error, ConsentRequired):  # the common no holds nothing, and must be cheap
                del position  # R10: what is no Position may be a bare pair of numbers
                silenced(error)
            raise

    @quiet
    def flush(self, timeout_s: float | None = None) -> FlushReport:
        """Send: pending withdrawal notices first, then every position that is due. Raises :class:`TransportError` only
        when nothing could be done; never for consent."""
        try:
            engine = self._opened()
        except StateError as error:
            return FlushReport(reason=reason_of(error))
        return engine.sender.worker.call(lambda: engine.sender.flush(timeout_s))

    @quiet
    def drive(
        self, source: LocationSource | str | os.PathLike[str], *, route: Route | None = None, reroute: bool = True
    ) -> Drive:
        """Submit and send from ``source``, or a URL such as ``gpx:FILE``, in the background until it ends, consent
        does, or ``stop()``. Guide along ``route``, and ask the service for a new one when it is left (``reroute``).
        Raises :class:`SourceUnavailable` for a source that cannot be opened, :class:`ConsentRequired` without consent.
        """
        from .protocol.driving import Drivable, Drive
        from .sources import source_of

        engine = self._opened()
        if not (decision := engine.view.decide(Purpose.NAVIGATION)).allowed:
            raise ConsentRequired(decision.reason)
        opened, owns = source_of(source)
        if self._submitter is None:
            self._open_submitter()
        assert self._submitter is not None
        drive = Drive(Drivable.of(engine, self._submitter), opened, route, reroute=reroute, owns_source=owns)
        self._drives.add(drive)
        return drive

    @quiet
    def route(self, to: Place, *, origin: Place | None = None, locale: str | None = None) -> Route:
        """A route to ``to``.

        With a typed ``origin`` no permission is needed (R19). Without, it starts at the latest position of this
        process: at most 30 s old, else :class:`NoPosition`; needs a precise grant, else :class:`ConsentRequired`.
        """
        from .protocol.routing import ask_route, clearance_from_here

        engine = self._opened()
        wanted = locale or self.config.locale or "en"
        if origin is not None:
            return ask_route(engine, clear_place(), origin, to, wanted)
        clearance = clearance_from_here(engine)
        here = self._submitter.latest() if self._submitter is not None else None
        if here is None:
            clearance_from_here(engine)  # a withdrawal meanwhile forgot it: that is why
            raise NoPosition("no position at most 30 s old; submit one first, or pass origin=Place(...)")
        return ask_route(engine, clearance, Place(here.latitude, here.longitude), to, wanted)

    # -- evidence --------------------------------------------------------------------------------

    @quiet
    def receipts(self) -> list[Receipt]:
        """Signed consent records (ISO/IEC TS 27560), oldest first, one per grant (R20)."""
        from .protocol.evidence import receipts

        engine = self._opened()
        return engine.keeper.call(lambda: receipts(engine))

    @quiet
    def drive_review(self, *, driver_facing: bool = True) -> DriveReview | None:
        """What became of consent, and of questions about it, while the vehicle was not parked; until it was marked as
        seen. None while a driver must not read (R12). ``driver_facing``: false on a phone or a desk.

        Raises :class:`StateError` when the history cannot be read."""
        from .protocol.reviewing import unseen

        engine = self._opened()
        if driver_facing and not engine.parked:
            return None
        return engine.keeper.call(lambda: unseen(engine.state))

    @quiet
    def drive_review_seen(self, review: DriveReview) -> None:
        """The person has seen it: :meth:`drive_review` tells only what came later. Raises :class:`StateError`."""
        from .protocol.reviewing import mark_seen

        engine = self._opened()
        engine.keeper.call(lambda: mark_seen(engine.state, review))

    @property
    def privacy(self) -> Privacy:
        """What a person can see and ask for: report, export, deletion, explanation."""
        from .privacy import Privacy

        return Privacy(self._opened, self.withdraw)

    def doctor(self) -> list[dict[str, Any]]:
        """What is usable here: rows of ``name``, ``ok``, ``detail``, ``advice``."""
        from .protocol.evidence import diagnose, refused

        try:
            engine = self._opened()
        except StateError as error:
            return refused(error, self.config)
        return diagnose(engine)

    @property
    def state_path(self) -> Path:
        """The state directory of this (app, profile)."""
        return self._opened().state.directory.path

    def wait_for_notices(self, timeout_s: float = 5.0) -> bool:
        """Wait until the service has acknowledged every withdrawal; true when it has."""
        return self._opened(even_closed=True).works.wait_for_notices(timeout_s)

    def close(self) -> None:
        """Stop. Waits at most two seconds for a pending notice; sends no positions. Twice is once."""
        if self._closed:
            return
        self._closed = True
        for drive in list(self._drives):
            drive.abandon()
        engine, self._engine, self._submitter = self._engine, None, None
        if engine is not None:
            engine.close()

    def _asked(self, ask: Callable[[Engine], Future[Permission]]) -> Future[Permission]:
        from concurrent.futures import Future

        future: Future[Permission] = Future()
        try:
            return ask(self._opened())
        except StateError as error:
            future.set_result(Permission(PermissionState.UNAVAILABLE, reason_of(error)))
        return future

    # -- wiring ----------------------------------------------------------------------------------

    def _opened(self, *, even_closed: bool = False) -> Engine:
        engine = self._engine
        if engine is not None:
            return engine
        if self._closed and not even_closed:
            raise KalosConnectError("this Connect is closed; make a new one")
        with self._opening:
            if self._engine is None:
                self._engine = Engine(self._parts)
            return self._engine

    def _open_submitter(self) -> None:
        from .protocol.submitting import Submitter

        try:
            self._submitter = Submitter(self._opened())
            return
        except StateError as error:
            reason = reason_of(error)
        raise ConsentRequired(reason)

    def _driving(self) -> bool:
        return any(drive.running for drive in list(self._drives))

    def _consent_lost(self, reason: Reason) -> None:
        if self._submitter is not None:
            self._submitter.forget()
        for drive in list(self._drives):
            drive.consent_lost(reason)

    def _after_fork(self) -> None:
        """In a forked child: no thread, lock or socket of the parent is ours; the next call opens anew (R3)."""
        self._opening = threading.RLock()
        self._inherited, self._engine = self._engine, None  # kept referenced, never used or closed
        self._submitter = None
        self._drives = weakref.WeakSet()
