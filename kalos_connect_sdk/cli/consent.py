"""``kalos-connect consent``: request, withdraw, show, receipts, reset; ``verify`` lives in its own module.

R11: withdrawing is one command, like requesting, and needs no prompt, no network and no readable state.
"""

from __future__ import annotations

import argparse
from typing import Final

from ..model.consent import Purpose, guardian_reference
from ..model.reports import WithdrawalReport
from . import verify
from .commands import Commands, answerable, command
from .exits import Exit, exit_for_permission
from .opening import configured, open_connect
from .output import describe, permission_document, print_json, screen, when

__all__ = ["add"]

_NOTICE_S: Final = 5.0


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    group = commands.add_parser("consent", parents=[common], help="ask, withdraw, show evidence", allow_abbrev=False)
    actions = group.add_subparsers(title="commands", metavar="ACTION", required=True)
    asking = command(actions, "request", common, request, "put the question to the person, as a user action")
    answerable(asking)
    asking.add_argument(
        "--guardian",
        type=guardian_reference,
        metavar="TEXT",
        help="a reference to evidence of a guardian's consent, such as the number of a form: a minor's grant needs it",
    )
    command(actions, "withdraw", common, withdraw, "withdraw consent and drop what is buffered")
    command(actions, "show", common, show, "the latest receipt")
    command(actions, "receipts", common, receipts, "every receipt, oldest first")
    command(actions, "reset", common, reset, "the way out of a locked state: ends everything, keeps the old files")
    verify.add(actions, common)


def request(args: argparse.Namespace) -> int:
    """Ask. Exit 0 only when location may be used afterwards."""
    with open_connect(args, configured(args)) as connect:
        permission = connect.request_permission(Purpose.NAVIGATION, user_action=True, guardian=args.guardian)
        # R9: without a usable vault consent ends with the process that asked; whoever asked must know.
        this_run_only = permission.granted and any(
            check["name"] == "vault" and not check["ok"] for check in connect.doctor()
        )
    if args.json:
        print_json(permission_document(permission) | {"this_run_only": this_run_only})
    elif permission.granted:
        shown = screen()
        exactness = permission.precision.value if permission.precision else "location"
        shown.line(f"Allowed: {exactness} location for navigation, {when(permission)}.", "good")
        shown.line(f"Receipt {permission.receipt_id}. To stop: kalos-connect consent withdraw")
        if this_run_only:
            shown.line("There is no usable key vault, so it lasted for this run only: kalos-connect doctor", "bad")
    else:
        screen().line(describe(permission.reason))
    return exit_for_permission(permission)


def withdraw(args: argparse.Namespace) -> int:
    """Withdraw every purpose, then wait at most 5 s for the acknowledgement.

    Exit 0 when no consent is active any more, 7 when one is or when that could not be recorded.
    """
    with open_connect(args, configured(args)) as connect:
        report = connect.withdraw()
        told = report.notice != "pending" or connect.wait_for_notices(_NOTICE_S)
        active = any(connect.permission(purpose).granted for purpose in Purpose)
    notice = "delivered" if report.notice == "pending" and told else report.notice
    if args.json:
        print_json(
            {
                "complete": report.complete,
                "active": active,
                "durable": report.durable,
                "dropped": report.dropped,
                "aborted": report.aborted,
                "possibly_delivered": report.possibly_delivered,
                "notice": notice,
                "holders": list(report.holders),
                "remaining": list(report.remaining),
                "elapsed_ms": round(report.elapsed_s * 1000, 3),
                "detail": report.detail,
            }
        )
    else:
        _tell(report, notice)
    return Exit.STATE if active or _unrecorded(report) else Exit.OK


def _unrecorded(report: WithdrawalReport) -> bool:
    """The state could not be opened at all: once it can be again, the old consent is what it says."""
    return not report.complete and not report.durable


def _tell(report: WithdrawalReport, notice: str) -> None:
    shown = screen()
    if report.complete:
        shown.line("Withdrawn. Nothing precise leaves any more, and what was buffered is gone.", "good")
    elif _unrecorded(report):
        shown.line("NOT withdrawn for certain: it could not be recorded. Mend this, then withdraw again:", "bad")
    else:
        shown.line("Withdrawn, but not everything is finished yet:", "bad")
    for left in report.remaining:
        shown.line(f"  {left}")
    if report.holders:
        shown.line(f"  processes that could not be stopped: {', '.join(map(str, report.holders))}", "bad")
    if report.dropped or report.aborted:
        shown.line(f"Dropped {report.dropped} buffered positions, cut {report.aborted} requests in flight.")
    if report.possibly_delivered:
        shown.line(
            f"{report.possibly_delivered} requests had no answer yet: the service may have received their positions,"
            " and is told to drop them."
        )
    shown.line(
        {
            "delivered": "The service has acknowledged the withdrawal.",
            "none": "There was nothing to tell the service.",
        }.get(notice, "The service has not acknowledged yet; it is told again every time this device runs.")
    )


def show(args: argparse.Namespace) -> int:
    """The latest receipt. Exit 3 when nobody was ever asked."""
    with open_connect(args, configured(args)) as connect:
        found = connect.receipts()
    if args.json:
        print_json(found[-1] if found else {})
    elif found:
        verify.tell(screen(), found[-1], verify.judge(found[-1], None))
    else:
        screen().line("There is no receipt: consent was never given.")
    return Exit.OK if found else Exit.REFUSED


def receipts(args: argparse.Namespace) -> int:
    """Every receipt. Exit 0 also when there is none."""
    with open_connect(args, configured(args)) as connect:
        found = connect.receipts()
    if args.json:
        print_json([dict(receipt) for receipt in found])
        return Exit.OK
    shown = screen()
    if not found:
        shown.line("There is no receipt: consent was never given.")
    for receipt in found:
        verify.tell(shown, receipt, verify.judge(receipt, None))
    return Exit.OK


def reset(args: argparse.Namespace) -> int:
    """End everything, keep the old files aside, begin anew (R8)."""
    with open_connect(args, configured(args)) as connect:
        connect.reset()
        where = connect.state_path
    if args.json:
        print_json({"reset": True, "state_path": str(where)})
    else:
        screen().line(f"A new record was begun. The old files are kept in {where}.", "good")
    return Exit.OK
