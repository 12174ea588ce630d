"""A private desktop: its own message bus, the real GeoClue fed with NMEA, an agent, the real portal and its store."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jeepney import DBusAddress, HeaderFields, MessageType, new_error, new_method_call, new_method_return, new_signal
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import DBusConnection, prep_socket
from jeepney.wrappers import DBusErrorResponse, unwrap_msg

from kalos_connect_sdk.cli.car import Fix, sentences

GEOCLUE = Path("/usr/libexec/geoclue")
PORTAL = Path("/usr/libexec/xdg-desktop-portal")
STORE = Path("/usr/libexec/xdg-permission-store")
DEADLINE_S = 30.0

_POLICY = """<busconfig><type>custom</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*" eavesdrop="false"/>
<allow send_type="signal"/><allow send_type="method_return"/><allow send_type="error"/><allow receive_type="signal"/>
<allow receive_type="method_call"/><allow receive_type="method_return"/><allow receive_type="error"/></policy></busconfig>
"""


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for ``condition``; a look every 10 ms, for what gives no event."""
    deadline = time.monotonic() + DEADLINE_S
    pause = threading.Event()
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        pause.wait(0.01)
    raise AssertionError(f"not in time: {what}")


class PrivateBus:
    """A dbus-daemon with a socket of its own."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f"{name}.sock"
        self._config = folder / f"{name}.conf"
        self._config.write_text(_POLICY.format(path=self.path))
        self._process: subprocess.Popen[bytes] | None = None
        self.address = f"unix:path={self.path}"
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            ["dbus-daemon", f"--config-file={self._config}", "--nofork", "--nosyslog"], stderr=subprocess.DEVNULL
        )
        until(self.path.exists, "the bus")

    def stop(self) -> None:
        if self._process is not None:
            end(self._process)
            self._process = None
        self.path.unlink(missing_ok=True)

    def connect(self) -> DBusConnection:
        return until(self._connected, "a bus that answers")

    def _connected(self) -> DBusConnection | None:
        try:
            return DBusConnection(prep_socket(str(self.path)))
        except OSError:
            return None

    def owned(self, name: str) -> bool:
        connection = self.connect()
        try:
            return bool(unwrap_msg(connection.send_and_get_reply(message_bus.NameHasOwner(name), timeout=10))[0])
        finally:
            connection.close()


class Served(threading.Thread):
    """An object on the bus, served from a thread: ``answers`` per member, and properties."""

    def __init__(self, bus: PrivateBus, path: str, name: str | None = None) -> None:
        super().__init__(daemon=True)
        self._path = path
        self._connection = bus.connect()
        if name is not None:
            unwrap_msg(self._connection.send_and_get_reply(message_bus.RequestName(name), timeout=10))
        self._lock = threading.Lock()
        self.asked: list[tuple[str, tuple[Any, ...]]] = []

    def run(self) -> None:
        try:
            while True:
                message = self._connection.receive()
                if message.header.message_type is MessageType.method_call:
                    self._answer(message)
        except (OSError, ValueError):
            return  # stopped

    def stop(self) -> None:
        self._connection.sock.shutdown(socket.SHUT_RDWR)
        self.join(10)
        self._connection.close()

    def send(self, message: Any) -> None:
        with self._lock:
            self._connection.send(message)

    def properties(self, interface: str) -> dict[str, tuple[str, Any]]:
        raise NotImplementedError

    def called(self, member: str, body: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]] | None:
        """(signature, body) of the reply; None holds it back."""
        raise NotImplementedError

    def _answer(self, message: Any) -> None:
        fields = message.header.fields
        member, interface = fields[HeaderFields.member], fields.get(HeaderFields.interface, "")
        if interface == "org.freedesktop.DBus.Properties":
            found = self.properties(message.body[0])
            if member == "GetAll":
                self.send(new_method_return(message, "a{sv}", (found,)))
            else:
                self.send(new_method_return(message, "v", (found[message.body[1]],)))
            return
        self.asked.append((member, tuple(message.body)))
        reply = self.called(member, tuple(message.body))
        if reply is not None:
            self.send(new_method_return(message, *reply))
        elif member not in ("AuthorizeApp", "AccessDialog"):
            self.send(new_error(message, "org.freedesktop.DBus.Error.UnknownMethod"))


class Agent(Served):
    """A location agent: what the desktop's settings say. ``level`` 0 is *off*."""

    INTERFACE = "org.freedesktop.GeoClue2.Agent"

    def __init__(self, bus: PrivateBus, level: int = 8) -> None:
        super().__init__(bus, "/org/freedesktop/GeoClue2/Agent")
        self.level = level
        self.start()
        manager = DBusAddress(
            "/org/freedesktop/GeoClue2/Manager", "org.freedesktop.GeoClue2", "org.freedesktop.GeoClue2.Manager"
        )
        self.send(new_method_call(manager, "AddAgent", "s", ("geoclue-demo-agent",)))

    def properties(self, interface: str) -> dict[str, tuple[str, Any]]:
        return {"MaxAccuracyLevel": ("u", self.level)}

    def called(self, member: str, body: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]] | None:
        return ("bu", (True, min(body[1], self.level))) if member == "AuthorizeApp" else None

    def switch(self, level: int) -> None:
        self.level = level
        emitter = DBusAddress(self._path, interface="org.freedesktop.DBus.Properties")
        changed = (self.INTERFACE, {"MaxAccuracyLevel": ("u", level)}, [])
        self.send(new_signal(emitter, "PropertiesChanged", "sa{sv}as", changed))


class Feed(threading.Thread):
    """What a receiver says, on a Unix socket: where it is now, ten times a second, going north. Latitude 0 is no fix."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.latitude, self.longitude = 60.17, 24.94
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen(5)
        self._over = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._over.is_set():
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def stop(self) -> None:
        self._over.set()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                while not self._over.wait(0.1):
                    self.latitude += 0.0001
                    fix = Fix(0, self.latitude, self.longitude, 10.0, 0.0)
                    for sentence in sentences([fix], datetime.now(UTC)):
                        client.sendall(sentence.encode() + b"\r\n")
            except OSError:
                return


class GeoClue:
    """The real daemon."""

    def __init__(self, bus: PrivateBus, feed: Path, refused: str | None = None) -> None:
        """``refused``: a desktop id that its configuration does not allow."""
        self._bus, self._feed = bus, feed
        self._command = [str(GEOCLUE), "-t", "0", "-u", str(feed)]
        if refused is not None:
            config = feed.with_name("geoclue.conf")
            config.write_text(
                f"[agent]\nwhitelist=geoclue-demo-agent\n[{refused}]\nallowed=false\nsystem=false\nusers=\n"
            )
            mounted = f'mount --bind {config} /etc/geoclue/geoclue.conf && exec "$@"'
            self._command = ["unshare", "-m", "sh", "-c", mounted, "sh", *self._command]
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": self._bus.address, "GSETTINGS_BACKEND": "memory"}
        self._process = subprocess.Popen(
            self._command,
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until(lambda: self._bus.owned("org.freedesktop.GeoClue2"), "GeoClue on its bus")

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)
        self._process = None

    def stop(self) -> None:
        if self._process is not None:
            end(self._process)
            self._process = None


def end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


__all__ = [
    "Agent", "DBusErrorResponse", "Feed", "GEOCLUE", "GeoClue", "PORTAL", "PrivateBus", "STORE", "Served", "end", "until",
]  # fmt: skip
