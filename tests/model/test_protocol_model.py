"""R3, R5, R6, R7: every order of the protocol's steps, walked through by Spin; and the page that explains it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from protocol_runs import CLEAN, LARGE, MODELS, RUNS, Answer, Run, as_expected, flags_of, missing, perform

ROOT = MODELS.parents[1]
_HEADING = re.compile(r"^### `([A-Z0-9_]+)`$", re.MULTILINE)
_AVOIDED = re.compile(r"^Avoided by `([^`]+)`: `([^`]+)`$", re.MULTILINE)


@pytest.fixture(scope="session")
def answer_of(request: pytest.FixtureRequest) -> Iterator[Callable[[Run], Answer]]:
    """Performs every run that was collected, two at a time, and hands out the answers."""
    tool = missing()
    if tool is not None:
        pytest.skip(f"{tool} is not installed")
    wanted = [item.callspec.params["run"] for item in request.session.items if "answer_of" in item.fixturenames]
    with ThreadPoolExecutor(2) as pool:
        answers: dict[Run, Future[Answer]] = {run: pool.submit(perform, run) for run in wanted}
        yield lambda run: answers[run].result()
        pool.shutdown(cancel_futures=True)


def _check(answer: Answer, run: Run) -> None:
    found = answer.complaint or f"{answer.errors} errors, search {'complete' if answer.complete else 'cut off'}"
    assert as_expected(run, answer), f"{run.name}: expected {run.answer or 'no complaint'}, Spin said: {found}"


@pytest.mark.once
@pytest.mark.timeout(900)
@pytest.mark.fault(19, 20, 24, 26, 27)
@pytest.mark.parametrize("run", [run for run in RUNS if run.answer == CLEAN], ids=lambda run: run.name)
def test_r3_no_order_of_the_steps_breaks_the_promise(answer_of: Callable[[Run], Answer], run: Run) -> None:
    _check(answer_of(run), run)


@pytest.mark.once
@pytest.mark.timeout(900)
@pytest.mark.fault(19, 20, 24, 26, 27)
@pytest.mark.parametrize("run", [run for run in RUNS if run.answer != CLEAN], ids=lambda run: run.name)
def test_r3_a_wrong_order_is_found_out(answer_of: Callable[[Run], Answer], run: Run) -> None:
    _check(answer_of(run), run)


# -- the page ------------------------------------------------------------------------------------


def _page() -> str:
    return (MODELS / "README.md").read_text("utf-8")


def _models() -> list[str]:
    return sorted(path.stem for path in MODELS.glob("*.pml"))


@pytest.mark.once
@pytest.mark.parametrize("model", _models())
def test_every_flag_is_used_in_its_model_performed_and_explained(model: str) -> None:
    flags = flags_of(model)
    body = (MODELS / f"{model}.pml").read_text("utf-8").split("*/", 1)[1]
    performed = {flag for run in RUNS if run.model == model for flag in f"{run.wrong} {run.faults}".split()}
    assert flags and all(re.search(rf"\b{flag}\b", body) for flag in flags)
    assert flags <= performed
    assert flags <= set(_HEADING.findall(_page()))
    assert {run.model for run in (*RUNS, *LARGE)} == set(_models())


@pytest.mark.once
def test_the_page_explains_no_flag_that_is_gone() -> None:
    assert set(_HEADING.findall(_page())) == {flag for model in _models() for flag in flags_of(model)}


@pytest.mark.once
@pytest.mark.parametrize("section", _page().split("\n### ")[1:], ids=lambda text: text.split("`")[1])
def test_each_explanation_quotes_a_line_of_code_that_exists(section: str) -> None:
    quoted = _AVOIDED.findall(section.split("\n## ")[0])
    assert len(quoted) == 1
    for file, snippet in quoted:
        assert snippet in Path(ROOT, file).read_text("utf-8"), f"{file} no longer says: {snippet}"
