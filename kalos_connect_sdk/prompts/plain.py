"""Text that is safe on a terminal and in a log.

Names and notices come from outside. A control character among them could move the cursor, colour a refusal
like a consent, or start a new line in a log; a bidirectional override could turn a sentence around. Each is
shown as an escape instead, so what a person reads is what the text holds.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

__all__ = ["columns", "printable", "wrapped"]

_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def printable(text: str, *, lines: bool = False) -> str:
    """``text`` with control characters, bidirectional overrides and lone surrogates escaped.

    ``lines``: keep line feeds, for a text of several paragraphs.
    """

    def escape(match: re.Match[str]) -> str:
        letter = match.group()
        if lines and letter == "\n":
            return letter
        number = ord(letter)
        return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"

    return _UNSAFE.sub(escape, text)


def columns(text: str) -> int:
    """Columns that ``text`` takes on a terminal: a CJK character takes two, a combining one none."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def wrapped(text: str, width: int | None, indent: str = "", *, hanging: str = "") -> str:
    """``text`` broken into lines of at most ``width`` columns, at spaces or between CJK characters.

    Every character is kept but the spaces at which a line is broken; ``hanging`` goes before what was broken off.
    ``None``: the width is unknown, nothing is broken.
    """
    if width is None:
        return "\n".join(indent + line if line else "" for line in text.split("\n"))
    room = max(width - columns(indent + hanging), 10)
    return "\n".join(
        indent + (hanging if number else "") + line if line else ""
        for paragraph in text.split("\n")
        for number, line in enumerate(_broken(paragraph, room))
    )


# Chinese punctuation that may not begin a line.
_CLINGING: Final = "，。、；：！？）》」』”’％"
_PIECE: Final = re.compile(rf" +|[^ ⺀-鿿豈-﫿＀-￯]+|[⺀-鿿豈-﫿＀-￯](?:[{_CLINGING}])*")


def _broken(paragraph: str, room: int) -> list[str]:
    lines: list[str] = []
    line = ""
    for piece in _PIECE.findall(paragraph):
        if line.strip() and not piece.isspace() and columns(line + piece) > room:
            lines.append(line.rstrip())
            line = piece
        else:
            line += piece
    return [*lines, line.rstrip()]
