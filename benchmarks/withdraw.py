"""Measure how long ``withdraw()`` takes, scene by scene, and what the machine itself makes it wait for.

    python benchmarks/withdraw.py [--rounds N] [--only WORD ...] [--against TREE]

Every scene has a process of its own that plays one round when told to; scenes take turns, so that a drifting
machine shifts all of them. ``--against``: another working tree whose SDK takes turns with this one.
Nothing here asserts: timed assertions do not belong in tests.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import queue
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SENDERS = 8


def connect_at(folder: str, url: str, **options: Any) -> Any:
    """A facade on the state directory of the scene, that says yes."""
    from kalos_connect_sdk import AssertedParked, Config, Connect, PromptAnswer
    from kalos_connect_sdk.testing import ScriptedPrompter

    bundle = f"{folder}/tls.pem" if url.startswith("https") else None
    return Connect(
        "com.example.bench",
        config=Config(service_url=url, state_dir=f"{folder}/state", vault=f"file:{folder}/vault", ca_bundle=bundle),
        prompter=ScriptedPrompter(PromptAnswer.allow()),
        vehicle=AssertedParked("a bench"),
        **options,
    )


# -- what is busy meanwhile ----------------------------------------------------------------------


class Senders:
    """Threads, each with a :class:`Connect` of its own, that submit and flush as fast as they can until refused."""

    def __init__(self, folder: str, url: str, count: int, say: Callable[[str], Any], busy_at: int = 120) -> None:
        self._busy_at = busy_at
        self._go: list[queue.SimpleQueue[bool]] = [queue.SimpleQueue() for _ in range(count)]
        for number, go in enumerate(self._go):
            threading.Thread(target=self._work, args=(folder, url, number, go, say), daemon=True).start()

    def go(self) -> None:
        """Everybody begins; each says ``busy`` when it is, and ``stopped`` when it was refused."""
        for go in self._go:
            go.put(True)

    def _work(self, folder: str, url: str, number: int, go: Any, say: Callable[[str], Any]) -> None:
        connect = connect_at(folder, url)
        while go.get():
            try:
                submit_and_flush(connect, number, lambda: say("busy"), busy_at=self._busy_at)
            finally:
                say("stopped")


def submit_and_flush(connect: Any, number: int, busy: Callable[[], None], *, busy_at: int = 120) -> None:
    """Until it is refused; a no before it was ever busy is that of the round before. ``busy_at``: the position after
    which it is, every fiftieth being followed by a flush."""
    from kalos_connect_sdk import KalosConnectError, Position

    said = False
    while not said:
        try:
            for i in itertools.count():
                connect.submit(Position(48.0 + number, 11.0 + i * 1e-6))
                if i == busy_at:
                    busy()
                    said = True
                if i % 50 == 49:
                    connect.flush()
        except KalosConnectError:
            time.sleep(0.002)


def be_a_sender(folder: str, url: str, count: int, busy_at: int) -> None:
    """The program of a busy process: one line in is one round, words out."""
    senders = Senders(folder, url, count, lambda word: os.write(1, f"{word}\n".encode()), busy_at)  # whole
    for _ in sys.stdin:
        senders.go()
    os._exit(0)


class Program:
    """A child process that is spoken to in lines."""

    def __init__(self, *arguments: str, tree: str | None = None) -> None:
        environment = {**os.environ, **({"PYTHONPATH": tree} if tree else {})}
        self.process = subprocess.Popen(
            [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def tell(self, word: str = "go") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a program ended early: {self.process.args}")
        return line.strip()

    def until(self, word: str, times: int) -> None:
        while times:
            times -= self.hear() == word

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        """The end of its input is the end of a program, and of those it started."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def certificate(path: str) -> None:
    """A key and a self-signed certificate for the loopback address."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench")])
    today = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(today - timedelta(days=1)).not_valid_after(today + timedelta(days=2))
    made = made.add_extension(address, False).add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
    made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, *form)
    Path(path).write_bytes(pem + made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


@contextmanager
def sink(folder: str, *, tls: bool = False, stall: bool = False) -> Iterator[tuple[Program, str]]:
    """The service in a process of its own, and its address."""
    arguments = [str(HERE / "sink.py"), "--until-eof"]
    if tls:
        certificate(f"{folder}/tls.pem")
        arguments += ["--tls", f"{folder}/tls.pem"]
    with Program(*arguments, *(["--stall"] if stall else [])) as service:
        yield service, service.hear()


# -- the scenes ----------------------------------------------------------------------------------

Round = Callable[[], dict[str, float]]


def timed(connect: Any) -> dict[str, float]:
    begin = time.perf_counter()
    report = connect.withdraw()
    took = (time.perf_counter() - begin) * 1000
    return {"ms": took, "complete": float(report.complete)}


def offline(stack: ExitStack, folder: str, *, queued: int) -> Round:
    """Nobody else; so many positions wait, and no network."""
    from kalos_connect_sdk import Position

    def play() -> dict[str, float]:
        with connect_at(folder, "http://127.0.0.1:9") as connect:
            connect.request_permission(user_action=True)
            for i in range(queued):
                connect.submit(Position(48.0, 11.0 + i * 1e-6))
            return timed(connect)

    return play


def others(stack: ExitStack, folder: str, *, tls: bool = False, stall: bool = False, floor: bool = False) -> Round:
    """Eight busy senders in two other processes."""
    service, url = stack.enter_context(sink(folder, tls=tls, stall=stall))
    arguments = [__file__, "--sender", folder, url, str(SENDERS // 2), "49" if stall else "120"]
    programs = [stack.enter_context(Program(*arguments)) for _ in range(2)]
    probes = Floor(folder) if floor else None

    def play() -> dict[str, float]:
        with connect_at(folder, url) as connect:
            connect.request_permission(user_action=True)
            for program in programs:
                program.tell()
            if stall:
                service.until("stalled", SENDERS)
            else:
                for program in programs:
                    program.until("busy", SENDERS // 2)
            measured = probes.measure() if probes else {}
            measured.update(timed(connect))
            for program in programs:
                program.until("stopped", SENDERS // 2)
            return measured

    return play


def threads(stack: ExitStack, folder: str, *, tls: bool = False, by_signal: bool = False) -> Round:
    """Eight busy sender threads in this process; with ``by_signal`` the eighth is interrupted by a signal, whose
    handler withdraws."""
    _, url = stack.enter_context(sink(folder, tls=tls))
    words: queue.SimpleQueue[str] = queue.SimpleQueue()
    count = SENDERS - by_signal
    senders = Senders(folder, url, count, words.put)

    def play() -> dict[str, float]:
        with connect_at(folder, url) as connect:
            connect.request_permission(user_action=True)
            senders.go()
            heard = [words.get() for _ in range(count)]
            measured: dict[str, float] = {}
            if by_signal:
                signal.signal(signal.SIGALRM, lambda *_: measured.update(timed(connect)))
                submit_and_flush(connect, 8, lambda: signal.setitimer(signal.ITIMER_REAL, 0.01))
            else:
                measured = timed(connect)
            for _ in range(2 * count - len(heard)):
                words.get()
            return measured

    return play


def shared(stack: ExitStack, folder: str) -> Round:
    """Eight busy threads that share the :class:`Connect` that withdraws."""
    _, url = stack.enter_context(sink(folder))

    def play() -> dict[str, float]:
        words: queue.SimpleQueue[str] = queue.SimpleQueue()
        with connect_at(folder, url) as connect:
            connect.request_permission(user_action=True)
            crowd = [
                threading.Thread(target=submit_and_flush, args=(connect, number, lambda: words.put("busy")))
                for number in range(SENDERS)
            ]
            for thread in crowd:
                thread.start()
            for _ in crowd:
                words.get()
            measured = timed(connect)
            for thread in crowd:
                thread.join()
            return measured

    return play


def told(stack: ExitStack, folder: str) -> Round:
    """Another program withdraws; ours has a subscriber, a running drive and an indicator. From the other's call of
    ``withdraw()``, the tombstone's write included."""
    from kalos_connect_sdk.model.events import ConsentLost
    from kalos_connect_sdk.sources import PushSource

    _, url = stack.enter_context(sink(folder))
    other = stack.enter_context(Program(__file__, "--withdrawer", folder, url))

    def play() -> dict[str, float]:
        news: queue.SimpleQueue[float] = queue.SimpleQueue()
        with connect_at(folder, url) as connect:
            connect.request_permission(user_action=True)
            connect.on_change(lambda _: news.put(time.perf_counter()))
            drive = connect.drive(PushSource())
            other.tell()
            while connect.sharing:
                time.sleep(0.0005)
            unshared = time.perf_counter()
            lost = next(time.perf_counter() for event in drive if isinstance(event, ConsentLost))
            heard = news.get()
            begin = float(other.hear())
        instants = {"ms": heard, "drive": lost, "sharing": unshared}
        return {"complete": 1.0, **{name: (at - begin) * 1000 for name, at in instants.items()}}

    return play


