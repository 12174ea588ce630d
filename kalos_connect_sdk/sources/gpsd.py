"""gpsd as a source: its JSON protocol over a socket of our own, from this machine or another.

gpsd speaks in clear text and asks nobody who they are: over a network that is not trusted, positions come in
readable and can be forged. Anything but a gpsd at the other end is refused at once.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator
from typing import Any, Final

from ..errors import SourceUnavailable
from .address import Address, address_of
from .gpsd_reports import GpsdReading, Lines, report_of
from .links import Link, Unwanted, said_of, tcp
from .live import ByteSource
from .wake import Wake, ready

__all__ = ["GpsdSource", "open_gpsd"]

_FORM: Final = "gpsd://HOST[:PORT][?device=/dev/NAME]"
_PORT: Final = 2947
_ANSWER_S: Final = 5.0
_BEFORE_MAX: Final = 256 * 1024


class GpsdSource(ByteSource):
    """Positions from a gpsd; ``device`` names the only receiver to listen to."""

    def __init__(self, host: str = "127.0.0.1", port: int = _PORT, *, device: str | None = None) -> None:
        """Raises :class:`SourceUnavailable` when there is no gpsd, or it has no such ``device``."""
        self._address = Address(host, port)
        self._device = device
        super().__init__("gpsd")

    def _connect(self, wake: Wake) -> Link:
        problem: str | None = None
        link: Link | None = None
        try:
            link = tcp(self._address, wake)
            problem = self._greet(link, wake)
        except OSError as error:
            problem = f"gpsd cannot be reached: {said_of(error)}; is it running, and does it listen there?"
        except Unwanted:
            pass
        if problem is None and link is not None and not wake.is_set():
            return link
        if link is not None:
            link.close()
        if problem is None or wake.is_set():
            raise Unwanted
        raise SourceUnavailable(problem)

    def _greet(self, link: Link, wake: Wake) -> str | None:
        """What is wrong with the other end, or None. Raises ``OSError`` and :class:`Unwanted`."""
        reports = _reports(link, wake)
        report = next(reports, None)
        if report is None or report["class"] != "VERSION" or report.get("proto_major") != 3:
            return "something else than a gpsd of protocol 3 answers; give the port that gpsd listens on"
        if self._device is None:
            return None
        link.write(b"?DEVICES;\n")
        listed = next((each.get("devices") for each in reports if each["class"] == "DEVICES"), None)
        known = {each.get("path") for each in listed if isinstance(each, dict)} if isinstance(listed, list) else set()
        if self._device in known:
            return None
        return f"gpsd has no such device; it has {len(known)}, which `gpspipe -w -n 3` lists"

    def _reading(self, link: Link) -> GpsdReading:
        wanted: dict[str, Any] = {"enable": True, "json": True}
        if self._device is not None:
            wanted["device"] = self._device
        link.write(b"?WATCH=" + json.dumps(wanted).encode() + b";\n")
        return GpsdReading(self._device)


def open_gpsd(rest: str, *, speed: float | None = None) -> GpsdSource:
    """``//HOST[:PORT][?device=...]``. Raises :class:`SourceUnavailable`."""
    address = address_of(rest, _FORM, known=("device",), port=_PORT)
    return GpsdSource(address.host or "127.0.0.1", address.port, device=address.options.get("device"))


def _reports(link: Link, wake: Wake) -> Iterator[dict[str, Any]]:
    """The first reports, until something else was said or too much of it. Raises ``OSError`` for silence."""
    lines, deadline_s, left = Lines(), time.monotonic() + _ANSWER_S, _BEFORE_MAX
    while left > 0:
        if not ready((link, wake), max(0.0, deadline_s - time.monotonic())):
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        if wake.is_set():
            raise Unwanted
        data = link.read()
        if data is None:
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        left -= len(data)
        for line in lines.feed(data):
            report = report_of(line)
            if report is None:
                return
            yield report
