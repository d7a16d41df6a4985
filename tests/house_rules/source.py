"""A Python file as the rules see it: its tree, what it imports, and what its names stand for. Pure."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Function = ast.FunctionDef | ast.AsyncFunctionDef
Documented = ast.Module | ast.ClassDef | Function


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Violation:
    """A broken rule: where, and what to do instead. *rule* is the name of the function that found it."""

    path: str
    line: int
    text: str
    rule: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """
    One Python file. *imports* are the dotted names it imports, with their lines: `from a import b` imports `a.b`.

    *aliases* are the names it gives to what it imports; *nodes* is its tree, each node before those within it.
    """

    path: str
    text: str
    tree: ast.Module
    nodes: tuple[ast.AST, ...]
    imports: tuple[tuple[int, str], ...]
    aliases: dict[str, str]

    @property
    def folder(self) -> str:
        return self.path.rpartition("/")[0]

    @property
    def is_test(self) -> bool:
        return self.path.startswith("tests/")

    def functions(self) -> Iterator[Function]:
        """Every function and method, also those within others."""
        return (node for node in self.nodes if isinstance(node, Function))

    def classes(self) -> Iterator[ast.ClassDef]:
        """Every class, also those within others."""
        return (node for node in self.nodes if isinstance(node, ast.ClassDef))

    def calls(self) -> Iterator[ast.Call]:
        """Every call."""
        return (node for node in self.nodes if isinstance(node, ast.Call))

    def meaning(self, node: ast.AST) -> str | None:
        """
        The dotted name that *node* stands for, with the file's imports resolved: after `from datetime import datetime`,
        `datetime.now` means `datetime.datetime.now`. A name that was not imported means itself; an expression, None.
        """
        match node:
            case ast.Name(id=name):
                return self.aliases.get(name, name)
            case ast.Attribute(value=value, attr=attribute):
                of = self.meaning(value)
                return None if of is None else f"{of}.{attribute}"
            case _:
                return None


Rule = Callable[[Source], Iterator[Violation]]


def parse(path: str, text: str) -> Source:
    """The file at *path*, read; raises SyntaxError."""
    tree = ast.parse(text, path)
    nodes = tuple(ast.walk(tree))
    imports: list[tuple[int, str]] = []
    aliases: dict[str, str] = {}
    for node in nodes:
        match node:
            case ast.Import(names=names):
                imports += [(node.lineno, each.name) for each in names]
                aliases |= {each.asname or each.name.partition(".")[0]: _bound(each) for each in names}
            case ast.ImportFrom(module=module, names=names, level=level):
                of = "." * level + (module or "")
                imports += [(node.lineno, f"{of}.{each.name}") for each in names]
                aliases |= {each.asname or each.name: f"{of}.{each.name}" for each in names}
    return Source(path=path, text=text, tree=tree, nodes=nodes, imports=tuple(imports), aliases=aliases)


def lies_in(name: str, places: tuple[str, ...], separator: str) -> bool:
    """Whether *name* is one of *places* or is within one: `schemas.codec.decode` lies in `schemas.codec`."""
    return any(name == place or name.startswith(place.rstrip(separator) + separator) for place in places)


def within(node: ast.AST) -> Iterator[ast.AST]:
    """Everything within *node* that runs when it does: not what stands in functions and classes within it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, Function | ast.Lambda | ast.ClassDef):
            yield child
            yield from within(child)


def _bound(imported: ast.alias) -> str:
    """`import a.b` binds `a`; `import a.b as c` binds `c` to `a.b`."""
    return imported.name if imported.asname else imported.name.partition(".")[0]
