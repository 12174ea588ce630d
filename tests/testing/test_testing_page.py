"""The example of docs/testing.md does what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.once
def test_the_pages_example_passes_once_and_leaks_once(tmp_path):
    page = (ROOT / "docs" / "testing.md").read_text("utf-8")
    example = re.search(r"```python\n(.*?)```", page, re.S)
    assert example is not None
    (tmp_path / "test_app.py").write_text(example[1])
    installed = list(entry_points(group="pytest11", name="kalos_connect"))
    load = [] if installed else ["-p", "kalos_connect_sdk.testing.plugin"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    path = [environment.get("PYTHONPATH", ""), *([] if installed else [str(ROOT)])]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    command = [sys.executable, "-m", "pytest", *load, "-p", "no:cacheprovider", "-q"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    told = re.search(r"LocationLeak: (.*)", done.stdout)
    assert told is not None
    line = example[1][: example[1].index("urllib.request.urlopen")].count("\n") + 1
    assert re.fullmatch(
        rf"a position was about to leave without consent, to 127\.0\.0\.1:\d+, from MainThread at \S*test_app\.py:{line}"
        r" in report_breakdown; no consent is active \(no Connect was asked\)",
        told[1].strip(),
    )
    assert f"test_app.py:{line}" in "".join(page.split("LocationLeak:")[1].split())
    assert "60.1699" not in told[1]
