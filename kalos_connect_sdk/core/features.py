"""Positions on the wire: a GeoJSON FeatureCollection of Points with Overland's property names (RFC 7946).

A Feature's ``id`` is its index in the batch. Decimals and the order of members were chosen by measuring
gzip over real 1 Hz drives: six decimals of a degree are 0.11 m, and metres of altitude are what a
receiver resolves. Absent values are left out; nothing else about the device is added (R10).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from ..model.consent import Precision, Purpose
from .packing import PRESENT_ALL, ROW

__all__ = ["GEOJSON_TYPE", "consent_member", "feature_collection"]

GEOJSON_TYPE: Final = "application/geo+json"
_SECOND: Final = tuple(f"{second:02d}Z" for second in range(60))


def consent_member(
    record_id: str, epoch: int, purpose: Purpose | str, precision: Precision | str, notice_sha256: str
) -> dict[str, Any]:
    """The foreign member that says under which grant positions are sent (R6, R14)."""
    return {
        "record_id": record_id,
        "epoch": epoch,
        "purpose": purpose.value if isinstance(purpose, Purpose) else purpose,
        "precision": precision.value if isinstance(precision, Precision) else precision,
        "notice_sha256": notice_sha256,
    }


def feature_collection(rows: Sequence[bytes], consent: Mapping[str, Any]) -> bytes:
    """The document for packed ``rows`` (:mod:`.packing`) under a grant, in UTF-8, ready for gzip."""
    features: list[str] = []
    append = features.append
    unpack = ROW.unpack
    minute_now, minute_text = None, ""
    for index, row in enumerate(rows):
        flags, time_ms, _, latitude, longitude, accuracy, speed, course, altitude = unpack(row)
        minute, rest = divmod(time_ms, 60_000)
        if minute != minute_now:
            minute_now, minute_text = minute, _minute(minute)
        second, millisecond = divmod(rest, 1000)
        tail = f"{second:02d}.{millisecond:03d}Z" if millisecond else _SECOND[second]
        if flags == PRESENT_ALL:
            others = (
                f',"horizontal_accuracy":{accuracy / 100:.1f},"altitude":{altitude / 100:.0f}'
                f',"speed":{speed / 1000:.2f},"course":{course / 100:.1f}'
            )
        else:
            others = _present(flags, accuracy, speed, course, altitude)
        append(
            f'{{"type":"Feature","id":{index},"geometry":{{"type":"Point","coordinates":'
            f"[{longitude / 1e7:.6f},{latitude / 1e7:.6f}]}},"
            f'"properties":{{"timestamp":"{minute_text}{tail}"{others}}}}}'
        )
    member = json.dumps(consent, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return f'{{"type":"FeatureCollection","consent":{member},"features":[{",".join(features)}]}}'.encode()


def _present(flags: int, accuracy: int, speed: int, course: int, altitude: int) -> str:
    """The optional properties a row has, in the same order; the bits are those of :mod:`.packing`."""
    parts = []
    if flags & 1:
        parts.append(f',"horizontal_accuracy":{accuracy / 100:.1f}')
    if flags & 8:
        parts.append(f',"altitude":{altitude / 100:.0f}')
    if flags & 2:
        parts.append(f',"speed":{speed / 1000:.2f}')
    if flags & 4:
        parts.append(f',"course":{course / 100:.1f}')
    return "".join(parts)


def _minute(minute: int) -> str:
    """``2026-01-01T00:00:`` of a count of minutes since 1970. Days off the calendar become its first or last one:
    one odd time must not hold up a batch for ever."""
    day, minute_of_day = divmod(minute, 1440)
    date = datetime.fromordinal(min(max(day + _EPOCH_DAY, 1), _LAST_DAY))
    return f"{date.year:04d}-{date.month:02d}-{date.day:02d}T{minute_of_day // 60:02d}:{minute_of_day % 60:02d}:"


_EPOCH_DAY: Final = datetime(1970, 1, 1, tzinfo=UTC).toordinal()
_LAST_DAY: Final = datetime.max.toordinal()
