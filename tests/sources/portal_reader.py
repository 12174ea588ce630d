"""Reads the portal inside a sandbox and says what it met: ``allowed`` and how many positions, or the error's words."""

from __future__ import annotations

import sys

from kalos_connect_sdk import SourceUnavailable
from kalos_connect_sdk.sources import open_source


def main(url: str) -> None:
    source = open_source(url)
    try:
        position = next(iter(source))
    except SourceUnavailable as error:
        print(f"refused: {error}", flush=True)
        return
    finally:
        source.close()
    print(f"allowed: {position!r}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
