"""Who is asked: our query process, what one writes by hand, and nginx that answers at once. Edge: processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders import TOKEN
from benchmarks.webhooks import API, PRICE
from entitlements.domain.facts import CatalogRevision
from entitlements.domain.identity import canonical_json
from entitlements.store import record
from ops import settings
from ops.catalog_file import load
from ops.database import SETTINGS, engine, migrate
from ops.server import port_answers, tied

KNOWN = 1_000
"""Customers that are asked about again and again, where answers are to come from memory."""

SMALLEST_MB = "1"
START_S = 60.0
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


def prepare(database: str, folder: Path) -> None:
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
def everybody(database: str, pid: int, folder: Path, customers: int) -> Iterator[Sequence[Target]]:
    """
    Everybody who is asked, running: ours with its usual memory and with the smallest, and the opponents.

    Long because it says of each what it is asked.
    """
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
