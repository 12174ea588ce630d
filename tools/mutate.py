"""Break a module in small ways, one at a time, and see whether its tests notice.

    python tools/mutate.py storage/page protocol/ending [--sample N] [--seed S] [--lines 112,130] [--tests FILE ...]

For each module (a path below the package without ``.py``; ``core`` means all of that room): which of its tests reach
which line is recorded first, once, with coverage.py. Then each mutant runs the tests that reach its line, the quickest
first, until one fails; a line that none reaches (it runs in subprocesses only) gets all of them. A run that takes too
long counts as killed. Two mutants run at a time, each in a forked process, on a copy of the package that subprocesses
of the tests import as well. Prints one line for each survivor and a table; docs/mutation.md says what they mean.
"""

from __future__ import annotations

import argparse
import compileall
import itertools
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import coverage
import hypothesis
import pytest
from mutations import Mutation, drawn, mutations

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "kalos_connect_sdk"
PRELOADED = ("cryptography.hazmat.primitives.ciphers.aead", "jsonschema", "requests", "responses", "sqlite3", "trustme")
AT_ONCE = 2
COLUMNS = ("module", "sites", "mutants", "killed", "by time", "survived", "seconds")
LONGEST_S = 10.0

_STEPS, _SENDING = "interleavings/test_steps.py", "interleavings/test_sending_steps.py"
_OUTBOX = ("storage/test_outbox.py", "storage/test_outbox_edges.py")
_LEDGER = ("storage/test_ledger.py", "storage/test_ledger_edges.py")
_STORY = ("protocol/test_story.py", "protocol/test_barrier.py", "protocol/test_hard_cases.py")
TESTS: dict[str, tuple[str, ...]] = {
    "storage/page": ("storage/test_page.py", "protocol/test_hard_cases.py"),
    "storage/locks": ("storage/test_locks.py", "protocol/test_barrier.py", "faults/test_races.py"),
    "storage/datakeys": ("storage/test_datakeys.py", "protocol/test_hard_cases.py"),
    "storage/ledger": (*_LEDGER, "storage/test_full_disk.py", "protocol/test_hard_cases.py"),
    "storage/box": (*_OUTBOX,),
    "storage/boxfiles": (*_OUTBOX, "storage/test_full_disk.py"),
    "storage/outbox": (*_OUTBOX, "protocol/test_hard_cases.py"),
    "storage/directory": (
        *("storage/test_directory.py", "storage/test_directory_edges.py"),
        *("storage/test_full_disk.py", *_LEDGER),
    ),
    "protocol/ending": (_STEPS, *_STORY, "protocol/test_lasting.py"),
    "protocol/granting": (_STEPS, *_STORY, "protocol/test_lasting.py", "protocol/test_asking.py"),
    "protocol/sending": (_SENDING, *_STORY, "protocol/test_driving.py", "protocol/test_service_says.py"),
    "protocol/view": (_STEPS, *_STORY, "protocol/test_lasting.py", "protocol/test_service_says.py"),
    "protocol/link": ("protocol/test_link.py", _SENDING, *_STORY, "protocol/test_driving.py"),
    "protocol/state": ("interleavings/test_state_steps.py", _STEPS, *_STORY, "protocol/test_lasting.py"),
    "protocol/store": ("interleavings/test_store_steps.py", _SENDING, _STEPS, *_STORY, "protocol/test_driving.py"),
    "protocol/submitting": ("interleavings/test_submitting_steps.py", *_STORY, "protocol/test_driving.py"),
    "protocol/watching": (
        *("interleavings/test_watching_steps.py", _STEPS, *_STORY),
        *("protocol/test_lasting.py", "protocol/test_service_says.py"),
    ),
    "protocol": (
        *(_STEPS, _SENDING, *_STORY, "faults/test_races.py", "protocol/test_driving.py"),
        *(f"protocol/test_{name}.py" for name in ("service_says", "lasting", "asking", "identity_and_secret")),
    ),
    "transport": ("transport", "protocol/test_barrier.py", "faults/test_late_writes.py"),
    "core/chain": ("core/test_chain.py", "core/test_verify_record.py"),
    "core/encoding": ("crypto", "core/test_wire.py"),
    "core/outbox": ("core/test_outbox_rules.py",),
    "core": ("core",),
}
"""The tests of a module, else those of its room: the quick ones that are about it."""


@dataclass
class Reach:
    """What the tests of a module do when nothing is broken: test -> seconds, line -> tests."""

    module: str
    seconds: dict[str, float]
    lines: dict[int, set[str]]

    def tests_of(self, mutation: Mutation, budget_s: float) -> list[str]:
        """The tests that reach the mutated statement, the quickest first, for ``budget_s`` in all; any that pass
        where none reaches it in this process."""
        found = set().union(*(self.lines.get(line, set()) for line in mutation.lines)) & set(self.seconds)
        ordered = sorted(found or self.seconds, key=lambda test: self.seconds[test])
        spent = itertools.accumulate(self.seconds[test] for test in ordered)
        return [test for test, end in zip(ordered, spent, strict=True) if end <= budget_s] or ordered[:1]


