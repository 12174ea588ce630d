"""Where positions come from: recordings (GPX, NMEA) and positions an app pushes.

:func:`open_source` turns a URL or a path into a :class:`LocationSource`; it is what ``Connect.drive`` and the
command line call. Recordings keep their recorded times and yield lazily, however large the file is.
"""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

from ..errors import SourceUnavailable, quiet
from ..ports import LocationSource

if TYPE_CHECKING:
    from .gpx import GpxSource
    from .nmea import NmeaSource
    from .push import PushSource

__all__ = ["GpxSource", "NmeaSource", "PushSource", "open_source", "source_of"]

_SUFFIXES: Final = {".gpx": "gpx", ".nmea": "nmea", ".nma": "nmea", ".log": "nmea"}
_KNOWN: Final = "gpx:FILE and nmea:FILE"


@quiet
def open_source(url: str | os.PathLike[str], *, speed: float | None = None) -> LocationSource:
    """The source that ``url`` names: ``gpx:FILE``, ``nmea:FILE``, or a path that ends in .gpx, .nmea, .nma or .log.

    ``speed``: ``None`` replays as recorded, ``2`` twice as fast, ``0`` without waiting. Raises
    :class:`SourceUnavailable` for an unknown kind and for a file that cannot be read, ``ValueError`` for a
    negative ``speed``.
    """
    scheme, path = _split(url)
    if scheme == "gpx":
        from .gpx import GpxSource

        return GpxSource(path, speed=speed)
    if scheme == "nmea":
        from .nmea import NmeaSource

        return NmeaSource(path, speed=speed)
    # R10: what was given is not repeated; it may be a coordinate typed into the wrong place.
    raise SourceUnavailable(f"this version has no such source; it knows {_KNOWN}")


def source_of(source: LocationSource | str | os.PathLike[str]) -> tuple[LocationSource, bool]:
    """The source itself, or the one that a URL or a path names; and whether it is the caller's to close."""
    if isinstance(source, (str, os.PathLike)):
        return open_source(source), True
    return source, False


def _split(url: str | os.PathLike[str]) -> tuple[str, str]:
    """(kind, path)."""
    if isinstance(url, str):
        scheme, colon, path = url.partition(":")
        if colon and scheme.lower() in ("gpx", "nmea"):
            return scheme.lower(), path
    path = os.fspath(url)
    return _SUFFIXES.get(PurePath(path).suffix.lower(), "") if ":" not in path or os.path.exists(path) else "", path


_HOMES = {"GpxSource": "gpx", "NmeaSource": "nmea", "PushSource": "push"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value
