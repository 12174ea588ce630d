"""A companion app: not in the car, asks on its own screen, shares an approximate position for seven days.

python examples/companion_app.py http://127.0.0.1:8787
"""

from __future__ import annotations

import asyncio
import sys
import tempfile

from kalos_connect_sdk import (
    AssertedParked,
    AsyncConnect,
    Config,
    ConsentRequired,
    Duration,
    Position,
    Precision,
    PromptAnswer,
    PromptRequest,
)


class Dialog:
    """The app's own dialog: shows the notice, answers later from its user-interface thread."""

    driver_facing = False

    def ask(self, request: PromptRequest) -> None:
        print(f"[dialog] {request.text.what} ({request.precision.value})")
        request.answer(PromptAnswer.allow(Duration.days(7), Precision.APPROXIMATE))


async def main(service_url: str) -> int:
    with tempfile.TemporaryDirectory() as state:
        async with AsyncConnect(
            "com.example.companion",
            config=Config(service_url=service_url, state_dir=state, vault="memory"),
            prompter=Dialog(),
            vehicle=AssertedParked("a telephone, not in a car's cockpit"),
        ) as connect:
            try:
                await connect.submit(Position(60.17, 24.94))
            except ConsentRequired as error:
                print(f"[before asking] refused: {error.reason.name}")
            permission = await connect.request_permission(precision=Precision.APPROXIMATE, user_action=True)
            print(
                f"[permission] {permission.state.value}, {permission.precision.value if permission.precision else '-'}"
            )
            await connect.submit(Position(60.1702, 24.9410, speed_mps=1.2))
            report = await connect.flush()
            print(f"[sent] {report.sent} position(s), coarsened to a cell of 4 km2 before it left")
            withdrawn = await connect.withdraw()
            print(f"[withdrawn] complete={withdrawn.complete}; told the service: {await connect.wait_for_notices()}")
            return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/companion_app.py SERVICE_URL")
    sys.exit(asyncio.run(main(sys.argv[1])))
