"""
What must hold of log and facts after whatever happened: nothing lost, nothing twice, nothing but what the log says.

The proof is a replay: one undisturbed pass over the same log into another schema, compared row by row. Edge: Postgres
and Kafka, as operators have them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from kafka.errors import KafkaError

from consumers.extent import ends_of
from consumers.failures import reason
from consumers.log import Source
from consumers.record import Partition
from consumers.runner import run
from entitlements.ledger import consumer_offsets, dead_letters, provenance
from entitlements.store import TABLE_OF
from ops.database import engine, migrate
from ops.processes import group
from schemas.topics import CONSUMER_GROUPS
from tests.acceptance.kills import Read
from tests.acceptance.relay import Exchange
from tests.acceptance.told import misfed, untold

LIVE, REPLAYED = "entitlements", "replayed"
FACTS = tuple(TABLE_OF.values())
NOT_OF_THE_LOG = frozenset({"outcome", "recorded_at"})
"""Columns of provenance that say when a record was read, and whether it was the first of several to say something."""


class Reckoning:
    """The facts in *database_url* beside the log of *source*; to be asked once no group is behind."""

    def __init__(self, database_url: str, source: Source) -> None:
        self._url = sa.make_url(database_url).set(drivername="postgresql+psycopg2").render_as_string(False)
        self._engine = engine(self._url, LIVE)
        self._source = source
        self.ends: Mapping[Partition, int] = {}

    def close(self) -> None:
        """Disconnect."""
        self._engine.dispose()

    def behind(self) -> list[str]:
        """
        The groups that are not at the log's end, as it is now, and what the relay has still to tell, in words; or the
        server that can't be asked yet.
        """
        at = consumer_offsets.c
        try:
            self.ends = ends_of(self._source, {topic for topics in CONSUMER_GROUPS.values() for topic in topics})
            rows = self._rows(sa.select(at.consumer_group, at.topic, at.partition, at.next_offset))
            left = untold(self._engine)
        except (KafkaError, sa.exc.OperationalError) as error:
            return [reason(error)]
        found = {(group, (topic, number)): next_offset for group, topic, number, next_offset in rows}
        return left + [
            f"{name} goes on from {found.get((name, partition))} in {partition}, whose end is {self.ends[partition]}"
            for name, partition in self._read_by_groups()
            if found.get((name, partition)) != self.ends[partition]
        ]

    def counts(self) -> dict[str, int]:
        """Rows of each table of facts, and records of the log."""
        found = {table.name: self._rows(sa.select(sa.func.count()).select_from(table))[0][0] for table in FACTS}
        return {**found, "records": sum(self.ends.values())}

    def reads(self) -> list[Read]:
        """When the broker had each record, and when each group recorded it."""
        row = provenance.c
        rows = self._rows(sa.select(row.consumer_group, row.topic, row.partition, row.appended_at, row.recorded_at))
        return [
            Read(group=group, place=f"{topic}-{number}", appended_at=had.timestamp(), recorded_at=recorded.timestamp())
            for group, topic, number, had, recorded in rows
        ]

    def faults(self, deliveries: Sequence[Exchange]) -> list[str]:
        """All that is wrong, in words; *deliveries* are those that were answered 200."""
        self._replay()
        return [
            *self._uncounted(),
            *self._twice(),
            *self._set_aside(),
            *self._unlike_the_replay(),
            *self._not_where_it_was_said(deliveries),
            *misfed(self._engine, self._source),
        ]

    def _replay(self) -> None:
        """One pass over the whole log by one reader that nobody disturbs."""
        into = engine(self._url, REPLAYED)
        try:
            migrate(into, REPLAYED)
            run([group(name) for name in CONSUMER_GROUPS], self._source, into, REPLAYED, until=self.ends)
        finally:
            into.dispose()

    def _uncounted(self) -> Iterator[str]:
        """Of every group and partition: as many records counted as there are, each once, and the row at the end."""
        row = provenance.c
        keys = (row.consumer_group, row.topic, row.partition)
        numbers = (sa.func.count(sa.distinct(row.offset)), sa.func.count(), sa.func.max(row.offset) + 1)
        rows = self._rows(sa.select(*keys, *numbers).group_by(*keys))
        counted = {(group, (topic, number)): tuple(found) for group, topic, number, *found in rows}
        yield from self.behind()
        for name, partition in self._read_by_groups():
            end = self.ends[partition]
            if end and (found := counted.get((name, partition))) != (end, end, end):
                yield f"{name} has counted {found} (offsets, rows, last + 1) in {partition}, whose end is {end}"

    def _read_by_groups(self) -> Iterator[tuple[str, Partition]]:
        for name, topics in CONSUMER_GROUPS.items():
            for partition in self.ends:
                if partition[0] in topics:
                    yield name, partition

    def _twice(self) -> Iterator[str]:
        """Facts that say the same under two digests."""
        for table in FACTS:
            said = [column for column in table.c if column.name not in ("digest", "stated_at")]
            again = sa.select(sa.func.count()).select_from(table).group_by(*said).having(sa.func.count() > 1)
            for several in self._rows(again):
                yield f"{table.name} holds {several[0]} facts that say the same"

    def _set_aside(self) -> Iterator[str]:
        """Dead letters: nobody sent anything unreadable."""
        for why, number in Counter(row[0] for row in self._rows(sa.select(dead_letters.c.reason))).items():
            yield f"{number} dead letters: {why}"

    def _unlike_the_replay(self) -> Iterator[str]:
        """Rows that the facts have and the replay has not, and the other way round."""
        for table in (*FACTS, provenance):
            columns = [column.name for column in table.c if column.name not in NOT_OF_THE_LOG]
            live, again = (_of(table, schema, columns) for schema in (LIVE, REPLAYED))
            for what, difference in (("more", live.except_all(again)), ("less", again.except_all(live))):
                if rows := self._rows(difference):
                    key = ", ".join(_shown(rows[0]._mapping[column.name]) for column in table.primary_key)
                    yield f"{table.name} has {len(rows)} rows {what} than a replay of the log, as {key}"

    def _not_where_it_was_said(self, deliveries: Sequence[Exchange]) -> Iterator[str]:
        """Deliveries answered 200 that the replay, which has read the log itself, did not find at the place named."""
        columns = ("topic", "partition", "offset", "event_id")
        lies = {tuple(place): event for *place, event in self._rows(_of(provenance, REPLAYED, columns))}
        for delivery in deliveries:
            event, answer = json.loads(delivery.request)["id"], json.loads(delivery.answer)
            if answer["status"] != "published":
                continue
            place = (answer["topic"], answer["partition"], answer["offset"])
            if answer["event"] != event or lies.get(place) != event:
                yield f"{event} was answered 200 with {place}, where the log has {lies.get(place)}"

    def _rows(self, query: sa.Executable) -> Sequence[Any]:
        with self._engine.connect() as connection:
            return connection.execute(query).all()


def _of(table: sa.Table, schema: str, columns: Sequence[str]) -> sa.Select[Any]:
    there = table.to_metadata(sa.MetaData(), schema=schema)
    return sa.select(*(there.c[name] for name in columns))


def _shown(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
