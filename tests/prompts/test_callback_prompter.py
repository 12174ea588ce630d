"""The callback prompter hands requests through and says whom it faces."""

from __future__ import annotations

import threading
from datetime import date

from kalos_connect_sdk.model.consent import Duration, Precision, PromptAnswer, Purpose
from kalos_connect_sdk.model.notice import Controller, Notice, NoticeText
from kalos_connect_sdk.ports import Prompter, PromptRequest
from kalos_connect_sdk.prompts import CallbackPrompter

TEXT = NoticeText("en", "t", "who", "what", "why", "how", "Allow", "Don't allow", "full")
NOTICE = Notice("n", "1", date(2024, 1, 1), Controller("c", "C", "c@example.com"), "navigation", (), (), (), (TEXT,))


def request_to(answers: list[PromptAnswer]) -> PromptRequest:
    return PromptRequest(
        Purpose.NAVIGATION,
        Precision.PRECISE,
        NOTICE,
        TEXT,
        (Duration.THIS_DRIVE,),
        0.0,
        threading.Event(),
        "",
        answers.append,
    )


def test_r12_a_callback_faces_the_driver_unless_it_says_otherwise() -> None:
    prompter = CallbackPrompter(lambda request: None)
    assert isinstance(prompter, Prompter)
    assert prompter.driver_facing is True
    assert CallbackPrompter(lambda request: None, driver_facing=False).driver_facing is False


def test_the_answer_is_the_function_s() -> None:
    seen: list[PromptRequest] = []

    def ask(request: PromptRequest) -> PromptAnswer:
        seen.append(request)
        return PromptAnswer.deny()

    request = request_to([])
    assert CallbackPrompter(ask).ask(request) == PromptAnswer.deny()
    assert seen == [request]


def test_an_answer_may_come_later_from_another_thread() -> None:
    answers: list[PromptAnswer] = []

    def ask(request: PromptRequest) -> None:
        later = threading.Thread(target=request.answer, args=(PromptAnswer.allow(),))
        later.start()
        later.join()

    assert CallbackPrompter(ask).ask(request_to(answers)) is None
    assert answers == [PromptAnswer.allow()]
