"""The Connect Location API v1 as calls (section 7): each builds one exchange and reads its answer strictly.

Only an acknowledgement counts: an answer that is not what the protocol says raises, and the caller keeps what
it wanted to say (R5). Of a problem only its name and status are kept; everything else in it could hold
anything (R10).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeGuard
from urllib.parse import quote

from ..core.wire import GEOJSON_TYPE, MalformedDocument, problem_from, strict_json
from ..errors import ServiceRefused, ServiceUnreachable, TransportError
from .answer import Answer
from .door import Door

if TYPE_CHECKING:
    from ..core.gate import Clearance
    from .flight import Flight

__all__ = ["ConsentStatus", "Registration", "ServiceClient"]

_JSON_TYPE: Final = "application/json"
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,4096}")
_KEY: Final = re.compile(r"[A-Za-z0-9._:-]{1,200}")


@dataclass(frozen=True, slots=True)
class Registration:
    """The service knows the grant. ``encodings``: content codings it takes for positions."""

    access_token: str = field(repr=False)
    encodings: tuple[str, ...] = ("gzip",)


@dataclass(frozen=True, slots=True)
class ConsentStatus:
    """The grant as the service knows it; ``etag`` makes the next question cheap."""

    status: str
    epoch: int
    etag: str | None = None


class ServiceClient:
    """One Connect service behind the door. Safe from any thread.

    Every call raises :class:`TransportError`: ``ServiceUnreachable`` without a complete and readable answer,
    ``ServiceRefused`` for an answer that is not 2xx, ``Aborted`` when the flight was cut.
    """

    def __init__(self, door: Door, base_url: str) -> None:
        """``base_url``: ``Config.service_url``. Nothing is looked up or connected yet."""
        self._door = door
        self._base = base_url.rstrip("/")
        self._gzip = True

    def resolve(self) -> None:
        """Do everything slow before a lock is taken; needed before each call that has a flight."""
        self._door.resolve(self._base)

    def register(self, record_id: str, body: Mapping[str, Any], *, enrolment_token: str | None = None) -> Registration:
        """Register, renew or amend a grant; doing it again heals a lost answer and rotates the token."""
        answer = self._json("PUT", _consent(record_id), document=body, token=enrolment_token)
        document = _document(answer)
        token = document.get("access_token")
        encodings = document.get("encodings", ["gzip"])
        if not isinstance(token, str) or not _TOKEN.fullmatch(token) or not isinstance(encodings, list):
            raise _unreadable()
        known = tuple(item for item in encodings if isinstance(item, str) and len(item) <= 40)
        self._gzip = "gzip" in known
        return Registration(token, known)

    def status(
        self, record_id: str, token: str, etag: str | None = None, flight: Flight | None = None
    ) -> ConsentStatus | None:
        """What the service knows about the grant; ``None`` when nothing changed since ``etag``. With a flight it can
        be cut."""
        headers = {"If-None-Match": etag} if etag else {}
        answer = self._json("GET", _consent(record_id), token=token, headers=headers, also=304, flight=flight)
        if answer.status == 304:
            return None
        document = _document(answer)
        status, epoch = document.get("status"), document.get("epoch")
        if not isinstance(status, str) or not _whole(epoch):
            raise _unreadable()
        return ConsentStatus(status, epoch, _plain_header(answer, "etag"))

    def withdraw(self, record_id: str, notice: Mapping[str, Any]) -> int:
        """Tell the service; its count of positions dropped. Authenticated by the notice's own signature."""
        document = _document(self._json("POST", _consent(record_id) + "/withdrawals", document=notice))
        epoch = document.get("epoch")
        if not _whole(epoch) or epoch < notice.get("epoch", 0):  # R5: neither a page that says 200 nor the answer to
            raise _unreadable()  # an older notice is an acknowledgement
        dropped = document.get("dropped")
        return dropped if _whole(dropped) else 0

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Make a rights request, or ask how far a known one has come: the service's word on it."""
        return _document(self._json("POST", "/v1/requests", document=request))

    def send_positions(self, clearance: Clearance, rows_json: bytes, *, key: str, token: str, flight: Flight) -> Answer:
        """Send one batch; the answer whatever its status. ``key``: the same for every try of this batch."""
        if not _KEY.fullmatch(key):
            raise ValueError("an idempotency key is 1 to 200 letters, digits, dots, colons or hyphens")
        return self._door.exchange(
            "POST",
            f"{self._base}/v1/positions",
            headers={
                "Accept": _JSON_TYPE,
                "Content-Type": GEOJSON_TYPE,
                "Authorization": f"Bearer {token}",
                "Idempotency-Key": f'"{key}"',
            },
            body=rows_json,
            gzip=self._gzip,
            clearance=clearance,
            carries="position",
            flight=flight,
        )

    def notice(self, locale: str | None = None, flight: Flight | None = None) -> dict[str, Any] | None:
        """The service's current notice; ``None`` when it has none, which changes nothing."""
        query = f"?locale={quote(locale, safe='')}" if locale else ""
        answer = self._json("GET", "/v1/notice" + query, also=404, flight=flight)
        return None if answer.status == 404 else _document(answer)

    def _json(
        self,
        method: str,
        path: str,
        *,
        document: Mapping[str, Any] | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        also: int | None = None,
        flight: Flight | None = None,
    ) -> Answer:
        sent = {"Accept": _JSON_TYPE, **(headers or {})}
        body = None
        if document is not None:
            sent["Content-Type"] = _JSON_TYPE
            body = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        answer = self._door.exchange(
            method,
            self._base + path,
            headers=sent,
            body=body,
            flight=flight,
        )
        if not answer.ok and answer.status != also:
            raise ServiceRefused(problem_from(answer.status, answer.headers, answer.body))
        return answer


def _consent(record_id: str) -> str:
    return f"/v1/consents/{quote(record_id, safe='')}"


def _document(answer: Answer) -> dict[str, Any]:
    document = None
    try:
        document = strict_json(answer.body, max_depth=16)
    except MalformedDocument:
        pass
    if not isinstance(document, dict):
        raise _unreadable()
    return document


def _whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _unreadable() -> TransportError:
    return ServiceUnreachable("no answer from the service: unreadable answer")


def _plain_header(answer: Answer, name: str) -> str | None:
    """A header we send back one day: short and printable, or not at all."""
    value = answer.headers.get(name, "")
    return value if value.isascii() and value.isprintable() and 0 < len(value) <= 200 else None
