"""Take the pictures of the local pages, and measure them: ``python tools/pictures.py``; needs Chromium and playwright.

Writes docs/pictures/*.png, docs/pictures/layout.json and the table in docs/prompts.md. The tests compare the pages of
today with these: by where their landmarks are, and by how the pictures look from afar, so that another font or another
Chromium makes no difference and a broken layout does.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import struct
import sys
import time
import zlib
from itertools import product
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "pages"))

from page_measures import contrasts, letters, targets, twice_the_text  # noqa: E402
from page_scenes import LANGUAGES, PAGES, SCREENS, THEMES, driven, opened, show  # noqa: E402

PICTURES: Final = ROOT / "docs" / "pictures"
PAGE: Final = ROOT / "docs" / "prompts.md"
BEGIN, END = "<!-- measured by tools/pictures.py -->\n", "<!-- end -->\n"
LINES_OFF: Final = 2.5
"""A landmark may be this many lines of text (32 px) higher or lower, and 5 % of the screen to the side."""
UNLIKE: Final = 0.12
"""This share of a picture may look different from afar."""
_LINE_PX: Final = 32
# Both pictures in cells of 20 by 20 pixels: the share of cells whose brightness differs by more than a seventh.
_UNLIKE = """async ([one, other]) => {
  const cells = async (data) => {
    const picture = new Image();
    picture.src = "data:image/png;base64," + data;
    await picture.decode();
    const [w, h] = [Math.round(picture.width / 20), Math.round(picture.height / 20)];
    const canvas = new OffscreenCanvas(w, h).getContext("2d");
    canvas.imageSmoothingQuality = "high";
    canvas.drawImage(picture, 0, 0, w, h);
    const bytes = canvas.getImageData(0, 0, w, h).data;
    return Array.from({ length: w * h }, (_, i) => (bytes[4 * i] + bytes[4 * i + 1] + bytes[4 * i + 2]) / 3);
  };
  const [a, b] = [await cells(one), await cells(other)];
  return a.length === b.length ? a.filter((v, i) => Math.abs(v - b[i]) > 36).length / a.length : 1;
}"""
# The picture in its 16 most frequent colours, two pixels a byte.
_PACKED = """async (data) => {
  const picture = new Image();
  picture.src = "data:image/png;base64," + data;
  await picture.decode();
  const [w, h] = [picture.width, picture.height];
  const canvas = new OffscreenCanvas(w, h).getContext("2d");
  canvas.drawImage(picture, 0, 0);
  const px = canvas.getImageData(0, 0, w, h).data;
  const counts = new Map();
  for (let i = 0; i < px.length; i += 4) {
    const c = (px[i] << 16) | (px[i + 1] << 8) | px[i + 2];
    counts.set(c, (counts.get(c) ?? 0) + 1);
  }
  const parts = (c) => [c >> 16, (c >> 8) & 255, c & 255];
  const apart = (a, b) => parts(a).reduce((sum, v, i) => sum + Math.abs(v - parts(b)[i]), 0);
  const palette = [];
  for (const [c] of [...counts].sort((a, b) => b[1] - a[1])) {
    if (palette.every((p) => apart(p, c) > 40)) palette.push(c);
    if (palette.length === 16) break;
  }
  const nearest = new Map();
  const find = (c) => palette.reduce((best, p, i) => (apart(p, c) < apart(palette[best], c) ? i : best), 0);
  const at = (c) => nearest.get(c) ?? nearest.set(c, find(c)).get(c);
  const row = Math.ceil(w / 2) + 1;
  const out = new Uint8Array(row * h);
  for (let y = 0; y < h; y++) for (let x = 0; x < w; x++) {
    const i = 4 * (y * w + x);
    out[y * row + 1 + (x >> 1)] |= at((px[i] << 16) | (px[i + 1] << 8) | px[i + 2]) << (x & 1 ? 0 : 4);
  }
  let text = "";
  for (let i = 0; i < out.length; i += 8192) text += String.fromCharCode(...out.subarray(i, i + 8192));
  return { w, h, palette, rows: btoa(text) };
}"""
_LANDMARKS: Final = (
    "h1", "main", "#told", "#stop", "#day", "#week", "#copy", "#delete", "#receipts", "dl", "fieldset",
    "fieldset ~ fieldset", ".way", "summary", "footer", "[value=allow]", "[value=deny]",
)  # fmt: skip
_LAYOUT: Final = """names => Object.fromEntries(names.map((name) => [name, document.querySelector(name)])
  .filter(([, e]) => e && e.offsetParent)
  .map(([name, e]) => { const b = e.getBoundingClientRect();
    return [name, [b.left, b.top, b.width, b.height].map(Math.round)]; }))"""


def layout(page: Any) -> dict[str, list[int]]:
    """Where the landmarks of a page are: left, top, width, height."""
    return page.evaluate(_LAYOUT, list(_LANDMARKS))


def strays(wanted: dict[str, list[int]], found: dict[str, list[int]], screen: str) -> list[str]:
    """Landmarks that are not where they were, or not there."""
    across, down = SCREENS[screen][0] * 0.05, _LINE_PX * LINES_OFF
    limits = (across, down, across, down)
    same = wanted.keys() & found.keys()
    moved = [
        name
        for name in same
        if any(abs(a - b) > most for a, b, most in zip(wanted[name], found[name], limits, strict=True))
    ]
    return sorted([*moved, *(wanted.keys() ^ found.keys())])


def unlikeness(blank: Any, one: bytes, other: bytes) -> float:
    """The share of two pictures that looks different from afar. ``blank``: a page to compare them in."""
    return blank.evaluate(_UNLIKE, [base64.b64encode(each).decode() for each in (one, other)])


def packed(blank: Any, picture: bytes) -> bytes:
    """A picture in 16 colours, which is what text on a plain ground needs."""
    made = blank.evaluate(_PACKED, base64.b64encode(picture).decode())
    head = struct.pack(">IIBBBBB", made["w"], made["h"], 4, 3, 0, 0, 0)
    palette = b"".join(colour.to_bytes(3, "big") for colour in made["palette"])
    chunks = (
        (b"IHDR", head),
        (b"PLTE", palette),
        (b"IDAT", zlib.compress(base64.b64decode(made["rows"]), 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


def named(name: str, screen: str, theme: str, language: str) -> str:
    """The name of one picture."""
    return f"{name}-{screen}-{theme}-{language}"


def measured(browser: Any, connect: Any) -> str:
    """The table of docs/prompts.md: what the smallest and the faintest are, in any of the three languages."""
    rows = [
        "| page | screen | smallest target, dp | smallest letters, px | at 200 %, px | faintest by day | by night |",
        "| --- " * 7 + "|",
    ]
    for name in PAGES:
        found: dict[str, list[float]] = {}
        for language in LANGUAGES:
            with opened(browser, name, language, connect) as page:
                page.eval_on_selector_all("details", "es => es.forEach(e => { e.open = true })")
                for screen in SCREENS:
                    values = []
                    for theme in THEMES:
                        show(page, screen, theme)
                        values.append(round(min(contrasts(page).values()), 2))
                    target = min(min(one["width"], one["height"]) for one in targets(page))
                    now = [target, letters(page), 2 * letters(page), *values]
                    found[screen] = [min(a, b) for a, b in zip(found.get(screen, now), now, strict=True)]
                twice_the_text(page)
                assert letters(page) == 2 * min(row[1] for row in found.values())
        rows += [
            f"| {name} | {screen} | " + " | ".join(f"{value:g}" for value in row) + " |"
            for screen, row in found.items()
        ]
    return "\n".join(rows) + "\n"


def main() -> None:
    from playwright.sync_api import sync_playwright

    os.environ["TZ"] = "UTC"
    time.tzset()
    PICTURES.mkdir(exist_ok=True)
    places = {}
    with sync_playwright() as started, driven() as connect:
        browser = started.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        blank = browser.new_page()
        for name, language in product(PAGES, LANGUAGES):
            with opened(browser, name, language, connect) as page:
                for screen, theme in product(SCREENS, THEMES):
                    show(page, screen, theme)
                    picture = named(name, screen, theme, language)
                    (PICTURES / f"{picture}.png").write_bytes(packed(blank, page.screenshot()))
                    places[picture] = layout(page)
        text = PAGE.read_text("utf-8")
        before, after = text.split(BEGIN)[0], text.split(END)[1]
        PAGE.write_text(before + BEGIN + measured(browser, connect) + END + after, "utf-8")
        browser.close()
    (PICTURES / "layout.json").write_text(
        json.dumps(places, indent=None, sort_keys=True).replace('}, "', '},\n"') + "\n", "utf-8"
    )
    size = sum(path.stat().st_size for path in PICTURES.glob("*.png"))
    sys.stdout.write(f"{len(places)} pictures, {size // 1000} kB\n")


if __name__ == "__main__":
    main()
