"""Fixtures for prompts that are shown as pages."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kalos_connect_sdk import PromptAnswer, PromptRequest
from kalos_connect_sdk.prompts.web import WebPrompter

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode leaves it out, and the tests share their questions

from web_questions import Question, request_in


@pytest.fixture
def ask() -> Iterator[Callable[..., Question]]:
    """Put a question on a page. Whatever is still open at the end is cancelled."""
    asked: list[tuple[Question, threading.Thread]] = []

    def put(request: PromptRequest | None = None, **options: Any) -> Question:
        links: queue.Queue[str] = queue.Queue()
        answers: queue.Queue[PromptAnswer] = queue.Queue()
        prompter = WebPrompter(links.put, **options)
        request = request or request_in()
        thread = threading.Thread(target=lambda: answers.put(prompter.ask(request)))
        thread.start()
        question = Question(request, links.get(timeout=10), answers)
        asked.append((question, thread))
        return question

    yield put
    for question, thread in asked:
        question.request.cancelled.set()
        thread.join(20)
        assert not thread.is_alive()
