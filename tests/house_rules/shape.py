"""What code looks like: names, inheritance, dataclasses, lengths. Pure."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator

from tests.house_rules.source import Documented, Rule, Source, Violation

NAMES_OF_NOTHING = frozenset({"base", "common", "helper", "helpers", "manager", "services", "service", "util", "utils"})

BASES = frozenset(
    ["enum.Enum", "enum.Flag", "enum.IntEnum", "enum.StrEnum", "msgspec.Struct"]
    + [f"typing.{name}" for name in ("Generic", "NamedTuple", "Protocol", "TypedDict")]
)
BASES_THAT_LIBRARIES_ASK_FOR = frozenset(
    {
        "asyncio.Protocol",
        "click.ParamType",
        "http.server.BaseHTTPRequestHandler",
        "kafka.consumer.subscription_state.ConsumerRebalanceListener",
        "kafka.net.KafkaNetSocket",
        "logging.Formatter",
        "prometheus_client.registry.Collector",
        "sqlalchemy.types.UserDefinedType",
    }
)
OUR_EXCEPTIONS = frozenset({"schemas.fields.InvalidMessage"})
"""Exceptions of ours that one in another file may extend."""

POSITIONAL = {
    "entitlements/domain/period.py": ("Period",),  # Period(start, end), as half-open periods are written
    "ops/settings.py": ("Address",),  # Address(host, port), as addresses are written
}
MUTABLE = {
    "consumers/relay.py": ("_Relay",),
    "consumers/runner.py": ("_Runner",),
    "entitlements/api/memory.py": ("_Held", "Kept"),
    "ops/catalog_file.py": ("_Unfolding",),
    "ops/supervisor.py": ("_Child",),
    "tests/remembering.py": ("Clock",),
    "tests/servers.py": ("Servers",),
}
"""What holds the state of something that runs, for its own file and for nobody else to change."""

LONGEST_FILE = 250
LONGEST_FUNCTION = 40
A_REASON = re.compile(r"\blong(er)?\b[^.]*\bbecause\b", re.IGNORECASE)
"""How a docstring says why its file or function is longer than others: "Long because ..."."""


def has_a_telling_name(source: Source) -> Iterator[Violation]:
    """No file or folder is named for nothing in particular."""
    for part in source.path.removesuffix(".py").split("/"):
        if part.rpartition("_")[2] in NAMES_OF_NOTHING:
            text = f"{part} says nothing: name it for what it does, in the words of the design"
            yield Violation(path=source.path, line=1, text=text, rule="has_a_telling_name")


def inherits_little(source: Source) -> Iterator[Violation]:
    """Our classes inherit from each other only where they are exceptions."""
    exceptions = {
        name for name in dir(builtins) if name.endswith(("Exception", "Error", "Warning", "Exit", "Interrupt"))
    }
    for node in source.classes():
        known = BASES | BASES_THAT_LIBRARIES_ASK_FOR | OUR_EXCEPTIONS | exceptions
        names = [source.meaning(base.value if isinstance(base, ast.Subscript) else base) for base in node.bases]
        if names and names[0] in OUR_EXCEPTIONS | exceptions:
            exceptions.add(node.name)  # nodes come from the top down: what extends it comes later
        wrong = [ast.unparse(base) for base, name in zip(node.bases, names, strict=True) if name not in known]
        wrong += [f"{each.arg}={ast.unparse(each.value)}" for each in node.keywords if each.arg == "metaclass"]
        if wrong:
            text = f"{node.name} inherits from {', '.join(wrong)}: hold a value of it, or describe it with a Protocol"
            yield Violation(path=source.path, line=node.lineno, text=text, rule="inherits_little")


def freezes_dataclasses(source: Source) -> Iterator[Violation]:
    """Dataclasses are frozen, slotted and keyword-only."""
    for node in source.classes():
        for decorator in node.decorator_list:
            made_by = decorator.func if isinstance(decorator, ast.Call) else decorator
            if source.meaning(made_by) != "dataclasses.dataclass":
                continue
            wanted = {"slots"}
            if node.name not in MUTABLE.get(source.path, ()):
                wanted.add("frozen")
            if node.name not in POSITIONAL.get(source.path, ()):
                wanted.add("kw_only")
            options = decorator.keywords if isinstance(decorator, ast.Call) else []
            given = {each.arg for each in options if isinstance(each.value, ast.Constant) and each.value.value is True}
            if missing := sorted(wanted - given):
                text = f"the dataclass {node.name} lacks {', '.join(f'{name}=True' for name in missing)}"
                yield Violation(path=source.path, line=node.lineno, text=text, rule="freezes_dataclasses")


def is_short_or_says_why(source: Source) -> Iterator[Violation]:
    """A file over 250 lines and a function over 40, docstring aside, say why in their docstring."""
    lines = len(source.text.splitlines())
    if lines > LONGEST_FILE and not _says_why(source.tree):
        text = f'has {lines} lines: split it, or say in its docstring "Long because ..."'
        yield Violation(path=source.path, line=1, text=text, rule="is_short_or_says_why")
    for function in source.functions():
        lines = (function.end_lineno or function.lineno) - function.lineno + 1 - _docstring_lines(function)
        if lines > LONGEST_FUNCTION and not _says_why(function):
            text = f'{function.name} has {lines} lines: split it, or say in its docstring "Long because ..."'
            yield Violation(path=source.path, line=function.lineno, text=text, rule="is_short_or_says_why")


def _says_why(node: Documented) -> bool:
    return bool(A_REASON.search(ast.get_docstring(node) or ""))


def _docstring_lines(node: Documented) -> int:
    if ast.get_docstring(node) is None:
        return 0
    return (node.body[0].end_lineno or 0) - node.body[0].lineno + 1


SHAPE_RULES: tuple[Rule, ...] = (has_a_telling_name, inherits_little, freezes_dataclasses, is_short_or_says_why)
