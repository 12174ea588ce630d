"""The real routing daemons, from the wheels that ship them, on free loopback ports: valhalla_service and osrm-routed."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["DATA", "Daemon", "build_osrm", "build_valhalla", "osrm_daemon", "valhalla_daemon"]

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "osm"
_START_S = 30.0


def _package(name: str) -> Path:
    found = importlib.util.find_spec(name)
    assert found is not None and found.origin is not None, f"{name} is not installed"
    return Path(found.origin).parent


def build_osrm(extract: Path, folder: Path) -> Path:
    """What osrm-routed reads, for cars; the path without its endings."""
    package = _package("osrm")
    source = folder / extract.name
    source.write_bytes(extract.read_bytes())
    data = folder / (extract.name.removesuffix(".osm.pbf") + ".osrm")
    profile = package / "share" / "profiles" / "car.lua"
    for name, *options in (
        ("osrm-extract", "-p", str(profile), str(source)),
        ("osrm-partition", str(data)),
        ("osrm-customize", str(data)),
    ):
        subprocess.run(
            [package / "bin" / name, "-t", "1", *options], check=True, stdout=subprocess.DEVNULL, timeout=120
        )
    return data


def build_valhalla(extract: Path, folder: Path) -> Path:
    """A tile extract."""
    target = folder / "tiles.tar"
    tool = Path(__file__).parents[2] / "tools" / "build_tiles.py"
    scripts = sysconfig.get_path("scripts")
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}"}
    subprocess.run([sys.executable, tool, extract, target], check=True, env=environment, timeout=120)
    return target


@dataclass(frozen=True)
class Daemon:
    """One that runs: where it answers, its process, and what it prints."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path


@contextlib.contextmanager
def osrm_daemon(data: Path) -> Iterator[Daemon]:
    """osrm-routed over what :func:`build_osrm` made."""
    port = _free_port()
    options = ["-i", "127.0.0.1", "-p", str(port), "-t", "1", "-a", "MLD", str(data)]
    with _running([_package("osrm") / "bin" / "osrm-routed", *options], port, data.parent / "routed.log") as daemon:
        yield daemon


@contextlib.contextmanager
def valhalla_daemon(tiles: Path, folder: Path) -> Iterator[Daemon]:
    """valhalla_service over a tile extract. Left alone it would listen on every address, on port 8002."""
    from valhalla import get_config

    port = _free_port()
    config = get_config(tile_extract=str(tiles), tile_dir=str(tiles.parent))
    config["httpd"]["service"].update(
        listen=f"tcp://127.0.0.1:{port}", loopback=f"ipc://{folder}/loopback", interrupt=f"ipc://{folder}/interrupt"
    )
    for part in ("loki", "thor", "odin", "meili"):
        config[part]["service"]["proxy"] = f"ipc://{folder}/{part}"
    config.pop("statsd", None)
    settings = folder / "valhalla.json"
    settings.write_text(json.dumps(config))
    program = _package("valhalla") / "bin" / "valhalla_service"
    with _running([program, settings, "1"], port, folder / "service.log") as daemon:
        yield daemon


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def _running(command: list[object], port: int, log: Path) -> Iterator[Daemon]:
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        _await_listening(process, port, log)
        yield Daemon(f"http://127.0.0.1:{port}", process, log)
    finally:
        process.kill()
        process.wait(10)


def _await_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    pause = threading.Event()
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert process.poll() is None, f"the daemon ended at its start: {log.read_text('utf-8', 'replace')[-500:]}"
        assert time.monotonic() < deadline, "the daemon did not begin to listen"
        pause.wait(0.02)
