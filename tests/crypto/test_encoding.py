"""Keys and signatures have one spelling."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalos_connect_sdk.crypto.encoding import b64, unb64


@given(st.binary(max_size=100))
def test_round_trip(raw: bytes) -> None:
    assert unb64(b64(raw)) == raw


@given(st.binary(max_size=100))
def test_it_is_unpadded_base64url(raw: bytes) -> None:
    assert b64(raw) == base64.urlsafe_b64encode(raw).decode().rstrip("=")


@given(st.text(max_size=40))
def test_what_decodes_is_the_only_spelling(text: str) -> None:
    try:
        raw = unb64(text)
    except ValueError:
        return
    assert b64(raw) == text


@pytest.mark.parametrize(
    "text",
    ["=", "QQ==", "QQ=", "Q", "QR", "Q Q", "QQ\n", "+/+/", "Qé", "QQ\x00", "--_", b"QQ", None, 7, ["QQ"]],
    ids=repr,
)
def test_other_spellings_are_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"^not unpadded base64url$"):
        unb64(text)  # type: ignore[arg-type]


def test_r10_the_refusal_carries_nothing() -> None:
    with pytest.raises(ValueError) as caught:
        unb64("c2VjcmV0!")
    assert "c2Vj" not in repr(caught.value.args)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
