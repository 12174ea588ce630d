"""Kills and errors at the system calls of what the device does; the full sweep is a command: ``crash_sweep.py``.

CI sweeps the withdrawal whole and a seeded part of everything else; docs/crashes.md has the counts of the full sweep.
Set ``KALOS_SWEEP=full`` to run all of it here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SWEEP = Path(__file__).with_name("crash_sweep.py")
FULL = os.environ.get("KALOS_SWEEP") == "full"

pytestmark = [pytest.mark.once, pytest.mark.timeout(7200 if FULL else 600)]


def sweep(tmp_path: Path, *arguments: str, sample: int | None = None) -> list[dict[str, Any]]:
    """The sweep in a process of its own, which opens nothing and forks every case; its findings fail the test."""
    report = tmp_path / "sweep.json"
    part = [] if sample is None or FULL else ["--sample", str(sample)]
    command = [sys.executable, str(SWEEP), *arguments, *part, "--json", str(report)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 77:  # crash_sweep.CANNOT_RUN_HERE
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    return list(json.loads(report.read_text())["sweeps"])


@pytest.mark.fault(1, 2)
def test_r5_killed_at_any_system_call_a_withdrawal_is_whole_or_was_not(tmp_path: Path) -> None:
    (swept,) = sweep(tmp_path, "withdraw", "--faults", "kill", sample=50)
    assert swept["cases"] >= 45 and swept["outcomes"]["withdrawn"] >= 45
    assert set(swept["outcomes"]) <= {"withdrawn", "still granted"}


@pytest.mark.fault(1, 2)
def test_r5_every_other_way_to_end_is_whole_or_was_not(tmp_path: Path) -> None:
    ways = ["withdraw-offline", "withdraw-cold", "withdraw-tmpfs", "withdraw-memory", "send-withdraw", "expire"]
    swept = sweep(tmp_path, *ways, "--faults", "kill", sample=4)
    assert len(swept) == len(ways) and all(one["cases"] >= 3 for one in swept)


@pytest.mark.fault(2)
def test_r6_killed_while_granting_or_sending_nothing_is_half_there(tmp_path: Path) -> None:
    swept = sweep(tmp_path, "grant", "regrant", "downgrade", "send", "--faults", "kill", sample=5)
    assert len(swept) == 4 and all(one["cases"] >= 4 for one in swept)


@pytest.mark.fault(1, 11)
def test_r8_killed_in_a_reset_no_notice_is_lost_and_reset_leads_out(tmp_path: Path) -> None:
    swept = sweep(tmp_path, "reset", "reset-locked", "--faults", "kill", sample=7)
    assert len(swept) == 2 and all(one["cases"] >= 5 for one in swept)


@pytest.mark.fault(4, 44)
def test_r5_a_killed_recovery_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    swept = sweep(tmp_path, "recover", *([] if FULL else ["--first", "3"]), sample=4)
    assert len(swept) >= 3 and all(one["cases"] >= 3 for one in swept)


@pytest.mark.fault(20, 24)
def test_r11_a_withdrawal_beside_a_recovery_that_stands_still_is_durable(tmp_path: Path) -> None:
    swept = sweep(tmp_path, "beside", *([] if FULL else ["--first", "1"]), sample=4)
    assert swept and all(one["cases"] >= 3 for one in swept)


@pytest.mark.fault(5)
def test_r5_an_error_at_a_system_call_stops_no_withdrawal_and_claims_nothing(tmp_path: Path) -> None:
    swept = sweep(tmp_path, "withdraw", "--faults", "EIO,ENOSPC,dead disk", sample=8)
    assert len(swept) == 3 and all(one["cases"] >= 6 for one in swept)


@pytest.mark.fault(5)
def test_r10_a_file_that_cannot_even_be_looked_at_is_an_error_of_ours(tmp_path: Path) -> None:
    (swept,) = sweep(tmp_path, "withdraw", "--faults", "EIO", "--like", "newfstatat(state", sample=4)
    assert swept["cases"] >= 3


@pytest.mark.fault(5)
def test_r1_an_error_at_a_system_call_grants_and_sends_nothing_by_half(tmp_path: Path) -> None:
    swept = sweep(tmp_path, "grant", "send", "regrant", "--faults", "EIO", sample=4)
    assert len(swept) == 3 and all(one["cases"] >= 3 for one in swept)
