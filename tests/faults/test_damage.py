"""Damaged files: a flipped bit changes nothing or closes the gate; the file is kept, and there is a way on (R1, R8)."""

from __future__ import annotations

import os
import random
import re
import socket
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from damaged_states import (
    LATER,
    NAVIGATION,
    OWN_REASONS,
    PLACES,
    STORIES,
    Bench,
    bench_of,
    flip_in_place,
    flip_in_ram,
    service_of,
    whole_way,
)

from kalos_connect_sdk import ConsentRequired, Position, Reason, StateUnreadable
from kalos_connect_sdk.cli.main import main
from kalos_connect_sdk.storage.page import Page
from kalos_connect_sdk.storage.schema import SCHEMA_VERSION

NOTICES = {"given": {1}, "withdrawn": {1}, "regranted": {1, 2}}
FULL = os.environ.get("KALOS_SWEEP") == "full"
SEED = int(os.environ.get("KALOS_SEED", "20240318"))


@pytest.fixture(scope="module")
def benches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Bench]]:
    """One state of each story, made once."""
    made = {story: bench_of(tmp_path_factory.mktemp("bench") / story, story) for story in STORIES}
    yield {story: manager.__enter__() for story, manager in made.items()}
    for manager in made.values():
        manager.__exit__(None, None, None)


@pytest.fixture(params=STORIES)
def bench(request: pytest.FixtureRequest, benches: dict[str, Bench]) -> Bench:
    """Each of them in turn, as it was."""
    benches[request.param].restore()
    return benches[request.param]


@pytest.fixture
def given(benches: dict[str, Bench]) -> Bench:
    """Granted, with buffered positions."""
    benches["given"].restore()
    return benches["given"]


def some(size: int, count: int) -> tuple[list[int], Callable[[int], int]]:
    """``count`` of the bytes, and a bit for each."""
    order = random.Random(SEED + size)
    return sorted(order.sample(range(size), min(count, size))), lambda offset: (offset * 7 + SEED) % 8


# -- bit flips -----------------------------------------------------------------------------------


@pytest.mark.once
@pytest.mark.fault(12)
@pytest.mark.parametrize(("name", "count"), [("page", 60), ("ledger.db", 120), ("vault", 30)])
def test_r8_a_flipped_bit_changes_nothing_or_closes_the_gate(bench: Bench, name: str, count: int) -> None:
    """All of them: ``python tools/flip_every_byte.py``; the counts are in docs/damage.md."""
    found = flip_in_place(bench, name, *some(bench.path(name).stat().st_size, count))
    refused = {reason.name for reason in OWN_REASONS}
    assert set(found) <= {"unchanged", *refused}
    if name != "vault":
        assert found["unchanged"] and found[Reason.STATE_UNREADABLE.name], "some bytes mean nothing, some do"
    elif bench.story == "withdrawn":
        assert set(found) == {"unchanged"}, "a vault is read for a grant only"
    else:
        assert "unchanged" not in found


@pytest.mark.once
@pytest.mark.fault(12)
def test_r8_a_flipped_bit_in_ram_closes_the_gate(given: Bench) -> None:
    assert given.ram is not None
    found = flip_in_ram(given, random.Random(SEED).sample(range(8 * len(given.ram)), 60))
    assert found == {"STATE_UNREADABLE": 60}


@pytest.mark.once
@pytest.mark.fault(12)
def test_r4_a_flipped_bit_in_a_box_never_makes_another_position(given: Bench) -> None:
    """What a damaged box still yields was submitted; the rest is dropped."""
    box = given.path("box")
    content = box.read_bytes()
    outcomes = Counter[int]()
    order = random.Random(SEED)
    for offset in (0, 20, 40, 70, 100, *order.sample(range(128, len(content)), 3)):
        given.restore()
        path = given.path("box")
        path.write_bytes(content[:offset] + bytes([content[offset] ^ 1 << offset % 8]) + content[offset + 1 :])
        with service_of(given) as service, given.connect() as connect:
            connect.flush()
            sent = [(p["latitude"], p["longitude"]) for p in service.positions]
            assert set(sent) <= set(PLACES) and len(sent) == len(set(sent))
            outcomes[len(sent)] += 1
            assert connect.permission().granted, "positions are lost, consent is not"
            assert connect.submit(Position(*LATER)).accepted and connect.flush().sent == 1
    assert min(outcomes) == 0, "a damaged header drops them all"


Change = Callable[[bytearray], None]


def at(find: bytes, offset: int = 0, bit: int = 1) -> Change:
    """Flip a bit ``offset`` bytes after the first match of the pattern ``find``."""

    def change(content: bytearray) -> None:
        found = re.search(find, content)
        assert found is not None
        content[found.start() + offset] ^= bit

    return change


