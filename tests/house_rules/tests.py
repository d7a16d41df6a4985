"""What a test is: a flat function that states a fact, checks it, and always runs. Pure."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.house_rules.source import Function, Rule, Source, Violation

WAYS_TO_SKIP = frozenset(
    [f"pytest.{name}" for name in ("skip", "importorskip", "xfail")]
    + [f"pytest.mark.{name}" for name in ("skip", "skipif", "xfail")]
    + [f"unittest.{name}" for name in ("skip", "skipIf", "skipUnless", "SkipTest", "expectedFailure")]
)
CHECKS = ("assert_", "check", "wait_until")
"""How functions begin that check something for a test, and fail it."""

EXPECTATIONS = frozenset({"pytest.raises", "pytest.warns"})


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
        if not any(_is_check(source, node) for node in ast.walk(test)):
            text = f"{test.name} checks nothing: assert what it proves, or expect it with pytest.raises"
            yield Violation(path=source.path, line=test.lineno, text=text, rule="checks_something")


def always_runs(source: Source) -> Iterator[Violation]:
    """What is missing makes a test fail; nothing skips it."""
    for node in source.nodes:
        if isinstance(node, ast.Name | ast.Attribute) and (name := source.meaning(node)) in WAYS_TO_SKIP:
            text = f"uses {name}: a test that can't run must fail and say what is missing"
            yield Violation(path=source.path, line=node.lineno, text=text, rule="always_runs")


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
