"""
Batches in a partition of Kafka: appended once, or an exception says that they may not be. Edge: Kafka.

Records and requests are kafka-python's. The idempotence is the protocol's (KIP-98): brokers know a producer by its id,
and a batch by the number of its first record in that partition, and take a batch that they have for the same one.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from kafka import errors
from kafka.protocol.producer import InitProducerIdRequest, ProduceRequest
from kafka.record import MemoryRecordsBuilder

from ingest.brokers import ANSWER_MS, Brokers
from schemas.codec import Headers

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.1
"""Between two attempts."""

MAGIC, LZ4 = 2, 3
"""The format of batches since Kafka 0.11; compressed, they take less than half the bytes, for 3 µs an event."""

ALL_IN_SYNC = -1
PRODUCE_VERSION = 9
"""The last in which topics have names, as kafka-python's own producer has it."""

NUMBERS = 2**31
"""After so many records of one producer in a partition their numbers begin again."""


class NotAppended(Exception):
    """The brokers did not confirm the batch. They may have it all the same."""


class TooLarge(NotAppended):
    """The topic takes no batch of that size, and has nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is appended: Kafka's key, value and headers."""

    key: bytes
    value: bytes
    headers: Headers


@dataclass(frozen=True, slots=True, kw_only=True)
class _Producer:
    """What brokers know us by, and the number of the next record in each partition."""

    id: int
    epoch: int
    next: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))


class Appender:
    """
    Appends to one topic of *brokers*, as one producer until something fails, and then as another one.

    What failed may have used up its numbers, or not: to another producer that is nothing.
    """

    def __init__(self, brokers: Brokers, topic: str) -> None:
        self._brokers = brokers
        self._topic = topic
        self._producer: _Producer | None = None
        self._introducing = asyncio.Lock()

    async def append(self, records: Sequence[Record], partition: int, seconds: float) -> int:
        """
        The offset of the first of *records*, once all in-sync replicas have them, one behind the other.

        Tried again and again for *seconds*. Raises `NotAppended`. To be called for a partition only once what was
        called before has ended.
        """
        try:
            async with asyncio.timeout(seconds):
                return await self._append(records, partition)
        except TimeoutError as error:
            raise NotAppended(f"Kafka did not confirm the event within {seconds:.1f} seconds") from error
        except (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError) as error:
            raise TooLarge("The event is too large for its topic in Kafka") from error
        except errors.KafkaError as error:
            raise NotAppended(f"Kafka did not take the event: {type(error).__name__}") from error

    async def _append(self, records: Sequence[Record], partition: int) -> int:
        producer = await self._introduced()
        first = producer.next[partition]
        try:
            offset = await self._confirmed(_encoded(records, producer, first), partition)
        except BaseException:
            if self._producer is producer:
                self._producer = None
            raise
        producer.next[partition] = (first + len(records)) % NUMBERS
        return offset

    async def _confirmed(self, batch: bytearray, partition: int) -> int:
        """Where *batch* lies, after as many attempts as it takes. Raises `KafkaError` for what none will mend."""
        while True:
            try:
                answer = await self._brokers.ask_leader(partition, _produce(self._topic, partition, batch))
                told = answer.responses[0].partition_responses[0]
                _raise_for(told)
                return int(told.base_offset)
            except errors.RetriableError as error:
                log.debug("%s-%d does not take a batch yet: %s", self._topic, partition, type(error).__name__)
            self._brokers.look_up_leaders()
            await asyncio.sleep(RETRY_SECONDS)

    async def _introduced(self) -> _Producer:
        """This producer, with an id that some broker has given it."""
        if self._producer is not None:
            return self._producer
        async with self._introducing:
            while self._producer is None:
                try:
                    told = await self._brokers.ask(
                        InitProducerIdRequest(
                            transactional_id=None, transaction_timeout_ms=ANSWER_MS, producer_id=-1, producer_epoch=-1
                        )
                    )
                    _raise_for(told)
                    self._producer = _Producer(id=told.producer_id, epoch=told.producer_epoch)
                except errors.RetriableError as error:
                    log.debug("Kafka gives no producer id yet: %s", type(error).__name__)
                    await asyncio.sleep(RETRY_SECONDS)
            return self._producer


def _raise_for(told: Any) -> None:
    if told.error_code:
        raise errors.for_code(told.error_code)()


def _encoded(records: Iterable[Record], producer: _Producer, first: int) -> bytearray:
    """*records* as a batch travels and lies in the log."""
    builder = MemoryRecordsBuilder(
        magic=MAGIC,
        compression_type=LZ4,
        batch_size=NUMBERS,  # who gathers them knows when it is enough
        producer_id=producer.id,
        producer_epoch=producer.epoch,
        base_sequence=first,
    )
    for record in records:
        builder.append(timestamp=None, key=record.key, value=record.value, headers=record.headers)
    builder.close()
    batch: bytearray = builder.buffer()
    return batch


def _produce(topic: str, partition: int, batch: bytearray) -> Any:
    of_topic = ProduceRequest.TopicProduceData
    of_partition = of_topic.PartitionProduceData(index=partition, records=batch)
    return ProduceRequest(
        transactional_id=None,
        acks=ALL_IN_SYNC,
        timeout_ms=ANSWER_MS,
        topic_data=[of_topic(name=topic, partition_data=[of_partition])],
        max_version=PRODUCE_VERSION,
    )
