"""The notice as a service publishes it, read strictly; it closes or tells, and never opens (R14)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalos_connect_sdk.core.notices.default import CROSS_BORDER_NOTICE, DEFAULT_NOTICE
from kalos_connect_sdk.core.notices.hashing import Change, fields_sha256
from kalos_connect_sdk.core.notices.published import (
    concerns,
    dump,
    forbids,
    later,
    load,
    plain_version,
    read_published,
)
from kalos_connect_sdk.model.decision import Reason
from kalos_connect_sdk.service.bulletin import notice_document

OURS = {notice.purpose: notice for notice in (DEFAULT_NOTICE, CROSS_BORDER_NOTICE)}
ORIGIN = "https://service.example:443"


def published(notice: Any = DEFAULT_NOTICE, **changed: Any) -> dict[str, Any]:
    return {**notice_document(notice, "en"), **changed}


def test_what_the_reference_service_publishes_is_read_and_kept_as_it_is() -> None:
    rich = replace(DEFAULT_NOTICE, rights=("access",), assessment="PIA 1")
    for notice in (*OURS.values(), rich):
        read = read_published(published(notice))
        assert read is not None and fields_sha256(read) == fields_sha256(notice)
        assert (later(read, notice), forbids(read, notice)) == ((), None)
        assert load(dump(ORIGIN, read), ORIGIN) == read
        assert load(dump(ORIGIN, read), "https://another.example:443") is None


def test_the_hash_and_the_kinds_that_it_names_are_not_believed() -> None:
    read = read_published(published(data=["contacts"], fields_sha256=fields_sha256(DEFAULT_NOTICE), change=[]))
    assert read is not None and forbids(read, DEFAULT_NOTICE) is Reason.NOTICE_CHANGED


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"purpose": "x"}, Reason.NOTICE_CHANGED),
        ({"method": ()}, Reason.NOTICE_CHANGED),
        ({"recipients": ()}, Reason.NOTICE_CHANGED),
        ({"controller": replace(DEFAULT_NOTICE.controller, id="x")}, Reason.CONTROLLER_CHANGED),
        ({"rights": ("x",)}, None),
        ({"version": "x"}, None),
    ],
)
def test_r14_only_a_notice_that_is_not_older_says_anything(changed: dict[str, Any], reason: Reason | None) -> None:
    theirs = replace(DEFAULT_NOTICE, **changed)
    assert forbids(theirs, DEFAULT_NOTICE) is reason
    assert later(theirs, DEFAULT_NOTICE) != ()
    older = replace(theirs, effective=date(2024, 3, 17))
    assert (forbids(older, DEFAULT_NOTICE), later(older, DEFAULT_NOTICE)) == (None, ())


def test_which_of_ours_it_stands_for() -> None:
    assert concerns(replace(DEFAULT_NOTICE, purpose="x"), OURS) == "navigation"
    assert concerns(replace(DEFAULT_NOTICE, id="x"), OURS) == "navigation"
    assert concerns(replace(DEFAULT_NOTICE, id=CROSS_BORDER_NOTICE.id), OURS) == "cross-border-transfer"
    assert concerns(replace(DEFAULT_NOTICE, id="x", purpose="y"), OURS) is None


def test_the_texts_of_the_service_are_no_change_of_ours() -> None:
    assert later(replace(DEFAULT_NOTICE, texts=(), policy_id="x"), DEFAULT_NOTICE) == ()
    assert later(replace(DEFAULT_NOTICE, version="2"), DEFAULT_NOTICE) == (Change.WORDING,)


@pytest.mark.parametrize(("version", "plain"), [("2024-03-18.1", True), ("1.2.3", True), ("v2", True),
                                               ("60.1699", False), ("x" * 33, False), ("a b", False)])  # fmt: skip
def test_r10_a_version_that_could_be_a_place_is_not_repeated(version: str, plain: bool) -> None:
    assert plain_version(replace(DEFAULT_NOTICE, version=version)) == (version if plain else None)


@pytest.mark.parametrize(
    "changed",
    [{"id": ""}, {"id": 1}, {"id": "x" * 501}, {"version": None}, {"effective": "x"}, {"effective": 1},
     {"controller": None}, {"controller": []}, {"controller": {"id": "a", "name": "b"}}, {"purpose": "\u202e"},
     {"data": "coordinates"}, {"data": None}, {"data": ["x"] * 51}, {"method": [1]}, {"recipients": [""]},
     {"rights": "x"}, {"assessment": 1}],
)  # fmt: skip
def test_what_is_malformed_says_nothing(changed: dict[str, Any]) -> None:
    assert read_published(published(**changed)) is None
    without = {name: value for name, value in published().items() if name not in changed}
    assert (read_published(without) is None) == (not changed.keys() & {"rights", "assessment"})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(list(published())), inner, max_size=5),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(list(published())), JSON))
def test_reading_is_total(changed: dict[str, Any]) -> None:
    read = read_published(published(**changed))
    assert read is None or load(dump(ORIGIN, read), ORIGIN) == read


@given(st.text())
def test_r1_any_text_that_was_kept_is_a_notice_or_none(text: str) -> None:
    assert load(text, ORIGIN) is None
