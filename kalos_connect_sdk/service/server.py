"""Running the reference service: ``python -m kalos_connect_sdk.service``.

It listens on a loopback address unless told otherwise, says where on standard output, and logs no request: paths
hold pseudonyms and bodies hold positions (R10).
"""

from __future__ import annotations

import importlib.util
import ipaddress
import socket
import sys
from collections.abc import Callable
from typing import TextIO

import uvicorn

from ..core.notices.default import DEFAULT_NOTICE
from .app import create_app
from .engine import Engine, EngineUnavailable
from .sqlite import open_store
from .valhalla import EmbeddedValhalla, HttpValhalla

__all__ = ["listen", "open_engine", "serve"]


def open_engine(name: str | None) -> Engine | None:
    """The engine an ``--engine`` names.

    ``valhalla``: embedded, with the map of Helsinki that comes with this package; ``valhalla:TILES.tar``: with
    another map; a URL: a Valhalla service. ``None``: embedded if it is installed, else none. Raises
    :class:`EngineUnavailable`.
    """
    if name is None:
        return EmbeddedValhalla() if importlib.util.find_spec("valhalla") is not None else None
    if name == "valhalla":
        return EmbeddedValhalla()
    if name.startswith("valhalla:"):
        return EmbeddedValhalla(name.removeprefix("valhalla:"))
    if name.startswith(("http://", "https://")):
        return HttpValhalla(name)
    raise EngineUnavailable("the engine must be valhalla, valhalla:TILES.tar or the URL of a Valhalla service")


def serve(
    host: str = "127.0.0.1",
    port: int = 8787,
    *,
    database: str | None = None,
    engine: str | None = None,
    observe: bool = False,
    region: str | None = None,
    enrolment_token: str | None = None,
    output: TextIO | None = None,
) -> None:
    """Serve until interrupted; ``port`` 0 takes a free one. Prints ``listening on http://HOST:PORT`` to ``output``,
    and what a person should know besides.

    ``database`` as for :func:`~.sqlite.open_store`, ``engine`` as for :func:`open_engine`, the rest as for
    :func:`~.app.create_app`. Raises ``OSError`` when the address or the database cannot be used, ``ValueError`` for
    a port or database there cannot be, :class:`EngineUnavailable`.
    """
    out = output or sys.stdout
    router = open_engine(engine)
    listener = listen(host, port)
    try:
        store = open_store(database)
        try:
            app = create_app(
                store,
                router,
                observe=observe,
                notice=DEFAULT_NOTICE,
                region=region,
                enrolment_token=enrolment_token,
            )
            config = uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=2,
                lifespan="off",
            )
            _Server(config, lambda: _announce(out, listener, routes=router is not None)).run(sockets=[listener])
        except KeyboardInterrupt:
            pass  # how it is meant to end
        finally:
            store.close()
    finally:
        listener.close()


class _Server(uvicorn.Server):
    """A server that says when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            self._ready()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ``OSError``, ``ValueError`` for a port there cannot be."""
    if not 0 <= port <= 65535:
        raise ValueError("the port must be from 0 to 65535")  # getaddrinfo would take its remainder
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)  # without its protocol, asyncio would not turn Nagle off
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


def _announce(out: TextIO, listener: socket.socket, *, routes: bool) -> None:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    out.write(f"listening on http://{shown}:{port}\n")
    if not ipaddress.ip_address(host).is_loopback:
        out.write("this is plain http beyond this machine: put a TLS proxy in front of it\n")
    if not routes:
        out.write("routes are answered 503: there is no engine; pip install 'kalos-connect-sdk[valhalla]' brings one\n")
    out.flush()
