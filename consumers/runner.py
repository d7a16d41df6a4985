"""
The loop of every consumer: poll, decode, decide, record and move on in one transaction. Edge: Kafka and Postgres.

It knows none of the consumers by name. Replay, rebuild and redrive are this function with other arguments.

One rule makes it exact: where to go on is what Postgres says, never what this process remembers. A partition that was
just assigned, whose batch was dropped, or whose row another instance has moved is *unsettled*: it stands still until
its rows are read, checked against the log, and sought.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from kafka.errors import KafkaError
from sqlalchemy import Engine
from tenacity import (
    RetryCallState,
    RetryError,
    Retrying,
    retry_if_exception,
    stop_when_event_set,
    wait_random_exponential,
)

from consumers import metrics
from consumers.batch import Recorder, advance, copied, in_passing, move_on, take, transaction_on
from consumers.extent import Extent, check, ends_of, extents, start
from consumers.failures import Server, is_transient
from consumers.log import Log, Source, rest_after
from consumers.metrics import Metrics
from consumers.record import Partition
from consumers.telling import AT_WORK, Health, Telling
from consumers.verdicts import Decode, Group, Positions, furthest_behind, kafka_group
from entitlements import ledger
from entitlements.ledger import Position
from schemas import codec

DEAD_LETTERS_IN_A_ROW = 100
"""How many records in a row of one partition may be set aside before the program is taken to be at fault."""

POLL_S = 0.5
LONGEST_WAIT_S = 5.0
LOOK_EVERY_S = 5.0
"""How long nothing may come before Postgres is asked whether it still says what is held here."""


def run(
    groups: Sequence[Group[Any]],
    source: Source,
    database: Engine,
    schema: str,
    *,
    until: Mapping[Partition, int] | None = None,
    stop: threading.Event | None = None,
    dead_letters_in_a_row: int = DEAD_LETTERS_IN_A_ROW,
    on_health: Callable[[Health], None] = lambda _: None,
    on_round: Callable[[], None] = lambda: None,
    counting: Metrics | None = None,
    decode: Decode = codec.decode,
    serves: bool = True,
) -> None:
    """
    Feed every record to each of *groups* exactly once, and keep what they state in *schema* of *database*.

    The log is read and decoded once for all *groups*, and what they state of a batch is one transaction; each keeps its
    own next offsets, so any other instance or layout of them, at any time, finds where it went on. Without *until* this
    is a member of one group of Kafka's (`kafka_group`), shares the partitions with its other members, and goes on until
    *stop* is set: then the batch in hand is committed and the group left at once. With *until* (next offsets by
    partition, as `extent.ends_of` gives them) this is a replay: it joins no group, reads these partitions itself, and
    returns when it is there. Unless it *serves*, *schema* is read by nobody and written by these alone,
    by at most one for each partition: no changes are announced.

    While a server is away it waits, and goes on by itself; *on_round* is called again and again, also then: when it is
    not, for longer than a batch takes, something hangs. Raises `AnotherLog`, `OffsetOutOfRange` and
    `TooManyDeadLetters` where a person has to decide, and whatever is a bug; then nothing of the batch is recorded.
    """
    runner = _Runner(
        groups=sorted(groups, key=lambda group: group.name),  # all write in one order, so that none can deadlock
        source=source,
        database=database,
        schema=schema,
        until=until,
        stop=stop or threading.Event(),
        limit=dead_letters_in_a_row,
        on_round=on_round,
        decode=decode,
        serves=serves,
        tell=Telling(kafka_group(group.name for group in groups), counting or metrics.unseen(), on_health),
    )
    try:
        runner.work()
    finally:
        runner.leave()


@dataclass(slots=True, kw_only=True)
class _Runner:
    groups: Sequence[Group[Any]]
    source: Source
    database: Engine
    schema: str
    until: Mapping[Partition, int] | None
    stop: threading.Event
    limit: int
    on_round: Callable[[], None]
    decode: Decode
    serves: bool
    tell: Telling
    log: Log | None = None
    positions: Positions = field(default_factory=dict)
    kafka_knows: bool = True
    looked_at: float = 0.0

    def work(self) -> None:
        """Round after round, until stopped or there."""
        persistently = Retrying(
            retry=retry_if_exception(is_transient),
            wait=wait_random_exponential(multiplier=0.1, max=LONGEST_WAIT_S),
            stop=stop_when_event_set(self.stop),
            before_sleep=self._drop_the_batch,
            sleep=self._stand_by,
        )
        while not self.stop.is_set() and not self._is_there():
            with suppress(RetryError):  # stopped while a server was away
                persistently(self._round)

    def leave(self) -> None:
        """Leave the group, so that others need not wait for the session to time out."""
        if self.log is not None:
            self._report(now=True)
            self.log.close()

    def _round(self) -> None:
        self.on_round()
        log = self.log = self.log or self._open()
        if unsettled := log.unsettled():
            self._settle(log, unsettled)
        records = log.poll(POLL_S)
        if self.until is not None:
            records = [record for record in records if record.offset < self.until[record.source]]
        if records:
            started = time.monotonic()
            taken = take(self._recorder(), records, self.positions)
            self.positions, self.kafka_knows, self.looked_at = taken.positions, False, time.monotonic()
            self.tell.batch(taken, time.monotonic() - started)
            if taken.overtaken is not None:
                log.unsettle()
        elif time.monotonic() - self.looked_at > LOOK_EVERY_S:
            self._look(log)
        self._report()
        self.tell.stands(self.positions, log.assigned())
        if log.answers() and not log.unsettled():
            self.tell.health(AT_WORK)
        elif not log.answers():
            self.tell.health(Health(ready=False, detail="Kafka does not answer", away=Server.KAFKA))
        if self.until is None:
            self.stop.wait(rest_after(len(records), self.source.max_poll_records))

    def _recorder(self) -> Recorder:
        return Recorder(
            transaction=partial(transaction_on, self.database, self.schema),
            decode=self.decode,
            groups=self.groups,
            limit=self.limit,
            keep=advance if self.serves else move_on,
            note=in_passing if self.serves else copied,
        )

    def _open(self) -> Log:
        if self.until is not None:
            return Log(self.source, partitions=self.until)
        topics = {topic for group in self.groups for topic in group.topics}
        ends_of(self.source, topics)  # a topic that is not there is said here, not left to kafka-python's retries
        return Log(self.source, group_id=kafka_group(group.name for group in self.groups), topics=topics)

    def _settle(self, log: Log, unsettled: frozenset[Partition]) -> None:
        # Rows before extents: who owned a partition may go on for a moment, and must not seem to be past the log's end.
        rows, found = self._rows(), extents(self.source, unsettled)
        if missing := self._starts(found, rows):
            rows, found = self._rows(missing), extents(self.source, unsettled)
        mine = log.assigned()
        self.positions = {
            (row.group, (row.topic, row.partition)): row for row in rows if (row.topic, row.partition) in mine
        }
        for (_, partition), row in self.positions.items():
            if partition in found:
                check(row, found[partition])
        for partition, next_offset in furthest_behind(self.positions).items():
            if partition in found:
                log.settle(partition, next_offset, found[partition].topic_id)
        self.tell.goes_on(self.positions.values())

    def _look(self, log: Log) -> None:
        """A Postgres that is away, or was restored from a backup, is noticed though no record comes."""
        rows = {(row.group, (row.topic, row.partition)): row for row in self._rows()}
        if any(rows.get(key) != held for key, held in self.positions.items()):
            log.unsettle()
        self.looked_at = time.monotonic()

    def _rows(self, starts: Sequence[Position] = ()) -> tuple[Position, ...]:
        with transaction_on(self.database, self.schema) as connection:
            ledger.begin(connection, starts)
            topics = {group.name: group.topics for group in self.groups}
            return tuple(row for row in ledger.positions(connection, topics) if row.topic in topics[row.group])

    def _starts(self, found: Mapping[Partition, Extent], rows: Sequence[Position]) -> list[Position]:
        known = {(row.group, (row.topic, row.partition)) for row in rows}
        return [
            start(group.name, partition, extent)
            for group in self.groups
            for partition, extent in sorted(found.items(), key=lambda item: item[0])
            if partition[0] in group.topics and (group.name, partition) not in known
        ]

    def _report(self, *, now: bool = False) -> None:
        if self.until is None and not self.kafka_knows and self.log is not None:
            self.kafka_knows = self.log.report(furthest_behind(self.positions), now=now)

    def _is_there(self) -> bool:
        if self.until is None or self.log is None or self.log.unsettled():
            return False
        return all(self.log.position(partition) >= end for partition, end in self.until.items())

    def _drop_the_batch(self, attempt: RetryCallState) -> None:
        error = attempt.outcome.exception() if attempt.outcome else None
        if self.log is not None:
            self.log.unsettle()
        if error is not None:
            self.tell.dropped(error)

    def _stand_by(self, seconds: float) -> None:
        """Wait, polling on: a member that does not poll is put out of its group, and holds up its rebalances."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self.stop.is_set():
            self.on_round()
            if self.log is not None:
                try:
                    self.log.poll(0.0)
                except KafkaError as error:
                    if not error.retriable:
                        raise
            self.stop.wait(min(left, 0.1))