def byte(offset: int, bit: int) -> Change:
    """Flip a bit of the byte at ``offset``."""

    def change(content: bytearray) -> None:
        content[offset] ^= bit

    return change


def cut(content: bytearray) -> None:
    del content[-4096:]


def newer(content: bytearray) -> None:
    content[60:64] = (SCHEMA_VERSION + 1).to_bytes(4, "big")


# What is damaged, and which notices can be read all the same: all, none, all but one.
DAMAGE: dict[str, tuple[str, Change, str]] = {
    "page-magic": ("page", byte(0, 1), "all"),
    "page-tombstone": ("page", byte(8 * Page.slot(NAVIGATION, 1), 4), "all"),
    "ledger-magic": ("ledger.db", byte(3, 1), "none"),
    "ledger-event": ("ledger.db", at(rb'"kind":"allow"', 9), "all"),
    "ledger-record": ("ledger.db", at(rb"navigation[0-9a-f]{32}", 20), "all"),
    "ledger-notice": ("ledger.db", at(rb'"signature"'), "but one"),
    "ledger-newer": ("ledger.db", newer, "all"),
    "ledger-cut": ("ledger.db", cut, "all"),
    "vault": ("vault", byte(200, 1), "all"),
}


@pytest.mark.once
@pytest.mark.fault(12, 16)
@pytest.mark.parametrize("what", DAMAGE)
def test_r8_whatever_is_damaged_there_is_a_way_out_and_no_readable_notice_is_lost(bench: Bench, what: str) -> None:
    """Refused, nothing sent, kept, named by ``doctor``; ``withdraw()`` works, ``reset()`` leads out, the service hears."""
    name, change, readable = DAMAGE[what]
    path = bench.path(name)
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)
    wanted = NOTICES[bench.story] if readable == "all" else set()
    with service_of(bench) as service:
        # An unreadable tombstone counts as one, and is written again: that damage does not stay.
        reason = whole_way(bench, service, damaged=path if what != "page-tombstone" else None, notices=wanted)
        if readable == "but one" and bench.story == "regranted":
            assert {1, 2} & {one["epoch"] for one in service.withdrawals}
    if name != "vault":
        assert reason == "STATE_UNREADABLE"
    elif bench.story != "withdrawn":
        assert reason in ("VAULT_UNAVAILABLE", "STATE_UNREADABLE")


@pytest.mark.once
@pytest.mark.fault(12)
def test_r8_page_and_ledger_damaged_at_once_leave_no_key(bench: Bench) -> None:
    """Nobody knows the epoch any more; the entry in RAM does, so that its key goes."""
    for name in ("page", "ledger.db"):
        bench.path(name).write_bytes(b"garbage")
    with service_of(bench), bench.connect() as connect:
        assert connect.permission().reason is Reason.STATE_UNREADABLE
        report = connect.withdraw()
        assert report.complete
        ram = bench.keys().read()
        assert ram is not None and ram.key is None and not list((bench.leaf / "outbox").glob("*.box"))
        connect.reset()
        assert connect.permission().reason is Reason.NOT_ASKED
        granted = connect.request_permission(user_action=True)
        assert granted.granted and granted.epoch == (3 if bench.story == "regranted" else 2)


@pytest.mark.once
@pytest.mark.fault(12)
def test_r8_a_foreign_entry_in_ram_closes_the_gate_and_reset_leads_out(given: Bench) -> None:
    place = given.keys()._place
    place.write(bytes(97), secret=True)
    with service_of(given) as service, given.connect() as connect:
        assert connect.permission().reason is Reason.STATE_UNREADABLE
        report = connect.withdraw()
        assert not report.complete and any("data key" in item for item in report.remaining)
        assert place.read() == bytes(97), "kept"
        connect.reset()
        assert connect.permission().reason is Reason.NOT_ASKED
        assert connect.request_permission(user_action=True).epoch == 2
        assert connect.wait_for_notices(20) and {one["epoch"] for one in service.withdrawals} == {1}


# -- another length, another kind of thing -------------------------------------------------------


@pytest.mark.once
@pytest.mark.fault(12)
@pytest.mark.parametrize("name", ["page", "ledger.db", "vault"])
def test_r8_a_truncated_file_is_refused_and_kept(bench: Bench, name: str) -> None:
    path = bench.path(name)
    whole = path.read_bytes()
    expected = (
        {"unchanged"} if name == "vault" and bench.story == "withdrawn" else {"STATE_UNREADABLE", "VAULT_UNAVAILABLE"}
    )
    step = 512 if FULL else 2560
    for size in range(0, len(whole), step):
        path.write_bytes(whole[:size])
        assert bench.judge() in expected
        assert path.read_bytes() == whole[:size]
    path.write_bytes(whole)
    assert bench.judge() == "unchanged"


