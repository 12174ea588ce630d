"""The house keeps its own rules: sizes, purity of texts, and pages that map every rule and every fault to its tests."""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from pathlib import Path

import pytest

pytestmark = pytest.mark.once
ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted((ROOT / "kalos_connect_sdk").rglob("*.py"))
RULES_PAGE = ROOT / "docs" / "rules.md"
FAULTS_PAGE = ROOT / "docs" / "faults.md"
_ROW = re.compile(r"\| (\d+) \| (.+?) \| (.+?) \| (.*) \|$")

RULES = {
    1: "Unknown means no",
    2: "One door",
    3: "Withdrawal is a barrier",
    4: "Dropped means gone",
    5: "Durable before it returns",
    6: "Re-grant never revives",
    7: "Never backwards",
    8: "Tamper-evident",
    9: "Sealed or in memory",
    10: "Nothing in the margins",
    11: "Withdrawing is as easy as granting",
    12: "Ask well",
    13: "Clocks lie",
    14: "Consent is to a text and a recipient",
    15: "Precision is part of the grant",
    16: "Borders",
    17: "Minors",
    18: "One driver is not another",
    19: "Refusing costs nothing else",
    20: "Evidence",
}


def named_after_rules() -> dict[int, list[str]]:
    """rule -> ``file::test`` of every test that is named after it."""
    found: dict[int, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for number in re.findall(r"(?<=_)r(\d+)(?=_)", node.name):
                    found[int(number)].append(f"{path.relative_to(ROOT / 'tests')}::{node.name}")
    return found


def _marks(node: ast.AST) -> set[int]:
    """The rows of docs/faults.md that ``@pytest.mark.fault(...)`` names, anywhere below ``node``."""
    return {
        argument.value
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.fault"
        for argument in call.args
        if isinstance(argument, ast.Constant)
    }


def shown_by() -> dict[int, list[str]]:
    """fault -> ``file::test`` of every test that is marked with it, on itself, its class or its module."""
    found: dict[int, list[str]] = defaultdict(list)

    def look(body: list[ast.stmt], inherited: set[int], file: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef):
                look(node.body, inherited.union(*map(_marks, node.decorator_list)), file)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                for number in inherited.union(*map(_marks, node.decorator_list)):
                    found[number].append(f"{file}::{node.name}")

    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        whole = [
            node for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
        ]
        look(tree.body, set().union(*map(_marks, whole)), str(path.relative_to(ROOT / "tests")))
    return found


def faults_page() -> str:
    """What docs/faults.md must say: its own rows, each with the tests that are marked with it."""
    found = shown_by()
    lines = []
    rows: set[str] = set()
    for line in FAULTS_PAGE.read_text("utf-8").splitlines():
        row = _ROW.match(line)
        if row:
            assert row[1] not in rows, f"row {row[1]} is there twice"
            rows.add(row[1])
            by_file: dict[str, list[str]] = defaultdict(list)
            for name in found.pop(int(row[1]), ()):
                file, test = name.split("::")
                by_file[file].append(test)
            tests = "; ".join(f"`{file}`: {', '.join(f'`{t}`' for t in names)}" for file, names in by_file.items())
            line = f"| {row[1]} | {row[2]} | {row[3]} | {tests} |"
        lines.append(line)
    assert not found, f"marked with rows that docs/faults.md lacks: {sorted(found)}"
    return "\n".join(lines) + "\n"


def page() -> str:
    """What docs/rules.md must say."""
    found = named_after_rules()
    lines = [
        "# The rules and their tests",
        "",
        "Code cites a rule where it keeps it (`# R3`); tests are named after it. This page is written by",
        "`python tests/test_house.py` and checked by the suite.",
    ]
    for number, title in RULES.items():
        lines += ["", f"## R{number} {title}", ""]
        by_file: dict[str, list[str]] = defaultdict(list)
        for name in found.get(number, ()):
            file, test = name.split("::")
            by_file[file].append(test)
        for file, names in by_file.items():
            lines.append(f"- `tests/{file}`: {', '.join(f'`{name}`' for name in sorted(set(names)))}")
        if not by_file:
            lines.append("- Kept by the design so far; its tests come with the part that needs it.")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_short_and_says_what_it_is_for(path):
    text = path.read_text("utf-8")
    assert text.count("\n") <= 400
    if text.strip():
        assert ast.get_docstring(ast.parse(text)), "a module begins with its one idea"


def test_the_rules_page_is_true():
    assert RULES_PAGE.read_text("utf-8") == page(), "run: python tests/test_house.py"


def test_the_faults_page_is_true():
    assert FAULTS_PAGE.read_text("utf-8") == faults_page(), "run: python tests/test_house.py"


def test_every_fault_has_a_test():
    rows = {int(row[1]) for line in FAULTS_PAGE.read_text("utf-8").splitlines() if (row := _ROW.match(line))}
    assert len(rows) >= 52
    assert not rows - shown_by().keys()


def test_nothing_is_left_open():
    for path in MODULES:
        assert not re.search(r"\b(TODO|FIXME|XXX)\b", path.read_text("utf-8")), path


if __name__ == "__main__":
    RULES_PAGE.write_text(page(), "utf-8")
    FAULTS_PAGE.write_text(faults_page(), "utf-8")
    sys.stdout.write(f"wrote {RULES_PAGE.relative_to(ROOT)} and {FAULTS_PAGE.relative_to(ROOT)}\n")
