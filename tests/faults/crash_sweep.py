"""Crash the device at every system call of what it does, and look at what a fresh process finds.

    python tests/faults/crash_sweep.py                         every scenario: kill, EIO, ENOSPC, a dead disk
    python tests/faults/crash_sweep.py withdraw --faults kill  one of them
    python tests/faults/crash_sweep.py withdraw --every-call   kill at literally every call, reads and futexes too
    python tests/faults/crash_sweep.py recover                 kill the recovery of crashed withdrawals, too
    python tests/faults/crash_sweep.py beside                  another process withdraws while this one recovers
    python tests/faults/crash_sweep.py --sample 20 --seed 7    a seeded part

A point is one call of a window: (thread, call, file, how many of the same before). Undisturbed runs find the first
points; every run that is disturbed may find more, and these are swept as well, until a sweep adds no new one.
Prints a table; ``--json FILE`` keeps every case. Exits 1 when anything was found that must not be.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))

from crash_bench import ACCEPTED, FAKE, NOON, RETURNED, Bench, Car, live_on, read_all, survey
from crash_scenarios import RECOVER, SCENARIOS, Case, Scenario, judge
from syscall_tap import CHANGES, LOOKS, Call, Point, Tap, come_under, missing

from kalos_connect_sdk import KalosConnectError

__all__ = ["Sweep", "main", "run_sweep"]

ERRORS = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC}
_NEEDS_SPACE = frozenset(
    [
        "write",
        "pwrite64",
        "writev",
        "pwritev",
        "openat",
        "fsync",
        "fdatasync",
        "mkdir",
        "link",
        "linkat",
        "rename",
        "ftruncate",
        "fallocate",
        "add_key",
    ]
)
_NEVER_FAIL = frozenset({"clone", "clone3", "setsockopt"})
"""They know neither error: a thread that cannot start is memory, not a disk."""
_KEY_LOOKS = ("10", "11")  # keyctl: search, read
_AGAIN = 3

CANNOT_RUN_HERE = 77  # argparse says 2 for a mistake in the arguments, which must not pass for a reason to skip


@dataclass(slots=True)
class Sweep:
    """One scenario under one fault."""

    scenario: str
    fault: str
    points: int = 0
    cases: int = 0
    missed: int = 0
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[tuple[str, list[str]]] = field(default_factory=list)


def _eligible(fault: str, point: Point, every_call: bool) -> bool:
    """Errors strike what belongs to the device's own state and its network; a kill strikes anywhere."""
    if fault in ("kill", "beside"):
        return every_call or not (point.call == "keyctl" and point.on in _KEY_LOOKS)
    if fault.endswith("ENOSPC") or fault.startswith("dead disk"):
        return _of_the_disk(point) or (point.call in _NEEDS_SPACE and not point.on.startswith("/"))
    return point.call not in _NEVER_FAIL and not point.on.startswith(("/", "memory"))


class Runner:
    """Runs cases of one scenario on one bench."""

    def __init__(self, bench: Bench, scenario: Scenario) -> None:
        self.bench = bench
        self.scenario = scenario
        self.bench.restore(self.bench.empty())
        self.bench.service.ask("fresh")
        if scenario.prepare is not None:
            self.bench.run(lambda car, say: scenario.prepare(car) if scenario.prepare else None)
        self.state = self.bench.record()
        self.base = self._base()

    def _base(self) -> dict[str, Any]:
        if self.scenario.prepare is None:
            return {}
        return self.bench.run(lambda car, say: say(_first_notice(car)))[0]

    def case(self, fault: str, target: Point | None, calls: Iterable[str] | None) -> tuple[Case, list[Point]]:
        """One run, disturbed at ``target``; and every point that was seen up to there."""
        bench, scenario = self.bench, self.scenario
        case = Case(fault=fault, target=target, base=dict(self.base))
        bench.restore(self.state)
        bench.service.ask("fresh")
        pid, reading, writing = bench.fork(lambda car, say: self._live(car, say, calls))
        at = _striker(fault, target)
        if fault == "beside":
            at = lambda call: (lambda: self._withdraw_beside(case)) if call.point == target else None  # noqa: E731
        tap = Tap(pid, at, writing, str(bench.root))
        if scenario.service == "away" and self.scenario.prepare is not None:
            bench.service.ask("away")
        tap.serve()
        os.close(writing)
        said = read_all(reading)
        case.hung, case.hit = tap.hung, tap.hit
        for one in said:
            if "crash" in one:
                case.crashed = "".join(one["crash"][-2:])
            elif "base" in one:
                case.base = one["base"]
            elif case.result is None:
                case.result = one
            else:
                case.after = one
        self._look(case)
        return case, tap.points

    def _withdraw_beside(self, case: Case) -> str:
        """While one process stands still in its recovery, another withdraws; then the first is killed."""

        def withdraw(car: Car, say: Callable[[Any], None]) -> None:
            report = car.make().withdraw(timeout_s=0.5)
            say({"complete": report.complete, "durable": report.durable, "holders": len(report.holders)})

        case.after = {**self.bench.run(withdraw)[0], **self.bench.standing()}
        return "kill"

    def _live(self, car: Car, say: Callable[[Any], None], calls: Iterable[str] | None) -> None:
        scenario = self.scenario
        if scenario.before is not None:
            scenario.before(car)
            if scenario.prepare is None:
                say({"base": _first_notice(car)})
        come_under(calls)
        try:
            result = scenario.act(car)
        except Exception as error:
            result = {"raised": type(error).__name__, "text": str(error), "ours": isinstance(error, KalosConnectError)}
        say(result)
        if scenario.after is not None and self._fault_goes_on is None:
            say(scenario.after(car))

    _fault_goes_on: str | None = None

    def _look(self, case: Case) -> None:
        bench, told = self.bench, self.bench.told.words
        case.returned, case.accepted = int(told[RETURNED]), int(told[ACCEPTED])
        case.left = {**bench.standing(), **bench.service.ask("seen")}
        bench.service.ask("back")
        texts = [json.dumps([case.result, case.after]), case.crashed]
        try:
            case.found = bench.run(self._survey)[0]
            case.standing, case.seen = bench.standing(), bench.service.ask("seen")
            case.life = bench.run(self._later(live_on))[0]
        except (RuntimeError, IndexError) as error:
            case.crashed += f" {error}"[-600:]
        case.seen_last = bench.service.ask("seen")
        case.texts = bench.errors()
        if any(canary in text for canary in ("60.1691", "24.9384") for text in texts):
            case.texts += "60.1691"

    def _later(
        self, work: Callable[[Car, Callable[[Any], None]], None]
    ) -> Callable[[Car, Callable[[Any], None]], None]:
        def run(car: Car, say: Callable[[Any], None]) -> None:
            if self.scenario.clock_moves_s:
                car.clock = FAKE(NOON)
                car.clock.advance(self.scenario.clock_moves_s)
            car.more["flush"] = self.scenario.flush_in_survey
            work(car, say)

        return run

    def _survey(self, car: Car, say: Callable[[Any], None]) -> None:
        self._later(survey)(car, say)


