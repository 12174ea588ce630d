"""A whole life of an app with everything told that can be told; then every place where bytes stay is searched (R10)."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from canaries import HERE, LATITUDE, LONGITUDE, Canaries, position, secret
from hostile_service import ACCESS_TOKEN, HostileService

ENROLMENT_TOKEN = "canary-enrolment-token-Xn5pTb8Ym2"
TARGET = (84.6153842907, 131.9472615383)
HERE_TOO = position(LATITUDE + 1e-5, LONGITUDE, "position after a mood")
MORE = [*HERE, *HERE_TOO, *position(*TARGET, "destination")]
TOKENS = [*secret(ACCESS_TOKEN.encode(), "access token"), *secret(ENROLMENT_TOKEN.encode(), "enrolment token")]
FIX = '<trkpt lat="{}" lon="{}"><time>2026-01-01T00:00:0{}Z</time></trkpt>'
NMEA = "$GPRMC,12000{},A,8328.37511,N,11737.70368,E,0.1,10.0,010126,,,A"


class Program:
    """The program, and what it tells its parent."""

    def __init__(self, tmp_path: Path, service: HostileService) -> None:
        for name in ("home", "tmp", "cwd"):
            (tmp_path / name).mkdir()
        self._service = service
        reading, writing = os.pipe()
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "HOME": str(tmp_path / "home"),
            "TMPDIR": str(tmp_path / "tmp"),
            "PYTHONPYCACHEPREFIX": str(tmp_path / "home" / "pycache"),
            "SSLKEYLOGFILE": str(tmp_path / "home" / "tls-keys"),
        }
        command = [sys.executable, "-X", "dev", "-X", "faulthandler", "-W", "always"]
        self._out = (tmp_path / "told").open("wb")
        self.process = subprocess.Popen(
            [*command, str(Path(__file__).with_name("life_of_an_app.py"))],
            stdin=subprocess.PIPE,
            stdout=self._out,
            stderr=subprocess.STDOUT,
            pass_fds=[writing],
            cwd=tmp_path / "cwd",
            env=environment,
        )
        os.close(writing)
        self._reports = os.fdopen(reading, "rb")
        (tmp_path / "recordings").mkdir()
        recordings = {
            "good.gpx": "<gpx><trk><trkseg>" + "".join(FIX.format(LATITUDE, LONGITUDE, n) for n in range(3))
            + "</trkseg></trk></gpx>",
            "cut.gpx": "<gpx><trk><trkseg>" + FIX.format(LATITUDE, LONGITUDE, 1) + f'<trkpt lat="{LATITUDE}" lon="{LONGITUDE}',
            "good.nmea": "".join(f"{line}*{checksum(line):02X}\r\n" for line in map(NMEA.format, range(3))),
            "wrong.nmea": f"{NMEA.format(1)}*00\r\n" * 3,
        }  # fmt: skip
        for name, text in recordings.items():
            (tmp_path / "recordings" / name).write_text(text)
        (tmp_path / "enrolment").write_text(ENROLMENT_TOKEN)
        self.tell(
            report_fd=writing,
            here=[LATITUDE, LONGITUDE],
            there=TARGET,
            url=service.url,
            state=str(tmp_path / "state"),
            vault=str(tmp_path / "vault"),
            enrolment=str(tmp_path / "enrolment"),
            recordings=[f"{name[-4:].strip('.')}:{tmp_path / 'recordings' / name}" for name in recordings],
        )

    def tell(self, **needs: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(needs).encode() + b"\n")
        self.process.stdin.flush()

    def until_pause(self) -> dict[str, Any]:
        """Go on to the next pause; moods of the service are set on the way."""
        while line := self._reports.readline():
            told: dict[str, Any] = json.loads(line)
            if "mood" not in told:
                return told
            self._service.mood = told["mood"]
            self.tell()
        raise AssertionError("the program ended early")

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(30)
        for stream in (self.process.stdin, self._reports, self._out):
            assert stream is not None
            stream.close()


def checksum(line: str) -> int:
    total = 0
    for letter in line[1:]:
        total ^= ord(letter)
    return total


def what_others_see(pid: int) -> bytes:
    """What another program of this machine can list of a process, short of reading its memory."""
    proc = Path("/proc") / str(pid)
    parts = [(proc / name).read_bytes() for name in ("cmdline", "environ", "comm", "maps")]
    for task in (proc / "task").iterdir():
        parts.append((task / "comm").read_bytes())
    for fd in (proc / "fd").iterdir():
        try:
            parts.append(os.fsencode(os.readlink(fd)))
        except OSError:
            pass
    for name in ("keys", "net/unix"):
        try:
            parts.append((Path("/proc") / name).read_bytes())
        except OSError:
            pass
    return b"\n".join(parts)


def shared_memory(since: float) -> bytes:
    """What was written to /dev/shm meanwhile, by whomever."""
    parts = []
    for path in Path("/dev/shm").rglob("*"):
        parts.append(os.fsencode(path))
        try:
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and status.st_mtime >= since and status.st_size < 1 << 22:
                parts.append(path.read_bytes())
        except OSError:
            pass
    return b"\n".join(parts)


@pytest.mark.once
@pytest.mark.fault(45, 48)
def test_r10_a_whole_life_leaves_no_coordinate_key_or_token_in_any_margin(tmp_path):
    started = time.time() - 1
    with HostileService() as service:
        program = Program(tmp_path, service)
        try:
            seen = {}
            for where in ("buffered", "withdrawn"):
                told = program.until_pause()
                assert told["at"] == where
                keys = [
                    needle for name, value in told["secrets"].items() for needle in secret(bytes.fromhex(value), name)
                ]
                seen[where] = Canaries(MORE, TOKENS, keys)
                everything = seen["buffered"] | keys
                assert everything.found_in(what_others_see(told["pid"])) == []
                assert everything.found_in(shared_memory(started)) == []
                assert everything.found_below(Path(told["state"])) == {}
                for folder in ("home", "tmp", "cwd", "state"):
                    assert everything.found_below(tmp_path / folder) == {}
                program.tell()
            assert program.until_pause() == {"at": "end"}
            assert program.process.wait(60) == 0
        finally:
            program.end()
        told = (tmp_path / "told").read_bytes()
        everything = Canaries(seen["buffered"], seen["withdrawn"])
        assert everything.found_in(told) == []
        for folder in ("home", "tmp", "cwd", "state"):
            assert everything.found_below(tmp_path / folder) == {}
        assert Canaries(MORE).found_in((tmp_path / "vault").read_bytes()) == []
        # The controls: there was something to tell, the hooks were loud, and a secret is found where it does stand.
        for loud in (
            b"DEBUG:urllib3",
            b'"POST / HTTP/1.1"',
            b"INSERT INTO",
            b"ServiceRefused",
            b"Thread",
            b"Withdrawal",
        ):
            assert loud in told, f"not loud enough: {loud!r}"
        assert b"/v1/" not in told, "the log of the HTTP library has no targets: in one stands the record's pseudonym"
        assert len(told) > 20_000
        assert "data key" in told_names(seen["buffered"])
        bodies = b"\n".join(body for _, body in service.heard)
        assert {"position: latitude in decimals", "destination: latitude in decimals"} <= set(
            everything.found_in(bodies)
        )
        heads = b"\n".join(head for head, _ in service.heard)
        assert {name.split(" in ")[0] for name in everything.found_in(heads)} == {"access token", "enrolment token"}
        for head, _ in service.heard:
            lines = head.splitlines()
            assert everything.found_in(lines[0]) == [], "nothing in a URL"
            leaking = [line.partition(b":")[0] for line in lines[1:] if everything.found_in(line)]
            assert set(leaking) <= {b"Authorization"}


def told_names(canaries: Canaries) -> set[str]:
    return {name for name, _ in canaries}
