"""NMEA 0183: sentences out of a stream of bytes, and recordings of them.

A sentence counts only with its checksum, whatever the talker. Everything else between sentences is passed
over: binary protocols of a receiver, torn and overlong lines, comments, power-up noise. The assembly of
sentences into positions, and what a fix and a date are, is in ``assemble``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import date
from typing import BinaryIO, ClassVar, Final, NamedTuple

from ..errors import SourceError
from ..model.position import Position
from .assemble import EARLIEST, Assembler
from .recording import Recording, chunks

__all__ = ["NmeaSource", "Sentence", "Sentences"]

_MAX_BODY: Final = 250
"""Bytes between $ and *: the standard says 82 in all, some receivers write more."""
_SENTENCE: Final = re.compile(
    rb"\$([A-OQ-Z][A-Z0-9]([A-Z]{3})(?:,[\x20-\x23\x25-\x29\x2b-\x7e]{0,%d})?)\*([0-9A-Fa-f]{2})" % _MAX_BODY
)
_LONGEST: Final = _MAX_BODY + 16
_PLACING: Final = ("RMC", "GGA", "GNS", "GLL")


class Sentence(NamedTuple):
    """A sentence whose checksum was right: its three-letter kind and its fields, without talker and checksum."""

    kind: str
    fields: tuple[str, ...]


class Sentences:
    """Cuts sentences out of bytes that arrive in pieces. Keeps at most one unfinished sentence."""

    def __init__(self) -> None:
        self._rest = b""
        self.damaged = 0
        """Sentences with a wrong checksum."""

    def feed(self, data: bytes) -> Iterator[Sentence]:
        """The sentences completed by ``data``."""
        text = self._rest + data
        end = 0
        for match in _SENTENCE.finditer(text):
            end = match.end()
            body = match[1]
            if checksum(body) != int(match[3], 16):
                self.damaged += 1
                continue
            yield Sentence(match[2].decode("ascii"), tuple(body.decode("ascii").split(",")[1:]))
        # What may still become a sentence begins at the last $; one that is too long already never will.
        start = text.rfind(b"$", max(end, len(text) - _LONGEST))
        self._rest = text[start:] if start >= 0 else b""


def checksum(body: bytes) -> int:
    """Exclusive or of everything between $ and *."""
    total = 0
    for byte in body:
        total ^= byte
    return total


class NmeaSource(Recording):
    """A recorded NMEA log as a :class:`LocationSource`.

    Receivers whose GPS week counter rolled over date everything 1024 weeks too early: dates before
    ``not_before`` (2000-01-01) are moved on by as many times 1024 weeks as it takes. Give a later date where the
    receiver is known to be older than that. A recording that never gives a date raises :class:`SourceError`:
    when its positions were is unknown. So does a file of something else. A log without a fix is empty.
    """

    _marks: ClassVar[tuple[bytes, ...]] = tuple(f"{kind},".encode() for kind in _PLACING)

    def __init__(
        self, path: str | os.PathLike[str], *, speed: float | None = None, not_before: date = EARLIEST
    ) -> None:
        super().__init__(path, speed=speed)
        self._not_before = not_before

    def _read(self, file: BinaryIO) -> Iterator[Position]:
        sentences, assembler = Sentences(), Assembler(self._not_before)
        found = placed = False
        for chunk in chunks(file):
            for sentence in sentences.feed(chunk):
                placed = placed or sentence.kind in _PLACING
                position = assembler.add(sentence.kind, sentence.fields)
                if position is not None:
                    found = True
                    self.skipped = sentences.damaged + assembler.undated
                    yield position
        position = assembler.finish()
        self.skipped = sentences.damaged + assembler.undated
        if position is not None:
            yield position
        elif assembler.undated and not found:
            raise SourceError("the NMEA recording never says the date; record RMC or ZDA sentences, too")
        elif not placed:
            raise SourceError("the recording holds no NMEA: no RMC, GGA, GNS or GLL sentence with a right checksum")
