"""A head unit's main loop: ask when parked, drive, obey the driver's stop button.

    python examples/head_unit.py http://127.0.0.1:8787 drive.gpx

Vehicle signals come from the car; here a small object stands in for its bus. The prompt is whatever the
head unit shows; here it is the callback `show_prompt`, which a real unit connects to its own screen.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable

from kalos_connect_sdk import (
    Config,
    Connect,
    ConsentLost,
    Gear,
    Progress,
    PromptAnswer,
    PromptRequest,
    VehicleState,
)
from kalos_connect_sdk.prompts.callback import CallbackPrompter


class CarBus:
    """Reads gear and speed. A real one listens to the vehicle's signals and reports how old they are."""

    def __init__(self) -> None:
        self.state = VehicleState(gear=Gear.PARK, speed_mps=0.0, held_s=10.0, drive_id="ignition-1")

    def read(self) -> VehicleState:
        return self.state

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        return lambda: None


def show_prompt(request: PromptRequest) -> PromptAnswer:
    """A real unit shows `request.text` verbatim, with two equal buttons, and answers when one is pressed."""
    print(f"[screen] {request.text.title}: {request.text.who} {request.text.what}")
    print(f"[screen] ({request.text.allow}) ({request.text.deny})   the driver presses: {request.text.allow}")
    return PromptAnswer.allow()


def main(service_url: str, recording: str) -> int:
    with tempfile.TemporaryDirectory() as state:
        config = Config(service_url=service_url, state_dir=state, vault="memory")
        with Connect(
            "com.example.headunit", config=config, vehicle=CarBus(), prompter=CallbackPrompter(show_prompt)
        ) as connect:
            connect.on_change(lambda permission: print(f"[indicator] location {permission.state.value}"))
            permission = connect.request_permission(user_action=True)
            if not permission.granted:
                print(f"no consent: {permission.reason.name}")
                return 3
            from kalos_connect_sdk.sources import open_source

            with connect.drive(open_source(f"gpx:{recording}", speed=0)) as drive:
                for event in drive:
                    if isinstance(event, Progress):
                        print(f"[drive] accepted {event.accepted}, sent {event.sent}, queued {event.queued}")
                    elif isinstance(event, ConsentLost):
                        print(f"[drive] stopped: {event.reason.name}")
            print(f"[drive] {drive.stats.sent} positions sent in {drive.stats.batches} requests")
            report = connect.withdraw()  # the stop button: one call, at any speed, offline too
            print(f"[stop] complete={report.complete} dropped={report.dropped} notice={report.notice}")
            return 0 if report.complete else 1


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python examples/head_unit.py SERVICE_URL DRIVE.gpx")
    sys.exit(main(*sys.argv[1:3]))
