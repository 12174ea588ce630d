"""The prompt and the consent centre in real Chromium, on four screens: everything measured in the page (R12)."""

from __future__ import annotations

from typing import Any

import pytest
from page_measures import contrasts, cut_off, fits_the_width, heard, letters, targets, twice_the_text
from page_scenes import PAGES, SCREENS, THEMES, opened, show

from kalos_connect_sdk.core.notices.default import DEFAULT_NOTICE

pytestmark = pytest.mark.once
LOCALES = [text.locale for text in DEFAULT_NOTICE.texts]
STOPS = {
    "prompt": ["this-drive", "days-7", "until-withdrawn", "precise", "approximate", "SUMMARY", "allow", "deny"],
    "centre": ["stop", "copy", "explain", "delete"],
}
UNCOVERED = """(() => { const e = document.activeElement, b = e.getBoundingClientRect();
  const top = document.elementFromPoint(b.left + b.width / 2, b.top + b.height / 2);
  return e.contains(top) || e === document.body || e.parentElement.contains(top); })()"""
FOCUSED = "(document.activeElement.value || document.activeElement.id || document.activeElement.tagName)"


def in_sight(page: Any, screen: str) -> bool:
    """What the page is for can be pressed without scrolling."""
    width, height = SCREENS[screen]
    boxes = page.eval_on_selector_all(
        "footer button, #stop",
        "es => es.map(e => { const b = e.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom] })",
    )
    return bool(boxes) and all(a >= 0 and b >= 0 and c <= width and d <= height for a, b, c, d in boxes)


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("name", PAGES)
def test_targets_letters_and_width_on_every_screen(browser, device, name, locale):
    with opened(browser, name, locale, device) as page:
        for screen in SCREENS:
            show(page, screen)
            assert in_sight(page, screen), screen
            assert fits_the_width(page), screen
            assert cut_off(page) == [], screen
            found = targets(page)
            assert len(found) >= 4
            assert not [one for one in found if one["width"] < 76 or one["height"] < 76], screen
            assert letters(page) >= 24, screen


@pytest.mark.parametrize("locale", ["en", "zh-CN", "ar"])
@pytest.mark.parametrize("name", PAGES)
def test_every_text_stands_out_by_day_and_by_night(browser, device, name, locale):
    with opened(browser, name, locale, device) as page:
        page.eval_on_selector_all("details", "es => es.forEach(e => { e.open = true })")
        for theme in THEMES:
            show(page, "1280x720", theme)
            found = contrasts(page)
            assert len(found) >= 5 and min(found.values()) >= 4.5, (theme, found)


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("name", PAGES)
def test_twice_the_text_size_loses_nothing(browser, device, name, locale):
    with opened(browser, name, locale, device) as page:
        twice_the_text(page)
        for screen in SCREENS:
            show(page, screen)
            assert in_sight(page, screen), screen
            assert fits_the_width(page), screen
            assert cut_off(page) == [], screen
            assert letters(page) >= 48
            for one in page.query_selector_all("button, .way, li"):
                if one.is_visible():
                    one.scroll_into_view_if_needed()
                    box = one.bounding_box()
                    assert box["y"] + box["height"] > 0 and box["y"] < SCREENS[screen][1], "it can be scrolled to"
                    assert in_sight(page, screen), "wherever one reads"


@pytest.mark.parametrize("name", PAGES)
def test_the_tab_key_reaches_everything_in_the_order_of_reading_and_back(browser, device, name):
    with opened(browser, name, "en", device) as page:
        show(page, "1280x720")
        seen = []
        for _ in range(8):
            page.keyboard.press("Tab")
            seen.append(page.evaluate(FOCUSED))
            assert page.evaluate(UNCOVERED), "what has the focus is in sight"
        wanted = [stop for stop in STOPS[name] if stop not in ("days-7", "until-withdrawn", "approximate")]
        assert [stop for stop in seen if stop in wanted][: len(wanted)] == wanted
        page.focus("footer button:last-child, #delete")
        for stop in reversed(wanted[:-1]):
            page.keyboard.press("Shift+Tab")
            while page.evaluate(FOCUSED) == "MAIN":  # a place that scrolls is a stop of its own
                page.keyboard.press("Shift+Tab")
            assert page.evaluate(FOCUSED) == stop


@pytest.mark.parametrize(
    ("locale", "onward", "back"), [("en", "ArrowRight", "ArrowLeft"), ("ar", "ArrowLeft", "ArrowRight")]
)
@pytest.mark.parametrize("name", PAGES)
def test_a_rotary_controller_goes_round_and_chooses_nothing_by_turning(browser, device, name, locale, onward, back):
    with opened(browser, name, locale, device) as page:
        show(page, "800x480")
        chosen = page.eval_on_selector_all("input:checked", "es => es.map(e => e.value)")
        for stop in [*STOPS[name], STOPS[name][0]]:
            page.keyboard.press(onward)
            assert page.evaluate(FOCUSED) == stop
        page.keyboard.press(back)
        assert page.evaluate(FOCUSED) == STOPS[name][-1]
        assert page.eval_on_selector_all("input:checked", "es => es.map(e => e.value)") == chosen
        ring = page.evaluate(
            "(() => { const s = getComputedStyle(document.activeElement); return [s.outlineStyle, s.outlineWidth] })()"
        )
        assert ring == ["solid", "4px"], "one sees where one is"


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("name", PAGES)
def test_a_screen_reader_hears_everything_by_name_and_in_order(browser, device, name, locale):
    with opened(browser, name, locale, device) as page:
        tree = heard(page)
        title = page.inner_text("h1")
        assert ("heading", title) in tree and tree[0] == ("RootWebArea", title)
        spoken = {"button", "radio", "image", "DisclosureTriangle", "heading"}
        assert not [role for role, said in tree if role in spoken and not said.strip()], "nothing is without a name"
        buttons = [said for role, said in tree if role == "button"]
        assert [b for b in page.locator("button:visible").all_inner_texts() if b not in buttons] == []
        if name == "prompt":
            roles = [role for role, said in tree if said]
            assert [roles.count(role) for role in ("radio", "group", "button")] == [5, 2, 2]
            assert roles.index("heading") < roles.index("radio") < roles.index("button")
        else:
            assert [role for role, _ in tree].count("image") == 2
            assert page.get_attribute("#told", "aria-live") == "polite"
        assert page.evaluate("document.documentElement.lang") == locale


def test_arabic_runs_from_right_to_left_and_its_dates_do_not(browser, device):
    with opened(browser, "centre", "ar", device) as page:
        show(page, "1280x720")
        assert page.eval_on_selector("#told", "e => getComputedStyle(e).direction") == "rtl"
        lamp, told = page.locator(".lamp").bounding_box(), page.locator("#told").bounding_box()
        assert lamp["x"] > told["x"]
        across = page.evaluate("""() => {
          const text = document.querySelector("#more p").firstChild;
          const at = text.textContent.indexOf("2026-11-26");
          const left = (n) => { const r = document.createRange(); r.setStart(text, n); r.setEnd(text, n + 1);
            return r.getBoundingClientRect().left; };
          return [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => left(at + n));
        }""")
        assert across == sorted(across)
