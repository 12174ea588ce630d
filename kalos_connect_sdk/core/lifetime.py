"""How long a grant lasts, by clocks that lie (R13).

- Turning the clock back never lengthens a grant. Within a boot, time is the later of the wall clock and the
  high-water mark plus the boot time since; from boot to boot the mark is kept, and a wall clock behind it is not
  trusted until it reaches it, or until the ``Date`` of a TLS-verified answer says what time it is.
- A jump ahead neither expires nor poisons. Against a trusted clock a step of more than 60 s beyond the boot time is
  ignored. A new boot, or an untrusted clock, may catch up by any amount; what only that belief says has expired is
  answered (``EXPIRED_UNCONFIRMED``) and not committed, until boot time or authenticated time proves it.
- *This drive* needs no wall clock: it is measured by boot time.

Nothing here reads a clock: readings come in, and the mark to keep goes out. Arithmetic is in whole milliseconds, so
that a mark written and read again is the same mark.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any, Final, NamedTuple

from ..model.consent import Duration, DurationKind, GrantTerms
from ..model.timing import ClockReading

__all__ = ["RELEASE_EPOCH_S", "Mark", "Now", "Verdict", "assess", "expires_at", "observe"]

RELEASE_EPOCH_S: Final = 1_793_491_200.0
"""2026-11-01 UTC, when this package was released: no clock before it is right."""
DRIVE_LIMIT_S: Final = 12 * 3600.0
STOP_S: Final = 60.0
"""A suspend of this many seconds ends a drive."""
STEP_S: Final = 60.0
"""How far a wall clock may run ahead of the boot time before it is not believed."""
CHINA_LIMIT_S: Final = 365 * 86_400.0

_LAST_MS: Final = 253_402_300_799_000  # the end of the year 9999
_ROUNDING_S: Final = 0.001
"""Stored times are whole milliseconds: a grant may seem that much younger than its own moment."""
_STEP_MS: Final = round(STEP_S * 1000)
_RELEASE_MS: Final = round(RELEASE_EPOCH_S * 1000)


class Verdict(Enum):
    """Whether a grant still lasts. Only ``ACTIVE`` is a yes."""

    ACTIVE = "active"
    EXPIRED = "expired"
    EXPIRED_UNCONFIRMED = "expired-unconfirmed"
    """Expired as far as anyone can tell: answered, not committed."""
    UNTRUSTED = "untrusted"
    """The grant can expire and the clock cannot be trusted."""


@dataclass(frozen=True, slots=True)
class Now:
    """The time as far as it can be known, in seconds since 1970; it never runs backwards of its own accord."""

    wall_s: float
    trusted: bool
    confirmed: bool
    """Authenticated time was seen in this boot."""
    proven_s: float = -math.inf
    """The part of ``wall_s`` that rests on no unconfirmed catching-up."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The high-water mark kept between readings and boots. Seconds in whole milliseconds."""

    wall_s: float
    """The latest time known."""
    proven_s: float
    """The latest time known without belief in an unconfirmed catching-up."""
    boot_id: str
    boottime_s: float
    """When, in that boot, both were true."""
    trusted: bool
    confirmed: bool
    anchor_wall_s: float
    """Trusted: steps of the wall clock are judged from here. Untrusted: what it must reach to be trusted."""
    anchor_boottime_s: float

    def to_json(self) -> dict[str, Any]:
        """Whole milliseconds under ``*_ms``, the rest as it is."""
        document: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name.endswith("_s"):
                document[item.name[:-2] + "_ms"] = round(value * 1000)
            else:
                document[item.name] = value
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Mark:
        """The inverse of :meth:`to_json`. Raises ``ValueError``."""
        values: dict[str, Any] = {}
        for item in fields(cls):
            if item.name.endswith("_s"):
                value = document.get(item.name[:-2] + "_ms")
                if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LAST_MS:
                    raise ValueError("a time of the clock's mark is malformed")
                values[item.name] = value / 1000
            else:
                value = document.get(item.name)
                if not isinstance(value, str if item.name == "boot_id" else bool):
                    raise ValueError("the clock's mark is malformed")
                values[item.name] = value
        return cls(**values)

    def to_text(self) -> str:
        """:meth:`to_json` as text, for the ledger."""
        return json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str | None) -> Mark | None:
        """The inverse of :meth:`to_text`; None where nothing was kept.

        A mark that cannot be read must not free the clock: the one returned trusts no wall clock until
        authenticated time is seen (R1, R13).
        """
        if text is None:
            return None
        try:
            return cls.from_json(json.loads(text))
        except (ValueError, AttributeError, RecursionError):
            pass
        last_s = _LAST_MS / 1000
        return cls(RELEASE_EPOCH_S, RELEASE_EPOCH_S, "", 0.0, False, False, last_s, 0.0)


