"""Draw the QML prompt for the manual: ``python tools/pictures_qml.py`` writes docs/pictures/qml-*.png.

Needs the extras ``qt`` and ``web``, and the Noto fonts. Draws off any screen, with the software renderer. Also prints
the table of docs/qml.md: sizes measured in the scene, in dp.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter
from pathlib import Path

os.environ["QT_QPA_PLATFORM"] = "offscreen"
os.environ["QT_QUICK_BACKEND"] = "software"

from PySide6.QtCore import Qt
from PySide6.QtGui import QFont, QGuiApplication, QImage
from PySide6.QtQml import QQmlApplicationEngine
from PySide6.QtQuick import QQuickItem, QQuickWindow

from kalos_connect_sdk import Duration, Precision, PromptRequest, Purpose
from kalos_connect_sdk.core.notices.default import DEFAULT_NOTICE
from kalos_connect_sdk.prompts.qml import QmlPrompter, import_path

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
SCENE = b"""
import QtQuick
import KalosConnect
Window {
    id: window
    required property QtObject prompter
    visible: true
    ConsentPrompt { anchors.fill: parent; prompter: window.prompter }
}
"""
WANTED = [("en", "day", 1280, 720), ("zh-CN", "night", 1280, 720), ("ar", "day", 1280, 720), ("en", "night", 800, 480)]


def request_in(locale: str) -> PromptRequest:
    return PromptRequest(
        purpose=Purpose.NAVIGATION,
        precision=Precision.PRECISE,
        notice=DEFAULT_NOTICE,
        text=DEFAULT_NOTICE.text(locale),
        durations=(Duration.THIS_DRIVE, Duration.days(7), Duration.UNTIL_WITHDRAWN),
        deadline=time.monotonic() + 60,
        cancelled=threading.Event(),
        service_origin="https://connect.example.com",
        _answer=lambda answer: None,
    )


def draw(locale: str, theme: str, width: int, height: int) -> None:
    """One picture, and the sizes on it."""
    prompter = QmlPrompter(theme=theme)
    engine = QQmlApplicationEngine()
    engine.addImportPath(import_path())
    engine.setInitialProperties({"prompter": prompter})
    engine.loadData(SCENE)
    window: QQuickWindow = engine.rootObjects()[0]
    window.resize(width, height)
    asking = threading.Thread(target=prompter.ask, args=(request_in(locale),))
    asking.start()
    while asking.is_alive():
        QGuiApplication.processEvents()
    for _ in range(10):
        QGuiApplication.processEvents()
    path = PICTURES / f"qml-{locale}-{theme}-{width}.png"
    # Few colours are enough, and small in a repository.
    fewer_colours(window.grabWindow()).save(str(path))
    sizes = {
        kind: sorted({f"{item.width():.0f} x {item.height():.0f}" for item in items(window.contentItem(), kind)})
        for kind in ("PushButton", "Choice")
    }
    sys.stdout.write(f"{path.name}, {path.stat().st_size} bytes: {sizes}\n")
    prompter.dismiss_all()
    engine.deleteLater()
    for _ in range(10):
        QGuiApplication.processEvents()


def fewer_colours(image: QImage) -> QImage:
    """The same with its 256 most frequent colours: small in a repository, and true."""
    image = image.convertToFormat(QImage.Format.Format_RGB32)
    table = [colour for colour, _ in Counter(memoryview(image.constBits()).cast("I")).most_common(256)]
    plain = Qt.ImageConversionFlag.ThresholdDither | Qt.ImageConversionFlag.AvoidDither
    return image.convertToFormat(QImage.Format.Format_Indexed8, table, plain)


def items(item: QQuickItem, kind: str) -> list[QQuickItem]:
    """Those of a QML type, below ``item``."""
    found = [child for child in item.childItems() if child.metaObject().className().startswith(kind + "_")]
    return found + [below for child in item.childItems() for below in items(child, kind)]


if __name__ == "__main__":
    app = QGuiApplication(sys.argv)
    font = QFont()
    font.setFamilies(["Noto Sans", "Noto Sans CJK SC", "Noto Sans Arabic"])
    app.setFont(font)
    PICTURES.mkdir(exist_ok=True)
    for one in WANTED:
        draw(*one)