def be_a_withdrawer(folder: str, url: str) -> None:
    """The program of another process that withdraws: a line in is a round, a line out when it began."""
    for _ in sys.stdin:
        with connect_at(folder, url) as connect:
            connect.receipts()
            begin = time.perf_counter()
            connect.withdraw()
        print(begin, flush=True)


def gone(stack: ExitStack, folder: str) -> Round:
    """The service answers 410 to a send. From the call of ``flush()``, the request included."""
    from kalos_connect_sdk import Position
    from kalos_connect_sdk.testing import ServiceEmulator

    def play() -> dict[str, float]:
        news: queue.SimpleQueue[float] = queue.SimpleQueue()
        with ServiceEmulator() as service, connect_at(f"{folder}/{time.monotonic_ns()}", service.url) as connect:
            connect.request_permission(user_action=True)
            connect.submit(Position(48.0, 11.0))
            connect.flush()
            connect.on_change(lambda _: news.put(time.perf_counter()))
            service.fail(status=410, problem="consent-withdrawn", path="/v1/positions")
            connect.submit(Position(48.0, 11.1))
            begin = time.perf_counter()
            connect.flush()
            return {"complete": 1.0, "ms": (news.get() - begin) * 1000}

    return play


def elsewhere(stack: ExitStack, folder: str) -> Round:
    """The service ended the consent, and an idle car asks. From the answer's being known to the courier."""
    from kalos_connect_sdk.transport.client import ServiceClient

    known: list[float] = []
    ask = ServiceClient.status

    def status(self: ServiceClient, *arguments: Any) -> Any:
        answer = ask(self, *arguments)
        known.append(time.perf_counter())
        return answer

    ServiceClient.status = status  # type: ignore[method-assign]

    def play() -> dict[str, float]:
        from kalos_connect_sdk.model.events import ConsentLost
        from kalos_connect_sdk.sources import PushSource
        from kalos_connect_sdk.testing import FakeClock, ServiceEmulator

        news: queue.SimpleQueue[float] = queue.SimpleQueue()
        clock = FakeClock(datetime.now(UTC))
        with (
            ServiceEmulator() as service,
            connect_at(f"{folder}/{time.monotonic_ns()}", service.url, clock=clock) as connect,
        ):
            connect.request_permission(user_action=True)
            connect.on_change(lambda _: news.put(time.perf_counter()))
            drive = connect.drive(PushSource())
            service.revoke()
            clock.advance(67)
            while connect.sharing:
                time.sleep(0.0005)
            unshared = time.perf_counter()
            lost = next(time.perf_counter() for event in drive if isinstance(event, ConsentLost))
            instants = {"ms": news.get(), "asked-drive": lost, "asked-sharing": unshared}
        return {"complete": 1.0, **{name: (at - known[-1]) * 1000 for name, at in instants.items()}}

    return play


