"""R5: memory that runs out at the nth allocation of a call leaves no half state, and no report claims what is not so.

The process may die or raise ``MemoryError``; what a healthy process then finds is whole, and what was said is true.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash_recovery import reserved_port
from out_of_memory import Case, Outcome, OutOfMemory

from kalos_connect_sdk.testing import ServiceEmulator

SWEEP = os.environ.get("KALOS_SWEEP", "")
LONGEST = {"grant": 12_000, "submit": 60, "flush": 6_000, "withdraw": 5_000}
"""About as many allocations as each call makes."""

pytestmark = [pytest.mark.once, pytest.mark.timeout(7200 if SWEEP else 300)]


@pytest.fixture
def root() -> Iterator[Path]:
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None) as made:
        yield Path(made)


def cases(call: str) -> list[Case]:
    """A fixed part of the allocations of ``call``, the first ones among them; all with ``KALOS_SWEEP=full``, or so
    many of them."""
    chance = random.Random(call)
    every = range(LONGEST[call])
    count = len(every) if SWEEP == "full" else int(SWEEP) if SWEEP.isdecimal() else 12
    single = sorted(chance.sample(every, min(count, len(every))))
    for_ever = chance.sample(every, max(1, min(len(every), count) // 12))
    return [Case(call, 0), *(Case(call, n) for n in single), *(Case(call, n, forever=True) for n in for_ever)]


def problem(case: Case, outcome: Outcome) -> str | None:
    """What is half, or was said and is not so; None when nothing is."""
    facts, said = outcome.facts, outcome.said
    if facts.error:
        return facts.error
    if said == "hung" and not case.forever:
        return "it hung, although only one allocation failed"
    status, epoch, erased = facts.records["navigation"]
    rows = [(epoch_of, awake) for _, purpose, epoch_of, awake in facts.notices if purpose == "navigation"]
    if facts.granted:
        if status != "given" or facts.granted != 1 or rows != [(1, False)]:
            return f"granted, and {status} {epoch} with notices {rows}"
        if said == "complete":
            return "a withdrawal was said to be complete, and consent is there"
    else:
        if facts.key or facts.ciphertext:
            return "not granted, and a data key or ciphertext is left"
        if epoch and (erased != epoch or rows != [(1, True)]):
            return f"{status} {epoch}, erased up to {erased}, with notices {rows}"
        if said == "granted" or case.call in ("submit", "flush"):
            return f"{said}, and not granted: {facts.reason}"
    if case.call == "submit" and outcome.queued < (2 if said == "accepted" else 1):
        return f"{said}, and {outcome.queued} positions are buffered"
    return None


@pytest.mark.fault(10)
@pytest.mark.parametrize("call", ["grant", "submit", "withdraw"])
def test_r5_memory_that_runs_out_leaves_no_half_state(call: str, root: Path) -> None:
    pytest.importorskip("_testcapi")
    complaints, told = [], []
    with reserved_port() as reserved, OutOfMemory(root, f"http://127.0.0.1:{reserved.getsockname()[1]}") as server:
        for case in cases(call):
            outcome = server.run(case)
            told.append(outcome.said)
            if wrong := problem(case, outcome):
                complaints.append(f"{case}: {wrong}")
    print(call, {said: told.count(said) for said in told}, f"{len(told)} cases, {len(complaints)} bad")
    assert any("MemoryError" in said for said in told), "it never ran out"
    assert complaints == []


@pytest.mark.fault(10)
def test_r5_memory_that_runs_out_while_sending_loses_no_position_and_ends_no_grant(root: Path) -> None:
    pytest.importorskip("_testcapi")
    complaints, told = [], []
    with ServiceEmulator() as service, OutOfMemory(root, service.url) as server:
        for case in cases("flush"):
            before = len(service.positions)
            outcome = server.run(case)
            told.append(outcome.said)
            arrived = len(service.positions) - before
            wrong = problem(case, outcome)
            if wrong is None and arrived + outcome.queued < 1:
                wrong = "the position is neither there nor here"
            if wrong is None and outcome.said == "sent 1" and arrived != 1:
                wrong = "said to be sent, and it never arrived"
            if wrong is not None:
                complaints.append(f"{case}: {wrong}")
    print("flush", {said: told.count(said) for said in told}, f"{len(told)} cases, {len(complaints)} bad")
    assert any("MemoryError" in said for said in told), "it never ran out"
    assert complaints == []
