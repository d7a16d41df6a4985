"""
How Kafka's batches are unpacked: a record that cannot be read costs no other, and is handed on as its address. Pure.

kafka-python 3.0.12 gives up at such a record, and sought past it, gives up again: it unpacks the batch from its start.
The broker does not prevent that: it looks at sizes, not into the names of headers, and has codecs that we have not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError, KafkaError
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import decode_varint
from kafka.structs import TopicPartition

from consumers.failures import reason
from consumers.record import Record

UNREADABLE = "Kafka's client cannot read it"
"""How the reason begins of a record of which nothing but its address is known."""

_UNPACKING_FAILED = (KafkaError, ValueError, IndexError, RuntimeError, OSError, EOFError)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unreadable:
    """A record that cannot be unpacked, in the form of kafka-python's; *checksum*, which version 2 lacks, says why."""

    offset: int
    timestamp: int
    timestamp_type: int
    checksum: str
    key: None = None
    value: None = None
    headers: tuple[()] = ()
    size_in_bytes: int = 0

    def validate_crc(self) -> bool:
        return True  # its batch was checked


def unpacked(fetch_offset: int, partition: TopicPartition, records: Any, **settings: Any) -> Any:
    """What takes the place of kafka-python's `Fetcher.PartitionRecords`: one that gets past what it cannot read."""
    return Fetcher.PartitionRecords(fetch_offset, partition, _Batches(records), **settings)


def record_of(found: Any) -> Record:
    """What kafka-python's consumer has found, free of it."""
    return Record(
        topic=found.topic,
        partition=found.partition,
        offset=found.offset,
        timestamp=found.timestamp,
        key=found.key,
        value=found.value,
        headers=tuple(found.headers),
        unreadable=found.checksum if isinstance(found.checksum, str) else None,
    )


class _Batches:
    def __init__(self, records: Any) -> None:
        self._records = records

    def next_batch(self) -> Any:
        batch = self._records.next_batch()
        return _Batch(batch) if isinstance(batch, DefaultRecordBatch) else batch


class _Batch:
    def __init__(self, batch: Any) -> None:
        self._batch = batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        batch = self._batch
        next_offset = batch.base_offset
        try:
            iter(batch)  # decompresses it
            for _ in range(batch.records_count):
                record = self._read()
                next_offset = record.offset + 1
                yield record
        except _UNPACKING_FAILED as error:
            for offset in range(next_offset, batch.next_offset):
                yield self._unreadable(offset, error)

    def _read(self) -> Any:
        batch, start = self._batch, self._batch._pos
        try:
            return batch._read_msg()
        except _UNPACKING_FAILED as error:
            length, body = decode_varint(batch._buffer, start)
            end = body + length
            if not body < end <= len(batch._buffer):
                raise CorruptRecordError(f"a record of {length} bytes") from error
            _, after_timestamp = decode_varint(batch._buffer, body + 1)  # behind a byte of attributes
            offset_delta, _ = decode_varint(batch._buffer, after_timestamp)
            batch._pos = end
            return self._unreadable(batch.base_offset + offset_delta, error)

    def _unreadable(self, offset: int, error: Exception) -> _Unreadable:
        is_name = isinstance(error, UnicodeDecodeError)  # all else in a record is bytes
        why = "the name of a header is not UTF-8" if is_name else reason(error)
        return _Unreadable(
            offset=offset,
            timestamp=self._batch.max_timestamp,  # the broker's, and then that of every record in it
            timestamp_type=self._batch.timestamp_type,
            checksum=f"{UNREADABLE}: {why}",
        )
