"""Measure what is promised to be fast, side by side with what it is compared to, and write docs/benchmarks.md.

    make bench            (or: python benchmarks/run.py [--quick])

Every figure is a median over rounds in which the compared pieces take turns, so that a drifting machine shifts
both. Nothing here asserts: timed assertions do not belong in tests.
"""

from __future__ import annotations

import argparse
import gzip
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kalos_connect_sdk import AssertedParked, Config, Connect, ConsentRequired, Position, PromptAnswer
from kalos_connect_sdk.testing import ScriptedPrompter

ROOT = Path(__file__).resolve().parents[1]
SINK = ROOT / "benchmarks" / "sink.py"


def connect_at(state: str, url: str | None, **settings: object) -> Connect:
    """A facade on a fresh or shared state directory, that says yes."""
    return Connect(
        "com.example.bench",
        config=Config(service_url=url, state_dir=f"{state}/state", vault=f"file:{state}/vault", **settings),
        prompter=ScriptedPrompter(PromptAnswer.allow()),
        vehicle=AssertedParked("a bench"),
    )


def positions(count: int, start: datetime | None = None) -> list[Position]:
    """A drive at 1 Hz with noise in the last digits."""
    begin = start or datetime.now(UTC) - timedelta(seconds=count)
    made = []
    for i in range(count):
        noise = ((i * 7919) % 97) / 97 - 0.5
        made.append(
            Position(
                48.1 + i * 1.1e-4 + noise * 2e-5,
                11.5 + i * 0.7e-4 - noise * 3e-5,
                accuracy_m=3.0 + (i % 5),
                speed_mps=round(13.9 + noise, 2),
                course_deg=round(35 + noise * 4, 1),
                time=begin + timedelta(seconds=i),
            )
        )
    return made


