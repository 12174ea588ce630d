"""One tree of errors.

Every error the SDK raises on purpose derives from :class:`KalosConnectError`. Rule R10 holds for all
of them: no text, argument, context or cause ever carries a coordinate, a key or a token, so they are
raised *outside* the ``except`` block of the library error they stand for.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType

    from .model.decision import Reason

__all__ = [
    "ConfigError",
    "ConsentError",
    "ConsentRequired",
    "InvalidPosition",
    "KalosConnectError",
    "NoPosition",
    "ServiceRefused",
    "ServiceUnreachable",
    "SourceError",
    "SourceUnavailable",
    "StateError",
    "StateRolledBack",
    "StateUnreadable",
    "TransportError",
    "VaultUnavailable",
    "quiet",
    "silenced",
]

_P = ParamSpec("_P")
_R = TypeVar("_R")


class KalosConnectError(Exception):
    """Base of every error of this SDK."""


class ConfigError(KalosConnectError, ValueError):
    """A setting is unknown, malformed or unsafe; the text says which one and what to write instead."""


class ConsentError(KalosConnectError):
    """Something was refused because of consent."""


class ConsentRequired(ConsentError):
    """The gate said no (R1, R2). ``reason`` is the machine-readable why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"location may not be used: {reason.name}")
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.reason,))


class NoPosition(KalosConnectError):
    """A route from here was asked for, but this process has no position at most 30 s old."""


class InvalidPosition(KalosConnectError, ValueError):
    """A position or place is malformed. The text names the field and the rule, never the value."""


class SourceError(KalosConnectError):
    """A location source failed."""


class SourceUnavailable(SourceError):
    """A location source cannot be reached or read; the text says what to check."""


class StateError(KalosConnectError):
    """The state directory or the vault cannot be used; nothing precise is sent (R1)."""


class StateUnreadable(StateError):
    """The state is damaged, foreign or newer than this SDK. The files are kept; ``reset()`` is the way out (R8)."""


class StateRolledBack(StateError):
    """The state was restored from before a withdrawal and is refused (R7)."""


class VaultUnavailable(StateError):
    """The key vault cannot be reached or unlocked."""


class TransportError(KalosConnectError):
    """Talking to the service failed."""


class ServiceUnreachable(TransportError):
    """The service could not be reached, or gave no complete answer in time."""


class ServiceRefused(TransportError):
    """The service answered with an error. ``problem`` is its RFC 9457 problem document, without free text."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        status = problem.get("status", "error")
        name = str(problem.get("type", "about:blank")).rsplit("/", 1)[-1]
        super().__init__(f"the service refused the request: {status} {name}")
        self.problem = dict(problem)

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.problem,))


# -- what an error carries besides ------------------------------------------------------------------


def silenced(error: BaseException) -> BaseException:
    """``error``, with the locals of every frame that it left cleared, in its whole chain; lines and names stay.

    Crash reporters record the locals of a traceback; below our calls they are request bodies, tokens and keys (R10).
    An error that a caller was handling already when we were called is left as it is: its frames are the caller's.
    """
    pending: list[BaseException | None] = [error]
    seen: set[int] = set()
    while pending:
        each = pending.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        trace = each.__traceback__
        if each is not error and trace is not None and not _cleared(trace.tb_frame):
            continue  # it was caught above us
        while trace is not None:
            _cleared(trace.tb_frame)
            trace = trace.tb_next
        pending += [each.__cause__, each.__context__]
    return error


def _cleared(frame: FrameType) -> bool:
    try:
        frame.clear()
    except RuntimeError:  # it still runs: the caller's own
        return False
    return True


def quiet(call: Callable[_P, _R]) -> Callable[_P, _R]:
    """``call``, whose errors arrive :func:`silenced`; its arguments are not kept in the traceback either."""

    @functools.wraps(call)
    def guarded(*args: _P.args, **options: _P.kwargs) -> _R:
        try:
            return call(*args, **options)
        except BaseException as error:
            del args, options
            silenced(error)
            raise

    return guarded
