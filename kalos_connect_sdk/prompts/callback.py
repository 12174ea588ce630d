"""A prompter around one function: for apps whose user interface has a way of its own to ask.

The function must render ``request.text`` verbatim (R14) and give Allow and Don't allow the same weight (R12).
"""

from __future__ import annotations

from collections.abc import Callable

from ..model.consent import PromptAnswer
from ..ports import PromptRequest

__all__ = ["CallbackPrompter"]


class CallbackPrompter:
    """Hands every request to ``ask``, on an SDK thread.

    ``ask`` returns the answer, or ``None`` and calls ``request.answer(...)`` later from any thread; it closes
    what it shows when ``request.cancelled`` is set. ``driver_facing=False`` says that no driver can see it.
    """

    __slots__ = ("_ask", "driver_facing")

    def __init__(self, ask: Callable[[PromptRequest], PromptAnswer | None], *, driver_facing: bool = True) -> None:
        self._ask = ask
        self.driver_facing = driver_facing

    def ask(self, request: PromptRequest) -> PromptAnswer | None:
        """What the function answers; an exception of it counts as a prompt that failed."""
        return self._ask(request)
