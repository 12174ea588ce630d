"""Compare our reading of NMEA with gpsd's own expectations, log by log, fix by fix.

    python tools/compare_with_gpsd.py DIR

DIR holds ``*.log`` and ``*.log.chk`` as in ``test/daemon`` of gpsd's sources. A fix of gpsd is a TPV report with a
place and a time. It is equal when we have a position at that time (to 5 ms) and place (to 2e-7 degrees, 2 cm).
Times are compared as they are, and marked *rolled* where gpsd's are 1024 weeks or a multiple away.

Exit code 1 when a difference has no reason in ``REASONS``; see docs/nmea.md.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from kalos_connect_sdk.sources.assemble import Assembler
from kalos_connect_sdk.sources.nmea import Sentences

__all__ = ["Comparison", "compare", "fixes_of", "positions_of"]

SENTENCE = re.compile(rb"\$[A-Z]{2}(?:RMC|GGA|GNS|GLL),")
ROLL_OVER_S = 1024 * 7 * 86_400
SAME_S = 0.005
SAME_DEG = 2e-7

Fix = tuple[float, float, float]
"""Seconds since 1970, latitude, longitude."""

REASONS = {
    "ac12.log": "proprietary: the fixes are in $PASHR sentences; and precision, as in tcp-test.log",
    "ac12_binary.log": "proprietary: the fixes are in $PASHR sentences",
    "bt451.log": "the log goes back in time, and gpsd 3.22 puts one fix on the next day",
    "bundg_zeus_9.log": "the receiver stamps GLL with the next second; gpsd takes the place for that of then",
    "hp58534a.log": "sentences without a checksum: gpsd 3.22 takes them, later versions do not either",
    "tcp-test.log": "precision: gpsd takes the last sentence, we the one with most digits",
    "udp-test.log": "precision, as in tcp-test.log",
    "telit-he910.log": "out of order: a fix 0.3 s older than the one before",
    "ublox8-uniqid-monhw.log": "binary: the last two fixes are in UBX",
}
"""Why gpsd has a fix that we have not, or another place."""
ROLLED = "roll-over: one of the two moved the date by 1024 weeks"
UNSEEN = "gpsd gives no fix for an epoch whose end it does not see"


@dataclass
class Comparison:
    """How the two readings of one log differ."""

    gpsd: int = 0
    ours: int = 0
    equal: int = 0
    rolled: int = 0
    differing: list[Fix] = field(default_factory=list)
    """gpsd's fixes at a time of ours and at another place."""
    missing: list[Fix] = field(default_factory=list)
    """gpsd's fixes at a time at which we have none."""
    more: list[Fix] = field(default_factory=list)
    """Our positions at a time at which gpsd has no fix."""


def fixes_of(lines: Iterable[bytes]) -> Iterator[Fix]:
    """The fixes of gpsd's reports, each time's last; other lines are passed over."""
    found: dict[float, Fix] = {}
    for line in lines:
        if b'"class":"TPV"' not in line:
            continue
        report = json.loads(line)
        if report.get("mode", 0) >= 2 and "lat" in report and "time" in report:
            at_s = datetime.fromisoformat(report["time"]).timestamp()
            found[at_s] = (at_s, report["lat"], report["lon"])
    yield from found.values()


def positions_of(log: bytes) -> Iterator[Fix]:
    """Our reading of the same bytes."""
    assembler = Assembler()
    found = [assembler.add(each.kind, each.fields) for each in Sentences().feed(log)]
    for position in [*found, assembler.finish()]:
        if position is not None and position.time is not None:
            yield position.time.timestamp(), position.latitude, position.longitude


def compare(gpsd: Iterable[Fix], ours: Iterable[Fix]) -> Comparison:
    """Fix by fix."""
    theirs, mine = list(gpsd), list(ours)
    result = Comparison(gpsd=len(theirs), ours=len(mine))
    used: set[int] = set()
    for fix in theirs:
        near = [i for i, each in enumerate(mine) if _apart_s(each, fix) <= SAME_S]
        used.update(near)
        if any(_same_place(mine[i], fix) for i in near):
            result.equal += 1
            result.rolled += all(abs(mine[i][0] - fix[0]) > 1 for i in near)
        else:
            (result.differing if near else result.missing).append(fix)
    result.more = [each for i, each in enumerate(mine) if i not in used]
    return result


def _apart_s(one: Fix, other: Fix) -> float:
    apart = (one[0] - other[0]) % ROLL_OVER_S
    return min(apart, ROLL_OVER_S - apart)


def _same_place(one: Fix, other: Fix) -> bool:
    return abs(one[1] - other[1]) < SAME_DEG and abs(one[2] - other[2]) < SAME_DEG


def _reason(name: str, result: Comparison) -> str:
    if result.missing or result.differing:
        return REASONS.get(name, "UNEXPLAINED")
    words = []
    if result.rolled:
        words.append(ROLLED)
    if result.more:
        words.append(UNSEEN)
    return "; ".join(words)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR")
    folder = parser.parse_args().folder
    logs = [log for log in sorted(folder.glob("*.log")) if SENTENCE.search(log.read_bytes())]
    total, whole, unexplained, compared = Comparison(), 0, 0, 0
    print(f"{'log':40}{'gpsd':>6}{'ours':>6}{'equal':>6}{'rolled':>7}{'other':>6}{'only gpsd':>10}{'only ours':>10}")
    for log in logs:
        expected = log.with_name(log.name + ".chk")
        if not expected.exists():
            continue
        result = compare(fixes_of(expected.read_bytes().splitlines()), positions_of(log.read_bytes()))
        compared += 1
        whole += result.equal == result.gpsd
        total.gpsd += result.gpsd
        total.equal += result.equal
        total.rolled += result.rolled
        why = _reason(log.name, result)
        unexplained += "UNEXPLAINED" in why
        counts = f"{result.gpsd:6}{result.ours:6}{result.equal:6}{result.rolled:7}{len(result.differing):6}"
        print(f"{log.name:40}{counts}{len(result.missing):10}{len(result.more):10}  {why}".rstrip())
    print(
        f"{compared} logs, in {whole} every fix of gpsd is equal; {total.gpsd} fixes, {total.equal} equal"
        f" ({total.rolled} of them 1024 weeks apart), {unexplained} logs unexplained"
    )
    return 1 if unexplained or not compared else 0


if __name__ == "__main__":
    sys.exit(main())
