"""``kalos-connect serve``: the reference Connect service, on this machine only unless told otherwise."""

from __future__ import annotations

import argparse
import errno
from typing import Final

from .commands import Commands, command
from .exits import Exit, Usage

__all__ = ["add", "run"]

_PORT: Final = 8787


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    parser = command(commands, "serve", common, run, "the reference Connect service, for development and tests")
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="where to listen (default: 127.0.0.1)")
    parser.add_argument("--port", type=_port, default=_PORT, help=f"0 takes a free one (default: {_PORT})")
    parser.add_argument(
        "--database", metavar="URL", help="where consents and positions are kept: sqlite:PATH, or memory (the default)"
    )
    parser.add_argument(
        "--engine", metavar="ENGINE", help="valhalla (embedded), valhalla:TILES.tar, or the URL of a Valhalla service"
    )


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted. Exit 2 when the address, the database or the engine cannot be used."""
    problem = None
    try:
        from ..service.engine import EngineUnavailable
        from ..service.server import serve
    except ModuleNotFoundError as missing:
        problem = f"the service needs {missing.name}; pip install 'kalos-connect-sdk[service,valhalla]' brings it"
    if problem is None:
        try:
            serve(args.host, args.port, database=args.database, engine=args.engine)
        except (OSError, OverflowError, ValueError, EngineUnavailable) as error:
            problem = f"the service cannot start: {_reason(error)}"
    if problem is not None:
        raise Usage(problem)
    return Exit.OK


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return "the port is in use; choose another with --port, 0 takes a free one"
    return str(error)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) <= 65535):
        raise argparse.ArgumentTypeError("must be a port from 0 to 65535")
    return int(text)
