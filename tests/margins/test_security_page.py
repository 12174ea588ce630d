"""The security model names tests that exist, and rules and rows that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "security-model.md").read_text("utf-8")


@pytest.mark.once
def test_every_test_that_the_page_names_is_there():
    named = re.findall(r"`(tests/[\w/.]+)`", PAGE)
    assert len(named) > 20
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.once
def test_every_row_and_rule_that_the_page_names_is_there():
    faults = (ROOT / "docs" / "faults.md").read_text("utf-8")
    rows = {int(number) for group in re.findall(r"rows? ([\d, to]+)", PAGE) for number in re.findall(r"\d+", group)}
    assert rows and all(f"\n| {row} |" in faults for row in rows)
    assert {int(number) for number in re.findall(r"\bR(\d+)\b", PAGE)} <= set(range(1, 21))


def test_every_actor_has_a_line_with_all_its_columns():
    lines = [line for line in PAGE.splitlines() if line.startswith("| **")]
    assert len(lines) >= 15
    assert {len(line.strip("|").split("|")) for line in lines} == {4}
