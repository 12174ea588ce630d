"""Faults 49 and 50: what a reader must refuse, bounded and without quoting it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalos_connect_sdk.core.strict_json import MalformedDocument, OversizedDocument, check_tree, strict_json

pytestmark = pytest.mark.fault(49, 50)

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(codec="ascii", exclude_characters="\x00"), max_size=5), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(values)
def test_what_json_can_say_comes_through(value):
    assert strict_json(json.dumps(value).encode(), max_bytes=10_000, max_depth=16) == value
    assert strict_json(json.dumps(value, ensure_ascii=False).encode(), max_bytes=10_000, max_depth=16) == value


REFUSED = {
    "not json": (b"{nope}", "not JSON"),
    "empty": (b"", "not JSON"),
    "two documents": (b"{} {}", "not JSON"),
    "not utf-8": (b'"\xff"', "not JSON"),
    "utf-16": ('"60.1699"'.encode("utf-16"), "not JSON"),
    "byte order mark": (b"\xef\xbb\xbf{}", "not JSON"),
    "raw surrogate": (b'"\xed\xa0\x80"', "not JSON"),
    "raw control character": (b'"a\x00b"', "not JSON"),
    "python nesting limit": (b"[" * 200_000 + b"]" * 200_000, "not JSON"),
    "nesting": (b"[" * 17 + b"]" * 17, "nested too deeply"),
    "nested objects": (b'{"a":' * 17 + b"1" + b"}" * 17, "nested too deeply"),
    "duplicate key": (b'{"epoch":1,"epoch":2}', "key twice"),
    "duplicate key by escape": (b'{"epoch":1,"\\u0065poch":2}', "key twice"),
    "nan": (b"[NaN]", "not finite"),
    "infinity": (b"[Infinity]", "not finite"),
    "minus infinity": (b"-Infinity", "not finite"),
    "overflow": (b"[1e400]", "not finite"),
    "negative overflow": (b'{"a":-1e400}', "not finite"),
    "long integer": (b"[" + b"9" * 41 + b"]", "too long"),
    "integer beyond python's own limit": (b"9" * 100_000, "too long"),
    "nul": (b'["a\\u0000b"]', "NUL"),
    "nul beside others": ('["é\\u0000b"]'.encode(), "NUL"),
    "nul key": (b'{"\\u0000":1}', "NUL"),
    "lone surrogate": (b'"\\ud800"', "surrogate"),
    "lone low surrogate": (b'"x\\udfffx"', "surrogate"),
    "surrogate key": (b'{"\\udc00":1}', "surrogate"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    data, rule = REFUSED[name]
    with pytest.raises(MalformedDocument, match=rule) as caught:
        strict_json(data, max_bytes=1 << 20)
    assert not isinstance(caught.value, OversizedDocument)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_the_limits_themselves_are_allowed():
    assert strict_json(b"[" * 16 + b"]" * 16)
    assert strict_json(b"9" * 40) == int("9" * 40)
    assert strict_json(b"[1]   ", max_bytes=6) == [1]
    assert strict_json(b'"\\ud83d\\ude97"') == "\N{AUTOMOBILE}"


def test_what_is_not_bounded_otherwise_is_bounded_at_a_mebibyte():
    assert strict_json(b"1" + b" " * ((1 << 20) - 1)) == 1
    with pytest.raises(OversizedDocument):
        strict_json(b"1" + b" " * (1 << 20))


def test_size_is_looked_at_first():
    with pytest.raises(OversizedDocument, match="too large"):
        strict_json(b"x" * 7, max_bytes=6)


@given(st.binary(max_size=60))
def test_r10_any_bytes_give_a_value_or_a_silent_refusal(data):
    try:
        strict_json(data, max_bytes=50, max_depth=4)
    except MalformedDocument as error:
        assert error.__context__ is None
        assert len(error.args) == 1


def test_r10_a_refusal_does_not_quote():
    canary = "60.16987654"
    for data in (f'{{"lat":{canary},"lat":1}}', f'["{canary}\\u0000"]', f"[{canary}", f'{{"{canary}\\u0000":1}}'):
        with pytest.raises(MalformedDocument) as caught:
            strict_json(data.encode())
        assert canary not in repr(caught.value)
        assert caught.value.__context__ is None


@pytest.mark.parametrize("tree", [{1: 2}, [object()], {"a": (1, 2)}, [b"x"], {"a": {3: 1}}])
def test_a_tree_from_another_parser_must_be_json_too(tree):
    with pytest.raises(MalformedDocument):
        check_tree(tree)
