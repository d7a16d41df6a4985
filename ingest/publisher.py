"""
Kafka for an event loop: a record is published when the brokers have it, or an exception says that they may not. Edge.

kafka-python has a thread of its own. The loop only appends to that thread's batches (`send` can't block: it is called
only while the topic's metadata is known), and the thread wakes the loop once for all records that a batch settled.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError
from kafka.net.compat import KafkaNetClient

from schemas.codec import Headers
from schemas.topics import MAX_MESSAGE_BYTES

log = logging.getLogger(__name__)

API_VERSION = (4, 0)
"""What is spoken to the brokers. Given, not asked for: else the constructor would block until one answered."""

DEADLINE_SECONDS = 5.0
"""Longest wait for the brokers' confirmation of one record."""

AWAY_AFTER_SECONDS = 5.0
"""So long without an answer to the metadata that is asked for every second, and the brokers count as away."""

RENEW_AFTER_SECONDS = 30.0
"""
So long away, and the producer is replaced. kafka-python gives up for good on some failures (a refused login, a cluster
whose every known address has gone), and asks the bootstrap servers only once.
"""

CLOSE_SECONDS = 6.0
"""Longest wait for unconfirmed records at the end; a little more than a record can be under way."""

SETTINGS: Mapping[str, Any] = {
    "acks": "all",
    "compression_type": "lz4",  # less than half the bytes, kept for ever, for 3 µs an event
    "enable_idempotence": True,
    "api_version": API_VERSION,
    "batch_size": 512 * 1024,  # the default, 16 KiB, holds two events
    "max_request_size": MAX_MESSAGE_BYTES,
    "request_timeout_ms": 4_000,
    "delivery_timeout_ms": 4_500,
    "max_block_ms": 5,
    "metadata_max_age_ms": 1_000,
    "reconnect_backoff_max_ms": 1_000,
    "metrics_enabled": False,
}


class PublishFailed(Exception):
    """The brokers did not confirm the record. They may have it all the same: sending it again is safe."""


class Overloaded(Exception):
    """Too many records wait for the brokers; this one was not taken. Send it again in a moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Where a confirmed record lies."""

    topic: str
    partition: int
    offset: int


