"""Real small file systems to fill, to run out of inodes on, and to lose: tmpfs, and ext4 in a file."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

__all__ = ["Disk", "ext4", "tmpfs"]


class Disk:
    """One mounted file system."""

    def __init__(self, point: Path) -> None:
        self.point = point

    def fill(self) -> None:
        """Leave not one byte."""
        with (self.point / "fill").open("wb", buffering=0) as out:
            for size in (4096, 1):
                try:
                    while out.write(b"x" * size):
                        pass
                except OSError:
                    continue

    def use_up_inodes(self) -> None:
        """Leave not one file to make."""
        try:
            for number in range(100_000):
                (self.point / f"fill-{number}").touch()
        except OSError:
            return
        raise AssertionError("it has too many inodes")

    def empty(self) -> None:
        """Give back what was taken."""
        for path in self.point.glob("fill*"):
            path.unlink()

    def remount(self, option: str) -> None:
        """``ro``, ``rw``; or ``abort``, which is what ext4 does to itself after an error of the disk."""
        subprocess.run(["mount", "-o", f"remount,{option}", str(self.point)], check=True, capture_output=True)

    def sync(self) -> None:
        """Write everything back to the image."""
        subprocess.run(["sync", "-f", str(self.point)], check=True)


@contextmanager
def _mounted(point: Path, *command: str) -> Iterator[Disk]:
    point.mkdir(mode=0o700, exist_ok=True)
    if subprocess.run(["mount", *command, str(point)], capture_output=True, check=False).returncode != 0:
        pytest.skip("file systems cannot be mounted here")
    os.chmod(point, 0o700)
    try:
        yield Disk(point)
    finally:
        if os.path.ismount(point):
            subprocess.run(["umount", "-l", str(point)], check=True)


def tmpfs(point: Path, options: str) -> AbstractContextManager[Disk]:
    """In RAM; ``options`` such as ``size=512k`` or ``nr_inodes=40``."""
    return _mounted(point, "-t", "tmpfs", "-o", options, "none")


@contextmanager
def ext4(point: Path, image: Path, size: int = 8 << 20) -> Iterator[Disk]:
    """In the file ``image``, without room kept for root."""
    with image.open("wb") as file:
        file.truncate(size)
    made = subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", str(image)], capture_output=True, check=False)
    assert made.returncode == 0, made.stderr
    with _mounted(point, "-o", "loop", str(image)) as disk:
        yield disk
