"""A stand-in for AMap: its documented request read, its documented answer written, by code that shares nothing with ours.

There is no account behind these tests. The ways come from an engine of the reference service; the datum is that of prcoords,
an independent library. An empty value is ``[]``, a number is text, and an action stands at the end of its step.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import prcoords
from provider_stand_in import Asked, Reply

from kalos_connect_sdk.model.position import Place
from kalos_connect_sdk.model.route import Route

__all__ = ["KEY", "AMapStandIn", "as_it_is", "document_of", "shifted"]

KEY = "0123456789abcdef0123456789abcdef"
Shift = Callable[[float, float], tuple[float, float]]
_PLACE = re.compile(r"-?\d{1,3}(\.\d{1,6})?,-?\d{1,2}(\.\d{1,6})?")
_ACTIONS = {
    "left": ("左转", []),
    "right": ("右转", []),
    "slight-left": ("向左前方行驶", []),
    "slight-right": ("向右前方行驶", []),
    "sharp-left": ("向左后方行驶", []),
    "sharp-right": ("向右后方行驶", []),
    "u-turn": ("左转调头", []),
    "continue": ("直行", []),
    "keep-left": ("靠左", "进入左岔路"),
    "keep-right": ("靠右", "进入右岔路"),
    "ramp-right": ("靠右", "进入匝道"),
    "exit-left": ("靠左", "到达出口"),
    "roundabout": ("进入环岛", "绕环岛右转"),
    "roundabout-exit": ("离开环岛", []),
    "ferry": ([], "进入轮渡"),
    "ferry-exit": ([], "驶离轮渡"),
}


def shifted(latitude: float, longitude: float) -> tuple[float, float]:
    """GCJ-02, wherever it is."""
    moved = prcoords.wgs_gcj(prcoords.Coords(latitude, longitude), check_china=False)
    return moved.lat, moved.lon


def as_it_is(latitude: float, longitude: float) -> tuple[float, float]:
    """What GCJ-02 is outside mainland China."""
    return latitude, longitude


def document_of(route: Route, shift: Shift) -> dict[str, Any]:
    """``route`` as AMap would tell it, its datum made by ``shift``."""
    points = []
    for longitude, latitude in route.line:
        moved = shift(latitude, longitude)
        points.append(f"{moved[1]:.6f},{moved[0]:.6f}")
    steps = []
    for here, ahead in zip(route.manoeuvres, route.manoeuvres[1:], strict=False):
        action, assistant = ([], "到达目的地") if ahead is route.manoeuvres[-1] else _ACTIONS[ahead.kind]
        steps.append(
            {
                "instruction": "沿道路行驶",
                "orientation": [],
                "road_name": "长安街" if here.kind != "depart" else [],
                "step_distance": str(round(here.distance_m)),
                "cost": {"duration": str(round(here.duration_s)), "tolls": "0", "toll_road": []},
                "navi": {"action": action, "assistant_action": assistant},
                "polyline": ";".join(points[here.begin_index : ahead.begin_index + 1]),
            }
        )
    cost = {"duration": str(round(route.duration_s)), "tolls": "0", "traffic_lights": "3"}
    path = {"distance": str(round(route.distance_m)), "restriction": "0", "cost": cost, "steps": steps}
    answer = {"status": "1", "info": "OK", "infocode": "10000", "count": "1"}
    return {**answer, "route": {"origin": points[0], "destination": points[-1], "taxi_cost": "20", "paths": [path]}}


class AMapStandIn:
    """Answers as documented, with the ways of ``engine``. ``line``, ``kinds``: the last one, in WGS-84."""

    def __init__(self, engine: Any, shift: Shift = shifted) -> None:
        self._engine = engine
        self._shift = shift
        self.line: tuple[tuple[float, float], ...] = ()
        self.kinds: list[str] = []

    def __call__(self, asked: Asked) -> Reply:
        form = parse_qs(asked.body.decode(), strict_parsing=True)
        if asked.method != "POST" or asked.target != "/v5/direction/driving":
            return self._no("10002", "SERVICE_NOT_AVAILABLE")
        if form["key"] != [KEY]:
            return self._no("10001", "INVALID_USER_KEY")
        if not all(_PLACE.fullmatch(form[name][0]) for name in ("origin", "destination")):
            return self._no("20000", "INVALID_PARAMS")
        places = []
        for name in ("origin", "destination"):
            longitude, latitude = map(float, form[name][0].split(","))
            wgs = prcoords.Coords(latitude, longitude)
            if self._shift is shifted:
                wgs = prcoords.gcj_wgs_bored(wgs, check_china=False)
            places.append(Place(wgs.lat, wgs.lon))
        route = self._engine.route(*places, "en")
        self.line = route.line
        self.kinds = [manoeuvre.kind for manoeuvre in route.manoeuvres]
        return 200, json.dumps(document_of(route, self._shift), ensure_ascii=False).encode()

    @staticmethod
    def _no(code: str, info: str) -> Reply:
        return 200, json.dumps({"status": "0", "info": info, "infocode": code}).encode()
