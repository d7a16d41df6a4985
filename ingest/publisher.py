"""
Kafka for an event loop: a record is published when the brokers have it, or an exception says that they may not. Edge.

kafka-python has a thread of its own, and each turn that it and the loop take costs both. So the loop gathers records
while a batch is under way, hands them over together as the next one, and the thread wakes the loop once for all that a
batch settled. `send` can't block: it is called only while the topic's metadata is known. Long because no other file of
ingest may import kafka.
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
"""Longest wait for the brokers' confirmation of one record, but for `LOOK_SECONDS`."""

LOOK_SECONDS = 0.25
"""How often it is seen to that nobody waits longer."""

AWAY_AFTER_SECONDS = 5.0
"""So long without an answer to the metadata that is asked for every second, and the brokers count as away."""

FIRST_ANSWER_SECONDS = 2.0
"""How long a new producer's first answer is waited for, so that a start does not refuse what comes with it."""

RENEW_AFTER_SECONDS = 30.0
"""
So long away, and the producer is replaced: kafka-python asks the bootstrap servers only once, and gives up for good on
some failures (a refused login, a cluster whose every known address has gone).
"""

CLOSE_SECONDS = 6.0
"""Longest wait for unconfirmed records at the end; a little more than a record can be under way."""

SETTINGS: Mapping[str, Any] = {
    "acks": "all",
    "compression_type": "lz4",  # less than half the bytes, kept for ever, for 3 µs an event
    "enable_idempotence": True,
    "api_version": API_VERSION,
    "batch_size": 512 * 1024,  # the default, 16 KiB, holds two events
    "linger_ms": 1,  # the thread wakes with the first that is handed over, and should take all
    "max_request_size": MAX_MESSAGE_BYTES,
    "request_timeout_ms": 4_000,
    "delivery_timeout_ms": 4_500,
    "max_block_ms": 5,
    "metadata_max_age_ms": 1_000,
    "reconnect_backoff_max_ms": 1_000,
    "metrics_enabled": False,
}


