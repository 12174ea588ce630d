"""Every state that a power cut may leave of a directory, from the recorded operations on it (after ALICE, OSDI 2014).

What a program synced is there. Of what it did not sync, any part may be there, in any order:

- A write is safe once its file was synced after it; a name (made, removed, renamed) once its directory was. Syncing
  a file does not save its name: stricter than ext4 is.
- For every moment, and of what was not safe at that moment: nothing, everything, every beginning, every end, all but
  one, one alone; every subset of up to eight; writes torn at 512 and at 4,096 bytes; a file that has grown, with
  zeros where the data should be.
- Rows of the outbox and the page's version word are left out of the subsets (they are all there, or the rows are all
  lost): no rule rests on them, the key of the rows dies with the power, the word is compared within one boot only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from recorded_writes import Operation, Recording, Tree

__all__ = ["CrashState", "crash_states"]

_ALL_SUBSETS_OF = 8
_SECTOR = 512
_BLOCK = 4096
_VERSION_WORD = (8, 16)  # of the page: where Page.VERSION is


@dataclass(frozen=True)
class CrashState:
    """One state; ``marks`` are what the program had said before the power went."""

    tree: Tree
    marks: tuple[str, ...]
    moment: int
    """How many operations had been made."""


def crash_states(recording: Recording, moments: Container[int] | None = None) -> Iterator[CrashState]:
    """Each distinct (state, marks) once, in the order of the moments; of all ``moments``, or of some."""
    operations = recording.operations
    light = {i for i, operation in enumerate(operations) if _is_light(operation, recording, operations)}
    seen: set[bytes] = set()
    for moment in range(len(operations) + 1):
        if moments is not None and moment not in moments:
            continue
        marks = tuple(op.path for op in operations[:moment] if op.kind == "mark")
        safe, pending = _sorted_out(operations[:moment])
        heavy = [i for i in pending if i not in light]
        free = {i for i in pending if i in light}
        for kept in _subsets(heavy):
            for replaced in _torn(operations, heavy, kept):
                tree = _apply(recording.before, operations[:moment], safe | kept | free, replaced)
                if _new(tree, marks, seen):
                    yield CrashState(tree, marks, moment)
        if free:
            tree = _apply(recording.before, operations[:moment], safe | set(heavy), {})
            if _new(tree, marks, seen):
                yield CrashState(tree, marks, moment)


def _sorted_out(operations: Sequence[Operation]) -> tuple[set[int], list[int]]:
    """(what is safe, what is not) of these operations."""
    safe: set[int] = set()
    pending: list[int] = []
    synced_files: set[int] = set()
    synced_directories: set[str] = set()
    for i in range(len(operations) - 1, -1, -1):
        operation = operations[i]
        if operation.kind == "sync":
            synced_files.add(operation.file)
        elif operation.kind == "sync-names":
            synced_directories.add(operation.path)
        elif operation.kind in ("write", "truncate"):
            (safe.add if operation.file in synced_files else pending.append)(i)
        elif operation.kind in ("name", "unname", "rename"):
            (safe.add if operation.path.rpartition("/")[0] in synced_directories else pending.append)(i)
    return safe, pending[::-1]


def _is_light(operation: Operation, recording: Recording, operations: Sequence[Operation]) -> bool:
    if operation.kind != "write":
        return False
    names = {name for name, number in recording.before.names.items() if number == operation.file}
    names |= {op.path for op in operations if op.kind in ("name", "rename") and op.file == operation.file}
    if any("/outbox/" in name for name in names):
        return True
    first, last = operation.offset, operation.offset + len(operation.data)
    return any(name.endswith("/page") for name in names) and (first, last) == _VERSION_WORD


def _subsets(pending: Sequence[int]) -> Iterator[set[int]]:
    found: dict[frozenset[int], None] = {frozenset(pending): None, frozenset(): None}
    for i in range(len(pending)):
        for some in (pending[:i], pending[i:], [*pending[:i], *pending[i + 1 :]], [pending[i]]):
            found.setdefault(frozenset(some))
    if len(pending) <= _ALL_SUBSETS_OF:
        for size in range(len(pending) + 1):
            for some in combinations(pending, size):
                found.setdefault(frozenset(some))
    return (set(some) for some in found)


def _torn(
    operations: Sequence[Operation], pending: Sequence[int], kept: Iterable[int]
) -> Iterator[dict[int, list[tuple[int, bytes]]]]:
    """As they are; and, when everything is kept or everything before one, that one torn."""
    yield {}
    whole = set(kept)
    for i in whole:
        operation = operations[i]
        if operation.kind != "write" or not (whole == set(pending) or whole == {j for j in pending if j <= i}):
            continue
        for pieces in _pieces(operation):
            yield {i: pieces}


def _pieces(operation: Operation) -> Iterator[list[tuple[int, bytes]]]:
    """What may be left of one write: the length it gave the file, or some of its sectors or blocks."""
    yield []
    for size in (_SECTOR, _BLOCK):
        first = operation.offset // size * size
        cuts = [*range(first + size, operation.offset + len(operation.data), size)]
        if not cuts:
            continue
        bounds = [operation.offset, *cuts, operation.offset + len(operation.data)]
        parts = [
            (start, operation.data[start - operation.offset : end - operation.offset])
            for start, end in pairwise(bounds)
        ]
        yield parts[:1]
        yield parts[1:]
        yield parts[:-1]
        yield parts[-1:]
        yield parts[::2]
        yield parts[1::2]


def _apply(
    before: Tree, operations: Sequence[Operation], kept: set[int], replaced: dict[int, list[tuple[int, bytes]]]
) -> Tree:
    names = dict(before.names)
    files = {number: None if content is None else bytearray(content) for number, content in before.files.items()}
    for i, operation in enumerate(operations):
        if operation.kind == "name" and operation.file not in files:
            files[operation.file] = None if operation.directory else bytearray()
        if i not in kept:
            continue
        if operation.kind == "name":
            names[operation.path] = operation.file
        elif operation.kind == "unname":
            names.pop(operation.path, None)
        elif operation.kind == "rename":
            names.pop(operation.old, None)
            names[operation.path] = operation.file
        else:
            content = files[operation.file]
            assert content is not None
            if operation.kind == "truncate":
                del content[operation.offset :]
                content.extend(bytes(operation.offset - len(content)))
            for offset, data in replaced.get(i, [(operation.offset, operation.data)]) if operation.data else ():
                grown_to = operation.offset + len(operation.data)  # its length is there with any part of it
                content.extend(bytes(max(0, grown_to - len(content))))
                content[offset : offset + len(data)] = data
    return Tree(names, {number: None if content is None else bytes(content) for number, content in files.items()})


def _new(tree: Tree, marks: tuple[str, ...], seen: set[bytes]) -> bool:
    digest = hashlib.sha256(repr(marks).encode())
    for name, content in sorted(tree.contents().items()):
        digest.update(name.encode() + b"\0" + (b"dir" if content is None else hashlib.sha256(content).digest()))
    if digest.digest() in seen:
        return False
    seen.add(digest.digest())
    return True
