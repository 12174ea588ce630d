"""Canaries: coordinates and secrets in every dress in which they could stand in a margin, and a search for them (R10).

A finding is told by the name of the canary and of its dress, never by its value.
"""

from __future__ import annotations

import base64
import itertools
import re
import struct
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from kalos_connect_sdk.core.datum import convert
from kalos_connect_sdk.model.position import Datum

# Latitudes above 60 and longitudes above 100 stand in no time of day; no other number of these tests begins so.
LATITUDE, LONGITUDE = 83.4729184653, 117.6283947216
_SHORTEST_SECRET = 8


def _base64(raw: bytes) -> Iterable[bytes]:
    """What base64 makes of ``raw`` wherever it stands in a longer text: the letters that do not depend on the rest."""
    for shift in range(3):
        padded = base64.b64encode(b"\0" * shift + raw + b"\0" * 3)
        stable = padded[-(-8 * shift // 6) : (8 * (shift + len(raw))) // 6]
        yield stable
        yield stable.translate(bytes.maketrans(b"+/", b"-_"))


def _digits(value: float, name: str) -> Iterable[tuple[str, bytes]]:
    """Decimal text: cut and rounded to three decimals and with any more, percent-encoded, UTF-16; scaled integers."""
    whole = f"{abs(value):.17f}"
    for text in {whole[: whole.index(".") + 4], f"{abs(value):.3f}"}:
        yield f"{name} in decimals", text.encode()
        yield f"{name}, percent-encoded", text.replace(".", "%2E").encode()
        yield f"{name} in UTF-16", text.encode("utf-16-le")
        yield f"{name} with a decimal comma", text.replace(".", ",").encode()
    for length in (4, 5, 6):
        for text in (f"{abs(value):.{length}f}", whole[: whole.index(".") + 1 + length]):
            if len(text.replace(".", "")) >= 7:
                yield f"{name} as a scaled integer", text.replace(".", "").encode()
    for text in (whole[: whole.index(".") + 5], whole[: whole.index(".") + 7]):
        for dress in _base64(text.encode()):
            yield f"{name} in decimals, base64", dress


def _binary(value: float, name: str) -> Iterable[tuple[str, bytes]]:
    """The bytes a struct, a protobuf or a database row holds; in hex and base64 too."""
    raw: set[bytes] = set()
    for number in {value, *(round(value, digits) for digits in (5, 6, 7, 8))}:
        raw |= {struct.pack(order + "d", number) for order in "<>"}
    raw |= {struct.pack(order + "f", value) for order in "<>"}
    for scale in (1e5, 1e6, 1e7):
        for number in {round(value * scale), int(value * scale)}:
            raw |= {struct.pack(order + "i", number) for order in "<>"}
    for each in raw:
        yield f"{name} in {len(each)} bytes", each
        yield f"{name} in hex", each.hex().encode()
        yield f"{name} in hex", each.hex().upper().encode()
        if len(each) == 8:
            for dress in _base64(each):
                yield f"{name} in bytes, base64", dress


def _minutes(value: float, name: str) -> Iterable[tuple[str, bytes]]:
    """ddmm.mmm, as NMEA writes it."""
    whole = int(abs(value))
    minutes = (abs(value) - whole) * 60
    for text in (f"{whole}{minutes:06.3f}", f"{whole}{int(minutes * 1000) / 1000:06.3f}"):
        yield f"{name} in NMEA minutes", text.encode()


def coordinate(value: float, name: str) -> list[tuple[str, bytes]]:
    """Every dress of one coordinate."""
    return [*_digits(value, name), *_binary(value, name), *_minutes(value, name)]


def position(latitude: float, longitude: float, name: str = "position") -> list[tuple[str, bytes]]:
    """Every dress of a position, also as the providers of mainland China shift it."""
    found = [*coordinate(latitude, f"{name}: latitude"), *coordinate(longitude, f"{name}: longitude")]
    for datum in (Datum.GCJ02, Datum.BD09):
        shifted = convert(latitude, longitude, Datum.WGS84, datum)
        if shifted != (latitude, longitude):
            for axis, value in zip(("latitude", "longitude"), shifted, strict=True):
                found += [
                    needle for needle in coordinate(value, f"{name}: {axis} in {datum.value}") if len(needle[1]) > 6
                ]
    return found


def secret(raw: bytes, name: str) -> list[tuple[str, bytes]]:
    """Every dress of a key or a token."""
    assert len(raw) >= _SHORTEST_SECRET
    found = [(name, raw), (f"{name} in UTF-16", raw.decode("latin-1").encode("utf-16-le"))]
    found += [(f"{name} in hex", raw.hex().encode()), (f"{name} in hex", raw.hex().upper().encode())]
    found += [(f"{name} as bytes are shown", repr(raw)[2:-1].encode())]
    return [*found, *((f"{name} in base64", dress) for dress in _base64(raw))]


class Canaries:
    """A set of canaries. ``found_in`` names those that sing."""

    def __init__(self, *needles: Iterable[tuple[str, bytes]]) -> None:
        self._names: dict[bytes, str] = {}
        for name, needle in itertools.chain(*needles):
            self._names.setdefault(needle, name)

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self):
        return iter((name, needle) for needle, name in self._names.items())

    def __or__(self, other: Iterable[tuple[str, bytes]]) -> Canaries:
        return Canaries(self, other)

    def found_in(self, text: bytes | str) -> list[str]:
        """The names of the canaries in ``text``, without repetition."""
        data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        return sorted({name for needle, name in self._names.items() if needle in data and _begins(needle, data)})

    def found_below(self, folder: Path) -> dict[str, list[str]]:
        """path -> findings, in names, contents, link targets and extended attributes of everything below ``folder``."""
        found: dict[str, list[str]] = {}
        for path in sorted(folder.rglob("*")):
            text = str(path).encode()
            if path.is_symlink():
                text += bytes(path.readlink())
            elif path.is_file():
                text += b"\0" + path.read_bytes()
            if names := self.found_in(text):
                found[str(path.relative_to(folder))] = names
        return found


def _begins(needle: bytes, data: bytes) -> bool:
    """A scaled integer inside a longer run of digits counts; a decimal number must not begin in the middle of one."""
    decimal = re.fullmatch(rb"\d+\.\d+", needle)
    return decimal is None or re.search(rb"(?<![\d.])" + re.escape(needle), data) is not None


HERE = position(LATITUDE, LONGITUDE)


# -- errors --------------------------------------------------------------------------------------

_DEEP = 7


def shown(value: Any, depth: int = _DEEP) -> str:
    """A value as a crash reporter records a local variable: containers opened, everything else by its repr."""
    if depth and isinstance(value, Mapping):
        return "; ".join(f"{shown(key, depth - 1)}={shown(item, depth - 1)}" for key, item in list(value.items()))
    if depth and isinstance(value, list | tuple | set | frozenset):
        return "; ".join(shown(item, depth - 1) for item in value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("latin-1") + repr(bytes(value))
    return f"{value!r} {value!s}" if isinstance(value, str | int | float) else repr(value)


def errors_in(error: BaseException) -> list[BaseException]:
    """The error and every other one it leads to: causes, contexts, groups, arguments, attributes."""
    seen: list[BaseException] = []
    pending: list[Any] = [error]
    while pending:
        each = pending.pop()
        if isinstance(each, list | tuple):
            pending += each
        if not isinstance(each, BaseException) or any(each is other for other in seen):
            continue
        seen.append(each)
        pending += [each.__cause__, each.__context__, *each.args, *vars(each).values()]
        pending += getattr(each, "exceptions", ())
    return seen


def frames_of(trace: TracebackType | None) -> Iterable[tuple[str, str, Mapping[str, Any]]]:
    """file, function and locals of every frame of a traceback."""
    while trace is not None:
        code = trace.tb_frame.f_code
        yield code.co_filename, code.co_name, trace.tb_frame.f_locals
        trace = trace.tb_next


def dump(error: BaseException, own_file: str) -> dict[str, bytes]:
    """All that an error can tell, by where it stands: texts, arguments, attributes, notes, chain, and the locals of
    every frame but those of ``own_file``, as a crash reporter and as ``traceback`` with locals would write them."""
    told: dict[str, bytes] = {}
    for number, each in enumerate(errors_in(error)):
        where = f"{number} {type(each).__name__}"
        parts = [str(each), repr(each), shown(each.args), shown(vars(each)), *getattr(each, "__notes__", ())]
        told[where] = "\n".join(parts).encode("utf-8", "surrogatepass")
        for file, function, variables in frames_of(each.__traceback__):
            if file != own_file:
                for name, value in variables.items():
                    told[f"{where}: {Path(file).name}:{function}: {name}"] = shown(value).encode(
                        "utf-8", "surrogatepass"
                    )
        written = traceback.TracebackException.from_exception(each, capture_locals=True)
        for frame in written.stack:
            if frame.filename != own_file:
                told[f"{where}: {Path(frame.filename).name}:{frame.name}, captured"] = repr(frame.locals).encode()
    return told
