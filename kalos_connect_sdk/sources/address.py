"""What follows the scheme of a live source's URL: host, port, options. Read strictly, and refused unrepeated (R10)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from ..errors import SourceUnavailable

__all__ = ["Address", "address_of", "options_of"]

_HOST: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?", re.ASCII)
_IPV6: Final = re.compile(r"[0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9_.-]{1,32})?", re.ASCII)
_PORT: Final = re.compile(r"\d{1,5}", re.ASCII)
_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Address:
    """Where to connect to or to listen. ``host`` is empty when none was given."""

    host: str
    port: int
    options: dict[str, str] = field(default_factory=dict)


def address_of(rest: str, form: str, *, known: tuple[str, ...] = (), port: int | None = None) -> Address:
    """``//HOST:PORT?key=value`` after a scheme's colon. ``port`` is the one taken when none is given.

    Raises :class:`SourceUnavailable`, which says how it is written: ``form``.
    """
    place, options = options_of(rest, form, known)
    host, colon, digits = place.removeprefix("//").removesuffix("/").rpartition(":")
    if not colon or digits.endswith("]"):
        host, digits = place.removeprefix("//").removesuffix("/"), ""
    literal = host.startswith("[") and host.endswith("]")
    if literal:
        host = host[1:-1]
    known_host = not host or (_IPV6 if literal else _HOST).fullmatch(host)
    if not place.startswith("//") or not known_host or (digits and not _PORT.fullmatch(digits)) or literal > bool(host):
        raise malformed(form)
    number = int(digits) if digits else port
    if number is None or not 0 < number < 65536:
        raise malformed(form)
    return Address(host, number, options)


def options_of(rest: str, form: str, known: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    """What stands before the question mark, and the options after it: each known, and given once."""
    place, mark, query = rest.partition("?")
    options: dict[str, str] = {}
    for pair in query.split("&") if mark else ():
        name, equals, value = pair.partition("=")
        if name not in known or name in options or not equals or not value or _ESCAPE.search(value):
            raise malformed(form)
        options[name] = unquote(value, errors="replace")
        if not options[name].isprintable():
            raise malformed(form)
    return place, options


def malformed(form: str) -> SourceUnavailable:
    """The error for a URL that is not written as ``form`` says."""
    return SourceUnavailable(f"the URL of this source is written {form}")
