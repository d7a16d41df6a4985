"""
`python -m benchmarks.check`: checks a second, and how long one takes, beside others in the same run. Edge: terminal.

Needs wrk and nginx (`apt install wrk nginx-light`). The load comes from wrk, one thread, on the same machine. The table
is Markdown, as in docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.check.filling import fill
from benchmarks.contenders import TOKEN
from benchmarks.cpu import seconds_of
from benchmarks.webhooks import API, PRICE
from entitlements.domain.facts import CatalogRevision
from entitlements.domain.identity import canonical_json
from entitlements.store import record
from ops import settings, stack
from ops.catalog_file import load
from ops.database import SETTINGS, engine, migrate
from ops.server import port_answers, tied

CONNECTIONS = (1, 32, 128)
KNOWN = 1_000
"""Customers that are asked about again and again, where answers are to come from memory."""

SMALLEST_MB = "1"
START_S = 60.0
HERE = Path(__file__).parent
EVALUATION = json.dumps(
    {
        "subject": {"type": "customer", "id": "{customer}"},
        "action": {"name": "invoke"},
        "resource": {"type": "api", "id": API},
    }
)
CATALOG = f"""
catalog: 1
integrations: {{main: {{mode: test, signing_secrets_env: SECRETS}}}}
marketplaces: {{acme: {{integration: main, name: Acme}}}}
products:
  product: {{marketplace: acme, plans: {{plan: {{cost: paid, stripe_prices: [{PRICE}], apis: [{API}]}}}}}}
