"""
`python -m benchmarks.batches`: what a batch costs, decoded, decided and written, without Kafka. Edge: Postgres, /proc.

CPU milliseconds a batch of the process that decides, and of PostgreSQL with all its children; once with a transaction
for each consumer group, as processes apart do it, and once with one for all groups.
"""

from __future__ import annotations

import argparse
import itertools
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from benchmarks.cpu import seconds_of
from benchmarks.webhooks import webhooks
from consumers.batch import Recorder, take, transaction_on
from consumers.record import Record
from consumers.verdicts import Group, Positions
from entitlements import ledger
from entitlements.ledger import Position
from ops import settings, stack
from ops.database import engine, migrate
from ops.processes import group, spare_the_collector
from ops.settings import Environment
from schemas.codec import decode, encode_stripe
from schemas.topics import CONSUMER_GROUPS, EVENTS

SIZES = (1, 10, 30, 120)
SCHEMA = "entitlements"
WARM_UP = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Milliseconds a batch: CPU of who decides, CPU of PostgreSQL, and on the clock."""

    client: float
    database: float
    wall: float


def main() -> None:
    """Measure batches of several sizes, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batches", description=__doc__)
    parser.add_argument("--records", type=int, default=6_000, help="of each size; at least 400 batches")
    parser.add_argument("--rounds", type=int, default=3, help="how often all of it is done; the median is shown")
    options = parser.parse_args()
    spare_the_collector()
    apart = [[group(name)] for name in CONSUMER_GROUPS]
    joint = [[group(name) for name in CONSUMER_GROUPS]]
    with (
        tempfile.TemporaryDirectory(prefix="entitle-batches-", ignore_cleanup_errors=True) as folder,
        stack.running(Path(folder), kafka=False, say=lambda line: print(line, file=sys.stderr)) as servers,
    ):
        if servers.database is None or servers.database.pid is None:
            raise ValueError("the benchmark needs the embedded PostgreSQL: it counts its CPU")
        url = settings.database_url(Environment(variables={"ENTITLE_DATABASE_URL": servers.database.address}))
        database = engine(url, SCHEMA, connections=2, ask_first=False)
        migrate(database, SCHEMA)
        print("| records | groups | client | PostgreSQL | both | on the clock |\n|---|---|---|---|---|---|")
        for size in SIZES:
            count = max(400, options.records // size)
            for name, layout in (("apart", apart), ("joint", joint)):
                costs = [_cost(database, servers.database.pid, layout, size, count) for _ in range(options.rounds)]
                cost = sorted(costs, key=lambda each: each.client + each.database)[len(costs) // 2]
                both = cost.client + cost.database
                print(
                    f"| {size} | {name} | {cost.client:.2f} | {cost.database:.2f} | {both:.2f} | {cost.wall:.2f} |",
                    flush=True,
                )
        database.dispose()


def _cost(database: sa.Engine, pid: int, layout: Sequence[Sequence[Group[Any]]], size: int, count: int) -> Cost:
    records = _records((count + WARM_UP) * size)
    with database.begin() as connection:
        connection.execute(sa.delete(ledger.consumer_offsets))
        starts = [_start(name) for name in CONSUMER_GROUPS]
        ledger.begin(connection, starts)
    positions: Positions = {(start.group, (EVENTS, 0)): start for start in starts}

    recording = partial(transaction_on, database, SCHEMA)
    client, begun, before = 0.0, 0.0, 0.0
    for number in range(count + WARM_UP):
        if number == WARM_UP:
            client, begun, before = time.process_time(), time.monotonic(), seconds_of({"": pid})[""]
        batch = [
            replace(record, offset=number * size + at) for at, record in enumerate(itertools.islice(records, size))
        ]
        for groups in layout:
            recorder = Recorder(transaction=recording, decode=decode, groups=groups, limit=100)
            positions = take(recorder, batch, positions).positions
    client, wall = time.process_time() - client, time.monotonic() - begun
    used = seconds_of({"": pid})[""] - before
    return Cost(client=1000 * client / count, database=1000 * used / count, wall=1000 * wall / count)


def _start(name: str) -> Position:
    return Position(group=name, topic=EVENTS, partition=0, next_offset=0, cluster_id="none", topic_id="none")


def _records(count: int) -> Iterator[Record]:
    """Of webhooks that nobody has seen yet, as ingest publishes them."""
    now = int(time.time())
    made = []
    for each in webhooks(count, run=secrets.token_hex(4), now=now):
        key, value, headers = encode_stripe(integration="main", event=msgspec.json.decode(each.body))
        made.append(
            Record(
                topic=EVENTS,
                partition=0,
                offset=0,
                timestamp=now * 1000,
                key=key,
                value=value,
                headers=tuple(headers),
            )
        )
    return iter(made)


if __name__ == "__main__":
    main()
