"""The runs of the protocol's models: which flags, which property, and what Spin must answer.

``python tests/model/protocol_runs.py`` (``make model``) performs them all, ``... large`` those of ``LARGE``, which need
minutes and gigabytes, ``... MODEL PROPERTY [FLAG ...]`` one of your own with the steps that lead to the failure.
Needs ``spin`` and a C compiler.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

MODELS = Path(__file__).resolve().parents[2] / "docs" / "protocol"
CLEAN = ""
CYCLE = "acceptance cycle"
_AT_ONCE = 2

# What the assertions are called in Spin's answers.
LEAVES = "assertion violated (returned<kb[0])"
KEY_STAYS = "assertion violated 0"
AHEAD = "assertion violated ((d_st!=1)||(d_ep>e))"
REVIVED = "assertion violated (l_ep>returned)"
KEY_LEFT = "assertion violated (key>returned)"


@dataclass(frozen=True, slots=True)
class Run:
    """One run. ``wrong``: the flags of a wrong order; ``faults``: what the environment may do, and the size;
    ``answer``: ``CLEAN``, or what Spin's first complaint must contain."""

    model: str
    prop: str
    wrong: str = ""
    faults: str = ""
    answer: str = CLEAN

    @property
    def name(self) -> str:
        return " ".join(filter(None, (self.model, self.prop, self.wrong, self.faults)))


