"""The shape of a way: encoded polylines with six decimals, as Valhalla and OSRM write them, and lines of pieces."""

from __future__ import annotations

from ..core.members import LINE_MAX
from ..core.strict_json import MalformedDocument

__all__ = ["decoded", "join"]

_LETTERS_MAX = 14 * LINE_MAX  # a point has at most two numbers of seven letters
_BITS_MAX = 35


def decoded(shape: object) -> list[tuple[float, float]]:
    """(longitude, latitude) pairs, one at least. Raises :class:`MalformedDocument`."""
    if not isinstance(shape, str) or not 0 < len(shape) <= _LETTERS_MAX:
        raise MalformedDocument("the shape must be an encoded polyline")
    steps = _numbers(shape)
    line, latitude, longitude = [], 0, 0
    for north, east in zip(steps[::2], steps[1::2], strict=True):
        latitude += north
        longitude += east
        if not (-90_000_000 <= latitude <= 90_000_000 and -180_000_000 <= longitude <= 180_000_000):
            raise MalformedDocument("the shape leaves the Earth")
        line.append((longitude / 1e6, latitude / 1e6))
    return line


def _numbers(shape: str) -> list[int]:
    numbers, value, shift = [], 0, 0
    for letter in shape:
        bits = ord(letter) - 63
        if not 0 <= bits < 64 or shift >= _BITS_MAX:
            raise MalformedDocument("the shape holds what no polyline holds")
        value |= (bits & 31) << shift
        shift += 5
        if bits < 32:
            numbers.append(~(value >> 1) if value & 1 else value >> 1)
            value = shift = 0
    if shift or len(numbers) % 2:
        raise MalformedDocument("the shape ends in the middle of a point")
    return numbers


def join(line: list[tuple[float, float]], shape: list[tuple[float, float]]) -> int:
    """Let ``line`` go on with ``shape``, without a point twice in a row; the index at which the shape begins."""
    begin = len(line) - 1 if line and line[-1] == shape[0] else len(line)
    for point in shape:
        if not line or line[-1] != point:
            line.append(point)
    return begin
