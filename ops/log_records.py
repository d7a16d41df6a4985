"""Single records of the log, read by their addresses. An edge: Kafka."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Collection, Iterator

from kafka import KafkaConsumer
from kafka.errors import KafkaError
from kafka.structs import TopicPartition

from consumers.log import Source, connected
from consumers.record import Record
from consumers.unpacking import record_of, unpacked
from ops.operator_log import LogUnavailable

Address = tuple[str, int, int]
"""Topic, partition and offset."""

READ_SECONDS = 30
"""For each record; as long as a broker may need to come back."""

FETCH_BYTES = 64 * 1024
"""What is fetched to read one record; the broker gives at least one, however large."""


def records_at(source: Source, addresses: Collection[Address]) -> dict[Address, Record]:
    """The records at *addresses*, but for those that the log has no longer. Raises `LogUnavailable`."""
    by_partition: dict[TopicPartition, list[int]] = defaultdict(list)
    for topic, partition, offset in sorted(set(addresses)):
        by_partition[TopicPartition(topic, partition)].append(offset)
    try:
        with contextlib.closing(_consumer(source)) as consumer:
            return {
                (record.topic, record.partition, record.offset): record
                for partition, offsets in by_partition.items()
                for record in _read(consumer, partition, offsets)
            }
    except KafkaError as error:
        raise LogUnavailable(f"could not read the log on Kafka at {source.bootstrap}: {error}") from error


def _read(consumer: KafkaConsumer, partition: TopicPartition, offsets: list[int]) -> Iterator[Record]:
    consumer.assign([partition])
    beginning = consumer.beginning_offsets([partition])[partition]
    end = consumer.end_offsets([partition])[partition]
    for offset in offsets:
        if not beginning <= offset < end:
            continue
        consumer.seek(partition, offset)
        deadline = time.monotonic() + READ_SECONDS
        while not (found := consumer.poll(timeout_ms=500, max_records=1).get(partition)):
            if time.monotonic() > deadline:
                where = f"{partition.topic}-{partition.partition}"
                raise LogUnavailable(f"Kafka did not give the record at offset {offset} of {where}")
        if found[0].offset == offset:
            yield record_of(found[0])


def _consumer(source: Source) -> KafkaConsumer:
    consumer = connected(
        KafkaConsumer,
        source,
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=FETCH_BYTES,
    )
    consumer._fetcher.PartitionRecords = unpacked  # or one record that it can't read would be the end
    return consumer
