"""Facts are appended: a row that was written is not changed and not taken away, but for the ledger's place. Pure."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.house_rules.rooms import OURS
from tests.house_rules.source import Rule, Source, Violation, lies_in

REWRITTEN = {
    "entitlements/feed.py": ("feed", "feed_position", "entitlements.ledger.changes"),  # who was told
    "entitlements/ledger.py": ("consumer_offsets",),  # how far a consumer has read: moved with what it wrote
}
"""Which tables a file may update or delete from, by the names they have there."""

UPSERTERS = (
    "entitlements/feed.py",  # a customer's latest state
    "entitlements/ledger.py",  # what a record came to: its latest reading counts
    "entitlements/store.py",  # the earliest moment at which a fact was stated
)
"""Who may insert `on conflict do update`."""

REWRITES = ("update", "delete")
REWRITING_SQL = re.compile(
    r"\b(?: delete \s+ from | update \s+ \S+ \s+ (?: as \s+ \S+ \s+ )? set | do \s+ update \s+ set | truncate \s+ table"
    r"| drop \s+ table ) \b | ^ \s* truncate \b",
    re.IGNORECASE | re.VERBOSE,
)


def appends_only(source: Source) -> Iterator[Violation]:
    """Rows are inserted; only what the tables above name is updated, and nothing else is deleted."""
    if not lies_in(source.path, OURS, "/"):
        return
    lawful = {id(call.func) for call in source.calls() if _target(source, call) in REWRITTEN.get(source.path, ())}
    docstrings = {id(_docstring(node)) for node in source.nodes}
    for node in source.nodes:
        match node:
            case ast.Name() | ast.Attribute() if id(node) not in lawful and _rewrites(source, node):
                text = f"{ast.unparse(node)} rewrites rows: insert what is new (a dict or set takes |= instead)"
            case ast.Attribute(attr="on_conflict_do_update") if source.path not in UPSERTERS:
                text = "updates on conflict: let the row that is there stay, with on_conflict_do_nothing"
            case ast.Constant(value=str(sql)) if id(node) not in docstrings and REWRITING_SQL.search(sql):
                text = "rewrites rows in SQL: insert what is new"
            case _:
                continue
        yield Violation(path=source.path, line=node.lineno, text=text, rule="appends_only")


def _rewrites(source: Source, node: ast.Name | ast.Attribute) -> bool:
    """Whether it is SQLAlchemy's update or delete, or the method of a table, or of what might be one."""
    of, _, name = (source.meaning(node) or "").rpartition(".")
    if isinstance(node, ast.Name):
        return name in REWRITES and lies_in(of, ("sqlalchemy",), ".")
    if node.attr == "update":
        return lies_in(of, ("sqlalchemy", "entitlements"), ".") or any(
            lies_in(imported, ("sqlalchemy",), ".") for _, imported in source.imports
        )
    return node.attr == "delete"


def _target(source: Source, call: ast.Call) -> str | None:
    """The table that the call would rewrite: that of `update(table)`, or of `table.update()`."""
    match call:
        case ast.Call(func=function, args=[table, *_]) if lies_in(source.meaning(function) or "", ("sqlalchemy",), "."):
            return source.meaning(table)
        case ast.Call(func=ast.Attribute(value=table)):
            return source.meaning(table)
        case _:
            return None


def _docstring(node: ast.AST) -> ast.expr | None:
    match node:
        case ast.Module(body=[ast.Expr(value=text), *_]) | ast.ClassDef(body=[ast.Expr(value=text), *_]):
            return text
        case ast.FunctionDef(body=[ast.Expr(value=text), *_]) | ast.AsyncFunctionDef(body=[ast.Expr(value=text), *_]):
            return text
        case _:
            return None


APPEND_ONLY_RULES: tuple[Rule, ...] = (appends_only,)
