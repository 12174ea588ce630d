"""The default notices, and what a grant pins of a notice (R14)."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import fields as members
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalos_connect_sdk.core.notices.default import CROSS_BORDER_NOTICE, DEFAULT_NOTICE
from kalos_connect_sdk.core.notices.hashing import Change, changes, fields, fields_sha256, shown_sha256
from kalos_connect_sdk.model.consent import Purpose
from kalos_connect_sdk.model.notice import Notice, NoticeText

NOTICES = (DEFAULT_NOTICE, CROSS_BORDER_NOTICE)
TEXTS = [pytest.param(notice, text, id=f"{notice.id} {text.locale}") for notice in NOTICES for text in notice.texts]
LAYER_1 = ("title", "who", "what", "why", "how_to_stop", "allow", "deny")
PINNED = [
    ("2024-03-18.2", "b05108abeb76", ["e96b77a590f8", "748cdb43b8e5", "612cc46b7246", "10fa282bf8eb", "63eab83e8bbf"]),
    ("2024-03-18.2", "4c7a48e359b3", ["1ad173acbdb4", "63d349815873", "321d2f9381d5", "b58769826492", "de6419ecd9d2"]),
]
ARABIC = re.compile("[\u0600-\u06ff]")
PIPL_39 = {
    "en": (
        "Who receives it.", "Contact:", "Why and how.", "sent encrypted", "What.", "Your rights. Through the contact",
    ),
    "zh-CN": ("境外接收方", "联系方式", "处理目的和方式", "加密发送", "信息种类", "行使权利的方式"),
    "es": ("Quién la recibe.", "Contacto:", "Por qué y cómo.", "cifrada", "Qué.", "Sus derechos. Por el contacto"),
    "pt-BR": ("Quem a recebe.", "Contato:", "Por que e como.", "cifrada", "O quê.", "Seus direitos. Pelo contato"),
    "ar": ("من يتلقاه.", "للتواصل:", "لماذا وكيف.", "مشفّراً", "ماذا.", "حقوقك. عبر عنوان التواصل"),
}  # fmt: skip
DATES = (
    ("1 February 2024", "18 March 2024"),
    ("2024 年 2 月 1 日", "2024 年 3 月 18 日"),
    ("1 de febrero de 2024", "18 de marzo de 2024"),
    ("1º de fevereiro de 2024", "18 de março de 2024"),
    ("1 فبراير 2024", "18 مارس 2024"),
)
CJK = re.compile("[\u2e80-\u9fff\uff00-\uffef]")


@pytest.mark.parametrize(("notice", "text"), TEXTS)
def test_layer_1_fits_a_head_unit(notice: Notice, text: NoticeText) -> None:
    """At most 120 Latin or 31 CJK characters an element (AAOS)."""
    for name in LAYER_1:
        element = getattr(text, name)
        assert element == element.strip() != ""
        assert "\n" not in element
        assert len(element) <= (31 if CJK.search(element) else 120), name


@pytest.mark.parametrize(("notice", "text"), TEXTS)
def test_every_text_is_complete_reviewed_and_in_its_language(notice: Notice, text: NoticeText) -> None:
    assert text.reviewed == (text.locale in ("en", "zh-CN"))
    for name in (*LAYER_1, "full"):
        assert bool(CJK.search(getattr(text, name))) == (text.locale == "zh-CN"), name
        assert bool(ARABIC.search(getattr(text, name))) == (text.locale == "ar"), name
    assert notice.controller.contact in text.full
    assert notice.controller.name in text.full
    assert re.search("30 (days|天|días|dias|يوماً)", text.full)
    assert re.search("adults|成年人|personas adultas|adultos|للبالغين", text.full)  # R17
    assert len(text.full.split("\n\n")) == len(notice.texts[0].full.split("\n\n")), "no paragraph is left out"
    hidden = {letter for name in (*LAYER_1, "full") for letter in getattr(text, name) if letter != "\n"}
    assert not [letter for letter in hidden if unicodedata.category(letter) in ("Cc", "Cf", "Co", "Cs")]


@pytest.mark.parametrize(("notice", "text"), TEXTS)
def test_r12_allow_and_deny_are_words_of_one_kind(notice: Notice, text: NoticeText) -> None:
    """Neither label persuades, and neither is much longer than the other."""
    assert (text.allow, text.deny) in (
        ("Allow", "Don’t allow"),
        ("允许", "不允许"),
        ("Permitir", "No permitir"),
        ("Permitir", "Não permitir"),
        ("السماح", "عدم السماح"),
    )


@pytest.mark.parametrize("notice", NOTICES, ids=lambda notice: notice.id)
def test_english_and_chinese_are_found_by_language_and_drafts_only_when_chosen(notice: Notice) -> None:
    assert [text.locale for text in notice.texts] == ["en", "zh-CN", "es", "pt-BR", "ar"]
    assert [notice.text(tag).locale for tag in ("es", "pt_br", "AR")] == ["es", "pt-BR", "ar"]
    assert [notice.text(tag).locale for tag in ("es-MX", "pt", "pt-PT", "ar-EG")] == ["en"] * 4
    assert notice.text("zh_CN").locale == "zh-CN"
    assert notice.text("zh").locale == "zh-CN"
    assert notice.text("en-GB").locale == "en"
    assert notice.text("fi").locale == "en"


def test_the_policy_they_belong_to() -> None:
    for notice in NOTICES:
        assert (notice.policy_updated, notice.effective) == (date(2024, 2, 1), date(2024, 3, 18))
        for text in notice.texts:
            assert any(updated in text.full and effective in text.full for updated, effective in DATES)
    assert DEFAULT_NOTICE.purpose == Purpose.NAVIGATION.value
    assert CROSS_BORDER_NOTICE.purpose == Purpose.CROSS_BORDER_TRANSFER.value
    assert DEFAULT_NOTICE.id != CROSS_BORDER_NOTICE.id


@pytest.mark.parametrize("text", CROSS_BORDER_NOTICE.texts, ids=lambda text: text.locale)
def test_r16_the_cross_border_notice_names_what_the_law_asks(text: NoticeText) -> None:
    """PIPL 39: recipient, contact, purpose, method, categories, how to exercise rights."""
    for item in PIPL_39[text.locale]:
        assert item in text.full


# -- hashes --------------------------------------------------------------------------------------


def test_hashes_are_pinned() -> None:
    """A change of a default text or field is a new version of the notice: raise ``version`` with these values."""
    assert [(n.version, fields_sha256(n)[:12], [shown_sha256(t, n)[:12] for t in n.texts]) for n in NOTICES] == PINNED


@pytest.mark.parametrize("name", [m.name for m in members(NoticeText) if m.name != "reviewed"])
def test_r14_the_shown_hash_covers_every_word(name: str) -> None:
    text = DEFAULT_NOTICE.texts[0]
    other = replace(text, **{name: getattr(text, name) + "."})
    assert shown_sha256(other, DEFAULT_NOTICE) != shown_sha256(text, DEFAULT_NOTICE)


@pytest.mark.parametrize(
    "changed",
    [
        {"id": "x"},
        {"version": "x"},
        {"effective": date(2030, 1, 1)},
        {"controller": replace(DEFAULT_NOTICE.controller, name="x")},
        {"controller": replace(DEFAULT_NOTICE.controller, contact="x")},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_r14_the_shown_hash_covers_whose_notice_it_is(changed: dict[str, Any]) -> None:
    text = DEFAULT_NOTICE.texts[0]
    assert shown_sha256(text, replace(DEFAULT_NOTICE, **changed)) != shown_sha256(text, DEFAULT_NOTICE)


def test_a_review_changes_nothing_a_person_saw() -> None:
    text = DEFAULT_NOTICE.texts[0]
    assert shown_sha256(replace(text, reviewed=False), DEFAULT_NOTICE) == shown_sha256(text, DEFAULT_NOTICE)


# -- changes: the six kinds of the policy --------------------------------------------------------

CASES = [
    ({"purpose": "advertising"}, (Change.PROCESSING,), True),
    ({"data": (*DEFAULT_NOTICE.data, "contacts")}, (Change.PROCESSING,), True),
    ({"method": ("collect",)}, (Change.PROCESSING,), True),
    (
        {"controller": replace(DEFAULT_NOTICE.controller, id="another-owner")},
        (Change.CONTROLLER, Change.CONTACT),
        True,
    ),
    ({"recipients": (*DEFAULT_NOTICE.recipients, "A partner")}, (Change.RECIPIENTS,), True),
    ({"controller": replace(DEFAULT_NOTICE.controller, contact="new@example.com")}, (Change.CONTACT,), False),
    ({"controller": replace(DEFAULT_NOTICE.controller, address="Street 1")}, (Change.CONTACT,), False),
    ({"controller": replace(DEFAULT_NOTICE.controller, department="Privacy")}, (Change.CONTACT,), False),
    ({"rights": ("access, on request",)}, (Change.RIGHTS,), False),
    ({"assessment": "PIA 2030-2"}, (Change.ASSESSMENT,), False),
    ({"texts": (replace(DEFAULT_NOTICE.texts[0], full="Rights explained better."),)}, (Change.WORDING,), False),
    ({"version": "2030-01-01.1", "effective": date(2030, 1, 1)}, (Change.WORDING,), False),
    ({"policy_updated": date(2030, 1, 1)}, (Change.WORDING,), False),
    ({}, (), False),
]


@pytest.mark.parametrize(("changed", "kinds", "asks_again"), CASES, ids=lambda case: str(case)[:40])
def test_r14_each_kind_of_change_asks_or_tells(
    changed: dict[str, Any], kinds: tuple[Change, ...], asks_again: bool
) -> None:
    after = replace(DEFAULT_NOTICE, **changed)
    assert changes(DEFAULT_NOTICE, after) == kinds
    assert any(change.asks_again for change in kinds) is asks_again
    assert (fields_sha256(after) != fields_sha256(DEFAULT_NOTICE)) is asks_again


WORDS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=3).map(tuple)
VARIANTS = st.builds(
    lambda purpose, data, method, recipients, controller, contact, version: replace(
        DEFAULT_NOTICE,
        purpose=purpose,
        data=data,
        method=method,
        recipients=recipients,
        controller=replace(DEFAULT_NOTICE.controller, id=controller, contact=contact),
        version=version,
    ),
    st.sampled_from(["p", "q"]),
    WORDS,
    WORDS,
    WORDS,
    st.sampled_from(["x", "y"]),
    st.sampled_from(["m", "n"]),
    st.sampled_from(["1", "2"]),
)


@given(VARIANTS, VARIANTS)
def test_r14_asking_again_and_the_hash_of_the_fields_always_agree(before: Notice, after: Notice) -> None:
    asks = any(change.asks_again for change in changes(before, after))
    assert asks == (fields_sha256(before) != fields_sha256(after))
    assert (changes(before, after) == ()) == (
        fields(before) == fields(after) and before.controller == after.controller and before.version == after.version
    )


def test_order_and_repetition_of_fields_mean_nothing() -> None:
    data = DEFAULT_NOTICE.data
    assert fields_sha256(replace(DEFAULT_NOTICE, data=(*reversed(data), data[0]))) == fields_sha256(DEFAULT_NOTICE)
