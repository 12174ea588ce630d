"""NMEA as it comes: from a serial device, over TCP, over UDP.

The epoch that is being told is over when the next begins, or when nothing more was said for a quarter of a second.
Over the network it comes in clear text, and whoever can reach the port can say where the device is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Final, NamedTuple

from ..core.lifetime import RELEASE_EPOCH_S
from ..errors import SourceUnavailable
from ..model.position import Position
from .address import address_of, malformed, options_of
from .assemble import Assembler
from .links import Link, listening, tcp, unreachable
from .live import ByteSource
from .nmea import Sentences
from .wake import Wake

__all__ = ["NmeaStream", "open_serial", "open_tcp", "open_udp"]

_TCP: Final = "nmea+tcp://HOST:PORT"
_UDP: Final = "nmea+udp://ADDRESS:PORT"
_SERIAL: Final = "serial:DEVICE?baud=9600"
_UNDATED: Final = 10


class _Hints(NamedTuple):
    """What to look at, depending on how it comes."""

    silence: str
    noise: str


_FROM_TCP: Final = _Hints("is the receiver on?", "is NMEA spoken at this port? A gpsd is written gpsd://HOST")
_FROM_UDP: Final = _Hints("does somebody send to this address and port?", "is it NMEA that is sent here?")
_FROM_SERIAL: Final = _Hints("is the receiver on?", "is the baud rate right?")


def _today() -> date:
    """No receiver is heard before this package was made. The clock is not asked: it may be wrong (R13)."""
    return datetime.fromtimestamp(RELEASE_EPOCH_S, UTC).date()


class NmeaReading:
    """The sentences of one connection."""

    def __init__(self, hints: _Hints = _FROM_SERIAL) -> None:
        self._hints = hints
        self._sentences = Sentences()
        self._assembler = Assembler(now=_today())
        self._bytes = self._given = 0
        self.heard = 0

    @property
    def pending(self) -> bool:
        return self._assembler.pending

    @property
    def trouble(self) -> str | None:
        if self._given or self._assembler.undated < _UNDATED:
            return None
        return "the receiver never says the date; let it send RMC or ZDA sentences, too"

    def feed(self, data: bytes) -> Iterator[Position]:
        self._bytes += len(data)
        for sentence in self._sentences.feed(data):
            self.heard += 1
            yield from self._give(self._assembler.add(sentence.kind, sentence.fields))

    def settle(self) -> Iterator[Position]:
        yield from self._give(self._assembler.finish())

    def silence(self) -> str:
        if self._bytes and not self.heard:
            return f"something is heard, but no NMEA sentence: {self._hints.noise}"
        return f"no sentence was heard for 10 s: {self._hints.silence}"

    def _give(self, position: Position | None) -> Iterator[Position]:
        if position is not None:
            self._given += 1
            yield position


class NmeaStream(ByteSource):
    """Sentences from ``connect``, which makes a new :class:`Link` each time."""

    def __init__(self, what: str, connect: Callable[[Wake], Link], hints: _Hints) -> None:
        self._make = connect
        self._hints = hints
        super().__init__(what)

    def _connect(self, wake: Wake) -> Link:
        return self._make(wake)

    def _reading(self, link: Link) -> NmeaReading:
        return NmeaReading(self._hints)


def open_tcp(rest: str, *, speed: float | None = None) -> NmeaStream:
    """``//HOST:PORT``: connects there. Raises :class:`SourceUnavailable`."""
    address = address_of(rest, _TCP)
    if not address.host:
        raise malformed(_TCP)

    def connect(wake: Wake) -> Link:
        problem = None
        try:
            return tcp(address, wake)
        except OSError as error:
            problem = unreachable("the NMEA server", error, "does it listen there, and does no firewall forbid it?")
        raise problem

    return NmeaStream("the NMEA server", connect, _FROM_TCP)


def open_udp(rest: str, *, speed: float | None = None) -> NmeaStream:
    """``//ADDRESS:PORT``: listens on this address of ours; without one on loopback alone. Raises likewise."""
    address = address_of(rest, _UDP)

    def connect(wake: Wake) -> Link:
        problem = None
        try:
            return listening(address, wake)
        except OSError as error:
            problem = unreachable("the UDP port", error, "give an address of this machine and a port that is free")
        raise problem

    return NmeaStream("the UDP port", connect, _FROM_UDP)


def open_serial(rest: str, *, speed: float | None = None) -> NmeaStream:
    """``DEVICE?baud=N``. Raises :class:`SourceUnavailable`."""
    try:
        from .serial_port import BAUD, serial, speeds

        rates = speeds()
    except ImportError:
        rates = {}
    if not rates:
        raise SourceUnavailable("serial devices are read on POSIX systems only")
    device, options = options_of(rest, _SERIAL, ("baud",))
    said = options.get("baud", str(BAUD))
    if not device:
        raise malformed(_SERIAL)
    baud = int(said) if said.isascii() and said.isdecimal() and len(said) < 9 else 0
    if not baud or baud not in rates:
        raise SourceUnavailable("baud must be one that a port can have: 4800, 9600, 38400, 115200 and the like")
    return NmeaStream("the serial device", lambda wake: serial(device, baud), _FROM_SERIAL)