class Sink:
    """The service that only answers, in a process of its own."""

    def __enter__(self) -> Sink:
        self.process = subprocess.Popen([sys.executable, str(SINK)], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(timeout=10)


def per_call_us(work, count: int) -> float:
    """Microseconds a call: the mean over ``count``, with whatever the kernel makes them pay in between."""
    begin = time.perf_counter_ns()
    for i in range(count):
        work(i)
    return (time.perf_counter_ns() - begin) / count / 1000


def submit_and_rivals(rounds: int, count: int) -> dict[str, float]:
    """Accepted submit, refused submit, consent check, and a raw SQLite WAL NORMAL insert, in turns."""
    figures: dict[str, list[float]] = {
        "accepted submit": [],
        "raw sqlite insert": [],
        "refused submit": [],
        "check": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        connect = connect_at(folder, "http://127.0.0.1:9", outbox_max_positions=1_000_000)
        connect.request_permission(user_action=True)
        database = sqlite3.connect(f"{folder}/raw.db", isolation_level=None)
        database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; CREATE TABLE q(b BLOB)")
        row = os.urandom(60)
        fresh = datetime.now(UTC)
        for turn in range(rounds):
            batch = positions(count, fresh + timedelta(milliseconds=turn))
            batch = [Position(p.latitude, p.longitude, accuracy_m=4.0, speed_mps=p.speed_mps) for p in batch]
            figures["accepted submit"].append(per_call_us(lambda i, b=batch: connect.submit(b[i]), count))
            figures["raw sqlite insert"].append(
                per_call_us(lambda i: database.execute("INSERT INTO q VALUES (?)", (row,)), count)
            )
            view = connect._opened().view
            figures["check"].append(per_call_us(lambda _, v=view: v.navigation(), count))
        connect.withdraw()
        refused = Position(48.1, 11.5)

        def refuse(_: int) -> None:
            try:
                connect.submit(refused)
            except ConsentRequired:
                pass

        for _ in range(rounds):
            figures["refused submit"].append(per_call_us(refuse, count))
        connect.close()
        database.close()
    return {name: statistics.median(values) for name, values in figures.items()}


def end_to_end(count: int) -> dict[str, float]:
    """Positions a second from submit() to the service's answer, on this machine's two cores."""
    with Sink() as sink, tempfile.TemporaryDirectory() as folder:
        connect = connect_at(folder, sink.url, outbox_max_positions=1_000_000, batch_max_positions=500)
        connect.request_permission(user_action=True)
        batch = [Position(p.latitude, p.longitude, accuracy_m=4.0, speed_mps=p.speed_mps) for p in positions(count)]
        begin = time.perf_counter()
        for position in batch:
            connect.submit(position)
        report = connect.flush()
        took = time.perf_counter() - begin
        size = connect._opened().sender.stats.bytes_sent
        connect.close()
    return {"delivered": report.sent, "positions a second": report.sent / took, "bytes a position": size / report.sent}


BUSY = """
import itertools, sys, threading
from kalos_connect_sdk import AssertedParked, Config, Connect, KalosConnectError, Position
def work(number):
    connect = Connect("com.example.bench", vehicle=AssertedParked("a bench"), config=Config(
        service_url=sys.argv[2], state_dir=sys.argv[1] + "/state", vault="file:" + sys.argv[1] + "/vault"))
    try:
        for i in itertools.count():
            connect.submit(Position(48.0 + number, 11.0 + i * 1e-6))
            if i % 50 == 49:
                connect.flush()
            if i == 50:
                print("busy", flush=True)
    except KalosConnectError:
        pass
for n in range(4):
    threading.Thread(target=work, args=(n,)).start()
"""


def withdraw_busy(rounds: int) -> list[float]:
    """withdraw() with 8 busy sender threads in 2 other processes, in milliseconds."""
    times = []
    with Sink() as sink:
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                connect = connect_at(folder, sink.url)
                connect.request_permission(user_action=True)
                others = [
                    subprocess.Popen([sys.executable, "-c", BUSY, folder, sink.url], stdout=subprocess.PIPE, text=True)
                    for _ in range(2)
                ]
                for other in others:
                    for _ in range(4):
                        other.stdout.readline()
                begin = time.perf_counter()
                report = connect.withdraw()
                times.append((time.perf_counter() - begin) * 1000)
                if not report.complete:
                    print("incomplete:", report, file=sys.stderr)
                for other in others:
                    other.wait(timeout=30)
                connect.close()
    return times


def withdraw_offline(rounds: int) -> list[float]:
    """withdraw() with 300 positions queued and no network, in milliseconds."""
    times = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            connect = connect_at(folder, "http://127.0.0.1:9")
            connect.request_permission(user_action=True)
            for position in positions(300):
                connect.submit(position)
            begin = time.perf_counter()
            connect.withdraw()
            times.append((time.perf_counter() - begin) * 1000)
            connect.close()
    return times


FIRST = """
from kalos_connect_sdk import Config, Connect
connect = Connect("com.example.bench", config=Config(state_dir={state!r}, vault="file:" + {state!r} + "-vault"))
connect.permission()
import os; os._exit(0)
"""


def import_times(rounds: int) -> tuple[float, float]:
    """(import and a first permission(), import requests), both over bare python, in milliseconds."""
    bare, ours, rival = [], [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            for times, code in (
                (bare, "pass"),
                (ours, FIRST.format(state=f"{folder}/s")),
                (rival, "import requests"),
            ):
                begin = time.perf_counter()
                subprocess.run([sys.executable, "-c", code], check=True)
                times.append((time.perf_counter() - begin) * 1000)
    floor = statistics.median(bare)
    return statistics.median(ours) - floor, statistics.median(rival) - floor


def gzip_size() -> float:
    """Bytes a position in one batch of 200 as it goes over the wire."""
    from kalos_connect_sdk.core.packing import pack
    from kalos_connect_sdk.core.wire import consent_member, feature_collection

    rows = [pack(p, p.time.timestamp(), 0) for p in positions(200)]
    body = feature_collection(rows, consent_member("0" * 32, 1, "navigation", "precise", "0" * 64))
    return len(gzip.compress(body, 6)) / 200


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--print", action="store_true", help="print only, write no file")
    options = parser.parse_args()
    rounds = 3 if options.quick else 7
    calls = submit_and_rivals(rounds, 2000)
    flow = [end_to_end(20_000) for _ in range(3)]
    busy, offline = withdraw_busy(rounds + 4), withdraw_offline(rounds + 4)
    ours, rival = import_times(rounds + 4)
    best = statistics.median(f["positions a second"] for f in flow)
    rows = [
        ("consent check (fast path)", f"{calls['check']:.2f} us", "four shared-memory reads"),
        ("accepted `submit` (gated, sealed, survives kill -9)", f"{calls['accepted submit']:.1f} us",
         f"at most half a raw SQLite WAL NORMAL insert ({calls['raw sqlite insert']:.1f} us in this run): "
         f"{calls['accepted submit'] / calls['raw sqlite insert']:.2f}x"),
        ("refused `submit`", f"{calls['refused submit']:.1f} us", "at most 4.4 us (a tenth of PostHog's disabled capture)"),
        ("end to end, one process, plain http sink", f"{best:,.0f} positions/s", "at least 80,000/s (8x PostHog)"),
        ("bytes a position, batch of 200, gzip", f"{gzip_size():.1f}", "at most 24.4"),
        ("`withdraw()`, 8 busy senders in 2 processes", f"median {statistics.median(busy):.1f} ms, worst {max(busy):.1f} ms",
         "median at most 5 ms, worst 25 ms"),
        ("`withdraw()`, offline, 300 queued", f"median {statistics.median(offline):.1f} ms, worst {max(offline):.1f} ms",
         "at most 50 ms"),
        ("`import` and a first `permission()` over bare Python", f"{ours:.0f} ms",
         f"at most 0.6x `import requests` ({rival:.0f} ms in this run): {ours / rival:.2f}x"),
    ]  # fmt: skip
    lines = ["| what | measured | target |", "| --- | --- | --- |"]
    lines += [f"| {what} | {measured} | {target} |" for what, measured, target in rows]
    table = "\n".join(lines)
    print(table)
    if not options.print:
        page = (
            "# Benchmarks\n\n"
            f"`make bench`, CPython {platform.python_version()}, {os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}. "
            "Medians over rounds; compared pieces take turns in one run. The machine is shared: trust ratios.\n\n"
            f"{table}\n\n"
            "`withdraw()` scene by scene, and what it waits for: [withdraw-times.md](withdraw-times.md).\n"
        )
        (ROOT / "docs" / "benchmarks.md").write_text(page)


if __name__ == "__main__":
    main()
