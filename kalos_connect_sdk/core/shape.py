"""The shape a record must have before anyone believes or stores it (R20).

Strict about what is relied on, silent about the rest: a member that is not known is allowed, because it is
signed like every other. The problems name members and rules, never values (R10).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from .dpv import PARTIES, SCHEMA, STATUSES, context
from .encoding import unb64
from .happenings import GRANTING_KINDS

__all__ = ["ALGORITHM", "CANONICALIZATION", "can_be_shown", "check_shape"]

ALGORITHM: Final = "Ed25519"
CANONICALIZATION: Final = "sorted compact JSON without @context and value"

_MAX_DEPTH: Final = 12
_MAX_VALUES: Final = 2_000
_MAX_TEXT: Final = 2_000
_LAST_EPOCH: Final = 2**63 - 1
_PLACES: Final = frozenset({"latitude", "longitude", "lat", "lon", "lng", "coordinates", "geometry", "bbox", "geo"})
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")
_ID: Final = re.compile(r"[0-9a-f]{32}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_OPENING: Final = frozenset(STATUSES[kind] for kind in GRANTING_KINDS)
_CLOSING: Final = frozenset(STATUSES.values()) - _OPENING
_INDICATED_BY: Final = frozenset({*PARTIES.values(), "kc:Device", "kc:Simulation"})

Check = Callable[[Any], bool]


def check_shape(record: Any) -> list[str]:
    """The problems of ``record``, signed or not yet; empty when it is well formed. Total and bounded."""
    if not isinstance(record, Mapping):
        return ["it is not a JSON object"]
    try:
        unsafe = _unsafe(record)
    except _TooMuch:
        return ["it is too large or too deeply nested"]
    return unsafe or list(_problems(record))


def can_be_shown(text: str) -> bool:
    """True when ``text`` moves no cursor, breaks no line and turns no sentence around."""
    return text.isprintable() or all(letter.isprintable() or unicodedata.category(letter) == "Zs" for letter in text)


class _TooMuch(Exception):
    pass


def _unsafe(record: Mapping[str, Any]) -> list[str]:
    """What no part of a record may hold, known or not."""
    problems: set[str] = set()
    for count, (name, value) in enumerate(_walk(record, 0)):
        if count > _MAX_VALUES:
            raise _TooMuch
        if name.rsplit(":", 1)[-1].lower() in _PLACES or isinstance(value, float):
            problems.add("it holds something like a coordinate")  # R20
        elif isinstance(value, str) and len(value) > _MAX_TEXT:
            raise _TooMuch
        elif not can_be_shown(name) or (isinstance(value, str) and not can_be_shown(value)):
            problems.add("it holds characters that cannot be shown")
        elif not (value is None or isinstance(value, (str, int, Mapping, list))):
            problems.add("it holds something that is not JSON")
    return sorted(problems)


def _walk(value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    """Every ``(member name, value)``; a name that is not text is given as one that cannot be shown."""
    if depth > _MAX_DEPTH:
        raise _TooMuch
    items = value.items() if isinstance(value, Mapping) else (("", item) for item in value)
    for name, item in items:
        yield (name if isinstance(name, str) else "\x00"), item
        if isinstance(item, (Mapping, list)):
            yield from _walk(item, depth + 1)


def _problems(record: Mapping[str, Any]) -> Iterator[str]:
    if record.get("@context") != context():
        yield "@context is not the one whose terms this SDK knows"
    yield from _check("", record, _RECORD)
    yield from _check("dpv:hasDataController", record.get("dpv:hasDataController"), _CONTROLLER)
    yield from _check("dpv:hasNotice", record.get("dpv:hasNotice"), _NOTICE)
    yield from _check("proof", record.get("proof"), _PROOF)
    yield from _process(record.get("dpv:hasProcess"))
    yield from _statuses(record.get("dpv:hasConsentStatus"))


def _check(where: str, document: Any, rules: Mapping[str, tuple[bool, Check]]) -> Iterator[str]:
    if not isinstance(document, Mapping):
        yield f"{where} is missing or no object"
        return
    for name, (required, is_right) in rules.items():
        if name not in document:
            if required:
                yield f"{_path(where, name)} is missing"
        elif not is_right(document[name]):
            yield f"{_path(where, name)} is malformed"


def _path(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _process(processes: Any) -> Iterator[str]:
    if not (isinstance(processes, list) and len(processes) == 1 and isinstance(processes[0], Mapping)):
        yield "dpv:hasProcess is not a list of one object"
        return
    recipients = processes[0].get("dpv:hasRecipient")
    origins = (
        [item["kc:serviceOrigin"] for item in recipients if isinstance(item, Mapping) and "kc:serviceOrigin" in item]
        if isinstance(recipients, list)
        else []
    )
    if len(origins) != 1 or not isinstance(origins[0], str):
        yield "dpv:hasProcess.dpv:hasRecipient does not name one service"


def _statuses(statuses: Any) -> Iterator[str]:
    """A grant, then at most one end: what came after an end had no effect and is not told."""
    if not (isinstance(statuses, list) and 1 <= len(statuses) <= 2):
        yield "dpv:hasConsentStatus is not a list of a grant and at most one end"
        return
    yield from _check("dpv:hasConsentStatus[0]", statuses[0], _GIVEN)
    for status in statuses[1:]:
        yield from _check("dpv:hasConsentStatus[1]", status, _ENDED)


# -- rules: member -> (required, check) ----------------------------------------------------------


def _text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _time(value: Any) -> bool:
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _epoch(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _LAST_EPOCH


def _matching(pattern: re.Pattern[str]) -> Check:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def _among(allowed: frozenset[str]) -> Check:
    return lambda value: isinstance(value, str) and value in allowed


def _key(length: int) -> Check:
    def is_key(value: Any) -> bool:
        try:
            return len(unb64(value)) == length
        except ValueError:
            return False

    return is_key


def _duration(value: Any) -> bool:
    return isinstance(value, Mapping) and _text(value.get("rdf:value")) and _text(value.get("kc:duration"))


_RECORD: Final[dict[str, tuple[bool, Check]]] = {
    "@id": (True, _text),
    "@type": (True, _among(frozenset({"dpv:ConsentRecord"}))),
    "dct:conformsTo": (True, _among(frozenset({SCHEMA}))),
    "dct:identifier": (True, _text),
    "dct:created": (True, _time),
    "dct:isReplacedBy": (False, _text),
    "kc:record": (True, _matching(_ID)),
    "kc:epoch": (True, _epoch),
    "kc:purpose": (True, _text),
    "kc:precision": (True, _among(frozenset({"precise", "approximate"}))),
    "kc:registeredAt": (False, _time),
    "kc:erasedAt": (False, _time),
    "kc:replacedAt": (False, _time),
}
_CONTROLLER: Final[dict[str, tuple[bool, Check]]] = {"dct:identifier": (True, _text)}
_NOTICE: Final[dict[str, tuple[bool, Check]]] = {
    "dct:identifier": (True, _text),
    "kc:version": (True, _text),
    "dct:language": (True, _text),
    "kc:textSha256": (True, _matching(_SHA256)),  # R14: a grant without a notice hash is refused
    "kc:fieldsSha256": (True, _matching(_SHA256)),
}
_GIVEN: Final[dict[str, tuple[bool, Check]]] = {
    "@type": (True, _among(_OPENING)),
    "dpv:isIndicatedAtTime": (True, _time),
    "dpv:isIndicatedBy": (True, _among(_INDICATED_BY)),
    "dpv:hasDuration": (True, _duration),
    "kc:assertedParked": (False, _text),
    "kc:simulated": (True, lambda value: isinstance(value, bool)),
}
_ENDED: Final[dict[str, tuple[bool, Check]]] = {
    "@type": (True, _among(_CLOSING)),
    "dpv:isIndicatedAtTime": (True, _time),
    "dpv:isIndicatedBy": (True, _among(_INDICATED_BY)),
}
_PROOF: Final[dict[str, tuple[bool, Check]]] = {
    "algorithm": (True, _among(frozenset({ALGORITHM}))),
    "canonicalization": (True, _among(frozenset({CANONICALIZATION}))),
    "public_key": (True, _key(32)),
    "value": (False, _key(64)),
}
