"""Submitting: consent first, then the filters, then sealed (R2, R6, R15, R16). The hot path."""

from __future__ import annotations

import threading
from collections.abc import Callable
from weakref import WeakKeyDictionary

from ..core.borders import in_mainland_china
from ..core.coarsen import Coarsener
from ..core.outbox import Admission
from ..core.packing import pack
from ..errors import ConsentRequired, InvalidPosition
from ..model.consent import Precision, Purpose
from ..model.decision import Reason
from ..model.position import Datum, Position
from ..model.reports import Submission
from ..storage.failure import StorageFailure
from .engine import Engine
from .store import Box

__all__ = ["Submitter"]

_ACCEPTED = Submission(True)
_ALLOWED = Reason.ALLOWED
_FRESH_S = 30.0


class Submitter:
    """Accepts the positions of one :class:`Connect`; filters are judged per source."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._view = engine.view
        self._store = engine.store
        self._clock = engine.parts.clock
        self._stamp: Callable[[], tuple[float, float]] = getattr(self._clock, "stamp", self._read)
        self._simulated = bool(getattr(self._clock, "simulated", False))
        config = engine.parts.config
        self._capacity = config.outbox_max_positions
        self._ttl_s = config.outbox_ttl_s
        self._lock = threading.Lock()
        self._pushed = Admission()
        self._sources: WeakKeyDictionary[object, Admission] = WeakKeyDictionary()
        self._coarsener = Coarsener()
        self._last_box: Box | None = None
        self._room = 0  # rows that certainly fit before the box must be measured again
        self._latest: tuple[Position, float, int] | None = None

    def submit(self, position: Position, source: object = None, recording: bool = False) -> Submission:
        """One position; ``source`` has filters of its own, a ``recording`` keeps its recorded times.

        Raises :class:`ConsentRequired`, and :class:`InvalidPosition` for anything but a position.
        """
        if type(position) is not Position:
            raise InvalidPosition("submit takes a Position")
        decision, border_open = self._view.navigation()
        clearance = decision.clearance
        if clearance is None:
            raise ConsentRequired(decision.reason)
        if position.datum is not Datum.WGS84:
            position = position.to(Datum.WGS84)
        if not border_open and in_mainland_china(position.latitude, position.longitude):
            raise ConsentRequired(Reason.CROSS_BORDER)  # R16
        wall_s, boottime_s = self._stamp()
        assert position.time is not None
        implied = position.time_implied and self._simulated
        time_s = wall_s if implied else position.time.timestamp()
        with self._lock:
            admission = self._pushed if source is None else self._admission(source)
            reason = admission.judge(
                time_s,
                position.latitude,
                position.longitude,
                wall_s,
                self._ttl_s,
                recording=recording,
                implied=implied,
            )
            if reason is not _ALLOWED:
                return Submission(False, reason)
            if decision.precision is Precision.APPROXIMATE:
                position = self._coarsener.apply(position)  # R15
            return self._keep(position, time_s, boottime_s, clearance.epoch)

    def _keep(self, position: Position, time_s: float, boottime_s: float, epoch: int) -> Submission:
        box = self._store.for_epoch(epoch)
        if box is None:
            return Submission(False, Reason.OUTBOX_UNAVAILABLE)
        if box is not self._last_box:
            self._last_box, self._room = box, 0
        row = pack(position, time_s, int(boottime_s * 1000))
        try:
            if self._room <= 0:
                self._store.dropped += box.overflow(self._capacity)
                self._room = self._capacity - len(box)
            self._room -= 1
            box.append(row)
        except StorageFailure:
            return Submission(False, Reason.OUTBOX_UNAVAILABLE)
        if not self._view.still_open(epoch):  # R2: it ended while we sealed; the key is going, and so is this row
            del row  # R10: a traceback keeps the locals of this frame
            raise ConsentRequired(Reason.WITHDRAWN)
        self._latest = (position, boottime_s, epoch)
        return _ACCEPTED

    def _read(self) -> tuple[float, float]:
        reading = self._clock.read()
        return reading.wall_s, reading.boottime_s

    def _admission(self, source: object) -> Admission:
        admission = self._sources.get(source)
        if admission is None:
            admission = self._sources[source] = Admission()
        return admission

    def latest(self) -> Position | None:
        """The latest position of this process under the present grant, if at most 30 s old."""
        if self._latest is None:
            return None
        position, at, epoch = self._latest
        fresh = self._clock.read().boottime_s - at <= _FRESH_S
        return position if fresh and not self._view.ended(Purpose.NAVIGATION, epoch) else None

    def forget(self) -> None:
        """Drop the latest position."""
        self._latest = None
