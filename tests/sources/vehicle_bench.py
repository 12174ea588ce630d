"""The stand-in databroker as a process, and a vehicle that publishes its signals to it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TREE = Path(__file__).parents[3] / "shared" / "data" / "vss_release_6.0.json"


class Databroker:
    """See ``databroker_stand_in.py``. With ``tokens``, a file, it asks for one; ours may read all."""

    TOKEN = "the-provider's"

    def __init__(self, tree: Path = TREE, tokens: Path | None = None, tls: Path | None = None) -> None:
        """``tls``: a PEM file with the key and the certificate of ``localhost``."""
        self._tree, self._tokens, self._tls = tree, tokens, tls
        self.port = 0
        if tokens is not None:
            self.let({})
        self.start()

    def let(self, tokens: dict[str, list[str]]) -> None:
        """Which token may read what."""
        assert self._tokens is not None
        self._tokens.write_text(json.dumps({self.TOKEN: ["Vehicle"], **tokens}))

    def start(self) -> None:
        import grpc
        from kuksa.val.v2 import val_pb2_grpc

        more = [str(path) if path is not None else "" for path in (self._tokens, self._tls)]
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("databroker_stand_in.py")), str(self.port), str(self._tree), *more],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        ready = self._process.stdout.readline().split()
        assert ready and ready[0] == "ready"
        self.port = int(ready[1])
        options = [("grpc.use_local_subchannel_pool", 1)]
        if self._tls is None:
            self._channel = grpc.insecure_channel(f"127.0.0.1:{self.port}", options=options)
        else:
            credentials = grpc.ssl_channel_credentials(self._tls.with_name("right").read_bytes())
            self._channel = grpc.secure_channel(f"localhost:{self.port}", credentials, options=options)
        self._stub = val_pb2_grpc.VALStub(self._channel)

    def say(self, path: str, value: Any, at_s: float | None = None) -> None:
        """Publish one signal, as the provider of the vehicle does; ``None`` is *not available*."""
        from kuksa.val.v2 import types_pb2, val_pb2

        kind = {str: "string", bool: "bool", int: "int32", float: "double"}.get(type(value))
        datapoint = types_pb2.Datapoint(value=types_pb2.Value(**{kind: value}) if kind else None)
        if at_s is not None:
            datapoint.timestamp.FromNanoseconds(int(at_s * 1e9))
        request = val_pb2.PublishValueRequest(signal_id=types_pb2.SignalID(path=path), data_point=datapoint)
        self._stub.PublishValue(request, timeout=20, wait_for_ready=True)

    def drive_north(self, latitude: float) -> None:
        """Where it is: one signal after the other."""
        where = "Vehicle.CurrentLocation"
        self.say("Vehicle.Speed", 36.0)
        self.say(f"{where}.HorizontalAccuracy", 4.0)
        self.say(f"{where}.Latitude", latitude)
        self.say(f"{where}.Longitude", 24.9)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(20)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._channel.close()

    close = kill


def databroker(**how: Any) -> Databroker:
    pytest.importorskip("kuksa.val.v2", reason="kuksa-client is not installed")
    if not TREE.exists():
        pytest.skip("the VSS tree is not at hand")
    return Databroker(**how)
