"""Exit codes: what a script learns from one number."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from ..errors import (
    ConfigError,
    ConsentRequired,
    InvalidPosition,
    KalosConnectError,
    NoPosition,
    ServiceRefused,
    SourceError,
    StateError,
    TransportError,
)
from ..model.consent import Permission
from ..model.decision import Reason

__all__ = ["Exit", "Usage", "exit_for_error", "exit_for_permission", "exit_for_reason"]


class Exit(IntEnum):
    """0 ok, 1 internal, 2 usage or input, 3 refused or not asked, 4 deferred, 5 withdrawn or expired,
    6 service unreachable, 7 state or vault unusable."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    REFUSED = 3
    DEFERRED = 4
    ENDED = 5
    UNREACHABLE = 6
    STATE = 7


class Usage(KalosConnectError):
    """The command line asks for something that is not possible; the text says what to write instead."""


_ENDED: Final = frozenset(
    {
        Reason.WITHDRAWN,
        Reason.REVOKED,
        Reason.EXPIRED,
        Reason.NOTICE_CHANGED,
        Reason.CONTROLLER_CHANGED,
        Reason.ORIGIN_CHANGED,
    }
)
_STATE: Final = frozenset(
    {
        Reason.STATE_UNREADABLE,
        Reason.STATE_ROLLED_BACK,
        Reason.VAULT_UNAVAILABLE,
        Reason.OUTBOX_UNAVAILABLE,
        Reason.BUSY,
    }
)
# What the service says about the request itself, not about consent or about its own health.
_BAD_INPUT: Final = frozenset({400, 404, 413, 415, 422})


def exit_for_reason(reason: Reason) -> Exit:
    """The exit code of a gate that answers ``reason``. Everything without a code of its own is a refusal."""
    if reason is Reason.ALLOWED:
        return Exit.OK
    if reason is Reason.DEFERRED:
        return Exit.DEFERRED
    if reason in _ENDED:
        return Exit.ENDED
    return Exit.STATE if reason in _STATE else Exit.REFUSED


def exit_for_permission(permission: Permission) -> Exit:
    """0 for a granted permission, else by its reason and never 0."""
    if permission.granted:
        return Exit.OK
    return exit_for_reason(permission.reason) or Exit.REFUSED


def exit_for_error(error: KalosConnectError) -> Exit:
    """The exit code of an error the SDK raised on purpose."""
    if isinstance(error, ConsentRequired):
        return exit_for_reason(error.reason) or Exit.REFUSED
    if isinstance(error, (Usage, ConfigError, InvalidPosition, SourceError, NoPosition)):
        return Exit.USAGE
    if isinstance(error, StateError):
        return Exit.STATE
    if isinstance(error, ServiceRefused):
        return _exit_for_problem(error)
    return Exit.UNREACHABLE if isinstance(error, TransportError) else Exit.INTERNAL


def _exit_for_problem(error: ServiceRefused) -> Exit:
    status = error.problem.get("status")
    name = str(error.problem.get("type", "")).rsplit("/", 1)[-1]
    if name == "provider-refused":  # nothing of it is about consent
        return Exit.UNREACHABLE
    if name == "consent-expired" or status in (409, 410):
        return Exit.ENDED
    if status == 403:
        return Exit.REFUSED
    return Exit.USAGE if status in _BAD_INPUT else Exit.UNREACHABLE
