"""Where the program touches the world: environment, clock, transactions, terminal; no error goes unseen. Pure."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.house_rules.rooms import OURS
from tests.house_rules.source import Rule, Source, Violation, lies_in, within

ENVIRONMENT = frozenset({"os.environ", "os.environb", "os.getenv", "os.getenvb", "os.putenv", "os.unsetenv"})
ENVIRONMENT_READERS = ("ops", "benchmarks", "tests")

CLOCK = frozenset(
    [f"datetime.datetime.{name}" for name in ("now", "utcnow", "today")]
    + ["datetime.date.today", "time.gmtime", "time.localtime"]
    + [f"time.{name}{unit}" for name in ("time", "monotonic", "perf_counter", "process_time") for unit in ("", "_ns")]
)
CLOCK_READERS = (
    "consumers/log.py",  # how long ago the offsets were told to Kafka
    "consumers/runner.py",  # how long a batch took, and how long to wait
    "ops",
    "tests",
    "benchmarks",
)
"""The edges that read the clock; below them time is an argument. `func.now()` is Postgres' clock, and never decides."""

TRANSACTION = frozenset({"begin", "begin_nested", "begin_twophase", "commit", "rollback"})
TRANSACTION_OWNERS = (
    "benchmarks/batches.py",
    "benchmarks/rebuild.py",  # the schemas of the run before are dropped
    "consumers/batch.py",  # and a savepoint for each record, to find the one that the database refuses
    "consumers/boundaries.py",  # what is due, and what is due next
    "consumers/log.py",  # Kafka's committed offset, for lag tools
    "consumers/relay.py",  # each step of the feed
    "benchmarks/check/servers.py",  # a catalog, as if it had come by the log
    "entitlements/api/snapshot_stream.py",  # one moment for all that is sent
    "entitlements/api/snapshots.py",  # each question and each change of settings is a transaction
    "ops",
    "tests",
)
"""Who begins and commits; everybody else works on the connection that is handed in."""

PRINTERS = (
    "ops",
    "benchmarks",
    "tests/acceptance/freshness.py",  # a program of its own, which says the worst in tests too
    "tests/acceptance/misread.py",  # a program of its own, which plays fifty thousand events
    "tests/acceptance/shared.py",  # a program of its own, run by `make test`
    "tests/acceptance/storm.py",  # a program of its own
    "tests/histories/__main__.py",  # a program of its own
    "tests/conftest.py",  # says which servers the tests run on
)
EVERYTHING = (None, "Exception", "BaseException", "builtins.Exception", "builtins.BaseException")
KEEPERS = (
    "ops/http_connection.py",  # a fault of a shortcut is logged, and the application asked in its place
    "tests/integration/test_store.py",  # what threads raised, for the test to compare
    "tests/yard.py",  # what the runner's thread raised, for the test's own to raise
)
"""Who may catch everything without raising, where the exception that was caught is handed on in a call."""


def reads_no_environment(source: Source) -> Iterator[Violation]:
    """The environment is read in ops/ alone."""
    if lies_in(source.path, ENVIRONMENT_READERS, "/"):
        return
    for line, name in _named(source, ENVIRONMENT):
        text = f"reads {name}: settings are read in ops/ and handed down as frozen values"
        yield Violation(path=source.path, line=line, text=text, rule="reads_no_environment")


def reads_no_clock(source: Source) -> Iterator[Violation]:
    """The clock is read at the edges alone."""
    if lies_in(source.path, CLOCK_READERS, "/"):
        return
    for line, name in _named(source, CLOCK):
        text = f"reads the clock ({name}): take the moment as an argument; an edge reads it once and hands it down"
        yield Violation(path=source.path, line=line, text=text, rule="reads_no_clock")


def leaves_transactions_to_the_edge(source: Source) -> Iterator[Violation]:
    """One batch, one transaction, begun and committed by the edge that owns it."""
    if lies_in(source.path, TRANSACTION_OWNERS, "/"):
        return
    for call in source.calls():
        if not isinstance(call.func, ast.Attribute) or call.func.attr not in TRANSACTION:
            continue
        if lies_in(source.meaning(call.func) or "", OURS, "."):  # a function of ours that has such a name
            continue
        text = f"calls .{call.func.attr}(): take the connection as an argument; its owner begins and commits"
        yield Violation(path=source.path, line=call.lineno, text=text, rule="leaves_transactions_to_the_edge")


def prints_nothing(source: Source) -> Iterator[Violation]:
    """Only ops/ talks to the person at the terminal."""
    if lies_in(source.path, PRINTERS, "/"):
        return
    for call in source.calls():
        if source.meaning(call.func) == "print":
            text = "prints: log it, raise it, or return it for ops/ to show"
            yield Violation(path=source.path, line=call.lineno, text=text, rule="prints_nothing")


def swallows_nothing(source: Source) -> Iterator[Violation]:
    """No handler takes every exception and raises none; one that hands it to another thread is in a table."""
    for node in source.nodes:
        match node:
            case ast.ExceptHandler(type=kind):
                takes_all = any((source.meaning(each) if each else None) in EVERYTHING for each in _members(kind))
                raises = any(isinstance(each, ast.Raise) for each in within(node))
                silent = takes_all and not raises and not (source.path in KEEPERS and _hands_on(node))
            case ast.Call(func=function, args=kinds):
                silent = source.meaning(function) == "contextlib.suppress" and any(
                    source.meaning(each) in EVERYTHING[1:] for each in kinds
                )
            case _:
                continue
        if silent:
            text = "swallows every exception: name the one that is expected, and let the others end the process"
            yield Violation(path=source.path, line=node.lineno, text=text, rule="swallows_nothing")


def reads_types_when_imported(source: Source) -> Iterator[Violation]:
    """
    What msgspec reads into a type of ours is read by a `Decoder` that the module made when it was imported.

    msgspec 0.22 works a type out when it is first read, and several threads that are the first end the process.
    """
    if source.path.startswith(("tests/", "benchmarks/")):
        return
    made_late = {id(call) for function in source.functions() for call in within(function)}
    for node in source.calls():
        meaning = source.meaning(node.func)
        is_decode = meaning == "msgspec.json.decode" and any(each.arg == "type" for each in node.keywords)
        if is_decode or (meaning == "msgspec.json.Decoder" and id(node) in made_late):
            text = "two threads that are the first to read a type end the process: make a msgspec.json.Decoder on top"
            yield Violation(path=source.path, line=node.lineno, text=text, rule="reads_types_when_imported")


def _named(source: Source, names: frozenset[str]) -> Iterator[tuple[int, str]]:
    for node in source.nodes:
        if isinstance(node, ast.Name | ast.Attribute):
            name = source.meaning(node)
            if name in names:
                yield node.lineno, name


def _members(kind: ast.expr | None) -> list[ast.expr | None]:
    if isinstance(kind, ast.Tuple):
        return [member for each in kind.elts for member in _members(each)]
    return [kind]


def _hands_on(handler: ast.ExceptHandler) -> bool:
    return handler.name is not None and any(
        isinstance(argument, ast.Name) and argument.id == handler.name
        for call in within(handler)
        if isinstance(call, ast.Call)
        for argument in call.args
    )


EDGE_RULES: tuple[Rule, ...] = (
    reads_no_environment,
    reads_no_clock,
    leaves_transactions_to_the_edge,
    prints_nothing,
    swallows_nothing,
    reads_types_when_imported,
)
