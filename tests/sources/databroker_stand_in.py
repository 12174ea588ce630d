"""A stand-in for the KUKSA databroker, which is Rust and cannot be had here: the services of kuksa-client's own stubs,
on a VSS tree. It refuses like the real one: unknown paths, tokens that are none, signals out of a token's scope; a
subscription to what a token may not read is silent. NOT the real broker.

    python databroker_stand_in.py PORT TREE.json [TOKENS.json [KEY_AND_CHAIN.pem]]

TOKENS.json maps a token to the list of branches it may read; it is read anew for every call.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from kuksa.val.v2 import types_pb2, val_pb2, val_pb2_grpc


def leaves(tree: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, node in tree.items():
        if "children" in node:
            yield from leaves(node["children"], f"{prefix}{name}.")
        else:
            yield prefix + name


class Databroker(val_pb2_grpc.VALServicer):
    def __init__(self, tree: Path, tokens: Path | None) -> None:
        self._known = frozenset(leaves(json.loads(tree.read_text())))
        self._tokens = tokens
        self._values: dict[str, Any] = {}
        self._listeners: list[tuple[frozenset[str], queue.Queue[Any]]] = []
        self._lock = threading.Lock()

    def GetServerInfo(self, request, context):
        self._scopes(context)
        return val_pb2.GetServerInfoResponse(name="stand-in", version="0")

    def GetValue(self, request, context):
        scopes, path = self._scopes(context), request.signal_id.path
        self._existing(path, context)
        if not readable(path, scopes):
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "Permission denied")
        return val_pb2.GetValueResponse(data_point=self._values.get(path))

    def PublishValue(self, request, context):
        path = request.signal_id.path
        self._existing(path, context)
        datapoint = types_pb2.Datapoint()
        datapoint.CopyFrom(request.data_point)
        if not datapoint.HasField("timestamp"):
            datapoint.timestamp.GetCurrentTime()
        with self._lock:
            self._values[path] = datapoint
            for paths, news in self._listeners:
                if path in paths:
                    news.put({path: datapoint})
        return val_pb2.PublishValueResponse()

    def Subscribe(self, request, context):
        scopes = self._scopes(context)
        for path in request.signal_paths:
            self._existing(path, context)
        paths = frozenset(path for path in request.signal_paths if readable(path, scopes))
        news: queue.Queue[Any] = queue.Queue()
        with self._lock:
            news.put({path: self._values.get(path, types_pb2.Datapoint()) for path in paths})
            self._listeners.append((paths, news))
        context.add_callback(lambda: news.put(None))
        while (entries := news.get()) is not None:
            if self._still(context, scopes):
                yield val_pb2.SubscribeResponse(entries=entries)

    def _existing(self, path: str, context: Any) -> None:
        if path not in self._known:
            context.abort(grpc.StatusCode.NOT_FOUND, "Path not found")

    def _scopes(self, context: Any) -> list[str] | None:
        """The branches that the caller may read; None for all."""
        if self._tokens is None:
            return None
        scopes = self._of(context)
        if scopes is None:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "Unauthenticated")
        return scopes

    def _of(self, context: Any) -> list[str] | None:
        assert self._tokens is not None
        authorization = dict(context.invocation_metadata()).get("authorization", "")
        found: list[str] | None = json.loads(self._tokens.read_text()).get(authorization.removeprefix("Bearer "))
        return found

    def _still(self, context: Any, scopes: list[str] | None) -> bool:
        return scopes is None or self._of(context) == scopes


def readable(path: str, scopes: list[str] | None) -> bool:
    return scopes is None or any(path == scope or path.startswith(f"{scope}.") for scope in scopes)


def main(port: str, tree: str, tokens: str = "", tls: str = "") -> None:
    server = grpc.server(futures.ThreadPoolExecutor(16))
    val_pb2_grpc.add_VALServicer_to_server(Databroker(Path(tree), Path(tokens) if tokens else None), server)
    if tls:
        pem = Path(tls).read_bytes()
        chain = pem.index(b"-----BEGIN CERTIFICATE-----")
        credentials = grpc.ssl_server_credentials([(pem[:chain], pem[chain:])])
        bound = server.add_secure_port(f"localhost:{port}", credentials)
    else:
        bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    print(f"ready {bound}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main(*sys.argv[1:])
