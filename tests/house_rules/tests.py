"""What a test is: a flat function that states a fact, checks it, and always runs. Pure."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.house_rules.source import Function, Rule, Source, Violation, within

WAYS_TO_SKIP = frozenset(
    [f"pytest.{name}" for name in ("skip", "importorskip", "xfail", "exit")]
    + [f"pytest.mark.{name}" for name in ("skip", "skipif", "xfail")]
    + [f"unittest.{name}" for name in ("skip", "skipIf", "skipUnless", "SkipTest", "expectedFailure")]
)
CHECKS = ("assert_", "check", "wait_until")
"""How functions begin that check something for a test, and fail it."""

EXPECTATIONS = frozenset({"pytest.raises", "pytest.warns"})
ANYTHING = (None, "Exception", "BaseException", "Warning")
"""What is expected of code that may fail as it likes."""


def states_a_fact(source: Source) -> Iterator[Violation]:
    """A test says in one line which fact it proves."""
    for test in _tests(source):
        said = ast.get_docstring(test) or ""
        if not said.endswith(".") or "\n" in said:
            text = f"{test.name} needs a docstring of one line that states the fact it proves, with a full stop"
            yield Violation(path=source.path, line=test.lineno, text=text, rule="states_a_fact")


def checks_something(source: Source) -> Iterator[Violation]:
    """A test that can't fail proves nothing."""
    for test in _tests(source):
        if not _has_a_check(source, test):
            text = f"{test.name} checks nothing: assert what it proves, or expect it with pytest.raises"
            yield Violation(path=source.path, line=test.lineno, text=text, rule="checks_something")
    if source.is_test:
        for line, text in _empty_checks(source):
            yield Violation(path=source.path, line=line, text=text, rule="checks_something")


def always_runs(source: Source) -> Iterator[Violation]:
    """What is missing makes a test fail; nothing skips it."""
    for node in source.nodes:
        if isinstance(node, ast.Name | ast.Attribute) and (name := source.meaning(node)) in WAYS_TO_SKIP:
            text = f"uses {name}: a test that can't run must fail and say what is missing"
            yield Violation(path=source.path, line=node.lineno, text=text, rule="always_runs")
    for test in _tests(source):
        for node in within(test):
            if isinstance(node, ast.Return):
                text = f"{test.name} returns: run it to its end, or make two tests of what it does now and then"
                yield Violation(path=source.path, line=node.lineno, text=text, rule="always_runs")
        if _has_a_check(source, test) and not _surely_checks(source, test):
            text = f"{test.name} checks only where a condition holds: state the condition, or make two tests"
            yield Violation(path=source.path, line=test.lineno, text=text, rule="always_runs")


def is_flat(source: Source) -> Iterator[Violation]:
    """Tests are functions of a file, not methods of a class."""
    if not source.is_test:
        return
    for node in source.classes():
        if any(isinstance(each, Function) and each.name.startswith("test") for each in node.body):
            text = f"{node.name} holds tests: make them functions, and what they share a builder or a fixture"
            yield Violation(path=source.path, line=node.lineno, text=text, rule="is_flat")


def _tests(source: Source) -> Iterator[Function]:
    if source.is_test:
        for node in source.tree.body:
            if isinstance(node, Function) and node.name.startswith("test"):
                yield node


def _has_a_check(source: Source, test: Function) -> bool:
    return any(_is_check(source, node) for node in ast.walk(test))


def _surely_checks(source: Source, node: ast.AST) -> bool:
    """Whether it has a check that no `if` and no handler stands before; one in a function within it may be called."""
    return any(
        _is_check(source, child) or _surely_checks(source, child)
        for child in ast.iter_child_nodes(node)
        if not isinstance(child, ast.If | ast.IfExp | ast.ExceptHandler)
    )


def _empty_checks(source: Source) -> Iterator[tuple[int, str]]:
    for node in source.nodes:
        match node:
            case ast.Assert(test=stated) if _is_foregone(stated):
                yield node.lineno, f"asserts {ast.unparse(stated)}, which nothing can change: assert what came out"
            case ast.Call(func=function) if (name := source.meaning(function)) in EXPECTATIONS:
                if any((source.meaning(kind) if kind else None) in ANYTHING for kind in _expected(node)):
                    yield node.lineno, f"{name} expects anything: name the exception that is meant"


def _is_foregone(stated: ast.expr) -> bool:
    """Whether the statement is as true before the test as after it: a constant, or something that isn't empty."""
    match stated:
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts):
            return not any(isinstance(part, ast.Starred) for part in parts)
        case ast.Dict(keys=parts):
            return None not in parts
        case ast.Lambda() | ast.GeneratorExp() | ast.JoinedStr():
            return True
        case ast.BoolOp(op=ast.Or(), values=parts):
            return any(_is_foregone(part) for part in parts)
        case ast.BoolOp(values=parts):
            return all(_is_foregone(part) for part in parts)
        case ast.UnaryOp(operand=part) | ast.NamedExpr(value=part):
            return _is_foregone(part)
        case _:
            return not any(isinstance(part, ast.Name | ast.Call) for part in ast.walk(stated))


def _expected(call: ast.Call) -> list[ast.expr | None]:
    given = call.args[:1] + [each.value for each in call.keywords if (each.arg or "").startswith("expected_")]
    return [*given[0].elts] if given and isinstance(given[0], ast.Tuple) else [*given[:1]] or [None]


def _is_check(source: Source, node: ast.AST) -> bool:
    match node:
        case ast.Assert():
            return True
        case ast.Call(func=function):
            name = source.meaning(function) or ""
            return name in EXPECTATIONS or name.rpartition(".")[2].startswith(CHECKS)
        case _:
            return False


TEST_RULES: tuple[Rule, ...] = (states_a_fact, checks_something, always_runs, is_flat)
