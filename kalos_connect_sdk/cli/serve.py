"""``kalos-connect serve``: the reference Connect service, on this machine only unless told otherwise."""

from __future__ import annotations

import argparse
from typing import Final

from .commands import Commands, command
from .exits import Exit

__all__ = ["add", "run"]

_PORT: Final = 8787


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    parser = command(commands, "serve", common, run, "the reference Connect service, for development and tests")
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="where to listen (default: 127.0.0.1)")
    parser.add_argument("--port", type=_port, default=_PORT, help=f"0 takes a free one (default: {_PORT})")
    parser.add_argument("--database", metavar="URL", help="where consents and positions are kept")
    parser.add_argument("--engine", metavar="ENGINE", help="the routing engine: valhalla, or the URL of one")


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    return Exit.OK


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) <= 65535):
        raise argparse.ArgumentTypeError("must be a port from 0 to 65535")
    return int(text)
