"""Where positions come from: receivers and daemons, recordings, and positions an app pushes. And what the vehicle and
the system say besides: parked or not, allowed or not.

:func:`open_source` turns a URL or a path into a :class:`LocationSource`; it is what ``Connect.drive`` and the
command line call. Each kind of URL has one row in a table and is imported when it is first asked for.
"""

from __future__ import annotations

import importlib
import os
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..errors import SourceUnavailable, quiet
from ..ports import LocationSource

if TYPE_CHECKING:
    from .geoclue import GeoClueSource
    from .geoclue_permission import GeoClueOsPermission
    from .gpsd import GpsdSource
    from .gpx import GpxSource
    from .kuksa import KuksaSource
    from .kuksa_vehicle import KuksaVehicle
    from .nmea import NmeaSource
    from .os_permission import PushedOsPermission
    from .portal import PortalSource
    from .portal_permission import PortalOsPermission
    from .push import PushSource
    from .speed import SpeedFallback
    from .vehicle import PushedVehicle

__all__ = [
    "GeoClueOsPermission",
    "GeoClueSource",
    "GpsdSource",
    "GpxSource",
    "KuksaSource",
    "KuksaVehicle",
    "NmeaSource",
    "PortalOsPermission",
    "PortalSource",
    "PushSource",
    "PushedOsPermission",
    "PushedVehicle",
    "SpeedFallback",
    "lacking",
    "open_source",
    "source_of",
]


class _Kind(NamedTuple):
    """``opener`` of ``module`` is called with what follows the scheme and its colon, and with ``speed=``."""

    module: str
    opener: str
    form: str
    """How it is written, for people."""


_KINDS: Final = {
    "gpx": _Kind("gpx", "GpxSource", "gpx:FILE"),
    "nmea": _Kind("nmea", "NmeaSource", "nmea:FILE"),
    "gpsd": _Kind("gpsd", "open_gpsd", "gpsd://HOST[:PORT][?device=DEVICE]"),
    "serial": _Kind("nmea_live", "open_serial", "serial:DEVICE[?baud=RATE]"),
    "nmea+tcp": _Kind("nmea_live", "open_tcp", "nmea+tcp://HOST:PORT"),
    "nmea+udp": _Kind("nmea_live", "open_udp", "nmea+udp://ADDRESS:PORT"),
    "geoclue": _Kind("geoclue", "open_geoclue", "geoclue:[?accuracy=LEVEL]"),
    "portal": _Kind("portal", "open_portal", "portal:[?accuracy=LEVEL]"),
    "kuksa": _Kind("kuksa", "open_kuksa", "kuksa://HOST[:PORT][?token_file=FILE&ca_file=FILE]"),
}
_EXTRAS: Final = {"jeepney": "geoclue", "grpc": "kuksa", "kuksa": "kuksa"}
"""What brings a library that only some sources need."""
_SUFFIXES: Final = {".gpx": "gpx", ".nmea": "nmea", ".nma": "nmea", ".log": "nmea"}


def lacking() -> dict[str, str | None]:
    """Every kind of source, and what to do before it can be opened here; None when it can be."""
    found: dict[str, str | None] = {}
    for name, kind in _KINDS.items():
        found[name] = None
        try:
            _imported(kind.module, kind.opener)
        except SourceUnavailable as error:
            found[name] = str(error)
    return found


@quiet
def open_source(url: str | os.PathLike[str], *, speed: float | None = None) -> LocationSource:
    """The source that ``url`` names; docs/sources.md lists every form. A path ends in .gpx, .nmea, .nma or .log.

    ``speed``: ``None`` replays as recorded, ``2`` twice as fast, ``0`` without waiting; live sources take no notice
    of it. Raises :class:`SourceUnavailable` for an unknown kind and for what cannot be reached or read,
    ``ValueError`` for a negative ``speed``.
    """
    scheme, rest = _split(url)
    kind = _KINDS.get(scheme)
    if kind is None:
        # R10: what was given is not repeated; it may be a coordinate typed into the wrong place.
        known = ", ".join(each.form for each in _KINDS.values())
        raise SourceUnavailable(f"there is no such kind of source; known are {known}")
    source: LocationSource = _imported(kind.module, kind.opener)(rest, speed=speed)
    return source


def source_of(source: LocationSource | str | os.PathLike[str]) -> tuple[LocationSource, bool]:
    """The source itself, or the one that a URL or a path names; and whether it is the caller's to close."""
    if isinstance(source, (str, os.PathLike)):
        return open_source(source), True
    return source, False


def _split(url: str | os.PathLike[str]) -> tuple[str, str]:
    """(kind, what follows its colon, or the path)."""
    if isinstance(url, str):
        scheme, colon, rest = url.partition(":")
        if colon and scheme.lower() in _KINDS:
            return scheme.lower(), rest
    path = os.fspath(url)
    return _SUFFIXES.get(PurePath(path).suffix.lower(), "") if ":" not in path or os.path.exists(path) else "", path


def _imported(module: str, name: str) -> Any:
    """``name`` of a module of ours. Raises :class:`SourceUnavailable` when an extra is not installed."""
    try:
        return getattr(importlib.import_module(f".{module}", __name__), name)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
    raise SourceUnavailable(f"this needs an extra: pip install 'kalos-connect-sdk[{extra}]'")


_HOMES: Final = {
    "GeoClueOsPermission": "geoclue_permission",
    "GeoClueSource": "geoclue",
    "GpsdSource": "gpsd",
    "GpxSource": "gpx",
    "KuksaSource": "kuksa",
    "KuksaVehicle": "kuksa_vehicle",
    "NmeaSource": "nmea",
    "PortalOsPermission": "portal_permission",
    "PortalSource": "portal",
    "PushSource": "push",
    "PushedOsPermission": "os_permission",
    "PushedVehicle": "vehicle",
    "SpeedFallback": "speed",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = _imported(_HOMES[name], name)
    globals()[name] = value
    return value
