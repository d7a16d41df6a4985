"""
The change feed: what gateways were last told of each customer, numbered, and how far the relay is. Edge: Postgres.

A customer has one row, with the number of its last change: who asks for all behind a number is told each customer
once, as it is now. No gap hides anything: one relay gives the numbers, in transactions that follow one another. Which
changes wait is a mark on their rows, not a place in their order: ids are given before commits, and a change that a long
transaction commits late is found whenever that is, while nobody waits for it. Long because a table and what writes to
it belong together.

The functions take a connection and never commit. Schema-agnostic, as `store.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Connection,
    DateTime,
    Index,
    PrimaryKeyConstraint,
    Table,
    Text,
    cast,
    column,
    delete,
    func,
    literal,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB

from entitlements.everyone import CustomerName
from entitlements.ledger import changes
from entitlements.rows import Prepared, inserting, rows_given, run
from entitlements.tables import metadata
from schemas.access_change import AccessChange, decode_access_change

FED_CHANNEL = "entitle_feed"
"""PostgreSQL notifies it of every new head."""

feed = Table(
    "feed",
    metadata,
    Column("integration", Text, nullable=False),
    Column("customer", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False, comment="when it was last told another thing"),
    Column(
        "next_boundary",
        DateTime(timezone=True),
        comment="when time alone changes an answer next, and nobody has announced it yet",
    ),
    Column("state", JSONB, nullable=False, comment="the AccessChange as it is published"),
    PrimaryKeyConstraint("integration", "customer", comment="a customer has one latest state"),
    CheckConstraint("seq >= 1", name="seq_counts_from_one", comment="after=0 is before the first"),
    Index(None, "seq", unique=True),
    Index(None, "next_boundary", postgresql_where=text("next_boundary IS NOT NULL")),
    comment="What gateways were last told of each customer, under the number of its last change",
)

feed_position = Table(
    "feed_position",
    metadata,
    Column("one", Boolean, nullable=False, server_default=text("true")),
    Column("head", BigInteger, nullable=False, server_default="0", comment="the last number given"),
    Column("published", BigInteger, nullable=False, server_default="0", comment="up to which all is on the topic"),
    Column("oldest", BigInteger, nullable=False, server_default="0", comment="who knows less takes a snapshot"),
    Column(
        "is_walking",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="every customer is being looked at again, behind the one named last",
    ),
    Column("walked_integration", Text),
    Column("walked_customer", Text),
    PrimaryKeyConstraint("one"),
    CheckConstraint("one", name="there_is_one", comment="a feed has one head"),
    CheckConstraint(
        "published <= head", name="published_is_numbered", comment="nothing is published that is not in the table"
    ),
    comment="How far the relay has come; one row",
)


_IDENTITY = text(
    "SELECT md5(concat_ws('/', system_identifier, current_database(), current_schema())) FROM pg_control_system()"
)


_KEY = tuple(feed.primary_key.columns)
_TOLD = inserting(feed, feed.c.keys())
_TELL = Prepared(
    name="tell",
    statement=_TOLD.on_conflict_do_update(
        constraint=feed.primary_key,
        set_={column.name: _TOLD.excluded[column.name] for column in feed.c if column not in _KEY},
    ),
)
_GIVEN = (
    func.json_to_recordset(rows_given())
    .table_valued(*(column(each.name, each.type) for each in (*_KEY, feed.c.next_boundary)))
    .render_derived("given", with_types=True)
)
_AWAIT = Prepared(
    name="await_boundaries",
    statement=update(feed)
    .where(
        *(each == _GIVEN.c[each.name] for each in _KEY),
        feed.c.next_boundary.is_distinct_from(_GIVEN.c.next_boundary),
    )
    .values(next_boundary=_GIVEN.c.next_boundary),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedPosition:
    """
    How far the relay has come: *head* is the last number given, up to *published* all is on the topic, and who knows
    less than *oldest* takes a snapshot. While it *is_walking* every customer is looked at again, those behind *walked*
    are left (None: all).
    """

    head: int
    published: int
    oldest: int
    is_walking: bool
    walked: CustomerName | None


LOOKED_THROUGH = 5_000
"""Changes that are read for one step of the relay: many may concern the same, and a backlog may hold millions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Changes that nobody has been told of, by their ids; all concern the same, named as in `ledger.changes`."""

    ids: tuple[int, ...]
    integration: str | None
    customer: str | None
    payment: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How many changes wait to be relayed, and since when the oldest does; None where none does."""

    changes: int
    since: datetime | None


