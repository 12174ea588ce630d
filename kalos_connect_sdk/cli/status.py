"""``kalos-connect status``: may location be used now, and why; and what happened while driving."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..errors import StateError
from ..model.consent import Purpose
from ..model.review import DriveReview
from .commands import Commands, command
from .exits import Exit, exit_for_reason
from .opening import configured, open_connect
from .output import describe, permission_document, print_json, screen, when

if TYPE_CHECKING:
    from ..connect import Connect

__all__ = ["add", "run"]


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    summary = "may location be used now, and why; what happened while driving"
    parser = command(commands, "status", common, run, summary)
    parser.add_argument("--seen", action="store_true", help="what happened while driving was read: tell it no more")


def run(args: argparse.Namespace) -> int:
    """Print the permission. Exit 0 whatever it is, 7 when the state or the vault cannot be used."""
    config = configured(args)
    with open_connect(args, config) as connect:
        permission = connect.permission(Purpose.NAVIGATION)
        abroad = connect.permission(Purpose.CROSS_BORDER_TRANSFER)
        code = exit_for_reason(permission.reason)
        usable = code is not Exit.STATE
        where = str(connect.state_path) if usable else None
        review = _review(connect, seen=args.seen)
    if args.json:
        print_json(
            permission_document(permission)
            | {
                "purpose": Purpose.NAVIGATION.value,
                "cross_border_transfer": abroad.state.value,
                "service": config.origin or None,
                "app": args.app,
                "profile": args.profile,
                "state_path": where,
                "drive_review": None if review is None else _documents(review),
            }
        )
        return Exit.OK if usable else Exit.STATE
    rows = [("permission", permission.state.value), ("why", describe(permission.reason))]
    if permission.granted:
        rows += [
            ("precision", permission.precision.value if permission.precision else "-"),
            ("lasts", when(permission)),
            ("receipt", permission.receipt_id or "-"),
        ]
    rows += [("service", config.origin or "none configured"), ("app", args.app)]
    rows += [("profile", args.profile)] if args.profile else []
    rows += [("state", where)] if where else []
    screen().facts("Location for navigation", rows, tone="good" if permission.granted else "plain")
    if review:
        _tell(review)
    return Exit.OK if usable else Exit.STATE


def _tell(review: DriveReview) -> None:
    from ..centre.review import review_document
    from ..centre.words import ReviewWords

    lines = review_document(review, ReviewWords())["lines"]
    screen().facts("While driving", [(line["when"], line["told"]) for line in lines])
    screen().line("  Read it? kalos-connect status --seen tells it no more.", "quiet")


def _review(connect: Connect, *, seen: bool) -> DriveReview | None:
    """What the person of this terminal, who does not drive, is shown; None when the history cannot be read."""
    try:
        review = connect.drive_review(driver_facing=False)
        if seen and review is not None:
            connect.drive_review_seen(review)
            review = connect.drive_review(driver_facing=False)
    except StateError:
        return None
    return review


def _documents(review: DriveReview) -> list[dict[str, Any]]:
    return [
        {
            "outcome": line.outcome.value,
            "purpose": line.purpose.value,
            "reason": line.reason.name if line.reason else None,
            "by": line.by,
            "first_at": line.first_at.isoformat(),
            "last_at": line.last_at.isoformat(),
            "times": line.times,
        }
        for line in review.outcomes
    ]
