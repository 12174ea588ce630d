"""Rows 49 to 51: whatever a parser reads, it accepts or refuses with a documented error that tells nothing of it.

A fixed part of what ``python tools/fuzz.py TARGET`` searches for as long as one likes; see docs/fuzzing.md.
"""

from __future__ import annotations

import os

import pytest
from fuzz_judge import Leak, attempt
from fuzz_mutations import inputs
from fuzz_targets import TARGETS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FULL = os.environ.get("KALOS_SWEEP") == "full"
SLOW = {"receipt_file": 15, "ledger": 50, "arguments": 15}


@pytest.mark.once
@pytest.mark.fault(49, 50, 51)
@pytest.mark.parametrize("name", sorted(TARGETS))
def test_r10_a_parser_accepts_or_refuses_and_repeats_nothing(name: str) -> None:
    target = TARGETS[name]
    for seed in target.seeds:
        target.run(seed)

    @settings(
        max_examples=20_000 if FULL else SLOW.get(name, 60),
        derandomize=not FULL,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs(target))
    def search(data: bytes) -> None:
        target.run(data)

    search()


@given(st.floats(-90, 90).map(lambda x: f"{x:.6f}"))
def test_r10_the_judge_sees_a_repeated_number(number: str) -> None:
    data = f'{{"a": {number}}}'.encode()

    def repeat() -> None:
        raise ValueError(f"bad value {number}")

    def hide() -> None:
        try:
            repeat()
        except ValueError:
            raise ValueError("refused") from None  # the chain still holds it

    for read in (repeat, hide):
        with pytest.raises(Leak):
            attempt(read, (ValueError,), data)


def test_the_judge_sees_undocumented_errors_and_control_characters() -> None:
    def other() -> None:
        raise KeyError("x")

    def steer() -> None:
        raise ValueError("a\x1b[2J")

    with pytest.raises(KeyError):
        attempt(other, (ValueError,), b"")
    with pytest.raises(Leak):
        attempt(steer, (ValueError,), b"")
