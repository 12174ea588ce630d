"""``kalos-connect status``: may location be used now, and why."""

from __future__ import annotations

import argparse

from ..model.consent import Purpose
from .commands import Commands, command
from .exits import Exit, exit_for_reason
from .opening import configured, open_connect
from .output import describe, permission_document, print_json, screen, when

__all__ = ["add", "run"]


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    command(commands, "status", common, run, "may location be used now, and why")


def run(args: argparse.Namespace) -> int:
    """Print the permission. Exit 0 whatever it is, 7 when the state or the vault cannot be used."""
    config = configured(args)
    with open_connect(args, config) as connect:
        permission = connect.permission(Purpose.NAVIGATION)
        abroad = connect.permission(Purpose.CROSS_BORDER_TRANSFER)
        code = exit_for_reason(permission.reason)
        usable = code is not Exit.STATE
        where = str(connect.state_path) if usable else None
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
    return Exit.OK if usable else Exit.STATE
