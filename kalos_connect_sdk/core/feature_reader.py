"""The service's side of positions: a FeatureCollection read strictly (R6, and bounded by the caller).

What is wrong with the document as a whole refuses it; what is wrong with one Feature refuses that Feature
by name, so that one bad fix does not cost a batch. Neither ever quotes a value (R10).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from .strict_json import MalformedDocument, OversizedDocument, check_tree, strict_json

__all__ = ["check_consent", "parse_feature_collection", "positions_answer"]

_EPOCH_MAX: Final = 2**63 - 1
_ID_MAX: Final = 2**31 - 1
_BYTES_A_FEATURE: Final = 2048
_RECORD_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_WORD: Final = re.compile(r"[a-z][a-z0-9-]{0,63}", re.ASCII)
_SHA256: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_TIMESTAMP: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
# property: (low, high), the ranges of model.Position
_RANGES: Final = {
    "horizontal_accuracy": (0.0, math.inf),
    "altitude": (-20_000.0, 10_000_000.0),
    "speed": (0.0, math.inf),
    "course": (0.0, 360.0),
}


def parse_feature_collection(
    document: bytes | Mapping[str, Any], *, max_features: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The ``consent`` member (empty when absent) and one dict for each Feature.

    A good Feature gives ``{"id", "latitude", "longitude", "timestamp", "time_s", "properties"}``: degrees,
    the text as sent, seconds since 1970, and those of the known properties that are present. A bad one
    gives ``{"id", "problem"}``, where ``id`` is ``None`` when it has no usable one and ``problem`` is one of
    ``invalid-feature``, ``invalid-id``, ``duplicate-id``, ``invalid-position``, ``invalid-timestamp``,
    ``invalid-property``. Raises :class:`MalformedDocument`.
    """
    if isinstance(document, bytes):
        document = strict_json(document, max_bytes=4096 + max_features * _BYTES_A_FEATURE, max_depth=8)
    else:
        check_tree(document, max_depth=8)
    if not isinstance(document, Mapping) or document.get("type") != "FeatureCollection":
        raise MalformedDocument("the document is not a FeatureCollection")
    features = document.get("features")
    if not isinstance(features, list):
        raise MalformedDocument("features must be an array")
    if len(features) > max_features:
        raise OversizedDocument("the document holds too many features")
    consent = check_consent(document["consent"]) if "consent" in document else {}
    seen: set[int] = set()
    return consent, [_read_feature(feature, seen) for feature in features]


def check_consent(member: Any) -> dict[str, Any]:
    """A ``consent`` member whose five fields have the right shape. Raises :class:`MalformedDocument`."""
    if not isinstance(member, Mapping):
        raise MalformedDocument("consent must be an object")
    for name, pattern in (
        ("record_id", _RECORD_ID),
        ("purpose", _WORD),
        ("precision", _WORD),
        ("notice_sha256", _SHA256),
    ):
        text = member.get(name)
        if not isinstance(text, str) or not pattern.fullmatch(text):
            raise MalformedDocument(f"consent.{name} is missing or malformed")
    epoch = member.get("epoch")
    if type(epoch) is not int or not 1 <= epoch <= _EPOCH_MAX:
        raise MalformedDocument("consent.epoch must be a whole number from 1 to 2^63-1")
    return {name: member[name] for name in ("record_id", "epoch", "purpose", "precision", "notice_sha256")}


def _read_feature(feature: Any, seen: set[int]) -> dict[str, Any]:
    if not isinstance(feature, dict) or feature.get("type") != "Feature":
        return {"id": None, "problem": "invalid-feature"}
    number = feature.get("id")
    if type(number) is not int or not 0 <= number <= _ID_MAX:
        return {"id": None, "problem": "invalid-id"}
    if number in seen:
        return {"id": number, "problem": "duplicate-id"}
    seen.add(number)
    point = _read_point(feature.get("geometry"))
    if point is None:
        return {"id": number, "problem": "invalid-position"}
    properties = feature.get("properties")
    if not isinstance(properties, dict):
        return {"id": number, "problem": "invalid-property"}
    timestamp = properties.get("timestamp")
    time_s = _read_timestamp(timestamp)
    if time_s is None:
        return {"id": number, "problem": "invalid-timestamp"}
    known = {name: properties[name] for name in _RANGES if properties.get(name) is not None}
    if not all(_in_range(value, *_RANGES[name]) for name, value in known.items()):
        return {"id": number, "problem": "invalid-property"}
    return {
        "id": number,
        "latitude": point[1],
        "longitude": point[0],
        "timestamp": timestamp,
        "time_s": time_s,
        "properties": {"timestamp": timestamp, **known},
    }


def _read_point(geometry: Any) -> tuple[float, float] | None:
    """(longitude, latitude) in degrees of a GeoJSON Point; a third coordinate is allowed and ignored."""
    if not isinstance(geometry, dict) or geometry.get("type") != "Point":
        return None
    pair = geometry.get("coordinates")
    if not isinstance(pair, list) or len(pair) not in (2, 3):
        return None
    if not (_in_range(pair[0], -180, 180) and _in_range(pair[1], -90, 90)):
        return None
    return float(pair[0]), float(pair[1])


def _in_range(value: Any, low: float, high: float) -> bool:
    return type(value) in (int, float) and low <= value <= high


def _read_timestamp(text: Any) -> float | None:
    """Seconds since 1970 of an RFC 3339 time, ``None`` when it is not one."""
    if not isinstance(text, str) or not _TIMESTAMP.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None


def positions_answer(document: Any) -> tuple[int, list[tuple[int, str]]]:
    """How many positions the service accepted, and ``(id, problem name)`` of those it did not.

    Raises :class:`MalformedDocument`. A rejected id that cannot be matched to a position is left out.
    """
    accepted = document.get("accepted") if isinstance(document, Mapping) else None
    if type(accepted) is not int or not 0 <= accepted <= _ID_MAX:
        raise MalformedDocument("accepted must be a count")
    listed = document.get("rejected", [])
    if not isinstance(listed, list):
        raise MalformedDocument("rejected must be an array")
    rejected = []
    for item in listed:
        if not isinstance(item, Mapping):
            raise MalformedDocument("rejected must hold objects")
        number, name = item.get("id"), item.get("problem")
        if type(number) is int and 0 <= number <= _ID_MAX:
            rejected.append((number, name if isinstance(name, str) and _WORD.fullmatch(name) else "rejected"))
    return accepted, rejected
