"""
What the consumers did, beside what they found out: next offsets, provenance, dead letters, changes. Edge: Postgres.

The functions take a connection and never commit: they are part of the transaction that records the facts. Which schema
they write to is the connection's search_path. Long because a table and what writes to it belong together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Connection,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    and_,
    case,
    cast,
    column,
    func,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.types import UserDefinedType

from entitlements.rows import Filled, Prepared, bytea, copied, copy, inserting, rows_given, send
from entitlements.tables import metadata


class Fenced(Exception):
    """
    Another instance has moved offset rows since they were read here; read them again and go on from there.

    *lost* are those rows: group, topic, partition.
    """

    def __init__(self, text: str, lost: Collection[tuple[str, str, int]]) -> None:
        super().__init__(text)
        self.lost = frozenset(lost)


class Outcome(StrEnum):
    """What became of a record in one consumer group; every record has exactly one."""

    RECORDED = "recorded"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"
    DEAD_LETTER = "dead_letter"


class TransactionId(UserDefinedType[str]):
    """PostgreSQL's `xid8`, which SQLAlchemy has no type for."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """The type's name in DDL."""
        return "xid8"


def _recorded_at() -> Column[datetime]:
    return Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now())


consumer_offsets = Table(
    "consumer_offsets",
    metadata,
    Column("consumer_group", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("next_offset", BigInteger, nullable=False, comment="the last offset recorded, plus one"),
    Column("cluster_id", Text, nullable=False, comment="which Kafka: an offset means nothing in another one"),
    Column("topic_id", Text, nullable=False, comment="which topic of that name: one made anew starts over"),
    Column(
        "dead_letters_in_a_row",
        Integer,
        nullable=False,
        server_default="0",
        comment="dead letters since the last record that stated a fact; too many stop the consumer, restarts included",
    ),
    _recorded_at(),
    PrimaryKeyConstraint(
        "consumer_group", "topic", "partition", comment="a group has one place to go on from in each partition"
    ),
    CheckConstraint("next_offset >= 0", name="offset_counts_from_zero", comment="Kafka's offsets start at 0"),
    CheckConstraint("dead_letters_in_a_row >= 0", name="dead_letters_are_counted", comment="a count is not negative"),
    comment="Where each consumer group goes on; moved in the transaction that records what was read",
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", BigInteger, Identity(always=True), nullable=False),
    Column("consumer_group", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("cluster_id", Text, nullable=False),
    Column("topic_id", Text, nullable=False),
    Column("reason", Text, nullable=False, comment="one line for people, safe to log"),
    Column("detail", Text, nullable=False, comment="the traceback or the database's own words"),
    Column("key", LargeBinary),
    Column("value", LargeBinary),
    Column(
        "headers", JSONB, nullable=False, comment="[[name, base64 of the value or null], ...], in the record's order"
    ),
    Column("appended_at", DateTime(timezone=True)),
    _recorded_at(),
    PrimaryKeyConstraint("id"),
    UniqueConstraint(
        "consumer_group",
        "topic",
        "partition",
        "offset",
        "cluster_id",
        "topic_id",
        name="dead_letters_one_of_each_record",
        comment="a record is set aside once in a group, however often it is read",
    ),
    CheckConstraint("reason <> ''", name="has_a_reason", comment="a dead letter without its cause is half useless"),
    comment="Records that were set aside, as they were; their neighbours went on",
)

CHANGES_CHANNEL = "entitle_changes"
"""Where PostgreSQL notifies of changes that were committed; the payload is empty: who listens reads `changes`."""

OF_INVOICE_PAYMENTS = text("starts_with(event_type, 'invoice_payment.')")
"""Records that link a payment to an invoice and name neither's id as their object: they are found by their facts."""

