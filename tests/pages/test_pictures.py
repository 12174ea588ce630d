"""The pages look as in docs/pictures: 48 pictures, two pages by four screens, day and night, three languages.

What must make no difference (another font) and what must be seen (a broken style sheet) is tried as well.
"""

from __future__ import annotations

import importlib.util
import json
import re
from itertools import product
from pathlib import Path

import pytest
from page_scenes import LANGUAGES, PAGES, SCREENS, THEMES, opened, show

pytestmark = pytest.mark.once
ROOT = Path(__file__).resolve().parents[2]
BROKEN = {
    "no style sheet": "() => document.querySelectorAll('link[rel=stylesheet]').forEach(e => e.remove())",
    "answers one above the other": "() => document.querySelector('.answers, .strips').style.flexDirection = 'column'",
    "one answer larger": "() => { document.querySelector('[value=allow], #day').style.flexGrow = 3 }",
    "the wrong way round": "() => { document.documentElement.dir = document.documentElement.dir === 'rtl' ? 'ltr' : 'rtl' }",
    "day for night": "() => { document.documentElement.dataset.theme = 'night' }",
    "half the text": "() => { document.documentElement.style.fontSize = '50%' }",
    "the heading gone": "() => { document.querySelector('h1').remove() }",
}


@pytest.fixture(scope="module")
def tool():
    """tools/pictures.py of this checkout."""
    spec = importlib.util.spec_from_file_location("pictures", ROOT / "tools" / "pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def wanted():
    return json.loads((ROOT / "docs" / "pictures" / "layout.json").read_text("utf-8"))


@pytest.fixture
def blank(browser):
    page = browser.new_page()
    yield page
    page.close()


def differs(tool, wanted, blank, page, screen: str, picture: str) -> tuple[list[str], float]:
    """Landmarks that moved, and the share of the picture that looks different from afar."""
    kept = (ROOT / "docs" / "pictures" / f"{picture}.png").read_bytes()
    return tool.strays(wanted[picture], tool.layout(page), screen), tool.unlikeness(blank, kept, page.screenshot())


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", PAGES)
def test_the_pages_look_as_in_the_pictures(browser, device, tool, wanted, blank, name, language):
    with opened(browser, name, language, device) as page:
        for screen, theme in product(SCREENS, THEMES):
            show(page, screen, theme)
            picture = tool.named(name, screen, theme, language)
            moved, unlike = differs(tool, wanted, blank, page, screen, picture)
            assert moved == [] and unlike <= tool.UNLIKE, (picture, moved, unlike, "run: python tools/pictures.py")


@pytest.mark.parametrize("name", PAGES)
def test_another_font_makes_no_difference(browser, device, tool, wanted, blank, name):
    with opened(browser, name, "en", device) as page:
        page.evaluate("document.documentElement.style.fontFamily = 'Noto Serif'")
        for screen in SCREENS:
            show(page, screen)
            moved, unlike = differs(tool, wanted, blank, page, screen, tool.named(name, screen, "day", "en"))
            assert moved == [] and unlike <= tool.UNLIKE, (screen, moved, unlike)


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("name", PAGES)
def test_a_broken_layout_is_seen(browser, device, tool, wanted, blank, name, fault):
    with opened(browser, name, "en", device) as page:
        show(page, "1280x720")
        page.evaluate(BROKEN[fault])
        show(page, "1280x720")
        moved, unlike = differs(tool, wanted, blank, page, "1280x720", tool.named(name, "1280x720", "day", "en"))
        assert moved or unlike > tool.UNLIKE, unlike


def test_the_page_lists_every_attack_and_every_test_it_names_is_there():
    page = (ROOT / "docs" / "prompts.md").read_text("utf-8").split("## Attacks")[1]
    named = set(re.findall(r"`(test_\w+)` \|", page))
    folder = ROOT / "tests"
    here = re.findall(r"^def (test_\w+)", (folder / "pages" / "test_page_attacks.py").read_text("utf-8"), re.M)
    there = re.findall(r"^def (test_\w+)", (folder / "prompts" / "test_web_prompter.py").read_text("utf-8"), re.M)
    assert named <= {*here, *there} and {*here} - named <= {"test_two_readers_of_the_centre_see_the_same"}


def test_the_pictures_are_all_there_and_small(tool, wanted):
    names = {tool.named(*each) for each in product(PAGES, SCREENS, THEMES, LANGUAGES)}
    sizes = {path.stem: path.stat().st_size for path in (ROOT / "docs" / "pictures").glob("*-*-*.png")}
    assert names == wanted.keys() and names <= sizes.keys()
    assert max(sizes[name] for name in names) < 60_000 and sum(sizes[name] for name in names) < 1_500_000


def test_the_table_is_what_is_measured(browser, device, tool):
    text = tool.PAGE.read_text("utf-8")
    kept, now = text.split(tool.BEGIN)[1].split(tool.END)[0], tool.measured(browser, device)
    strip = re.compile(r"[\d.]+ \|")
    assert strip.sub("|", kept) == strip.sub("|", now)
    numbers = [[float(n) for n in re.findall(r"(?<=\| )[\d.]+(?= \|)", each)] for each in (kept, now)]
    assert numbers[0] == pytest.approx(numbers[1], rel=0.02), "run: python tools/pictures.py"
