"""A navigation provider of your own: it describes one request and reads its answer; the SDK does the rest.

    python examples/own_provider.py http://127.0.0.1:9000 60.17,24.94 60.18,24.95

The server here is imagined: asked with a POST of two pairs, it answers with a GeoJSON LineString and a length. Between
two places that a person typed no consent is needed. From the device's own position your provider is asked only with
consent, and, off loopback, only when the notice names its ``recipient``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

from kalos_connect_sdk import Connect, Datum, Manoeuvre, Place, Route, RouteQuestion, ServiceUnreachable


class FleetRoutes:
    """The fleet's own route server. Any object with these attributes and two methods will do."""

    recipient = "Example Fleet Ltd."  # who runs it, as the notice's recipients name them
    region = None  # its country, such as "CN"; not known counts as abroad

    def __init__(self, url: str) -> None:
        self.url = url

    def question(self, origin: Place, to: Place, locale: str) -> RouteQuestion:
        ends = [[round(p.longitude, 6), round(p.latitude, 6)] for p in (origin.to(Datum.WGS84), to.to(Datum.WGS84))]
        headers = {"Content-Type": "application/json"}
        return RouteQuestion(
            "POST", self.url + "/way", headers, json.dumps({"ends": ends, "language": locale}).encode()
        )

    def answer(self, status: int, headers: Mapping[str, str], body: bytes, locale: str) -> Route:
        if status != 200:
            raise ServiceUnreachable(f"the fleet's server answered {status}")  # never with what it said about places
        document = json.loads(body)
        line = tuple((float(longitude), float(latitude)) for longitude, latitude in document["coordinates"])
        length_m = float(document["length_m"])
        turns = (
            Manoeuvre("Set off.", "depart", length_m, length_m / 10, 0),
            Manoeuvre("You have arrived.", "arrive", 0.0, 0.0, len(line) - 1),
        )
        return Route(length_m, length_m / 10, "en", line, turns)


def place(text: str) -> Place:
    latitude, longitude = text.split(",")
    return Place(float(latitude), float(longitude))


def main() -> None:
    url, origin, to = sys.argv[1:]
    with Connect("com.example.fleet", navigation=FleetRoutes(url)) as connect:
        route = connect.route(place(to), origin=place(origin))
    print(f"{route.distance_m:.0f} m: {' '.join(manoeuvre.instruction for manoeuvre in route.manoeuvres)}")


if __name__ == "__main__":
    main()
