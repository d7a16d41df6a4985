"""What is on its way to Kafka: bounded, and each told once what became of it. Edge: the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ingest.appending import Record


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Waiting:
    """A record, *since* when it waits by the loop's clock, and what becomes of it."""

    record: Record
    since: float
    told: asyncio.Future[Published | PublishFailed]
    size: int

    def tell(self, what: Published | PublishFailed) -> None:
        """Wake whoever waits for it, if somebody still does."""
        if not self.told.done():
            self.told.set_result(what)


class UnderWay:
    """At most *max_records*, and *max_bytes* of keys and values, until they are let go, whoever still waits."""

    def __init__(self, max_records: int, max_bytes: int) -> None:
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._all: set[Waiting] = set()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._all)

    def take(self, record: Record, since: float, told: asyncio.Future[Published | PublishFailed]) -> Waiting:
        """One more. Raises `Overloaded`."""
        size = len(record.key) + len(record.value)
        if len(self._all) >= self._max_records or self._bytes + size > self._max_bytes:
            raise Overloaded(f"{len(self._all)} events are waiting for Kafka's confirmation")
        waiting = Waiting(record=record, since=since, told=told, size=size)
        self._all.add(waiting)
        self._bytes += size
        return waiting

    def let_go(self, batch: Iterable[Waiting], failure: PublishFailed) -> None:
        """Make room for others; *failure* is told to those of *batch* who have heard nothing."""
        for each in batch:
            if each in self._all:
                self._all.remove(each)
                self._bytes -= each.size
                each.tell(failure)

    def since_before(self, moment: float) -> Iterator[Waiting]:
        """Those who wait since before *moment*."""
        return (each for each in self._all if each.since < moment)