def position(connection: Connection) -> FeedPosition:
    """How far the relay has come."""
    row = connection.execute(select(feed_position)).one()
    walked = None
    if row.walked_customer is not None:
        walked = CustomerName(integration=row.walked_integration, customer=row.walked_customer)
    return FeedPosition(
        head=row.head, published=row.published, oldest=row.oldest, is_walking=row.is_walking, walked=walked
    )


def move(connection: Connection, to: FeedPosition) -> None:
    """
    From now on numbers are given behind *to*, and customers looked at again behind *to*; whoever listens to
    `FED_CHANNEL` is told once this is committed.
    """
    walked = to.walked
    connection.execute(
        update(feed_position).values(
            head=to.head,
            is_walking=to.is_walking,
            walked_integration=None if walked is None else walked.integration,
            walked_customer=None if walked is None else walked.customer,
        )
    )
    connection.execute(select(func.pg_notify(FED_CHANNEL, str(to.head))))


def look_at_everybody(connection: Connection) -> None:
    """Every customer in the feed is looked at again, from the first one on: what is known may be another thing now."""
    connection.execute(update(feed_position).values(is_walking=True, walked_integration=None, walked_customer=None))


def published(connection: Connection, seq: int) -> None:
    """All up to *seq* is on the topic."""
    connection.execute(update(feed_position).values(published=seq))


def keep_from(connection: Connection, seq: int) -> None:
    """Who knows less than *seq* takes a snapshot from now on."""
    connection.execute(update(feed_position).where(feed_position.c.oldest < seq).values(oldest=seq))


def waiting(connection: Connection, *, most: int) -> tuple[Waiting, ...]:
    """
    Whom the first changes concern that nobody has been told of, each once, at most so many.

    Of whom much is learnt while the relay is behind, all that waits is told together. No more than `LOOKED_THROUGH`
    changes are read for it.
    """
    whom = (changes.c.integration, changes.c.customer, changes.c.payment)
    first = (
        select(changes.c.id, *whom).where(~changes.c.relayed).order_by(changes.c.id).limit(LOOKED_THROUGH).subquery()
    )
    named = (first.c.integration, first.c.customer, first.c.payment)
    since = func.min(first.c.id)
    query = select(func.array_agg(first.c.id).label("ids"), *named).group_by(*named).order_by(since).limit(most)
    return tuple(Waiting(**{**row, "ids": tuple(row["ids"])}) for row in connection.execute(query).mappings())


def backlog(connection: Connection) -> Backlog:
    """What waits to be relayed."""
    query = select(func.count(), func.min(changes.c.recorded_at)).where(~changes.c.relayed)
    count, since = connection.execute(query).one()
    return Backlog(changes=count, since=since)


def relayed(connection: Connection, ids: Collection[int]) -> None:
    """Whom these changes concern has been told."""
    if ids:
        connection.execute(update(changes).where(changes.c.id.in_(ids)).values(relayed=True))


def forget(connection: Connection, before: datetime) -> int:
    """
    Let go of changes recorded before that moment and relayed since; how many they were.

    The newest of them stays: by the last row that it saw, whoever reads on in `changes` knows its database again.
    """
    old = changes.c.recorded_at < before
    newest = select(func.max(changes.c.id)).where(old).scalar_subquery()
    found = connection.execute(delete(changes).where(changes.c.relayed, old, changes.c.id < newest))
    return found.rowcount


def told(connection: Connection, whom: Collection[CustomerName]) -> dict[CustomerName, AccessChange]:
    """What was last told of each of these customers, of whom something was."""
    names = [(each.integration, each.customer) for each in whom]
    query = select(cast(feed.c.state, Text)).where(tuple_(feed.c.integration, feed.c.customer).in_(names))
    found = (decode_access_change(state) for state in connection.execute(query).scalars()) if names else ()
    return {CustomerName(integration=each.integration, customer=each.customer): each for each in found}


