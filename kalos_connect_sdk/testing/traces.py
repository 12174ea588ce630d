"""Finds watched positions in bytes: as numbers in a text or in binary fields, plain, percent-encoded or in Base64.

A text number stands for a coordinate when it is that coordinate cut or rounded to the number's own decimals (at least
three), as decimal degrees, NMEA minutes or an integer scaled by 10^5, 10^6 or 10^7. Binary fields are float64, float32
and the same scaled integers in 32 or 64 bits, in either byte order. Always both coordinates, near each other: one alone
could be any number.
"""

from __future__ import annotations

import base64
import re
import struct
import zlib
from array import array
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import unquote_to_bytes

__all__ = ["Text", "Watched"]

_NUMBER: Final = re.compile(rb"(?<![\d.])-?\d{1,11}(?:\.(\d{3,})|(?![\d.]))")
_REACH: Final = 100
"""Bytes within which latitude and longitude stand together, in either order."""
_BETWEEN: Final = 3
"""How many numbers back the other one may be."""
_FAR_DECIMALS: Final = 5
"""With so many decimals they may stand anywhere in one text, as in columns of latitudes and of longitudes."""
_INTEGER_DIGITS: Final = 6
_SCALES: Final = (10**5, 10**6, 10**7)
_FIELDS_APART: Final = 40
_PLAIN_BYTES: Final = 3
"""Fields with fewer different bytes, such as zeros, stand everywhere."""
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_-]{16,}")
_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_DEEP: Final = 2
_LARGEST: Final = 1 << 22

Text = tuple[bytes, int]
"""Bytes to search, and how many of them were searched before and only give context."""

_Number = tuple[int, float, float]
"""Where it begins, its value, and how far a coordinate it stands for may be off."""


