"""The catalogues: complete where they are reviewed, in step with the code, and short enough for a head unit."""

from __future__ import annotations

import gettext
import importlib.util
import io
import math
import re
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from kalos_connect_sdk.centre.words import CentreWords, ReviewWords
from kalos_connect_sdk.prompts.catalogue import (
    DOMAIN,
    DRAFTS,
    LOCALES,
    REVIEWED,
    direction_of,
    in_language,
    labels,
    translated,
)
from kalos_connect_sdk.prompts.directions import Directions
from kalos_connect_sdk.prompts.words import Words, words_for

ROOT = Path(__file__).resolve().parents[2]
CATALOGUES = sorted(path.name for path in LOCALES.iterdir())
CJK = re.compile("[\u2e80-\u9fff\uff00-\uffef]")


@pytest.fixture(scope="module")
def tool():
    """tools/catalogues.py of this checkout."""
    spec = importlib.util.spec_from_file_location("catalogues", ROOT / "tools" / "catalogues.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_catalogue_is_either_reviewed_or_a_draft():
    assert sorted([name for name in REVIEWED.values() if name] + list(DRAFTS.values())) == CATALOGUES


@pytest.mark.once
@pytest.mark.parametrize("name", CATALOGUES)
def test_no_text_is_missing(tool, name):
    """In English, the source, and Chinese a missing text is an error of ours; the drafts are complete as well."""
    with (LOCALES / name / "LC_MESSAGES" / f"{DOMAIN}.po").open("rb") as stream:
        catalogue = read_po(stream)
    texts = {message.id: message for message in catalogue if message.id}
    wanted = {message.id for message in tool.template() if message.id}
    assert wanted == set(texts), "run: python tools/catalogues.py"
    assert not [text for text, message in texts.items() if not message.string or message.fuzzy]
    for words in (Words(), CentreWords(), ReviewWords(), Directions()):
        assert set(labels(words).values()) <= wanted, "a label is not marked with N_"


@pytest.mark.parametrize("name", CATALOGUES)
def test_what_is_compiled_is_what_was_translated(tool, name):
    path = LOCALES / name / "LC_MESSAGES" / f"{DOMAIN}.po"
    with path.open("rb") as stream:
        translations = {m.id: m.string for m in read_po(stream) if m.id}
    with path.with_suffix(".mo").open("rb") as stream:
        compiled = gettext.GNUTranslations(io.BytesIO(stream.read()))
    assert {text: compiled.gettext(text) for text in translations} == translations, "run: python tools/catalogues.py"
    assert ("Reviewed." in path.read_text("utf-8").splitlines()[0]) == (name in REVIEWED.values())


@pytest.mark.parametrize("tag", ["en", "zh-CN", *DRAFTS])
def test_labels_keep_their_places_and_fit_a_head_unit(tag):
    for english in (Words(), CentreWords(), ReviewWords(), Directions()):
        for name, text in labels(in_language(english, tag)).items():
            assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", getattr(english, name))), name
            assert len(text) <= (31 if CJK.search(text) else 120), name
            assert text.strip()


@pytest.mark.parametrize(
    ("tag", "label"),
    [
        ("en", "Purpose"),
        ("en-GB", "Purpose"),
        ("zh", "用途"),
        ("zh_CN", "用途"),
        ("es", "Finalidad"),
        ("PT_br", "Finalidade"),
        ("ar", "الغرض"),
        ("es-MX", "Purpose"),  # a draft is used only when it is chosen, as its notice is
        ("pt", "Purpose"),
        ("ar-EG", "Purpose"),
        ("xx", "Purpose"),
        ("", "Purpose"),
    ],
)
def test_a_draft_is_used_only_for_exactly_its_language(tag, label):
    assert words_for(tag).purpose == label


def test_arabic_is_written_from_right_to_left():
    assert direction_of("ar") == "rtl"
    assert {direction_of(tag) for tag in ("en", "zh-CN", "es", "pt-BR", "ar-EG", "he")} == {"ltr"}, (
        "English words otherwise"
    )


def pseudo(text: str) -> str:
    """A language 40 % longer than English, with letters that none of ours has."""
    return text + "ü" * math.ceil(len(text) * 0.4)


def test_a_language_that_is_40_percent_longer_still_fits():
    for english in (Words(), CentreWords(), ReviewWords(), Directions()):
        for name, text in labels(translated(english, pseudo)).items():
            assert len(text) <= 120, name
            places = ("date", "state", "purpose", "precision", "distance", "duration", "instruction")
            assert text.format(n=7, last=4, **dict.fromkeys(places, "x"))
