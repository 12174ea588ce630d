"""Asks in an app's own QML scene.

The SDK asks on a thread of its own; the question crosses to the GUI thread by a queued signal, and the answer goes
back through ``request.answer``. Questions are shown one after the other.

R11  A question goes from the screen within a moment of ``request.cancelled``, and an Allow after that is void.
R12  It always resolves: by an answer, at its deadline, when its window is closed, when the scene, the engine or this
     object is destroyed, when the app quits. One that no ``ConsentPrompt`` shows counts as a prompt that failed.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from PySide6.QtCore import Property, QCoreApplication, QObject, Qt, QThread, QTimer, Signal, Slot
from shiboken6 import isValid

from ...model.consent import PromptAnswer
from ...ports import PromptRequest
from ..policy import policy_code
from .pending import Pending
from .question import Question

__all__ = ["THEMES", "QmlPrompter"]

THEMES: Final = ("auto", "day", "night")
_LOOK_MS: Final = 50
_SHOWN_WITHIN_S: Final = 5.0


class QmlPrompter(QObject):
    """A :class:`~kalos_connect_sdk.Prompter` for the ``ConsentPrompt`` of the QML module ``KalosConnect``.

    Make it on the GUI thread, after the application object. ``driver_facing``: false on a screen that no driver sees.
    ``theme``: ``auto`` (what the system prefers), ``day`` or ``night``; :attr:`theme` may change at any time.
    ``policy_url``: shown as a QR code below the full text, when the extra ``web`` is installed.
    """

    questionChanged = Signal()
    themeChanged = Signal()
    _asked = Signal(object)

    def __init__(self, *, driver_facing: bool = True, theme: str = "auto", policy_url: str | None = None) -> None:
        app = QCoreApplication.instance()
        if app is None or QThread.currentThread() is not app.thread():
            raise RuntimeError("make a QmlPrompter on the GUI thread, after QGuiApplication")
        super().__init__()
        self.driver_facing = driver_facing
        self._theme = _known(theme)
        self._code = "" if policy_url is None else policy_code(policy_url).png_data_uri(scale=4)
        self._waiting: list[Pending] = []
        self._question: Question | None = None
        self._watch = QTimer(self, interval=_LOOK_MS)
        self._watch.timeout.connect(self.look)
        self._asked.connect(self._take, Qt.ConnectionType.QueuedConnection)
        self.destroyed.connect(partial(_dismiss, self._waiting))
        app.aboutToQuit.connect(self.dismiss_all)

    def ask(self, request: PromptRequest) -> None:
        """Put the question on the screen; its answer comes through ``request.answer``."""
        pending = Pending(request)
        if not isValid(self):
            raise RuntimeError("the QmlPrompter was destroyed; nothing can be asked any more")
        self._asked.emit(pending)
        waited_s, step_s = 0.0, _LOOK_MS / 1000
        while not pending.seen.wait(step_s) and not pending.closed:
            waited_s = 0.0 if pending.behind else waited_s + step_s
            if waited_s > _SHOWN_WITHIN_S:
                pending.resolve(PromptAnswer.dismiss())
                raise RuntimeError(
                    "no visible ConsentPrompt showed the question; is there one with this prompter, in a window that"
                    " is shown, and is the GUI thread free? On it, use request_permission_future()"
                )
        return

    @Slot()
    def dismiss_all(self) -> None:
        """Close every open question without an answer. On the GUI thread."""
        _dismiss(self._waiting)
        self.look()

    @Property(QObject, notify=questionChanged)
    def question(self) -> Question | None:
        return self._question

    def _get_theme(self) -> str:
        return self._theme

    def _set_theme(self, theme: str) -> None:
        self._theme = _known(theme)
        self.themeChanged.emit()

    theme = Property(str, _get_theme, _set_theme, notify=themeChanged)

    def _take(self, pending: Pending) -> None:
        self._waiting.append(pending)
        self._watch.start()
        self.look()

    def look(self) -> None:
        """Take away what is over, show what is next. On the GUI thread."""
        if not isValid(self):  # everything is being taken down
            return
        for pending in [one for one in self._waiting if one.closed]:
            pending.resolve(PromptAnswer.dismiss())
            self._waiting.remove(pending)
        for place, pending in enumerate(self._waiting):
            pending.behind = place > 0
        first = self._waiting[0] if self._waiting else None
        if first is None:
            self._watch.stop()
        if (self._question.pending if self._question else None) is first:
            return
        # The last one goes with this object: deleted by itself it could outlive its engine, which Qt does not survive.
        self._question = Question(first, self._code, self.look, self) if first else None
        self.questionChanged.emit()


def _known(theme: str) -> str:
    if theme not in THEMES:
        raise ValueError(f"theme must be one of: {', '.join(THEMES)}")
    return theme


def _dismiss(waiting: list[Pending], *_: object) -> None:
    for pending in list(waiting):
        pending.resolve(PromptAnswer.dismiss())