provenance = Table(
    "provenance",
    metadata,
    Column("consumer_group", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("integration", Text),
    Column("event_id", Text),
    Column("event_type", Text),
    Column("event_created", DateTime(timezone=True)),
    Column("object_id", Text),
    Column("customer", Text),
    Column("outcome", Text, nullable=False),
    Column("facts", ARRAY(LargeBinary), nullable=False, comment="digests of the facts that this record states"),
    Column("appended_at", DateTime(timezone=True)),
    _recorded_at(),
    PrimaryKeyConstraint(
        "consumer_group", "topic", "partition", "offset", comment="a record has one outcome in each group that reads it"
    ),
    CheckConstraint(
        f"outcome IN ({', '.join(repr(str(outcome)) for outcome in Outcome)})",
        name="outcome_is_known",
        comment="every record ends in one of four outcomes",
    ),
    Index(None, "integration", "object_id"),
    Index(None, "integration", "event_id"),
    Index(None, "facts", postgresql_using="gin", postgresql_where=OF_INVOICE_PAYMENTS),
    comment="What each record of the log came to in each group, and which facts it states",
)

changes = Table(
    "changes",
    metadata,
    Column("id", BigInteger, Identity(always=True), nullable=False),
    Column("integration", Text, comment="null where the fact belongs to none, as a catalog revision"),
    Column("customer", Text, comment="null where it is not known, or where the fact concerns everyone"),
    Column(
        "payment", Text, comment="by which whose it is can be found, where the fact names a payment and no customer"
    ),
    Column("consumer_group", Text, nullable=False),
    Column(
        "xid",
        TransactionId(),
        nullable=False,
        server_default=func.pg_current_xact_id(),
        comment="whose commit makes this visible: ids are given before commits, so a reader must wait for older ones",
    ),
    _recorded_at(),
    Column(
        "relayed",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="the relay has told whom it concerns; a mark, since ids and commits come in different orders",
    ),
    PrimaryKeyConstraint("id"),
    Index("changes_to_relay", "id", postgresql_where=text("NOT relayed")),
    Index(None, "xid"),
    comment="A group learned something new about a customer; the change feed numbers and announces it",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a group goes on in one partition of one log: a row of `consumer_offsets`."""

    group: str
    topic: str
    partition: int
    next_offset: int
    cluster_id: str
    topic_id: str
    dead_letters_in_a_row: int = 0


_POSITION = (
    consumer_offsets.c.consumer_group.label("group"),
    consumer_offsets.c.topic,
    consumer_offsets.c.partition,
    consumer_offsets.c.next_offset,
    consumer_offsets.c.cluster_id,
    consumer_offsets.c.topic_id,
    consumer_offsets.c.dead_letters_in_a_row,
)

_KEY = consumer_offsets.primary_key.columns
_MOVES = (
    func.json_to_recordset(rows_given())
    .table_valued(*(column(each.name, each.type) for each in consumer_offsets.c), column("read_offset", BigInteger))
    .render_derived("moves", with_types=True)
)
_HELD = (
    select(*_KEY)
    .join(_MOVES, and_(*(each == _MOVES.c[each.name] for each in _KEY)))
    .order_by(*_KEY)
    .with_for_update(of=consumer_offsets)
    .cte("held")
)
_ADVANCE = Prepared(
    name="advance",
    statement=update(consumer_offsets)
    .where(
        *(each == _MOVES.c[each.name] for each in (*_KEY, consumer_offsets.c.cluster_id, consumer_offsets.c.topic_id)),
        *(each == _HELD.c[each.name] for each in _KEY),
        consumer_offsets.c.next_offset == _MOVES.c.read_offset,
    )
    .values(
        next_offset=_MOVES.c.next_offset,
        dead_letters_in_a_row=_MOVES.c.dead_letters_in_a_row,
        recorded_at=func.now(),
    )
    .returning(*_KEY),
)

_PROVENANCE = inserting(provenance, (column.name for column in provenance.c if column.name != "recorded_at"))
_LATEST_PROVENANCE = Prepared(
    name="write_provenance",
    statement=_PROVENANCE.on_conflict_do_update(
        constraint=provenance.primary_key,
        set_={
            column.name: _PROVENANCE.excluded[column.name]
            for column in provenance.c
            if column.name not in provenance.primary_key.columns
        },
    ),
)
_IN_PROVENANCE = itemgetter(*(column.name for column in provenance.primary_key.columns))
_SHOWN = ("integration", "event_id", "event_type", "event_created", "object_id", "customer")
_COPIED = ", ".join(("consumer_group", "topic", '"partition"', '"offset"', *_SHOWN, "outcome", "facts", "appended_at"))
_CHANGES = Prepared(
    name="write_changes",
    statement=select(func.pg_notify(literal_column(f"'{CHANGES_CHANNEL}'"), literal_column("''"))).add_cte(
        inserting(changes, ("consumer_group", "integration", "customer", "payment")).cte("written")
    ),
)
"""With the news of it, which PostgreSQL tells once, when the transaction is committed."""


def positions(
    connection: Connection, groups: Collection[str] = (), *, schema: str | None = None
) -> tuple[Position, ...]:
    """
    Every position, or those of *groups*, in order of group, topic and partition; of *schema*, if given, whatever the
    search_path is.
    """
    query = select(*_POSITION).order_by(*_POSITION[:3])
    if groups:
        query = query.where(consumer_offsets.c.consumer_group.in_(groups))
    # Without a schema the map must be absent: one of None is the schema that the engine saw first.
    options = {} if schema is None else {"schema_translate_map": {None: schema}}
    return tuple(Position(**row) for row in connection.execute(query, execution_options=options).mappings())


def begin(connection: Connection, starts: Sequence[Position]) -> None:
    """Give each group and partition that has no row yet the place to start from; rows that are there stay."""
    if starts:
        rows = [_row(start) for start in starts]
        connection.execute(insert(consumer_offsets).on_conflict_do_nothing(), rows)


def advance(
    connection: Connection, moves: Iterable[tuple[Position, Position]], *, behind: Sequence[Filled] = ()
) -> None:
    """
    Move each row from the position that was read to the new one, all or none; *behind* these statements, in one
    message with them.

    Raises `Fenced` where a row no longer holds what was read. Rows are taken in one order, so that two instances that
    hold the same partitions for a moment wait for one another instead of deadlocking.
    """
    pairs = {(read.group, read.topic, read.partition): (read, new) for read, new in moves}
    rows = (
        {**_row(new), "read_offset": read.next_offset, "cluster_id": read.cluster_id, "topic_id": read.topic_id}
        for read, new in pairs.values()
    )
    if not pairs:
        if behind:
            send(connection, *behind)
        return
    moved = {tuple(row) for row in send(connection, *behind, Filled(prepared=_ADVANCE, rows=[rows]))}
    if lost := sorted(pairs.keys() - moved):
        read, _ = pairs[lost[0]]
        raise Fenced(
            f"{read.group} read {read.topic}-{read.partition} from offset {read.next_offset} on, "
            "but another instance has recorded those records",
            lost,
        )


def write_dead_letters(connection: Connection, letters: Sequence[Mapping[str, Any]]) -> None:
    """
    Set records aside: rows of `dead_letters` by column name. Of one that is there already the latest reason counts, and
    what is known of the record stays known.
    """
    if letters:
        statement = insert(dead_letters)
        new = statement.excluded
        kept = {name: func.coalesce(new[name], dead_letters.c[name]) for name in ("key", "value", "appended_at")}
        headers = case((new.headers == cast("[]", JSONB), dead_letters.c.headers), else_=new.headers)
        latest = {"reason": new.reason, "detail": new.detail, "headers": headers, **kept}
        constraint = "dead_letters_one_of_each_record"
        connection.execute(statement.on_conflict_do_update(constraint=constraint, set_=latest), letters)


def count_anew(connection: Connection, read: Position, dead_letters_in_a_row: int) -> None:
    """So many records before *read* were set aside in a row; where the group has moved on, its own count holds."""
    connection.execute(
        update(consumer_offsets)
        .where(
            consumer_offsets.c.consumer_group == read.group,
            consumer_offsets.c.topic == read.topic,
            consumer_offsets.c.partition == read.partition,
            consumer_offsets.c.next_offset == read.next_offset,
        )
        .values(dead_letters_in_a_row=dead_letters_in_a_row)
    )


def noted(rows: Sequence[Mapping[str, Any]]) -> tuple[Filled, ...]:
    """
    What notes what each record came to: rows of `provenance` by column name; the latest reading of a record counts.

    In one order, so that two instances that have read the same records wait for one another instead of deadlocking.
    """
    ordered = sorted(rows, key=_IN_PROVENANCE)
    written = [{**row, "facts": [*map(bytea, row["facts"])]} for row in ordered]
    return (Filled(prepared=_LATEST_PROVENANCE, rows=[written]),) if written else ()


def copy_provenance(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """
    The same for records of which nothing is noted yet, at a fourth of the cost: for who alone writes to a schema.

    Raises `Fenced` where something is.
    """
    if rows:
        try:
            copy(connection, f"COPY provenance ({_COPIED}) FROM STDIN", "".join(_copied(rows)))
        except IntegrityError as error:
            lost = {(row["consumer_group"], row["topic"], row["partition"]) for row in rows}
            raise Fenced("another instance has recorded some of these records", lost) from error


def _copied(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Rows as COPY reads them; what the groups' rows of a record have in common is written out once."""
    known: dict[tuple[str, int, int], tuple[str, str]] = {}
    for row in rows:
        address = row["topic"], row["partition"], row["offset"]
        common = known.get(address)
        if common is None:
            shown = "\t".join([copied(row[name]) for name in _SHOWN])
            common = known[address] = "\t".join((*map(str, address), shown)), copied(row["appended_at"])
        digests = ",".join([rf'"\\\\x{digest.hex()}"' for digest in row["facts"]])
        yield f"{row['consumer_group']}\t{common[0]}\t{row['outcome']}\t{{{digests}}}\t{common[1]}\n"


def write_changes(
    connection: Connection, concerned: Collection[tuple[str, str | None, str | None, str | None]]
) -> None:
    """Note whom it concerns, as `changed` says it."""
    if concerned:
        send(connection, *changed(concerned))


def changed(concerned: Collection[tuple[str, str | None, str | None, str | None]]) -> tuple[Filled, ...]:
    """
    What notes that a group learned something new about whom: group, integration, customer, payment.

    A *payment* stands where the customer is not known: whose it is, is found by who reads the change, for only then is
    all there that was committed before it (`reading.customers_of`).
    """
    ordered = sorted(concerned, key=lambda whom: tuple(part or "" for part in whom))
    rows = [
        {"consumer_group": group, "integration": of, "customer": customer, "payment": payment}
        for group, of, customer, payment in ordered
    ]
    return (Filled(prepared=_CHANGES, rows=[rows]),) if rows else ()


def _row(position: Position) -> dict[str, Any]:
    row = {name: getattr(position, name) for name in Position.__slots__}
    row["consumer_group"] = row.pop("group")
    return row
