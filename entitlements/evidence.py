"""
Where the log states what is known: its records, what each consumer group made of them, and which say the same.

The edge to the database, on a connection that is handed in; reads `provenance` by its indexes and dead letters by their
address, in a fixed number of queries. It decides nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, LargeBinary, Row, and_, case, or_, select
from sqlalchemy.dialects.postgresql import array

from entitlements.ledger import OF_INVOICE_PAYMENTS, Outcome, dead_letters, provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a record came to in one group; *facts* are digests, *set_aside* says why where it is a dead letter."""

    group: str
    outcome: Outcome
    facts: frozenset[bytes]
    recorded_at: datetime
    set_aside: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """
    A record of the log: the event that it carries, where it stands, and what the groups that have read it made of it.

    *about* is the id of the event's object; what the record does not show is None. *appended_at* is the broker's time.
    """

    integration: str | None
    event: str | None
    type: str | None
    created: datetime | None
    about: str | None
    topic: str
    partition: int
    offset: int
    appended_at: datetime | None
    readings: tuple[Reading, ...]

    @property
    def facts(self) -> frozenset[bytes]:
        """All facts that it states, by digest."""
        return frozenset(digest for reading in self.readings for digest in reading.facts)

    def says_the_same(self, other: Stated) -> bool:
        """Whether each group that has read both found the same facts in them, and any at all."""
        mine, others = ({each.group: each.facts for each in stated.readings} for stated in (self, other))
        common = mine.keys() & others.keys()
        return any(mine[group] for group in common) and all(mine[group] == others[group] for group in common)


def about(connection: Connection, *, integration: str, objects: Collection[str]) -> tuple[Stated, ...]:
    """The records whose events are about these objects, in order of `created` and of the log."""
    return _stated(connection, and_(provenance.c.integration == integration, provenance.c.object_id.in_(objects)))


def of_event(connection: Connection, event: str, *, integrations: Collection[str]) -> tuple[Stated, ...]:
    """The records that carry an event of this id, in any of these integrations or in none."""
    among = or_(provenance.c.integration.in_(integrations), provenance.c.integration.is_(None))
    return _stated(connection, and_(among, provenance.c.event_id == event))


def carrying(connection: Connection, events: Collection[str]) -> tuple[Stated, ...]:
    """The records that carry one of these events or operators' messages, wherever; reads all of provenance."""
    return _stated(connection, provenance.c.event_id.in_(events))


def naming(connection: Connection, customer: str, *, integration: str | None = None) -> tuple[Stated, ...]:
    """The records that name a customer, in any integration where none is given; reads all of provenance."""
    which = provenance.c.customer == customer
    return _stated(connection, which if integration is None else and_(which, provenance.c.integration == integration))


def of_links(connection: Connection, *, integration: str, links: Collection[bytes]) -> tuple[Stated, ...]:
    """The records of invoices' payments that state one of these payment links, by digest."""
    states_one = provenance.c.facts.op("&&")(array(sorted(links), type_=LargeBinary))
    return _stated(connection, and_(OF_INVOICE_PAYMENTS, provenance.c.integration == integration, states_one))


def of_messages(connection: Connection, *, integration: str, messages: Collection[str]) -> tuple[Stated, ...]:
    """The records of what operators did for customers of an integration, by the ids of their messages."""
    return _stated(connection, and_(provenance.c.integration == integration, provenance.c.event_id.in_(messages)))


def of_operators(connection: Connection, messages: Collection[str]) -> tuple[Stated, ...]:
    """The records of operators' messages with these ids, such as `catalog-1`: they belong to no integration."""
    return _stated(connection, and_(provenance.c.integration.is_(None), provenance.c.event_id.in_(messages)))


def twins(records: Iterable[Stated]) -> Mapping[tuple[str, int, int], str]:
    """
    By topic, partition and offset, for each record that says the same as an earlier one of another event about the
    same object: that event. *records* are in order.
    """
    first: dict[tuple[str | None, str | None], list[Stated]] = defaultdict(list)
    found: dict[tuple[str, int, int], str] = {}
    for record in records:
        earlier = first[record.integration, record.about]
        same = next((each for each in earlier if each.says_the_same(record)), None)
        if same is None:
            earlier.append(record)
        elif same.event is not None and same.event != record.event:
            found[address(record)] = same.event
    return found


def address(record: Stated) -> tuple[str, int, int]:
    """Topic, partition and offset."""
    return record.topic, record.partition, record.offset


_WHY_SET_ASIDE = (
    select(dead_letters.c.reason)
    .where(*(dead_letters.c[name] == provenance.c[name] for name in ("consumer_group", "topic", "partition", "offset")))
    .order_by(dead_letters.c.id.desc())  # of one address in several logs, the one set aside last
    .limit(1)
    .scalar_subquery()
)
_READINGS = select(
    provenance, case((provenance.c.outcome == Outcome.DEAD_LETTER.value, _WHY_SET_ASIDE)).label("set_aside")
).order_by(
    provenance.c.event_created,
    provenance.c.topic,
    provenance.c.partition,
    provenance.c.offset,
    provenance.c.recorded_at,
)


def _stated(connection: Connection, which: ColumnElement[bool]) -> tuple[Stated, ...]:
    rows: dict[tuple[str, int, int], list[Row[Any]]] = defaultdict(list)
    for row in connection.execute(_READINGS.where(which)):
        rows[row.topic, row.partition, row.offset].append(row)
    return tuple(_joined(of_record) for of_record in rows.values())


def _joined(rows: list[Row[Any]]) -> Stated:
    one = rows[0]
    return Stated(
        integration=one.integration,
        event=one.event_id,
        type=one.event_type,
        created=one.event_created,
        about=one.object_id,
        topic=one.topic,
        partition=one.partition,
        offset=one.offset,
        appended_at=one.appended_at,
        readings=tuple(
            Reading(
                group=row.consumer_group,
                outcome=Outcome(row.outcome),
                facts=frozenset(bytes(digest) for digest in row.facts),
                recorded_at=row.recorded_at,
                set_aside=row.set_aside,
            )
            for row in sorted(rows, key=lambda row: row.consumer_group)
        ),
    )