@pytest.mark.once
@pytest.mark.fault(12)
@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("page", "STATE_UNREADABLE"),
        ("vault", "VAULT_UNAVAILABLE"),
        ("barrier", "unchanged"),
        ("ledger.db", "unchanged"),
    ],
)
def test_r8_garbage_behind_a_file(given: Bench, name: str, verdict: str) -> None:
    """Behind a ledger it is nothing to SQLite, whose header says where it ends; a lock's content means nothing."""
    path = given.path(name)
    with open(path, "ab") as file:
        file.write(b"garbage")
    content = path.read_bytes()
    assert given.judge() == verdict
    assert path.read_bytes() == content


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir(mode=0o700)


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def _socket(path: Path) -> None:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as made:
        here = os.getcwd()
        os.chdir(path.parent)  # a socket's path is short
        try:
            made.bind(path.name)
        finally:
            os.chdir(here)
    path.chmod(0o600)


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def _foreign(path: Path) -> None:
    os.chown(path, 12345, -1)


def _open_to_others(path: Path) -> None:
    path.chmod(0o777)


KINDS = {
    "a-directory": _directory,
    "a-fifo": _fifo,
    "a-socket": _socket,
    "a-symlink": _link,
    "a-foreign-file": _foreign,
    "a-file-open-to-others": _open_to_others,
}


@pytest.mark.once
@pytest.mark.fault(12, 17)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["page", "ledger.db", "vault"])
def test_r8_something_else_in_a_files_place_is_refused_and_reset_leads_out(given: Bench, name: str, kind: str) -> None:
    if kind == "a-foreign-file" and os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    KINDS[kind](given.path(name))
    expected = "VAULT_UNAVAILABLE" if name == "vault" else "STATE_UNREADABLE"
    assert given.judge() == expected
    with service_of(given) as service:
        assert whole_way(given, service, damaged=None, notices={1} if name != "ledger.db" else set()) == expected


@pytest.mark.once
@pytest.mark.fault(11)
def test_r1_without_its_ledger_nothing_is_granted_and_the_drop_is_finished(bench: Bench) -> None:
    bench.path("ledger.db").unlink()
    with service_of(bench) as service, bench.connect() as connect:
        assert connect.permission().reason is Reason.NOT_ASKED
        with pytest.raises(ConsentRequired):
            connect.submit(Position(*LATER))
        engine = connect._opened()
        engine.keeper.call(lambda: engine.works)
        ram = bench.keys().read()
        assert ram is None or ram.key is None, "an orphan key is destroyed at start"
        assert not list((bench.leaf / "outbox").glob("*.box"))
        granted = connect.request_permission(user_action=True)
        assert granted.granted and granted.epoch == (3 if bench.story == "regranted" else 2)
        assert connect.submit(Position(*LATER)).accepted and connect.flush().sent == 1
        assert len(service.positions) == 1


@pytest.mark.once
@pytest.mark.fault(11)
def test_r5_without_its_page_a_ledger_that_says_given_opens_nothing(bench: Bench) -> None:
    """A tombstone may have stood on it alone; at the second opening no less than at the first."""
    bench.path("page").unlink()
    assert bench.judge() == bench.judge() == "STATE_UNREADABLE"
    with service_of(bench) as service:
        whole_way(bench, service, damaged=None, notices=NOTICES[bench.story])


# -- while it runs -------------------------------------------------------------------------------


@pytest.mark.once
@pytest.mark.fault(18)
@pytest.mark.parametrize("what", ["page", "ledger.db", "directory"])
def test_r1_what_is_removed_under_a_program_stops_it_at_the_next_check(given: Bench, what: str) -> None:
    with service_of(given) as service, given.connect() as connect:
        assert connect.permission().granted and connect.submit(Position(*LATER)).accepted
        if what == "directory":
            given.leaf.rename(given.base / "moved")
        else:
            given.path(what).unlink()
        permission = connect.permission()
        assert not permission.granted and permission.reason is Reason.STATE_UNREADABLE
        assert connect.flush(timeout_s=5).sent == 0 and service.positions == []
        report = connect.withdraw()
        assert not connect.permission().granted
        assert what != "directory" or not report.complete or report.remaining == ()


# -- a directory that is not ours alone ----------------------------------------------------------


