"""``--via``: who finds the way instead of the service."""

from __future__ import annotations

import argparse
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ..errors import ConfigError

if TYPE_CHECKING:
    from ..ports import NavigationProvider

__all__ = ["FORMS", "via"]

FORMS: Final = "valhalla:URL, osrm:URL or amap:KEYFILE"
_KEY_FILE_MAX: Final = 4096


def via(text: str) -> NavigationProvider:
    """The provider that ``text`` names. Raises :class:`argparse.ArgumentTypeError`, which repeats no key."""
    kind, colon, where = text.partition(":")
    problem = f"must be {FORMS}"
    if colon and where and kind in ("valhalla", "osrm", "amap"):
        try:
            return _key_holder(where) if kind == "amap" else _server(kind, where)
        except ConfigError as error:
            problem = str(error)
    raise argparse.ArgumentTypeError(problem)


def _server(kind: str, url: str) -> NavigationProvider:
    """Its host's name stands for who runs it: no notice names it, so that it is asked between typed places only."""
    from ..navigation import Osrm, Valhalla

    host = ""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        pass  # the provider says what is wrong
    return Valhalla(url, recipient=host) if kind == "valhalla" else Osrm(url, recipient=host)


def _key_holder(file: str) -> NavigationProvider:
    from ..navigation import AMap

    problem, key = "", ""
    try:
        with Path(file).expanduser().open("rb") as stream:
            kept = os.fstat(stream.fileno())
            if kept.st_uid != os.geteuid() or stat.S_IMODE(kept.st_mode) & 0o077:
                problem = "the key file can be read by others; make it yours alone: chmod 600 FILE"
            else:
                key = stream.read(_KEY_FILE_MAX).decode("ascii").strip()
    except OSError as error:
        problem = f"the key file cannot be read: {error.strerror}"
    except (ValueError, RuntimeError):
        problem = "the key file must hold the key and nothing else"
    if problem:
        raise ConfigError(problem)
    return AMap(key)
