"""R3, R13: each look of the watcher, taken alone: what it cuts, ends, reads and tells, and when it looks again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest
from two_programs import NAVIGATION, Program, Scene

from kalos_connect_sdk import Purpose, Reason
from kalos_connect_sdk.model.vehicle import OsAnswer
from kalos_connect_sdk.protocol import watching
from kalos_connect_sdk.protocol.bulletin import CLOSES
from kalos_connect_sdk.protocol.causes import CAUSES
from kalos_connect_sdk.protocol.watching import Watcher

BORDER = Purpose.CROSS_BORDER_TRANSFER


class Seen:
    """A watcher without its thread, on a clock that stands still, and what it did."""

    def __init__(self, program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
        self.program = program
        self.now_s = 1000.0
        self.did: list[Any] = []
        self.driving = False
        monkeypatch.setattr(watching, "time", SimpleNamespace(monotonic=lambda: self.now_s))
        self.asked: list[list[Purpose]] = []
        """The purposes whose end elsewhere was asked about, for each look that read."""
        self.watcher = Watcher(
            program.state,
            program.view,
            cut=lambda: self.did.append("cut"),
            finish=lambda: self.did.append("finish"),
            keep_time=lambda: self.did.append("keep time"),
            hear_motion=lambda: self.asked.append([]),
            end=lambda purpose, cause: self.did.append((purpose, cause)),
            driving=lambda: self.driving,
            lost=self.did.append,
            ask=lambda purposes: self.asked[-1].extend(purposes),
        )

    def look(self, after_s: float = 0.0) -> list[Any]:
        """What one look does, ``after_s`` seconds later."""
        self.now_s += after_s
        self.did.clear()
        self.watcher._look()
        return list(self.did)


@pytest.fixture
def seen(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Iterator[Seen]:
    made = Seen(scene.program(), monkeypatch)
    yield made
    made.watcher.stop()


def judged(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When the gate is asked."""
    found: list[float] = []
    judge = Watcher._judge
    monkeypatch.setattr(Watcher, "_judge", lambda self, now: (found.append(now), judge(self, now))[1])
    return found


def test_while_consent_stands_a_look_does_nothing(seen):
    assert seen.look() == []
    assert seen.look(10.0) == []


def test_r3_an_ended_grant_is_cut_at_every_look_and_finished_when_nobody_does(seen):
    seen.look()
    seen.program.state.page.end(NAVIGATION, 1)
    assert seen.look(0.01) == ["cut"]
    assert seen.look(watching._GRACE_S) == ["cut"]
    assert seen.look(0.25) == ["cut", "finish"]
    assert seen.look(watching._GRACE_S) == ["cut"]
    assert seen.look(0.25) == ["cut", "finish"]


def test_r3_what_is_written_while_a_watcher_gives_way_wakes_it_once(seen, monkeypatch):
    """Every note of a cut would wake the watchers of all programs, eight notes eight watchers each."""
    gives_way, go = SimpleQueue(), SimpleQueue()
    monkeypatch.setattr(watching.time, "sleep", lambda s: (gives_way.put(s), go.get(timeout=30)), raising=False)
    page = seen.program.state.page
    seen.watcher.start()
    page.end(NAVIGATION, 1)
    for _ in range(8):
        assert gives_way.get(timeout=30) == watching._GIVE_WAY_S
        for place in range(20):
            page.set_cut(place, page.tag, 1)
        go.put(True)
    assert gives_way.get(timeout=30)
    assert seen.did.count("cut") in (9, 10), "a cut for each time, or one more for what was written before the first"
    seen.watcher._stopping = True
    go.put(True)


def test_an_end_that_somebody_finished_is_not_waited_for(seen):
    seen.program.state.page.end(NAVIGATION, 1)
    assert seen.look() == ["cut"]
    assert seen.watcher._over_since is not None
    seen.program.state.commit([seen.program.state.event("withdraw", NAVIGATION, 1, cause="subject")])
    assert seen.look(watching._GRACE_S + 1) == []
    assert seen.watcher._over_since is None