class Floor:
    """What the machine itself takes in the same moment: a durable SQLite commit, a write with fdatasync, and two
    milliseconds of processor time."""

    def __init__(self, folder: str) -> None:
        self._db = sqlite3.connect(f"{folder}/floor.db", isolation_level=None)
        self._db.executescript("PRAGMA journal_mode=TRUNCATE; PRAGMA synchronous=FULL; CREATE TABLE t(b BLOB)")
        self._file = os.open(f"{folder}/floor", os.O_RDWR | os.O_CREAT, 0o600)
        os.write(self._file, bytes(4096))
        os.fsync(self._file)

    def measure(self) -> dict[str, float]:
        return {
            name: self._one(work) for name, work in (("commit", self._commit), ("sync", self._sync), ("cpu", _burn))
        }

    @staticmethod
    def _one(work: Callable[[], None]) -> float:
        time.sleep(0.02)
        begin = time.perf_counter()
        work()
        return (time.perf_counter() - begin) * 1000

    def _commit(self) -> None:
        self._db.execute("INSERT INTO t VALUES (?)", (bytes(300),))

    def _sync(self) -> None:
        os.pwrite(self._file, os.urandom(16), 64)
        os.fdatasync(self._file)


def _burn() -> None:
    until = time.thread_time() + 0.002
    while time.thread_time() < until:
        pass


