"""A receiver on a serial port, through the standard library: raw, eight bits, no parity, for us alone."""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

from ..errors import SourceUnavailable
from .links import Link, said_of

__all__ = ["BAUD", "serial"]

BAUD: Final = 9600
"""What most receivers speak; the standard's own 4800 is the next guess. USB receivers take any."""
_ADVICE: Final = {
    errno.ENOENT: "is the receiver plugged in? Look at /dev/serial/by-id",
    errno.ENXIO: "is the receiver plugged in? Look at /dev/serial/by-id",
    errno.EACCES: "let this user into the group that owns it, often dialout, and log in again",
    errno.EBUSY: "another program has it, such as gpsd: then use gpsd://localhost",
}


def serial(device: str, baud: int = BAUD) -> Link:
    """The opened device. Raises :class:`SourceUnavailable`."""
    problem: OSError | None = None
    link: Link | None = None
    fd = -1
    try:
        fd = os.open(device, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        if stat.S_ISCHR(os.fstat(fd).st_mode) and os.isatty(fd):
            _make_raw(fd, baud)
            link = Link(fd=fd)
    except OSError as error:
        problem = OSError(error.errno, "")
    except ValueError:  # a NUL in the name
        problem = OSError(errno.ENOENT, "")
    if link is not None:
        return link
    if fd >= 0:
        os.close(fd)
    if problem is None:
        raise SourceUnavailable("this is no serial device; a recording is opened as nmea:FILE")
    advice = _ADVICE.get(problem.errno or 0, "is it a working serial device?")
    raise SourceUnavailable(f"the serial device cannot be opened: {said_of(problem)}; {advice}")


def speeds() -> dict[int, int]:
    """What a port can be set to: baud and termios' number for it."""
    import termios

    return {int(name[1:]): value for name, value in vars(termios).items() if name[0] == "B" and name[1:].isdecimal()}


def _make_raw(fd: int, baud: int) -> None:
    """As cfmakeraw(3), 8N1, without flow control or modem lines, exclusive. Raises ``OSError``."""
    import fcntl
    import termios

    problem: int | None = None
    try:
        fcntl.ioctl(fd, termios.TIOCEXCL)
        speed = speeds()[baud]
        state = termios.tcgetattr(fd)
        state[:6] = termios.IGNBRK, 0, termios.CS8 | termios.CREAD | termios.CLOCAL, 0, speed, speed
        state[6][termios.VMIN], state[6][termios.VTIME] = 1, 0  # nothing to read is not the end
        termios.tcsetattr(fd, termios.TCSANOW, state)
    except termios.error as error:  # it is no OSError
        problem = int(error.args[0])
    if problem is not None:
        raise OSError(problem, "")
