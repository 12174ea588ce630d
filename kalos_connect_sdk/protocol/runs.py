"""The run of a program: without a vault that lasts, consent lives as long as the process that it was given to (R9).

A lock, held until the process ends, shows others that a run is alive.
"""

from __future__ import annotations

import os
import secrets

from ..storage.directory import StateDirectory
from ..storage.locks import FileLock, Lease

__all__ = ["present_run", "runs_elsewhere"]

_runs: dict[str, tuple[str, Lease | None]] = {}
"""Per slot, this process's run and its lock."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_runs.clear)


def present_run(directory: StateDirectory) -> str:
    """The id of this process's run in a state directory."""
    if directory.slot not in _runs:
        name = secrets.token_hex(8)
        _runs[directory.slot] = (name, _lock(directory, name).try_acquire())
    return _runs[directory.slot][0]


def runs_elsewhere(directory: StateDirectory, run_id: str) -> bool:
    """Whether another program is that run, and alive."""
    return _lock(directory, run_id).held_elsewhere()


def _lock(directory: StateDirectory, run_id: str) -> FileLock:
    return FileLock(directory, f"run-{run_id}.lock")
