"""JSON as it comes from the network: read strictly, bounded, and refused without being quoted (R10).

Refused: more bytes than allowed, deeper nesting than allowed, text that is not UTF-8, duplicate keys,
NaN and infinities, numbers that overflow (``1e400``), integers longer than any we use, NUL and lone
surrogates in keys or text. ``json`` alone accepts most of these, and two readers then see two documents.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final, NoReturn

__all__ = ["MalformedDocument", "OversizedDocument", "check_tree", "strict_json"]

_INTEGER_DIGITS_MAX: Final = 40


class MalformedDocument(ValueError):
    """A document is not what the protocol allows. The text names the rule, never the value."""


class OversizedDocument(MalformedDocument):
    """A document is larger than the reader accepts: a 413, where other malformed ones are a 422."""


def strict_json(data: bytes, *, max_bytes: int = 1 << 20, max_depth: int = 16) -> Any:
    """The value of a JSON document of at most ``max_bytes`` bytes and ``max_depth`` nested arrays and objects.

    Raises :class:`MalformedDocument` (:class:`OversizedDocument` for the bytes), with nothing of the
    document in the text, the context or the cause.
    """
    if len(data) > max_bytes:
        raise OversizedDocument("the document is too large")
    problem = "the document is not JSON in UTF-8"
    value: Any = None
    try:
        value = _DECODER.decode(data.decode())
        problem = ""
    except _Refused as refused:
        problem = refused.rule
    except (ValueError, RecursionError):
        pass  # its text and attributes quote the document, so it ends here
    if problem:
        raise MalformedDocument(problem)
    check_tree(value, max_depth=max_depth)
    return value


def check_tree(value: Any, *, max_depth: int = 16) -> None:
    """The rules about values for a tree that some other parser has made. Raises :class:`MalformedDocument`."""
    pending = [(value, 0)]
    while pending:
        item, depth = pending.pop()
        if isinstance(item, str):
            _check_text(item)
        elif isinstance(item, float):
            if not math.isfinite(item):
                raise MalformedDocument("a number is not finite")
        elif isinstance(item, (dict, list)):
            if depth >= max_depth:
                raise MalformedDocument("the document is nested too deeply")
            if isinstance(item, dict):
                for key in item:
                    if not isinstance(key, str):
                        raise MalformedDocument("a key is not text")
                    _check_text(key)
                item = item.values()
            pending.extend((child, depth + 1) for child in item)
        elif not (item is None or isinstance(item, int)):  # bool is an int
            raise MalformedDocument("the document holds a value JSON does not know")


def _check_text(text: str) -> None:
    if text.isascii():
        if "\x00" in text:
            raise MalformedDocument("text holds NUL")
    elif "\x00" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise MalformedDocument("text holds NUL or a lone surrogate")


class _Refused(Exception):
    """Leaves the JSON decoder with a rule and nothing else."""

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Refused("an object holds a key twice")
    return members


def _constant(_: str) -> NoReturn:
    raise _Refused("a number is not finite")


def _integer(digits: str) -> int:
    if len(digits) > _INTEGER_DIGITS_MAX:
        raise _Refused("a number is too long")
    return int(digits)


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer)
