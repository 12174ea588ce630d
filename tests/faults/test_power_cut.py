"""R5: a power cut at any moment, with any part of what was not synced lost, torn or reordered.

The writes of real runs are recorded with strace; every state that a cut may leave is laid out again and opened by a
fresh process in a new boot, with RAM empty. Here a fixed part of them is tried; ``KALOS_SWEEP=full`` tries all, ``KALOS_SWEEP=1000`` so many
of each run.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from crash_recovery import APP, Facts, Recoverer, reserved_port
from crash_states import CrashState, crash_states
from recorded_writes import Recording, Tree, record

from kalos_connect_sdk.storage.datakeys import DataKeys
from kalos_connect_sdk.storage.directory import StateDirectory
from kalos_connect_sdk.testing import ServiceEmulator

SWEEP = os.environ.get("KALOS_SWEEP", "")
FULL = SWEEP == "full" or SWEEP.isdecimal()
STORY = Path(__file__).with_name("drive_to_record.py")
ACTIVE = ("given", "renewed")

pytestmark = [
    pytest.mark.once,
    pytest.mark.timeout(7200 if FULL else 180),
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
]


@pytest.fixture
def root() -> Iterator[Path]:
    """A directory in RAM: thousands of states are laid out in it."""
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None) as made:
        yield Path(made)


def recorded(story: str, root: Path, log: Path) -> tuple[Recording, str, socket.socket]:
    """The story's writes; the service's url; and its port, where nobody answers any more."""
    reserved = reserved_port()
    with ServiceEmulator() if story == "online" else nullcontext() as service:
        url = service.url if service else f"http://127.0.0.1:{reserved.getsockname()[1]}"
        recording = record(root, [sys.executable, str(STORY), str(root), url, story], log)
    if service:
        reserved.close()
        reserved = socket.socket()
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", int(url.rpartition(":")[2])))
    return recording, url, reserved


def problem(marks: tuple[str, ...], facts: Facts, ids: dict[tuple[str, int], str]) -> str | None:
    """What is wrong with a recovered state, given what the person had been told; None when nothing is."""
    told = [mark for mark in marks if mark != "answered"]
    last = told[-1] if told else ""
    epochs = [int(mark.split()[1]) for mark in told if mark.startswith("granted")]
    newest = max(epochs, default=0)
    if facts.error:
        return facts.error
    locked = facts.reason == "STATE_UNREADABLE"
    if locked and "damaged" not in told:
        return "it locked itself"
    wrong = _wrong_grant(told, last, newest, facts)
    if wrong is not None:
        return wrong
    if not facts.granted and (facts.key or facts.ciphertext):
        return "not granted, and a data key or ciphertext is left"
    return _wrong_notices(told, marks.count("answered"), facts, ids, locked=locked)


def _wrong_grant(told: list[str], last: str, newest: int, facts: Facts) -> str | None:
    if facts.granted:
        before = next((mark for mark in reversed(told) if mark not in ("asked", "damaged", "withdrawing")), "")
        possible = {newest} if before.startswith("granted") else set()
        if last == "asked":
            possible.add(newest + 1)
        if facts.granted not in possible:
            return f"granted {facts.granted} after {last}"
    elif last.startswith("granted"):
        return f"not granted after {last}: {facts.reason}"
    if not facts.granted and facts.reason == "STATE_ROLLED_BACK":
        return "it took a power cut for a rollback"
    return None


def _wrong_notices(
    told: list[str], answered: int, facts: Facts, ids: dict[tuple[str, int], str], *, locked: bool
) -> str | None:
    rows = {}
    for name, purpose, epoch, awake in facts.notices:
        if (purpose, epoch) in rows:
            return f"two notices of epoch {epoch}"
        if ids.setdefault((purpose, epoch), name) != name:
            return f"another id of the notice of epoch {epoch}"
        rows[purpose, epoch] = awake
    begun = locked and told[-1] == "withdrawing"  # it may have got no further than that
    due = {("navigation", epoch) for epoch in _withdrawn(told[:-1] if begun else told, facts)}
    for purpose, (status, epoch, erased) in facts.records.items():
        if status in ACTIVE:
            if not locked and rows.get((purpose, epoch)) is not False:
                return f"no sleeping notice of the grant {epoch}"
        elif epoch:
            due.add((purpose, epoch))
            if erased != epoch and not locked:
                return f"epoch {epoch} is not erased"
    awake = {key for key, is_awake in rows.items() if is_awake}
    gone = {("navigation", epoch) for epoch in sorted(e for _, e in due)[:answered]}
    if not due - gone <= awake:
        return f"notices are missing or asleep: {sorted(due - gone - awake)}"
    return None


def _withdrawn(told: list[str], facts: Facts) -> list[int]:
    """The epochs that a person was granted and that were withdrawn; one that a change of the grant replaced is not
    told of on its own: the later one's notice covers it."""
    found: list[int] = []
    active = 0
    for mark in told:
        if mark.startswith("granted"):
            active = int(mark.split()[1])
        elif mark == "withdrawing" and active:
            found.append(active)
            active = 0
    return [epoch for epoch in found if epoch != facts.granted]


