"""A private desktop: its own message bus, the real GeoClue fed with NMEA, an agent, the real portal and its store."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jeepney import (
    DBusAddress,
    HeaderFields,
    MessageType,
    Properties,
    new_error,
    new_method_call,
    new_method_return,
    new_signal,
)
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import DBusConnection, prep_socket
from jeepney.wrappers import unwrap_msg

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
        self.connect().close()  # its socket is there before it listens

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

    def claim_left(self, name: str) -> None:
        """Somebody who is not the bus tells everybody, straight, that the owner of ``name`` is gone."""
        liar = self.connect()
        emitter = DBusAddress("/org/freedesktop/DBus", interface="org.freedesktop.DBus")
        for peer in range(40):
            lie = new_signal(emitter, "NameOwnerChanged", "sss", (name, ":1.0", ""))
            lie.header.fields[HeaderFields.destination] = f":1.{peer}"
            liar.send(lie)
        unwrap_msg(liar.send_and_get_reply(message_bus.GetId(), timeout=10))  # by now they have it
        liar.close()

    def owned(self, name: str) -> bool:
        connection = self.connect()
        try:
            return bool(unwrap_msg(connection.send_and_get_reply(message_bus.NameHasOwner(name), timeout=10))[0])
        finally:
            connection.close()


class Served(threading.Thread):
    """An object on the bus, served from a thread: ``answers`` per member, and properties."""

    def __init__(self, bus: PrivateBus, name: str | None = None) -> None:
        super().__init__(daemon=True)
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
        super().__init__(bus)
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
        emitter = DBusAddress("/org/freedesktop/GeoClue2/Agent", interface="org.freedesktop.DBus.Properties")
        changed = (self.INTERFACE, {"MaxAccuracyLevel": ("u", level)}, [])
        self.send(new_signal(emitter, "PropertiesChanged", "sa{sv}as", changed))


class Feed:
    """What a receiver says, on a Unix socket: everything to everybody who is connected."""

    def __init__(self, path: Path) -> None:
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen(5)
        self._lock = threading.Lock()
        self._peers: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def send(self, data: bytes) -> None:
        with self._lock:
            for peer in list(self._peers):
                try:
                    peer.sendall(data)
                except OSError:
                    self._peers.remove(peer)

    def stop(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._server.close()
        for peer in self._peers:
            peer.close()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._server.accept()
            except OSError:
                return
            with self._lock:
                self._peers.append(peer)


class Moving(threading.Thread):
    """A receiver on its way north: where it is now, ten times a second."""

    def __init__(self, feed: Feed) -> None:
        super().__init__(daemon=True)
        self._feed = feed
        self._over = threading.Event()
        self.start()

    def run(self) -> None:
        latitude = 60.17
        while not self._over.wait(0.1):
            latitude += 0.0001
            for sentence in sentences([Fix(0, latitude, 24.94, 10.0, 0.0)], datetime.now(UTC)):
                self._feed.send(sentence.encode() + b"\r\n")

    def stop(self) -> None:
        self._over.set()
        self.join(10)


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

    def freeze(self) -> None:
        """It answers nobody any more, until it is killed."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)
        self._process = None

    def stop(self) -> None:
        if self._process is not None:
            end(self._process)
            self._process = None


class Backend(Served):
    """A desktop's part of the portal: the question to the person, and the administrator's lockdown."""

    NAME = "org.freedesktop.impl.portal.desktop.kalostest"

    def __init__(self, bus: PrivateBus) -> None:
        super().__init__(bus, self.NAME)
        self.answer: int | None = 0
        """0 grants, 1 denies; None: the person is still thinking."""
        self.locked = False
        self.start()

    def properties(self, interface: str) -> dict[str, tuple[str, Any]]:
        return {"disable-location": ("b", self.locked)} if interface.endswith("Lockdown") else {}

    def called(self, member: str, body: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]] | None:
        return ("ua{sv}", (self.answer, {})) if member == "AccessDialog" and self.answer is not None else None


