"""What belongs to one process: it is neither pickled nor copied, and a forked child's copy begins anew (R3)."""

from __future__ import annotations

import os
import weakref
from abc import ABC, abstractmethod
from typing import NoReturn

__all__ = ["OneProcess", "living"]

_living: weakref.WeakSet[OneProcess] = weakref.WeakSet()


class OneProcess(ABC):
    """A base for what holds locks, threads, sockets or keys."""

    def __init__(self) -> None:
        _living.add(self)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} belongs to its process: it cannot be pickled or copied")

    @abstractmethod
    def _after_fork(self) -> None:
        """In a forked child, before anything else of it runs. Nothing of the parent's may be used or closed."""


def living() -> list[OneProcess]:
    """Everything of the kind that this process still holds."""
    return list(_living)


def _in_child() -> None:
    for each in living():
        each._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