RUNS = (
    # The order itself.
    Run("consent", "safety", faults="N=1 KILLS=0"),
    Run("consent", "safety", faults="N=2 POWER=0"),
    Run("consent", "safety", faults="N=1 POWER=0 STALL PARTIAL"),
    Run("consent", "l1", faults="N=1 POWER=0"),
    Run("consent", "l1", faults="N=1 POWER=0 STALL PARTIAL"),
    Run("consent", "l2", faults="N=1 KILLS=0"),
    Run("consent", "l3", faults="N=1 KILLS=0"),
    Run("consent", "l4", faults="N=1 POWER=0 STALL"),
    Run("consent", "safety", "AUTOKEY", "N=1 KILLS=0"),
    Run("consent", "safety", "NO_LOCK", "N=1", LEAVES),
    Run("consent", "safety", "CHECK_BEFORE_LOCK", "N=1 KILLS=0"),
    Run("consent", "safety", "CACHED_KEY", "N=1 KILLS=0"),
    Run("consent", "safety", "CHECK_BEFORE_LOCK CACHED_KEY", "N=1", LEAVES),
    Run("consent", "safety", "RELEASE_EARLY", "N=1", LEAVES),
    Run("consent", "safety", "NO_LINGER", "N=1", LEAVES),
    Run("consent", "safety", "LEASE_TIMEOUT", "N=1", LEAVES),
    Run("consent", "safety", "LEASE_TIMEOUT RECHECK", "N=1", LEAVES),
    Run("consent", "l4", "LOCK_FIRST", "N=1 STALL", CYCLE),
    Run("consent", "safety", "RETURN_EARLY", "N=1", KEY_STAYS),
    Run("consent", "safety", "NO_FSYNC", "N=1", AHEAD),
    Run("consent", "safety", "RENAME", "N=1", AHEAD),
    Run("consent", "safety", "RENAME DELIVER_DURABLE", "N=1 KILLS=0"),
    Run("consent", "safety", "KEY_FIRST AUTOKEY", "N=1", KEY_STAYS),
    Run("consent", "l2", "NOTICE_AFTER", "N=1", CYCLE),
    Run("consent", "l3", "SINGLE_SLOT", "N=1", CYCLE),
    Run("consent", "l3", "DEL_BEFORE_ACK", "N=1", CYCLE),
    Run("consent", "safety", "NO_DEDUP", "N=1", "assertion violated (applied[e]<=1)"),
    Run("consent", "safety", "NOEPOCH", "N=1", "assertion violated  !(((kb[0]==2)&&(fence>=2)))"),
    Run("consent", "l1", "NO_RECOVER", "N=1", CYCLE),
    Run("consent", "l1", "STALL", "N=1", CYCLE),
    Run("consent", "safety", "STALL KILL_STALLED NO_LINGER", "N=1", LEAVES),
    # What the code adds.
    Run("as_built", "safety", faults="POWER=1 FAILS=1"),
    Run("as_built", "safety", faults="POWER=1 FULL=1"),
    Run("as_built", "safety", faults="KILLS=1 FULL=1"),
    Run("as_built", "safety", faults="STOPS=1 REVOKES=1 LOSSES=1 FULL=1"),
    Run("as_built", "safety", faults="ALLOWS=1"),
    Run("as_built", "safety", faults="PROGRAMS=2"),
    Run("as_built", "safety", faults="ROLLBACKS=1"),
    Run("as_built", "safety", faults="ROLLBACKS=1 POWER=1 COURIER=0"),
    Run("as_built", "l1", faults="FULL=1 STOPS=1"),
    Run("as_built", "l1", faults="KILLS=1"),
    Run("as_built", "l2", faults="KILLS=1"),
    Run("as_built", "l3", faults="FULL=1"),
    Run("as_built", "l3", faults="KILLS=1 LOSSES=1"),
    Run("as_built", "l4", faults="REVOKES=1 FULL=1"),
    Run("as_built", "safety", "NO_TOMBSTONE_CHECK", "POWER=1 FULL=1", REVIVED),
    Run("as_built", "l1", "LEDGER_FIRST", "FULL=1", CYCLE),
    Run("as_built", "safety", "NO_SYNC", "POWER=1 FULL=1", REVIVED),
    Run("as_built", "safety", "BELIEVE_FSYNC", "POWER=1 FULL=1 FAILS=1", REVIVED),
    Run("as_built", "l2", "NO_TOMBSTONE_RECOVERY", "KILLS=1 FULL=1", CYCLE),
    Run("as_built", "l2", "MERGE_EARLY", "KILLS=1"),
    Run("as_built", "l2", "NO_ORPHANS", "KILLS=1"),
    Run("as_built", "safety", "ANSWER_BEFORE_KEY", "", KEY_LEFT),
    Run("as_built", "l2", "MERGE_EARLY NO_ORPHANS", "KILLS=1", CYCLE),
    Run("as_built", "safety", "NO_REREAD", "ALLOWS=1", "assertion violated  !((l_given&&(l_ep>tomb)))"),
    Run("as_built", "safety", "NO_COUNT", "ALLOWS=1", "assertion violated (done<=before)"),
    Run("as_built", "safety", "KEY_WITHOUT_LOCK", "POWER=1"),
    Run("as_built", "safety", "KEY_WITHOUT_CHECK", "POWER=1"),
    Run("as_built", "safety", "KEY_WITHOUT_LOCK KEY_IGNORES_COUNTER", "POWER=1", KEY_LEFT),
    Run("as_built", "safety", "KEY_WITHOUT_CHECK KEY_IGNORES_COUNTER", "POWER=1", KEY_LEFT),
    Run("as_built", "safety", "NO_RAM_COUNTER", "ROLLBACKS=1", REVIVED),
    Run("as_built", "safety", "NO_VAULT_COUNTER", "ROLLBACKS=1 POWER=1 COURIER=0", "assertion violated"),
    Run(
        "as_built",
        "safety",
        "CHANGE_UNCOUNTED",
        "ROLLBACKS=1 POWER=1 ALLOWS=1 CALLS=0 COURIER=0",
        "assertion violated (l_ep>=granted)",
    ),
    Run("as_built", "safety", "NO_ASK", "ROLLBACKS=1 POWER=1", "assertion violated (known<kb)"),
    Run("as_built", "safety", "NO_FENCE", "STOPS=1", "assertion violated ((answer==2)||(fence<kb))"),
    Run("as_built", "l4", "IGNORE_410", "REVOKES=1", CYCLE),
    Run("as_built", "l3", "NOTICE_ROW_ONLY", "FULL=1", CYCLE),
    # Nobody is shut out.
    Run("turnstile", "safety"),
    Run("turnstile", "l1", faults="N=3"),
    Run("turnstile", "l2", faults="N=3"),
    Run("turnstile", "l1", "NO_TURNSTILE", answer=CYCLE),
    Run("turnstile", "l1", "MAIN_FIRST", answer=CYCLE),
    Run("turnstile", "l2", "TURNSTILE_FILE", answer=CYCLE),
)

