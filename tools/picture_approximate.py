"""Draw what a service sees under an approximate grant: ``python tools/picture_approximate.py DRIVE.json``.

Writes docs/pictures/approximate.svg: on the left a recorded drive on the grid, on the right all that was sent of it.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from math import cos, radians
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parent))

from attack_approximate import Point, Track, read, sent

from kalos_connect_sdk.core.coarsen import DEFAULT_SIDE_M, Cell, Coarsener, cell

PICTURE: Final = Path(__file__).resolve().parents[1] / "docs" / "pictures" / "approximate.svg"
_PX_A_KM: Final = 34.0
_MARGIN_PX: Final = 12.0
_HEAD_PX: Final = 34.0
_STEP_PX: Final = 3.0  # no nearer together are the corners of the line
_DEGREE_KM: Final = 111.32
_STYLE: Final = """<style>
text { font: 13px system-ui, sans-serif; fill: #222 } .grid { fill: none; stroke: #bbb } .seen { fill: #0b6e99 }
.told { fill: #e3f1f7 }
.paper { fill: #fff } .way { fill: none; stroke: #c2410c; stroke-width: 2.5 } .number { text-anchor: middle }
</style>"""


def cells_around(track: Track) -> list[Cell]:
    """The cells of the box around a drive, and one more on every side."""
    latitudes, longitudes = [at[0] for _, at in track], [at[1] for _, at in track]
    found: dict[Point, Cell] = {}
    latitude = cell(min(latitudes), longitudes[0]).latitude
    step = 2 * cell(*track[0][1]).half_height_deg
    while latitude < max(latitudes) + step / 2:
        longitude = cell(latitude, min(longitudes)).longitude
        while longitude < max(longitudes) + cell(latitude, longitude).half_width_deg:
            here = cell(latitude, longitude)
            found[here.latitude, here.longitude] = here
            longitude += 2 * here.half_width_deg
        latitude += step
    return list(found.values())


def draw(track: Track) -> str:
    """The picture as SVG; the same for the same drive."""
    coarsener = Coarsener()
    seen = Counter(sent(coarsener, point) for _, point in track)
    grid = cells_around(track)
    north = max(each.latitude + each.half_height_deg for each in grid)
    west = min(each.longitude - each.half_width_deg for each in grid)
    east = max(each.longitude + each.half_width_deg for each in grid)
    south = min(each.latitude - each.half_height_deg for each in grid)
    narrow = cos(radians((north + south) / 2))
    width, height = ((east - west) * narrow * _DEGREE_KM * _PX_A_KM, (north - south) * _DEGREE_KM * _PX_A_KM)

    def panel(left: float) -> Callable[[Point], tuple[float, float]]:
        return lambda at: (
            left + (at[1] - west) * narrow * _DEGREE_KM * _PX_A_KM,
            _HEAD_PX + (north - at[0]) * _DEGREE_KM * _PX_A_KM,
        )

    own, theirs = panel(_MARGIN_PX), panel(2 * _MARGIN_PX + width)
    whole = f"{3 * _MARGIN_PX + 2 * width:.0f} {_HEAD_PX + height + _MARGIN_PX:.0f}"
    side = f"{DEFAULT_SIDE_M / 1000:g} km"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole}" role="img">',
            f"<title>A drive on cells of {side} by {side}, and what a service sees of it</title>",
            _STYLE,
            '<rect class="paper" width="100%" height="100%"/>',
            f'<text x="{_MARGIN_PX:g}" y="22">The drive: {len(track):,} fixes on cells of {side} by {side}</text>',
            f'<text x="{2 * _MARGIN_PX + width:.0f}" y="22">The service sees: {len(seen)} points, how often</text>',
            *(box(each, own) for each in grid),
            f'<polyline class="way" points="{" ".join(corners(track, own))}"/>',
            *(box(each, theirs, "grid told" if (each.latitude, each.longitude) in seen else "grid") for each in grid),
            *(f'<circle class="seen" cx="{x:.1f}" cy="{y:.1f}" r="5"/>' for x, y in map(theirs, seen)),
            *(
                f'<text class="number" x="{x:.1f}" y="{y + 21:.1f}">{count}</text>'
                for (x, y), count in ((theirs(at), count) for at, count in seen.items())
            ),
            "</svg>\n",
        ]
    )


def box(each: Cell, place: Callable[[Point], tuple[float, float]], kind: str = "grid") -> str:
    x, y = place((each.latitude + each.half_height_deg, each.longitude - each.half_width_deg))
    right, bottom = place((each.latitude - each.half_height_deg, each.longitude + each.half_width_deg))
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{right - x:.1f}" height="{bottom - y:.1f}"/>'


def corners(track: Track, place: Callable[[Point], tuple[float, float]]) -> Iterator[str]:
    last = (-_STEP_PX, -_STEP_PX)
    for _, at in track:
        x, y = place(at)
        if max(abs(x - last[0]), abs(y - last[1])) >= _STEP_PX:
            last = (x, y)
            yield f"{x:.1f},{y:.1f}"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tools/picture_approximate.py DRIVE.json")
    PICTURE.write_text(draw(read(Path(sys.argv[1]))))
