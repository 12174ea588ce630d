"""R11, R3: signal handlers, atexit, forks, garbage and nested event loops: no deadlock, and nothing is inherited.

A deadlock is seen as one: each program prints every stack and ends after 90 s, each child of the interrupted program
after 60 s, and every wait here is bounded.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from forked_work import inherited, sockets_of_the_sdk, work
from real_program import Start, eventually, starter

from kalos_connect_sdk import AssertedParked, AsyncConnect, Config, Position, PromptAnswer, Reason
from kalos_connect_sdk.model.consent import Duration
from kalos_connect_sdk.storage import locks
from kalos_connect_sdk.testing import ScriptedPrompter

FULL = os.environ.get("KALOS_SWEEP") == "full"
HERE = Path(__file__).parent
PLACES = 6
WEEK = PromptAnswer.allow(Duration.days(7))
CALM_S = 3.0
"""Half of what a withdrawal may wait for: one that waits for the interrupted thread takes all of it."""

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")  # 3.12: threads are running


@pytest.fixture
def program(tmp_path, service) -> Iterator[Start]:
    yield from starter(tmp_path, service.url)


def granted(connect):
    assert connect.request_permission(user_action=True).granted
    return connect


# -- signals --------------------------------------------------------------------------------------


@pytest.mark.fault(52)
@pytest.mark.once
def test_r11_withdraw_at_any_line_of_the_interrupted_thread(tmp_path, service):
    """At every line of the SDK the main thread runs, as a handler would; locks held, imports half done and all."""
    command = [sys.executable, str(HERE / "interrupted_program.py"), str(tmp_path), service.url]
    counted = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    places = json.loads(counted.stdout)["places"]
    assert places > 800
    chosen = range(places) if FULL else sorted(Random(52).sample(range(places), PLACES))
    done = subprocess.run(
        [*command, *map(str, chosen)], capture_output=True, text=True, timeout=20 * len(chosen), check=True
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["at"] for answer in answers] == list(chosen)
    wrong = [a for a in answers if a["status"] or not (a.get("complete") and a.get("durable") and a.get("ends"))]
    assert not wrong, (wrong, done.stderr[-3000:])


@pytest.mark.fault(52)
@pytest.mark.once
def test_r11_signals_at_random_instants_find_withdraw_working(program):
    """A program that grants, submits, sends, drives and closes again and again; each round is hit by a few signals."""
    one = program(r"""
reports = []
for each in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
    signal.signal(each, lambda *_: reports.append(c.withdraw()))
class Endless:
    live, over = True, False
    def __iter__(self):
        n = 0
        while not self.over:
            n += 1
            yield Position(60.17, 24.0 + n * 1e-6)
    def close(self): self.over = True
c, number = make(), 0
while (word := hear()) == "round":
    number, done = number + 1, len(reports)
    if number % 4 == 3:
        c.close()
        c = make()
    say("ready")
    while len(reports) == done:
        try:
            c.request_permission(user_action=True)
            for i in range(30):
                c.submit(Position(60.0 + number, 24.0 + i * 1e-6))
            if number % 2:
                c.flush()
            else:
                with c.drive(Endless()) as d: d.wait(0.01)
            if number % 3 == 0: c.withdraw()
        except KalosConnectError:
            pass
    say(json.dumps([[r.complete, r.durable, list(r.remaining)] for r in reports[done:]]))
last = c.withdraw()
say(last.complete, c.permission().granted)
c.close()
""")
    dice, found = Random(52), 0
    for _ in range(300 if FULL else 25):
        one.say("round")
        assert one.hear() == "ready"
        for _ in range(dice.randrange(1, 4)):
            threading.Event().wait(dice.random() * 0.05)  # not a wait for anything: the instant is the test
            one.signal(dice.choice([signal.SIGTERM, signal.SIGINT, signal.SIGALRM]))
        reports = json.loads(one.hear())
        found += len(reports)
        assert all(complete and durable for complete, durable, _ in reports), reports
    one.say("enough")
    assert one.hear() == "True False"
    code, _, errors = one.end()
    assert code == 0, errors
    print(f"{found} withdrawals in handlers")


@pytest.mark.fault(52)
def test_r11_a_handler_that_withdraws_interrupts_another_withdrawal(program):
    one = program(r"""
