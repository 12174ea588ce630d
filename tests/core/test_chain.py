"""The hash chain shows every change of the history (R8)."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalos_connect_sdk.core.chain import GENESIS, BrokenChain, link, verify

Row = tuple[int, bytes, bytes, bytes]
BODIES = st.lists(st.binary(max_size=20), min_size=1, max_size=8)


def chain(bodies: list[bytes], start: tuple[int, bytes] = (0, GENESIS)) -> list[Row]:
    seq, head = start
    rows = []
    for body in bodies:
        seq, prev = seq + 1, head
        head = link(prev, body)
        rows.append((seq, body, prev, head))
    return rows


def test_the_format_never_changes() -> None:
    tag = b"kalos-connect ledger 1\x00"
    assert hashlib.sha256(tag).digest() == GENESIS
    assert link(GENESIS, b"{}") == hashlib.sha256(tag + GENESIS + b"{}").digest()


def test_an_empty_history_is_whole() -> None:
    assert verify([]) == GENESIS
    assert verify([], (7, b"h" * 32)) == b"h" * 32


@given(BODIES, st.integers(0, 8))
def test_a_whole_history_verifies_at_once_or_in_parts(bodies: list[bytes], cut: int) -> None:
    rows = chain(bodies)
    head = verify(rows)
    assert head == rows[-1][3]
    first, rest = rows[:cut], rows[cut:]
    middle = verify(first)
    assert verify(rest, (first[-1][0] if first else 0, middle)) == head


def test_gaps_in_the_numbers_mean_nothing() -> None:
    rows = [(row[0] * 10, *row[1:]) for row in chain([b"a", b"b"])]
    assert verify(rows) == rows[-1][3]


@given(BODIES, st.data())
def test_r8_a_changed_bit_anywhere_is_seen(bodies: list[bytes], data: st.DataObject) -> None:
    rows = chain(bodies)
    at = data.draw(st.integers(0, len(rows) - 1))
    column = data.draw(st.sampled_from([1, 2, 3] if rows[at][1] else [2, 3]))
    changed = bytearray(rows[at][column])  # type: ignore[arg-type]
    bit = data.draw(st.integers(0, len(changed) * 8 - 1))
    changed[bit // 8] ^= 1 << bit % 8
    row = list(rows[at])
    row[column] = bytes(changed)
    rows[at] = tuple(row)  # type: ignore[assignment]
    with pytest.raises(BrokenChain):
        verify(rows)


@given(st.lists(st.binary(max_size=5), min_size=2, max_size=6, unique=True), st.data())
def test_r8_nothing_is_cut_out_inserted_or_moved(bodies: list[bytes], data: st.DataObject) -> None:
    rows = chain(bodies)
    at = data.draw(st.integers(0, len(rows) - 2))
    with pytest.raises(BrokenChain):
        verify(rows[:at] + rows[at + 1 :])
    with pytest.raises(BrokenChain):
        verify([*rows[: at + 1], rows[at], *rows[at + 1 :]])
    swapped = list(rows)
    swapped[at], swapped[at + 1] = swapped[at + 1], swapped[at]
    with pytest.raises(BrokenChain):
        verify(swapped)
    numbers = sorted(row[0] for row in swapped)
    with pytest.raises(BrokenChain):  # renumbered, too
        verify([(seq, *row[1:]) for seq, row in zip(numbers, swapped, strict=True)])


def test_r8_an_event_rewritten_with_its_own_hash_breaks_at_the_next() -> None:
    rows = chain([b"allow", b"withdraw", b"erased"])
    rows[1] = (2, b"nothing", rows[1][2], link(rows[1][2], b"nothing"))
    with pytest.raises(BrokenChain, match=r"^event 3 of the history does not follow the one before it$"):
        verify(rows)


def test_r8_a_history_of_another_start_does_not_verify() -> None:
    with pytest.raises(BrokenChain, match=r"^event 1 "):
        verify(chain([b"a"], (0, bytes(32))))
    with pytest.raises(BrokenChain, match="out of order"):
        verify(chain([b"a"]), (1, GENESIS))


@pytest.mark.parametrize(
    "row",
    [
        ("1", b"a", GENESIS, link(GENESIS, b"a")),
        (True, b"a", GENESIS, link(GENESIS, b"a")),
        (None, b"a", GENESIS, link(GENESIS, b"a")),
        (1.0, b"a", GENESIS, link(GENESIS, b"a")),
        (-1, b"a", GENESIS, link(GENESIS, b"a")),
        (0, b"a", GENESIS, link(GENESIS, b"a")),
        (1, "a", GENESIS, link(GENESIS, b"a")),
        (1, None, GENESIS, link(GENESIS, b"a")),
        (1, b"a", GENESIS.hex(), link(GENESIS, b"a")),
        (1, b"a", bytearray(GENESIS), link(GENESIS, b"a")),
        (1, b"a", GENESIS, bytearray(link(GENESIS, b"a"))),
        (1, b"a", GENESIS, None),
        (1, b"a", GENESIS, b""),
    ],
    ids=repr,
)
def test_r8_whatever_a_damaged_file_holds_is_a_broken_chain(row: Any) -> None:
    with pytest.raises(BrokenChain):
        verify([row])


def test_r10_the_error_names_the_event_and_nothing_of_it() -> None:
    rows = chain([b"60.1699,24.9384"])
    with pytest.raises(BrokenChain) as caught:
        verify([(1, b"60.1699,24.9385", rows[0][2], rows[0][3])])
    assert caught.value.args == ("event 1 of the history was changed",)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_link_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=r"^a link has 32 bytes$"):
        link(bytes(length), b"")


def test_no_two_events_share_a_hash_by_moving_the_border() -> None:
    assert link(bytes(32), bytes(1)) != link(bytes(32), bytes(2))
    assert link(GENESIS, b"") != GENESIS