class KafkaPublisher:
    """
    Publishes to one topic. Made anywhere, started and used in one event loop.

    *security* are kafka-python's `security_protocol`, `sasl_*` and `ssl_*`. At most *max_records* and *max_bytes* of
    keys and values are under way at once; what its caller stopped waiting for counts until the producer lets go of it.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        topic: str,
        *,
        security: Mapping[str, Any] | None = None,
        linger_ms: int = 2,
        max_records: int = 1_000,
        max_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        self._topic = topic
        self._settings = {
            **SETTINGS,
            "bootstrap_servers": bootstrap_servers.split(","),
            "linger_ms": linger_ms,
            **(security or {}),
        }
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._records = 0
        self._bytes = 0
        self._settled: deque[_UnderWay] = deque()
        self._loop_is_woken = False

    async def start(self) -> None:
        """Begin to look for the brokers; never waits for them."""
        # At DEBUG kafka-python writes whole records into the log, at INFO a line for each refresh of metadata.
        kafkas = logging.getLogger("kafka")
        kafkas.setLevel(max(kafkas.getEffectiveLevel(), logging.WARNING))
        self._loop = asyncio.get_running_loop()
        self._link = _Link(self._settings, self._topic)
        self._watch = asyncio.create_task(self._renew_when_stuck())

    async def close(self) -> None:
        """Wait for what is under way, at most `CLOSE_SECONDS`, and let go of the brokers."""
        self._watch.cancel()
        with suppress(asyncio.CancelledError):
            await self._watch
        await asyncio.to_thread(self._link.close)

    def ready(self) -> bool:
        """Whether the brokers answered lately and have the topic."""
        return self._link.is_up()

    async def publish(self, *, key: bytes, value: bytes, headers: Headers) -> Published:
        """
        Where the record lies, once all in-sync replicas have it.

        Raises `Overloaded` and `PublishFailed`; within `DEADLINE_SECONDS` in any case.
        """
        size = len(key) + len(value)
        if self._records >= self._max_records or self._bytes + size > self._max_bytes:
            raise Overloaded(f"{self._records} events are waiting for Kafka's confirmation")
        if not self._link.is_up():
            raise PublishFailed("Kafka can't be reached, or has no such topic")
        under_way = _UnderWay(self, self._loop.create_future(), size)
        try:
            sent = self._link.producer.send(self._topic, key=key, value=value, headers=headers)
        except KafkaError as error:
            raise PublishFailed(f"Kafka's producer did not take the event: {type(error).__name__}") from error
        self._records += 1
        self._bytes += size
        sent.chain(under_way)
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await under_way.confirmed
        except TimeoutError:
            raise PublishFailed(f"Kafka did not confirm the event within {DEADLINE_SECONDS:.0f} seconds") from None
        if under_way.error is not None:
            if not getattr(under_way.error, "retriable", False):
                self._link.is_broken = True
            raise PublishFailed(f"Kafka did not take the event: {type(under_way.error).__name__}") from under_way.error
        return Published(topic=self._topic, partition=under_way.metadata.partition, offset=under_way.metadata.offset)

    def _settle_soon(self, under_way: _UnderWay) -> None:
        """On the producer's thread: hand a settled record to the loop, which is woken once for all of a batch."""
        self._settled.append(under_way)
        if not self._loop_is_woken:
            self._loop_is_woken = True
            with suppress(RuntimeError):  # the loop has gone, and with it all who waited
                self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        self._loop_is_woken = False  # before the deque is emptied: what is appended from here on wakes the loop again
        while self._settled:
            under_way = self._settled.popleft()
            self._records -= 1
            self._bytes -= under_way.size
            if not under_way.confirmed.done():
                under_way.confirmed.set_result(None)

    async def _renew_when_stuck(self) -> None:
        while True:
            await asyncio.sleep(AWAY_AFTER_SECONDS)
            if self._link.is_broken or self._link.silent_for() > RENEW_AFTER_SECONDS:
                log.warning("Kafka's producer is stuck and is replaced")
                stuck, self._link = self._link, _Link(self._settings, self._topic)
                await asyncio.to_thread(stuck.close)


class _UnderWay:
    """A record on its way; has the two methods that `kafka.future.Future.chain` calls, on the producer's thread."""

    __slots__ = ("confirmed", "error", "metadata", "publisher", "size")

    def __init__(self, publisher: KafkaPublisher, confirmed: asyncio.Future[None], size: int) -> None:
        self.publisher = publisher
        self.confirmed = confirmed
        self.size = size
        self.metadata: Any = None
        self.error: BaseException | None = None

    def success(self, metadata: Any) -> None:
        self.metadata = metadata
        self.publisher._settle_soon(self)

    def failure(self, error: BaseException) -> None:
        self.error = error
        self.publisher._settle_soon(self)


class _Link:
    """A producer, and whether the brokers still answer it."""

    def __init__(self, settings: Mapping[str, Any], topic: str) -> None:
        self._topic = topic
        self._client: Any
        self._heard_at = monotonic()
        self.is_broken = False
        self.producer = KafkaProducer(kafka_client=self._connect, **settings)
        self._client.cluster.add_topic(topic)

    def _connect(self, **configs: Any) -> Any:
        self._client = KafkaNetClient(**configs)
        cluster = self._client.cluster
        cluster.config["allow_auto_create_topics"] = False  # the producer does not pass its own setting on
        cluster.add_listener(self._heard)
        return self._client

    def _heard(self, _cluster: Any) -> None:
        self._heard_at = monotonic()

    def silent_for(self) -> float:
        """Seconds since the brokers answered, or since the producer was made."""
        return monotonic() - self._heard_at

    def is_up(self) -> bool:
        return (
            self.silent_for() < AWAY_AFTER_SECONDS
            and self._client.cluster.partitions_for_topic(self._topic) is not None
        )

    def close(self) -> None:
        """Blocks until all is confirmed or given up, at most about `CLOSE_SECONDS`."""
        try:
            self.producer.close(timeout=CLOSE_SECONDS)
        except KafkaError as error:
            log.warning("closed Kafka's producer with records unconfirmed: %s", type(error).__name__)
            # close() leaves its thread running when the flush it begins with runs out of time.
            self.producer._sender.force_close()
