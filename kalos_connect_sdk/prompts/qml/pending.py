"""One question between two threads: the SDK's, which asks, and the GUI's, which shows and answers. No Qt in here."""

from __future__ import annotations

import threading
import time

from ...model.consent import PromptAnswer
from ...ports import PromptRequest

__all__ = ["Pending"]


class Pending:
    """Resolves its request once, from whichever thread comes first."""

    def __init__(self, request: PromptRequest) -> None:
        self.request = request
        self.seen = threading.Event()
        """A person can see it."""
        self.behind = False
        """It waits for another question to go."""
        self._over = False
        self._lock = threading.Lock()

    @property
    def closed(self) -> bool:
        """It was answered, cancelled, or its time is up."""
        return self._over or self.request.cancelled.is_set() or time.monotonic() >= self.request.deadline

    def resolve(self, answer: PromptAnswer) -> None:
        """Only the first answer counts, and an Allow after the end is none (R11)."""
        with self._lock:
            closed, over, self._over = self.closed, self._over, True
        if not over:
            self.request.answer(PromptAnswer.dismiss() if closed else answer)
