"""The two that are measured, each started the way it is run: our whole pipeline, and the baseline. Edge: processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from benchmarks import baseline
from benchmarks.webhooks import API, CUSTOMER_LENGTH, SECRET
from ops import settings, stack
from ops.server import Server, port_answers, tied
from ops.settings import Environment
from ops.up import FEED, pipeline, wait_until_ready
from schemas.topics import CONSUMER_GROUPS, EVENTS

START_S = 20.0
TOKEN = "gateway_benchmark"  # noqa: S105  # made up, for a listener of 127.0.0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """
    Who is measured: where webhooks go and what an accepted one is told, what is asked and what is told once it may.

    *processes* are pids by name; *recorded* says how many events are recorded by now, by all who record them.
    """

    name: str
    port: int
    path: str
    accepted: str
    query_port: int
    question: str
    allowed: str
    processes: Mapping[str, int]
    recorded: Callable[[], int] | None


@contextmanager
def ours(servers: stack.Stack, folder: Path, *, with_feed: bool = False) -> Iterator[Contender]:
    """
    Ingest, the consumers and the query process, as `entitle up` runs them, on servers that run already.

    What tells gateways of changes runs beside them only *with_feed*: the baselines have nothing like it.
    """
    database, kafka = _both(servers)
    environment = Environment(
        variables=MappingProxyType(
            {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
            | {
                "ENTITLE_DATABASE_URL": database.address,
                "ENTITLE_KAFKA": kafka.address,
                "ENTITLE_INGEST_ADDRESS": str(settings.free_address()),
                "ENTITLE_QUERY_ADDRESS": str(settings.free_address()),
                "ENTITLE_QUERY_TOKENS": TOKEN,
                "STRIPE_SIGNING_SECRETS": SECRET,
            }
        )
    )
    with pipeline(environment, folder, _quietly, without=() if with_feed else FEED) as running:
        wait_until_ready(running)

        def recorded() -> int:
            running.supervisor.look_after()
            offsets = running.edge.next_offsets()
            totals = [
                sum(offset for place, offset in offsets.get(group, {}).items() if place.startswith(EVENTS))
                for group in CONSUMER_GROUPS
            ]
            return min(totals)

        yield Contender(
            name="entitle",
            port=settings.ingest_address(environment).port,
            path="/webhooks/stripe/main",
            accepted='"status":"published"',
            query_port=settings.query_address(environment).port,
            question=_question(),
            allowed='"decision":true',
            processes={**running.supervisor.pids(), "Kafka": _pid(kafka), "PostgreSQL": _pid(database)},
            recorded=recorded,
        )


@contextmanager
def a_baseline(name: str, servers: stack.Stack, folder: Path) -> Iterator[Contender]:
    """Two workers of the baseline of that name, on the same PostgreSQL."""
    database, _ = _both(servers)
    baseline.make_table(database.address)
    port = settings.free_address().port
    uvicorn = [sys.executable, "-m", "uvicorn", "--factory", f"benchmarks.baseline:{name}", f"--port={port}"]
    options = ["--workers=2", "--loop=uvloop", "--http=httptools", "--no-access-log", "--log-level=warning"]
    with (folder / "baseline.log").open("ab") as log:
        process = subprocess.Popen(
            tied([*uvicorn, *options], signal.SIGTERM),
            env=dict(os.environ) | {"BASELINE_DATABASE": database.address},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + START_S
        while not port_answers(port):
            if time.monotonic() > deadline or process.poll() is not None:
                raise TimeoutError(f"the baseline did not start; its log is {folder / 'baseline.log'}")
            time.sleep(0.1)
        time.sleep(2.0)  # the port answers before both workers do
        yield Contender(
            name=name,
            port=port,
            path="/webhooks/stripe",
            accepted='"status":"recorded"',
            query_port=port,
            question=f"GET /entitlements/{{customer}}/{API} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
            allowed='"decision":true',
            processes={"workers": process.pid, "PostgreSQL": _pid(database)},
            recorded=None,
        )
    finally:
        process.terminate()
        process.wait()


@contextmanager
def without_kafka(servers: stack.Stack) -> Iterator[None]:
    """Kafka stands still meanwhile, and uses no processor: who does without should not pay for one."""
    _, kafka = _both(servers)
    os.kill(_pid(kafka), signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(_pid(kafka), signal.SIGCONT)


def _question() -> str:
    """What a gateway asks (AuthZEN), about now."""
    body = json.dumps(
        {
            "subject": {"type": "customer", "id": "{customer}"},
            "action": {"name": "invoke"},
            "resource": {"type": "api", "id": API},
        }
    )
    length = len(body) - len("{customer}") + CUSTOMER_LENGTH
    return (
        "POST /access/v1/evaluation HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {TOKEN}\r\nContent-Length: {length}\r\n\r\n{body}"
    )


def _both(servers: stack.Stack) -> tuple[Server, Server]:
    if servers.database is None or servers.kafka is None:
        raise ValueError("the benchmark needs both servers of the embedded stack: it counts their CPU")
    return servers.database, servers.kafka


def _pid(server: Server) -> int:
    if server.pid is None:
        raise ValueError(f"{server.name} has ended; its log is {server.log}")
    return server.pid


def _quietly(_: str) -> None:
    """What `entitle up` would tell a person."""
