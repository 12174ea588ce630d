"""What gpsd says: one JSON object a line, read strictly and bounded; from reports to one position an epoch.

A TPV report is repeated after each sentence of an epoch, and knows more each time. The last one about a time counts:
it is over when the next time begins, or when nothing more is said for a moment. One report of an epoch that says *no
fix* (mode 0 or 1) voids it (R1). Of several receivers the one is followed that gave a position first, until it gives
none for five seconds.

Accuracy: gpsd says radii of 95 % (``eph``, else ``epx`` and ``epy``), which it makes of a standard deviation by the
factor 1.96; ours is that of 68 %.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from ..core.strict_json import MalformedDocument, strict_json
from ..errors import InvalidPosition
from ..model.position import Position

__all__ = ["Epochs", "GpsdReading", "Lines", "position_of"]

_LONGEST: Final = 64 * 1024
_CONFIDENCE: Final = 1.96
_LATE_S: Final = 2.0
_FOLLOWED_S: Final = 5.0
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z", re.ASCII)


class Lines:
    """Cuts lines out of bytes that arrive in pieces. One that is too long is passed over."""

    def __init__(self) -> None:
        self._rest = b""
        self._overlong = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        *whole, rest = (self._rest + data).split(b"\n")
        self._rest = b""
        for line in whole:
            if not self._overlong and len(line) <= _LONGEST:
                yield line
            self._overlong = False
        if len(rest) > _LONGEST:
            self._overlong = True
        else:
            self._rest = rest


def report_of(line: bytes) -> dict[str, Any] | None:
    """The report of a line; None for a damaged one."""
    try:
        report = strict_json(line, max_bytes=_LONGEST, max_depth=6)
    except MalformedDocument:
        return None
    return report if isinstance(report, dict) and isinstance(report.get("class"), str) else None


def position_of(report: dict[str, Any]) -> Position | None:
    """The position of a TPV report; None without a fix, a time, or valid coordinates."""
    when = _time(report.get("time"))
    latitude, longitude = _number(report, "lat", -90, 90), _number(report, "lon", -180, 180)
    if report.get("mode") not in (2, 3) or when is None or latitude is None or longitude is None:
        return None
    altitudes = (_number(report, name, -20_000, 100_000) for name in ("altMSL", "alt", "altHAE"))
    try:
        return Position(
            latitude,
            longitude,
            accuracy_m=_accuracy_m(report),
            speed_mps=_number(report, "speed", 0, 1e5),
            course_deg=_number(report, "track", 0, 360),
            altitude_m=next((each for each in altitudes if each is not None), None),
            time=when,
        )
    except InvalidPosition:
        return None


@dataclass(slots=True)
class _Epoch:
    """What was said about the latest time of one receiver."""

    at: datetime
    position: Position | None = None
    void: bool = False
    given: bool = False


class Epochs:
    """One position an epoch, of one receiver."""

    def __init__(self) -> None:
        self._epoch: _Epoch | None = None

    @property
    def pending(self) -> bool:
        return self._epoch is not None and not self._epoch.given

    def add(self, report: dict[str, Any]) -> Position | None:
        """One TPV report; the position of the epoch that it ends."""
        when = _time(report.get("time"))
        fix = report.get("mode") in (2, 3)
        epoch, ended = self._epoch, None
        if when is None:  # without a fix and a clock a receiver says no time: it is about now
            if epoch is not None and not fix:
                epoch.void = True
            return None
        if epoch is None or epoch.at != when:
            if epoch is not None and 0 < (epoch.at - when).total_seconds() <= _LATE_S:
                return None
            ended = self.settle()
            epoch = self._epoch = _Epoch(when)
        epoch.void = epoch.void or not fix
        epoch.position = position_of(report) or epoch.position
        return ended

    def settle(self) -> Position | None:
        """The position of the epoch so far; each is given once."""
        epoch = self._epoch
        if epoch is None or epoch.given:
            return None
        epoch.given = True
        return None if epoch.void else epoch.position


class GpsdReading:
    """The reports of one connection, from the answer to WATCH on. ``device``: the only one to listen to."""

    def __init__(self, device: str | None, now_s: Callable[[], float] = time.monotonic) -> None:
        self._device = device
        self._now_s = now_s
        self._lines = Lines()
        self._receivers: dict[str, Epochs] = {}
        self._followed: tuple[str, float] | None = None
        self.heard = 0
        self.trouble: str | None = None

    @property
    def pending(self) -> bool:
        return any(each.pending for each in self._receivers.values())

    def feed(self, data: bytes) -> Iterator[Position]:
        for line in self._lines.feed(data):
            report = report_of(line)
            if report is not None:
                yield from self._take(report)

    def settle(self) -> Iterator[Position]:
        for device, epochs in self._receivers.items():
            yield from self._give(device, epochs.settle())

    def silence(self) -> str:
        return "gpsd has heard nothing from the receiver for 10 s: is it on?"

    def _take(self, report: dict[str, Any]) -> Iterator[Position]:
        kind = report["class"]
        if kind in ("TPV", "SKY"):
            device = report.get("device")
            if not isinstance(device, str):
                device = ""
            if self._device is not None and device != self._device:
                return
            self.heard += 1
            self.trouble = None
            if kind == "TPV":
                yield from self._give(device, self._receiver(device).add(report))
        elif kind == "DEVICES":
            if report.get("devices") == []:
                self.trouble = "gpsd has no receiver; is it plugged in?"
        elif kind == "DEVICE" and self._is_ours(report.get("path")) and not report.get("activated"):
            self.trouble = "gpsd lost the receiver; is it still plugged in?"
        elif kind == "ERROR":
            self.trouble = "gpsd refused to give positions"

    def _is_ours(self, path: object) -> bool:
        if self._device is not None:
            return path == self._device
        return self._followed is None or path == self._followed[0]

    def _receiver(self, device: str) -> Epochs:
        if len(self._receivers) > 16:
            self._receivers.clear()
        return self._receivers.setdefault(device, Epochs())

    def _give(self, device: str, position: Position | None) -> Iterator[Position]:
        if position is None:
            return
        now_s = self._now_s()
        if self._followed is None or self._followed[0] == device or now_s - self._followed[1] > _FOLLOWED_S:
            self._followed = device, now_s
            yield position


def _accuracy_m(report: dict[str, Any]) -> float | None:
    radius_m = _number(report, "eph", 0, 1e6)
    if radius_m is None:
        east_m, north_m = _number(report, "epx", 0, 1e6), _number(report, "epy", 0, 1e6)
        if east_m is None or north_m is None:
            return None
        radius_m = math.hypot(east_m, north_m)
    return radius_m / _CONFIDENCE if radius_m else None


def _number(report: dict[str, Any], name: str, low: float, high: float) -> float | None:
    value = report.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        return None
    return float(value)


def _time(text: object) -> datetime | None:
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
