"""A route drawn with braille dots: eight dots a character, north up, true to scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

__all__ = ["sketch"]

# Bit of each dot of a braille character, by (row, column).
_DOTS: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


def sketch(line: Sequence[tuple[float, float]], *, columns: int = 44, rows: int = 10) -> list[str]:
    """Lines of braille for ``line`` of (longitude, latitude) pairs, at most ``columns`` by ``rows`` characters.

    The ends are marked with letters: A where it begins, B where it ends.
    """
    if len(line) < 2:
        return []
    scale = math.cos(math.radians(line[0][1]))
    xs, ys = [lon * scale for lon, _ in line], [-lat for _, lat in line]
    left, top = min(xs), min(ys)
    span = max((max(xs) - left) / (columns * 2 - 1), (max(ys) - top) / (rows * 4 - 1)) or 1.0
    points = [(round((x - left) / span), round((y - top) / span)) for x, y in zip(xs, ys, strict=True)]
    width, height = max(x for x, _ in points) // 2 + 1, max(y for _, y in points) // 4 + 1
    cells = [[0] * width for _ in range(height)]
    for (ax, ay), (bx, by) in pairwise(points):
        steps = max(abs(bx - ax), abs(by - ay), 1)
        for step in range(steps + 1):
            x, y = round(ax + (bx - ax) * step / steps), round(ay + (by - ay) * step / steps)
            cells[y // 4][x // 2] |= _DOTS[y % 4][x % 2]
    drawn = [[chr(0x2800 + cell) if cell else " " for cell in row] for row in cells]
    for letter, (x, y) in (("A", points[0]), ("B", points[-1])):
        drawn[y // 4][x // 2] = letter
    return ["".join(row).rstrip() for row in drawn]
