"""FAULTS 23: a program forks while its keeper is inside SQLite, or half way through an import; no child hangs.

``tests/storage/test_forks.py`` holds single instants still; here whole programs do it, as fast as they can.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator

import pytest
from real_program import Start, starter

FULL = os.environ.get("KALOS_SWEEP") == "full"
FORKS = 1002 if FULL else 18

pytestmark = pytest.mark.fault(23)


@pytest.fixture
def program(tmp_path, service) -> Iterator[Start]:
    yield from starter(tmp_path, service.url)


CHILD = r"""
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: threads are running
def in_child(first_call):
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)
        try: said = str(first_call())
        except Exception as error: said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe: said = pipe.read()
    os.waitpid(pid, 0)
    return said or "hangs"
"""


def test_r3_no_child_hangs_whose_parent_forked_while_its_keeper_was_busy(program):
    one = program(
        CHILD
        + r"""
faulthandler.dump_traceback_later(900, exit=True)
c = make(*[WEEK] * 2000, settings={"service_url": None})
engine, over = c._opened(), threading.Event()
def busy(job):
    while not over.is_set():
        try: engine.keeper.call(job)
        except KalosConnectError: pass  # a child's commit was faster
read = lambda: [engine.state.ledger.notices() for _ in range(20)]
write = lambda: engine.state.commit(meta={"busy": os.urandom(8).hex()})
threads = [threading.Thread(target=busy, args=(job,), daemon=True) for job in (read, write)]
for thread in threads: thread.start()
FIRST = {
    "permission": lambda: c.permission().granted,
    "submit": lambda: c.submit(Position(60.0, 24.0)).accepted,
    "withdraw": lambda: c.withdraw().complete,
}
for number in range(int(REST[0])):
    while not c.permission().granted: c.request_permission(user_action=True)
    kind = list(FIRST)[number % 3]
    say(json.dumps([kind, in_child(FIRST[kind])]))
over.set()
for thread in threads: thread.join()
say(json.dumps(["parent", str(c.withdraw().complete)]))
c.close()
""",
        str(FORKS),
    )
    found = Counter(tuple(json.loads(one.hear())) for _ in range(FORKS + 1))
    code, _, errors = one.end()
    assert code == 0, errors
    print(dict(found))
    assert not [each for each in found if each[1] == "hangs"], found
    # A disk that keeps the parent's keeper inside for a second, or its writes from us: refused, and said so.
    good = sum(found[kind, "True"] for kind in ("permission", "submit", "withdraw"))
    assert good > FORKS * 0.8, found
    assert found[("parent", "True")] == 1


def test_a_fork_waits_for_an_import_that_the_keeper_is_in(program):
    """The rest is loaded on the keeper right after the first answer: just when a program may fork."""
    one = program(
        CHILD
        + r"""
from kalos_connect_sdk.storage import forks
loading, forked = threading.Event(), threading.Event()
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "kalos_connect_sdk.protocol.watching":
            loading.set()
            while not (forks._forking or forked.is_set()): time.sleep(0.001)
sys.meta_path.insert(0, Slow())
c = make()
before = c.permission().granted
loading.wait(30)
said = in_child(lambda: c.request_permission(user_action=True).granted)
forked.set()
say(before, said, c.permission().granted)
c.close()
"""
    )
    assert one.hear() == "False True True"
    assert one.end()[0] == 0


@pytest.mark.fault(52)
def test_r11_a_handler_that_withdraws_interrupts_a_fork_that_waits(program):
    one = program(
        CHILD
        + r"""
from kalos_connect_sdk.storage import forks
c = make(WEEK, WEEK)
c.request_permission(user_action=True)
c.submit(Position(60.0, 24.0))
engine, inside, go_on, reports = c._opened(), threading.Event(), threading.Event(), []
def trace(statement):
    if statement.startswith("COMMIT") and not inside.is_set():
        inside.set()
        go_on.wait(20)
def stand_still():
    engine.state.ledger._run(lambda db: db.set_trace_callback(trace))
    engine.state.commit(meta={"busy": "1"})
def handler(*_):
    go_on.set()  # we interrupt the thread that forks, so the keeper cannot be waiting for it any more
    reports.append(c.withdraw())
def interrupt():
    while not forks._forking: time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGUSR1)
signal.signal(signal.SIGUSR1, handler)
forks._WAIT_S = 20.0
engine.keeper.post(stand_still)
inside.wait(20)
threading.Thread(target=interrupt, daemon=True).start()
said = in_child(lambda: c.permission().reason.name)
(report,) = reports
say(said, report.complete, report.durable, report.elapsed_s < 3.0)
c.close()
"""
    )
    assert one.hear() == "WITHDRAWN True True True"
    assert one.end()[0] == 0


def test_r1_a_child_forked_in_the_middle_says_so_whatever_it_calls(program):
    one = program(
        CHILD
        + r"""
from kalos_connect_sdk.storage import forks
c = make()
c.request_permission(user_action=True)
engine, inside, go_on = c._opened(), threading.Event(), threading.Event()
def trace(statement):
    if statement.startswith("COMMIT") and not inside.is_set():
        inside.set()
        go_on.wait(60)
def stand_still():
    engine.state.ledger._run(lambda db: db.set_trace_callback(trace))
    engine.state.commit(meta={"busy": "1"})
forks._WAIT_S = 0.05
engine.keeper.post(stand_still)
inside.wait(20)
say(in_child(lambda: c.permission().reason.name))
say(in_child(lambda: c.request_permission(user_action=True).state.name))
say(in_child(lambda: c.submit(Position(60.0, 24.0))))
say(in_child(lambda: c.flush().reason.name))
say(in_child(lambda: c.receipts()))
say(in_child(lambda: next(row["detail"] for row in c.doctor() if not row["ok"])))
def withdraw():
    report = c.withdraw()
    return report.complete, report.durable, report.remaining
say(in_child(withdraw))
go_on.set()
say(c.permission().reason.name, c.withdraw().complete)
c.close()
"""
    )
    why = "the program forked while another of its threads was in the middle of using the state; start children with "
    why += "spawn or exec, or fork before the first call"
    assert one.hear() == "STATE_UNREADABLE"
    assert one.hear() == "UNAVAILABLE"
    assert one.hear() == "ConsentRequired: location may not be used: STATE_UNREADABLE"
    assert one.hear() == "STATE_UNREADABLE"
    assert one.hear() == f"StorageFailure: {why}"
    assert why in one.hear()
    assert one.hear() == f"(False, True, ('{why}',))"
    assert one.hear() == "WITHDRAWN True", "the tombstone of the child ended it for everybody"
    assert one.end()[0] == 0