def _first_notice(car: Car) -> dict[str, Any]:
    """The notice that the grant of the base was given: its id and epoch."""
    connect = car.connect if car.connect is not None else car.make()
    engine = connect._opened()
    rows = engine.keeper.call(engine.state.ledger.notices)
    assert len(rows) == 1, "the base has one grant"
    return {"notice": rows[0].notice_id, "epoch": rows[0].epoch}


def _striker(fault: str, target: Point | None) -> Callable[[Call], Any]:
    struck = False

    def at(call: Call) -> Any:
        nonlocal struck
        if call.point == target:
            struck = True
            return "kill" if fault == "kill" else -ERRORS[fault.removeprefix("dead disk, ")]
        if struck and fault.startswith("dead disk") and _of_the_disk(call.point):
            return -ERRORS[fault.removeprefix("dead disk, ")]
        return None

    return at


def _of_the_disk(point: Point) -> bool:
    """A call that a disk which takes no writes refuses."""
    if not point.on.startswith(("state/", "vault")):
        return False
    if point.call == "openat":
        return False  # opening what is there needs no space
    return point.call in (
        [
            "write",
            "pwrite64",
            "writev",
            "pwritev",
            "fsync",
            "fdatasync",
            "msync",
            "rename",
            "link",
            "linkat",
            "mkdir",
            "ftruncate",
            "fallocate",
        ]
    )


def run_sweep(
    bench: Bench,
    scenario: Scenario,
    fault: str,
    *,
    every_call: bool = False,
    sample: int | None = None,
    seed: int = 0,
    keep: Callable[[Case, str, list[str]], None] = lambda case, outcome, wrong: None,
    runner: Runner | None = None,
    expect: str | None = None,
    like: str = "",
) -> Sweep:
    """Every point (or a seeded ``sample`` of the first ones) of ``scenario`` under ``fault``."""
    started = time.monotonic()
    runner = Runner(bench, scenario) if runner is None else runner
    calls = None if every_call else CHANGES if fault in ("kill", "beside") else CHANGES | LOOKS
    done = Sweep(scenario.name, fault + (", every call" if every_call else ""))
    known: dict[Point, None] = {}

    def one(target: Point | None) -> bool:
        case, points = runner.case(fault if target is not None else "none", target, calls)
        known.update(
            dict.fromkeys(point for point in points if _eligible(fault, point, every_call) and like in str(point))
        )
        if target is not None and case.hit is None:
            return False
        outcome, wrong = judge(scenario, case)
        if expect is not None and outcome != expect:
            wrong.append(f"{outcome}, and not {expect} as without the kill")
        if target is not None:
            done.cases += 1
            done.outcomes[outcome] += 1
        if wrong:
            done.wrong.append((str(target), wrong))
        keep(case, outcome, wrong)
        return True

    one(None)
    one(None)
    chosen = list(known)
    if sample is not None and sample < len(chosen):
        chosen = sorted(random.Random(seed).sample(chosen, sample), key=chosen.index)
    at = 0
    while at < len(chosen):
        if not any(one(chosen[at]) for _ in range(_AGAIN)):
            done.missed += 1
        at += 1
        if sample is None and at == len(chosen):
            chosen += [point for point in known if point not in set(chosen)]
    done.points = len(chosen)
    done.seconds = time.monotonic() - started
    return done


