"""A refusal of the service: an HTTP status and a problem name, and no free text (R10)."""

from __future__ import annotations

from typing import Any

from ..core.wire import problem

__all__ = ["Refusal"]


class Refusal(Exception):
    """The service says no. ``document()`` is the RFC 9457 problem; a name says all that a client acts on."""

    def __init__(self, status: int, name: str, *, retry_after_s: int | None = None, **members: Any) -> None:
        super().__init__(f"{status} {name}")
        self.status = status
        self.name = name
        self.retry_after_s = retry_after_s
        self.members = members

    def document(self) -> dict[str, Any]:
        """The problem document."""
        return problem(self.name, self.status, **self.members)
