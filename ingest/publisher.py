"""
Kafka for webhooks: a record is published when the brokers have it, or an exception says that they may not. Edge: clock.

Each batch costs the brokers and us as much as many records. So batches keep a distance in time, and what comes
meanwhile gathers and goes together as the next one.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from ingest.appending import Appender, NotAppended, Record, TooLarge
from ingest.brokers import Brokers
from ingest.under_way import Published, PublishFailed, UnderWay, Waiting
from schemas.codec import Headers

log = logging.getLogger(__name__)

DEADLINE_SECONDS = 5.0
"""Longest wait for the brokers' confirmation of one record, but for `LOOK_SECONDS`."""

APPEND_SECONDS = 4.5
"""So long a batch is tried, from when it is sent."""

LOOK_SECONDS = 0.25
"""How often it is seen to that nobody waits longer."""

PACE_SECONDS = 0.0045
"""From one batch to the next, for each costs as much as many records; who comes alone waits for nothing."""

MANY = 8
"""So many records go at once, when no batch is under way: whoever sends them may wait for nothing but us."""

BATCH_BYTES = 512 * 1024
"""Of keys and values; a record that is larger goes alone."""

AWAY_AFTER_SECONDS = 5.0
"""So long without an answer to the metadata that is asked for every second, and the brokers count as away."""

FIRST_ANSWER_SECONDS = 2.0
"""How long new brokers' first answer is waited for, so that a start does not refuse what comes with it."""

RENEW_AFTER_SECONDS = 30.0
"""
So long away, and the brokers are looked for anew: kafka-python asks the bootstrap servers only once, and gives up for
good on some failures (a refused login, a cluster whose every known address has gone).
"""

CLOSE_SECONDS = 6.0
"""Longest wait for unconfirmed records at the end; a little more than a record can be under way."""

AWAY = "Kafka can't be reached, or has no such topic"
ENDING = "This process ends, and did not hear from Kafka whether it has the event"
FAULT = "The event was not handed to Kafka, for this program has a fault; its log says which"


