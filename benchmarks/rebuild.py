"""
`python -m benchmarks.rebuild`: a log of a million events rebuilt beside the live one. Edge: processes, /proc, Kafka.

Prints events a second, and CPU and memory by process over time; with `--profile` the ten dearest functions of one of
the processes that read (py-spy). The log is gone afterwards,
unless `--folder` names where to keep it: the next run there need not fill it.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import sqlalchemy as sa

from benchmarks.cpu import seconds_of
from benchmarks.long_log import fill
from benchmarks.profile import dearest
from consumers.extent import ends_of
from consumers.log import Source
from ops import catalog_file, settings, stack
from ops.database import SETTINGS, engine, migrate
from ops.operator_log import make_topics, publish_catalog
from ops.server import Server
from ops.settings import EXAMPLE_CATALOG, Environment
from schemas.topics import EVENTS, KEEP_FOR_EVER, topics

LIVE, SETTINGS_SCHEMA = "entitlements", "entitle_settings"
PARTITIONS = 6
SAMPLE_S = 5.0
PARENT = "rebuild"


def main() -> None:
    """Fill the log where it is not there, rebuild it, and print what that took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rebuild", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--folder", type=Path, help="where to keep the log; without it a temporary folder")
    parser.add_argument("--profile", action="store_true", help="needs py-spy")
    options = parser.parse_args()
    with ExitStack() as until_done:
        if options.folder is None:
            options.folder = Path(until_done.enter_context(TemporaryDirectory(prefix="entitle-rebuild-")))
        options.folder.mkdir(parents=True, exist_ok=True)
        print(f"the log is in {options.folder}", file=sys.stderr)
        _run(options)


def _run(options: argparse.Namespace) -> None:
    with stack.running(options.folder, say=lambda line: print(line, file=sys.stderr)) as servers:
        if servers.database is None or servers.kafka is None:
            raise SystemExit("the benchmark needs the embedded servers: it counts their CPU")
        source = Source(bootstrap=servers.kafka.address)
        _prepare(source, options.events)
        url = settings.database_url(Environment(variables={"ENTITLE_DATABASE_URL": servers.database.address}))
        _empty(url)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ENTITLE_")},
            "ENTITLE_DATABASE_URL": servers.database.address,
            "ENTITLE_KAFKA": servers.kafka.address,
            "ENTITLE_LOG_LEVEL": "warning",
        }
        _measure(environment, servers.database, servers.kafka, options)


def _measure(environment: Mapping[str, str], database: Server, kafka: Server, options: argparse.Namespace) -> None:
    command = [sys.executable, "-m", "ops", "rebuild", "--no-follow", "--processes", str(options.processes)]
    started = time.monotonic()
    process = subprocess.Popen(command, env=dict(environment))
    pids = {PARENT: process.pid, "PostgreSQL": database.pid or 0, "Kafka": kafka.pid or 0}
    first = before = seconds_of(pids)
    at, spy = started, None
    print("| seconds | CPU of a core: rebuild, PostgreSQL, Kafka | MB |\n|---|---|---|")
    while process.poll() is None:
        time.sleep(min(0.2, SAMPLE_S))
        if spy is None and options.profile and time.monotonic() - started > 2 * SAMPLE_S:
            spy = _spy(process.pid, options.folder / "samples")
        if time.monotonic() - at >= SAMPLE_S:
            now, used = time.monotonic(), seconds_of(pids)
            shares = ", ".join(f"{(used[name] - before[name]) / (now - at):.2f}" for name in pids)
            sizes = ", ".join(f"{_megabytes(pid):.0f}" for pid in pids.values())
            print(f"| {now - started:.0f} | {shares} | {sizes} |", flush=True)
            at, before = now, used
    seconds = time.monotonic() - started
    used = seconds_of({name: pid for name, pid in pids.items() if name != PARENT})
    waited = os.times()
    cpu = {name: value - first[name] for name, value in used.items()} | {
        PARENT: waited.children_user + waited.children_system
    }
    if process.returncode:
        raise SystemExit("the rebuild failed")
    print(f"\n{options.events:,} events in {seconds:.1f} s, {options.events / seconds:,.0f}/s, all of it included")
    print("CPU us an event: " + ", ".join(f"{name} {1e6 * value / options.events:.0f}" for name, value in cpu.items()))
    if spy is not None:
        spy.wait()
        print("\n".join(dearest((options.folder / "samples").read_text(encoding="utf-8").splitlines())))


def _prepare(source: Source, events: int) -> None:
    wanted = topics(
        event_partitions=PARTITIONS, event_retention_ms=KEEP_FOR_EVER, replication_factor=1, min_insync_replicas=1
    )
    make_topics(source, wanted, lambda line: print(line, file=sys.stderr))
    there = sum(ends_of(source, [EVENTS]).values())
    if there == 0:
        document = catalog_file.load(EXAMPLE_CATALOG).document
        publish_catalog(source, document, applied_by="benchmark", in_force_from=None, at=datetime.now(UTC))
        fill(source, PARTITIONS, events)
    elif there != events:
        raise SystemExit(f"the log in that folder has {there:,} events, not {events:,}: name another folder")


def _empty(url: str) -> None:
    on = engine(url, LIVE)
    with on.begin() as connection:
        for name in (LIVE, f"{LIVE}_rebuild", f"{LIVE}_before"):
            connection.execute(sa.text(f"DROP SCHEMA IF EXISTS {name} CASCADE"))
    migrate(on, LIVE)
    migrate(on, SETTINGS_SCHEMA, SETTINGS)
    on.dispose()


def _megabytes(pid: int) -> float:
    """Resident memory of a process and its children, what they share counted once (Pss)."""
    total = 0
    for each in (pid, *_descendants(pid)):
        try:
            rollup = Path(f"/proc/{each}/smaps_rollup").read_text(encoding="utf-8")
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total / 1024


def _descendants(pid: int) -> list[int]:
    try:
        children = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()]
    except OSError:
        return []
    return [found for child in children for found in (child, *_descendants(child))]


def _spy(parent: int, to: Path) -> subprocess.Popen[bytes]:
    """py-spy on one of the processes that read, for a while."""
    (child, *_) = _descendants(parent) or (parent,)
    arguments = ["record", f"--pid={child}", "--format=raw", f"--output={to}", "--rate=200", "--duration=15"]
    program = Path(sys.executable).with_name("py-spy")
    command = [str(program), *arguments, "--nolineno", "--nonblocking", "--gil"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
