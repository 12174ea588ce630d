"""A whole life of an app, as a program: every hook set to tell as much as it can. Run by ``test_life_leaves_no_trace``.

Reads one JSON line of what it needs from standard input. Writes to descriptor ``report_fd``: the secrets it came by, in
hex, and where it stands; then waits for a line on standard input, so that its parent can look around.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import os
import pprint
import sqlite3
import sys
import threading
import traceback
import warnings

NEEDS = json.loads(sys.stdin.readline())
REPORT = NEEDS["report_fd"]


def loud_hooks() -> None:
    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    logging.captureWarnings(True)
    warnings.simplefilter("always")
    http.client.HTTPConnection.debuglevel = 1
    http.client.HTTPSConnection.debuglevel = 1

    def tell(kind: type[BaseException], error: BaseException, trace: object) -> None:
        told = traceback.TracebackException(kind, error, trace, capture_locals=True)  # type: ignore[arg-type]
        told.stack = traceback.StackSummary.from_list([frame for frame in told.stack if frame.filename != __file__])
        print("\n".join(told.format()), file=sys.stderr)

    sys.excepthook = tell
    threading.excepthook = lambda args: tell(args.exc_type, args.exc_value, args.exc_traceback)
    sys.unraisablehook = lambda args: tell(args.exc_type, args.exc_value, args.exc_traceback)
    connect = sqlite3.connect

    def traced(*args, **options):
        connection = connect(*args, **options)
        connection.set_trace_callback(lambda statement: print(statement, file=sys.stderr))
        return connection

    sqlite3.connect = traced


loud_hooks()

from kalos_connect_sdk import AssertedParked, AsyncConnect, Config, Connect, Place, Position, PromptAnswer  # noqa: E402
from kalos_connect_sdk.testing import ScriptedPrompter  # noqa: E402


def report(**told: object) -> None:
    os.write(REPORT, json.dumps(told).encode() + b"\n")


def show(value: object) -> None:
    print(repr(value), str(value), f"{value}", f"{value!r:>10}")
    pprint.pprint(value)


def attempt(action) -> None:
    try:
        show(action())
    except Exception as error:
        sys.excepthook(type(error), error, error.__traceback__)
        show(error)
        show(error.args)


def pause(where: str, connect: Connect) -> None:
    state = connect._opened().state
    found = {
        "identity key": state.secret.signing.to_bytes().hex(),
        "authentication key": state.secret.authentication.hex(),
    }
    ram = state.keys.read()
    if ram is not None and ram.key is not None:
        found["data key"] = ram.key.hex()
    report(at=where, pid=os.getpid(), secrets=found, state=str(connect.state_path))
    sys.stdin.readline()


def mood(name: str | None) -> None:
    report(mood=name)
    sys.stdin.readline()


def main() -> None:
    latitude, longitude = NEEDS["here"]
    to = Place(*NEEDS["there"], name="a typed place")
    config = Config(
        service_url=NEEDS["url"],
        state_dir=NEEDS["state"],
        vault=f"file:{NEEDS['vault']}",
        enrolment_token_file=NEEDS["enrolment"],
        timeout_s=5,
        max_retries=0,
    )
    options = {
        "config": config,
        "prompter": ScriptedPrompter(PromptAnswer.allow()),
        "vehicle": AssertedParked("a test"),
    }
    connect = Connect("com.example.test", **options)
    show(connect)
    show(config)
    connect.on_change(show)
    attempt(lambda: connect.submit(Position(latitude, longitude)))
    attempt(lambda: connect.request_permission(user_action=True))
    attempt(lambda: connect.submit(Position(latitude, longitude, accuracy_m=3.0, speed_mps=1.0, course_deg=2.0)))
    attempt(connect.flush)
    attempt(lambda: connect.route(to))
    attempt(lambda: connect.route(to, origin=Place(latitude, longitude)))
    for name in ("echo 400", "echo 422", "echo 503", "redirect", "garbage", "cut", "cookies"):
        attempt(lambda: connect.submit(Position(latitude + 1e-5, longitude)))
        mood(name)
        attempt(lambda: connect.flush(2.0))
        attempt(lambda: connect.route(to))
        attempt(lambda: connect.submit((latitude, longitude)))
    mood(None)
    for url in NEEDS["recordings"]:

        def drive(url: str = url) -> object:
            with connect.drive(url) as running:
                for event in running:
                    show(event)
            return running.stats

        attempt(drive)
    threading.Thread(target=lambda: connect.submit(f"{latitude}"), name="an app's own").start()
    attempt(lambda: [receipt.to_json() for receipt in connect.receipts()])
    attempt(connect.doctor)
    attempt(lambda: connect.sharing)
    for number in range(20):
        attempt(lambda: connect.submit(Position(latitude, longitude + number * 1e-5)))  # noqa: B023
    pause("buffered", connect)
    attempt(connect.withdraw)
    attempt(connect.wait_for_notices)
    attempt(lambda: connect.submit(Position(latitude, longitude)))
    pause("withdrawn", connect)
    attempt(lambda: connect.request_permission(user_action=True))
    attempt(lambda: connect.submit(Position(latitude, longitude)))
    attempt(connect.reset)
    attempt(connect.permission)
    attempt(connect.close)

    async def again() -> None:
        async with AsyncConnect("com.example.test", **options) as anew:
            show(await anew.request_permission(user_action=True))
            show(await anew.submit(Position(latitude, longitude)))
            asyncio.get_running_loop().call_soon(lambda: connect.submit(Position(latitude, longitude)))
            show(await anew.flush())
            show(await anew.withdraw())

    asyncio.run(again(), debug=True)
    report(at="end")


main()