class KafkaPublisher:
    """
    Publishes to one topic. Made anywhere, started and used in one event loop.

    *security* are kafka-python's `security_protocol`, `sasl_*` and `ssl_*`. At most *max_records* and *max_bytes* of
    keys and values are under way at once; what its caller stopped waiting for counts until its batch has ended.
    Batches go *pace_seconds* apart, or sooner where none is under way and `MANY` records have gathered.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        topic: str,
        *,
        security: Mapping[str, Any] | None = None,
        pace_seconds: float = PACE_SECONDS,
        max_records: int = 1_000,
        max_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        self._bootstrap_servers = [server.strip() for server in bootstrap_servers.split(",")]
        self._topic = topic
        self._security = security or {}
        self._pace_seconds = pace_seconds
        self._under_way = UnderWay(max_records, max_bytes)
        self._gathered: list[Waiting] = []
        self._next_batch: asyncio.Handle | None = None
        self._latest_at = -math.inf
        self._batches: dict[int, asyncio.Task[None]] = {}
        self._turn = 0

    async def start(self) -> None:
        """Look for the brokers, and wait `FIRST_ANSWER_SECONDS` for them at most."""
        # At DEBUG kafka-python writes whole records into the log, at INFO a line for each refresh of metadata.
        kafkas = logging.getLogger("kafka")
        kafkas.setLevel(max(kafkas.getEffectiveLevel(), logging.WARNING))
        self._loop = asyncio.get_running_loop()
        self._connect()
        self._watch = asyncio.create_task(self._watch_what_is_silent())
        with suppress(PublishFailed):
            await self._first_answer()

    async def close(self) -> None:
        """Wait for what is under way, at most `CLOSE_SECONDS`, and let go of the brokers."""
        until = self._loop.time() + CLOSE_SECONDS
        try:
            while (self._gathered or self._batches) and (left := until - self._loop.time()) > 0:
                self._hand_over()
                if self._batches:
                    await asyncio.wait(self._batches.values(), timeout=left)
        finally:
            if self._under_way:
                log.warning("let go of Kafka with %d records unconfirmed", len(self._under_way))
            self._under_way.let_go(self._gathered, PublishFailed(ENDING))
            self._gathered = []  # or a batch that ends would have the next one sent
            for task in (self._watch, *self._batches.values()):
                task.cancel()
            await asyncio.gather(self._watch, *self._batches.values(), return_exceptions=True)
            self._brokers.close()

    def ready(self) -> bool:
        """Whether the brokers answered lately and have the topic."""
        return self._brokers.silent_for() < AWAY_AFTER_SECONDS and self._brokers.have_topic()

    async def publish(self, *, key: bytes, value: bytes, headers: Headers) -> Published:
        """
        Where the record lies, once all in-sync replicas have it.

        Raises `Overloaded` and `PublishFailed`; within `DEADLINE_SECONDS` in any case.
        """
        since = self._loop.time()
        if not self.ready():
            await self._first_answer()
        record = Record(key=key, value=value, headers=headers)
        waiting = self._under_way.take(record, since, self._loop.create_future())
        self._gathered.append(waiting)
        if self._next_batch is None:
            self._next_batch = self._loop.call_at(self._latest_at + self._pace_seconds, self._hand_over)
        elif len(self._gathered) == MANY and not self._batches:
            self._next_batch.cancel()
            self._next_batch = self._loop.call_soon(self._hand_over)
        told = await waiting.told
        if isinstance(told, PublishFailed):
            raise told
        return told

    def _hand_over(self) -> None:
        """
        Send what was gathered, as far as there are partitions that have no batch under way.

        A batch takes the partition whose turn it is: by key, sixteen records would be spread over six. Their order
        decides nothing, and who reads them finds a customer by its key.
        """
        if self._next_batch is not None:
            self._next_batch.cancel()
            self._next_batch = None
        if not self.ready():  # it was, when they were gathered
            together, self._gathered = self._gathered, []
            self._under_way.let_go(together, PublishFailed(AWAY))
        while self._gathered and (free := [each for each in self._brokers.partitions() if each not in self._batches]):
            partition = free[self._turn % len(free)]
            self._turn += 1
            self._latest_at = self._loop.time()
            batch = asyncio.create_task(self._send(self._batch(), partition))
            self._batches[partition] = batch
            batch.add_done_callback(functools.partial(self._ended, partition))

    def _batch(self) -> Sequence[Waiting]:
        """The first of what was gathered, as many as fit."""
        size = 0
        for number, each in enumerate(self._gathered):
            size += each.size
            if number and size > BATCH_BYTES:
                break
        else:
            number = len(self._gathered)
        batch, self._gathered = self._gathered[:number], self._gathered[number:]
        return batch

    async def _send(self, batch: Sequence[Waiting], partition: int) -> None:
        """See *batch* to its end; what is too large together goes in halves."""
        failure = PublishFailed(FAULT)
        try:
            first = await self._appender.append([each.record for each in batch], partition, APPEND_SECONDS)
            for number, each in enumerate(batch):
                each.tell(Published(topic=self._topic, partition=partition, offset=first + number))
        except asyncio.CancelledError:
            failure = PublishFailed(ENDING)
            raise
        except NotAppended as error:
            if isinstance(error, TooLarge) and (half := len(batch) // 2):
                await self._send(batch[:half], partition)
                await self._send(batch[half:], partition)
            failure = PublishFailed(str(error))
        finally:  # a fault of ours or of kafka-python's goes on to the loop, which logs it; nobody waits for it in vain
            self._under_way.let_go(batch, failure)

    def _ended(self, partition: int, batch: asyncio.Task[None]) -> None:
        del self._batches[partition]
        is_overdue = self._next_batch is None  # for want of a partition
        if self._gathered and (is_overdue or (len(self._gathered) >= MANY and not self._batches)):
            self._hand_over()
        if not batch.cancelled():
            batch.result()

    async def _watch_what_is_silent(self) -> None:
        """Tell who waits too long, which counts until its batch has ended; look anew for brokers that are silent."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            latest = self._loop.time() - DEADLINE_SECONDS
            for late in self._under_way.since_before(latest):
                late.tell(PublishFailed(f"Kafka did not confirm the event within {DEADLINE_SECONDS:.0f} seconds"))
            if self._brokers.silent_for() > RENEW_AFTER_SECONDS:
                log.warning(
                    "looking for Kafka's brokers anew: nothing was heard of them for %.0f s", RENEW_AFTER_SECONDS
                )
                silent = self._brokers
                try:
                    self._connect()
                except OSError as error:  # no file descriptor is left
                    log.warning("could not look for Kafka's brokers: %s", error)
                else:
                    silent.close()

    def _connect(self) -> None:
        self._brokers = Brokers(self._bootstrap_servers, self._topic, self._security)
        self._appender = Appender(self._brokers, self._topic)

    async def _first_answer(self) -> None:
        """Wait for brokers that were just looked for; `PublishFailed` if they don't answer by then, or later."""
        while not self.ready():
            if self._brokers.age() > FIRST_ANSWER_SECONDS:
                raise PublishFailed(AWAY)
            await asyncio.sleep(0.01)
