"""Failures a service emulator was asked for: used up in order, interruptible, counted once."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from ..service.front import Response, refused
from ..service.refusal import Refusal

__all__ = ["Fault", "Faults"]

_NAMES = {
    400: "malformed-document",
    401: "token-required",
    403: "consent-required",
    404: "not-found",
    409: "notice-changed",
    410: "consent-withdrawn",
    413: "body-too-large",
    415: "unsupported-media-type",
    422: "malformed-document",
    429: "too-many-requests",
}


@dataclass(slots=True)
class Fault:
    """One failure. ``left``: how many more requests it strikes, ``None`` for all of them."""

    status: int | None
    left: int | None
    path: str | None
    retry_after: str | None
    problem: str | None
    drop: bool
    stall_s: float | None
    before: str
    released: threading.Event = field(default_factory=threading.Event)

    def wait(self) -> None:
        """Stall, until the time is over or the fault is released."""
        if self.stall_s is not None:
            self.released.wait(self.stall_s)

    def response(self) -> Response:
        """The problem this fault answers with."""
        status = self.status or 503
        answer = refused(Refusal(status, self.problem or _NAMES.get(status, "service-unavailable"), allow=[]))
        if self.retry_after is None:
            return answer
        return Response(answer.status, {**answer.headers, "Retry-After": self.retry_after}, answer.body)


class Faults:
    """The failures still to come."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._coming: list[Fault] = []
        self._stalling: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Ask for one more, after those asked for before."""
        with self._lock:
            self._coming.append(fault)

    def take(self, path: str) -> Fault | None:
        """The fault that strikes a request to ``path``, if one does."""
        with self._lock:
            for fault in self._coming:
                if fault.path is None or fault.path in path:
                    if fault.left is not None:
                        fault.left -= 1
                        if fault.left <= 0:
                            self._coming.remove(fault)
                    self._stalling.append(fault)
                    return fault
        return None

    def release(self) -> None:
        """Forget all of them, and wake what they stall."""
        with self._lock:
            for fault in [*self._coming, *self._stalling]:
                fault.released.set()
            self._coming.clear()
            self._stalling.clear()
