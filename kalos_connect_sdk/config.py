"""Configuration: frozen, keyword-only, units in field names.

Precedence in the library: arguments, then ``KALOS_CONNECT_*``. Only the command line reads a file
(:func:`from_mapping`). An unknown key is an error, and plain http is for literal loopback addresses.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from .errors import ConfigError

__all__ = ["ENVIRONMENT_PREFIX", "Config", "from_mapping", "is_loopback", "origin_of"]

ENVIRONMENT_PREFIX: Final = "KALOS_CONNECT_"
_UNSET: Any = None  # then the environment, then the default


def origin_of(url: str) -> str:
    """``scheme://host:port`` of a URL, in lower case with the port always written. Raises :class:`ConfigError`."""
    problem = "must look like https://host[:port] or http://127.0.0.1:port"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"service_url {problem}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError(f"service_url {problem}, without user name, query or fragment")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port or (443 if parts.scheme == 'https' else 80)}"


def is_loopback(url: str) -> bool:
    """True for a literal loopback address; a name such as ``localhost`` may resolve elsewhere and does not count."""
    try:
        return ipaddress.ip_address(urlsplit(url).hostname or "").is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of one :class:`Connect`.

    ``service_url``: the Connect service; consent is bound to its origin. ``service_region``: ISO 3166 code
    of where it stands (unset counts as outside mainland China, R16). ``state_dir``: where state lives, by
    default the user's state directory. ``vault``: ``keyring``, ``file:PATH`` or ``memory``. ``locale``: of
    notices and instructions. ``timeout_s``: total seconds for one request. ``max_retries``: tries again for
    one batch before it is dropped. ``outbox_max_positions``, ``outbox_ttl_s`` (seconds from acceptance),
    ``batch_max_positions``: bounds of the outbox. ``ca_bundle``: a PEM file; ``proxy``: a URL; neither is
    ever read from the environment's usual variables. ``enrolment_token_file``: the vendor's enrolment token.

    Raises :class:`ConfigError` with one sentence that says which key is wrong and what to write instead.
    """

    service_url: str | None = None
    service_region: str | None = None
    state_dir: str | os.PathLike[str] | None = None
    vault: str = _UNSET
    locale: str | None = None
    timeout_s: float = _UNSET
    max_retries: int = _UNSET
    outbox_max_positions: int = _UNSET
    outbox_ttl_s: float = _UNSET
    batch_max_positions: int = _UNSET
    ca_bundle: str | os.PathLike[str] | None = None
    proxy: str | None = field(default=None, repr=False)  # R10: it may hold a password
    enrolment_token_file: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        _reject_unknown_environment()
        for item in fields(self):
            value: Any = getattr(self, item.name)
            if value is None:
                value = os.environ.get(ENVIRONMENT_PREFIX + item.name.upper()) or None
                if value is not None and item.name in _NUMBERS:
                    value = _parse_number(item.name, value)
            if value is None:
                value = _DEFAULTS.get(item.name)
            object.__setattr__(self, item.name, _check(item.name, value))

    @property
    def origin(self) -> str:
        """The service's origin, which consent is bound to; empty without a service."""
        return origin_of(self.service_url) if self.service_url else ""

    @property
    def service_is_loopback(self) -> bool:
        """True when the service stands on a literal loopback address."""
        return bool(self.service_url) and is_loopback(str(self.service_url))


_DEFAULTS: Final[dict[str, Any]] = {
    "vault": "keyring",
    "timeout_s": 10.0,
    "max_retries": 8,
    "outbox_max_positions": 3600,
    "outbox_ttl_s": 900.0,
    "batch_max_positions": 200,
}
# field: (type, low, high)
_NUMBERS: Final[dict[str, tuple[type, float, float]]] = {
    "timeout_s": (float, 0.1, 120),
    "max_retries": (int, 0, 1000),
    "outbox_max_positions": (int, 1, 1_000_000),
    "outbox_ttl_s": (float, 1, 86_400),
    "batch_max_positions": (int, 1, 2000),
}


def _parse_number(name: str, text: str) -> float | int:
    kind = _NUMBERS[name][0]
    number: float | int | None = None
    try:
        number = kind(text)
    except ValueError:
        pass
    if number is None:
        raise ConfigError(f"{name} must be a {'whole ' if kind is int else ''}number")
    return number


def _check(name: str, value: Any) -> Any:
    if name in _NUMBERS:
        kind, low, high = _NUMBERS[name]
        accepted = (int,) if kind is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, accepted) or not low <= value <= high:
            raise ConfigError(f"{name} must be a {'whole ' if kind is int else ''}number from {low:g} to {high:g}")
        return kind(value)
    if value is None:
        return None
    if name in ("state_dir", "ca_bundle", "enrolment_token_file"):
        return _path(name, value)
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ConfigError(f"{name} must be text without control characters")
    if name == "service_url":
        origin_of(value)
        if urlsplit(value).scheme == "http" and not is_loopback(value):
            raise ConfigError(
                "service_url uses plain http off loopback; write https://, or http:// with a literal loopback"
                " address such as http://127.0.0.1:8787"
            )
        return value.rstrip("/")
    if name == "proxy":
        _check_proxy(value)
    if name == "vault" and value not in ("keyring", "memory") and not (value.startswith("file:") and len(value) > 5):
        raise ConfigError("vault must be keyring, memory or file:PATH")
    if name == "vault" and value.startswith("file:"):
        _path(name, value[5:])
    if name == "service_region":
        if not (len(value) == 2 and value.isascii() and value.isalpha()):
            raise ConfigError("service_region must be an ISO 3166 code of two letters, such as CN")
        return value.upper()
    return value


def _path(name: str, value: Any) -> str:
    """The absolute path that ``value`` names."""
    text = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if not isinstance(text, str) or not text or not text.isprintable():  # R10: paths stand in errors
        raise ConfigError(f"{name} must be a path without control characters")
    path = None
    try:
        path = Path(text).expanduser().absolute()
    except (RuntimeError, OSError):
        pass
    if path is None:
        raise ConfigError(f"{name} names a home directory that is not known; write the whole path")
    return str(path)


def _check_proxy(url: str) -> None:
    good = False
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        pass
    if not good:
        raise ConfigError("proxy must look like http://host:port")


def _reject_unknown_environment() -> None:
    known = {ENVIRONMENT_PREFIX + item.name.upper() for item in fields(Config)}
    for name in os.environ:
        if name.startswith(ENVIRONMENT_PREFIX) and name not in known:
            raise ConfigError(f"unknown environment variable {name!r}; known ones end in {', '.join(_names())}")


def _names() -> list[str]:
    return [item.name for item in fields(Config)]


def from_mapping(values: Mapping[str, Any]) -> Config:
    """A :class:`Config` from a file's keys. Raises :class:`ConfigError` on an unknown key."""
    for key in values:
        if key not in _names():
            raise ConfigError(f"unknown configuration key {key!r}; known keys: {', '.join(_names())}")
    return Config(**values)