LARGE = (
    Run("consent", "safety", faults="N=1"),
    Run("consent", "safety", faults="N=1 KILLS=0 STALL PARTIAL"),
    Run("as_built", "safety", faults="POWER=1 FULL=1 FAILS=1"),
    Run("as_built", "safety", faults="POWER=1 STOPS=1 FULL=1"),
    Run("as_built", "safety", faults="ALLOWS=1 KILLS=1"),
    Run("as_built", "safety", faults="ALLOWS=1 FULL=1"),
    Run("as_built", "safety", faults="ALLOWS=1 REVOKES=1"),
    Run("as_built", "safety", faults="PROGRAMS=2 KILLS=1"),
    Run("as_built", "safety", faults="PROGRAMS=2 FULL=1"),
    Run("as_built", "safety", faults="PROGRAMS=2 ALLOWS=1 COURIER=0"),
    Run("as_built", "safety", faults="ROLLBACKS=1 POWER=1"),
    Run("as_built", "safety", faults="ROLLBACKS=1 POWER=1 FULL=1"),
    Run("as_built", "safety", faults="ROLLBACKS=1 POWER=1 ALLOWS=1 CALLS=0 COURIER=0"),
    Run("as_built", "safety", faults="POWER=1 ALLOWS=1 COURIER=0"),
    Run("as_built", "l2", faults="KILLS=1 FULL=1"),
    Run("as_built", "l2", faults="POWER=1"),
    Run("as_built", "l3", faults="POWER=1"),
    Run("as_built", "l4", faults="REVOKES=1 KILLS=1"),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What Spin said. ``complaint``: its first, empty for none; ``complete``: nothing was cut off."""

    states: int
    errors: int
    complaint: str
    complete: bool
    seconds: float
    steps: str = ""


def missing() -> str | None:
    """The tool that is not here, or None."""
    return next((tool for tool in ("spin", "gcc") if shutil.which(tool) is None), None)


def flags_of(model: str) -> set[str]:
    """The flags that the header of a model names: its wrong orders and variants."""
    header = (MODELS / f"{model}.pml").read_text("utf-8").split("*/")[0]
    listed = re.split(r"Each -D below", header)[1]
    return set(re.findall(r"^ \*   ([A-Z][A-Z_0-9]+)  ", listed, re.MULTILINE))


def perform(run: Run, *, steps: int = 0) -> Answer:
    """Generate, compile, search. ``steps``: so many of the last steps before a failure are told too."""
    source = MODELS / f"{run.model}.pml"
    flags = [f"-D{flag}" for flag in (*run.faults.split(), *run.wrong.split())]
    if run.prop == "safety":
        compile_for, search = ["-DSAFETY"], []
    else:
        flags.append(f"-D{run.prop.upper().replace('L', 'LTL', 1)}")
        compile_for, search = ["-DNFAIR=3"], ["-a", "-f"]
    small = run.answer or (run.model != "consent" and run in RUNS)  # compiling is what takes time
    optimise = "-O0" if small else "-O1"
    with tempfile.TemporaryDirectory() as place:
        started = time.monotonic()
        (Path(place) / source.name).write_bytes(source.read_bytes())

        def tool(*command: str, check: bool = True) -> str:
            done = subprocess.run(command, cwd=place, check=check, capture_output=True, text=True)
            return done.stdout

        tool("spin", *flags, "-a", source.name)
        tool(
            "gcc", optimise, "-w", "-DCOLLAPSE", "-DMEMLIM=6000", "-DVECTORSZ=2048", *compile_for, "-o", "pan", "pan.c"
        )
        said = tool("./pan", "-m300000", *search, check=False)
        seconds = time.monotonic() - started
        trail = ""
        if steps and (Path(place) / f"{source.name}.trail").exists():
            trail = "\n".join(tool("spin", *flags, "-t", "-p", source.name, check=False).splitlines()[-steps:])
    errors = re.search(r"errors: (\d+)", said)
    states = re.search(r"([0-9.e+]+) states, stored", said)
    first = re.search(r"^pan:\d+: (.*?)(?: \(at depth \d+\))?$", said, re.MULTILINE)
    cut_off = re.search(r"max search depth too small|out of memory|memory bound|MEMLIM", said)
    return Answer(
        states=int(float(states[1])) if states else 0,
        errors=int(errors[1]) if errors else -1,
        complaint=first[1] if first else "",
        complete=cut_off is None and "Full statespace search" in said,
        seconds=seconds,
        steps=trail,
    )


def as_expected(run: Run, answer: Answer) -> bool:
    """Whether ``answer`` is what the table says of ``run``."""
    if run.answer == CLEAN:
        return answer.complete and answer.errors == 0 and not answer.complaint and answer.states > 40
    return answer.errors == 1 and run.answer in answer.complaint


def _table(runs: tuple[Run, ...]) -> Iterator[str]:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for run, answer in zip(runs, pool.map(perform, runs), strict=True):
            verdict = "" if as_expected(run, answer) else "  NOT AS EXPECTED"
            found = answer.complaint or ("clean" if answer.errors == 0 else "not completed")
            yield f"| {run.name} | {answer.states:,} | {found} | {answer.seconds:.1f} |{verdict}"


def main(arguments: list[str]) -> int:
    """See the module."""
    if len(arguments) > 1:
        wrong = [flag for flag in arguments[2:] if "=" not in flag]
        faults = [flag for flag in arguments[2:] if "=" in flag]
        answer = perform(Run(arguments[0], arguments[1], " ".join(wrong), " ".join(faults)), steps=60)
        print(answer.steps)
        print(f"{answer.states:,} states, {answer.errors} errors {answer.complaint}")
        return 0 if answer.errors == 0 else 1
    bad = 0
    for line in _table(LARGE if arguments == ["large"] else RUNS):
        print(line, flush=True)
        bad += line.endswith("NOT AS EXPECTED")
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
