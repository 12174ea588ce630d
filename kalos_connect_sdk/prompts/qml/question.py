"""A question as QML sees it: what to show, and the ways to answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from PySide6.QtCore import Property, QObject, Slot

from ...model.consent import PromptAnswer
from .content import content_of, precisions_of
from .pending import Pending

__all__ = ["Question"]

_UNHEARD_MS: Final = 500
"""R12: a tap in this time was aimed at what was there before, such as the second of two on the question in front."""


class Question(QObject):
    """Lives on the GUI thread. Choices are told by their number, as they were offered."""

    def __init__(self, pending: Pending, code: str, answered: Callable[[], None], parent: QObject) -> None:
        super().__init__(parent)
        self.pending = pending
        self._answered = answered
        self._content = content_of(pending.request, code)

    @Property("QVariantMap", constant=True)
    def content(self) -> dict[str, Any]:
        return self._content

    @Property(int, constant=True)
    def unheardMs(self) -> int:
        return _UNHEARD_MS

    @Slot()
    def seen(self) -> None:
        self.pending.seen.set()

    @Slot(int, int)
    def allow(self, duration: int, precision: int) -> None:
        request = self.pending.request
        self._answer(PromptAnswer.allow(request.durations[duration], precisions_of(request)[precision]))

    @Slot()
    def deny(self) -> None:
        self._answer(PromptAnswer.deny())

    @Slot()
    def dismiss(self) -> None:
        self._answer(PromptAnswer.dismiss())

    def _answer(self, answer: PromptAnswer) -> None:
        self.pending.resolve(answer)
        self._answered()
