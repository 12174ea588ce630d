"""GPX 1.0 and 1.1 recordings, streamed through expat.

What is read: the points of tracks, of all segments, in the file's order. Waypoints and routes are places and
plans, not where the device was, and are passed over. A point needs a time: one without is skipped, and a file
whose every point lacks it is refused, because a made-up time would become evidence. A time without a zone is
UTC, as the format says. Speed, course and accuracy come from the point or its extensions (Garmin's
TrackPointExtension and others), metres a second, degrees, metres; without an accuracy, HDOP stands in.

Hostile files: a document type is refused, so no entity is ever declared or expanded; nothing is fetched;
depth and the size of one element are bounded, whatever the size of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import BinaryIO, ClassVar, Final
from xml.parsers import expat

from ..errors import InvalidPosition, SourceError, SourceUnavailable
from ..model.position import Position
from .dilution import accuracy_from_hdop
from .recording import Recording, chunks

__all__ = ["GpxSource"]

_MAX_DEPTH: Final = 64
_MAX_TEXT: Final = 128
_MAX_PENDING: Final = 1024 * 1024
_DIRECT: Final = frozenset({"time", "ele", "hdop"})
_EXTENDED: Final = frozenset({"speed", "course", "accuracy"})
_NUMBER: Final = re.compile(r"[+-]?(?:\d{1,20}(?:\.\d{0,30})?|\.\d{1,30})(?:[eE][+-]?\d{1,3})?", re.ASCII)
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,12})?(?:Z|[+-]\d\d:?\d\d)?", re.ASCII)


class GpxSource(Recording):
    """A GPX file as a :class:`LocationSource`. See the module for what is read, :class:`Recording` for ``speed``."""

    _marks: ClassVar[tuple[bytes, ...]] = (b"<trkpt", b":trkpt")

    def _read(self, file: BinaryIO) -> Iterator[Position]:
        reader = _Reader()
        for chunk in chunks(file):
            yield from reader.feed(chunk)
            self.skipped = reader.skipped
        yield from reader.feed(b"", last=True)
        self.skipped = reader.skipped
        reader.check_result()


class _Refused(Exception):
    """Leaves the parser from within a callback; the text is ours and holds nothing of the file."""


class _Reader:
    """Expat's callbacks, and what they make of a point."""

    def __init__(self) -> None:
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._data
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._ready: list[Position] = []
        self._fed = 0
        self._depth = 0
        self._is_gpx = False
        self._point: dict[str, str] | None = None
        self._point_depth = 0
        self._field: str | None = None
        self._text = ""
        self._used = self._timeless = 0
        self.skipped = 0

    def feed(self, chunk: bytes, *, last: bool = False) -> Iterator[Position]:
        """The positions that ``chunk`` completes; then :class:`SourceError` if it is malformed after them."""
        problem = self._parse(chunk, last)
        ready, self._ready = self._ready, []
        yield from ready
        if problem is None:
            return
        if not self._is_gpx:
            raise SourceUnavailable("the recording is not a GPX file")
        raise SourceError(f"the GPX recording is damaged: {problem}")

    def check_result(self) -> None:
        """Raises :class:`SourceError` when a whole file held nothing that can be used."""
        if self._used:
            return
        if self._timeless:
            raise SourceError("the GPX recording has no times; record it again, or export it with times")
        if self.skipped:
            raise SourceError("the GPX recording holds no valid track point")
        raise SourceError("the GPX file holds no track; routes and waypoints do not say where the device was")

    def _parse(self, chunk: bytes, last: bool) -> str | None:
        """What is wrong, or None."""
        problem: str | None = None
        try:
            self._parser.Parse(chunk, last)
        except _Refused as refused:
            problem = str(refused)
        except expat.ExpatError as error:
            problem = expat.ErrorString(error.code)
        except (ValueError, LookupError):  # an encoding that Python does not know or expat cannot use
            problem = "unusable encoding"
        self._fed += len(chunk)
        if problem is None and self._fed - max(0, self._parser.CurrentByteIndex) > _MAX_PENDING:
            problem = "an element larger than 1 MiB"
        return problem

    # -- expat's callbacks -------------------------------------------------------------------------

    def _doctype(self, *_: object) -> None:
        raise _Refused("a document type is not accepted")  # hence no entity is ever declared

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(" ")[2]
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise _Refused("elements are nested too deeply")
        if self._depth == 1:
            if local != "gpx":
                raise _Refused("not a GPX document")
            self._is_gpx = True
        if self._point is None:
            if local == "trkpt":
                self._point = {key: attributes[key] for key in ("lat", "lon") if key in attributes}
                self._point_depth = self._depth
        elif local in _EXTENDED or (local in _DIRECT and self._depth == self._point_depth + 1):
            self._field, self._text = local, ""

    def _data(self, text: str) -> None:
        if self._field is not None and len(self._text) <= _MAX_TEXT:
            self._text += text[: _MAX_TEXT + 1]

    def _end(self, name: str) -> None:
        if self._point is not None:
            if self._depth == self._point_depth:
                self._finish(self._point)
                self._point = self._field = None
            elif self._field == name.rpartition(" ")[2]:
                self._point.setdefault(self._field, self._text.strip())
                self._field = None
        self._depth -= 1

    def _finish(self, point: dict[str, str]) -> None:
        when = _time(point.get("time", ""))
        position = _position(point, when) if when is not None else None
        if position is None:
            self.skipped += 1
            self._timeless += "time" not in point
        else:
            self._used += 1
            self._ready.append(position)


def _position(point: dict[str, str], when: datetime) -> Position | None:
    latitude, longitude = _number(point, "lat"), _number(point, "lon")
    if latitude is None or longitude is None:
        return None
    accuracy_m = _number(point, "accuracy", 0)
    try:
        return Position(
            latitude,
            longitude,
            accuracy_m=accuracy_m if accuracy_m is not None else accuracy_from_hdop(_number(point, "hdop", 0)),
            speed_mps=_number(point, "speed", 0),
            course_deg=_number(point, "course", 0, 360),
            altitude_m=_number(point, "ele", -20_000, 100_000),
            time=when,
        )
    except InvalidPosition:
        return None


def _number(point: dict[str, str], name: str, low: float = -1e9, high: float = 1e9) -> float | None:
    text = point.get(name, "")
    if not _NUMBER.fullmatch(text):
        return None
    number = float(text)
    return number if low <= number <= high else None


def _time(text: str) -> datetime | None:
    """An aware time; None for a malformed one. Without a zone it is UTC."""
    if not _TIME.fullmatch(text):
        return None
    try:
        when = datetime.fromisoformat(text.replace(",", "."))
        return (when if when.tzinfo is not None else when.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
