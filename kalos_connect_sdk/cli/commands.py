"""How a command is put on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from ..prompts.plain import printable
from .opening import ANSWERS

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Commands = Any

__all__ = ["Commands", "Parser", "answerable", "command", "speed"]


class Parser(argparse.ArgumentParser):
    """A parser whose complaints steer no terminal, whatever was typed."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def command(
    commands: Commands,
    name: str,
    common: argparse.ArgumentParser,
    run: Callable[[argparse.Namespace], int],
    summary: str,
) -> argparse.ArgumentParser:
    """Add ``name``, which runs ``run`` and returns an exit code."""
    parser = commands.add_parser(
        name, parents=[common], help=summary, description=f"{summary[0].upper()}{summary[1:]}.", allow_abbrev=False
    )
    parser.set_defaults(run=run)
    return parser


def answerable(parser: argparse.ArgumentParser) -> None:
    """Add ``--answer``."""
    parser.add_argument(
        "--answer",
        choices=ANSWERS,
        help="answer for a person: only with a service on a literal loopback address; the receipt says simulated",
    )


def speed(text: str) -> float:
    """The value of ``--speed``: times faster than recorded, 0 as fast as possible."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1_000_000:
        raise argparse.ArgumentTypeError("must be 0 (as fast as possible) or how many times faster, such as 10")
    return value
