"""Topic names, what each is for, how each is kept, and who reads it (contract, section 8). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

EVENTS = "billing.events.v1"
OPERATOR_COMMANDS = "billing.operator-commands.v1"
CHANGES = "entitlements.changes.v1"

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""Largest record a topic and a producer take; a webhook's body ends at 1 MiB, but escapes may grow when re-encoded."""

KEEP_FOR_EVER = -1

HOUR_MS = 60 * 60 * 1000
KEPT_WHOLE_MS = HOUR_MS
CLEANED_AFTER_MS = 7 * 24 * HOUR_MS
"""
Of the changes of access: a reader who is at most an hour behind sees every state; after a week, at most, the latest one
of each customer alone is left. Only closed segments are compacted, so one is closed each day.
"""

CONSUMER_GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "grants": (EVENTS, OPERATOR_COMMANDS),
        "revocations": (EVENTS, OPERATOR_COMMANDS),
        "invoices": (EVENTS,),
    }
)
"""The topics that each consumer group reads; `GET /v1/progress` lists every partition of these and no others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A topic as it must exist: how many partitions, and its configuration in Kafka's own words."""

    name: str
    partitions: int
    replication_factor: int
    config: Mapping[str, str]


def topics(
    *,
    event_partitions: int,
    event_retention_ms: int,
    replication_factor: int,
    min_insync_replicas: int,
) -> tuple[Topic, ...]:
    """
    The three topics under the given settings.

    *event_retention_ms* is how long `billing.events.v1` is kept, `KEEP_FOR_EVER` for no end: it is the source of
    truth, and what is gone from it can't be rebuilt. What operators said is always kept for ever.
    """
    shared = {
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(MAX_MESSAGE_BYTES),
        "min.insync.replicas": str(min_insync_replicas),
    }
    return (
        Topic(
            name=EVENTS,
            partitions=event_partitions,
            replication_factor=replication_factor,
            config=shared | {"cleanup.policy": "delete", "retention.ms": str(event_retention_ms)},
        ),
        Topic(
            name=OPERATOR_COMMANDS,
            partitions=1,
            replication_factor=replication_factor,
            config=shared | {"cleanup.policy": "delete", "retention.ms": str(KEEP_FOR_EVER)},
        ),
        Topic(
            name=CHANGES,
            partitions=event_partitions,
            replication_factor=replication_factor,
            config=shared
            | {
                "cleanup.policy": "compact",
                "min.compaction.lag.ms": str(KEPT_WHOLE_MS),
                "max.compaction.lag.ms": str(CLEANED_AFTER_MS),
                "segment.ms": str(24 * HOUR_MS),
            },
        ),
    )
