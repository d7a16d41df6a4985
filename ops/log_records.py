"""Records of the log, read by their addresses, one by one or many that are next to each other. An edge: Kafka."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Collection, Generator, Iterator, Sequence
from datetime import datetime

from kafka import KafkaConsumer
from kafka.errors import KafkaError
from kafka.structs import TopicPartition

from consumers.log import Source, connected
from consumers.record import Partition, Record
from consumers.unpacking import record_of, unpacked
from entitlements.replays import Span
from ops.operator_log import LogUnavailable

Address = tuple[str, int, int]
"""Topic, partition and offset."""

READ_SECONDS = 30
"""For each record; as long as a broker may need to come back."""

FETCH_BYTES = 64 * 1024
"""What is fetched to read one record; the broker gives at least one, however large."""

STREAM_BYTES = 1024 * 1024
"""What is fetched at once where many records are next to each other."""

MOST_IN_A_SHORT_SPAN = 50


def records_at(source: Source, addresses: Collection[Address]) -> dict[Address, Record]:
    """The records at *addresses*, but for those that the log has no longer. Raises `LogUnavailable`."""
    by_partition: dict[TopicPartition, list[int]] = defaultdict(list)
    for topic, partition, offset in sorted(set(addresses)):
        by_partition[TopicPartition(topic, partition)].append(offset)
    try:
        with contextlib.closing(_consumer(source, FETCH_BYTES)) as consumer:
            return {
                (record.topic, record.partition, record.offset): record
                for partition, offsets in by_partition.items()
                for record in _read(consumer, partition, offsets)
            }
    except KafkaError as error:
        raise LogUnavailable(f"could not read the log on Kafka at {source.bootstrap}: {error}") from error


def records_in(
    source: Source, spans: Sequence[Span], *, first: int, next_offset: int, most: int
) -> Generator[tuple[int, int, list[Record]], None, None]:
    """
    The records of *spans*, at most so many at once, from *next_offset* in the span of number *first* on.

    Each time with what comes next: the number of a span, and the offset in it. To be closed, however it is left: its
    client's thread would keep the process from ending. Raises `LogUnavailable`.
    """
    try:
        with contextlib.closing(_consumer(source, STREAM_BYTES if _is_long(spans) else FETCH_BYTES)) as consumer:
            for number, span in enumerate(spans[first:], start=first):
                start = next_offset if number == first else span.start
                following = spans[number + 1].start if number + 1 < len(spans) else 0
                for records, offset in _stream(consumer, span, start, most):
                    yield (number, offset, records) if offset < span.end else (number + 1, following, records)
    except KafkaError as error:
        raise LogUnavailable(f"could not read the log on Kafka at {source.bootstrap}: {error}") from error


def _is_long(spans: Sequence[Span]) -> bool:
    return any(span.count > MOST_IN_A_SHORT_SPAN for span in spans)


def _stream(consumer: KafkaConsumer, span: Span, start: int, most: int) -> Iterator[tuple[list[Record], int]]:
    """Some records of *span* from *start* on, and the offset behind them; the last time that is the span's end."""
    partition = TopicPartition(span.topic, span.partition)
    consumer.assign([partition])
    consumer.seek(partition, start)
    offset, deadline = start, time.monotonic() + READ_SECONDS
    while offset < span.end:
        found = consumer.poll(timeout_ms=500, max_records=most).get(partition, [])
        records = [record_of(each) for each in found if each.offset < span.end]
        offset = min(consumer.position(partition), span.end)
        if found:
            deadline = time.monotonic() + READ_SECONDS
        elif time.monotonic() > deadline:
            where = f"{span.topic}-{span.partition}"
            raise LogUnavailable(f"Kafka did not give the record at offset {offset} of {where} in {READ_SECONDS} s")
        if records or offset >= span.end:
            yield records, offset


def offsets_at(source: Source, partitions: Collection[Partition], at: datetime) -> dict[Partition, int | None]:
    """The first record of each partition that Kafka had at that moment or later; None where there is none."""
    asked = {TopicPartition(*partition): int(at.timestamp() * 1000) for partition in partitions}
    try:
        with contextlib.closing(_consumer(source, FETCH_BYTES)) as consumer:
            found = consumer.offsets_for_times(asked)
    except KafkaError as error:
        raise LogUnavailable(f"could not ask Kafka at {source.bootstrap} about {at}: {error}") from error
    return {
        (partition.topic, partition.partition): None if answer is None else int(answer.offset)
        for partition, answer in found.items()
    }


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


def _consumer(source: Source, fetch_bytes: int) -> KafkaConsumer:
    consumer = connected(
        KafkaConsumer,
        source,
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=fetch_bytes,
    )
    consumer._fetcher.PartitionRecords = unpacked  # or one record that it can't read would be the end
    return consumer