routes: [{{host: api.example.com, path: /orders/**, api: {API}}}]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is asked: *first* and *count* say which customers. *processes* are counted."""

    name: str
    port: int
    method: str
    path: str
    headers: tuple[str, ...]
    processes: Mapping[str, int]
    body: str = ""
    first: int = 0
    count: int = KNOWN


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
    with tempfile.TemporaryDirectory(prefix="entitle-check-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with stack.running(folder / "servers", kafka=False, say=_say) as servers:
            if servers.database is None or servers.database.pid is None:
                raise ValueError("the benchmark needs the embedded PostgreSQL: it counts its CPU")
            database, pid = servers.database.address, servers.database.pid
            for grants in options.grants:
                _prepare(database, folder)
                customers = fill(database, grants=grants)
                _say(f"{grants} grants of {customers} customers")
                with _everybody(database, pid, folder, customers) as targets:
                    for target in targets:
                        if options.only in target.name:
                            rows += _measured(target, grants, options.seconds)
    print("\n".join(_table(rows)))


def _measured(target: Target, grants: int, seconds: float) -> Iterator[Row]:
    _ask(target, connections=32, seconds=1.0)
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


def _ask(target: Target, *, connections: int, seconds: float) -> Came:
    """Raises `ValueError` where a tenth is no 200: then there is nothing to measure. A miss may be given up (503)."""
    asked = [target.method, target.path, target.body, str(target.first), str(target.count), *target.headers]
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(HERE / "ask.lua")]
    url = f"http://127.0.0.1:{target.port}"
    done = subprocess.run([*command, url, "--", *asked], capture_output=True, text=True, check=True)
    came = msgspec.json.decode(done.stdout.strip().splitlines()[-1], type=Came)
    if came.errors * 10 > came.requests and not target.name.startswith("miss"):
        raise ValueError(f"{target.name} gave {came.errors} answers that were no 200, of {came.requests}")
    return came


def _prepare(database: str, folder: Path) -> None:
    """Tables, and a catalog as if it had come by the log."""
    url = settings.database_url(settings.Environment(variables={"ENTITLE_DATABASE_URL": database}))
    on = engine(url, "entitlements")
    migrate(on, "entitlements")
    migrate(on, "entitle_settings", SETTINGS)
    path = folder / "catalog.yaml"
    path.write_text(CATALOG, encoding="utf-8")
    revision = CatalogRevision(
        number=1, in_force_from=None, applied_by="benchmark", document=canonical_json(load(path).document)
    )
    with on.begin() as connection:
        record(connection, [revision])
    on.dispose()


@contextmanager
def _everybody(database: str, pid: int, folder: Path, customers: int) -> Iterator[Sequence[Target]]:
    postgres = {"PostgreSQL": pid}
    ours = {
        "ENTITLE_DATABASE_URL": database,
        "ENTITLE_QUERY_TOKENS": TOKEN,
        "ENTITLE_CREDENTIALS": "subject:X-Subject",
    }
    with (
        _running([sys.executable, "-P", "-m", "ops", "query"], folder, ours) as warm,
        _running(
            [sys.executable, "-P", "-m", "ops", "query"], folder, ours | {"ENTITLE_MEMORY_MB": SMALLEST_MB}
        ) as cold,
        _running(
            [
                sys.executable,
                "-m",
                "uvicorn",
                "--factory",
                "benchmarks.check.select_one:application",
                "--loop=uvloop",
                "--http=httptools",
                "--no-access-log",
                "--log-level=warning",
            ],
            folder,
            {"CHECK_DATABASE": database},
        ) as opponent,
        _nginx(folder) as nginx,
    ):
        json_headers = (f"Authorization: Bearer {TOKEN}", "Content-Type: application/json")
        gateway = (f"Entitlement-Gateway-Token: {TOKEN}", "X-Subject: customer:{customer}")
        forwarded = ("X-Forwarded-Method: GET", "X-Forwarded-Host: api.example.com", "X-Forwarded-Uri: /orders/1?x=2")
        known = min(KNOWN, customers)

        def target(name: str, on: tuple[int, int], path: str, *headers: str, **given: object) -> Target:
            what = {"method": "GET", "count": known, "processes": {"server": on[1], **postgres}} | given
            return Target(name=name, port=on[0], path=path, headers=headers, **what)  # type: ignore[arg-type]

        evaluation = {"method": "POST", "body": EVALUATION}
        yield (
            target("FastAPI + asyncpg, one SELECT", opponent, "/check/{customer}"),
            target("hit: AuthZEN evaluation", warm, "/access/v1/evaluation", *json_headers, **evaluation),
            target("hit: /v1/check", warm, "/v1/check", *gateway, *forwarded),
            target("hit: /v1/ext-authz", warm, "/v1/ext-authz/orders/1", *gateway, "Host: api.example.com"),
            target(
                "miss: AuthZEN evaluation", cold, "/access/v1/evaluation", *json_headers, **evaluation, count=customers
            ),
            target("nginx, 204", nginx, "/"),
        )


@contextmanager
def _running(command: Sequence[str], folder: Path, given: Mapping[str, str]) -> Iterator[tuple[int, int]]:
    """The port and the pid of a server that listens."""
    port = settings.free_address().port
    if "uvicorn" in command:
        command = [*command, f"--port={port}"]
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment |= {"ENTITLE_QUERY_ADDRESS": f"127.0.0.1:{port}", **given}
    with (folder / "servers.log").open("ab") as log:
        process = subprocess.Popen(tied(command, signal.SIGTERM), env=environment, stdout=log, stderr=log)
    try:
        _wait_for(port, process, folder / "servers.log")
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _nginx(folder: Path) -> Iterator[tuple[int, int]]:
    """One worker that answers 204 and does nothing else."""
    port = settings.free_address().port
    (folder / "nginx.conf").write_text(
        f"""
        daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
        events {{ worker_connections 1024; }}
        http {{
            access_log off; keepalive_requests 100000000;
            client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
            uwsgi_temp_path {folder}; scgi_temp_path {folder};
            server {{ listen 127.0.0.1:{port}; location / {{ return 204; }} }}
        }}
        """,
        encoding="utf-8",
    )
    process = subprocess.Popen(["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "nginx.log")])
    try:
        _wait_for(port, process, folder / "nginx.log")
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while not port_answers(port):
        if time.monotonic() > deadline or process.poll() is not None:
            raise TimeoutError(f"a server did not start; the end of {log}:\n{log.read_text()[-2000:]}")
        time.sleep(0.1)
    time.sleep(1.0)


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