class _Time(NamedTuple):
    """What :func:`observe` works out, in whole milliseconds."""

    believed: int
    proven: int
    trusted: bool
    confirmed: bool
    anchor: int
    anchor_boot: int


def observe(reading: ClockReading, mark: Mark | None, confirmed_wall_s: float | None = None) -> tuple[Now, Mark]:
    """What time it is, and the mark to keep, after one reading of the clocks.

    ``confirmed_wall_s``: the time a TLS-verified answer gave, as of this reading; the only thing that can set the
    high-water mark back. It is not believed when it lies before this package's release.
    """
    wall, boot = _ms(reading.wall_s), _ms(reading.boottime_s)
    if mark is None:
        time = _at_first_sight(wall, boot)
    elif mark.boot_id != reading.boot_id or boot < _stored(mark.boottime_s):
        time = _in_a_new_boot(wall, boot, mark)
    else:
        time = _in_the_same_boot(wall, boot, mark)
    if confirmed_wall_s is not None and _ms(confirmed_wall_s) >= _RELEASE_MS:
        time = _told(_ms(confirmed_wall_s), wall, boot, time)
    kept = Mark(
        wall_s=min(time.believed, _LAST_MS) / 1000,
        proven_s=min(time.proven, _LAST_MS) / 1000,
        boot_id=reading.boot_id,
        boottime_s=boot / 1000,
        trusted=time.trusted,
        confirmed=time.confirmed,
        anchor_wall_s=min(time.anchor, _LAST_MS) / 1000,
        anchor_boottime_s=time.anchor_boot / 1000,
    )
    return Now(kept.wall_s, kept.trusted, kept.confirmed, kept.proven_s), kept


def _at_first_sight(wall: int, boot: int) -> _Time:
    """Nothing to compare with but the release's date."""
    start = max(wall, _RELEASE_MS)
    return _Time(start, start, wall >= _RELEASE_MS, False, start, boot)


def _in_a_new_boot(wall: int, boot: int, mark: Mark) -> _Time:
    """How long the device was off is the wall clock's word alone, and only a word ahead of the mark is taken."""
    high, proven = _stored(mark.wall_s), _stored(mark.proven_s)
    goal = high if mark.trusted else max(high, _stored(mark.anchor_wall_s))
    if wall >= goal:
        return _Time(wall, proven, True, False, wall, boot)
    return _Time(high, proven, False, False, goal, boot)


def _in_the_same_boot(wall: int, boot: int, mark: Mark) -> _Time:
    """The boot time is certain; the wall clock may add to it, hardly anything once it is trusted."""
    elapsed = boot - _stored(mark.boottime_s)
    believed, proven = _stored(mark.wall_s) + elapsed, _stored(mark.proven_s) + elapsed
    anchor, anchor_boot = _stored(mark.anchor_wall_s), _stored(mark.anchor_boottime_s)
    if mark.trusted:
        if wall <= anchor + (boot - anchor_boot) + _STEP_MS:
            believed = max(believed, wall)
    elif wall >= anchor:
        believed = max(believed, wall)
        return _Time(believed, proven, True, False, believed, boot)
    return _Time(believed, proven, mark.trusted, mark.confirmed, anchor, anchor_boot)