def _symlinked(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")


@pytest.mark.once
@pytest.mark.fault(17)
@pytest.mark.parametrize("change", [_open_to_others, _symlinked, _foreign])
@pytest.mark.parametrize("step", ["leaf", "parent", "base"])
def test_r1_a_state_directory_that_is_not_ours_alone_is_refused_by_every_call(
    given: Bench,
    step: str,
    change: Callable[[Path], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each error names the place and says what to do; ``withdraw()`` claims nothing; nothing is sent."""
    if change is _foreign and os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    place = {"leaf": given.leaf, "parent": given.leaf.parent, "base": given.base / "state"}[step]
    change(place)
    with service_of(given) as service, given.connect() as connect:
        assert connect.permission().reason is Reason.STATE_UNREADABLE
        with pytest.raises(ConsentRequired):
            connect.submit(Position(*LATER))
        assert connect.flush().sent == 0
        report = connect.withdraw()
        assert (report.complete, report.durable) == (False, False) and report.remaining
        with pytest.raises(StateUnreadable, match=str(place)):
            connect.reset()
        state = next(row for row in connect.doctor() if row["name"] == "state")
        assert not state["ok"] and str(place) in state["detail"] and state["advice"]
        assert service.requests == []
    for name, value in (("STATE_DIR", given.base / "state"), ("VAULT", f"file:{given.vault}")):
        monkeypatch.setenv(f"KALOS_CONNECT_{name}", str(value))
    assert main(["doctor", "--app", "com.example.test"]) == 7
    said = capsys.readouterr()
    assert place.name in said.out + said.err


@pytest.mark.once
@pytest.mark.fault(17)
def test_r1_a_state_that_another_user_owns_is_no_state_of_ours(given: Bench) -> None:
    """A child of this process becomes nobody and asks."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    given.base.chmod(0o755)
    reading, writing = os.pipe()
    with service_of(given) as service:
        child = os.fork()
        if child == 0:
            said = "nothing"
            try:
                os.setgid(65534)
                os.setuid(65534)
                connect = given.connect()
                report = connect.withdraw()
                said = f"{connect.permission().reason.name} {report.complete} {report.durable} {connect.flush().sent}"
                connect.submit(Position(*LATER))
            except ConsentRequired as error:
                said += f" {error.reason.name}"
            except BaseException as error:
                said += f" {type(error).__name__}"
            finally:
                os.write(writing, said.encode())
                os._exit(0)
        os.close(writing)
        with open(reading, "rb") as pipe:
            assert pipe.read().decode() == "STATE_UNREADABLE False False 0 STATE_UNREADABLE"
        os.waitpid(child, 0)
        assert service.requests == []


# -- what is said --------------------------------------------------------------------------------


@pytest.mark.once
@pytest.mark.fault(12, 16)
@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("page-magic", "page of tombstones is damaged"),
        ("ledger-magic", "ledger.db is damaged"),
        ("ledger-event", "history does not verify"),
        ("ledger-record", "ledger.db is damaged"),
        ("ledger-newer", "written by a newer version"),
        ("vault", "vault"),
    ],
)
def test_r8_doctor_says_which_file_and_what_to_do(
    given: Bench, what: str, says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, change, _ = DAMAGE[what]
    content = bytearray(given.path(name).read_bytes())
    change(content)
    given.path(name).write_bytes(content)
    for key, value in (("STATE_DIR", given.base / "state"), ("VAULT", f"file:{given.vault}")):
        monkeypatch.setenv(f"KALOS_CONNECT_{key}", str(value))
    assert main(["doctor", "--app", "com.example.test"]) == 7
    said = capsys.readouterr().out
    assert says in " ".join(said.split())
    assert "consent reset" in said or name == "vault"
    assert given.path(name).read_bytes() == content


@pytest.mark.once
@pytest.mark.fault(16)
def test_r8_a_newer_ledger_is_neither_read_nor_made_anew(bench: Bench) -> None:
    with sqlite3.connect(bench.path("ledger.db")) as database:
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    database.close()
    content = bench.path("ledger.db").read_bytes()
    assert bench.judge() == "STATE_UNREADABLE"
    assert bench.path("ledger.db").read_bytes() == content


@pytest.mark.fault(25)
def test_r4_granted_anew_then_withdrawn_leaves_no_key_of_any_epoch(benches: dict[str, Bench]) -> None:
    bench = benches["regranted"]
    bench.restore()
    with service_of(bench) as service, bench.connect() as connect:
        before = bench.keys().read()
        assert before is not None and before.epoch == 2 and before.key is not None
        assert connect.withdraw().dropped == len(PLACES)
        after = bench.keys().read()
        assert after is not None and after.key is None and after.counters[NAVIGATION] == 2
        assert bench.ram is not None and before.key not in (bench.keys()._place.read() or b"")
        assert connect.wait_for_notices(20) and {one["epoch"] for one in service.withdrawals} == {1, 2}
