"""From arguments to an open Connect: whose state, which settings, who answers a prompt.

No option and no variable can grant consent to anything but a service on a literal loopback address: there,
``--answer`` stands in for a person, counts as parked and as a user action, and the receipt says ``simulated``.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Final

from ..config import Config
from ..model.consent import PromptAnswer
from ..ports import AssertedParked, Prompter
from ..prompts import CallbackPrompter, terminal_prompter
from .exits import Usage
from .settings import load

if TYPE_CHECKING:
    from ..connect import Connect
    from ..ports import NavigationProvider

__all__ = ["ANSWERS", "DEFAULT_APP", "configured", "open_connect", "prompter_for"]

DEFAULT_APP: Final = "kalos-connect"
ANSWERS: Final = ("allow-this-drive", "deny", "dismiss")


def configured(args: argparse.Namespace) -> Config:
    """The configuration of this command; refuses ``--answer`` for any service off loopback."""
    config = load(args.config)
    if getattr(args, "answer", None) is not None and not config.service_is_loopback:
        raise Usage(
            "--answer stands in for a person only with a service on a literal loopback address;"
            " set service_url to one such as http://127.0.0.1:8787"
        )
    return config


def open_connect(args: argparse.Namespace, config: Config, navigation: NavigationProvider | None = None) -> Connect:
    """A Connect of the chosen app and profile."""
    from ..connect import Connect

    answer: str | None = getattr(args, "answer", None)
    return Connect(
        args.app,
        profile=args.profile,
        config=config,
        prompter=prompter_for(answer, json=args.json),
        vehicle=_vehicle(answer),
        simulated=answer is not None,
        navigation=navigation,
    )


def _vehicle(answer: str | None) -> AssertedParked | None:
    """A person's terminal is not a cockpit; without one, nothing is known about motion."""
    if answer is not None:
        return AssertedParked("simulated on the command line")
    if sys.stdin is not None and sys.stdin.isatty():
        return AssertedParked("a person at a terminal")
    return None


def prompter_for(answer: str | None, *, json: bool) -> Prompter | None:
    """Who answers: ``--answer``, the person at this terminal, or nobody.

    The question goes to standard error when standard output is for a program to read.
    """
    if answer is not None:
        return CallbackPrompter(
            lambda request: {
                "allow-this-drive": PromptAnswer.allow(precision=request.precision),
                "deny": PromptAnswer.deny(),
                "dismiss": PromptAnswer.dismiss(),
            }[answer]
        )
    shown = sys.stderr if json or not sys.stdout.isatty() else sys.stdout
    if sys.stdin is not None and sys.stdin.isatty() and shown.isatty():
        return terminal_prompter(shown)
    return None
