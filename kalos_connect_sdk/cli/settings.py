"""The command line's configuration file, and where it may come from.

``--config FILE``, else the user's configuration directory, else the system's; never one from the working
directory, so that entering a folder can never redirect anybody's location. ``KALOS_CONNECT_*`` variables win
over the file. Paths in a file are relative to that file.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ..config import ENVIRONMENT_PREFIX, Config, from_mapping
from ..errors import ConfigError

__all__ = ["config_file", "load", "read_file"]

_NAME: Final = "config.toml"
_LARGEST: Final = 64 * 1024
_PATHS: Final = ("state_dir", "ca_bundle", "enrolment_token_file")


def load(chosen: str | None, **preset: Any) -> Config:
    """The configuration of one command. ``preset`` values win over variables and file.

    Raises :class:`ConfigError` for a file that is missing though named, unreadable, no TOML or holds an unknown key.
    """
    path = config_file(chosen)
    values = read_file(path) if path else {}
    from_mapping(values)  # every key is judged, also one that a variable wins over
    kept = {key: value for key, value in values.items() if not os.environ.get(ENVIRONMENT_PREFIX + key.upper())}
    return from_mapping({**kept, **preset})


def config_file(chosen: str | None) -> Path | None:
    """The file to read: ``chosen``, else the first that exists of the user's and the system's, else none."""
    if chosen is not None:
        return Path(chosen)
    import platformdirs

    for folder in (platformdirs.user_config_path("kalos-connect"), platformdirs.site_config_path("kalos-connect")):
        # A relative XDG variable would mean the working directory; the XDG specification says to ignore it.
        if folder.is_absolute() and (folder / _NAME).is_file():
            return folder / _NAME
    return None


def read_file(path: Path) -> dict[str, Any]:
    """The file's keys, with its relative paths made absolute. Raises :class:`ConfigError`."""
    problem = None
    values: dict[str, Any] = {}
    try:
        with path.open("rb") as stream:
            data = stream.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            problem = "is larger than 64 KiB"
        else:
            values = tomllib.loads(data.decode())
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        problem = "is not valid TOML"  # without the parser's excerpt: the file may hold a proxy's password
    if problem:
        raise ConfigError(f"the configuration file {str(path)!r} {problem}")
    return _anchored(values, path.absolute().parent)


def _anchored(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    anchored = dict(values)
    for key in _PATHS:
        if isinstance(anchored.get(key), str) and anchored[key]:
            anchored[key] = str(folder / _at_home(key, anchored[key]))
    vault = anchored.get("vault")
    if isinstance(vault, str) and vault.startswith("file:") and len(vault) > 5:
        anchored["vault"] = f"file:{folder / _at_home('vault', vault[5:])}"
    return anchored


def _at_home(key: str, text: str) -> Path:
    """``text`` with a leading ``~`` or ``~user`` replaced. Raises :class:`ConfigError`."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        pass
    raise ConfigError(f"{key} names a home directory that is not known; write the whole path")
