"""Record answers of real routing daemons for the tests: ``tests/navigation/recorded``.

    python tools/record_routes.py ../shared/data/osm

Needs Python 3.12 or newer, ``pyvalhalla`` and ``osrm-bindings``, whose wheels hold the daemons, and OpenStreetMap
extracts (``monaco.osm.pbf`` and so on) in the folder. The answers are under the ODbL, like the maps; see the README
beside them.
"""

from __future__ import annotations

import json
import sys
import tempfile
import urllib.error
import urllib.request
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "navigation"))

from route_daemons import build_osrm, build_valhalla, osrm_daemon, valhalla_daemon  # noqa: E402

from kalos_connect_sdk import Place, RouteQuestion  # noqa: E402
from kalos_connect_sdk.navigation import Osrm, Valhalla  # noqa: E402

TARGET = ROOT / "tests" / "navigation" / "recorded"


class Scene(NamedTuple):
    """A question to one engine on one map. Between them they hold every kind of manoeuvre that was found there."""

    name: str
    extract: str
    origin: tuple[float, float]
    to: tuple[float, float]
    locale: str = "en"


VALHALLA = (
    Scene("keep-left-and-right", "liechtenstein-latest", (47.0769, 9.5357), (47.099, 9.5145)),
    Scene("sharp-turns", "monaco", (43.7494, 7.4058), (43.7509, 7.411)),
    Scene("short", "Helsinki", (60.1648, 24.9551), (60.1583, 24.9648)),
    Scene("roundabouts-and-ramps", "monaco", (43.7374, 7.4196), (43.7336, 7.4316)),
    Scene("ramp-straight-on", "Helsinki", (60.1628, 24.9207), (60.1704, 24.9)),
    Scene("off-the-ferry", "monaco", (43.7351, 7.4251), (43.7361, 7.4276)),
    Scene("onto-the-ferry", "monaco", (43.7378, 7.4294), (43.7352, 7.4281)),
    Scene("straight-on", "monaco", (43.7308, 7.4187), (43.7348, 7.4191)),
    Scene("exit-left", "Helsinki", (60.1669, 24.9432), (60.1682, 24.9636)),
    Scene("exit-right", "monaco", (43.7253, 7.4147), (43.728, 7.4152)),
    Scene("keep-straight", "andorra", (42.5442, 1.5794), (42.5259, 1.5619)),
    Scene("in-spanish", "Helsinki", (60.1648, 24.9551), (60.1583, 24.9648), "es"),
    Scene("in-finnish", "Helsinki", (60.1648, 24.9551), (60.1583, 24.9648), "fi-FI"),
    Scene("in-arabic", "Helsinki", (60.1648, 24.9551), (60.1583, 24.9648), "ar"),
    Scene("off-the-map", "monaco", (43.7351, 7.4251), (48.1, 11.5)),
    Scene("not-connected", "Helsinki", (60.1729, 24.9168), (60.1703, 24.9215)),
)
OSRM = (
    Scene("small-roundabouts", "monaco", (43.727, 7.4111), (43.724, 7.4215)),
    Scene("u-turn", "monaco", (43.7241, 7.4122), (43.724, 7.4056)),
    Scene("rotary", "monaco", (43.746, 7.4309), (43.7421, 7.4358)),
    Scene("fork", "monaco", (43.7497, 7.4063), (43.7474, 7.405)),
    Scene("end-of-road", "monaco", (43.7412, 7.4147), (43.7431, 7.4099)),
    Scene("out-of-a-roundabout", "monaco", (43.7439, 7.4329), (43.745, 7.4307)),
    Scene("many-turns", "monaco", (43.7328, 7.4175), (43.7389, 7.4151)),
    Scene("numbered-roads", "andorra", (42.544, 1.5954), (42.5248, 1.6121)),
    Scene("short", "liechtenstein-latest", (47.0925, 9.6062), (47.1087, 9.63)),
    Scene("new-names", "liechtenstein-latest", (47.2142, 9.4993), (47.27, 9.5288)),
    Scene("off-the-map", "monaco", (43.7351, 7.4251), (48.1, 11.5)),
    Scene("not-connected", "monaco", (43.742, 7.4345), (43.7412, 7.4325)),
)


def main() -> None:
    """Record every scene."""
    extracts = Path(sys.argv[1])
    TARGET.mkdir(exist_ok=True)
    for name in sorted({scene.extract for scene in (*VALHALLA, *OSRM)}):
        extract = extracts / f"{name}.osm.pbf"
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            with valhalla_daemon(build_valhalla(extract, folder), folder) as daemon:
                for scene in VALHALLA:
                    if scene.extract == name:
                        record("valhalla", f"pyvalhalla {version('pyvalhalla')}", Valhalla(daemon.url), scene)
            with osrm_daemon(build_osrm(extract, folder)) as daemon:
                for scene in OSRM:
                    if scene.extract == name:
                        record("osrm", f"osrm-bindings {version('osrm-bindings')}", Osrm(daemon.url), scene)


def record(provider: str, engine: str, asked: Valhalla | Osrm, scene: Scene) -> None:
    """Ask, and keep the answer as it came."""
    status, body = _send(asked.question(Place(*scene.origin), Place(*scene.to), scene.locale))
    document = {
        "engine": engine,
        "map": scene.extract,
        "from": scene.origin,
        "to": scene.to,
        "locale": scene.locale,
        "status": status,
        "answer": json.loads(body),
    }
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    (TARGET / f"{provider}-{scene.name}.json").write_text(text + "\n", "utf-8")


def _send(question: RouteQuestion) -> tuple[int, bytes]:
    request = urllib.request.Request(  # noqa: S310 - our own daemon on loopback
        question.url, data=question.body, headers=dict(question.headers), method=question.method
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main()