def recoveries(bench: Bench, sample: int | None, seed: int, keep: Any, first: int, fault: str = "kill") -> list[Sweep]:
    """Kill the recovery of a crashed withdrawal, too: the outcome is that of an undisturbed recovery."""
    scenario = SCENARIOS["withdraw-offline"]
    runner = Runner(bench, scenario)
    _, points = runner.case("none", None, CHANGES)
    states = []
    order = list(dict.fromkeys(points))
    chosen = sorted(random.Random(seed).sample(order, min(first * 3, len(order))), key=order.index)
    for target in chosen:
        bench.restore(runner.state)
        bench.service.ask("fresh")
        pid, reading, writing = bench.fork(lambda car, say: runner._live(car, say, CHANGES))
        bench.service.ask("away")
        Tap(pid, _striker("kill", target), writing, str(bench.root)).serve()
        os.close(writing)
        read_all(reading)
        states.append((target, bench.record()))
    sweeps = []
    distinct: dict[str, tuple[Point, dict[str, Any]]] = {}
    for target, state in states:
        distinct.setdefault(_fingerprint(state), (target, state))
    for target, state in list(distinct.values())[:first]:
        again = Runner.__new__(Runner)
        again.bench, again.scenario, again.state, again.base = bench, RECOVER, state, runner.base
        case, _ = again.case("none", None, CHANGES)
        outcome, _ = judge(RECOVER, case)
        sweep = run_sweep(bench, RECOVER, fault, sample=sample, seed=seed, keep=keep, runner=again, expect=outcome)
        sweep.scenario = (
            f"{'recover' if fault == 'kill' else 'withdraw beside a recovery'}, withdrawal killed at {target}"
        )
        sweeps.append(sweep)
    return sweeps


def _fingerprint(state: dict[str, Any]) -> str:
    """States that differ in a byte are different states."""
    import hashlib

    return hashlib.sha256(repr(sorted(state["files"].items())).encode() + repr(state["key"]).encode()).hexdigest()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenarios", nargs="*", help=", ".join([*SCENARIOS, "recover", "beside"]))
    parser.add_argument("--faults", default="kill,EIO,ENOSPC,dead disk")
    parser.add_argument("--every-call", action="store_true")
    parser.add_argument("--sample", type=int)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--like", default="", help="only points whose text contains this")
    parser.add_argument("--first", type=int, default=10, help="how many crashed withdrawals to recover from")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args(arguments)
    problem = missing()
    if problem is not None:
        print(problem)
        return CANNOT_RUN_HERE
    names = chosen.scenarios or [*SCENARIOS, "recover", "beside"]
    faults = ["dead disk, EIO" if name == "dead disk" else name for name in chosen.faults.split(",")]
    kept: list[dict[str, Any]] = []

    def keep(case: Case, outcome: str, wrong: list[str]) -> None:
        kept.append({**asdict(case), "outcome": outcome, "wrong": wrong})

    sweeps: list[Sweep] = []
    for name in names:
        scenario = SCENARIOS.get(name, RECOVER)
        with tempfile.TemporaryDirectory(prefix="kalos-crash-") as folder:
            bench = Bench(Path(folder), vault=scenario.vault, place=scenario.place)
            try:
                if name in ("recover", "beside"):
                    fault = "kill" if name == "recover" else "beside"
                    sweeps += recoveries(bench, chosen.sample, chosen.seed, keep, chosen.first, fault)
                    _tell(sweeps)
                    continue
                for fault in faults:
                    sweeps.append(
                        run_sweep(
                            bench, scenario, fault, every_call=chosen.every_call, sample=chosen.sample,
                            seed=chosen.seed, keep=keep, like=chosen.like,
                        )
                    )  # fmt: skip
                    _tell(sweeps[-1:])
            finally:
                bench.close()
    if chosen.json is not None:
        chosen.json.write_text(
            json.dumps(
                {
                    "sweeps": [
                        {**asdict(replace(sweep, outcomes=Counter())), "outcomes": dict(sweep.outcomes)}
                        for sweep in sweeps
                    ],
                    "cases": kept,
                },
                default=str,
            )
        )
    return 1 if any(sweep.wrong for sweep in sweeps) else 0


def _tell(sweeps: list[Sweep]) -> None:
    for sweep in sweeps:
        outcomes = ", ".join(f"{outcome}: {count}" for outcome, count in sweep.outcomes.most_common())
        print(
            f"| {sweep.scenario} | {sweep.fault} | {sweep.points} | {sweep.cases} | {sweep.missed} | {outcomes} |"
            f" {len(sweep.wrong)} | {sweep.seconds:.0f} |",
            flush=True,
        )
        for target, wrong in sweep.wrong:
            print(f"  {target}: {'; '.join(wrong)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
