"""The works: everything that asks, sends, tells and ends, wired together around one opened state."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..errors import KalosConnectError, StateError
from ..model.consent import Purpose
from ..model.reports import WithdrawalReport
from ..model.rights import MarkedBy
from .asking import Asking
from .bulletin import Bulletin
from .causes import CAUSES
from .courier import Courier
from .ending import Ending, Silence
from .granting import Granting
from .minors import Minors
from .polling import Polling
from .rights import Rights
from .sending import Sender
from .standing import Standing
from .store import Store
from .usage import Usage
from .waiting import WhenParked
from .watching import Watcher

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["Works"]

_REGISTER_WAIT_S = 2.0
_CLOSE_WAIT_S = 2.0
_STOP_WAIT_S = 0.2


class Works:
    """Made and started on the keeper."""

    def __init__(self, engine: Engine) -> None:
        parts, state, keeper, view, link = engine.parts, engine.state, engine.keeper, engine.view, engine.link
        config, notices = parts.config, parts.notices
        self._parts = parts
        self._keeper = keeper
        self._state = state
        self._cut = link.cut
        self._unsubscribe: list[Callable[[], None]] = []
        self.store = Store(state, keeper)
        silence = Silence(cut=link.cut, take_cut=link.take_cut, forget=self.store.forget)
        self.rights = Rights(state, config, keeper, notices, link.client)
        self.courier = Courier(state, keeper, link.client, self.rights)
        self.standing = Standing(state, config, keeper, notices, link.client, engine.end_because, self._heard_minor)
        self.bulletin = Bulletin(state, config, keeper, view, notices, link.client, engine.end_because)
        self.polling = Polling(state, self.courier.worker, self.standing, self.bulletin.ask)
        self.ending = Ending(state, silence, self._tell)
        granting = Granting(state, config, silence, self.ending)
        self.asking = Asking(
            state,
            config,
            keeper,
            view,
            granting,
            notices,
            parts.prompter,
            parts.simulated,
            self._registered_soon,
            self._notice_heard,
        )
        self.when_parked = WhenParked(
            self.asking,
            view,
            lambda: engine.parked or not getattr(parts.prompter(), "driver_facing", True),
            lambda purpose: state.page.withdrawals(purpose),
        )
        view.waits = self.when_parked.waits
        self.sender = Sender(state, config, view, self.store, self.courier, self.standing, link, self.polling.cut)
        self.usage = Usage(state, lambda: self.sender.stats.sent)
        self.minors = Minors(state, self.ending, self.rights, self.usage)
        self.watcher = Watcher(
            state,
            view,
            link.cut,
            self._finish,
            self._keep_time,
            engine.moving.look,
            engine.end_because,
            parts.driving,
            parts.consent_lost,
            self.polling.tick,
        )

    def start(self) -> None:
        """Recover, then let the threads run."""
        self.ending.recover()
        self.courier.worker.start(self.courier.idle)
        self.sender.worker.start(lambda: False)
        self.watcher.start()
        for port in (self._parts.vehicle, self._parts.os_permission):
            if port is not None:
                self._unsubscribe.append(port.subscribe(self.watcher.wake))
        self._confirm_time()
        try:
            if self._keeper.call(self.rights.unanswered) or self.courier.pending():
                self.courier.wake()
        except StateError:
            pass  # there is no ledger to read: doctor says so

    def withdraw(
        self,
        purposes: Sequence[Purpose],
        timeout_s: float,
        written: Mapping[Purpose, tuple[int, bool]],
        answer: Callable[[WithdrawalReport], None],
    ) -> WithdrawalReport:
        """On the keeper: the withdrawal whose tombstones the caller has written."""
        return self.ending.end(purposes, CAUSES["subject"], timeout_s, written=written, answer=answer)

    def _tell(self) -> None:
        """Something ended: that is told before anything is asked."""
        self.polling.cut()
        self.courier.wake()

    def _heard_minor(self) -> None:
        """The service says that the profile is a minor's (R17)."""
        try:
            self._keeper.call(lambda: self.minors.mark(MarkedBy.SERVICE))
        except KalosConnectError:
            pass  # what it refused ends all the same; it says so again at the next grant

    def _finish(self) -> None:
        """What another process left unfinished for a second: it died, or it is stopped (R5)."""
        self._keeper.call(self.ending.try_again)

    def _keep_time(self) -> None:
        self._keeper.call(self._remember)

    def _remember(self) -> None:
        settings: dict[str, str | None] = {}
        try:
            settings = self.usage.settings()
        except StateError:
            pass  # counts of use are a courtesy
        self._state.keep_time(settings)

    def _confirm_time(self) -> None:
        """R13: a clock that cannot be trusted is confirmed by the date of a TLS-verified answer, any answer."""
        url = self._parts.config.service_url
        waiting = any(record.status.active for record in self._state.snapshot.records.values())
        if url and waiting and not self._state.now().trusted:
            self.courier.worker.post(self.bulletin.ask)

    def _registered_soon(self, purpose: Purpose, epoch: int) -> None:
        """After a grant: tell the service, waiting at most two seconds; otherwise before the first send."""
        if not self._parts.config.service_url:
            return
        reply = self.courier.worker.begin(lambda: self.standing.token(purpose, epoch))
        try:
            reply.get(_REGISTER_WAIT_S)
        except (KalosConnectError, TimeoutError):
            pass  # the grant stands; what was wrong is told before the first send

    def _notice_heard(self) -> None:
        """Ask for the service's notice, waiting at most two seconds."""
        reply = self.courier.worker.begin(self.bulletin.ask)
        try:
            reply.get(_REGISTER_WAIT_S)
        except (KalosConnectError, TimeoutError):
            pass  # what was heard before stands

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
        """Wait at most two seconds for a pending notice, then stop the threads; the box stays, sealed."""
        self.polling.close()
        try:
            if self.courier.pending():
                self.wait_for_notices(_CLOSE_WAIT_S)
        except KalosConnectError:
            pass
        self.when_parked.close()
        self.asking.close()
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self.watcher.stop()
        self._keeper.call(self._cut)  # not here: a handler that withdraws may interrupt us, and cuts the same requests
        self.sender.worker.stop(_STOP_WAIT_S)  # a request that hangs ends by its own deadline, and changes nothing
        self.courier.worker.stop(_STOP_WAIT_S)
        self._keep_time()
        self._keeper.call(self.store.close)
