"""A drive: read a source, submit, send, guide, in the background until the source or the consent ends.

Two threads: the reader submits, the pump sends. Neither depends on anybody iterating the events, which
are bounded (oldest dropped, ``ConsentLost`` always kept).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from ..errors import ConsentRequired, KalosConnectError, TransportError, quiet
from ..model.consent import Purpose
from ..model.decision import Reason
from ..model.events import ConsentLost, DriveEvent, DriveStats, Guidance, Progress, SourceLost, SourceRestored
from ..model.position import Position
from ..model.reports import FlushReport, Submission
from ..model.route import Route
from ..ports import LocationSource, Recovering
from .guiding import Guiding
from .rerouting import Rerouting
from .sending import SendStats

if TYPE_CHECKING:
    from .engine import Engine
    from .submitting import Submitter

__all__ = ["Drive", "Drivable"]

_MAX_EVENTS = 256
_LINGER_S = 1.0


class Drivable:
    """What a drive needs of the facade: a few functions, so that it can be driven alone in tests."""

    def __init__(
        self,
        submit: Callable[[Position, object, bool], Submission],
        flush: Callable[[], FlushReport],
        queued: Callable[[], int],
        stats: Callable[[], SendStats],
        lost: Callable[[], tuple[int, int]],
        why: Callable[[], Reason],
        rerouting: Callable[[], Rerouting],
        batch: int,
        capacity: int,
    ) -> None:
        self.submit = submit
        self.flush = flush
        self.queued = queued
        self.stats = stats
        self.lost = lost
        """(positions dropped, requests aborted) since open."""
        self.why = why
        """The recorded reason why consent is over."""
        self.rerouting = rerouting
        """Who asks for new routes."""
        self.batch = batch
        self.capacity = capacity

    @classmethod
    def of(cls, engine: Engine, submitter: Submitter) -> Drivable:
        """A drive through an opened engine."""
        return cls(
            submit=submitter.submit,
            flush=lambda: engine.sender.worker.call(lambda: engine.sender.flush(None, notices=False)),
            queued=lambda: len(engine.store.box) if engine.store.box is not None else 0,
            stats=lambda: engine.sender.stats,
            lost=lambda: (engine.store.dropped + engine.sender.stats.dropped, engine.link.aborted),
            why=lambda: engine.view.certain(Purpose.NAVIGATION).reason,
            rerouting=lambda: Rerouting(engine),
            batch=engine.parts.config.batch_max_positions,
            capacity=engine.parts.config.outbox_max_positions,
        )


class Drive:
    """A running drive. Iterate it for events, or let it run: ``wait()``, ``stop()``; ``stats`` at any time."""

    def __init__(
        self, target: Drivable, source: LocationSource, route: Route | None, *, reroute: bool, owns_source: bool
    ) -> None:
        self._target = target
        self._source = source
        self._owns_source = owns_source
        self._guiding: Guiding | None = None
        self._events: deque[DriveEvent] = deque()
        self._wanted = threading.Condition()
        self._stopping = threading.Event()
        self._read_all = threading.Event()
        self._work = threading.Event()
        self._over = threading.Event()
        self._accepted = 0
        self._filtered = 0
        self._base = target.stats()
        self._base_lost = target.lost()
        self._sent_base = (self._base.sent, self._base.rejected, self._base.batches, self._base.bytes_sent)
        self._lost_reason: Reason | None = None
        self._abandoned = False
        if route is not None:
            self.follow(route, reroute=reroute)
        self._reader = threading.Thread(target=self._read, name="kalos-reader", daemon=True)
        self._pump = threading.Thread(target=self._send, name="kalos-pump", daemon=True)
        self._reader.start()
        self._pump.start()

    # -- for the app -----------------------------------------------------------------------------

    def __enter__(self) -> Drive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __iter__(self) -> Iterator[DriveEvent]:
        """Events until the drive is over."""
        while True:
            with self._wanted:
                while not self._events and not self._over.is_set():
                    self._wanted.wait(0.5)
                if not self._events:
                    return
                event = self._events.popleft()
            yield event

    @property
    def running(self) -> bool:
        """False once the source ended and everything was sent, consent ended, or it was stopped."""
        return not self._over.is_set()

    @property
    def stats(self) -> DriveStats:
        """Counts so far."""
        now, (dropped, aborted) = self._target.stats(), self._target.lost()
        sent, rejected, batches, size = self._sent_base
        return DriveStats(
            accepted=self._accepted,
            filtered=self._filtered,
            sent=now.sent - sent,
            rejected=now.rejected - rejected,
            dropped=dropped - self._base_lost[0],
            aborted=aborted - self._base_lost[1],
            batches=now.batches - batches,
            bytes_sent=now.bytes_sent - size,
        )

    @property
    def ahead(self) -> Guidance | None:
        """The next instruction and how far it is now; None without a route, off the route and after the arrival."""
        guiding = self._guiding
        return None if guiding is None else guiding.ahead

    @quiet
    def follow(self, route: Route, *, reroute: bool = True) -> None:
        """Guide along ``route`` from the next position on, instead of along another one. See :meth:`Connect.drive`."""
        before, self._guiding = self._guiding, None
        if before is not None:
            before.stop()
        if len(route.line) > 1 and not self._stopping.is_set():
            self._guiding = Guiding(route, self._target.rerouting() if reroute else None, self._target.why, self._tell)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it is over; true when it is."""
        return self._over.wait(timeout_s)

    def abandon(self) -> None:
        """Stop at once and send nothing more; what is queued stays, sealed, for the next to open the state."""
        self._abandoned = True
        self.stop()

    def stop(self) -> None:
        """Stop reading; what is queued and due is sent while consent lasts. Returns when it is over."""
        self._stopping.set()
        self._source.close()
        self._stop_guiding()
        self._work.set()
        if threading.current_thread() not in (self._reader, self._pump):
            self._over.wait(15.0)

    # -- the two threads -------------------------------------------------------------------------

    def _read(self) -> None:
        unwatch = self._source.watch(self._heard) if isinstance(self._source, Recovering) else None
        try:
            for position in self._source:
                if self._stopping.is_set() or not self._take(position):
                    break
        except ConsentRequired as error:
            reason = self._target.why()
            self._lose(error.reason if reason is Reason.ALLOWED else reason)
        except KalosConnectError as error:
            self._tell(SourceLost(str(error)))
        except Exception:  # R10: the text of a foreign error may hold anything
            self._tell(SourceLost("the source failed with an error of its own"))
        finally:
            if unwatch is not None:
                unwatch()
            self._stop_guiding()
            self._read_all.set()
            self._work.set()
            if self._owns_source:
                self._source.close()

    def _heard(self, trouble: str | None) -> None:
        """A source that outlives losses was lost, or is back."""
        self._tell(SourceRestored() if trouble is None else SourceLost(trouble, retrying=True))

    def _take(self, position: Position) -> bool:
        live = bool(getattr(self._source, "live", False))
        if not live:
            self._make_room()
        submission = self._target.submit(position, self, not live)
        if not submission.accepted:
            self._filtered += 1
            return not self._stopping.is_set()
        self._accepted += 1
        if self._accepted % 32 == 0 and self._target.queued() >= self._target.batch:
            self._work.set()
        guiding = self._guiding  # the app may follow another route meanwhile
        if guiding is not None:
            guiding.along(position, live=live)
        return not self._stopping.is_set()

    def _make_room(self) -> None:
        """A recording waits while the outbox is full."""
        while self._target.queued() >= self._target.capacity and not self._stopping.is_set() and not self._lost_reason:
            self._work.set()
            self._stopping.wait(0.005)

    def _stop_guiding(self) -> None:
        guiding = self._guiding
        if guiding is not None:
            guiding.stop()

    def _send(self) -> None:
        pause_s: float | None = _LINGER_S
        while self._lost_reason is None:
            self._work.wait(pause_s)
            self._work.clear()
            if self._abandoned:
                break
            ending = self._read_all.is_set() or self._stopping.is_set()
            pause_s = self._flush(ending)
            if pause_s is None or (ending and (pause_s == 0.0 or self._stopping.is_set())):
                break
        self._over.set()
        with self._wanted:
            self._wanted.notify_all()

    def _flush(self, ending: bool) -> float | None:
        """One flush; seconds until the next is worthwhile, 0 when nothing is left, None when none is possible."""
        try:
            report = self._target.flush()
        except TransportError:
            self._tell_progress()
            return _LINGER_S
        except KalosConnectError as error:
            self._tell(SourceLost(str(error)))
            self._stopping.set()  # the facade was closed: nothing can be sent any more
            self._source.close()
            return None
        self._tell_progress()
        if report.reason is not Reason.ALLOWED:
            self._lose(report.reason)
            return 0.0
        if ending and report.remaining == 0:
            return 0.0
        return min(_LINGER_S, max(0.02, report.next_attempt_s or _LINGER_S))

    # -- events ----------------------------------------------------------------------------------

    def _lose(self, reason: Reason) -> None:
        if self._lost_reason is None:
            self._lost_reason = reason
            self._tell(ConsentLost(reason))
        self._stopping.set()
        self._source.close()
        self._work.set()

    def consent_lost(self, reason: Reason) -> None:
        """Consent ended elsewhere: told at once, not only at the next position."""
        self._lose(reason)

    def _tell_progress(self) -> None:
        stats = self.stats
        answer = self._target.stats().answer
        self._tell(Progress(stats.accepted, stats.sent, stats.dropped, self._target.queued(), stats.bytes_sent, answer))

    def _tell(self, event: DriveEvent) -> None:
        with self._wanted:
            if len(self._events) >= _MAX_EVENTS:
                for index, old in enumerate(self._events):
                    if not isinstance(old, ConsentLost):
                        del self._events[index]
                        break
            self._events.append(event)
            self._wanted.notify()