def test_nobody_reads_while_another_withdraws_and_the_look_is_owed(seen, monkeypatch):
    found = judged(seen, monkeypatch)
    seen.look()
    assert found == [seen.now_s]
    seen.look(watching._TICK_S / 2)
    assert len(found) == 1
    assert seen.watcher._owed
    seen.look(watching._TICK_S / 2)
    assert found[1:] == [seen.now_s]
    assert not seen.watcher._owed
    seen.program.state.page.end(NAVIGATION, 1)
    seen.look(watching._TICK_S)
    assert len(found) == 2
    seen.look(watching._SOON_S)
    assert len(found) == 3


def test_who_is_told_waits_for_no_tick(seen, monkeypatch):
    found = judged(seen, monkeypatch)
    seen.look()
    seen.driving = True
    seen.look(0.001)
    assert len(found) == 1
    seen.look(watching._SOON_S)
    assert len(found) == 2
    seen.look(watching._SOON_S)
    assert len(found) == 3


def test_waking_looks_at_once_and_once(seen, monkeypatch):
    found = judged(seen, monkeypatch)
    seen.look()
    seen.watcher.wake()
    seen.look(0.001)
    assert len(found) == 2
    seen.look(0.001)
    assert len(found) == 2


@pytest.mark.parametrize("by", ["nobody", "a subscriber", "a drive"])
def test_the_next_look_is_soon_only_for_who_is_told_and_when_something_changed(seen, by):
    seen.look()
    unsubscribe = seen.watcher.subscribe(lambda _: None) if by == "a subscriber" else lambda: None
    seen.driving = by == "a drive"
    assert seen.watcher._pause_s() == watching._TICK_S
    seen.program.state.page.bump()
    if by == "nobody":
        assert seen.watcher._pause_s() == watching._TICK_S
    else:
        seen.watcher._next_look = seen.now_s + 0.004
        assert seen.watcher._pause_s() == pytest.approx(0.004)
        seen.watcher._next_look = seen.now_s + 10
        assert seen.watcher._pause_s() == watching._SOON_S
        seen.watcher._next_look = 0.0
        assert seen.watcher._pause_s() == 0.001
    unsubscribe()


@pytest.mark.parametrize(
    ("reason", "os", "certain", "cause"),
    [
        (Reason.EXPIRED, None, True, "time"),
        (Reason.EXPIRED, None, False, None),
        (Reason.EXPIRED, OsAnswer.DENIED, False, "os"),
        (Reason.GUARDIAN_REQUIRED, None, False, "profile"),
        (Reason.VEHICLE_PRIVACY, None, False, "vehicle"),
        (Reason.VEHICLE_PRIVACY, OsAnswer.DENIED, True, "os"),
        (Reason.OS_DENIED, OsAnswer.DENIED, False, "os"),
        (Reason.OS_UNKNOWN, OsAnswer.UNKNOWN, True, None),
        (Reason.CLOCK_UNTRUSTED, None, True, None),
        (Reason.ALLOWED, OsAnswer.DENIED, True, None),
    ],
)
def test_r13_what_is_over_is_ended_for_its_own_cause_and_by_clocks_that_cannot_lie(
    seen, monkeypatch, reason, os, certain, cause
):
    decision = SimpleNamespace(reason=reason, allowed=reason is Reason.ALLOWED)
    monkeypatch.setattr(seen.program.view, "decide", lambda _: decision)
    monkeypatch.setattr(seen.program.view, "os", lambda: os)
    monkeypatch.setattr(seen.program.view, "outdated", lambda _: None)
    monkeypatch.setattr(seen.program.view, "expiry_certain", lambda _: certain)
    assert seen.look() == ([] if cause is None else [(NAVIGATION, CAUSES[cause])])


@pytest.mark.parametrize("outdated", list(CLOSES))
def test_r14_what_was_changed_elsewhere_is_ended_for_that_cause(seen, monkeypatch, outdated):
    monkeypatch.setattr(seen.program.view, "outdated", lambda _: outdated)
    monkeypatch.setattr(seen.program.view, "decide", lambda _: SimpleNamespace(reason=Reason.NOT_ASKED, allowed=False))
    assert seen.look() == [(NAVIGATION, CLOSES[outdated])]


