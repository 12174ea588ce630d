"""Where a module can be broken, and how: each :class:`Mutation` is one small change of its text.

Left alone: ``__all__``, docstrings, ``__repr__``, type annotations, texts, and what is only imported for types.
"""

from __future__ import annotations

import ast
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

_COMPARE = {
    ast.Lt: ("<=", ">="),
    ast.LtE: ("<", ">"),
    ast.Gt: (">=", "<="),
    ast.GtE: (">", "<"),
    ast.Eq: ("!=",),
    ast.NotEq: ("==",),
    ast.Is: ("is not",),
    ast.IsNot: ("is",),
    ast.In: ("not in",),
    ast.NotIn: ("in",),
}
_ARITHMETIC = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "/",
    ast.Div: "*",
    ast.FloorDiv: "*",
    ast.Mod: "*",
    ast.BitAnd: "|",
    ast.BitOr: "&",
    ast.BitXor: "|",
    ast.LShift: ">>",
    ast.RShift: "<<",
}


@dataclass(frozen=True)
class Mutation:
    """One change: the bytes from ``start`` to ``end`` become ``text``. ``lines``: those that run when it matters."""

    kind: str
    line: int
    lines: range
    start: int
    end: int
    text: str

    def apply(self, source: bytes) -> bytes:
        return source[: self.start] + self.text.encode() + source[self.end :]

    def told(self, source: bytes) -> str:
        before = " ".join(source[self.start : self.end].decode().split())
        return f"{self.line}: {self.kind}: {before[:70]} -> {self.text[:70]}"


def mutations(source: bytes) -> list[Mutation]:
    """Every mutation of a module, in the order of its text."""
    found = _Finder(source)
    found.visit(ast.parse(source))
    return sorted(found.found, key=lambda one: (one.start, one.kind, one.text))


def drawn(every: Sequence[Mutation], count: int, seed: int) -> list[Mutation]:
    """At most ``count`` of them, one kind after the other, so that a rare kind is not lost among constants.
    The order is one of chance too: a run that is cut short is a sample all the same."""
    by_kind: dict[str, list[Mutation]] = defaultdict(list)
    for one in every:
        by_kind[one.kind].append(one)
    chance = random.Random(seed)  # noqa: S311 - which sites, not a secret
    piles = [chance.sample(pile, len(pile)) for _, pile in sorted(by_kind.items())]
    chosen: list[Mutation] = []
    while any(piles) and len(chosen) < count:
        chosen += [pile.pop() for pile in piles if pile][: count - len(chosen)]
    return chosen


