"""What every provider's answer comes to: a route, a refusal, or nothing readable.

Of a refusal only its HTTP status is kept, when to come back, and a code where it is plain digits (R10). No way between
two places is the same problem whoever finds none. A third party's problem never names a thing of consent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from ..core.members import mapping
from ..core.problems import refusal
from ..core.strict_json import MalformedDocument, strict_json
from ..errors import ServiceRefused, ServiceUnreachable
from ..model.route import Route

__all__ = ["ANSWER_MAX_BYTES", "document", "heard", "no_way", "read", "refused"]

ANSWER_MAX_BYTES: Final = 8 * 1024 * 1024
_CODE: Final = re.compile(r"[0-9]{1,9}", re.ASCII)


def document(body: bytes) -> Mapping[str, Any]:
    """The object in an answer. Raises :class:`MalformedDocument`."""
    return mapping("the answer", strict_json(body, max_bytes=ANSWER_MAX_BYTES, max_depth=24))


def read(parse: Callable[[], Route]) -> Route:
    """The route that ``parse`` finds. Raises :class:`ServiceUnreachable` where it raises :class:`MalformedDocument`."""
    rule = ""
    try:
        return parse()
    except MalformedDocument as error:
        rule = str(error)  # names a member and a rule, never a value
    raise ServiceUnreachable(f"no answer from the service: unreadable answer ({rule})")


def heard(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    told: Callable[[Mapping[str, Any]], Route],
    code: str,
    no_ways: Collection[object],
) -> Route:
    """What an engine answered: ``told`` reads a 2xx; of any other the member ``code`` says why, and a 400 with one of
    ``no_ways`` that there is none. Raises :class:`TransportError`."""
    if 200 <= status < 300:
        return read(lambda: told(document(body)))
    why: object = None
    try:
        why = document(body).get(code)
    except MalformedDocument:
        pass
    if status == 400 and type(why) in (int, str) and why in no_ways:
        raise no_way()
    raise refused(status, headers, why)


def no_way() -> ServiceRefused:
    """There is no way between the two places, or they are not on the provider's map."""
    return ServiceRefused(refusal("no-route", 422, {}))


def refused(status: int, headers: Mapping[str, str], code: object = None) -> ServiceRefused:
    """The provider does not want to: a key, a quota, an odd request."""
    problem = refusal("provider-refused", status, headers)
    if _CODE.fullmatch(str(code)):
        problem["code"] = str(code)
    return ServiceRefused(problem)
