"""R4, R9: the raw image of a file system on which positions were buffered, searched byte by byte."""

from __future__ import annotations

import random
import struct
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from small_disks import ext4

from kalos_connect_sdk import Connect, Duration, Position, PromptAnswer

POSITIONS = 400
pytestmark = pytest.mark.once


def places() -> list[tuple[float, float]]:
    """Positions in no round numbers, so that nothing finds them by chance."""
    chance = random.Random(45)
    return [(chance.uniform(50, 65), chance.uniform(20, 30)) for _ in range(POSITIONS)]


def encodings(latitude: float, longitude: float) -> Iterator[bytes]:
    """How a pair could be written down: text, floats, scaled integers; each number alone where it is long enough."""
    for value in (latitude, longitude):
        yield repr(value).encode()
        yield from (f"{value:.{digits}f}".encode() for digits in (5, 6, 7))
        yield struct.pack("<d", value)
        yield struct.pack(">d", value)
    for order in ((latitude, longitude), (longitude, latitude)):
        for end in "<>":
            yield struct.pack(end + "ff", *order)
            for scale in (10**5, 10**6, 10**7):
                yield struct.pack(end + "ii", *(round(value * scale) for value in order))
            for scale in (10**7, 10**9):
                yield struct.pack(end + "q", round(order[0] * scale))


def written(image: Path) -> bytes:
    """Every block of the image that is not empty, whatever the file system thinks of it."""
    data = image.read_bytes()
    blocks = (data[at : at + 4096] for at in range(0, len(data), 4096))
    return b"".join(block for block in blocks if block.strip(b"\0"))


def hits(image: Path, key: bytes) -> int:
    """How many of all encodings of all positions, and the key, are in it."""
    data = written(image)
    by_head: dict[bytes, list[bytes]] = defaultdict(list)
    for pattern in {pattern for place in places() for pattern in encodings(*place)} | {key, key.hex().encode()}:
        by_head[pattern[:8]].append(pattern)
    found = set()
    for at in range(len(data)):
        for pattern in by_head.get(data[at : at + 8], ()):
            if data.startswith(pattern, at):
                found.add(pattern)
    return len(found)


@pytest.mark.fault(45)
def test_r4_on_the_raw_image_there_is_no_position_and_no_key(tmp_path: Path, make: Callable[..., Connect]) -> None:
    image = tmp_path / "image"
    with ext4(tmp_path / "state", image, size=8 << 20) as disk:
        connect = make(PromptAnswer.allow(Duration.days(7)))
        assert connect.request_permission(user_action=True).granted
        for latitude, longitude in places():
            assert connect.submit(Position(latitude, longitude)).accepted
        ram = connect._opened().state.keys.read()
        assert ram is not None and ram.key is not None
        key = ram.key
        disk.sync()
        assert b"KALOSBX1" in written(image), "the rows are on it"
        assert hits(image, key) == 0, "while they are buffered"
        report = connect.withdraw()
        assert report.complete and report.dropped == POSITIONS
        connect.close()
        disk.sync()
        assert hits(image, key) == 0, "and after the drop"

        planted = disk.point / "planted"
        planted.write_bytes(b"".join(next(encodings(*place)) for place in places()) + key)
        planted.unlink()
        plain = disk.point / "plain"
        plain.write_bytes(b"".join(b"".join(encodings(*place)) for place in places()) + key + key.hex().encode())
        disk.sync()
        everything = {pattern for place in places() for pattern in encodings(*place)}
        assert hits(image, key) == len(everything) + 2, "the search finds each of them"
