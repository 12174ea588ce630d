"""A KUKSA databroker, spoken to with patience that ends: what it lets us read, and what it says about that.

Whether a signal exists and may be read is asked one by one: a subscription to what a token may not read is silent.
gRPC's own errors never escape; they hold what the broker said (R10).
"""

from __future__ import annotations

import errno
import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from queue import Empty, SimpleQueue
from typing import Any, Final

import grpc
from kuksa.val.v2 import types_pb2, val_pb2, val_pb2_grpc

from ..errors import SourceUnavailable
from .address import address_of, malformed
from .links import Unwanted
from .vss import Said
from .wake import Wake, ready

__all__ = ["PORT", "Broker", "May", "Where", "where_of"]

FORM: Final = "kuksa://HOST:PORT?token_file=FILE&ca_file=FILE"
PORT: Final = 55555
_PATIENCE_S: Final = 5.0
_OPTIONS: Final = (("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1))
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_MAX_FILE: Final = 256 * 1024
_KEPT: Final = 256
"""Messages that may wait for a reader: one that is so far behind is told anew, not everything that it has missed."""


class May(Enum):
    """What the broker says about reading one signal."""

    READ = "may be read"
    NOT_THERE = "is not in this vehicle's VSS tree"
    NO_RIGHT = "may not be read with this token"
    UNKNOWN = "needs a valid token"


_OK: Final = grpc.StatusCode.OK
_MAY: Final = {
    _OK: May.READ,
    grpc.StatusCode.NOT_FOUND: May.NOT_THERE,
    grpc.StatusCode.PERMISSION_DENIED: May.NO_RIGHT,
    grpc.StatusCode.UNAUTHENTICATED: May.UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class Where:
    """How a databroker is reached. The token is read anew for every connection, so that it can be replaced."""

    host: str = "127.0.0.1"
    port: int = PORT
    token_file: str | None = field(default=None, repr=False)
    ca_file: str | None = None

    def __post_init__(self) -> None:
        if self.token_file is not None and self.ca_file is None and self.host not in _LOOPBACK:
            raise SourceUnavailable("a KUKSA token is sent in the clear only to a loopback address; give ca_file")


def where_of(rest: str) -> Where:
    """``kuksa://HOST:PORT?token_file=FILE&ca_file=FILE`` after its scheme's colon."""
    address = address_of(rest, FORM, known=("token_file", "ca_file"), port=PORT)
    if not address.host:
        raise malformed(FORM)
    return Where(address.host, address.port, address.options.get("token_file"), address.options.get("ca_file"))


class Broker:
    """A connection. Raises :class:`SourceUnavailable` when no databroker answers within five seconds, and
    :class:`Unwanted` once ``wake`` is set."""

    def __init__(self, where: Where, wake: Wake) -> None:
        self.opened_s = time.monotonic()
        self.wake = wake
        """Ends every wait once it is set; a stream needs :meth:`cancel` besides."""
        self.paths: tuple[str, ...] = ()
        """What :meth:`subscribe` takes: set by who asked what may be read."""
        self._metadata: tuple[tuple[str, str], ...] = ()
        if where.token_file is not None:
            self._metadata = (("authorization", f"Bearer {_token(where.token_file)}"),)
        self._channel = _channel(where)
        self._stub = val_pb2_grpc.VALStub(self._channel)
        self._news: SimpleQueue[list[Said] | None] = SimpleQueue()
        self._stream: Any = None
        try:
            code = self._asked(self._stub.GetServerInfo, val_pb2.GetServerInfoRequest())
        except Unwanted:
            self.close()
            raise
        if code not in (_OK, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
            self.close()
            raise SourceUnavailable(f"no KUKSA databroker answers ({_word(code)}); check host, port and ca_file")

    def may(self, path: str) -> May:
        """Whether ``path`` is there and may be read. Raises ``ConnectionError``."""
        request = val_pb2.GetValueRequest(signal_id=types_pb2.SignalID(path=path))
        code = self._asked(self._stub.GetValue, request)
        if code not in _MAY:
            raise ConnectionError(errno.ECONNABORTED, os.strerror(errno.ECONNABORTED))
        return _MAY[code]

    def subscribe(self) -> None:
        """From now on :meth:`updates` gives what :attr:`paths` are, and what they become."""
        request = val_pb2.SubscribeRequest(signal_paths=list(self.paths))
        self._stream = self._stub.Subscribe(request, metadata=self._metadata)
        threading.Thread(target=self._pump, args=(self._stream,), name="kalos-kuksa", daemon=True).start()

    def updates(self, timeout_s: float | None = None) -> Iterator[list[Said]]:
        """What came in one message each; an empty list when nothing came in time. Ends with the stream."""
        while True:
            news: list[Said] | None = []
            try:
                news = self._news.get(timeout=timeout_s)
            except Empty:
                pass
            if self.wake.is_set():
                raise Unwanted
            if news is None:
                return
            yield news

    def cancel(self) -> None:
        """End the stream, from any thread."""
        stream = self._stream
        if stream is not None:
            stream.cancel()
        self._news.put(None)

    def drain(self) -> None:
        """Nothing waits here: nothing is told before it is subscribed to."""

    def close(self) -> None:
        self.cancel()
        self._channel.close()

    def _asked(self, method: Any, request: Any) -> Any:
        """The status of one call."""
        call = method.future(request, timeout=_PATIENCE_S, metadata=self._metadata)
        done = Wake()
        call.add_done_callback(lambda _: done.set())
        try:
            ready((self.wake, done), 2 * _PATIENCE_S)
        finally:
            done.close()
        if self.wake.is_set() or not call.done():
            call.cancel()
            raise Unwanted
        return call.code()

    def _pump(self, stream: Any) -> None:
        try:
            for response in stream:
                if self._news.qsize() >= _KEPT:
                    stream.cancel()
                    break
                self._news.put([_said(path, datapoint) for path, datapoint in response.entries.items()])
        except grpc.RpcError:
            pass  # the broker is gone, or we are: the reader finds out which
        self._news.put(None)


def _channel(where: Where) -> Any:
    target = f"[{where.host}]:{where.port}" if ":" in where.host else f"{where.host}:{where.port}"
    if where.ca_file is None:
        return grpc.insecure_channel(target, options=_OPTIONS)
    credentials = grpc.ssl_channel_credentials(_read(where.ca_file, "the KUKSA certificate authority"))
    return grpc.secure_channel(target, credentials, options=_OPTIONS)


def _read(path: str, what: str) -> bytes:
    problem = None
    try:
        with open(path, "rb") as file:
            return file.read(_MAX_FILE)
    except OSError as error:
        problem = os.strerror(error.errno).lower() if error.errno else "unknown error"
    raise SourceUnavailable(f"{what} cannot be read from its file: {problem}")


def _token(path: str) -> str:
    """Checked here: gRPC would repeat what it does not take (R10)."""
    token = _read(path, "the KUKSA token").strip()
    if not re.fullmatch(rb"[\x21-\x7e]+", token):
        del token
        raise SourceUnavailable("the file of the KUKSA token holds none: one line of printable characters is expected")
    return token.decode("ascii")


def _word(code: Any) -> str:
    return str(code.name).lower().replace("_", " ")


def _said(path: str, datapoint: Any) -> Said:
    kind = datapoint.value.WhichOneof("typed_value") if datapoint.HasField("value") else None
    value = getattr(datapoint.value, kind) if kind is not None else None
    at_s = datapoint.timestamp.seconds + datapoint.timestamp.nanos / 1e9
    return Said(path, value if isinstance(value, (str, bool, int, float)) else None, at_s)