class Recorder:
    """A pytest plugin: how long each test takes and which lines of the module it reaches."""

    def __init__(self, cover: coverage.Coverage) -> None:
        self.seconds: dict[str, float] = {}
        self.failed: list[str] = []
        self._cover = cover

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        self._cover.switch_context(item.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.outcome == "passed":
            self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        else:
            self.failed.append(report.nodeid)


class Chosen:
    """A pytest plugin: only these tests, in this order, and the same examples of Hypothesis each time."""

    def __init__(self, tests: Iterable[str], seconds: Mapping[str, float], report: Path) -> None:
        self._place = {test: place for place, test in enumerate(tests)}
        self._seconds = seconds
        self._report = report

    def pytest_collection(self) -> None:
        quick = hypothesis.settings(
            hypothesis.settings.get_profile("house"),
            derandomize=True,
            database=None,
            phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
        )
        hypothesis.settings.register_profile("mutants", quick)
        hypothesis.settings.load_profile("mutants")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.nodeid in self._place]
        items.sort(key=lambda item: self._place[item.nodeid])
        for item in items:
            item.add_marker(pytest.mark.timeout(LONGEST_S + 5 * self._seconds[item.nodeid]))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._report.write_text(report.nodeid, "utf-8")


class Bench:
    """A copy of the package in which modules can be exchanged."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.output = root / "output"
        shutil.copytree(ROOT / PACKAGE, root / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
        compileall.compile_dir(root / PACKAGE, quiet=2)

    def path(self, module: str) -> Path:
        """Where the copy of a module is."""
        return self.root / PACKAGE / f"{module}.py"

    def put(self, module: str, source: bytes) -> None:
        """From now on this is the module. Its compiled form goes: two mutants may have one size and one second."""
        path = self.path(module)
        path.write_bytes(source)
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            compiled.unlink()

    def enter(self) -> None:
        """In a forked child: import the copy, here and in every subprocess, and be quiet."""
        os.setpgid(0, 0)
        os.chdir(ROOT)
        for descriptor, name in ((0, os.devnull), (1, self.output), (2, self.output)):
            os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), descriptor)
        sys.dont_write_bytecode = True
        os.environ |= {"PYTHONPATH": str(self.root), "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        sys.path.insert(0, str(self.root))


def tests_of(module: str) -> list[str]:
    """The test files of a module, by the table above."""
    names = TESTS.get(module) or TESTS[module.split("/", maxsplit=1)[0]]
    return [f"tests/{name}" for name in names]


def _arguments(bench: Bench) -> list[str]:
    places = [f"--basetemp={bench.root / 'tests'}", "-p", "no:cacheprovider"]
    calm = ["-W", "ignore::pytest.PytestAssertRewriteWarning", "-W", "ignore::coverage.exceptions.CoverageWarning"]
    return ["-q", *places, *calm]


def record(bench: Bench, modules: Sequence[str], files: Sequence[str], known: Path | None) -> dict[str, Reach]:
    """Run the tests once over the unbroken package; what they reach in each module. ``known``: an earlier result."""
    result = known or bench.root / "reach.json"
    pid = os.fork() if not result.exists() else None
    if pid == 0:
        try:
            bench.enter()
            targets = {module: str(bench.path(module)) for module in modules}
            cover = coverage.Coverage(data_file=None, include=[*targets.values()], config_file=False)
            recorder = Recorder(cover)
            cover.start()
            pytest.main([*_arguments(bench), *files], plugins=[recorder])
            cover.stop()
            found = {module: cover.get_data().contexts_by_lineno(target) for module, target in targets.items()}
            result.write_text(json.dumps([recorder.seconds, found, recorder.failed]), "utf-8")
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)
    if pid is not None:
        os.waitpid(pid, 0)
    assert result.exists(), bench.output.read_text("utf-8")
    seconds, found, failed = json.loads(result.read_text("utf-8"))
    for test in failed:
        print(f"  fails on the unbroken package, left out: {test}", flush=True)
        seconds.pop(test, None)
    assert seconds, "no test passes on the unbroken package"
    return {
        module: Reach(module, seconds, {int(line): {test for test in tests if test} for line, tests in lines.items()})
        for module, lines in found.items()
        if module in modules
    }


class Run:
    """One mutant under test on a bench."""

    def __init__(self, bench: Bench, mutation: Mutation, text: bytes, tests: Sequence[str], reach: Reach) -> None:
        self.bench = bench
        self.mutation = mutation
        self._killer = bench.root / "killer"
        self._killer.unlink(missing_ok=True)
        bench.put(reach.module, mutation.apply(text))
        self._ends_at = time.monotonic() + 3 * LONGEST_S + 2 * sum(reach.seconds[test] for test in tests)
        self.pid = os.fork()
        if self.pid == 0:
            code = 70
            try:
                bench.enter()
                files = sorted({test.split("::")[0] for test in tests})
                plugin = Chosen(tests, reach.seconds, self._killer)
                code = int(pytest.main([*_arguments(bench), "-x", *files], plugins=[plugin]))
            finally:
                os._exit(code)

    def over(self) -> str | None:
        """None while it runs; then "" for a survivor, or what killed it."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        late = time.monotonic() > self._ends_at
        if pid == 0 and not late:
            return None
        try:
            os.killpg(self.pid, signal.SIGKILL)  # what its tests started and left
        except ProcessLookupError:
            pass
        if pid == 0:
            os.waitpid(self.pid, 0)
            return "(time)"
        code = os.waitstatus_to_exitcode(status)
        assert code != pytest.ExitCode.NO_TESTS_COLLECTED, "the tests of this mutant were not found"
        if code == 0:
            return ""
        return self._killer.read_text("utf-8") if self._killer.exists() else f"(exit {code})"


