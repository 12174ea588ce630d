"""A real Qt Quick scene with the consent prompt in it, off any screen, and a person's hands and eyes on it."""

from __future__ import annotations

import dataclasses
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("QT_QUICK_BACKEND", "software")

from PySide6.QtCore import QPoint, QPointF, QRect, Qt, qInstallMessageHandler
from PySide6.QtGui import QFont, QFontMetricsF, QGuiApplication, QImage
from PySide6.QtQml import QQmlApplicationEngine
from PySide6.QtQuick import QQuickItem, QQuickWindow
from PySide6.QtTest import QTest

from kalos_connect_sdk import PromptAnswer, PromptRequest
from kalos_connect_sdk.prompts.qml import QmlPrompter, import_path

Key = Qt.Key
SCENE = """
import QtQuick
import KalosConnect
Window {
    id: window
    required property QtObject prompter
    required property real textScale
    visible: true
    FocusScope { // what the app shows, and where its focus was
        objectName: "app"; anchors.fill: parent; focus: true
        property int clicks: 0
        MouseArea { anchors.fill: parent; onClicked: parent.clicks += 1 }
    }
    ConsentPrompt {
        objectName: "prompt"; anchors.fill: parent; prompter: window.prompter; textScale: window.textScale
    }
}
"""


@contextmanager
def application() -> Iterator[list[str]]:
    """The Qt application; yields what Qt and QML complain about."""
    complaints: list[str] = []
    qInstallMessageHandler(lambda kind, context, text: complaints.append(text))
    app = QGuiApplication(["tests"])
    font = QFont()
    font.setFamilies(["Noto Sans", "Noto Sans CJK SC", "Noto Sans Arabic"])
    app.setFont(font)
    yield complaints
    qInstallMessageHandler(None)
    app.shutdown()


class Scene:
    """A window of a size, with one prompt."""

    def __init__(self, width: int = 1280, height: int = 720, *, text_scale: float = 1.0, **options: Any) -> None:
        self.prompter = QmlPrompter(**options)
        self.engine: QQmlApplicationEngine | None = QQmlApplicationEngine()
        self.engine.addImportPath(import_path())
        self.engine.setInitialProperties({"prompter": self.prompter, "textScale": text_scale})
        self.engine.loadData(SCENE.encode())
        self.window: QQuickWindow = self.engine.rootObjects()[0]
        self.window.resize(width, height)
        self.until(lambda: self.window.isActive() and self.app.hasActiveFocus(), "the window is not active")
        self.answers: queue.Queue[PromptAnswer] = queue.Queue()
        self.errors: list[BaseException] = []
        self._threads: list[threading.Thread] = []

    def ask(self, request: PromptRequest, *, shown: bool = True) -> PromptRequest:
        """As the SDK asks: on a thread of its own. Waits until a person can see it."""
        request = dataclasses.replace(request, _answer=self.answers.put)

        def run() -> None:
            try:
                assert self.prompter.ask(request) is None
            except RuntimeError as error:
                self.errors.append(error)

        self._threads.append(threading.Thread(target=run))
        self._threads[-1].start()
        if shown:
            self.until(lambda: not self._threads[-1].is_alive())
            self.settle()
        return request

    def until(self, true: Callable[[], Any], what: str = "") -> None:
        deadline = time.monotonic() + 20
        while not true():
            assert time.monotonic() < deadline, what or "it never came"
            QTest.qWait(1)

    def settle(self) -> None:
        for _ in range(5):
            QGuiApplication.processEvents()

    def answer(self) -> PromptAnswer:
        self.until(lambda: not self.answers.empty(), "unanswered")
        return self.answers.get()

    # -- what is there --------------------------------------------------------------------------------

    @property
    def prompt(self) -> QQuickItem:
        return self.window.findChild(QQuickItem, "prompt")

    @property
    def app(self) -> QQuickItem:
        return self.window.findChild(QQuickItem, "app")

    def items(self, kind: str) -> list[QQuickItem]:
        """The visible items of a QML type, in the order they were made."""

        def below(item: QQuickItem) -> Iterator[QQuickItem]:
            for child in item.childItems():
                if child.isVisible():
                    yield child
                    yield from below(child)

        return [item for item in below(self.prompt) if item.metaObject().className().split("_QML")[0] == kind]

    @property
    def allow(self) -> QQuickItem:
        return self.items("PushButton")[-2]

    @property
    def deny(self) -> QQuickItem:
        return self.items("PushButton")[-1]

    @property
    def more(self) -> QQuickItem:
        return self.items("PushButton")[0]

    def choice(self, label: str) -> QQuickItem:
        return next(item for item in self.items("Choice") if item.property("label") == label)

    def chosen(self) -> list[str]:
        return [item.property("label") for item in self.items("Choice") if item.property("chosen")]

    def texts(self) -> list[str]:
        return [item.property("text") for item in self.items("Words")]

    def focused(self) -> str:
        """The label, or else the text, of what has the focus."""
        item = self.window.activeFocusItem()
        return item.property("label") or item.property("text") or item.objectName()

    def box(self, item: QQuickItem) -> QRect:
        """Where an item is in the window."""
        corner = item.mapToScene(QPointF(0, 0))
        return QRect(round(corner.x()), round(corner.y()), round(item.width()), round(item.height()))

    @property
    def scroll(self) -> QQuickItem:
        return next(item for item in self.items("QQuickFlickable"))

    # -- what a person does -----------------------------------------------------------------------------

    def press(self, *keys: Qt.Key) -> None:
        for key in keys:
            QTest.keyClick(self.window, key)

    def touch(self, item: QQuickItem) -> None:
        """A finger's press in the middle of an item, after it was brought on the screen."""
        scroll, box = self.scroll, self.box(item)
        away = max(0, box.bottom() - round(scroll.height())) + min(0, box.top())
        if item not in (self.allow, self.deny) and away:
            scroll.setProperty("contentY", scroll.property("contentY") + away)
        self.press_at(self.box(item).center())

    def press_at(self, point: QPoint) -> None:
        QTest.mouseClick(self.window, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, point)

    def picture(self) -> QImage:
        self.settle()
        return self.window.grabWindow()

    def close(self) -> None:
        self.prompter.dismiss_all()
        for thread in self._threads:
            self.until(lambda thread=thread: not thread.is_alive(), "an ask never came back")
        if self.engine is not None:
            self.engine.deleteLater()
        self.settle()


def width(item: QQuickItem, text: str) -> float:
    """Of a text as it is written, in an item's letters."""
    return QFontMetricsF(item.property("font")).horizontalAdvance(text)


def light(image: QImage, x: int, y: int) -> float:
    """Relative luminance of a pixel (WCAG 2)."""
    colour = image.pixelColor(x, y)
    parts = [value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4 for value in colour.getRgbF()[:3]]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(image: QImage, box: QRect) -> float:
    """Between the lightest and the darkest pixel of a box."""
    seen = {image.pixel(x, y): (x, y) for x in range(box.left(), box.right()) for y in range(box.top(), box.bottom())}
    lights = [light(image, *place) for place in seen.values()]
    return (max(lights) + 0.05) / (min(lights) + 0.05)
