"""What a program really did to the files below one directory, in order, as the kernel saw it (strace).

Names and contents are kept apart, as file systems do: a write belongs to a file whatever it is called, a name is
an entry of its directory. So a power cut can lose either without the other.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Operation", "Recording", "Tree", "record"]

_CALLS = (
    "openat,open,creat,mkdir,mkdirat,rmdir,pwrite64,pwritev,pwritev2,write,writev,readv,ftruncate,truncate,fallocate,"
    "fsync,fdatasync,unlink,unlinkat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,msync,copy_file_range,"
    "sendto,recvfrom"
)
_CALL = re.compile(r"(\w+)\((.*)\)\s+= (-?\d+)")
_HEX = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_PATH_OF_FD = re.compile(r"\d+<([^>]*)>")
_MARK = b"MARK "


@dataclass(frozen=True)
class Operation:
    """One step. ``kind``: write, truncate, sync, name, unname, rename, sync-names or mark."""

    kind: str
    file: int = -1
    """The file's number (write, truncate, sync, name, unname, rename)."""
    path: str = ""
    """The name below the directory (name, unname; the new one of rename); the directory of sync-names; a mark's text."""
    old: str = ""
    """rename: the name it had."""
    directory: bool = False
    """name: it is a directory."""
    offset: int = 0
    """write: where; truncate: the size."""
    data: bytes = field(default=b"", repr=False)


@dataclass
class Tree:
    """The content of a directory: names (relative) to file numbers, file numbers to contents (None: a directory)."""

    names: dict[str, int]
    files: dict[int, bytes | None]

    @classmethod
    def read(cls, root: Path) -> Tree:
        """As it is on disk now."""
        names: dict[str, int] = {}
        files: dict[int, bytes | None] = {}
        known: dict[int, int] = {}
        for path in sorted(root.rglob("*")):
            number = known.setdefault(path.stat().st_ino, len(files))
            names[str(path.relative_to(root))] = number
            files[number] = None if path.is_dir() else path.read_bytes()
        return cls(names, files)

    def contents(self) -> dict[str, bytes | None]:
        """Name -> content; None for a directory."""
        return {name: self.files[number] for name, number in self.names.items()}

    def write(self, root: Path) -> None:
        """Make ``root``, which is empty, hold this; 0700 and 0600. A name whose directory is not there is not there."""
        made: dict[int, Path] = {}
        for name in sorted(self.names):
            path, content = root / name, self.files[self.names[name]]
            if not path.parent.is_dir():
                continue
            if content is None:
                path.mkdir(0o700)
            elif self.names[name] in made:
                os.link(made[self.names[name]], path)
            else:
                made[self.names[name]] = path
                with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(content)


@dataclass
class Recording:
    """``before``: the directory as it was; ``operations``: what was done to it, and the marks between."""

    before: Tree
    operations: list[Operation]


