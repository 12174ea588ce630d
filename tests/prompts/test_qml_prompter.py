"""The QML prompt in a real Qt Quick scene: reachable, readable, alike; measured in the scene, not assumed (R12)."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from html import escape
from typing import Any

import pytest
from web_questions import request_in

from kalos_connect_sdk import (
    Duration,
    PermissionState,
    Precision,
    PromptAnswer,
    Prompter,
    PromptRequest,
    Purpose,
    Reason,
)
from kalos_connect_sdk.core.notices.default import DEFAULT_NOTICE
from kalos_connect_sdk.prompts.web.document import prompt_document
from kalos_connect_sdk.testing import FakeVehicle

first = pytest.mark.first
SCREENS = {"head-unit": (800, 480), "wide": (1280, 720), "very-wide": (1920, 720)}
LOCALES = [text.locale for text in DEFAULT_NOTICE.texts]
SIZES = [(screen, scale) for screen in SCREENS for scale in (1.0, 2.0)]


@pytest.fixture(scope="module")
def qt() -> Iterator[Any]:
    """The Qt application of this module, and what it complains about."""
    pytest.importorskip("PySide6.QtQuick", reason="PySide6 is not installed")
    import qml_scene

    from kalos_connect_sdk.prompts.qml import question

    with qml_scene.application() as complaints, pytest.MonkeyPatch.context() as patch:
        patch.setattr(question, "_UNHEARD_MS", 0)  # a finger here is quicker than any, and knows what it aims at
        qml_scene.complaints = complaints
        yield qml_scene


@pytest.fixture
def show(qt: Any) -> Iterator[Callable[..., Any]]:
    """A scene with a question in it; whatever Qt complains about fails the test."""
    scenes = []

    def open_scene(
        screen: str = "wide", locale: str = "en", *, request: PromptRequest | None = None, **options: Any
    ) -> Any:
        scene = qt.Scene(*SCREENS[screen], **options)
        scenes.append(scene)
        scene.request = scene.ask(request or request_in(locale))
        return scene

    yield open_scene
    for scene in scenes:
        scene.close()
    complaints, qt.complaints[:] = [*qt.complaints], []
    assert not complaints


# -- what is shown -------------------------------------------------------------------------------


@first
@pytest.mark.parametrize(("screen", "scale"), SIZES)
@pytest.mark.parametrize("locale", LOCALES)
def test_r12_both_answers_are_in_sight_alike_and_large_on_every_screen(show, locale, screen, scale):
    scene = show(screen, locale, text_scale=scale)
    width, height = SCREENS[screen]
    allow, deny = scene.box(scene.allow), scene.box(scene.deny)
    assert allow.size() == deny.size() and allow.top() == deny.top()
    for box in (allow, deny):
        assert box.width() >= 76 and box.height() >= 76
        assert box.left() >= 0 and box.right() <= width and box.bottom() <= height
    assert (allow.left() > deny.left()) == (locale == "ar")
    for item in [*scene.items("Choice"), scene.more]:
        assert scene.box(item).width() >= 76 and scene.box(item).height() >= 76
    for item in scene.items("Words"):
        box = scene.box(item)
        assert box.left() >= 0 and box.right() <= width, "nothing runs out to the side"
        assert item.property("contentWidth") <= item.width() + 1, item.property("text")
        assert item.property("font").pixelSize() >= 24 * scale
    assert scene.items("Words")[0].property("font").pixelSize() == 32 * scale


@first
@pytest.mark.parametrize("locale", LOCALES)
def test_r14_the_same_words_as_the_page_in_the_same_order(show, locale):
    scene = show(locale=locale, policy_url="https://example.com/policy")
    scene.touch(scene.more)
    page = prompt_document(scene.request, "key", theme="day", code="data:,")
    page, answers = page[page.index("<main>") :].split("<footer")
    said = [text.removeprefix("− ") for text in scene.texts()]
    place = 0
    for text in said[:-2]:
        place = page.index(escape(text), place) + 1
    for text in said[-2:]:
        answers = answers[answers.index(escape(text)) :]
    assert page.count("<p>") == len(scene.request.text.full.strip().split("\n\n")) + 5


@first
def test_r14_a_notice_is_never_taken_for_markup(show, qt):
    text = dataclasses.replace(DEFAULT_NOTICE.text("en"), title="<b>A</b> &amp; <img src=x>", who="# <i>who</i>")
    scene = show(request=request_in(text=text))
    assert scene.texts()[:2] == [text.title, text.who]
    for item, written in zip(scene.items("Words"), (text.title, text.who), strict=False):
        assert item.property("implicitWidth") == pytest.approx(qt.width(item, written), abs=2)


@first
@pytest.mark.parametrize("theme", ["day", "night"])
def test_every_text_stands_out_by_day_and_by_night(show, qt, theme):
    scene = show(theme=theme)
    found = {}
    for page in (0, 200):
        scene.scroll.setProperty("contentY", page)
        image = scene.picture()
        assert image.pixelColor(2, 2).name() == ("#0d1116" if theme == "night" else "#ffffff")
        for item in scene.items("Words"):
            box = scene.box(item)
            if box.top() >= 0 and (
                box.bottom() < scene.scroll.height() or item.parentItem() in (scene.allow, scene.deny)
            ):
                found[item.property("text")] = qt.contrast(image, box)
    assert len(found) == len(scene.texts())
    assert min(found.values()) >= 4.5, found


@first
def test_r12_the_two_answers_are_painted_alike(show):
    scene = show()
    image, allow, deny = scene.picture(), scene.box(scene.allow), scene.box(scene.deny)
    for dx, dy in ((1, 38), (40, 8), (allow.width() - 2, 38), (allow.width() // 2, 74), (20, 40)):
        assert image.pixel(allow.left() + dx, allow.top() + dy) == image.pixel(deny.left() + dx, deny.top() + dy)
    label, other = (button.childItems()[1] for button in (scene.allow, scene.deny))
    assert label.property("font") == other.property("font") and label.property("color") == other.property("color")


@first
def test_the_theme_follows_the_car_while_the_question_is_open(show):
    scene = show(theme="day")
    scene.prompter.theme = "night"
    assert scene.picture().pixelColor(2, 2).name() == "#0d1116"
    with pytest.raises(ValueError, match="auto, day, night"):
        scene.prompter.theme = "dusk"


@first
def test_nothing_moves(show):
    scene = show()
    before = scene.picture()
    deadline = time.monotonic() + 0.3
    scene.until(lambda: time.monotonic() > deadline)
    assert scene.picture() == before


@first
def test_the_full_text_and_the_code_are_one_step_away(show):
    scene = show(policy_url="https://example.com/policy")
    assert not any("Your rights." in text for text in scene.texts())
    scene.touch(scene.more)
    assert any(text.startswith("Your rights.") for text in scene.texts())
    (code,) = scene.items("QQuickImage")
    scene.until(lambda: code.property("sourceSize").width() > 0)
    assert scene.box(code).width() == scene.box(code).height() >= 150
    scene.touch(scene.more)
    assert not scene.items("QQuickImage")


@first
def test_a_screen_reader_hears_questions_choices_and_answers(show):
    from PySide6.QtGui import QAccessible

    QAccessible.setActive(True)
    scene = show()
    role = QAccessible.Role
    heard = {}
    for kind in ("Words", "Choices", "Choice", "PushButton", "ConsentPage"):
        for item in scene.items(kind):
            face = QAccessible.queryAccessibleInterface(item)
            if face is not None and face.isValid():
                heard[face.text(QAccessible.Text.Name)] = (face.role(), face.state().checked, face.state().focusable)
    assert heard["How long?"][0] == role.Grouping
    assert heard["This drive"] == (role.RadioButton, 1, 1) and heard["7 days"] == (role.RadioButton, 0, 1)
    assert heard["Allow"][0] == heard["Don’t allow"][0] == heard["the full text"][0] == role.Button
    assert heard[scene.request.text.what][0] == role.StaticText


# -- answering -----------------------------------------------------------------------------------


@first
def test_a_finger_allows(show):
    scene = show("head-unit")
    scene.touch(scene.choice("7 days"))
    scene.touch(scene.choice("Approximate, an area of several square kilometres"))
    assert scene.chosen() == ["7 days", "Approximate, an area of several square kilometres"]
    scene.touch(scene.allow)
    assert scene.answer() == PromptAnswer.allow(Duration.days(7), Precision.APPROXIMATE)
    assert not scene.prompt.isVisible()


@first
def test_one_tap_refuses(show):
    scene = show()
    scene.touch(scene.deny)
    assert scene.answer() == PromptAnswer.deny()


@first
def test_r12_the_keyboard_alone_is_enough_and_nothing_is_chosen_by_habit(show, qt):
    scene = show()
    Key = qt.Key
    assert scene.focused() == scene.request.text.title
    scene.press(Key.Key_Return, Key.Key_Enter, Key.Key_Space)
    assert scene.answers.empty(), "Enter at once answers nothing"
    scene.press(Key.Key_Tab, Key.Key_Tab)
    assert scene.focused() == "7 days" and scene.chosen()[0] == "This drive"
    scene.press(Key.Key_Space)
    assert scene.chosen()[0] == "7 days"
    seen = []
    for _ in range(6):
        scene.press(Key.Key_Tab)
        seen.append(scene.focused())
    assert seen[-3:] == ["+ the full text", "Allow", "Don’t allow"]
    scene.press(Key.Key_Backtab, Key.Key_Return)
    assert scene.answer() == PromptAnswer.allow(Duration.days(7))


@first
@pytest.mark.parametrize(("locale", "onward"), [("en", "Key_Right"), ("ar", "Key_Left")])
def test_a_rotary_controller_reaches_everything_and_chooses_only_when_pressed(show, qt, locale, onward):
    scene = show("very-wide", locale)
    onward = qt.Key[onward]
    labels = [item.property("label") for item in (*scene.items("Choice"), *scene.items("PushButton"))]
    seen = []
    for _ in range(9):
        scene.press(onward)
        seen.append(scene.focused())
    assert seen == [*labels, labels[0]]
    assert scene.chosen() == [labels[0], labels[3]]
    scene.press(onward, onward, qt.Key.Key_Select)
    assert scene.chosen() == [labels[2], labels[3]] and scene.answers.empty()
    scene.press(*[onward] * 4, qt.Key.Key_Select)
    assert scene.answer() == PromptAnswer.allow(Duration.UNTIL_WITHDRAWN)


@first
@pytest.mark.parametrize(("screen", "scale"), SIZES)
def test_r12_turning_to_an_answer_passes_everything_that_is_to_be_read(show, qt, screen, scale):
    """From the heading on, nothing of the text, the full one included, is skipped on the way to an answer."""
    scene = show(screen, text_scale=scale)
    scene.scroll.setProperty("contentY", 0)
    read = 0.0
    opened = False
    for _ in range(200):
        top = scene.scroll.property("contentY")
        assert top <= read + 1, "a step skipped something"
        read = max(read, top + scene.scroll.height())
        if scene.focused() == "Allow":
            break
        if scene.focused() == "+ the full text" and not opened:
            opened, short = True, scene.scroll.property("contentHeight")
            scene.press(qt.Key.Key_Return)
            scene.until(lambda short=short: scene.scroll.property("contentHeight") > short, "the text did not open")
        scene.press(qt.Key.Key_Right)
        box = scene.box(scene.window.activeFocusItem())
    assert scene.focused() == "Allow" and opened
    assert read >= scene.scroll.property("contentHeight") - 16 * scale - 1, "but the margin"
    for _ in range(200):
        if scene.focused().startswith("−"):
            break
        scene.press(qt.Key.Key_Left)
    box = scene.box(scene.window.activeFocusItem())
    assert box.bottom() > 0 and box.top() < scene.scroll.height(), "what has the focus is on the screen"


@first
def test_r12_a_key_that_is_held_down_answers_nothing(show, qt):
    from PySide6.QtCore import QEvent
    from PySide6.QtGui import QGuiApplication, QKeyEvent

    scene = show()
    scene.deny.forceActiveFocus()
    held = QKeyEvent(QEvent.Type.KeyPress, qt.Key.Key_Return, qt.Qt.KeyboardModifier.NoModifier, "\r", True)
    QGuiApplication.sendEvent(scene.window, held)
    assert scene.answers.empty()
    scene.press(qt.Key.Key_Return)
    assert scene.answer() == PromptAnswer.deny()


@first
def test_leaving_dismisses(show, qt):
    scene = show()
    scene.press(qt.Key.Key_Back)
    assert scene.answer() == PromptAnswer.dismiss()


@first
def test_r15_an_approximate_question_gets_an_approximate_answer(show):
    scene = show(request=request_in(precision=Precision.APPROXIMATE))
    assert [item.property("label") for item in scene.items("Choice")][3:] == ["Approximate"]
    scene.touch(scene.allow)
    assert scene.answer() == PromptAnswer.allow(precision=Precision.APPROXIMATE)


@first
def test_the_app_behind_it_is_not_touched_and_has_its_focus_back(show, qt):
    scene = show()
    scene.press_at(scene.box(scene.items("Words")[0]).center())
    assert scene.app.property("clicks") == 0
    scene.touch(scene.deny)
    scene.answer()
    assert scene.focused() == "app"
    scene.press_at(scene.box(scene.app).center())
    assert scene.app.property("clicks") == 1


# -- the end of a question -----------------------------------------------------------------------


@first
def test_r11_a_withdrawal_takes_the_question_away_and_a_late_allow_is_void(show):
    scene = show()
    question = scene.prompter.question
    scene.request.cancelled.set()
    question.allow(0, 0)
    assert scene.answer() == PromptAnswer.dismiss()
    assert not scene.prompt.isVisible() and scene.prompter.question is None


@first
def test_r11_a_cancelled_question_goes_by_itself(show):
    scene = show()
    scene.request.cancelled.set()
    scene.until(lambda: not scene.prompt.isVisible())
    assert scene.answer() == PromptAnswer.dismiss()


@first
def test_r12_a_question_resolves_at_its_deadline(show):
    scene = show(request=request_in(deadline=time.monotonic() + 1))
    assert scene.answer() == PromptAnswer.dismiss()
    assert not scene.prompt.isVisible()


@first
def test_r12_only_the_first_answer_counts(show):
    scene = show()
    question = scene.prompter.question
    question.deny()
    question.allow(0, 0)
    assert scene.answer() == PromptAnswer.deny() and scene.answers.empty()


@first
@pytest.mark.parametrize("how", ["closed", "hidden", "covered", "engine", "quit"])
def test_r12_whatever_takes_the_scene_away_dismisses(show, qt, how):
    scene = show()
    if how == "closed":
        scene.window.close()
    elif how == "hidden":
        scene.window.setVisible(False)
    elif how == "covered":
        scene.prompt.parentItem().setVisible(False)
    elif how == "engine":
        scene.engine.deleteLater()
        scene.engine = None
    else:
        qt.QGuiApplication.instance().aboutToQuit.emit()
    assert scene.answer() == PromptAnswer.dismiss()


@first
def test_r12_destroying_the_prompter_dismisses_and_asks_nobody_any_more(show, qt):
    import shiboken6

    scene = show()
    scene.engine.deleteLater()
    scene.engine = None
    prompter = scene.prompter
    shiboken6.delete(prompter)
    assert scene.answer() == PromptAnswer.dismiss()
    with pytest.raises(RuntimeError, match="destroyed"):
        prompter.ask(request_in())
    scene.close = lambda: None


@first
def test_r12_a_question_that_nobody_shows_has_failed(qt, monkeypatch):
    from kalos_connect_sdk.prompts.qml import prompter

    monkeypatch.setattr(prompter, "_SHOWN_WITHIN_S", 0.2)
    scene = qt.Scene()
    scene.window.close()
    scene.ask(request_in(), shown=False)
    scene.until(lambda: scene.errors)
    assert "ConsentPrompt" in str(scene.errors[0])
    assert scene.answer() == PromptAnswer.dismiss()
    scene.close()


@first
def test_r12_a_gui_thread_that_waits_for_its_own_answer_is_told(qt, monkeypatch):
    from kalos_connect_sdk.prompts.qml import prompter

    monkeypatch.setattr(prompter, "_SHOWN_WITHIN_S", 0.2)
    scene = qt.Scene()
    with pytest.raises(RuntimeError, match="request_permission_future"):
        scene.prompter.ask(request_in())  # on the GUI thread, which is thus not free to show it
    scene.close()


@first
def test_two_questions_are_put_one_after_the_other(show):
    scene = show()
    second = scene.ask(request_in(purpose=Purpose.CROSS_BORDER_TRANSFER), shown=False)
    scene.settle()
    assert scene.texts()[0] == scene.request.text.title
    scene.touch(scene.deny)
    assert scene.answer() == PromptAnswer.deny()
    scene.until(lambda: scene.texts()[:1] == [second.text.title])
    scene.settle()
    assert scene.focused() == second.text.title, "what was aimed at the first is no answer to the second"
    scene.touch(scene.allow)
    assert scene.answer() == PromptAnswer.allow()


@first
def test_r12_two_quick_taps_answer_one_question_only(show, monkeypatch):
    """The second was aimed at the first question, too: nobody can have read the one behind it."""
    from kalos_connect_sdk.prompts.qml import question

    scene = show()
    monkeypatch.setattr(question, "_UNHEARD_MS", 1_000_000)
    second = scene.ask(request_in(purpose=Purpose.CROSS_BORDER_TRANSFER), shown=False)
    scene.until(lambda: len(scene.prompter._waiting) == 2)
    at = scene.box(scene.allow).center()
    scene.press_at(at)
    assert scene.answer() == PromptAnswer.allow()
    scene.until(lambda: scene.texts()[:1] == [second.text.title])
    for item in (scene.allow, scene.deny):
        scene.press_at(scene.box(item).center())
    scene.settle()
    assert scene.answers.empty() and scene.prompt.isVisible() and scene.app.property("clicks") == 0
    monkeypatch.setattr(question, "_UNHEARD_MS", 1)
    third = scene.ask(request_in(), shown=False)
    scene.prompter.question.dismiss()
    assert scene.answer() == PromptAnswer.dismiss()
    scene.until(lambda: scene.texts()[:1] == [third.text.title] and scene.allow.property("taps"))
    scene.touch(scene.allow)
    assert scene.answer() == PromptAnswer.allow(), "after that moment a finger is heard"


@first
def test_a_question_in_the_queue_can_be_cancelled_too(show):
    scene = show()
    second = scene.ask(request_in(), shown=False)
    second.cancelled.set()
    assert scene.answer() == PromptAnswer.dismiss()
    assert scene.prompt.isVisible()


# -- with the whole SDK --------------------------------------------------------------------------


@first
def test_a_person_allows_on_the_head_unit(qt, make):
    scene = qt.Scene()
    assert isinstance(scene.prompter, Prompter) and scene.prompter.driver_facing
    connect = make(prompter=scene.prompter, vehicle=FakeVehicle())
    future = connect.request_permission_future(user_action=True)
    scene.until(scene.prompt.isVisible)
    scene.settle()
    scene.touch(scene.allow)
    scene.until(future.done)
    assert future.result().granted and future.result().precision is Precision.PRECISE
    scene.close()


@first
def test_r12_driving_off_closes_the_question_as_deferred(qt, make):
    scene, vehicle = qt.Scene(), FakeVehicle()
    connect = make(prompter=scene.prompter, vehicle=vehicle)
    future = connect.request_permission_future(user_action=True)
    scene.until(scene.prompt.isVisible)
    vehicle.move(8.0)
    scene.until(future.done)
    assert future.result().state is PermissionState.DEFERRED
    scene.until(lambda: not scene.prompt.isVisible())
    again = connect.request_permission_future(user_action=True)
    scene.until(again.done)
    assert again.result().reason is Reason.DEFERRED and not scene.prompt.isVisible()
    scene.close()


@first
def test_r11_withdrawing_closes_an_open_question(qt, make):
    scene = qt.Scene()
    connect = make(prompter=scene.prompter)
    future = connect.request_permission_future(user_action=True)
    scene.until(scene.prompt.isVisible)
    withdrawing = threading.Thread(target=connect.withdraw)
    withdrawing.start()
    scene.until(lambda: not scene.prompt.isVisible())
    scene.until(future.done)
    withdrawing.join(20)
    assert not future.result().granted
    scene.close()


# -- making one ----------------------------------------------------------------------------------


@first
def test_a_prompter_is_made_on_the_gui_thread(qt):
    from kalos_connect_sdk.prompts.qml import QmlPrompter

    errors = []

    def elsewhere() -> None:
        try:
            QmlPrompter()
        except RuntimeError as error:
            errors.append(str(error))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join(20)
    assert "on the GUI thread" in errors[0]
    with pytest.raises(ValueError, match="auto, day, night"):
        QmlPrompter(theme="dusk")


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)


def test_without_the_extra_it_says_what_to_install():
    done = run("import sys; sys.modules['PySide6'] = None\nimport kalos_connect_sdk.prompts.qml")
    assert "ConfigError" in done.stderr and "kalos-connect-sdk[qt]" in done.stderr
    assert "During handling" not in done.stderr


@first
def test_without_an_application_it_says_so(qt):
    done = run("from kalos_connect_sdk.prompts.qml import QmlPrompter; QmlPrompter()")
    assert "after QGuiApplication" in done.stderr
