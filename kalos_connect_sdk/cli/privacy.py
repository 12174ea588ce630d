"""``kalos-connect privacy``: what was used, a copy of everything, deletion, an explanation, the state of requests."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any, Final

from ..model.rights import DeletionReason, RequestStatus, RightsRequest
from ..privacy import as_document, report_document
from .commands import Commands, command
from .exits import Exit
from .opening import configured, open_connect
from .output import describe, print_json, screen
from .screen import Screen

__all__ = ["add"]

_DAYS: Final = range(1, 8)


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    group = commands.add_parser(
        "privacy", parents=[common], help="what was used, and what can be asked for", allow_abbrev=False
    )
    actions = group.add_subparsers(title="commands", metavar="ACTION", required=True)
    reporting = command(actions, "report", common, report, "what was sent in the last days, hour by hour")
    reporting.add_argument("--days", type=int, choices=_DAYS, default=7, help="how many days back (default: 7)")
    command(actions, "export", common, export, "everything this device holds, as one JSON document")
    deleting = command(actions, "delete", common, delete, "withdraw, and have the service delete everything")
    deleting.add_argument(
        "--reason",
        choices=[reason.value for reason in DeletionReason],
        default=DeletionReason.NO_LONGER_USED.value,
        help="one of the policy's five reasons (default: %(default)s)",
    )
    command(actions, "explain", common, explain, "ask how a decision was made automatically")
    command(actions, "requests", common, requests, "every request, and how far it has come")


def report(args: argparse.Namespace) -> int:
    """Print the report."""
    with open_connect(args, configured(args)) as connect:
        found = connect.privacy.report(args.days)
    if args.json:
        print_json(report_document(found))
        return Exit.OK
    shown = screen()
    rows = [(purpose.value, describe(permission.reason)) for purpose, permission in found.permissions.items()]
    rows += [
        ("positions sent", f"{found.positions} in the last {args.days} days"),
        ("consents given", str(found.grants)),
        ("not yet heard", f"{found.notices_pending} withdrawals that the service has not acknowledged"),
    ]
    shown.facts("Your location", rows)
    for hour in found.use:
        shown.line(f"  {hour.start.astimezone():%a %d %b %H:00}  {hour.positions:6}  {hour.purpose.value}")
    _tell_all(shown, found.requests)
    return Exit.OK


def export(args: argparse.Namespace) -> int:
    """Print the copy: JSON with and without ``--json``, for it is made to be kept."""
    with open_connect(args, configured(args)) as connect:
        print_json(connect.privacy.export())
    return Exit.OK


def delete(args: argparse.Namespace) -> int:
    """Withdraw, drop, ask. Exit 0 when the request is recorded, whether or not the service has heard it yet."""
    with open_connect(args, configured(args)) as connect:
        made = connect.privacy.request_deletion(DeletionReason(args.reason))
        return _made(args, made, connect.privacy.requests())


def explain(args: argparse.Namespace) -> int:
    """Ask for an explanation."""
    with open_connect(args, configured(args)) as connect:
        made = connect.privacy.request_explanation()
        return _made(args, made, connect.privacy.requests())


def requests(args: argparse.Namespace) -> int:
    """Print every request."""
    with open_connect(args, configured(args)) as connect:
        found = connect.privacy.requests()
    if args.json:
        print_json([as_document(request) for request in found])
    elif found:
        _tell_all(screen(), found)
    else:
        screen().line("Nothing was asked for yet.")
    return Exit.OK


def _made(args: argparse.Namespace, made: RightsRequest, known: list[RightsRequest]) -> int:
    present = next((request for request in known if request.id == made.id), made)
    if args.json:
        print_json(as_document(present))
    else:
        _tell(screen(), present)
    return Exit.OK


def _tell_all(shown: Screen, requests: Any) -> None:
    for request in requests:
        _tell(shown, request)


def _tell(shown: Screen, request: RightsRequest) -> None:
    reason = f" ({request.reason.value})" if request.reason else ""
    shown.line(f"{request.kind.value}{reason}, asked {request.made_at.astimezone():%Y-%m-%d %H:%M}: {_state(request)}")
    shown.line(f"  asked of: {', '.join(request.recipients)}")
    for name, value in (request.outcome or {}).items():
        shown.line(f"  {name}: {value}")


def _state(request: RightsRequest) -> str:
    if request.status is RequestStatus.COMPLETED:
        return "done"
    if request.status is RequestStatus.REFUSED:
        why = "without a reason, which the policy does not allow" if request.unexplained else request.refusal_reason
        return f"refused ({request.refusal_code or 'no code'}): {why}. Contact: {request.contact}"
    late = " It is overdue." if request.overdue(datetime.now(UTC)) else ""
    owed = f"an answer is owed by {request.due_at:%Y-%m-%d}.{late} Contact: {request.contact}"
    if request.status is RequestStatus.IDENTITY_PENDING:
        return f"the service has to know who is asking; {owed}"
    if request.status is RequestStatus.RECEIVED:
        return f"received; {owed}"
    return f"not acknowledged yet, and told again whenever this device runs; {owed}"
