"""Which files of the rooms that aren't pure may reach the world, and through what of the standard library."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator

from tests.house_rules.edges import CLOCK, CLOCK_READERS, ENVIRONMENT
from tests.house_rules.prose import claims_to_be_pure
from tests.house_rules.rooms import PURE_STANDARD_LIBRARY, SIDE_DOORS, room_of
from tests.house_rules.source import Rule, Source, Violation, lies_in

STANDARD_LIBRARY = {
    "asyncio": (
        "ingest",
        "entitlements/api/changes.py",
        "entitlements/api/flights.py",
        "entitlements/api/memory.py",
        "entitlements/api/snapshot_stream.py",
        "entitlements/api/snapshots.py",
    ),
    "concurrent.futures": (
        "entitlements/api/snapshot_stream.py",
        "entitlements/api/snapshots.py",
        "ingest/stripe_api.py",
    ),
    "http.HTTPStatus": ("ingest", "entitlements/api"),
    "io.StringIO": ("entitlements/rows.py",),  # what psycopg2 takes for COPY
    "logging": ("ingest", "entitlements/api", "consumers"),
    "os": (
        "entitlements/api/listening.py",  # a pipe, by which the thread is woken
        "ingest/app.py",  # chance, for the names of deliveries
    ),
    "pathlib": ("entitlements/migrations",),  # the SQL that stands beside its step
    "secrets": ("entitlements/api/keys.py",),  # API keys are made where they are told
    "socket": ("ingest/brokers.py",),  # the options of sockets that kafka-python makes
    "selectors.DefaultSelector": ("ingest/brokers.py",),  # which the event loop watches for kafka-python
    "select": ("consumers/relay.py", "entitlements/api/listening.py"),
    "threading": (
        "consumers/boundaries.py",
        "consumers/relay.py",
        "consumers/runner.py",
        "entitlements/api/listening.py",
        "entitlements/api/memory.py",
        "ingest/brokers.py",  # a broker's addresses are asked for aside
    ),
    "time": CLOCK_READERS,
    "urllib.parse": ("entitlements/api/requests.py",),
    "zlib": ("entitlements/api/snapshot_stream.py",),
}
"""
Where a part of the standard library may be imported, besides ops/, tests and what computes; one that isn't here
(sockets, HTTP clients, processes, other databases) may be imported in ops/ and tests alone.
"""

OTHER_RULES_SPEAK_OF = CLOCK | ENVIRONMENT | SIDE_DOORS
FREE = ("ops", "tests", "benchmarks")

WAYS_OUT = (
    *(f"os.{name}" for name in ("exec", "fork", "popen", "posix_spawn", "spawn", "system")),
    "asyncio.create_subprocess",
    "asyncio.open_",
    "asyncio.start_",
    "asyncio.subprocess",
)
"""How the names begin that open connections and start processes, in modules that some file may import."""


def reaches_the_world_at_home(source: Source) -> Iterator[Violation]:
    """Networks, processes, files and threads are taken from the standard library where a table says so."""
    room = room_of(source)
    if lies_in(source.path, FREE, "/") or room is None or room.pure or claims_to_be_pure(source):
        return
    for line, name in source.imports:
        module = name.partition(".")[0]
        if module not in sys.stdlib_module_names or module in PURE_STANDARD_LIBRARY or name in OTHER_RULES_SPEAK_OF:
            continue
        homes = [home for part, places in STANDARD_LIBRARY.items() if lies_in(name, (part,), ".") for home in places]
        if not lies_in(source.path, tuple(homes), "/"):
            where = ", ".join((*homes, *FREE))
            text = f"imports {name}, which is at home in {where}: use it there, or change STANDARD_LIBRARY"
            yield Violation(path=source.path, line=line, text=text, rule="reaches_the_world_at_home")
    for node in source.nodes:
        if isinstance(node, ast.Name | ast.Attribute) and (name := source.meaning(node) or "").startswith(WAYS_OUT):
            text = f"uses {name}: connections are opened by the room's own libraries, processes are started in ops/"
            yield Violation(path=source.path, line=node.lineno, text=text, rule="reaches_the_world_at_home")


STANDARD_LIBRARY_RULES: tuple[Rule, ...] = (reaches_the_world_at_home,)
