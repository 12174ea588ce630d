"""Flip a bit in every byte of every state file, and in every bit of the entry in RAM, and look at each result.

    python tools/flip_every_byte.py [--bits N] [--workers N]

For each story of ``tests/faults/damaged_states.py`` (given, withdrawn, regranted) and each file: ``--bits`` different
bits of every byte, a different set for each story. Prints a table; fails at the first state that changed
unnoticed. The suite runs a seeded part of the same. Takes some 4 ms of processor a flip.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "faults"))
from damaged_states import STORIES, bench_of, flip_in_place, flip_in_ram

FILES = ("page", "ledger.db", "vault", "box", "ram")


def sweep(story: str, name: str, bits: int, seed: int) -> tuple[str, str, int, Counter[str], float]:
    """One file of one story: (story, file, bytes, what was found, seconds)."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, bench_of(Path(folder) / "bench", story) as bench:
        if name == "ram":
            size = len(bench.ram or b"")
            return story, name, size, flip_in_ram(bench, range(8 * size)), time.monotonic() - started
        if name == "box" and not list((bench.leaf / "outbox").glob("*.box")):
            return story, name, 0, Counter(), 0.0
        size, found = bench.path(name).stat().st_size, Counter[str]()
        order = random.Random(seed)  # noqa: S311 - which bit, not a secret
        first = [order.randrange(8) + STORIES.index(story) for _ in range(size)]
        for turn in range(0, 8, 8 // bits):
            found += flip_in_place(bench, name, range(size), lambda offset, turn=turn: (first[offset] + turn) % 8)
        return story, name, size, found, time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bits", type=int, default=1)
    parser.add_argument("--small-bits", type=int, default=8, help="for page, vault and box, which are small")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=20240318)
    arguments = parser.parse_args()
    total = Counter[str]()
    with ProcessPoolExecutor(arguments.workers) as pool:
        jobs = [
            pool.submit(
                sweep, story, name, arguments.bits if name == "ledger.db" else arguments.small_bits, arguments.seed
            )
            for name in reversed(FILES)
            for story in STORIES
        ]
        for job in jobs:
            story, name, size, found, seconds = job.result()
            total += found
            line = f"{story:10} {name:10} {size:6} bytes {sum(found.values()):7} flips {seconds:7.1f} s  {dict(found)}"
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
    sys.stdout.write(f"{sum(total.values())} flips: {dict(total)}\n")


if __name__ == "__main__":
    main()
