"""Every example runs as a user would run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

ROOT = Path(__file__).resolve().parents[2]

GPX = """<?xml version="1.0"?><gpx version="1.1" creator="a test" xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>
{points}
</trkseg></trk></gpx>"""
POINT = '<trkpt lat="{lat:.6f}" lon="24.94"><time>2026-05-04T10:{m:02d}:{s:02d}Z</time></trkpt>'


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": ""}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=90, cwd=ROOT, env=environment
    )


def test_head_unit(tmp_path, service):
    points = "\n".join(POINT.format(lat=60.1 + i * 1e-4, m=i // 60, s=i % 60) for i in range(120))
    recording = tmp_path / "drive.gpx"
    recording.write_text(GPX.format(points=points))
    done = run("examples/head_unit.py", service.url, str(recording))
    assert done.returncode == 0, done.stderr
    assert "120 positions sent" in done.stdout
    assert "complete=True" in done.stdout
    assert len(service.positions) == 120
    assert "60.1" not in done.stdout


def test_companion_app(service):
    done = run("examples/companion_app.py", service.url)
    assert done.returncode == 0, done.stderr
    assert "refused: NOT_ASKED" in done.stdout
    assert "complete=True; told the service: True" in done.stdout
    assert len(service.positions) == 1


def test_integration_harness():
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "examples/test_my_app.py")
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout


def test_own_provider():
    class Fleet(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            ends = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["ends"]
            said = json.dumps({"coordinates": ends, "length_m": 1234}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = HTTPServer(("127.0.0.1", 0), Fleet)
    serving = Thread(target=server.serve_forever, args=(0.02,))
    serving.start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        done = run("examples/own_provider.py", url, "60.17,24.94", "60.18,24.95")
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
    assert done.returncode == 0, done.stderr
    assert done.stdout == "1234 m: Set off. You have arrived.\n"
