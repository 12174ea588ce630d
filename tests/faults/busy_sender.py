"""The program of the silence tests: threads that submit and send as fast as they can, and a record of what they did.

``busy_sender.py STATE VAULT URL CA_BUNDLE THREADS``. Sender 0 is the main thread, so that a signal interrupts it.
Words in: ``withdraw`` (on a thread that sends nothing), ``again`` (after a new grant: what was queued must not come
back). SIGUSR1 withdraws in the handler. Lines out: JSON.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import random
import signal
import sys
import threading
import time
from typing import Any

from kalos_connect_sdk import AssertedParked, Config, Connect, ConsentRequired, KalosConnectError, Position, Reason

STATE, VAULT, URL, CA_BUNDLE = sys.argv[1:5]
COUNT = int(sys.argv[5])
BATCH = 1000


def say(**what: Any) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def open_connect() -> Connect:
    config = Config(
        state_dir=STATE, vault=VAULT, service_url=URL, ca_bundle=CA_BUNDLE or None, batch_max_positions=BATCH
    )
    return Connect("com.example.test", config=config, vehicle=AssertedParked("a test bench"))


connects = [open_connect() for _ in range(COUNT)]
again = [queue.SimpleQueue[bool]() for _ in range(COUNT)]


def withdraw() -> None:
    report = connects[0].withdraw(timeout_s=30)
    returned = time.monotonic()
    say(event="withdrawn", complete=report.complete, returned=returned, remaining=list(report.remaining))


def refusal(connect: Connect) -> str:
    try:
        connect.submit(Position(60.0, 24.0))
    except ConsentRequired as error:
        return error.reason.name
    return "ACCEPTED"


def send_until_refused(number: int) -> None:
    """Records every flush that sent something: when it began and how much."""
    connect, sends, reason = connects[number], [], ""
    try:
        for i in itertools.count():
            connect.submit(Position(60.0 + random.random(), 24.0 + random.random()))
            if i % BATCH == BATCH - 1:
                began = time.monotonic()
                report = connect.flush()
                if report.sent:
                    sends.append([began, report.sent])
                if len(sends) == 1:
                    say(event="busy")
    except ConsentRequired as error:
        reason = error.reason.name
    except KalosConnectError as error:
        reason = type(error).__name__
    after = connect.flush()
    say(
        event="stopped",
        reason=reason,
        sends=sends,
        next_submit=refusal(connect),
        next_flush=[after.sent, after.reason is Reason.WITHDRAWN],
    )
    again[number].get()
    revived = connect.flush()
    accepted = connect.submit(Position(10.0 + number, 20.0)).accepted
    fresh = connect.flush()
    say(event="again", revived=[revived.sent, revived.remaining], accepted=accepted, fresh=fresh.sent)


def obey() -> None:
    for line in sys.stdin:
        if line.strip() == "withdraw":
            withdraw()
        else:
            for waiting in again:
                waiting.put(True)
    os._exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, lambda *_: withdraw())
    threading.Thread(target=obey, daemon=True).start()
    for i in range(1, COUNT):
        threading.Thread(target=send_until_refused, args=(i,), daemon=True).start()
    send_until_refused(0)
    threading.Event().wait()
