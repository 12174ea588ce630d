"""``kalos-connect route``: the way between two places.

R19: between two typed places no consent is needed. Without ``--from`` the route starts at the device's own
position, and that needs consent.
"""

from __future__ import annotations

import argparse
import re
from typing import Final

from ..core.wire import route_to_geojson
from ..errors import NoPosition
from ..model.position import Place
from ..model.route import Route
from .commands import Commands, command
from .exits import Exit, Usage
from .opening import configured, open_connect
from .output import print_json, screen
from .screen import Screen
from .via import FORMS, via

_NUMBER: Final = r"[-+]?(?:\d+\.?\d*|\.\d+)"

__all__ = ["add", "distance", "place", "run", "show"]


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    parser = command(commands, "route", common, run, "the way between two places")
    parser.add_argument("--to", required=True, type=place, metavar="LAT,LON", help="where to, in degrees")
    parser.add_argument(
        "--from",
        dest="origin",
        type=place,
        metavar="LAT,LON",
        help="where from; without it, this program's own position: needs consent, and one at most 30 s old",
    )
    parser.add_argument(
        "--via", type=via, metavar="PROVIDER", help=f"who finds the way instead of the service: {FORMS}"
    )


def run(args: argparse.Namespace) -> int:
    """Print the route; exit 2 when there is no way between the two."""
    config = configured(args)
    with open_connect(args, config, args.via) as connect:
        route = None
        try:
            route = connect.route(args.to, origin=args.origin, locale=config.locale)
        except NoPosition:
            pass
    if route is None:
        raise Usage("this program has no position of its own that is at most 30 s old; add --from LAT,LON")
    if args.json:
        print_json(route_to_geojson(route))
    else:
        show(screen(), route, "Route")
    return Exit.OK


def show(shown: Screen, route: Route, title: str) -> None:
    """A route as a table of instructions."""
    minutes = max(1, round(route.duration_s / 60))
    shown.table(
        f"{title}: {distance(route.distance_m)}, {minutes} min",
        ("", "", ""),
        [
            (f"{number}", manoeuvre.instruction, distance(manoeuvre.distance_m) if manoeuvre.distance_m else "")
            for number, manoeuvre in enumerate(route.manoeuvres, start=1)
        ],
        right=2,
    )
    if route.attribution:
        shown.line(f"  {route.attribution}", "quiet")


def distance(metres: float) -> str:
    """A distance as a driver reads it."""
    if metres < 950:
        return f"{round(metres / 10) * 10} m" if metres >= 10 else f"{round(metres)} m"
    return f"{metres / 1000:.1f} km"


def place(text: str) -> Place:
    """``LAT,LON`` in degrees. Raises :class:`argparse.ArgumentTypeError` without the value (R10)."""
    parts = re.fullmatch(rf"\s*({_NUMBER})\s*,\s*({_NUMBER})\s*", text, re.ASCII)
    chosen = None
    if parts and len(text) < 80:
        try:
            chosen = Place(float(parts[1]), float(parts[2]))
        except ValueError:
            pass
    if chosen is None:
        raise argparse.ArgumentTypeError("must be LAT,LON in degrees, such as 60.17,24.94")
    return chosen
