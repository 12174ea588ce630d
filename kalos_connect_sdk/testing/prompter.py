"""A person whose answers are written down beforehand (R12)."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..model.consent import PromptAnswer
from ..ports import PromptRequest

__all__ = ["ScriptedPrompter", "Step"]

Step = PromptAnswer | BaseException | Callable[[PromptRequest], "PromptAnswer | None"] | None
"""One step of a script: an answer, an error to raise (the prompt crashes), a function of the request, or
``None``: nothing for now, the test calls ``request.answer(...)`` later."""


class ScriptedPrompter:
    """Answers prompts in order; the last answer repeats.

    ``requests`` holds every :class:`PromptRequest` it was asked with, so that a test can see what was shown,
    answer late, or wait for ``cancelled``.
    """

    def __init__(self, *answers: Step, driver_facing: bool = True) -> None:
        """``answers``: see :data:`Step`. ``driver_facing``: false for a companion app or a desk. Raises
        ``ValueError`` without answers: nobody's silence is an answer."""
        self.driver_facing = driver_facing
        self.requests: list[PromptRequest] = []
        self._changed = threading.Condition()
        self._script: list[Step] = []
        self.will(*answers)

    def __repr__(self) -> str:
        return f"<ScriptedPrompter asked {self.asked}>"

    @property
    def asked(self) -> int:
        """How many prompts were shown."""
        return len(self.requests)

    def will(self, *answers: Step) -> None:
        """Answer like this from now on; the last one repeats."""
        if not answers:
            raise ValueError("ScriptedPrompter needs at least one answer, such as PromptAnswer.allow()")
        for answer in answers:
            if not (answer is None or isinstance(answer, (PromptAnswer, BaseException)) or callable(answer)):
                raise TypeError("an answer is a PromptAnswer, an exception, a function or None")
        with self._changed:
            self._script = list(answers)

    def ask(self, request: PromptRequest) -> PromptAnswer | None:
        """The next answer of the script."""
        with self._changed:
            step = self._script.pop(0) if len(self._script) > 1 else self._script[0]
            self.requests.append(request)
            self._changed.notify_all()
        if isinstance(step, BaseException):
            raise step
        if step is None or isinstance(step, PromptAnswer):
            return step
        return step(request)

    def wait_asked(self, count: int = 1, timeout_s: float = 10.0) -> PromptRequest:
        """Wait until ``count`` prompts were shown and return the latest. Raises ``TimeoutError``."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.requests) >= count, timeout_s):
                raise TimeoutError(f"{len(self.requests)} prompts were shown, {count} were expected")
            return self.requests[-1]