Scene = Callable[[ExitStack, str], Round]
SCENES: dict[str, tuple[str, Scene]] = {
    "offline": ("offline, 300 queued", lambda s, f: offline(s, f, queued=300)),
    "queue": ("offline, 3,600 queued", lambda s, f: offline(s, f, queued=3600)),
    "http": ("8 busy senders in 2 other processes, http", lambda s, f: others(s, f)),
    "https": ("8 busy senders in 2 other processes, https", lambda s, f: others(s, f, tls=True)),
    "stalled": ("8 requests of 2 other processes wait for a stalled service", lambda s, f: others(s, f, stall=True)),
    "threads": ("8 busy threads in this process, each a `Connect` of its own, http", lambda s, f: threads(s, f)),
    "threads-tls": (
        "8 busy threads in this process, each a `Connect` of its own, https",
        lambda s, f: threads(s, f, tls=True),
    ),
    "shared": ("8 busy threads that share one `Connect`, http", lambda s, f: shared(s, f)),
    "signal": ("in a signal handler that interrupts one of 8 busy threads", lambda s, f: threads(s, f, by_signal=True)),
    "floor": ("the same as the third row, after the probes below", lambda s, f: others(s, f, floor=True)),
}
TOLD: dict[str, tuple[str, Scene]] = {
    "told": ("another program withdraws: `on_change`", told),
    "gone": ("the service answers 410 to a `flush()`: `on_change`", gone),
    "elsewhere": ("an idle car hears from the service that it is over: `on_change`", elsewhere),
}
SCENES |= TOLD
MORE = {
    "drive": "another program withdraws: `ConsentLost` of a drive",
    "sharing": "another program withdraws: `sharing`",
    "asked-drive": "an idle car hears it: `ConsentLost` of a drive",
    "asked-sharing": "an idle car hears it: `sharing`",
}
PROBES = {
    "commit": "the machine then: one durable SQLite commit of its own",
    "sync": "the machine then: `pwrite` and `fdatasync` of 16 bytes",
    "cpu": "the machine then: 2 ms of processor time",
}


def be_a_scene(name: str) -> None:
    """The program of one scene: a line in is a round, a line out its figures."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        play = SCENES[name][1](stack, folder)
        for _ in sys.stdin:
            print(json.dumps(play()), flush=True)


# -- taking turns --------------------------------------------------------------------------------


def spread(values: list[float]) -> str:
    ordered = sorted(values)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return f"{statistics.median(ordered):.1f} | {p95:.1f} | {ordered[-1]:.1f}"


def measure(
    rounds: int, names: list[str], trees: list[str | None]
) -> dict[tuple[str, str | None], list[dict[str, float]]]:
    """Figures by (scene, tree), the scenes in turns, one warm-up round before."""
    found: dict[tuple[str, str | None], list[dict[str, float]]] = {}
    for name in names:  # the scenes one after the other: each brings busy processes of its own
        with ExitStack() as stack:
            programs = {t: stack.enter_context(Program(__file__, "--scene", name, tree=t)) for t in trees}
            for turn in range(rounds + 1):
                for tree, program in programs.items():
                    program.tell()
                    figures = json.loads(program.hear())
                    if not figures["complete"]:
                        print("incomplete:", name, figures, file=sys.stderr)
                    if turn:
                        found.setdefault((name, tree), []).append(figures)
    return found


def table(found: dict[tuple[str, str | None], list[dict[str, float]]]) -> str:
    lines = ["| `withdraw()` | median ms | p95 ms | worst ms |", "| --- | --- | --- | --- |"]
    for (name, tree), figures in found.items():
        where = f" ({tree})" if tree else ""
        if name != "floor":
            lines.append(f"| {SCENES[name][0]}{where} | {spread([f['ms'] for f in figures])} |")
        for probe, text in {**PROBES, **MORE}.items():
            if probe in figures[0]:
                lines.append(f"| {text}{where} | {spread([f[probe] for f in figures])} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--only", nargs="*", choices=SCENES, default=list(SCENES))
    parser.add_argument("--against", help="another working tree to take turns with")
    parser.add_argument("--scene", help=argparse.SUPPRESS)
    parser.add_argument("--sender", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--withdrawer", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.scene:
        be_a_scene(options.scene)
    elif options.sender:
        be_a_sender(options.sender[0], options.sender[1], int(options.sender[2]), int(options.sender[3]))
    elif options.withdrawer:
        be_a_withdrawer(*options.withdrawer)
    else:
        trees = [None] if options.against is None else [None, os.path.abspath(options.against)]
        print(table(measure(options.rounds, options.only, trees)))


if __name__ == "__main__":
    main()
