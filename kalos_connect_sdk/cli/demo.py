"""``kalos-connect demo``: the whole story on one screen, with nothing simulated but the car.

A real service in a child process with a real map, a real prompt, a real stream over HTTP, and a withdrawal in the
middle of it. What reached the service afterwards is counted by the service.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from ..config import Config
from ..model.consent import Purpose
from ..ports import AssertedParked
from .commands import Commands, answerable, command, speed
from .embedded import EmbeddedService
from .exits import Exit, Usage, exit_for_permission
from .link import SlowLink
from .opening import prompter_for
from .output import print_json
from .screen import screen_for
from .settings import load
from .story import story_for

__all__ = ["add", "run"]

_LOCALES: Final = ("en", "zh-CN")
_BATCH: Final = 40


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    parser = command(commands, "demo", common, run, "the whole story, on an embedded service with a real map")
    parser.add_argument("--replay", metavar="FILE", help="a GPX or NMEA recording instead of the simulated car")
    parser.add_argument("--speed", type=speed, metavar="X", help="times faster than life; 0 is as fast as possible")
    parser.add_argument("--locale", metavar="LOCALE", help="of the notice and the instructions: en or zh-CN")
    answerable(parser)


def run(args: argparse.Namespace) -> int:
    """Play the story. Exit 0 when every promise was kept, 1 when one was not, 3 when the answer was no."""
    prompter = prompter_for(args.answer, json=args.json)
    if prompter is None:
        raise Usage("there is no terminal to ask on; add --answer allow-this-drive")
    replay = _recording(args.replay) if args.replay is not None else None
    locale = _locale(args.locale or load(args.config).locale)
    shown = screen_for(io.StringIO() if args.json else sys.stdout)
    from ..connect import Connect
    from .scenes import Scenes, survey

    if replay is not None:
        survey(replay)  # a recording that cannot be played is said before anything is asked
    with (
        tempfile.TemporaryDirectory(prefix="kalos-connect-demo-") as name,
        EmbeddedService(Path(name)) as service,
        SlowLink(service.port) as link,
    ):
        config = Config(
            service_url=link.url,
            state_dir=Path(name) / "state",
            vault="memory",
            locale=locale,
            batch_max_positions=_BATCH,
        )
        with Connect(
            args.app,
            config=config,
            prompter=prompter,
            vehicle=AssertedParked("a demonstration on a desk"),
            simulated=args.answer is not None,
        ) as connect:
            scenes = Scenes(connect, service, link, shown, story_for(locale), Path(name), locale)
            scenes.open()
            permission = connect.request_permission(Purpose.NAVIGATION, user_action=True)
            if not permission.granted:
                scenes.refused()
                code = exit_for_permission(permission)
            else:
                scenes.allowed(permission)
                scenes.drive(replay, args.speed)
                scenes.evidence()
                code = Exit.OK if scenes.kept() else Exit.INTERNAL
    if args.json:
        print_json({"state": permission.state.value, "granted": permission.granted, "locale": locale, **scenes.numbers})
    return code


def _locale(wanted: str | None) -> str:
    """``--locale``, else the configuration's, else the environment's; English where there is no translation."""
    variables = (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    chosen = wanted or next((value for value in variables if value), "en")
    return _LOCALES[1] if chosen.replace("_", "-").lower().startswith("zh") else _LOCALES[0]


def _recording(name: str) -> str:
    """A source URL for a recording; its kind by the file's name or, failing that, its first bytes."""
    path, kind = Path(name), ""
    try:
        with path.open("rb") as stream:
            beginning = stream.read(512)
    except OSError:
        beginning = b""
    if not beginning:
        raise Usage("--replay: the recording cannot be read, or is empty")
    if path.suffix.lower() == ".gpx" or beginning.lstrip(b"\xef\xbb\xbf \r\n").startswith(b"<"):
        kind = "gpx"
    return f"{kind or 'nmea'}:{path}"