c = make()
reports = []
signal.signal(signal.SIGALRM, lambda *_: reports.append(c.withdraw()))
dice = random.Random(53)
for _ in range(30):
    c.request_permission(user_action=True)
    c.submit(Position(60.0, 24.0))
    signal.setitimer(signal.ITIMER_REAL, 1e-5 + dice.random() * 8e-3)
    reports.append(c.withdraw())
    while signal.getitimer(signal.ITIMER_REAL)[0]: time.sleep(0.001)  # pause() would miss one that comes right before it
signal.setitimer(signal.ITIMER_REAL, 0)
say(all(r.complete and r.durable for r in reports), len(reports) >= 30, c.permission().granted)
c.close()
""")
    assert one.hear() == "True True False"
    assert one.end()[0] == 0


@pytest.mark.fault(52)
@pytest.mark.parametrize("held", ["descriptors", "the way to the service", "a prompt", "a submit", "the box", "news"])
def test_r11_whatever_lock_the_interrupted_thread_holds(make, held):
    connect = granted(make(WEEK))
    connect.submit(Position(60.0, 24.0))
    engine = connect._opened()
    lock = {
        "descriptors": locks._forking,
        "the way to the service": engine.link._opening,
        "a prompt": engine.asking._lock,
        "a submit": connect._submitter._lock,
        "the box": engine.store.box._outbox._lock,
        "news": engine.watcher._lock,
    }[held]
    reports = []
    before = signal.signal(signal.SIGUSR1, lambda *_: reports.append(connect.withdraw()))
    try:
        with lock:  # as it is in the middle of that lock's block
            signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    (report,) = reports
    assert report.complete and report.durable and report.elapsed_s < CALM_S, report
    assert connect.permission().reason is Reason.WITHDRAWN


@pytest.mark.fault(52)
def test_r11_garbage_that_withdraws(program):
    """A finalizer may run anywhere, also inside the SDK."""
    one = program(r"""
import gc
c = make()
reports = []
class Guard:
    def __init__(self): self.me = self
    def __del__(self):
        reports.append(c.withdraw())
        if not reports[-1].complete: slow.append((threading.current_thread().name, reports[-1].elapsed_s))
slow = []
gc.set_threshold(50, 2, 2)
for _ in range(8):
    c.request_permission(user_action=True)
    Guard()
    try:
        for i in range(400): c.submit(Position(60.0, 24.0 + i * 1e-6))
        c.flush()
    except KalosConnectError: pass
gc.collect()
patient = [(name, s) for name, s in slow if name not in ("kalos-keeper", "kalos-sender") or s > 1]  # they cannot wait
say(len(reports), patient, c.withdraw().complete, c.permission().granted)
c.close()
""")
    assert one.hear() == "8 [] True False"
    assert one.end()[0] == 0


# -- the end of the interpreter -------------------------------------------------------------------


@pytest.mark.fault(52)
@pytest.mark.parametrize("how", ["main ends", "sys.exit", "an error"])
def test_r11_atexit_while_daemons_submit_and_send(program, make, service, how):
    end = {"main ends": "pass", "sys.exit": "sys.exit(0)", "an error": "raise SystemExit(0)"}[how]
    one = program(f"""
import atexit, itertools
c = make(); c.request_permission(user_action=True)
def busy():
    try:
        for n in itertools.count():
            c.submit(Position(60.0, 24.0 + n * 1e-6))
            if n % 50 == 0: c.flush()
    except KalosConnectError: pass
for _ in range(3): threading.Thread(target=busy, daemon=True).start()
def leave():
    r = c.withdraw()
    say(r.complete, r.durable)
