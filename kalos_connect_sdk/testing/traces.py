"""Finds watched coordinates in a stream of bytes: as decimal degrees or NMEA minutes, plain or inside gzip."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, Final

__all__ = ["Stream", "Watched"]

_NUMBER: Final = re.compile(rb"(?<![\d.])-?\d{1,5}\.(\d{3,})")
_REACH: Final = 100
"""Bytes within which latitude and longitude stand together, in either order."""
_BETWEEN: Final = 3
"""How many numbers back the other one may be."""
_KEPT: Final = 256
_GZIP: Final = b"\x1f\x8b\x08"
_PIECE: Final = 1 << 20

Text = tuple[bytes, int]
"""Bytes to search, and how many of them were searched before and only give context."""


class Watched:
    """A set of positions, and whether a text holds one of them.

    A number stands for a coordinate when it is that coordinate cut or rounded to the number's own decimals, at
    least three.
    """

    def __init__(self) -> None:
        self._by_first: dict[int, set[tuple[float, float]]] = {}

    def add(self, latitude: float, longitude: float) -> None:
        """Watch one position, in degrees."""
        for first, second in ((latitude, longitude), (_minutes(latitude), _minutes(longitude))):
            self._by_first.setdefault(round(first * 100), set()).add((first, second))

    def seen_in(self, texts: Iterable[Text]) -> bool:
        """True when a watched latitude stands next to its longitude in one of the texts. Reads all of them, for
        reading moves the stream on."""
        seen = False
        for text in texts:
            seen = self._seen(*text) or seen
        return seen

    def _seen(self, text: bytes, heard: int) -> bool:
        if not self._by_first:
            return False
        recent: list[tuple[int, float, float]] = []
        for match in _NUMBER.finditer(text):
            new = (match.start(), float(match[0]), _tolerance(len(match[1])))
            for old in recent if match.end() > heard else ():
                if new[0] - old[0] <= _REACH and (self._pair(old, new) or self._pair(new, old)):
                    return True
            recent = [*recent[-_BETWEEN + 1 :], new]
        return False

    def _pair(self, one: tuple[int, float, float], other: tuple[int, float, float]) -> bool:
        (_, first, first_off), (_, second, second_off) = one, other
        key = round(first * 100)
        for near in (key - 1, key, key + 1):
            for latitude, longitude in self._by_first.get(near, ()):
                if abs(latitude - first) <= first_off and abs(longitude - second) <= second_off:
                    return True
        return False


class Stream:
    """One direction of one connection, read piece by piece."""

    def __init__(self) -> None:
        self._plain = b""
        self._inflated = b""
        self._inflater: Any = None

    def copy(self) -> Stream:
        """The same state, to read ahead with."""
        other = Stream()
        other._plain, other._inflated = self._plain, self._inflated
        other._inflater = self._inflater.copy() if self._inflater is not None else None
        return other

    def read(self, data: bytes) -> Iterator[Text]:
        """The texts to search after ``data``."""
        while data:
            if self._inflater is None:
                text, heard = self._plain + data, len(self._plain)
                at = text.find(_GZIP)
                if at < 0:
                    self._plain = text[-_KEPT:]
                    yield text, heard
                    return
                yield text[:at], heard
                self._plain, self._inflated, data = b"", b"", text[at:]
                self._inflater = zlib.decompressobj(31)
            data, more = self._inflate(data)
            yield from more

    def _inflate(self, data: bytes) -> tuple[bytes, list[Text]]:
        """(what follows the compressed body, what was in it)."""
        texts: list[Text] = []
        while data:
            try:
                piece = self._inflater.decompress(data, _PIECE)
            except zlib.error:  # it only looked like gzip
                self._inflater = None
                return data.removeprefix(_GZIP), texts
            text = self._inflated + piece
            texts.append((text, len(self._inflated)))
            self._inflated = text[-_KEPT:]
            if self._inflater.eof:
                rest = self._inflater.unused_data
                self._inflater = None
                return rest, texts
            data = self._inflater.unconsumed_tail
        return b"", texts


def _tolerance(decimals: int) -> float:
    return max(10.0**-decimals, 1e-6) * 1.000001


def _minutes(degrees: float) -> float:
    """4516.41113 for 45.2735188, as NMEA writes it; the hemisphere is a letter there."""
    whole = int(abs(degrees))
    return whole * 100 + (abs(degrees) - whole) * 60
