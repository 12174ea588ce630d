"""FAULTS 23: no fork divides what another thread does in SQLite; a child that was forked in the middle says so.

Each instant is held still by a trace callback: SQLite calls it in the middle of a statement, its locks held.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kalos_connect_sdk.service.sqlite import SqliteStore
from kalos_connect_sdk.storage import forks
from kalos_connect_sdk.storage.directory import StateDirectory
from kalos_connect_sdk.storage.failure import StorageFailure
from kalos_connect_sdk.storage.ledger import Ledger
from kalos_connect_sdk.storage.salvage import readable_notices

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning"),  # 3.12: threads are running
    pytest.mark.fault(23),
]


def forked(child: Callable[[], object]) -> str:
    """What ``child`` returned in a forked process; one that hangs says nothing, after ten seconds."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(10)
            os.write(writing, repr(child()).encode())
        except BaseException as error:
            os.write(writing, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return said


class InTheMiddle:
    """A commit of ``ledger`` on a thread of its own, which stands still before the statement that begins with ``at``."""

    def __init__(self, ledger: Ledger, at: str) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()
        self.error: BaseException | None = None
        self._at = at
        ledger._run(lambda db: db.set_trace_callback(self._trace))
        self._thread = threading.Thread(target=self._commit, args=(ledger,), daemon=True)
        self._thread.start()
        assert self.reached.wait(10)

    def _trace(self, statement: str) -> None:
        if statement.startswith(self._at) and not self.reached.is_set():
            self.reached.set()
            self.go_on.wait(20)

    def _commit(self, ledger: Ledger) -> None:
        try:
            ledger.commit(meta={"from": "the parent"})
        except BaseException as error:
            self.error = error

    def end(self) -> None:
        self.go_on.set()
        self._thread.join(20)
        assert not self._thread.is_alive() and self.error is None


def eventually(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.0005)


@pytest.fixture
def ledger(directory: StateDirectory) -> Iterator[Ledger]:
    one = Ledger.open(directory)
    one.commit(meta={"from": "before"})
    yield one
    one.close()


@pytest.mark.parametrize("at", ["BEGIN", "INSERT", "COMMIT"])
def test_a_fork_waits_until_nobody_is_inside_sqlite(ledger, directory, monkeypatch, at):
    monkeypatch.setattr(forks, "_WAIT_S", 20.0)
    commit, said = InTheMiddle(ledger, at), []

    def child() -> str | None:
        own = Ledger.open(directory)
        own.commit(meta={"child": "yes"})
        return own.meta("from")

    forker = threading.Thread(target=lambda: said.append(forked(child)), daemon=True)
    forker.start()
    eventually(lambda: forks._forking)
    assert forker.is_alive() and not said
    commit.end()
    forker.join(20)
    assert said == ["'the parent'"]
    assert ledger.meta("child") == "yes"


def test_r1_a_child_forked_in_the_middle_refuses_at_once(ledger, directory, tmp_path, monkeypatch):
    monkeypatch.setattr(forks, "_WAIT_S", 0.02)
    commit = InTheMiddle(ledger, "COMMIT")

    def child() -> list[str]:
        refusals: list[Callable[[], object]] = [
            lambda: ledger.meta("from"),
            lambda: Ledger.open(directory),
            lambda: Ledger.draft(directory),
            lambda: SqliteStore(tmp_path / "service.db"),
        ]
        said = []
        for each in refusals:
            try:
                said.append(f"no error: {each()}")
            except StorageFailure as error:
                said.append(str(error))
        ledger.close()
        return [*set(said), *map(repr, readable_notices(directory.path / "ledger.db"))]

    said = forked(lambda: [*child(), forked(child)])  # and so does a child of that child
    commit.end()
    assert said.count("the program forked while another of its threads was in the middle of using the state") == 2
    assert "no error" not in said and "Error" not in said
    assert forked(lambda: Ledger.open(directory).meta("from")) == "'the parent'"


def test_r5_a_transaction_that_a_finalizer_forked_from_is_committed_once(ledger, directory):
    """On the thread that is inside: nobody waits, and the child's copy of the transaction comes to nothing."""
    parent, said = os.getpid(), []

    class Forking(list[str]):
        """Stands for a finalizer: it runs between two statements of the transaction."""

        def __iter__(self) -> Iterator[str]:
            reading, writing = os.pipe()
            pid = os.fork()
            if pid == 0:
                said.append(str(writing))
                return iter(())
            os.close(writing)
            with os.fdopen(reading) as pipe:
                said.append(pipe.read())
            os.waitpid(pid, 0)
            return iter(())

    try:
        ledger.commit(meta={"from": "the parent"}, attempted=Forking())
        outcome = "committed"
    except StorageFailure as error:
        outcome = str(error)
    if os.getpid() != parent:
        try:
            Ledger.open(directory)
        except StorageFailure:
            outcome += ", and refuses"
        os.write(int(said[0]), outcome.encode())
        os._exit(0)
    assert outcome == "committed"
    assert said == [f"{directory.path / 'ledger.db'} failed: SQLITE_AUTH, and refuses"]
    assert Ledger.open(directory).meta("from") == "the parent"


def test_r11_who_comes_while_a_fork_waits_is_not_kept_for_long(ledger, directory, monkeypatch):
    """Whoever forks may have been interrupted by a handler that waits for us."""
    monkeypatch.setattr(forks, "_WAIT_S", 20.0)
    commit, said = InTheMiddle(ledger, "COMMIT"), []
    forker = threading.Thread(target=lambda: said.append(forked(lambda: "forked")), daemon=True)
    forker.start()
    eventually(lambda: forks._forking)
    with forks.undivided("another state"):
        assert not said and forker.is_alive()
        with forks.undivided("and again, deeper"):
            commit.end()
        eventually(lambda: list(forks._inside) == [threading.get_ident()])
        assert not said, "the fork waits for us as well"
    forker.join(20)
    assert said == ["'forked'"]


def test_who_comes_while_a_fork_waits_lets_it_go_first(ledger, monkeypatch):
    monkeypatch.setattr(forks, "_WAIT_S", 20.0)
    monkeypatch.setattr(forks, "_GIVE_WAY_S", 20.0)
    commit, said, order = InTheMiddle(ledger, "COMMIT"), [], []
    forker = threading.Thread(target=lambda: said.append(forked(lambda: dict(forks._inside))), daemon=True)

    def come_late() -> None:
        with forks.undivided("late"):
            order.append(list(forks._forking))

    late = threading.Thread(target=come_late, daemon=True)
    forker.start()
    eventually(lambda: forks._forking)
    late.start()
    commit.end()
    forker.join(20)
    late.join(20)
    assert said == ["{}"] and order == [[]]


def test_what_is_nested_ends_with_the_outermost():
    with forks.undivided("outer"):
        me = threading.get_ident()
        with forks.undivided("inner"):
            assert forks._inside[me] == "inner"
        assert forks._inside[me] == "outer"
    assert me not in forks._inside


@contextmanager
def service_store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(path)
    try:
        yield store
    finally:
        store.close()


def test_the_services_store_is_not_divided_either(tmp_path, monkeypatch):
    monkeypatch.setattr(forks, "_WAIT_S", 20.0)
    reached, go_on, said = threading.Event(), threading.Event(), []

    def trace(statement: str) -> None:
        reached.set()
        go_on.wait(20)

    with service_store(tmp_path / "service.db") as store:
        store._db.set_trace_callback(trace)
        asking = threading.Thread(target=lambda: store.count("r"), daemon=True)
        asking.start()
        assert reached.wait(10)
        forker = threading.Thread(target=lambda: said.append(forked(lambda: dict(forks._inside))), daemon=True)
        forker.start()
        eventually(lambda: forks._forking)
        go_on.set()
        forker.join(20)
        asking.join(20)
        assert said == ["{}"]