def among(connection: Connection, whom: Collection[CustomerName]) -> frozenset[CustomerName]:
    """Those of these customers of whom something was told."""
    names = [(each.integration, each.customer) for each in whom]
    named = (feed.c.integration, feed.c.customer)
    rows = connection.execute(select(*named).where(tuple_(*named).in_(names))) if names else ()
    return frozenset(CustomerName(integration=row.integration, customer=row.customer) for row in rows)


def tell(connection: Connection, states: Iterable[tuple[AccessChange, datetime | None]], *, now: datetime) -> None:
    """Each of *states* takes the place of what was told of its customer; beside it is its next boundary."""
    rows = [
        {
            "integration": state.integration,
            "customer": state.customer,
            "seq": state.seq,
            "changed_at": now,
            "next_boundary": boundary,
            "state": state,
        }
        for state, boundary in states
    ]
    if rows:
        run(connection, _TELL, rows)


def await_boundaries(connection: Connection, next_ones: Iterable[tuple[CustomerName, datetime | None]]) -> None:
    """These customers' next boundaries are these; a row that says so already stays as it is."""
    rows = [{"integration": each.integration, "customer": each.customer, "next_boundary": at} for each, at in next_ones]
    if rows:
        run(connection, _AWAIT, rows)


def due(connection: Connection, now: datetime, *, most: int) -> tuple[AccessChange, ...]:
    """
    What was told of the customers who have a boundary not after *now* to be announced, the earliest first.

    Their rows are held until the transaction ends; those that another holds are left to it.
    """
    query = (
        select(cast(feed.c.state, Text))
        .where(feed.c.next_boundary <= now)
        .order_by(feed.c.next_boundary)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    return tuple(decode_access_change(state) for state in connection.execute(query).scalars())


def next_due(connection: Connection) -> datetime | None:
    """The earliest boundary that is to be announced; None where there is none."""
    found: datetime | None = connection.execute(select(func.min(feed.c.next_boundary))).scalar_one()
    return found


def names_behind(connection: Connection, last: CustomerName | None, *, most: int) -> tuple[CustomerName, ...]:
    """The next customers in the feed behind *last* (None: from the first), in order, at most so many."""
    named = (feed.c.integration, feed.c.customer)
    query = select(*named).order_by(*named).limit(most)
    if last is not None:
        query = query.where(tuple_(*named) > tuple_(literal(last.integration), literal(last.customer)))
    return tuple(CustomerName(integration=row.integration, customer=row.customer) for row in connection.execute(query))


def behind(
    connection: Connection, after: int, *, most: int, integration: str | None = None
) -> tuple[AccessChange, ...]:
    """The states of numbers behind *after*, in their order, at most so many; of one integration or, if None, of all."""
    query = select(cast(feed.c.state, Text)).where(feed.c.seq > after).order_by(feed.c.seq).limit(most)
    if integration is not None:
        query = query.where(feed.c.integration == integration)
    return tuple(decode_access_change(state) for state in connection.execute(query).scalars())


def all_states(connection: Connection, *, integration: str | None, at_once: int) -> Iterator[Sequence[str]]:
    """Every customer's state as JSON, or those of one integration, in order of their names, *at_once* at a time."""
    query = select(cast(feed.c.state, Text)).order_by(feed.c.integration, feed.c.customer)
    if integration is not None:
        query = query.where(feed.c.integration == integration)
    rows = connection.execution_options(stream_results=True, yield_per=at_once).execute(query)
    yield from rows.scalars().partitions()


def oldest_kept(connection: Connection, now: datetime, keeping: timedelta) -> int:
    """The last number that was given longer than *keeping* ago; 0 where none was."""
    query = select(func.max(feed.c.seq)).where(feed.c.changed_at < now - keeping)
    return int(connection.execute(query).scalar_one() or 0)


def identity(connection: Connection) -> str:
    """What tells this feed from that of another schema, database or server, as a short text."""
    return str(connection.execute(_IDENTITY).scalar_one())
