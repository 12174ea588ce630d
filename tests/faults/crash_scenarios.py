"""What the device is doing when it crashes, and what must be true afterwards (DESIGN of the drop: R3 to R6, R15).

A scenario prepares a state, does one thing in a window, and judges what a fresh process finds: what was promised
before the kill holds, a grant is whole or not there, an ending is finished with its notice, and the device goes on.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from crash_bench import APP, APPROXIMATE, CANARIES, COMPLETE, DONE, DURABLE, FAKE, GRANTED, NOON, Car, until_ended
from syscall_tap import Point

from kalos_connect_sdk import Duration, KalosConnectError, PromptAnswer

__all__ = ["SCENARIOS", "Case", "Scenario", "judge"]

Facts = dict[str, Any]
_WEEK = PromptAnswer.allow(Duration.days(7))


@dataclass(slots=True)
class Case:
    """One crash and everything that was learnt about it."""

    fault: str
    target: Point | None
    base: Facts
    """What stood before: ``notice`` (the id of the grant's notice) and ``ended`` (epochs that had ended)."""
    hit: Point | None = None
    returned: int = 0
    accepted: int = 0
    result: Facts | None = None
    after: Facts | None = None
    left: Facts = field(default_factory=dict)
    found: Facts | None = None
    standing: Facts = field(default_factory=dict)
    seen: Facts = field(default_factory=dict)
    life: Facts | None = None
    seen_last: Facts = field(default_factory=dict)
    texts: str = ""
    hung: bool = False
    crashed: str = ""

    @property
    def killed(self) -> bool:
        return self.fault == "kill"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing the device does, and what is allowed after a crash in the middle of it."""

    name: str
    about: str
    act: Callable[[Car], Facts]
    allowed: Callable[[Case, list[str]], str]
    """The outcome in words; appends to the list what must not be."""
    prepare: Callable[[Car], None] | None = None
    before: Callable[[Car], None] | None = None
    after: Callable[[Car], Facts] | None = None
    flush_in_survey: bool = False
    service: str = "fresh"
    vault: str = "file"
    place: str = "kernel"
    clock_moves_s: float = 0.0


# -- what the device does ------------------------------------------------------------------------


def _grant(car: Car) -> Facts:
    permission = car.make().request_permission(user_action=True)
    car.returned(GRANTED if permission.granted else 0)
    return {"granted": permission.granted, "reason": permission.reason.name}


def _granted_with_rows(car: Car) -> None:
    connect = car.make(_WEEK)
    assert connect.request_permission(user_action=True).granted
    for position in car.positions(3):
        assert connect.submit(position).accepted


def _granted(car: Car) -> None:
    assert car.make().request_permission(user_action=True).granted


def _withdrawn_unheard(car: Car) -> None:
    connect = car.make()
    assert connect.request_permission(user_action=True).granted
    car.bench.service.ask("away")
    report = connect.withdraw()
    assert report.complete and report.durable
    connect._opened().courier.worker.stop()


def _open(car: Car) -> None:
    car.connect = car.make()
    assert car.connect.permission().granted
    car.connect._opened().works


def _buffering(car: Car) -> None:
    _open(car)
    for position in car.positions(2, 3):
        assert car.connect.submit(position).accepted


def _report(report: Any) -> Facts:
    return {"complete": report.complete, "durable": report.durable, "remaining": list(report.remaining)}


def _flags(report: Any) -> int:
    return (COMPLETE if report.complete else 0) | (DURABLE if report.durable else 0)


def _withdraw(car: Car) -> Facts:
    report = car.connect.withdraw()
    car.returned(_flags(report))
    told = car.connect.wait_for_notices(20)
    return {**_report(report), "told": told}


def _withdraw_offline(car: Car) -> Facts:
    report = car.connect.withdraw()
    car.returned(_flags(report))
    return _report(report)


def _open_and_withdraw(car: Car) -> Facts:
    car.connect = car.make()
    return _withdraw(car)


def _withdraw_again(car: Car) -> Facts:
    """The fault is gone: the same process finishes what it could not."""
    return _report(car.connect.withdraw(timeout_s=20.0))


def _send(car: Car) -> Facts:
    connect = car.connect = car.make()
    taken = 0
    for position in car.positions(4):
        if connect.submit(position).accepted:
            taken += 1
            car.accepted()
    report = connect.flush(timeout_s=20.0)
    return {"taken": taken, "sent": report.sent, "remaining": report.remaining}


def _send_and_withdraw(car: Car) -> Facts:
    connect = car.connect
    for position in car.positions(4, 3):
        if connect.submit(position).accepted:
            car.accepted()
    failed = ""
    try:
        connect.flush(timeout_s=20.0)
    except KalosConnectError as error:
        failed = str(error)
    with contextlib.suppress(KalosConnectError):
        connect.submit(car.positions(1, 9)[0])
    report = connect.withdraw()
    car.returned(_flags(report))
    return {**_report(report), "failed": failed}


def _downgrade(car: Car) -> Facts:
    permission = car.connect.request_permission(precision=APPROXIMATE)
    coarse = permission.granted and permission.precision is APPROXIMATE
    car.returned(GRANTED if coarse else 0)
    return {"granted": permission.granted, "coarse": coarse, "reason": permission.reason.name}


def _recover(car: Car) -> Facts:
    connect = car.connect = car.make()
    granted = connect.permission().granted
    engine = connect._opened()
    ending = engine.ending
    for _ in range(500):
        if not engine.keeper.call(ending.settle):
            break
    told = connect.wait_for_notices(20)
    return {"granted": granted, "told": told}


def _reset(car: Car) -> Facts:
    car.connect.reset()
    car.returned(COMPLETE | DURABLE)
    return {"reset": True}


def _open_only(car: Car) -> None:
    car.connect = car.make()
    car.connect.permission()
    car.connect._opened().works


def _damage(car: Car) -> None:
    """An edited event: the chain does not verify, and the notices can still be read."""
    _granted_with_rows(car)
    _edit(car)


def _edit(car: Car) -> None:
    db = sqlite3.connect(car.bench.root / "state" / APP / "_default" / "ledger.db")
    db.execute("UPDATE event SET body = CAST(replace(CAST(body AS TEXT), 'allow', 'allov') AS BLOB) WHERE seq = 1")
    db.commit()
    db.close()


def _week_on_a_clock(car: Car) -> None:
    car.clock = FAKE(NOON)
    connect = car.connect = car.make(_WEEK)
    assert connect.request_permission(user_action=True).granted
    for position in car.positions(3):
        assert connect.submit(position).accepted
    car.clock.advance(8 * 86400.0)


def _time_is_over(car: Car) -> Facts:
    """The week is over: the watcher sees it, and ends the grant as a withdrawal would."""
    connect = car.connect
    engine = connect._opened()
    engine.watcher.wake()
    assert until_ended(engine)
    return {"granted": connect.permission().granted, "told": connect.wait_for_notices(20)}


def _in_memory(car: Car) -> None:
    """A grant that lives in this process only (R9), with rows."""
    connect = car.connect = car.make()
    assert connect.request_permission(user_action=True).granted
    for position in car.positions(3):
        assert connect.submit(position).accepted


# -- what is allowed afterwards ------------------------------------------------------------------


def judge(scenario: Scenario, case: Case) -> tuple[str, list[str]]:
    """(outcome in words, what must not be)."""
    wrong: list[str] = []
    if case.hung:
        wrong.append("a process hung")
    if case.crashed:
        wrong.append(case.crashed)
    if any(canary in case.texts for canary in CANARIES):
        wrong.append("a coordinate in a text (R10)")
    elif case.texts:
        wrong.append(f"standard error: {case.texts[-400:]}")
    if case.found is None or case.life is None:
        wrong.append("a fresh process failed")
        return "no answer", wrong
    found = case.found
    if not found["finished"]:
        wrong.append("recovery does not end")
    if not found["granted"] and not found["unreadable"]:
        if case.standing["keys"]:
            wrong.append("a data key outlives its grant")
        if case.standing["boxes"]:
            wrong.append("ciphertext outlives its grant")
        if found["epoch"] and (found["erased"] != found["epoch"] or not found["ended"]):
            wrong.append(f"half ended: {found['status']} {found['epoch']} erased {found['erased']}")
    if found["granted"] != found["granted_after"]:
        wrong.append("the answer changes")
    if not found["told"]:
        wrong.append("the service was not told")
    if not found["unreadable"] and any(row[2] for row in found["notices"]):
        wrong.append("a notice stays awake")
    if case.result is not None and "raised" in case.result and not case.result["ours"]:
        wrong.append(f"raised {case.result['raised']}")
    times = Counter(entry[0] for entry in case.seen_last["positions"])
    if times and max(times.values()) > 1 and not _mark_refused(case):
        wrong.append("a position was sent twice in effect")
    outcome = scenario.allowed(case, wrong)
    life = case.life
    if not (life["again"] and life["newer"] and life["last"] == [True, True] and life["told"] and life["accepted"]):
        wrong.append(f"the device does not go on: {life}")
    if life.get("first", [True, True]) != [True, True]:
        wrong.append("the survivor cannot be withdrawn")
    effects = Counter(tuple(entry) for entry in case.seen_last["withdrawals"])
    if effects and (max(effects.values()) > 1 or max(Counter(e for _, e in effects).values()) > 1):
        wrong.append("a notice took effect twice, or under two ids")
    notice = case.base.get("notice")
    if (
        notice is not None
        and [notice, case.base["epoch"]] not in case.seen_last["withdrawals"]
        and not superseded(case)
    ):
        wrong.append("the notice of the grant never reached the service")
    return outcome, wrong


def _mark_refused(case: Case) -> bool:
    """A box that cannot note what was acknowledged sends it again after a crash: documented, once, under the epoch."""
    if case.fault.startswith("dead disk"):
        return True
    return case.hit is not None and case.hit.call == "pwrite64" and case.hit.on.endswith(".box") and not case.killed


def superseded(case: Case) -> bool:
    """The grant was followed by a newer one without an ending of its own: the newer registration tells the service."""
    return bool(case.found and case.found["epoch"] > case.base["epoch"])


def _one_notice(case: Case, wrong: list[str]) -> None:
    if case.seen["withdrawals"] != [[case.base["notice"], case.base["epoch"]]]:
        wrong.append(f"the notice reached the service {len(case.seen['withdrawals'])} times")


def _ended(case: Case, wrong: list[str], status: str = "withdrawn") -> str:
    found = case.found or {}
    if found["granted"]:
        if case.returned & DURABLE:
            wrong.append("granted after a durable withdrawal was reported")
        if found["epoch"] != case.base["epoch"]:
            wrong.append("another epoch")
        if case.seen["withdrawals"]:
            wrong.append("the service was told of what did not happen")
        return "still granted"
    if found["status"] not in (status, "withdrawn"):
        wrong.append(f"status {found['status']}")
    _one_notice(case, wrong)
    if sum(kind in ("withdraw", "revoke", "expire") for kind, _ in found["kinds"]) != 1:
        wrong.append("the end is not in the history exactly once")
    return str(found["status"])


def _claims(case: Case, wrong: list[str]) -> None:
    """A report claims no more than what stands when its process is gone (R3, R5)."""
    result = case.result
    if result is None:
        return
    if "raised" in result:
        wrong.append(f"withdraw() raised {result['raised']}")
        return
    if result["complete"] and (case.left["keys"] or case.left["boxes"]):
        wrong.append("complete, and a key or a box is left")
    hit = case.hit
    unsynced = hit is not None and hit.call in ("fsync", "fdatasync") and hit.on.endswith("page")
    if result["durable"] and unsynced and any("ledger entry" in item for item in result["remaining"]):
        wrong.append("durable after a failed sync")
    if case.after is not None and not case.after.get("complete"):
        wrong.append(f"the same process does not finish: {case.after}")


def _withdrawal(case: Case, wrong: list[str]) -> str:
    _claims(case, wrong)
    if case.seen["positions"]:
        wrong.append("positions left on the way")
    return _ended(case, wrong)


def _recovered(case: Case, wrong: list[str]) -> str:
    if case.seen["positions"]:
        wrong.append("positions left on the way")
    if case.result is not None and "raised" in case.result:
        wrong.append(f"opening raised {case.result['raised']}")
    beside = case.after
    if beside is not None and beside["complete"] and (beside["keys"] or beside["boxes"]):
        wrong.append("the other process claims complete, and a key or a box is left")
    if beside is not None and not beside["durable"]:
        wrong.append("the other process's withdrawal is not durable")
    return _ended(case, wrong)


def _granting(case: Case, wrong: list[str]) -> str:
    found = case.found or {}
    if not case.killed and case.hit is not None and case.hit.on.startswith("vault") and found["status"] == "expired":
        return "granted, for this run only"  # R9: the vault refused
    if case.returned & GRANTED and not found["granted"]:
        wrong.append("a grant that was reported is not there")
    if not found["granted"] and found["status"] != "unknown":
        wrong.append(f"status {found['status']}")
    if case.seen["withdrawals"]:
        wrong.append("the service was told of what did not happen")
    return "granted" if found["granted"] else "not granted"


def _granting_again(case: Case, wrong: list[str]) -> str:
    found = case.found or {}
    if case.returned & GRANTED and not found["granted"]:
        wrong.append("a grant that was reported is not there")
    _one_notice(case, wrong)
    if found["granted"] != (found["epoch"] > 1):
        wrong.append("the ended epoch came back")
    return f"granted, epoch {found['epoch']}" if found["granted"] else "still withdrawn"


def _downgrading(case: Case, wrong: list[str]) -> str:
    found = case.found or {}
    if case.returned & GRANTED and not (found["granted"] and found["precision"] == "approximate"):
        wrong.append("a downgrade that was reported is not there")
    if found["granted"] and found["precision"] == "precise":
        if found["epoch"] != 1:
            wrong.append("precise again under a new epoch")
        return "still precise"
    if found["granted"]:
        if case.standing["boxes"] and not case.life:
            wrong.append("precise rows outlive the downgrade")
        return "approximate"
    return _ended(case, wrong)


def _sending(case: Case, wrong: list[str]) -> str:
    found = case.found or {}
    if not found["granted"]:
        wrong.append(f"consent lost: {found['reason']}")
    arrived = len({entry[0] for entry in case.seen["positions"]})
    if not case.accepted <= arrived <= case.accepted + 1:
        wrong.append(f"accepted {case.accepted}, arrived {arrived}")
    return f"granted, all {case.accepted} arrived" if arrived >= case.accepted else "lost"


def _sending_and_withdrawing(case: Case, wrong: list[str]) -> str:
    _claims(case, wrong)
    if case.returned & DURABLE and len(case.seen_last["positions"]) != len(case.left["positions"]):
        wrong.append("positions left after the withdrawal")
    if any(epoch != 1 for _, epoch in case.seen_last["positions"]):
        wrong.append("a position under another epoch")
    return _ended(case, wrong)


def _expiring(case: Case, wrong: list[str]) -> str:
    found = case.found or {}
    if found["granted"]:
        wrong.append("granted after its time")
        return "granted"
    return _ended(case, wrong, "expired")


def _ended_with_the_run(case: Case, wrong: list[str]) -> str:
    if (case.found or {})["granted"]:
        wrong.append("a grant outlives the program it lived in")
    _claims(case, wrong)
    return _ended(case, wrong, "expired")


def _resetting(case: Case, wrong: list[str]) -> str:
    found = case.found or {}
    if found["unreadable"]:
        if case.returned & DONE:
            wrong.append("unreadable after reset() returned")
        return "still unreadable; reset() leads out"
    if found["granted"]:
        if case.returned & DONE:
            wrong.append("granted after reset() returned")
        return "still granted"
    return "reset" if found["status"] == "unknown" else str(found["status"])


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("grant", "the first grant, from an empty directory", _grant, _granting),
        Scenario(
            "regrant", "a grant while the notice of the one before waits", _grant, _granting_again,
            prepare=_withdrawn_unheard,
        ),
        Scenario(
            "downgrade", "precise to approximate with precise rows buffered", _downgrade, _downgrading,
            prepare=_granted_with_rows, before=_open,
        ),
        Scenario("send", "submit and flush, registration included", _send, _sending, prepare=_granted, flush_in_survey=True),
        Scenario(
            "send-withdraw", "submit, flush, submit, withdraw", _send_and_withdraw, _sending_and_withdrawing,
            prepare=_granted_with_rows, before=_open, after=_withdraw_again,
        ),
        Scenario(
            "withdraw", "withdraw with buffered positions, until the service has acknowledged", _withdraw, _withdrawal,
            prepare=_granted_with_rows, before=_buffering, after=_withdraw_again,
        ),
        Scenario(
            "withdraw-offline", "the same without a network", _withdraw_offline, _withdrawal,
            prepare=_granted_with_rows, before=_buffering, after=_withdraw_again, service="away",
        ),
        Scenario(
            "withdraw-cold", "withdraw as the first call of a process", _open_and_withdraw, _withdrawal,
            prepare=_granted_with_rows, after=_withdraw_again,
        ),
        Scenario(
            "withdraw-tmpfs", "withdraw where the kernel's keyring is forbidden: the data key is on tmpfs", _withdraw,
            _withdrawal, prepare=_granted_with_rows, before=_buffering, after=_withdraw_again, place="tmpfs",
        ),
        Scenario(
            "withdraw-memory", "withdraw a grant that lives in the process only", _withdraw, _ended_with_the_run,
            before=_in_memory, after=_withdraw_again, vault="memory",
        ),
        Scenario(
            "expire", "a week is over", _time_is_over, _expiring, before=_week_on_a_clock, clock_moves_s=8 * 86400.0,
        ),
        Scenario(
            "reset", "reset() of a sound state", _reset, _resetting, prepare=_granted_with_rows, before=_open,
        ),
        Scenario(
            "reset-locked", "reset() of a locked state", _reset, _resetting, prepare=_damage, before=_open_only,
        ),
    )
}  # fmt: skip
RECOVER = Scenario("recover", "recovery of a crashed withdrawal", _recover, _recovered)
