"""The one byte form of everything that is hashed or signed (R8, R20)."""

import math

import pytest

from kalos_connect_sdk.core.canonical import canonical


def test_r8_the_bytes_never_change() -> None:
    value = {"b": [1, True, None], "a": {"d": "\N{LATIN SMALL LETTER A WITH DIAERESIS}", "c": ""}}
    assert canonical(value) == b'{"a":{"c":"","d":"\xc3\xa4"},"b":[1,true,null]}'


def test_r8_equal_objects_are_equal_bytes_in_whatever_order_they_were_made() -> None:
    assert canonical({"a": 1, "b": 2}) == canonical({"b": 2, "a": 1})


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_r8_what_json_cannot_say_has_no_bytes(number: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical({"a": number})
