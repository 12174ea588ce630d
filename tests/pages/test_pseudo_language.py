"""A language 40 % longer than English, through the same catalogues as every other: it fits, and no text went past it."""

from __future__ import annotations

import importlib.util
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from page_measures import cut_off, fits_the_width, heard, shown_texts, targets, twice_the_text
from page_scenes import PAGES, SCREENS, opened, show

from kalos_connect_sdk.centre.words import centre_words
from kalos_connect_sdk.core.notices.default import DEFAULT_NOTICE
from kalos_connect_sdk.prompts import catalogue
from kalos_connect_sdk.prompts.words import words_for

pytestmark = pytest.mark.once
TAG = "en-XA"
# What is no text: numbers and dates, the record's number, addresses, and the marks between them.
DATA = re.compile(r"https?://[\w.:]+|[\w.]+@[\w.]+|\b[0-9a-f]{32}\b|[\d\s:·.,\-\u2066\u2069]+")


def pseudo(text: str) -> str:
    """40 % longer, in marks that show where a text begins and ends."""
    words = text + " ü" * math.ceil(max(len(text) * 0.4 - 2, 0) / 2)
    return f"⟦{words}⟧"


def bare(text: str) -> str:
    """What is left of a text without what went through a catalogue, and without data."""
    before = None
    while before != text:
        before, text = text, re.sub(r"⟦[^⟦⟧]*⟧", "", text)
    return "".join(DATA.sub("", word) for word in text.split())


@pytest.fixture(scope="module")
def language(tmp_path_factory):
    """A catalogue made and compiled by tools/catalogues.py, and a notice in it."""
    tool_path = Path(__file__).resolve().parents[2] / "tools" / "catalogues.py"
    spec = importlib.util.spec_from_file_location("catalogues", tool_path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    made = Catalog(locale="en", charset="utf-8")
    for message in tool.template():
        if message.id:
            made.add(message.id, pseudo(message.id))
    folder = tmp_path_factory.mktemp("locale") / "en_XA" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / f"{catalogue.DOMAIN}.mo").write_bytes(tool.compiled(made))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "LOCALES", folder.parents[1])
        patch.setitem(catalogue.DRAFTS, TAG.lower(), "en_XA")
        english = DEFAULT_NOTICE.text("en")
        names = ("title", "who", "what", "why", "how_to_stop", "allow", "deny")
        full = "\n\n".join(pseudo(paragraph) for paragraph in english.full.strip().split("\n\n"))
        yield replace(english, locale=TAG, full=full, **{name: pseudo(getattr(english, name)) for name in names})
    words_for.cache_clear()
    centre_words.cache_clear()


@pytest.mark.parametrize("name", PAGES)
def test_every_text_of_the_page_went_through_a_catalogue(browser, device, language, name):
    with opened(browser, name, TAG, device, language) as page:
        page.eval_on_selector_all("details", "es => es.forEach(e => { e.open = true })")
        texts = [*shown_texts(page), *(said for role, said in heard(page) if not role.endswith(("Text", "TextBox")))]
        assert len(texts) > 30
        assert [text for text in texts if bare(text).strip("−+ ")] == []


@pytest.mark.parametrize("name", PAGES)
def test_40_percent_more_text_fits_every_screen(browser, device, language, name):
    with opened(browser, name, TAG, device, language) as page:
        for size in (1, 2):
            if size == 2:
                twice_the_text(page)
            for screen, (_, height) in SCREENS.items():
                show(page, screen)
                assert fits_the_width(page), (screen, size)
                assert cut_off(page) == [], (screen, size)
                now = "footer button, #stop"
                bottoms = page.eval_on_selector_all(now, "es => es.map(e => e.getBoundingClientRect().bottom)")
                assert bottoms and max(bottoms) <= height, (screen, size)
                assert not [one for one in targets(page) if one["width"] < 76 or one["height"] < 76]


def test_the_pseudo_language_is_40_percent_longer():
    for text in ("Allow", "The question was closed. Nothing was allowed."):
        assert len(pseudo(text)) >= 1.4 * len(text)
    assert bare("⟦Until ⟦x⟧ ü⟧ 2026-11-20 · product@zjinnova.com") == "" and bare("⟦a⟧ Agreed") == "Agreed"
