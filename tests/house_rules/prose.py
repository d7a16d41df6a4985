"""What docstrings say: every file what it is for and which edge it is, every public thing its promise. Pure."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.house_rules.source import Documented, Function, Rule, Source, Violation, lies_in

SENTENCE = re.compile(r"[\W_]*[A-Z0-9`*[].*[.:]\W*", re.DOTALL)
"""A capital, a digit, or a name in backquotes, and at the end a full stop, or a colon before a list."""

FIRST_WORDS = re.compile(r"\b(pure|edge)\b", re.IGNORECASE)
PURE = re.compile(r"\bPure[.;,]")
ROOMS_THAT_SAY_IT = ("schemas", "ingest", "entitlements", "consumers")
DOCUMENTED = (*ROOMS_THAT_SAY_IT, "ops")


def says_what_it_is_for(source: Source) -> Iterator[Violation]:
    """Every file begins with a sentence that says what it is for; an empty one needs none."""
    if source.tree.body and (text := _fault(source.tree, "the file")):
        yield Violation(path=source.path, line=1, text=text, rule="says_what_it_is_for")


def says_which_edge_it_is(source: Source) -> Iterator[Violation]:
    """A file says whether it is pure, or which edge it is."""
    is_package = source.path.endswith("__init__.py")
    is_step = source.folder == "entitlements/migrations/versions"
    if is_package or is_step or not lies_in(source.path, ROOMS_THAT_SAY_IT, "/"):
        return
    if not FIRST_WORDS.search(ast.get_docstring(source.tree) or ""):
        text = "the file's docstring says neither that it is pure nor which edge it is: end it with Pure. or Edge: ..."
        yield Violation(path=source.path, line=1, text=text, rule="says_which_edge_it_is")


def documents_what_is_public(source: Source) -> Iterator[Violation]:
    """Public classes and functions of our packages say what they promise; methods may leave it to their names."""
    if not lies_in(source.path, DOCUMENTED, "/"):
        return
    for node in source.tree.body:
        if not isinstance(node, ast.ClassDef | Function) or node.name.startswith("_"):
            continue
        if text := _fault(node, node.name):
            yield Violation(path=source.path, line=node.lineno, text=text, rule="documents_what_is_public")


def claims_to_be_pure(source: Source) -> bool:
    """Whether the file's docstring says that it is pure."""
    return bool(PURE.search(ast.get_docstring(source.tree) or ""))


def _fault(node: Documented, what: str) -> str | None:
    docstring = ast.get_docstring(node)
    if not docstring:
        return f"{what} has no docstring: say in one sentence what it is for"
    if not SENTENCE.fullmatch(docstring.partition("\n\n")[0]):
        return f"the docstring of {what} does not begin with a sentence: a capital first, a full stop last"
    return None


PROSE_RULES: tuple[Rule, ...] = (says_what_it_is_for, says_which_edge_it_is, documents_what_is_public)