class _Finder(ast.NodeVisitor):
    def __init__(self, source: bytes) -> None:
        self.found: list[Mutation] = []
        self._starts = [0]
        for line in source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._lines = range(0)
        self._answers_bool = False

    # -- places ----------------------------------------------------------------------------------

    def _offset(self, line: int, column: int) -> int:
        return self._starts[line - 1] + column

    def _span(self, node: ast.AST) -> tuple[int, int]:
        assert isinstance(node, ast.expr | ast.stmt)
        assert node.end_lineno is not None and node.end_col_offset is not None
        return self._offset(node.lineno, node.col_offset), self._offset(node.end_lineno, node.end_col_offset)

    def _add(self, kind: str, node: ast.expr | ast.stmt, text: str, end: int | None = None) -> None:
        start, last = self._span(node)
        self.found.append(Mutation(kind, node.lineno, self._lines, start, end or last, text))

    # -- what is left alone ----------------------------------------------------------------------

    def visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            first = body[0] if isinstance(body, list) and body else None
            assert node.end_lineno is not None
            last = node.end_lineno if first is None else max(node.lineno, first.lineno - 1)
            outer, self._lines = self._lines, range(node.lineno, last + 1)
            super().visit(node)
            self._lines = outer
        else:
            super().visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """A text, and its parts have no true places before 3.12."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if node.name == "__repr__":
            return
        outer = self._answers_bool
        self._answers_bool = node.returns is not None and ast.unparse(node.returns) == "bool"
        for child in (*node.args.defaults, *(one for one in node.args.kw_defaults if one is not None), *node.body):
            self.visit(child)
        self._answers_bool = outer

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for child in node.body:
            self.visit(child)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self._stored(node, [node.target])
            self.visit(node.value)

    # -- statements ------------------------------------------------------------------------------

    def _stored(self, node: ast.stmt, targets: Sequence[ast.expr]) -> None:
        if all(isinstance(target, ast.Attribute | ast.Subscript) for target in targets):
            self._add("statement deleted", node, "pass")  # a name that is never bound is found by anything

    def visit_Assign(self, node: ast.Assign) -> None:
        if any(isinstance(target, ast.Name) and target.id in {"__all__", "__slots__"} for target in node.targets):
            return
        self._stored(node, node.targets)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._add("statement deleted", node, "pass")
        self.visit(node.value)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            self._add("call removed", node, "pass")
        elif not isinstance(node.value, ast.Constant):
            self._add("statement deleted", node, "pass")
        self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        self._add("raise removed", node, "pass")

    def visit_Continue(self, node: ast.Continue) -> None:
        self._add("statement deleted", node, "pass")

    visit_Break = visit_Continue

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is None:
            self._add("statement deleted", node, "pass")
            return
        answers = ("True", "False") if self._answers_bool else ("None",)
        for answer in answers:
            if ast.unparse(node.value) != answer:
                self._add("answer replaced", node, f"return {answer}")
        if not (self._answers_bool and isinstance(node.value, ast.Constant)):
            self.visit(node.value)

    def visit_With(self, node: ast.With) -> None:
        if all(item.optional_vars is None for item in node.items):
            last = node.items[-1].context_expr
            end = self._span(last)[1]
            self._add("left unlocked", node, "if True", end)
        self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> None:
        """States what mypy cannot know."""

    # -- conditions ------------------------------------------------------------------------------

    def _condition(self, test: ast.expr) -> None:
        simple = isinstance(test, ast.Compare) and len(test.ops) == 1
        if not simple and not (isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)):
            self._add("condition negated", test, f"(not ({ast.unparse(test)}))")

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) == "TYPE_CHECKING":
            return
        self._condition(node.test)
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        if not isinstance(node.test, ast.Constant):
            self._condition(node.test)
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._condition(node.test)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self._condition(test)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        terms = [f"({ast.unparse(term)})" for term in (node.left, *node.comparators)]
        words = [_word(operator) for operator in node.ops]
        for at, operator in enumerate(node.ops):
            for other in _COMPARE[type(operator)]:
                changed = [*words[:at], other, *words[at + 1 :]]
                text = terms[0] + "".join(f" {word} {term}" for word, term in zip(changed, terms[1:], strict=True))
                self._add("comparison", node, f"({text})")
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        terms = [f"({ast.unparse(term)})" for term in node.values]
        ours, other = (" and ", " or ") if isinstance(node.op, ast.And) else (" or ", " and ")
        self._add("and/or swapped", node, f"({other.join(terms)})")
        for at in range(len(terms)):
            self._add("operand dropped", node, f"({ours.join([*terms[:at], *terms[at + 1 :]])})")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self._add("condition negated", node, f"({ast.unparse(node.operand)})")
        self.generic_visit(node)

    # -- values ----------------------------------------------------------------------------------

    def visit_BinOp(self, node: ast.BinOp) -> None:
        texts = (ast.Constant, ast.JoinedStr)
        text = any(
            isinstance(side, texts) and not isinstance(getattr(side, "value", ""), int | float)
            for side in (node.left, node.right)
        )
        if type(node.op) in _ARITHMETIC and not text:
            other = _ARITHMETIC[type(node.op)]
            self._add("arithmetic", node, f"(({ast.unparse(node.left)}) {other} ({ast.unparse(node.right)}))")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._add("boolean flipped", node, str(not node.value))
        elif isinstance(node.value, int | float):
            for other in (node.value + 1, node.value - 1):
                self._add("constant", node, f"({other!r})")


def _word(operator: ast.cmpop) -> str:
    whole = ast.unparse(ast.Compare(ast.Name("a"), [operator], [ast.Name("b")]))
    return whole[2:-2]
