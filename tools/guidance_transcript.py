"""Print what a driver is told on three drives, in English and Chinese, for docs/guidance.md:

    python tools/guidance_transcript.py DRIVE.json

``DRIVE.json`` is the recording x0001-001 of BMW Car IT's barefoot. Each drive goes through ``Connect.drive`` against a
Connect service on loopback; a new route is asked for over HTTP. Needs the extra ``demo``.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parent))

from attack_approximate import read
from drives import RecordedRoad, missed_turn, positions_of, shortcut

from kalos_connect_sdk import AssertedParked, Config, Connect, Guidance, Position, PromptAnswer, Rerouted, Route
from kalos_connect_sdk.model.events import DriveEvent
from kalos_connect_sdk.prompts.directions import directions_for, sentence
from kalos_connect_sdk.service.engine import Engine
from kalos_connect_sdk.service.valhalla import EmbeddedValhalla
from kalos_connect_sdk.testing import ScriptedPrompter, ServiceEmulator

LOCALES: Final = ("en", "zh-CN")
_MISSED_M: Final = (700.0, 2900.0)
"""Where the Munich route leaves the recorded road, and is on it again."""


class Recording:
    """Positions known beforehand."""

    live = False

    def __init__(self, positions: list[Position]) -> None:
        self._positions = positions

    def __iter__(self) -> Iterator[Position]:
        return iter(self._positions)

    def close(self) -> None:
        """Nothing is open."""


def guided(engine: Engine, route: Route, positions: list[Position], locale: str) -> list[DriveEvent]:
    """What is told on the drive: a real state, a real service, real requests."""
    with tempfile.TemporaryDirectory() as name, ServiceEmulator(engine=engine) as service:
        config = Config(service_url=service.url, state_dir=Path(name) / "state", vault="memory", locale=locale)
        with Connect(
            "com.example.transcript",
            config=config,
            prompter=ScriptedPrompter(PromptAnswer.allow()),
            vehicle=AssertedParked("a desk"),
        ) as connect:
            connect.request_permission(user_action=True)
            with connect.drive(Recording(positions), route=route) as drive:
                events = [event for event in drive if sentence(event, locale) is not None]
            connect.withdraw()
    return events


def table(engine: Engine, drives: dict[str, tuple[Route, list[Position]]]) -> list[str]:
    """The same drive in each language, side by side."""
    told = {locale: guided(engine, route, positions, locale) for locale, (route, positions) in drives.items()}
    lines = ["| to the end | en | zh-CN |", "| --- | --- | --- |"]
    for events in zip(*told.values(), strict=True):
        said = [sentence(event, locale) for event, locale in zip(events, told, strict=True)]
        lines.append(f"| {_to_the_end(events[0])} | {' | '.join(text or '' for text in said)} |")
    return lines


def _to_the_end(event: DriveEvent) -> str:
    words = directions_for("en")
    if isinstance(event, Guidance):
        return words.distance(event.remaining_m)
    return words.distance(event.route.distance_m) if isinstance(event, Rerouted) else ""


def helsinki() -> list[str]:
    """A simulated car misses a turn; Valhalla finds another way."""
    engine = EmbeddedValhalla()
    return table(engine, {locale: missed_turn(engine, locale) for locale in LOCALES})


def munich(recording: Path) -> list[str]:
    """A recorded drive along its own road."""
    track = read(recording)
    engine = RecordedRoad(track)
    return table(engine, {locale: (_whole(engine, locale), positions_of(track)) for locale in LOCALES})


def munich_shortcut(recording: Path) -> list[str]:
    """The recorded drive again, on a route that cuts a corner which the car did not cut."""
    track = read(recording)
    engine = RecordedRoad(track)
    return table(engine, {locale: (shortcut(engine, *_MISSED_M, locale), positions_of(track)) for locale in LOCALES})


def _whole(engine: RecordedRoad, locale: str) -> Route:
    return shortcut(engine, engine.length_m / 2, engine.length_m / 2, locale)


def transcript(recording: Path) -> str:
    """Everything that is printed."""
    parts = (
        ("Helsinki, a missed turn", helsinki()),
        ("Munich, along the recorded road", munich(recording)),
        ("Munich, where the route leaves the recorded road", munich_shortcut(recording)),
    )
    return "\n\n".join(f"### {title}\n\n" + "\n".join(lines) for title, lines in parts)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(transcript(Path(sys.argv[1])))
