"""``python -m kalos_connect_sdk.service``: the reference service on this machine."""

from __future__ import annotations

import argparse
import sqlite3
import sys

from .engine import EngineUnavailable
from .server import serve


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted; 2 when it cannot be started as asked, with one sentence that says why."""
    parser = argparse.ArgumentParser(prog="python -m kalos_connect_sdk.service", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1")
    parser.add_argument("--port", type=int, default=8787, help="0 takes a free one; default: 8787")
    parser.add_argument("--database", metavar="URL", help="sqlite:PATH; in memory by default")
    parser.add_argument("--engine", help="valhalla, valhalla:TILES.tar, or the URL of a Valhalla service")
    parser.add_argument("--region", help="ISO 3166 code of where the service stands")
    parser.add_argument("--observe", action="store_true", help="serve counts at /observed, for demonstrations")
    asked = parser.parse_args(arguments)
    try:
        serve(
            asked.host,
            asked.port,
            database=asked.database,
            engine=asked.engine,
            observe=asked.observe,
            region=asked.region,
        )
    except (OSError, OverflowError, ValueError, sqlite3.Error, EngineUnavailable) as error:
        sys.stderr.write(f"the service cannot start: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