def test_what_is_granted_is_asked_about_at_every_look_that_reads(seen, monkeypatch):
    seen.look()
    seen.look(0.001)
    assert seen.asked == [[NAVIGATION]]
    monkeypatch.setattr(seen.program.view, "decide", lambda _: SimpleNamespace(reason=Reason.BUSY, allowed=False))
    seen.look(1.0)
    assert seen.asked == [[NAVIGATION], []]


def test_r8_a_state_that_cannot_be_read_cuts(seen):
    seen.program.state.page.words[seen.program.state.page.slot(BORDER, 9)] = 9
    seen.program.state.page.bump()
    assert seen.look(1.0) == ["cut"]


def test_a_drive_is_told_when_it_lost_its_consent(seen, monkeypatch):
    seen.driving = True
    assert seen.look() == []
    lost = SimpleNamespace(reason=Reason.OS_UNKNOWN, allowed=False)
    monkeypatch.setattr(seen.program.view, "certain", lambda _: lost)
    assert seen.look(1.0) == [Reason.OS_UNKNOWN]
    seen.driving = False
    assert seen.look(1.0) == []


def test_r13_the_time_is_kept_now_and_then(seen):
    seen.watcher._time_kept = seen.now_s
    assert seen.look(watching._KEEP_TIME_S) == []
    assert seen.look(1.0) == ["keep time"]
    assert seen.look(watching._KEEP_TIME_S) == []
    assert seen.look(1.0) == ["keep time"]


def test_subscribers_are_told_what_changed_until_they_leave(seen):
    told: list[Any] = []
    news = threading.Semaphore(0)

    def failing(_: Any) -> None:
        raise RuntimeError("a subscriber's own")

    def listen(permission: Any) -> None:
        told.append(permission)
        news.release()

    leave_failing = seen.watcher.subscribe(failing)
    leave = seen.watcher.subscribe(listen)
    seen.look(1.0)
    seen.program.state.page.end(NAVIGATION, 1)
    seen.look(1.0)
    seen.look(1.0)
    assert news.acquire(timeout=30)
    assert [one.granted for one in told] == [False]
    assert len(seen.watcher._subscribers) == 2
    leave_failing()
    leave()
    leave()
    assert not seen.watcher._listened_to()


@pytest.mark.parametrize("step", ["subscribe", "leave", "tell"])
def test_no_step_of_telling_overtakes_one_that_holds_the_lock(seen, step):
    told = threading.Semaphore(0)
    leave = seen.watcher.subscribe(lambda _: told.release())
    steps: dict[str, Callable[[], object]] = {
        "subscribe": lambda: seen.watcher.subscribe(lambda _: None),
        "leave": leave,
        "tell": lambda: told.acquire(timeout=30),
    }
    thread = threading.Thread(target=steps[step])
    with seen.watcher._lock:
        seen.watcher._news.put(seen.program.view.permission(NAVIGATION))
        thread.start()
        thread.join(0.05)
        assert thread.is_alive(), "it did not wait"
    thread.join(30)
    assert not thread.is_alive()


def test_whoever_stops_the_watcher_from_its_own_thread_waits_for_nobody(scene, monkeypatch):
    program = scene.program()
    stopped: list[Any] = []
    over = threading.Event()

    def stop_here() -> None:
        try:
            watcher.stop()
            stopped.append(None)
        except RuntimeError as error:
            stopped.append(error)
        over.set()

    nothing: Any = lambda *_: None  # noqa: E731
    calls = dict.fromkeys(("finish", "keep_time", "hear_motion", "end", "driving", "lost", "ask"), nothing)
    watcher = Watcher(program.state, program.view, stop_here, **calls)
    program.state.page.end(NAVIGATION, 1)
    watcher.start()
    watcher.wake()
    assert over.wait(30)
    assert stopped == [None]
    watcher._thread.join(30)
    watcher.stop()
    assert watcher._watch._wake_read == -1
    never = Watcher(program.state, program.view, nothing, **calls)
    never.stop()
    assert never._watch._wake_read == -1
