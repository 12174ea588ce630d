"""A message bus, spoken to by one thread with bounded patience, which another thread can end at once.

Signals that come while a reply is waited for are kept for later. Whatever is wrong with the connection is an
``OSError``; what the other side refuses is :class:`Refused`, whose text is for telling cases apart, never for people.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections import deque
from itertools import count
from typing import Any, Final

from jeepney import HeaderFields, MatchRule, Message, MessageType, Parser
from jeepney.auth import BEGIN, AuthenticationError, Authenticator
from jeepney.bus import get_bus
from jeepney.bus_messages import message_bus

from .links import Unwanted
from .wake import Wake, ready

__all__ = ["Bus", "Refused", "SESSION", "SYSTEM", "left"]

SYSTEM: Final = "SYSTEM"
SESSION: Final = "SESSION"
_BUS: Final = "org.freedesktop.DBus"
_PATIENCE_S: Final = 5.0
_KEPT_SIGNALS: Final = 256
_PIECE: Final = 16 * 1024


class Refused(Exception):
    """The other side answered with an error: its ``name`` on the bus, and its ``text``."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(name)
        self.name = name
        self.text = text


class Bus:
    """A connection. Raises ``OSError`` when there is no bus, and :class:`Unwanted` once ``wake`` is set."""

    def __init__(self, which: str, wake: Wake) -> None:
        self.wake = wake
        """Ends every wait once it is set."""
        self._parser = Parser()
        self._serials = count(1)
        self._signals: deque[Message] = deque()
        self._sock = socket.socket(socket.AF_UNIX)
        try:
            self._sock.settimeout(_PATIENCE_S)
            self._sock.connect(_address(which))
            self._authenticate(time.monotonic() + _PATIENCE_S)
            self.name = str(self.call(message_bus.Hello())[0])
            """How the bus calls us."""
        except BaseException:
            self.close()
            raise

    def call(self, message: Message, timeout_s: float | None = _PATIENCE_S) -> tuple[Any, ...]:
        """The body of the reply. ``None`` waits as long as it takes. Raises :class:`Refused`, ``TimeoutError``."""
        serial = next(self._serials)
        self._sock.sendall(message.serialise(serial=serial))
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while (answer := self._next(deadline)) is not None:
            fields = answer.header.fields
            if fields.get(HeaderFields.reply_serial) == serial:
                if answer.header.message_type is MessageType.error:
                    text = answer.body[0] if answer.body and isinstance(answer.body[0], str) else ""
                    raise Refused(str(fields.get(HeaderFields.error_name)), text)
                return tuple(answer.body)
            self._keep(answer)
        raise TimeoutError(errno.ETIMEDOUT, "no reply")

    def listen(self, rule: MatchRule) -> None:
        """From now on signals that match are kept for :meth:`signal`."""
        self.call(message_bus.AddMatch(rule))

    def owner(self, name: str) -> str:
        """Who has ``name`` now. From now on :meth:`signal` tells, too, that somebody :func:`left` it."""
        rule = MatchRule(type="signal", sender=_BUS, interface=_BUS, member="NameOwnerChanged")
        rule.add_arg_condition(0, name)
        self.listen(rule)
        return str(self.call(message_bus.GetNameOwner(name))[0])

    def signal(self, timeout_s: float | None = None) -> Message | None:
        """The next signal; None when none came in time."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._signals:
            message = self._next(deadline)
            if message is None:
                return None
            self._keep(message)
        return self._signals.popleft()

    def close(self) -> None:
        """Whatever was asked for on this connection is given back by the other side."""
        self._sock.close()

    def _keep(self, message: Message) -> None:
        if message.header.message_type is not MessageType.signal:
            return  # a late reply to a call that was given up is nobody's
        if len(self._signals) >= _KEPT_SIGNALS:  # to drop one would be to miss that somebody said no
            raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
        self._signals.append(message)

    def _next(self, deadline: float | None) -> Message | None:
        while (message := self._parsed()) is None:
            data = self._read(deadline)
            if data is None:
                return None
            self._parser.add_data(data)
        return message

    def _parsed(self) -> Message | None:
        try:
            return self._parser.get_next_message()
        except Exception:  # what a bus must not send; the parser has no error of its own
            malformed = OSError(errno.EBADMSG, os.strerror(errno.EBADMSG))
        raise malformed

    def _read(self, deadline: float | None) -> bytes | None:
        """What has come; None when the time is up. Raises ``OSError``, :class:`Unwanted`."""
        wait_s = None if deadline is None else max(0.0, deadline - time.monotonic())
        come = ready((self._sock, self.wake), wait_s)
        if self.wake.is_set():
            raise Unwanted
        if not come:
            return None
        data = os.read(self._sock.fileno(), _PIECE)  # a socket with a time-out does not block by itself
        if not data:
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        return data

    def _authenticate(self, deadline: float) -> None:
        self._sock.sendall(b"\0")  # the bus reads who we are from the socket itself
        talk = Authenticator(inc_null_byte=False)
        accepted = True
        for line in talk:
            self._sock.sendall(line)
            data = self._read(deadline)
            if data is None:
                raise TimeoutError(errno.ETIMEDOUT, "no answer")
            try:
                talk.feed(data)
            except AuthenticationError:
                accepted = False
                break
        if not accepted:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        self._sock.sendall(BEGIN)


def left(signal: Message, name: str) -> bool:
    """Whether the bus says that ``name`` has another owner now, or none. Nobody else can say it."""
    fields = signal.header.fields
    said = (fields.get(HeaderFields.sender), fields.get(HeaderFields.member))
    return said == (_BUS, "NameOwnerChanged") and signal.body[0] == name


def _address(which: str) -> str:
    """Where the bus listens. Raises ``FileNotFoundError`` when no such bus is known here."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if which == SESSION and "DBUS_SESSION_BUS_ADDRESS" not in os.environ and runtime:
        return os.path.join(runtime, "bus")
    try:
        return str(get_bus(which))
    except (KeyError, ValueError, RuntimeError, StopIteration):
        pass
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