def record(root: Path, command: Sequence[str], log: Path) -> Recording:
    """Run ``command`` under strace and read off what it did below ``root``.

    A line ``MARK text`` that it writes to its standard error becomes a mark; so does the answer to a withdrawal
    notice (``answered``). Raises ``AssertionError`` when it fails or does what a recording cannot show.
    """
    before = Tree.read(root)
    traced = subprocess.run(
        [
            "strace",
            "-f",
            "-qq",
            "-y",
            "-xx",
            "-s",
            "1000000",
            "--seccomp-bpf",
            "-o",
            str(log),
            "-e",
            f"trace={_CALLS}",
            *command,
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert traced.returncode == 0, traced.stderr[-2000:]
    reader = _Reader(str(root), Tree(dict(before.names), dict(before.files)))
    for name, arguments, result in _calls(log):
        reader.take(name, arguments, result)
    live = Tree.read(root)
    assert reader.tree.contents() == live.contents(), "the recording missed something, a store through a mapping maybe"
    return Recording(before, reader.operations)


def _calls(log: Path) -> Iterator[tuple[str, str, int]]:
    """(call, arguments, result) in the order in which the calls returned; those that failed are left out."""
    begun: dict[str, str] = {}
    for line in log.read_text("ascii").splitlines():
        thread, _, rest = line.partition(" ")
        rest = rest.strip()
        if rest.endswith("<unfinished ...>"):
            begun[thread] = rest.removesuffix("<unfinished ...>").rstrip()
            continue
        if rest.startswith("<... "):
            rest = begun.pop(thread) + rest.partition(" resumed>")[2]
        found = _CALL.match(rest)
        if found and int(found[3]) >= 0:
            yield found[1], found[2], int(found[3])


class _Reader:
    """Turns system calls into operations, with the names as they are at each moment."""

    def __init__(self, root: str, tree: Tree) -> None:
        self._root = root
        self.tree = tree
        self.operations: list[Operation] = []
        self._asked: set[str] = set()

    def take(self, call: str, arguments: str, result: int) -> None:
        texts = [bytes.fromhex(text.replace("\\x", "")) for text in _HEX.findall(arguments)]
        if call in ("open", "openat", "creat"):
            path = self._inside(texts[0].decode())
            flags = arguments.rpartition('"')[2]
            if path and "O_CREAT" in flags and path not in self.tree.names:
                self._name(path, directory=False)
            assert not (path and "O_TRUNC" in flags), "truncated by opening: not modelled"
        elif call in ("mkdir", "mkdirat"):
            if path := self._inside(texts[0].decode()):
                self._name(path, directory=True)
        elif call in ("unlink", "unlinkat", "rmdir"):
            if path := self._inside(texts[0].decode()):
                self.operations.append(Operation("unname", self.tree.names.pop(path), path))
        elif call in ("link", "linkat"):
            old, new = (self._inside(text.decode()) for text in texts[:2])
            if old and new:
                self.tree.names[new] = self.tree.names[old]
                self.operations.append(Operation("name", self.tree.names[new], new))
        elif call in ("rename", "renameat", "renameat2"):
            old, new = (self._inside(text.decode()) for text in texts[:2])
            if old and new:
                self.tree.names[new] = self.tree.names.pop(old)
                self.operations.append(Operation("rename", self.tree.names[new], new, old))
        elif call in ("sendto", "recvfrom"):
            self._conversation(call, arguments, texts)
        else:
            self._on_descriptor(call, arguments, texts, result)

    def _on_descriptor(self, call: str, arguments: str, texts: list[bytes], result: int) -> None:
        found = _PATH_OF_FD.match(arguments)
        where = bytes.fromhex(found[1].replace("\\x", "")).decode() if found and found[1].startswith("\\x") else ""
        if call == "write" and texts and texts[0].startswith(_MARK):
            self.operations.append(Operation("mark", path=texts[0].decode().removeprefix("MARK ").strip()))
            return
        path = self._inside(where)
        if path is None or (path and path not in self.tree.names):
            return  # elsewhere, or a file that has no name any more
        if call in ("fsync", "fdatasync"):
            number = self.tree.names.get(path, -1)
            directory = path == "" or self.tree.files[number] is None
            self.operations.append(Operation("sync-names", path=path) if directory else Operation("sync", number))
            return
        number = self.tree.names[path]
        if call == "pwrite64":
            self._write(number, int(arguments.rpartition(", ")[2]), texts[0][:result])
        elif call == "write":
            self._write(number, len(self.tree.files[number] or b""), texts[0][:result])  # all of ours append
        elif call == "ftruncate":
            self.operations.append(Operation("truncate", number, offset=int(arguments.rpartition(", ")[2])))
            content = self.tree.files[number] or b""
            size = self.operations[-1].offset
            self.tree.files[number] = content[:size].ljust(size, b"\0")
        else:
            raise AssertionError(f"{call} on {path}: not modelled")

    def _write(self, number: int, offset: int, data: bytes) -> None:
        content = self.tree.files[number] or b""
        self.tree.files[number] = content[:offset].ljust(offset, b"\0") + data + content[offset + len(data) :]
        self.operations.append(Operation("write", number, offset=offset, data=data))

    def _name(self, path: str, *, directory: bool) -> None:
        number = len(self.tree.files)
        self.tree.names[path] = number
        self.tree.files[number] = None if directory else b""
        self.operations.append(Operation("name", number, path, directory=directory))

    def _conversation(self, call: str, arguments: str, texts: list[bytes]) -> None:
        descriptor = arguments.partition("<")[0]
        if call == "sendto" and texts and b"/withdrawals HTTP/1.1" in texts[0]:
            self._asked.add(descriptor)
        elif call == "recvfrom" and descriptor in self._asked and texts and texts[0].startswith(b"HTTP/1.1 200"):
            self._asked.discard(descriptor)
            self.operations.append(Operation("mark", path="answered"))

    def _inside(self, path: str) -> str | None:
        """The name below the root, "" for the root itself, None for elsewhere."""
        if path == self._root:
            return ""
        return path[len(self._root) + 1 :] if path.startswith(self._root + "/") else None