class Portal:
    """The real portal and its permission store, on a session bus of their own."""

    def __init__(self, folder: Path, system: PrivateBus) -> None:
        self.bus = PrivateBus(folder, "session")
        (folder / "portals").mkdir()
        (folder / "portals" / "kalostest.portal").write_text(
            f"[portal]\nDBusName={Backend.NAME}\nUseIn=kalostest\n"
            "Interfaces=org.freedesktop.impl.portal.Access;org.freedesktop.impl.portal.Lockdown;\n"
        )
        self._environment = {
            **os.environ,
            "DBUS_SESSION_BUS_ADDRESS": self.bus.address,
            "DBUS_SYSTEM_BUS_ADDRESS": system.address,
            "XDG_DESKTOP_PORTAL_DIR": str(folder / "portals"),
            "XDG_CURRENT_DESKTOP": "kalostest",
            "XDG_DATA_HOME": str(folder / "data"),
            "GSETTINGS_BACKEND": "memory",
        }
        self._store = self._run(STORE, "org.freedesktop.impl.portal.PermissionStore")
        self.person = Backend(self.bus)
        self._portal = self._run(PORTAL, "org.freedesktop.portal.Desktop")
        until(self._offers_location, "the portal's location")

    def restart(self) -> None:
        end(self._portal)
        self._portal = self._run(PORTAL, "org.freedesktop.portal.Desktop")
        until(self._offers_location, "the portal's location")

    def _offers_location(self) -> bool:
        where = DBusAddress(
            "/org/freedesktop/portal/desktop", "org.freedesktop.portal.Desktop", "org.freedesktop.portal.Location"
        )
        connection = self.bus.connect()
        reply = connection.send_and_get_reply(Properties(where).get("version"), timeout=10)
        connection.close()
        return reply.header.message_type is MessageType.method_return

    def kill_store(self) -> None:
        self._store.kill()
        self._store.wait(10)

    def start_store(self) -> None:
        self._store = self._run(STORE, "org.freedesktop.impl.portal.PermissionStore")

    def settings(self, app_id: str, *answer: str) -> None:
        """What the desktop's privacy settings write."""
        name = "org.freedesktop.impl.portal.PermissionStore"
        store = DBusAddress("/org/freedesktop/impl/portal/PermissionStore", name, name)
        connection = self.bus.connect()
        body = ("location", True, "location", app_id, list(answer))
        unwrap_msg(connection.send_and_get_reply(new_method_call(store, "SetPermission", "sbssas", body), timeout=10))
        connection.close()

    def stop(self) -> None:
        end(self._portal)
        self.person.stop()
        end(self._store)
        self.bus.stop()

    def _run(self, program: Path, name: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [str(program)], env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(lambda: self.bus.owned(name) or process.poll() is not None, f"{program.name} on its bus")
        assert process.poll() is None
        return process


class Desktop:
    """Started as far as a test wants it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bus = PrivateBus(folder, "system")
        self.feed = Feed(folder / "nmea.sock")
        self.agents: list[Agent] = []
        self.geoclue: GeoClue | None = None
        self.portal: Portal | None = None

    def run(self, *, level: int | None = 8, refused: str | None = None) -> Agent | None:
        """GeoClue, and an agent that allows at most ``level``; None for no agent."""
        self.geoclue = GeoClue(self.bus, self.folder / "nmea.sock", refused)
        return self.agent(level) if level is not None else None

    def agent(self, level: int = 8) -> Agent:
        self.agents.append(Agent(self.bus, level))
        return self.agents[-1]

    def run_portal(self) -> Portal:
        self.portal = Portal(self.folder, self.bus)
        return self.portal

    def stop(self) -> None:
        if self.portal is not None:
            self.portal.stop()
        for agent in self.agents:
            agent.stop()
        if self.geoclue is not None:
            self.geoclue.stop()
        self.feed.stop()
        self.bus.stop()


def missing() -> str | None:
    """What is not installed here."""
    if not shutil.which("dbus-daemon"):
        return "dbus-daemon"
    return next((path.name for path in (GEOCLUE, PORTAL, STORE) if not path.exists()), None)


def end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


@pytest.fixture
def desktop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desktop]:
    """A private system bus with a receiver on its way; the rest as a test wants it."""
    if absent := missing():
        pytest.skip(f"{absent} is not installed")
    started = Desktop(tmp_path)
    receiver = Moving(started.feed)
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", started.bus.address)
    yield started
    receiver.stop()
    started.stop()