def _told(authentic: int, wall: int, boot: int, time: _Time) -> _Time:
    """Authenticated time settles it; what is within a step of it stays, so that time does not run back by seconds."""
    near = [other for other in (time.believed, wall) if authentic < other <= authentic + _STEP_MS]
    believed = max([authentic, *near])
    return _Time(believed, believed, True, True, authentic, boot)


def _stored(seconds: float) -> int:
    return round(seconds * 1000)


def _ms(seconds: float) -> int:
    return math.floor(min(max(seconds, 0.0), _LAST_MS / 1000) * 1000) if math.isfinite(seconds) else 0


def expires_at(duration: Duration, granted_wall_s: float, *, jurisdiction: str) -> float | None:
    """When a grant ends by the wall clock, in seconds since 1970; None when no wall clock ends it.

    ``jurisdiction``: ISO 3166 code. In mainland China (``CN``) nothing is granted without end: *until withdrawn*
    lasts 365 days.
    """
    if duration.kind is DurationKind.DAYS and duration.day_count is not None:
        return granted_wall_s + duration.day_count * 86_400.0
    if duration.kind is DurationKind.UNTIL_WITHDRAWN and jurisdiction.upper() == "CN":
        return granted_wall_s + CHINA_LIMIT_S
    return None


def assess(terms: GrantTerms, reading: ClockReading, now: Now, drive_id: str | None) -> Verdict:
    """Does the grant still last? ``now`` comes from :func:`observe` with the same ``reading``; ``drive_id`` is the
    vehicle's present one, None when it does not say."""
    if terms.duration.kind is DurationKind.THIS_DRIVE:
        return _drive(terms, reading, now, drive_id)
    limit_s = _limit_s(terms)
    if limit_s is None:
        return Verdict.ACTIVE
    if _same_boot(terms, reading) and reading.boottime_s - terms.granted_boottime_s >= limit_s:
        return Verdict.EXPIRED
    passed = _by_wall(terms, now, limit_s)
    if passed is Verdict.ACTIVE and not now.trusted:
        return Verdict.UNTRUSTED
    return passed


def _drive(terms: GrantTerms, reading: ClockReading, now: Now, drive_id: str | None) -> Verdict:
    by_vehicle = terms.drive_id is not None and drive_id is not None
    if by_vehicle and terms.drive_id != drive_id:
        return Verdict.EXPIRED
    if _same_boot(terms, reading):
        stopped = not by_vehicle and not reading.suspended_s - terms.granted_suspended_s < STOP_S
        over = not -_ROUNDING_S <= reading.boottime_s - terms.granted_boottime_s < DRIVE_LIMIT_S
        return Verdict.EXPIRED if stopped or over else Verdict.ACTIVE
    if not by_vehicle or not reading.boottime_s < DRIVE_LIMIT_S:
        return Verdict.EXPIRED
    # The head unit restarted during a drive: its time so far is in the high-water mark, which needs no right clock.
    return _by_wall(terms, now, DRIVE_LIMIT_S)


def _same_boot(terms: GrantTerms, reading: ClockReading) -> bool:
    return terms.granted_boot_id == reading.boot_id


def _limit_s(terms: GrantTerms) -> float | None:
    """Seconds from the grant to its end; the earlier of what the person chose and what was written down."""
    limits = []
    if terms.duration.kind is DurationKind.DAYS and terms.duration.day_count is not None:
        limits.append(terms.duration.day_count * 86_400.0)
    if terms.expires_at is not None:
        limits.append((terms.expires_at - terms.granted_at).total_seconds())
    return min(limits, default=None)


def _by_wall(terms: GrantTerms, now: Now, limit_s: float) -> Verdict:
    granted_s = terms.granted_at.timestamp()
    proven_s = now.wall_s if now.confirmed else now.proven_s
    if proven_s >= granted_s + limit_s:
        return Verdict.EXPIRED
    if not now.wall_s < granted_s + limit_s:
        return Verdict.EXPIRED_UNCONFIRMED
    if not now.wall_s >= granted_s - STEP_S:
        # The clock of the grant is now known to have been wrong, so that its end means nothing.
        return Verdict.EXPIRED if now.confirmed else Verdict.UNTRUSTED
    return Verdict.ACTIVE