atexit.register(leave)
time.sleep(0.05)
{end}
""")
    assert one.hear() == "True True"
    code, _, errors = one.end()
    assert code == 0, errors
    assert make().permission().reason is Reason.WITHDRAWN


@pytest.mark.fault(52)
def test_r11_an_asynchronous_withdrawal_in_atexit(program, make):
    one = program(r"""
import asyncio, atexit
from kalos_connect_sdk import AsyncConnect
config = Config(state_dir=STATE, vault=VAULT, service_url=URL)
c = AsyncConnect("com.example.test", config=config, vehicle=AssertedParked("a test bench"), prompter=ScriptedPrompter(WEEK))
assert asyncio.run(c.request_permission(user_action=True)).granted
def leave():
    r = asyncio.run(c.withdraw())
    say(r.complete, r.durable)
atexit.register(leave)
""")
    assert one.hear() == "True True"
    assert one.end()[0] == 0


# -- forks ----------------------------------------------------------------------------------------


class Forked:
    """A child that runs ``work`` and then lives on until the test lets it go."""

    def __init__(self, work) -> None:
        here, there = os.pipe()
        stay, go = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                signal.alarm(60)
                os.close(go)
                os.close(here)
                os.write(there, json.dumps(work()).encode())
                os.close(there)
                os.read(stay, 1)
            except BaseException:
                traceback.print_exc()  # pytest shows what a child wrote
            finally:
                os._exit(0)
        os.close(there)
        os.close(stay)
        self._go = go
        with os.fdopen(here) as pipe:
            said = pipe.read()
        self.said = json.loads(said) if said else None

    def let_go(self) -> int:
        os.close(self._go)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.mark.fault(23)
@pytest.mark.parametrize("moment", ["idle", "in flight", "prompting", "driving", "withdrawing"])
def test_r3_a_child_forked_at_any_moment_holds_nothing_and_blocks_nobody(make, service, tmp_path, moment):
    prompter = ScriptedPrompter(WEEK, None, WEEK, driver_facing=False)
    connect = granted(make(prompter=prompter))
    connect.submit(Position(60.0, 24.0))
    connect.flush()
    threads = []

    def aside(call) -> None:
        threads.append(threading.Thread(target=call, daemon=True))
        threads[-1].start()

    if moment == "in flight":
        service.fail(stall_s=60.0, path="/v1/positions", times=1, before="answer")
        connect.submit(Position(60.1, 24.0))
        aside(connect.flush)
        eventually(lambda: connect._opened().sender.sending)
        eventually(lambda: service.requests[-1]["t_read"] is not None)
    elif moment == "prompting":
        connect.withdraw()
        aside(lambda: connect.request_permission(user_action=True))
        eventually(lambda: len(prompter.requests) == 2)
    elif moment == "driving":
        drive = connect.drive(Slow())
    elif moment == "withdrawing":
        aside(connect.withdraw)

    ours = sockets_of_the_sdk()
    assert ours, "there is a connection that could be inherited"

    def look() -> list:
        found = inherited(str(tmp_path / "state"), ours)
        own = connect.permission()  # opens anew
        return [found, own.granted]

    child = Forked(look)
    try:
        assert child.said is not None, "the child did not finish: a lock of the parent was inherited"
        assert child.said[0] == []
        report = connect.withdraw()
        assert report.complete and not report.holders, report  # although the child lives on
    finally:
        assert child.let_go() == 0
    if moment == "driving":
        drive.stop()
    service.clear_failures()
    connect.close()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


class Slow:
    """A live source that goes on until it is closed."""

    live = True

    def __init__(self) -> None:
        self._over = threading.Event()

    def __iter__(self):
        number = 0
        while not self._over.wait(0.002):
            number += 1
            yield Position(60.0, 24.0 + number * 1e-6)

    def close(self) -> None:
        self._over.set()


@pytest.mark.fault(23)
@pytest.mark.once
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_r3_multiprocessing_of_every_kind_inherits_nothing(make, service, tmp_path, method):
    import multiprocessing

    connect = granted(make(WEEK))
    connect.submit(Position(60.0, 24.0))
    connect.flush()
    context = multiprocessing.get_context(method)
    here, there = context.Pipe()
    where = (str(tmp_path / "state"), f"file:{tmp_path / 'vault'}", service.url)
    ours = sockets_of_the_sdk()
    assert ours, "there is a connection that could be inherited"
    child = context.Process(target=work, args=(there, ours, *where))
    child.start()
    there.close()
    try:
        assert here.poll(60)
        found, used = here.recv()
        assert found == []
        assert used == "True True"
        assert connect.withdraw().complete
    finally:
        here.send("that is all")
        here.close()
        child.join(20)
        if child.is_alive():
            child.kill()
    assert child.exitcode == 0
    if method == "forkserver":
        multiprocessing.forkserver._forkserver._stop()


@pytest.mark.fault(23)
def test_r3_a_started_program_inherits_nothing_even_with_every_descriptor_left_open(make, service, tmp_path):
    connect = granted(make(WEEK))
    connect.submit(Position(60.0, 24.0))
    connect.flush()
    connect.submit(Position(60.1, 24.0))
    script = f"import sys; sys.path.insert(0, {str(HERE)!r}); import forked_work; "
    script += "print(forked_work.inherited(sys.argv[1], list(map(int, sys.argv[2:]))))"
    lease = connect._opened().state.barrier.shared(1.0)
    try:
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / "state"), *map(str, sockets_of_the_sdk())],
            close_fds=False,
            capture_output=True,
            text=True,
        )
    finally:
        lease.release()
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.fault(23, 52)
def test_r11_an_asynchronous_facade_withdraws_in_a_forked_child(service, tmp_path):
    config = Config(service_url=service.url, state_dir=str(tmp_path / "state"), vault=f"file:{tmp_path / 'vault'}")
    connect = AsyncConnect(
        "com.example.test", config=config, vehicle=AssertedParked("a test bench"), prompter=ScriptedPrompter(WEEK)
    )

    async def grant_and_withdraw() -> bool:
        assert (await connect.request_permission(user_action=True)).granted
        return (await connect.withdraw()).complete

    assert asyncio.run(grant_and_withdraw())  # the thread that withdraws exists now, here
    child = Forked(lambda: asyncio.run(grant_and_withdraw()))
    assert child.let_go() == 0
    assert child.said is True
    asyncio.run(connect.close())


# -- event loops ----------------------------------------------------------------------------------


@pytest.mark.fault(52)
def test_r11_one_facade_in_two_loops_and_a_loop_within_a_callback(service, tmp_path):
    config = Config(service_url=service.url, state_dir=str(tmp_path / "state"), vault=f"file:{tmp_path / 'vault'}")
    connect = AsyncConnect(
        "com.example.test", config=config, vehicle=AssertedParked("a test bench"), prompter=ScriptedPrompter(WEEK)
    )
    nested: list[bool] = []

    def on_sdk_thread(permission) -> None:
        if permission.granted:
            nested.append(asyncio.run(connect.withdraw()).complete)

    connect._connect.on_change(on_sdk_thread)
    both = threading.Barrier(2)
    complete = []

    def loop() -> None:
        async def rounds() -> None:
            for _ in range(3):
                await connect.request_permission(user_action=True)
                both.wait(30)
                complete.append((await connect.withdraw()).complete)

        asyncio.run(rounds())

    threads = [threading.Thread(target=loop, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert complete == [True] * 6

    async def in_a_running_loop() -> bool:
        await connect.request_permission(user_action=True)
        return connect._connect.withdraw().complete  # the blocking call, on the loop's own thread

    assert asyncio.run(in_a_running_loop())
    eventually(lambda: nested)
    assert all(nested)
    assert not asyncio.run(connect.permission()).granted
    asyncio.run(connect.close())
