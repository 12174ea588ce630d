"""RFC 9457 problem details: a ``type`` URI that ends in the problem's name, and no free text.

A name is all that acts; titles and details of others are not read, since they could carry anything (R10).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from .strict_json import MalformedDocument, strict_json

__all__ = ["PROBLEM_BASE", "PROBLEM_TYPE", "problem", "problem_from", "problem_name", "refusal"]

PROBLEM_BASE: Final = "https://kalos-connect.invalid/problems/"
"""Identifies, does not locate: ``.invalid`` never resolves (RFC 2606)."""
PROBLEM_TYPE: Final = "application/problem+json"
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,63}", re.ASCII)
_RETRY_AFTER: Final = re.compile(r"[A-Za-z0-9,: ]{1,40}")


def problem(name: str, status: int, **members: Any) -> dict[str, Any]:
    """The problem document called ``name``, for an answer with HTTP ``status``. An odd name is a ``ValueError``."""
    if not _NAME.fullmatch(name):
        raise ValueError("a problem's name is lower-case words joined by hyphens")
    return {"type": PROBLEM_BASE + name, "title": name.replace("-", " "), "status": status, **members}


def problem_name(document: Any) -> str | None:
    """The name at the end of a problem document's ``type``, whatever its base; ``None`` when there is none."""
    kind = document.get("type") if isinstance(document, Mapping) else None
    if not isinstance(kind, str) or len(kind) > 500:
        return None
    _, slash, name = kind.rpartition("/")
    return name if slash and _NAME.fullmatch(name) else None


def problem_from(status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """What is kept of an error answer: ``type`` (our base and the problem's name), ``status`` as HTTP said it,
    ``retry_after`` as sent."""
    name = None
    try:
        name = problem_name(strict_json(body, max_bytes=64 * 1024, max_depth=8))
    except MalformedDocument:
        pass
    return refusal(name, status, headers)


def refusal(name: str | None, status: int, headers: Mapping[str, str]) -> dict[str, Any]:
    """The same where the name is known already."""
    kept: dict[str, Any] = {"type": PROBLEM_BASE + name if name else "about:blank", "status": status}
    retry_after = headers.get("retry-after", "")
    if _RETRY_AFTER.fullmatch(retry_after):
        kept["retry_after"] = retry_after
    return kept
