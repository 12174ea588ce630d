"""What a person can see and ask for: a report, a copy of everything, deletion, an explanation (policy, R19, R20).

None of it needs consent, and none of it holds a coordinate. Reached as ``connect.privacy``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .errors import KalosConnectError
from .model.consent import Purpose
from .model.reports import WithdrawalReport
from .model.rights import DeletionReason, MarkedBy, PrivacyReport, RequestKind, RequestStatus, RightsRequest

if TYPE_CHECKING:
    from .protocol.engine import Engine

__all__ = ["Privacy", "as_document", "report_document"]

_ASK_S = 2.0


class Privacy:
    """The rights of the person whose location it is."""

    def __init__(self, engine: Callable[[], Engine], withdraw: Callable[[], WithdrawalReport]) -> None:
        self._engine = engine
        self._withdraw = withdraw

    def report(self, days: int = 7) -> PrivacyReport:
        """The last ``days`` (1 to 7) at a glance: hours of use, present permissions, what is pending.

        Raises :class:`StateError` when the state cannot be read, ``ValueError`` for other numbers of days.
        """
        if isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= 7:
            raise ValueError("days must be a whole number from 1 to 7")
        engine = self._engine()
        permissions = {purpose: engine.view.permission(purpose) for purpose in Purpose}
        return engine.keeper.call(lambda: _report(engine, days, permissions))

    def export(self) -> dict[str, Any]:
        """A copy of everything this device holds about the person, as plain JSON values: the answer to a request
        for access that needs no service. No key, no token, no coordinate.

        Raises :class:`StateError`, :class:`VaultUnavailable` when receipts cannot be signed.
        """
        from .protocol.evidence import receipts

        engine = self._engine()
        signed = engine.keeper.call(lambda: receipts(engine))
        report = report_document(self.report())
        history = engine.keeper.call(lambda: [json.loads(row.body) for row in engine.state.ledger.events()])
        box = engine.store.box
        return {
            "exported_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "app": engine.parts.app_id,
            "profile": engine.parts.profile,
            "receipts": [dict(receipt) for receipt in signed],
            "history": history,
            "buffered_positions": len(box) if box is not None else 0,
            **{name: report[name] for name in ("permissions", "use", "notices_pending", "requests")},
        }

    def request_deletion(self, reason: DeletionReason) -> RightsRequest:
        """Have everything deleted: consent ends here first (the barrier, with its drop), the counts of use are
        forgotten, and a signed request goes to the service until it is acknowledged. The signed history of consent
        stays on the device as evidence.

        Raises :class:`VaultUnavailable` when the request cannot be signed, :class:`StateError` when it cannot be
        recorded; consent has ended all the same.
        """
        if not isinstance(reason, DeletionReason):
            raise TypeError("reason must be a DeletionReason")
        self._withdraw()
        engine = self._engine()
        rights, usage = engine.works.rights, engine.works.usage
        request = engine.keeper.call(lambda: rights.make(RequestKind.DELETION, reason, usage.names()))
        engine.courier.wake()
        return request

    def mark_as_minor(self, by: MarkedBy) -> RightsRequest | None:
        """This profile is a minor's (R17): from now on a grant needs evidence of a guardian's consent, which is
        ``request_permission(guardian=...)``. A grant without it is revoked like a withdrawal (R3), and the service is
        asked to delete what it covered; one with evidence stays.

        Returns that request, or None when nothing was collected without evidence. The mark is durable before this
        returns, and for good: a reset keeps it, nothing takes it away. Who was marked by mistake uses a profile of
        their own. Raises as :meth:`request_deletion`; what was granted without evidence has ended all the same.
        """
        if not isinstance(by, MarkedBy):
            raise TypeError("by must be a MarkedBy")
        engine = self._engine()
        minors = engine.works.minors
        try:
            return engine.keeper.call(lambda: minors.mark(by))
        finally:
            engine.view.changed()
            engine.courier.wake()

    def request_access(self) -> RightsRequest:
        """Ask the service what it holds. Raises as :meth:`request_deletion`; consent is not touched."""
        return self._ask(RequestKind.ACCESS)

    def request_explanation(self) -> RightsRequest:
        """Ask how a decision was made automatically. Raises as :meth:`request_deletion`; consent is not touched."""
        return self._ask(RequestKind.EXPLANATION)

    def requests(self) -> list[RightsRequest]:
        """Every request, oldest first. Open ones are told to the service again first, for at most 2 s: that is how
        it is asked how far they have come. Raises :class:`StateError`."""
        engine = self._engine()
        rights = engine.works.rights
        if engine.keeper.call(rights.unanswered):
            reply = engine.courier.worker.begin(lambda: rights.deliver(ignore_backoff=True))
            try:
                reply.get(_ASK_S)
            except (TimeoutError, KalosConnectError):
                pass  # what is known is told
        return engine.keeper.call(rights.known)

    def _ask(self, kind: RequestKind) -> RightsRequest:
        engine = self._engine()
        request = engine.keeper.call(lambda: engine.works.rights.make(kind, None))
        engine.courier.wake()
        return request


def _report(engine: Engine, days: int, permissions: dict[Purpose, Any]) -> PrivacyReport:
    state, works = engine.state, engine.works
    if fresh := works.usage.settings():
        state.keep_time(fresh)
    events = [json.loads(row.body) for row in state.ledger.events()]
    return PrivacyReport(
        days=days,
        made_at=datetime.fromtimestamp(state.now().wall_s, UTC),
        permissions=permissions,
        use=tuple(works.usage.hours(days)),
        grants=sum("terms" in body for body in events),
        notices_pending=len(works.courier.pending()),
        requests=tuple(works.rights.known()),
    )


def report_document(report: PrivacyReport) -> dict[str, Any]:
    """A report as plain JSON values."""
    return {
        "days": report.days,
        "made_at": report.made_at.isoformat(timespec="seconds"),
        "permissions": {
            purpose.value: {"state": found.state.value, "reason": found.reason.name}
            for purpose, found in report.permissions.items()
        },
        "positions": report.positions,
        "use": [
            {"start": hour.start.isoformat(), "purpose": hour.purpose.value, "positions": hour.positions}
            for hour in report.use
        ],
        "grants": report.grants,
        "notices_pending": report.notices_pending,
        "requests": [as_document(request) for request in report.requests],
    }


def as_document(request: RightsRequest) -> dict[str, Any]:
    """A request as plain JSON values."""
    refused = request.status is RequestStatus.REFUSED
    return {
        "id": request.id,
        "kind": request.kind.value,
        "reason": request.reason.value if request.reason else None,
        "status": request.status.value,
        "made_at": request.made_at.isoformat(),
        "due_at": request.due_at.isoformat(),
        "recipients": list(request.recipients),
        "contact": request.contact,
        "outcome": dict(request.outcome) if request.outcome is not None else None,
        "refusal": {"code": request.refusal_code, "reason": request.refusal_reason} if refused else None,
    }
