"""Hostile inputs made from valid ones: cut, doubled, flipped, stuffed with what parsers choke on; and, for JSON, a
value replaced inside a document that stays whole."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

from fuzz_targets import Target
from hypothesis import strategies as st

__all__ = ["NASTY_BYTES", "NASTY_VALUES", "inputs"]

NASTY_BYTES = [
    *(b"NaN", b"-Infinity", b"1e400", b"-1", b"91.0000", b"180.00001", b"9223372036854775808", b"18446744073709551616"),
    *(
        b"\x00",
        b"\\u0000",
        b"\\ud800",
        b"\xed\xa0\x80",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\xe2\x80\xae",
        b"\x1b[2J",
        b"\r\n",
    ),
    *(b"[" * 300, b'{"a":' * 300, b'"epoch":1,"epoch":2', b"true", b"null", b"0" * 5000, b"-0", b"1_0", "٣".encode()),
    *(b"%s%n", b"'--", b"../../x", b"${jndi:x}", b"&#x0;", b"<!ENTITY a 'b'>", b"]]>"),
]
NASTY_VALUES: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        1.5,
        -0.0,
        2**31,
        2**63 - 1,
        2**63,
        2**64,
        -(2**63),
        10**39,
        1e308,
        60.169900,
        91,
        180.1,
    ),
    *(
        "",
        "x" * 5000,
        "NaN",
        "1e400",
        "60.169900",
        "given",
        "a\nb",
        "\x1b[2J",
        "\u202e",
        "\u2028",
        "٣",
        "\ud800",
        "\x00",
    ),
    *([], [[]], [None] * 50, {}, {"": {}}, {"coordinates": [24.9384, 60.1699]}, [1, 2, 3], ["a"], {"type": 1}),
]


def inputs(target: Target) -> st.SearchStrategy[bytes]:
    """Bytes for one target."""
    ways = [_mutated(target), st.binary(max_size=200), st.sampled_from(target.seeds)]
    if target.is_json:
        ways.insert(0, _replaced(target))
    return st.one_of(ways)


@st.composite
def _mutated(draw: st.DrawFn, target: Target) -> bytes:
    data = bytearray(draw(st.sampled_from(target.seeds)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        span = draw(st.sampled_from([1, 1, 2, 4, 8, 16, 64, 512]))
        match draw(st.integers(0, 5)):
            case 0:
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case 1:
                del data[at : at + span]
            case 2:
                data[at:at] = data[at : at + span]
            case 3:
                data[at:at] = draw(st.sampled_from(NASTY_BYTES + target.words))
            case 4:
                data[at : at + span] = draw(st.sampled_from(NASTY_BYTES))
            case _:
                data[at : at + span] = draw(st.binary(min_size=1, max_size=8))
    return bytes(data[: 1 << 16])


@st.composite
def _replaced(draw: st.DrawFn, target: Target) -> bytes:
    """A seed in which one to three values, members or elements are replaced, removed or added."""
    nasty = st.sampled_from(NASTY_VALUES).map(deepcopy)  # a later round changes what this one put in
    seed = json.loads(draw(st.sampled_from(target.seeds)).decode("utf-8"))
    for _ in range(draw(st.integers(1, 3))):
        places = _places(seed)
        if not places:
            return json.dumps(draw(nasty)).encode()
        inside, name = draw(st.sampled_from(places))
        match draw(st.integers(0, 4)):
            case 0:
                del inside[name]
            case 1 if isinstance(inside, dict):
                more = draw(st.sampled_from(["x", "lat", "\u202e", "@context", "epoch"]))
                inside[more] = deepcopy(inside[name])
            case _:
                inside[name] = draw(nasty)
    return json.dumps(seed).encode()


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Every (container, key or index) of a tree."""
    found: list[tuple[Any, Any]] = []
    pending = [tree]
    while pending:
        item = pending.pop()
        names = list(item) if isinstance(item, dict) else range(len(item)) if isinstance(item, list) else ()
        for name in names:
            found.append((item, name))
            pending.append(item[name])
    return found
