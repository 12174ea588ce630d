"""``kalos-connect consent verify FILE``: what a receipt proves, to somebody who has only the receipt (R20).

Needs no state and no configuration. ``--public-key`` pins the key: without it the record is checked against the
key it carries, which proves that it is whole, not whose it is; the output says which of the two was done.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ..core.record import Verified, verify_record
from ..core.wire import strict_json
from ..crypto.encoding import unb64
from ..crypto.sign import PUBLIC_KEY_BYTES, fingerprint
from ..crypto.sign import verify as verify_signature
from .commands import Commands, command
from .exits import Exit, Usage
from .output import print_json, screen
from .screen import Screen

__all__ = ["add", "judge", "run", "tell"]

_LARGEST: Final = 4 * 1024 * 1024
_DEEPEST: Final = 64
_MADE_BY: Final = "one is written by: kalos-connect consent show --json"


def add(actions: Commands, common: argparse.ArgumentParser) -> None:
    parser = command(actions, "verify", common, run, "check a receipt offline: its signature and what it proves")
    parser.add_argument("file", metavar="FILE", help="a receipt, or a list of receipts; - reads standard input")
    parser.add_argument("--public-key", metavar="KEY", help="the key it must be signed with (base64url or hexadecimal)")


def run(args: argparse.Namespace) -> int:
    """Exit 0 when every receipt in the file is valid, else 2."""
    pinned = _key(args.public_key) if args.public_key is not None else None
    records = _records(args.file)
    findings = [judge(record, pinned) for record in records]
    valid = all(finding.valid for finding in findings)
    if args.json:
        documents = [_document(finding, pinned) for finding in findings]
        print_json(documents[0] if len(documents) == 1 else documents)
    else:
        for record, finding in zip(records, findings, strict=True):
            tell(screen(), record, finding, pinned=pinned is not None)
    return Exit.OK if valid else Exit.USAGE


def judge(record: Mapping[str, Any], public_key: bytes | None) -> Verified:
    """What one record proves; with ``public_key``, only if it was signed with that key."""
    return verify_record(record, verify=verify_signature, public_key=public_key)


def tell(shown: Screen, record: Mapping[str, Any], finding: Verified, *, pinned: bool = False) -> None:
    """One receipt and what it proves, for people."""
    rows = [("receipt", _name(record)), ("signature", "valid" if finding.valid else "NOT valid")]
    if finding.public_key:
        how = "as pinned" if pinned else "the key inside the receipt; --public-key pins it"
        rows += [("key", fingerprint(finding.public_key)), ("", f"({how})")]
    rows += [("problem", problem) for problem in finding.problems]
    rows += [("" if index else "proves", f"- {statement}") for index, statement in enumerate(finding.statements)]
    shown.facts("Receipt", rows, tone="good" if finding.valid else "bad")


def _document(finding: Verified, pinned: bytes | None) -> dict[str, Any]:
    return {
        "valid": finding.valid,
        "fingerprint": fingerprint(finding.public_key) if finding.public_key else None,
        "pinned": pinned is not None,
        "problems": list(finding.problems),
        "proves": list(finding.statements),
    }


def _name(record: Mapping[str, Any]) -> str:
    for key in ("@id", "id", "dct:identifier", "identifier"):
        if isinstance(record.get(key), str):
            return str(record[key])
    return "without an identifier"


def _records(name: str) -> list[Mapping[str, Any]]:
    """The receipts in a file. Raises :class:`Usage` for anything that is not one receipt or a list of them."""
    problem = None
    document: Any = None
    try:
        if name == "-":
            data = sys.stdin.buffer.read(_LARGEST + 1)
        else:
            with Path(name).open("rb") as stream:
                data = stream.read(_LARGEST + 1)
        document = strict_json(data, max_bytes=_LARGEST, max_depth=_DEEPEST)
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    except ValueError:
        problem = f"is not a receipt: not valid JSON, or larger than 4 MiB; {_MADE_BY}"
    if problem is None:
        records = document if isinstance(document, list) else [document]
        if records and all(isinstance(record, dict) for record in records):
            return records
        problem = f"is not a receipt; {_MADE_BY}"
    raise Usage(f"{name!r} {problem}")


def _key(text: str) -> bytes:
    """A public key from base64url or hexadecimal. Raises :class:`Usage`."""
    key = b""
    try:
        key = bytes.fromhex(text) if len(text) == 2 * PUBLIC_KEY_BYTES else unb64(text.rstrip("="))
    except ValueError:
        pass
    if len(key) != PUBLIC_KEY_BYTES:
        raise Usage("--public-key must be an Ed25519 public key: 43 characters of base64url, or 64 of hexadecimal")
    return key
