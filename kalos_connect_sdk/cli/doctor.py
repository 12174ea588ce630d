"""``kalos-connect doctor``: what is usable here, and what to do about the rest."""

from __future__ import annotations

import argparse
from typing import Any

from ..config import Config
from ..errors import ServiceRefused, TransportError
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
        checks = [_reached(check, config) if check["name"] == "service" else check for check in connect.doctor()]
    checks.append(_sources())
    failed = {str(check["name"]) for check in checks if not check["ok"]}
    code = Exit.OK
    if "state" in failed or ("vault" in failed and config.vault != "memory"):  # memory is a choice, not a failure
        code = Exit.STATE
    elif "service" in failed and config.service_url:
        code = Exit.UNREACHABLE
    if args.json:
        print_json({"ok": code is Exit.OK, "checks": checks})
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


def _sources() -> dict[str, Any]:
    """Which kinds of sources can be opened. An extra that nobody asked for is no failure."""
    from ..sources import lacking

    found = lacking()
    said = [", ".join(name for name, problem in found.items() if problem is None)]
    said += [f"{name}: {problem}" for name, problem in found.items() if problem is not None]
    return {"name": "sources", "ok": True, "detail": "; ".join(said), "advice": ""}


def _reached(check: dict[str, Any], config: Config) -> dict[str, Any]:
    """Whether the configured service answers at all. Asks for the notice, which says nothing about anybody."""
    if not config.service_url:
        return check
    from ..transport.client import ServiceClient
    from ..transport.door import Door

    door = Door(
        timeout_s=float(config.timeout_s or 10),
        ca_bundle=str(config.ca_bundle) if config.ca_bundle else None,
        proxy=config.proxy,
    )
    problem = None
    try:
        ServiceClient(door, config.service_url).notice(config.locale or "en")
    except ServiceRefused:  # it answers, and that is the question
        pass
    except TransportError as error:
        problem = str(error)
    finally:
        door.close()
    if problem is None:
        return check | {"detail": f"{config.origin} answers"}
    return check | {"ok": False, "detail": problem, "advice": "check service_url, the network, ca_bundle and proxy"}
