"""``kalos-connect``: arguments in, an exit code out, never a traceback.

Thin on purpose: every command parses, calls :class:`Connect` and says what came of it. ``--debug`` lets an
unexpected error through; without it one sentence names the kind of error and nothing of its content (R10).
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from typing import Final

from ..errors import ConsentRequired, KalosConnectError, ServiceRefused, ServiceUnreachable, VaultUnavailable
from ..prompts.plain import printable
from . import consent, demo, doctor, privacy, route, serve, status, stream
from .commands import Parser
from .exits import Exit, exit_for_error
from .opening import DEFAULT_APP
from .output import describe

__all__ = ["build_parser", "main"]

_EPILOG: Final = """exit codes: 0 ok, 1 internal error, 2 usage or input, 3 refused or not asked, 4 deferred,
5 withdrawn or expired, 6 service unreachable, 7 state or vault unusable"""
_INTERRUPTED: Final = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    parser = build_parser()
    try:
        args = parser.parse_args(
            _with_negative_places(sys.argv[1:] if argv is None else argv),
            argparse.Namespace(config=None, app=DEFAULT_APP, profile=None, json=False, debug=False),
        )
    except SystemExit as left:  # argparse has said what is wrong, or has shown the help
        return left.code if isinstance(left.code, int) else Exit.USAGE
    return _guarded(args)


def _guarded(args: argparse.Namespace) -> int:
    """Run the command and turn whatever it raises into a sentence and a code."""
    try:
        code = int(args.run(args))
        sys.stdout.flush()
    except KalosConnectError as error:
        if args.debug and exit_for_error(error) is Exit.INTERNAL:
            raise
        _complain(_sentence(error, chosen=getattr(args, "via", None) is not None))
        return exit_for_error(error)
    except BrokenPipeError:  # the reader has seen enough: head, less
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except KeyboardInterrupt:
        _complain("interrupted")
        return _INTERRUPTED
    except Exception as error:
        if args.debug:
            raise
        _complain(f"something went wrong inside ({type(error).__name__}); --debug shows where")
        return Exit.INTERNAL
    return code


def _sentence(error: KalosConnectError, *, chosen: bool) -> str:
    """What went wrong and what to do. ``chosen``: the command names who answers."""
    if isinstance(error, ConsentRequired):
        return describe(error.reason)
    if isinstance(error, VaultUnavailable) and "doctor" not in str(error):
        return f"{error}; kalos-connect doctor says what to do"
    if chosen and isinstance(error, ServiceRefused) and "code" in error.problem:
        return f"{error}, code {error.problem['code']}; look it up in the provider's documentation"
    if chosen and isinstance(error, ServiceUnreachable):
        return f"{error}; does the provider that --via names run, and does it speak that format?"
    if isinstance(error, ServiceUnreachable):
        return f"{error}; is it running, and is service_url right? kalos-connect doctor asks it"
    return str(error)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    common = _common()
    parser = Parser(
        prog="kalos-connect",
        description="Location consent: ask, stream, withdraw, verify. Precise location leaves only while consent is"
        " active.",
        epilog=_EPILOG,
        parents=[common],
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"kalos-connect {_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (demo, doctor, status, consent, stream, route, privacy, serve):
        module.add(commands, common)
    return parser


def _common() -> argparse.ArgumentParser:
    """Options every command takes, before or after its name; unset ones leave no trace in the namespace."""
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS, allow_abbrev=False)
    group = common.add_argument_group("common options")
    group.add_argument(
        "--config", metavar="FILE", help="configuration (TOML) instead of the user's or the system's config.toml"
    )
    group.add_argument("--app", metavar="ID", help=f"whose state directory (default: {DEFAULT_APP})")
    group.add_argument("--profile", metavar="NAME", help="which driver's state directory")
    group.add_argument("--json", action="store_true", help="print one JSON document")
    group.add_argument("--debug", action="store_true", help="show where an unexpected error comes from")
    return common


def _with_negative_places(argv: Sequence[str]) -> list[str]:
    """``--to -33.8,151.2`` as ``--to=-33.8,151.2``: a southern latitude is no option."""
    joined: list[str] = []
    for word in argv:
        if joined and joined[-1] in ("--to", "--from") and re.match(r"-[\d.]", word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("kalos-connect-sdk")
    except PackageNotFoundError:
        return "(not installed)"


def _complain(sentence: str) -> None:
    print(f"kalos-connect: {printable(sentence)}", file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