AWAY = "Kafka can't be reached, or has no such topic"
FAULT = "The event was not handed to Kafka, for this program has a fault; its log says which"


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
    Records gather while a batch is under way, and go together when it is confirmed, or after *linger_ms*.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        topic: str,
        *,
        security: Mapping[str, Any] | None = None,
        linger_ms: int = 5,
        max_records: int = 1_000,
        max_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        self._topic = topic
        self._settings = {
            **SETTINGS,
            "bootstrap_servers": [server.strip() for server in bootstrap_servers.split(",")],
            **(security or {}),
        }
        self._linger_seconds = linger_ms / 1000
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._under_way: set[_UnderWay] = set()
        self._bytes = 0
        self._gathered: list[_UnderWay] = []
        self._handed_over = 0
        self._next_batch: asyncio.TimerHandle | None = None
        self._settled: deque[_UnderWay] = deque()
        self._loop_is_woken = False
        self._turn = 0
        self._closing: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Look for the brokers, and wait `FIRST_ANSWER_SECONDS` for them at most."""
        # At DEBUG kafka-python writes whole records into the log, at INFO a line for each refresh of metadata.
        kafkas = logging.getLogger("kafka")
        kafkas.setLevel(max(kafkas.getEffectiveLevel(), logging.WARNING))
        self._loop = asyncio.get_running_loop()
        self._link = _Link(self._settings, self._topic)
        self._watch = asyncio.create_task(self._renew_what_is_silent())
        with suppress(PublishFailed):
            await self._link.first_answer()

    async def close(self) -> None:
        """Wait for what is under way, at most `CLOSE_SECONDS`, and let go of the brokers."""
        self._watch.cancel()
        with suppress(asyncio.CancelledError):
            await self._watch
        try:
            self._hand_over()
        finally:
            await asyncio.gather(*self._closing, asyncio.to_thread(self._link.close))

    def ready(self) -> bool:
        """Whether the brokers answered lately and have the topic."""
        return self._link.is_up()

    async def publish(self, *, key: bytes, value: bytes, headers: Headers) -> Published:
        """
        Where the record lies, once all in-sync replicas have it.

        Raises `Overloaded` and `PublishFailed`; within `DEADLINE_SECONDS` in any case.
        """
        since = monotonic()
        if not self._link.is_up():
            await self._link.first_answer()
        under_way = self._gather(key, value, headers, since)
        if (failure := await under_way.confirmed) is not None:
            raise failure
        return Published(topic=self._topic, partition=under_way.metadata.partition, offset=under_way.metadata.offset)

    def _gather(self, key: bytes, value: bytes, headers: Headers, since: float) -> _UnderWay:
        size = len(key) + len(value)
        if len(self._under_way) >= self._max_records or self._bytes + size > self._max_bytes:
            raise Overloaded(f"{len(self._under_way)} events are waiting for Kafka's confirmation")
        under_way = _UnderWay(self, self._loop.create_future(), key, value, headers, since)
        self._under_way.add(under_way)
        self._bytes += size
        if not self._gathered:
            delay = self._linger_seconds if self._handed_over else 0
            self._next_batch = self._loop.call_later(delay, self._hand_over)
        self._gathered.append(under_way)
        return under_way

    def _hand_over(self) -> None:
        """Give the producer all that was gathered, for one partition."""
        if self._next_batch is not None:
            self._next_batch.cancel()
            self._next_batch = None
        together, self._gathered = deque(self._gathered), []
        link = self._link
        left = AWAY  # what those are told that are not handed over
        try:
            if not link.is_up():  # it was, when they were gathered; `send` would block now
                return
            left = FAULT
            partition = link.partition(self._turn)
            while together:
                under_way = together[0]
                under_way.link = link
                self._handed_over += 1
                try:
                    link.send(under_way, partition)
                except KafkaError as error:
                    self._let_go(under_way, _failure("Kafka's producer did not take the event", error))
                together.popleft()
        finally:  # a fault of ours or of the producer's goes on to the loop, which logs it; nobody waits for it in vain
            for under_way in together:
                self._let_go(under_way, PublishFailed(left))

    def _settle_soon(self, under_way: _UnderWay) -> None:
        """On the producer's thread: hand a settled record to the loop, which is woken once for all of a batch."""
        self._settled.append(under_way)
        if not self._loop_is_woken:
            self._loop_is_woken = True
            with suppress(RuntimeError):  # the loop has gone, and with it all who waited
                self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        self._loop_is_woken = False  # before the deque is emptied: what is appended from here on wakes the loop again
        self._turn += 1
        while self._settled:
            under_way = self._settled.popleft()
            if under_way.error is None:
                self._let_go(under_way, None)
            else:
                self._renew(under_way.link)
                self._let_go(under_way, _failure("Kafka did not take the event", under_way.error))
        if self._gathered and not self._handed_over:
            self._hand_over()

    def _let_go(self, under_way: _UnderWay, failure: PublishFailed | None) -> None:
        if under_way not in self._under_way:  # the producer had it all the same when it failed
            return
        self._under_way.remove(under_way)
        self._handed_over -= under_way.link is not None
        self._bytes -= len(under_way.key) + len(under_way.value)
        under_way.tell(failure)

    async def _renew_what_is_silent(self) -> None:
        """Give up what was not confirmed in time, which counts until the producer lets go of it, and replace that."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            latest = monotonic() - DEADLINE_SECONDS
            for late in [each for each in self._under_way if each.since < latest and not each.confirmed.done()]:
                late.tell(PublishFailed(f"Kafka did not confirm the event within {DEADLINE_SECONDS:.0f} seconds"))
                self._renew(late.link)
            if self._link.silent_for() > RENEW_AFTER_SECONDS:
                self._renew(self._link)

    def _renew(self, link: _Link | None) -> None:
        """Put another producer in the place of *link*, unless that has been done."""
        if self._link is link:
            log.warning("replacing Kafka's producer, which failed or hears nothing")
            self._link = _Link(self._settings, self._topic)
            closing = asyncio.create_task(asyncio.to_thread(link.close))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)


class _UnderWay:
    """
    A record on its way, *since* when, and what becomes of it: *confirmed* is None, or why it failed.

    Has the two methods that `kafka.future.Future.chain` calls, on the producer's thread.
    """

    __slots__ = ("confirmed", "error", "headers", "key", "link", "metadata", "publisher", "since", "value")

    def __init__(
        self,
        publisher: KafkaPublisher,
        confirmed: asyncio.Future[PublishFailed | None],
        key: bytes,
        value: bytes,
        headers: Headers,
        since: float,
    ) -> None:
        self.publisher = publisher
        self.confirmed = confirmed
        self.key = key
        self.value = value
        self.headers = headers
        self.since = since
        self.link: _Link | None = None
        self.metadata: Any = None
        self.error: BaseException | None = None

    def success(self, metadata: Any) -> None:
        self.metadata = metadata
        self.publisher._settle_soon(self)

    def failure(self, error: BaseException) -> None:
        self.error = error
        self.publisher._settle_soon(self)

    def tell(self, failure: PublishFailed | None) -> None:
        """Wake whoever waits for it, if somebody still does."""
        if not self.confirmed.done():
            self.confirmed.set_result(failure)


def _failure(what: str, error: BaseException) -> PublishFailed:
    failure = PublishFailed(f"{what}: {type(error).__name__}")
    failure.__cause__ = error
    return failure


class _Link:
    """
    A producer, and whether the brokers still answer it.

    It is replaced after any failure, for an idempotent producer of kafka-python 3.0.12 may not survive one. It takes
    every error that is not retriable for fatal, a record too large for its topic among them, and fails all records from
    then on. When a batch that was sent before expires, it forgets its producer id and never asks for another one
    (`reset_producer_id` leaves the state that `init_producer_id` asks for): from then on nothing is sent, nor expires.
    """

    def __init__(self, settings: Mapping[str, Any], topic: str) -> None:
        self._topic = topic
        self._client: Any
        self._made_at = self._heard_at = monotonic()
        self._producer = KafkaProducer(kafka_client=self._connect, **settings)
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

    def partition(self, turn: int) -> int:
        """
        The partition whose turn it is, of those that have a leader (of all, should none have one).

        All records take the same one until a batch is confirmed, so that they share batches: by key, sixteen at a time
        would be spread over six. Their order decides nothing, and who reads them finds a customer by its key.
        """
        cluster = self._client.cluster
        choice = cluster.available_partitions_for_topic(self._topic) or cluster.partitions_for_topic(self._topic)
        partitions: list[int] = sorted(choice)
        return partitions[turn % len(partitions)]

    def send(self, record: _UnderWay, partition: int) -> None:
        """Give *record* to the producer, which tells it what became of it. Raises `KafkaError`."""
        sent = self._producer.send(
            self._topic, key=record.key, value=record.value, headers=record.headers, partition=partition
        )
        sent.chain(record)

    async def first_answer(self) -> None:
        """Wait for a producer that has just been made; `PublishFailed` if it knows no such topic by then, or later."""
        while not self.is_up():
            if monotonic() - self._made_at > FIRST_ANSWER_SECONDS:
                raise PublishFailed(AWAY)
            await asyncio.sleep(0.01)

    def close(self) -> None:
        """Block until all is confirmed or given up, at most about `CLOSE_SECONDS`."""
        try:
            self._producer.close(timeout=CLOSE_SECONDS)
        except KafkaError as error:
            log.warning("closed Kafka's producer with records unconfirmed: %s", type(error).__name__)
            # close() leaves its thread running when the flush it begins with runs out of time.
            self._producer._sender.force_close()
