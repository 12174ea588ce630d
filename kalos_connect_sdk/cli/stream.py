"""``kalos-connect stream``: send positions from a source while consent lasts, and guide to a place."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from typing import Any

from ..model.consent import PermissionState, Purpose
from ..model.decision import Reason
from ..model.events import (
    Arrived,
    ConsentLost,
    DriveStats,
    Guidance,
    OffRoute,
    Progress,
    RerouteFailed,
    SourceLost,
    SourceRestored,
)
from ..prompts.directions import sentence
from .commands import Commands, answerable, command, speed
from .exits import Exit, exit_for_permission, exit_for_reason
from .leading import Held, Leading, document
from .opening import configured, open_connect
from .output import describe, permission_document, print_json, screen
from .patience import Patience, Watched
from .pulse import Pulse
from .route import place, show
from .screen import Meter, Screen

__all__ = ["add", "run", "say"]

_URLS = (
    "gpsd://HOST, serial:DEVICE, nmea+tcp://HOST:PORT, nmea+udp://ADDRESS:PORT, geoclue:, portal:, kuksa://HOST:PORT,"
    " gpx:FILE or nmea:FILE"
)


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    parser = command(commands, "stream", common, run, "send positions from a source while consent lasts")
    parser.add_argument("--from", dest="source", required=True, metavar="URL", help=_URLS)
    parser.add_argument(
        "--to",
        type=place,
        metavar="LAT,LON",
        help="guide to this place, from the first position on; needs precise consent",
    )
    parser.add_argument("--speed", type=speed, metavar="X", help="times faster than recorded; 0 is as fast as possible")
    answerable(parser)


def run(args: argparse.Namespace) -> int:
    """Stream until the source ends, consent ends or Ctrl-C. Exit 6 when accepted positions were not delivered."""
    config = configured(args)
    from ..sources import open_source

    source = Watched(open_source(args.source, speed=args.speed))
    with open_connect(args, config) as connect:
        permission = connect.permission(Purpose.NAVIGATION)
        if not permission.granted and (args.answer is not None or permission.state is PermissionState.PROMPT):
            permission = connect.request_permission(Purpose.NAVIGATION, user_action=args.answer is not None)
        if not permission.granted:
            source.close()
            if args.json:
                print_json({"permission": permission_document(permission)})
            else:
                screen().line(describe(permission.reason))
            return exit_for_permission(permission)
        shown = screen() if not args.json else None
        locale = config.locale or "en"
        leading, told = None, _Told(shown, locale)
        if args.to is not None:
            leading = Leading(connect, held := Held(source), args.to, locale)
        with connect.drive(source if leading is None else held) as drive:
            lost, trouble = _follow(drive, told, source, leading)
        stats = drive.stats
    return _conclude(told, stats, lost, trouble, leading)


class _Told:
    """Where events go: to a screen, or into a list for a program."""

    def __init__(self, shown: Screen | None, locale: str) -> None:
        self.shown = shown
        self.locale = locale
        self.guidance: list[dict[str, Any]] = []

    def tell(self, event: Any, meter: Meter | None, pulse: Pulse, ahead: Guidance | None) -> None:
        if self.shown is not None and meter is not None:
            say(event, self.shown, meter, pulse, locale=self.locale, ahead=ahead)
        elif (found := document(event)) is not None:
            self.guidance.append(found)

    def began(self, leading: Leading) -> None:
        if self.shown is None:
            return
        if leading.route is None:
            self.shown.line(f"  no way to be guided along: {leading.problem}", "bad")
        else:
            show(self.shown, leading.route, "Route")


def _follow(drive: Any, told: _Told, source: Watched, leading: Leading | None = None) -> tuple[Reason | None, str]:
    """Tell what happens until the drive is over. Returns (why consent was lost, why the source was)."""
    lost, trouble = None, ""
    patience = Patience(source)
    try:
        with nullcontext() if told.shown is None else told.shown.meter("positions", source.len_hint) as meter:
            for event in drive:
                lost, trouble = _end_of(event, lost, trouble)
                told.tell(event, meter, source.pulse, drive.ahead)
                if leading is not None and leading.look(drive):
                    told.began(leading)
                if patience.is_over(event):
                    drive.stop()
    except KeyboardInterrupt:  # a person ends a live source this way; what is queued is still sent
        drive.stop()
    return lost, trouble


def _end_of(event: object, lost: Reason | None, trouble: str) -> tuple[Reason | None, str]:
    if isinstance(event, ConsentLost):
        return event.reason, trouble
    if isinstance(event, SourceRestored):
        return lost, ""
    return lost, event.detail if isinstance(event, SourceLost) else trouble


def say(
    event: Any,
    shown: Screen,
    meter: Meter,
    pulse: Pulse | None = None,
    *,
    locale: str = "en",
    ahead: Guidance | None = None,
) -> None:
    """One event, for people. ``ahead``: what comes next, for the live line."""
    if isinstance(event, Progress):
        words = [f"sent {event.sent}", f"waiting {event.queued}", f"{event.bytes_sent / 1024:.1f} KiB"]
        if pulse is not None:
            words.insert(0, pulse.say())
        if event.answer:  # a status, or in words why there is none
            words.append(f"answer {event.answer}" if event.answer.isdecimal() else event.answer)
        coming = f"  {sentence(ahead, locale)}" if ahead is not None else ""
        meter.update(event.accepted, ", ".join(words) + coming)
    elif isinstance(event, SourceLost):
        shown.line(f"  source: {event.detail}{'; trying again' if event.retrying else ''}", "bad")
    elif isinstance(event, SourceRestored):
        shown.line("  source: heard again", "good")
    elif isinstance(event, ConsentLost):
        shown.line(f"  {describe(event.reason)}", "bad")
    else:
        bad, good = isinstance(event, (OffRoute, RerouteFailed)), isinstance(event, Arrived)
        shown.line(f"  {sentence(event, locale)}", "bad" if bad else "good" if good else "plain")


def _conclude(told: _Told, stats: DriveStats, lost: Reason | None, trouble: str, leading: Leading | None) -> int:
    waiting = max(0, stats.accepted - stats.sent - stats.rejected - stats.dropped)
    counts = {
        "accepted": stats.accepted,
        "filtered": stats.filtered,
        "sent": stats.sent,
        "rejected": stats.rejected,
        "dropped": stats.dropped,
        "aborted": stats.aborted,
        "waiting": waiting if lost is None else 0,
        "batches": stats.batches,
        "bytes_sent": stats.bytes_sent,
    }
    shown = told.shown
    if shown is None:
        way = {} if leading is None else {"no_route": leading.problem or None, "guidance": told.guidance}
        print_json({**counts, "consent_lost": lost.name if lost else None, "source_lost": trouble or None, **way})
    else:
        shown.facts("Drive", [(name.replace("_", " "), f"{count:,}") for name, count in counts.items()])
        if lost is None and waiting:
            shown.line(f"{waiting} positions were not taken by the service yet: kalos-connect doctor says more", "bad")
        if lost is None and not trouble and not stats.accepted and not stats.filtered:
            shown.line("No position came from the source: did it have a fix?", "bad")
    if lost is not None:
        return exit_for_reason(lost) or Exit.REFUSED
    if trouble and not stats.accepted:
        return Exit.USAGE
    return Exit.UNREACHABLE if waiting or stats.dropped else Exit.OK  # given up on, or still not sent
