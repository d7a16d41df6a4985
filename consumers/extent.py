"""What Kafka says that a partition is, and whether the row in Postgres belongs to it. Edge: Kafka."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import UnknownTopicOrPartitionError
from kafka.protocol.consumer import IsolationLevel, OffsetSpec
from kafka.structs import TopicPartition

from consumers.failures import AnotherLog, OffsetOutOfRange
from consumers.log import ANSWER_MS, Source, connected
from consumers.record import Partition
from entitlements.ledger import Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """A partition as it is now: whose log it is part of, and which offsets it has, `[beginning, end)`."""

    cluster_id: str
    topic_id: str
    beginning: int
    end: int


def extents(source: Source, partitions: Collection[Partition]) -> dict[Partition, Extent]:
    """What Kafka says about *partitions*, asked afresh. Raises a retriable KafkaError while it can't say."""
    with _admin(source) as admin:
        cluster_id = str(admin.describe_cluster()["cluster_id"])
        described = _describe(admin, {topic for topic, _ in partitions})
        beginnings = _offsets(admin, partitions, OffsetSpec.EARLIEST)
        ends = _offsets(admin, partitions, OffsetSpec.LATEST)
    return {
        partition: Extent(
            cluster_id=cluster_id,
            topic_id=str(described[partition[0]]["topic_id"]),
            beginning=beginnings[partition],
            end=ends[partition],
        )
        for partition in partitions
    }


def ends_of(source: Source, topics: Collection[str]) -> dict[Partition, int]:
    """The end of every partition of *topics* as it is now: where a replay that starts now is done."""
    with _admin(source) as admin:
        partitions = [
            (topic, int(partition["partition_index"]))
            for topic, description in _describe(admin, topics).items()
            for partition in description["partitions"]
        ]
        return _offsets(admin, partitions, OffsetSpec.LATEST)


def start(group: str, partition: Partition, extent: Extent) -> Position:
    """Where *group* begins in *partition*, of which it has recorded nothing yet: with the oldest record there is."""
    topic, number = partition
    return Position(
        group=group,
        topic=topic,
        partition=number,
        next_offset=extent.beginning,
        cluster_id=extent.cluster_id,
        topic_id=extent.topic_id,
    )


def check(position: Position, extent: Extent) -> None:
    """
    That the row of Postgres and the partition of Kafka are of one log, and that the next record can be had.

    Raises `AnotherLog` or `OffsetOutOfRange`: what each side says, and what a person can do.
    """
    where = f"{position.topic}-{position.partition}"
    if (position.cluster_id, position.topic_id) != (extent.cluster_id, extent.topic_id):
        raise AnotherLog(
            f"{position.group} has recorded {where} up to offset {position.next_offset} of topic id "
            f"{position.topic_id} in cluster {position.cluster_id}; the Kafka at hand has topic id {extent.topic_id} "
            f"in cluster {extent.cluster_id}. Go back to the Kafka that was recorded; if this one is to take its "
            "place, rebuild from it."
        )
    if extent.beginning <= position.next_offset <= extent.end:
        return
    lost = (
        "what was not recorded yet is gone from it: restore it, or rebuild from what there is"
        if position.next_offset < extent.beginning
        else "what was recorded is gone from it: go back to the Kafka that has it, or rebuild from what there is"
    )
    raise OffsetOutOfRange(
        f"{position.group} goes on from offset {position.next_offset} of {where}, but Kafka has "
        f"[{extent.beginning}, {extent.end}): {lost}."
    )


@contextlib.contextmanager
def _admin(source: Source) -> Iterator[Any]:
    admin = connected(KafkaAdminClient, source, request_timeout_ms=ANSWER_MS)
    try:
        yield admin
    finally:
        admin.close()


def _describe(admin: Any, topics: Collection[str]) -> dict[str, dict[str, Any]]:
    described = {topic["name"]: topic for topic in admin.describe_topics(sorted(topics)) if not topic["error_code"]}
    if missing := sorted(set(topics) - described.keys()):
        raise UnknownTopicOrPartitionError(f"Kafka has no topic {', '.join(missing)}")
    return described


def _offsets(admin: Any, partitions: Collection[Partition], spec: Any) -> dict[Partition, int]:
    wanted = {TopicPartition(*partition): spec for partition in partitions}
    found = admin.list_partition_offsets(wanted, isolation_level=IsolationLevel.READ_COMMITTED, timeout_ms=ANSWER_MS)
    return {(partition.topic, partition.partition): int(answer.offset) for partition, answer in found.items()}
