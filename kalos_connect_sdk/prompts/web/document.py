"""The prompt as a page: the notice verbatim, the two choices, two answers that look the same (R12, R14)."""

from __future__ import annotations

from html import escape
from typing import Final

from ...model.consent import Duration, DurationKind, Precision
from ...ports import PromptRequest
from ..catalogue import direction_of
from ..words import Words, words_for
from .server import KEY_FIELD

__all__ = ["THEMES", "duration_of", "message", "name_of", "prompt_document"]

THEMES: Final = ("auto", "day", "night")


def prompt_document(request: PromptRequest, key: str, *, theme: str, code: str | None) -> str:
    """The page. ``key``: its secret; ``theme``: one of :data:`THEMES`; ``code``: the policy's QR code as a data URL."""
    text, words = request.text, words_for(request.text.locale)
    shown = [text.who, text.what, text.why, text.how_to_stop]
    facts = [(words.purpose, words.named(request.purpose))]
    if request.service_origin:
        facts.append((words.recipient, request.service_origin))
    return _page(
        words,
        text.locale,
        text.title,
        theme,
        key,
        f"""<h1 tabindex="-1">{escape(text.title)}</h1>
{"".join(f"<p>{escape(element)}</p>" for element in shown)}
<dl>{"".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)}</dl>
<p role="status" aria-live="assertive"></p>
<form id="question" method="post" action="/answer" autocomplete="off">
<input type="hidden" name="{KEY_FIELD}" value="{escape(key)}">
<div class="questions">{_how_long(request, words)}{_how_exactly(request, words)}</div>
</form>
<details><summary>{escape(words.show_full)}</summary>
<div class="full">{_full(text.full)}{_code(words, code)}</div></details>""",
        f"""<footer class="answers">
<button type="submit" form="question" name="choice" value="allow">{escape(text.allow)}</button>
<button type="submit" form="question" name="choice" value="deny">{escape(text.deny)}</button>
</footer>""",
    )


def message(request: PromptRequest, said: str, *, theme: str) -> str:
    """A page that says one thing: what a browser without scripts gets after an answer."""
    words = words_for(request.text.locale)
    body = f'<h1 tabindex="-1">{escape(request.text.title)}</h1><p role="status">{escape(said)}</p>'
    return _page(words, request.text.locale, request.text.title, theme, "", body)


def name_of(duration: Duration) -> str:
    """A duration as a form field's value."""
    return f"days-{duration.day_count}" if duration.kind is DurationKind.DAYS else duration.kind.value


def duration_of(request: PromptRequest, name: str) -> Duration | None:
    """The offered duration of that name."""
    return next((duration for duration in request.durations if name_of(duration) == name), None)


def _page(words: Words, locale: str, title: str, theme: str, key: str, body: str, answers: str = "") -> str:
    script = '<script defer src="/rotary.js"></script><script defer src="/prompt.js"></script>' if answers else ""
    return f"""<!doctype html>
<html lang="{escape(locale)}" dir="{direction_of(locale)}" data-theme="{theme}">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><link rel="icon" href="data:,"><link rel="stylesheet" href="/style.css">{script}</head>
<body class="prompt" data-key="{escape(key)}" data-gone="{escape(words.closed)}">
<main>
{body}
</main>
{answers}
</body></html>
"""


def _how_long(request: PromptRequest, words: Words) -> str:
    """The shortest is set: the answer that costs least is also the one that gives least."""
    ways = [(name_of(duration), words.duration(duration)) for duration in request.durations]
    return _group("duration", words.how_long, ways)


def _how_exactly(request: PromptRequest, words: Words) -> str:
    ways = [(Precision.PRECISE.value, words.precise), (Precision.APPROXIMATE.value, words.approximate)]
    if request.precision is Precision.APPROXIMATE:  # an answer never exceeds what was asked (R15)
        ways = [(Precision.APPROXIMATE.value, words.only_approximate)]
    return _group("precision", words.exactness, ways)


def _group(name: str, question: str, ways: list[tuple[str, str]]) -> str:
    shown = "".join(
        f'<label class="way"><input type="radio" name="{name}" value="{escape(value)}"{"" if number else " checked"}>'
        f"<span>{escape(label)}</span></label>"
        for number, (value, label) in enumerate(ways)
    )
    return f'<fieldset><legend>{escape(question)}</legend><div class="ways">{shown}</div></fieldset>'


def _full(text: str) -> str:
    return "".join(f"<p>{escape(paragraph)}</p>" for paragraph in text.strip().split("\n\n"))


def _code(words: Words, code: str | None) -> str:
    return (
        "" if code is None else f'<p>{escape(words.policy)}</p><img alt="{escape(words.policy)}" src="{escape(code)}">'
    )