def judge(
    benches: Sequence[Bench], source: bytes, chosen: Sequence[Mutation], reach: Reach, options: argparse.Namespace
) -> dict[Mutation, str]:
    """Each mutation with what killed it, "" for nothing; told as it is found."""
    waiting = list(reversed(chosen))
    running: list[Run] = []
    free = list(benches)
    found: dict[Mutation, str] = {}
    while waiting or running:
        while waiting and free:
            mutation = waiting.pop()
            running.append(Run(free.pop(), mutation, source, reach.tests_of(mutation, options.budget), reach))
        time.sleep(0.02)
        for run in tuple(running):
            killer = run.over()
            if killer is not None:
                running.remove(run)
                free.append(run.bench)
                found[run.mutation] = killer
                if not killer or options.verbose:
                    fate = f"killed by {killer}" if killer else "SURVIVED"
                    print(f"  {fate}: {reach.module}:{run.mutation.told(source)}", flush=True)
    return found


def mutate(benches: Sequence[Bench], reach: Reach, options: argparse.Namespace) -> dict[str, Any]:
    """One module: its line of the table, its survivors printed."""
    started = time.monotonic()
    source = (ROOT / PACKAGE / f"{reach.module}.py").read_bytes()
    every = mutations(source)
    lines = {int(line) for line in options.lines.split(",") if line}
    chosen = [one for one in every if one.line in lines] if lines else drawn(every, options.sample, options.seed)
    found = judge(benches, source, chosen, reach, options)
    for bench in benches:
        bench.put(reach.module, source)
    survivors = [one.told(source) for one in chosen if not found[one]]
    return {
        "module": reach.module,
        "sites": len(every),
        "mutants": len(chosen),
        "killed": len(chosen) - len(survivors),
        "by time": sum(killer == "(time)" for killer in found.values()),
        "survived": len(survivors),
        "seconds": round(time.monotonic() - started),
        "kinds": dict(Counter(one.kind for one in every)),
        "survivors": survivors,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="+")
    parser.add_argument("--sample", type=int, default=40, help="mutants of each module (all: a large number)")
    parser.add_argument("--seed", type=int, default=20240318)
    parser.add_argument("--lines", default="", help="all mutants of these lines, instead of a sample")
    parser.add_argument("--tests", nargs="+", help="instead of the table's")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds of tests for each mutant")
    parser.add_argument("--reach", type=Path, help="keep here, or take from here, what the tests reach")
    parser.add_argument("--json", type=Path, help="append what was found to this file, one line a module")
    parser.add_argument("--verbose", action="store_true", help="also what killed each mutant")
    options = parser.parse_args()
    rooms = [name for name in options.modules if (ROOT / PACKAGE / name).is_dir()]
    modules = [name for name in options.modules if name not in rooms]
    for room in rooms:
        modules += [f"{room}/{path.stem}" for path in sorted((ROOT / PACKAGE / room).glob("[!_]*.py"))]
    os.nice(10)
    for name in PRELOADED:
        __import__(name)
    alike: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for module in modules:
        alike[tuple(options.tests or tests_of(module))].append(module)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        benches = [Bench(Path(folder) / str(number)) for number in range(AT_ONCE)]
        for files, group in alike.items():
            for reach in record(benches[0], group, files, options.reach).values():
                line = mutate(benches, reach, options)
                if options.json:
                    with options.json.open("a", encoding="utf-8") as out:
                        out.write(json.dumps(line) + "\n")
                print("| " + " | ".join(str(line[name]) for name in COLUMNS) + " |", flush=True)


if __name__ == "__main__":
    main()
