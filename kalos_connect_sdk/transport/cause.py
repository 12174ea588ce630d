"""Why an exchange failed, in one short word that holds nothing of the request (R10)."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
from typing import Final

__all__ = ["Unfit", "cause_of"]

_UNREACHABLE: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL})
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_DEPTH: Final = 12


class Unfit(Exception):
    """An answer that is not taken; its one argument is the cause."""


def cause_of(error: BaseException) -> str:
    """A word for the innermost error that has one; libraries wrap them several layers deep."""
    seen: list[BaseException] = []
    pending = [error]
    while pending and len(seen) < _DEPTH:
        each = pending.pop(0)
        if each in seen:
            continue
        seen.append(each)
        inner = [each.__cause__, each.__context__, getattr(each, "reason", None), *each.args]
        pending += [item for item in inner if isinstance(item, BaseException)]
    words = [word for word in map(_word, seen) if word]
    proxied = any(type(each).__name__ == "ProxyError" for each in seen)
    cause = words[0] if words else "failed"
    return f"proxy {cause}" if proxied else cause


def _word(error: BaseException) -> str | None:
    if isinstance(error, Unfit):
        return str(error.args[0])
    if isinstance(error, ssl.SSLCertVerificationError):
        return "tls certificate"
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ssl.SSLError):
        return "tls"
    if isinstance(error, socket.gaierror):
        return "name not resolved"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, (ConnectionResetError, BrokenPipeError, http.client.IncompleteRead)):
        return "reset"  # also RemoteDisconnected
    if isinstance(error, http.client.HTTPException):
        return "not http"
    if isinstance(error, OSError) and error.errno in _UNREACHABLE:
        return "no network"
    if isinstance(error, OSError) and error.errno in _EXHAUSTED:
        return "no resources"
    return None
