"""
Whether the consumers, all of whose facts decide, have read the log, so that the database can be gone by. Edge: Kafka,
Postgres.

A database that lags, is empty or belongs to another log closes access for nobody: there is nobody in it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from sqlalchemy import Engine

from consumers.extent import Extent, ends_of, extents
from consumers.log import Source
from consumers.record import Partition
from entitlements import ledger
from entitlements.domain.wording import listed
from entitlements.ledger import Position
from ops.processes import group
from schemas.topics import CONSUMER_GROUPS

DECIDING = tuple(CONSUMER_GROUPS)
"""The groups whose facts decide: what is owed, for how long and on which plan follows from invoices too."""

PATIENCE_S = 10.0
"""How long consumers at work may take to read what was in the log when it was asked."""

LOOK_S = 0.2


def left_to_read(source: Source, database: Engine) -> str | None:
    """
    Why the database can't be gone by, in words; None where all is read that the log had when this was called.

    Raises `KafkaError` and SQLAlchemy's errors where one of them does not answer.
    """
    topics = {name: group(name).topics for name in DECIDING}
    found = extents(source, ends_of(source, {topic for each in topics.values() for topic in each}).keys())
    until = time.monotonic() + PATIENCE_S
    while True:
        with database.connect() as connection:
            left = lag(topics, ledger.positions(connection, DECIDING), found)
        if not left:
            return None
        if time.monotonic() > until:
            told = listed(
                [
                    f"{name} has {count:,} record{'' if count == 1 else 's'} of the log still to read"
                    for name, count in left.items()
                ],
                "and",
            )
            return f"{told}: let the consumers read them (`entitle progress`), and try again"
        time.sleep(LOOK_S)


def lag(
    topics: Mapping[str, tuple[str, ...]], rows: Iterable[Position], found: Mapping[Partition, Extent]
) -> dict[str, int]:
    """Records that each group has still to read, of those that have any; what was read of another log is not read."""
    next_of = {(row.group, (row.topic, row.partition)): row for row in rows}
    left = dict.fromkeys(topics, 0)
    for name, its in topics.items():
        for partition, extent in found.items():
            if partition[0] in its:
                row = next_of.get((name, partition))
                is_same = row is not None and (row.cluster_id, row.topic_id) == (extent.cluster_id, extent.topic_id)
                reached = row.next_offset if row is not None and is_same else extent.beginning
                left[name] += max(0, extent.end - max(reached, extent.beginning))
    return {name: count for name, count in left.items() if count}