def sample(recording: Recording, share: int, limit: int) -> list[CrashState]:
    """All states, or of a fixed part of the moments, those around each mark included, at most ``limit``."""
    chance = random.Random(20270504)
    if FULL:
        states = list(crash_states(recording))
        return states if SWEEP == "full" else chance.sample(states, min(int(SWEEP), len(states)))
    count = len(recording.operations)
    moments = set(chance.sample(range(count + 1), count // share))
    for i, operation in enumerate(recording.operations):
        if operation.kind == "mark":
            moments |= {i, i + 1}
    states = list(crash_states(recording, moments))
    ends = {state.moment: i for i, state in enumerate(states)}  # one of each moment at least
    chosen = set(chance.sample(range(len(states)), min(limit, len(states)))) | set(ends.values())
    return [states[i] for i in sorted(chosen)]


def judged(states: list[CrashState], server: Recoverer, ids: dict[tuple[str, int], str]) -> list[str]:
    """Every complaint, with the moment it belongs to."""
    found = []
    for number, state in enumerate(states):
        regrant = number % 8 == 0
        facts = server.recover(state.tree, regrant=regrant)
        wrong = problem(state.marks, facts, ids)
        newest = max((int(mark.split()[1]) for mark in state.marks if mark.startswith("granted")), default=0)
        if wrong is None and regrant and not facts.granted and facts.reason != "STATE_UNREADABLE":
            wrong = None if facts.again > newest else f"asked again, granted {facts.again} after {newest}"
        if wrong is not None:
            found.append(f"moment {state.moment} after {state.marks[-2:]}: {wrong}")
    return found


@pytest.mark.fault(3, 5)
@pytest.mark.parametrize("story", ["offline", "online", "reset", "repair", "border"])
def test_r5_no_power_cut_brings_consent_back_or_loses_a_grant_or_a_notice(
    story: str, root: Path, tmp_path: Path
) -> None:
    recording, url, reserved = recorded(story, root, tmp_path / "strace.log")
    states = sample(recording, 20, 10 if story == "border" else 20)
    assert len(states) > 10
    with reserved, Recoverer(root, url) as server:
        complaints = judged(states, server, {})
    print(f"{story}: {len(recording.operations)} operations, {len(states)} states, {len(complaints)} bad")
    assert complaints == []


def half_done(recording: Recording) -> list[CrashState]:
    """States in which recovery has something to finish: a tombstone that stands alone, an end without its drop."""
    first = next(i for i, op in enumerate(recording.operations) if op.kind == "mark" and op.path == "withdrawing")
    last = next(i for i, op in enumerate(recording.operations) if op.kind == "mark" and op.path == "withdrawn")
    syncs = [i + 1 for i in range(first, last) if recording.operations[i].kind == "sync"]
    chosen = syncs if FULL else syncs[:1]
    kept = {moment: next(iter(crash_states(recording, {moment}))) for moment in chosen}
    return list(kept.values())


@pytest.mark.fault(3, 4)
def test_r5_the_power_may_fail_again_during_recovery(root: Path, tmp_path: Path) -> None:
    recording, url, reserved = recorded("offline", root, tmp_path / "strace.log")
    ids: dict[tuple[str, int], str] = {}
    complaints: list[str] = []
    cuts = 0
    slot = StateDirectory.open(APP, None, root / "state", create=False)
    with reserved:
        for state in half_done(recording):
            lay_out(state.tree, root)
            DataKeys.choose(slot, "kernel").remove()
            again = record(root, [sys.executable, str(STORY), str(root), url, "recover"], tmp_path / "again.log")
            assert any(operation.kind == "write" for operation in again.operations), "there was nothing to recover"
            states = [replace(found, marks=state.marks) for found in sample(again, 4, 15)]
            cuts += len(states)
            with Recoverer(root, url) as server:
                complaints += judged(states, server, ids)
    print(f"recovery: {cuts} states, {len(complaints)} bad")
    assert complaints == []


def lay_out(tree: Tree, root: Path) -> None:
    for path in root.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    tree.write(root)


@pytest.mark.fault(3)
def test_the_judge_of_power_cuts_can_say_no(root: Path, tmp_path: Path) -> None:
    """A page whose tombstones are never synced: some power cut brings consent back, and it is noticed."""
    recording, url, reserved = recorded("offline", root, tmp_path / "strace.log")
    page = next(op.file for op in recording.operations if op.kind == "name" and op.path.endswith("/page"))
    told = next(i for i, op in enumerate(recording.operations) if op.kind == "mark" and op.path == "withdrawn")
    ledger = next(op.file for op in recording.operations if op.kind == "name" and op.path.endswith("/ledger.db"))
    made = next(i for i, op in enumerate(recording.operations) if op.kind == "mark" and op.path == "granted 1")
    unsynced = [
        op
        for i, op in enumerate(recording.operations[: told + 1])
        if not (i > made and op.kind == "sync" and op.file in (page, ledger))
    ]
    states = list(crash_states(Recording(recording.before, unsynced), {len(unsynced)}))[:40]
    with reserved, Recoverer(root, url) as server:
        complaints = judged(states, server, {})
    assert any("granted 1 after withdrawn" in complaint for complaint in complaints)
