"""``kalos-connect doctor``: what is usable here, and what to do about the rest."""

from __future__ import annotations

import argparse

from .commands import Commands, command
from .exits import Exit
from .opening import configured, open_connect
from .output import print_json, screen

__all__ = ["add", "run"]


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    command(commands, "doctor", common, run, "what is usable here: vault, state, clock, sources, service")


def run(args: argparse.Namespace) -> int:
    """Print every check. Exit 7 when state or vault are unusable, 6 when a configured service is, else 0."""
    config = configured(args)
    with open_connect(args, config) as connect:
        checks = connect.doctor()
    failed = {str(check["name"]) for check in checks if not check["ok"]}
    code = Exit.OK
    if failed & {"state", "vault"}:
        code = Exit.STATE
    elif "service" in failed and config.service_url:
        code = Exit.UNREACHABLE
    if args.json:
        print_json({"ok": not failed, "checks": checks})
        return code
    shown = screen()
    shown.table(
        "What is usable here",
        ("", "what", "finding"),
        [("ok" if check["ok"] else "no", str(check["name"]), str(check["detail"])) for check in checks],
    )
    for check in checks:
        if not check["ok"] and check.get("advice"):
            shown.line(f"{check['name']}: {check['advice']}")
    return code