class Watched:
    """A set of positions, and whether a text holds one of them."""

    def __init__(self) -> None:
        self._known: set[tuple[float, float]] = set()
        self._by_first: dict[int, set[tuple[float, float]]] = {}
        self._far: dict[int, set[tuple[float, float]]] = {}
        self._scaled: dict[int, set[int]] = {}
        self._fields: dict[int, set[tuple[int, bytes, bytes]]] = {}

    def add(self, latitude: float, longitude: float) -> None:
        """Watch one position, in degrees."""
        if (latitude, longitude) in self._known:
            return
        self._known.add((latitude, longitude))
        for first, second in ((latitude, longitude), (_minutes(latitude), _minutes(longitude))):
            self._by_first.setdefault(round(first * 100), set()).add((first, second))
        self._far.setdefault(round(latitude * 1000), set()).add((latitude, longitude))
        for scale in _SCALES:
            scaled = round(latitude * scale)
            for near in (scaled - 1, scaled, scaled + 1):
                if abs(near) >= 10 ** (_INTEGER_DIGITS - 1):
                    self._scaled.setdefault(near, set()).add(round(longitude * scale))
        for first_field, second_field in _binary(latitude, longitude):
            at, word = _telling(first_field)
            if _varied(first_field) and _varied(second_field):
                self._fields.setdefault(word, set()).add((at, first_field, second_field))

    def seen_in(self, texts: Iterable[Text]) -> bool:
        """True when a watched latitude stands next to its longitude in one of the texts. Reads all of them, for
        reading moves the stream on."""
        seen = False
        for text in texts:
            seen = self._seen(*text) or seen
        return seen

    def _seen(self, text: bytes, heard: int, deep: int = 0) -> bool:
        if not self._known:
            return False
        if self._in_numbers(text, heard) or self._in_fields(text, heard):
            return True
        return deep < _DEEP and any(self._seen(*inner, deep + 1) for inner in _unwrapped(text, heard))

    # -- numbers in a text -----------------------------------------------------------------------

    def _in_numbers(self, text: bytes, heard: int) -> bool:
        decimals: list[_Number] = []
        integers: list[tuple[int, int]] = []
        far: list[_Number] = []
        candidates: list[_Number] = []
        for match in _NUMBER.finditer(text):
            new = match.end() > heard
            if match[1] is None:
                if len(match[0]) >= _INTEGER_DIGITS:
                    whole = (match.start(), int(match[0]))
                    if new and any(self._scaled_pair(whole, old) for old in integers):
                        return True
                    integers = [*integers[-_BETWEEN + 1 :], whole]
                continue
            number = (match.start(), float(match[0]), _tolerance(len(match[1])))
            if new and any(self._near_pair(number, old) for old in decimals):
                return True
            decimals = [*decimals[-_BETWEEN + 1 :], number]
            if new and len(match[1]) >= _FAR_DECIMALS:
                far.append(number)
                key = round(number[1] * 1000)
                if any(near in self._far for near in (key - 1, key, key + 1)):
                    candidates.append(number)
        return any(self._far_pair(latitude, far) for latitude in candidates)

    def _near_pair(self, one: _Number, other: _Number) -> bool:
        return abs(one[0] - other[0]) <= _REACH and (self._pair(one, other) or self._pair(other, one))

    def _pair(self, one: _Number, other: _Number) -> bool:
        (_, first, first_off), (_, second, second_off) = one, other
        key = round(first * 100)
        for near in (key - 1, key, key + 1):
            for latitude, longitude in self._by_first.get(near, ()):
                if abs(latitude - first) <= first_off and abs(longitude - second) <= second_off:
                    return True
        return False

    def _scaled_pair(self, one: tuple[int, int], other: tuple[int, int]) -> bool:
        if abs(one[0] - other[0]) > _REACH:
            return False
        return any(
            abs(longitude - second) <= 1
            for first, second in ((one[1], other[1]), (other[1], one[1]))
            for longitude in self._scaled.get(first, ())
        )

    def _far_pair(self, candidate: _Number, numbers: list[_Number]) -> bool:
        _, value, off = candidate
        key = round(value * 1000)
        wanted = [
            longitude
            for near in (key - 1, key, key + 1)
            for latitude, longitude in self._far.get(near, ())
            if abs(latitude - value) <= off
        ]
        return any(
            abs(longitude - other) <= other_off
            for longitude in wanted
            for at, other, other_off in numbers
            if at != candidate[0]
        )

    # -- binary fields ---------------------------------------------------------------------------

    def _in_fields(self, text: bytes, heard: int) -> bool:
        if not self._fields:
            return False
        for shift in range(4):
            words = array("I")
            words.frombytes(text[shift : shift + (len(text) - shift) // 4 * 4])
            for word in self._fields.keys() & set(words):
                if any(_fields_in(text, heard, *wanted) for wanted in self._fields[word]):
                    return True
        return False


def _fields_in(text: bytes, heard: int, _: int, first: bytes, second: bytes) -> bool:
    at = text.find(first)
    while at >= 0:
        low = max(0, at - _FIELDS_APART)
        other = text.find(second, low, at + len(first) + _FIELDS_APART)
        while other >= 0:
            apart = other >= at + len(first) or other + len(second) <= at
            if apart and max(at + len(first), other + len(second)) > heard:
                return True
            other = text.find(second, other + 1, at + len(first) + _FIELDS_APART)
        at = text.find(first, at + 1)
    return False


def _binary(latitude: float, longitude: float) -> Iterator[tuple[bytes, bytes]]:
    """The pairs of binary fields that hold a position."""
    pairs: set[tuple[bytes, bytes]] = set()
    for order in "<>":
        for digits in (None, 7, 6, 5):
            first, second = (value if digits is None else round(value, digits) for value in (latitude, longitude))
            pairs.add((struct.pack(f"{order}d", first), struct.pack(f"{order}d", second)))
        pairs.add((struct.pack(f"{order}f", latitude), struct.pack(f"{order}f", longitude)))
        for scale in _SCALES:
            for change in (round, int):
                first, second = change(latitude * scale), change(longitude * scale)
                pairs.add((struct.pack(f"{order}i", first), struct.pack(f"{order}i", second)))
    yield from pairs


def _telling(field: bytes) -> tuple[int, int]:
    """The part of a field to look for first: where it begins, and its four bytes as this machine's integer."""
    parts = [field[at : at + 4] for at in range(0, len(field), 4)]
    at = max(range(len(parts)), key=lambda index: len(set(parts[index])))
    return at * 4, array("I", parts[at])[0]


def _varied(field: bytes) -> bool:
    return len(set(field)) >= _PLAIN_BYTES


# -- texts in other clothes ------------------------------------------------------------------------


def _unwrapped(text: bytes, heard: int) -> Iterator[Text]:
    """What ``text`` means when it is percent-encoded, or holds Base64."""
    if b"%" in text:
        yield unquote_to_bytes(text), len(unquote_to_bytes(text[:heard]))
    for run in _BASE64.finditer(text):
        if run.end() <= heard:
            continue
        letters = run[0].translate(_STANDARD)
        for skipped in range(4):
            part = letters[skipped:]
            decoded = base64.b64decode(part[: len(part) - len(part) % 4] + _padded(part))
            yield decoded, -(-3 * max(0, heard - run.start() - skipped) // 4)
            if decoded[:2] == b"\x1f\x8b" or decoded[:1] == b"\x78":
                yield _inflated(decoded), 0


def _padded(part: bytes) -> bytes:
    rest = part[len(part) - len(part) % 4 :]
    return rest + b"=" * (4 - len(rest)) if len(rest) > 1 else b""


def _inflated(data: bytes) -> bytes:
    inflater = zlib.decompressobj(47)  # gzip or zlib, whichever it is
    try:
        return inflater.decompress(data, _LARGEST)
    except zlib.error:  # it only looked like it
        return b""


def _tolerance(decimals: int) -> float:
    return max(10.0**-decimals, 1e-6) * 1.000001


def _minutes(degrees: float) -> float:
    """4516.41113 for 45.2735188, as NMEA writes it; the hemisphere is a letter there."""
    whole = int(abs(degrees))
    return whole * 100 + (abs(degrees) - whole) * 60
