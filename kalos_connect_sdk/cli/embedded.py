"""The reference service as a child process, and what it measured.

The demo asks the service itself what arrived after the withdrawal: a number the SDK reports about itself would
prove nothing.
"""

from __future__ import annotations

import importlib.util
import json
import queue
import re
import subprocess
import sys
import threading
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from .exits import Usage

__all__ = ["Counts", "EmbeddedService"]

_START_S: Final = 20.0
_NEEDED: Final = ("fastapi", "uvicorn", "valhalla")
_LISTENING: Final = re.compile(r"listening on (http://127\.0\.0\.1:\d+)")


@dataclass(frozen=True, slots=True)
class Counts:
    """``positions`` the service holds now; bytes of position requests it received, in all and after the mark."""

    positions: int
    received_bytes: int
    late_bytes: int


class EmbeddedService:
    """A context manager: a service on a free loopback port that keeps its data under ``folder``.

    Raises :class:`Usage` when the extra ``demo`` is not installed or the service does not start in 20 s.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[str] | None = None
        self._direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through a proxy
        self.url = ""

    def __enter__(self) -> EmbeddedService:
        missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
        if missing:
            raise Usage(
                f"the demo needs {', '.join(missing)}; install the extra: pip install 'kalos-connect-sdk[demo]'"
            )
        with (self._folder / "service.log").open("w") as log:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter and our own module
                [sys.executable, "-m", "kalos_connect_sdk.service", "--port", "0", "--observe", *self._options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=self._folder,
            )
        self.url = self._listening(self._process)
        if not self.url:
            self._stop()
            raise Usage("the demo's service did not start; kalos-connect serve shows why")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rsplit(":", 1)[1])

    def mark(self) -> None:
        """From now on the service counts apart what arrives."""
        self._ask("/observed/mark", method="POST")

    def counts(self) -> Counts:
        """The service's own counts, over all records."""
        observed = json.loads(self._ask("/observed"))
        records: list[dict[str, Any]] = list(observed["records"].values())
        return Counts(
            positions=sum(int(record["positions"]) for record in records),
            received_bytes=sum(int(record["bytes"]) for record in records),
            late_bytes=sum(int(record["bytes_after_mark"]) for record in records),
        )

    def _ask(self, path: str, method: str = "GET") -> bytes:
        request = urllib.request.Request(self.url + path, method=method, data=b"" if method == "POST" else None)  # noqa: S310 - loopback
        with self._direct.open(request, timeout=10) as answer:
            return bytes(answer.read(1_000_000))

    def _listening(self, process: subprocess.Popen[str]) -> str:
        """The URL the child prints, or nothing. The thread also keeps its pipe from filling up."""
        found: queue.SimpleQueue[str] = queue.SimpleQueue()

        def read() -> None:
            assert process.stdout is not None
            with process.stdout:
                for line in process.stdout:
                    if match := _LISTENING.search(line):
                        found.put(match[1])
            found.put("")

        threading.Thread(target=read, name="kalos-connect-demo", daemon=True).start()
        try:
            return found.get(timeout=_START_S)
        except queue.Empty:
            return ""

    def _stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
