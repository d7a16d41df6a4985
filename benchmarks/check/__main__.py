"""
`python -m benchmarks.check`: checks a second, and how long one takes, beside others in the same run. Edge: terminal.

Needs wrk and nginx (`apt install wrk nginx-light`). The load comes from wrk, one thread, on the same machine. The table
is Markdown, as in docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.check.filling import fill
from benchmarks.check.servers import Target, everybody, prepare
from benchmarks.cpu import seconds_of
from ops import stack

CONNECTIONS = (1, 32, 128)
WARM_UPS = 20
"""Seconds at most until all are known who are asked about: each begins with the first of them."""

HERE = Path(__file__).parent


class Came(msgspec.Struct, frozen=True):
    """What wrk saw."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    errors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table."""

    grants: int
    name: str
    connections: int
    came: Came
    cpu: Mapping[str, float]
    memory_mb: int


def main() -> None:
    """Measure all, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.check", description=__doc__)
    parser.add_argument("--grants", type=int, nargs="+", default=[10_000], help="how many there are, rising")
    parser.add_argument("--only", default="", help="measure those alone whose name has this in it")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each measurement")
    options = parser.parse_args()
    if missing := [name for name in ("wrk", "nginx") if shutil.which(name) is None]:
        sys.exit(f"{' and '.join(missing)} cannot be found: apt install wrk nginx-light")
    rows: list[Row] = []
    for grants in options.grants:
        with tempfile.TemporaryDirectory(prefix="entitle-check-", ignore_cleanup_errors=True) as name:
            rows += _beside_others(Path(name), grants, options.seconds, options.only)
    print("\n".join(_table(rows)))


def _beside_others(folder: Path, grants: int, seconds: float, only: str) -> Iterator[Row]:
    with stack.running(folder / "servers", kafka=False, say=_say) as servers:
        if servers.database is None or servers.database.pid is None:
            raise ValueError("the benchmark needs the embedded PostgreSQL: it counts its CPU")
        database, pid = servers.database.address, servers.database.pid
        prepare(database, folder)
        customers = fill(database, grants=grants)
        _say(f"{grants} grants of {customers} customers")
        with everybody(database, pid, folder, customers) as targets:
            for target in targets:
                if only in target.name:
                    yield from _measured(target, grants, seconds)


def _measured(target: Target, grants: int, seconds: float) -> Iterator[Row]:
    for _ in range(WARM_UPS):
        came = _ask(target, connections=8, seconds=1.0, strictly=False)
        if came.requests > target.count and not came.errors:
            break  # all of them are known
    for connections in CONNECTIONS:
        before = seconds_of(target.processes)
        came = _ask(target, connections=connections, seconds=seconds)
        after = seconds_of(target.processes)
        _say(f"{target.name}, {connections} connections: {came.requests / came.seconds:.0f}/s, p99 {came.p99_ms} ms")
        yield Row(
            grants=grants,
            name=target.name,
            connections=connections,
            came=came,
            cpu={name: (after[name] - before[name]) / came.requests * 1e6 for name in before},
            memory_mb=_memory_mb(next(iter(target.processes.values()))),
        )


def _ask(target: Target, *, connections: int, seconds: float, strictly: bool = True) -> Came:
    """Raises `ValueError` where a tenth is no 200: then there is nothing to measure. A miss may be given up (503)."""
    asked = [target.method, target.path, target.body, str(target.first), str(target.count), *target.headers]
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(HERE / "ask.lua")]
    url = f"http://127.0.0.1:{target.port}"
    done = subprocess.run([*command, url, "--", *asked], capture_output=True, text=True, check=True)
    came = msgspec.json.decode(done.stdout.strip().splitlines()[-1], type=Came)
    if strictly and came.errors * 10 > came.requests and not target.name.startswith("miss"):
        raise ValueError(f"{target.name} gave {came.errors} answers that were no 200, of {came.requests}")
    return came


def _memory_mb(pid: int) -> int:
    """What the process has in memory; nginx' master has little, its worker little more."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.partition("VmRSS:")[2].split()[0]) // 1024


def _table(rows: Sequence[Row]) -> Iterator[str]:
    """Markdown. The last column divides the rate by that of the opponent with as many connections and grants."""
    slowest = {(row.grants, row.connections): row for row in reversed(rows) if row.name.startswith("FastAPI")}
    yield "| grants | | connections | a second | p50 ms | p99 ms | CPU µs each | 503s | server MB | to FastAPI |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for row in rows:
        rate = row.came.requests / row.came.seconds
        beside = slowest.get((row.grants, row.connections))
        opponent = None if beside is None else beside.came
        cpu = ", ".join(f"{name} {used:.0f}" for name, used in row.cpu.items())
        cells = (
            row.grants,
            row.name,
            row.connections,
            f"{rate:.0f}",
            f"{row.came.p50_ms:.2f}",
            f"{row.came.p99_ms:.2f}",
            cpu,
            row.came.errors,
            row.memory_mb,
            "" if opponent is None else f"{rate * opponent.seconds / opponent.requests:.1f}",
        )
        yield f"| {' | '.join(map(str, cells))} |"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
