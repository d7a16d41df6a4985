"""A log, a database in which a version recorded it, and the command line of a rebuild. Edge: Kafka, Postgres."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from click.testing import Result
from kafka import KafkaProducer

from consumers.extent import ends_of
from consumers.log import Source
from consumers.runner import run
from consumers.verdicts import Group
from entitlements import ledger
from entitlements.domain.facts import Fact
from entitlements.store import TABLE_OF
from ops.database import engine
from ops.operator_log import make_topics, publish_catalog
from ops.processes import group
from schemas.codec import Message, encode_stripe
from schemas.stripe_event import InvoiceStatus
from schemas.topics import CONSUMER_GROUPS, EVENTS, KEEP_FOR_EVER, OPERATOR_COMMANDS, topics
from tests.feeding import SCHEMA, SETTINGS_SCHEMA, fed
from tests.operating import called
from tests.pure_core import catalog
from tests.stripe_builders import Bill, Line, events, paid

REBUILD, BEFORE = f"{SCHEMA}_rebuild", f"{SCHEMA}_before"
PARTITIONS = 3
"""Of the topic of events that hold any; one more stays empty."""

WANTED = topics(
    event_partitions=PARTITIONS + 1, event_retention_ms=KEEP_FOR_EVER, replication_factor=1, min_insync_replicas=1
)
GROUPS = tuple(group(name) for name in sorted(CONSUMER_GROUPS))
PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A log and a database of one's own."""

    source: Source
    url: str
    engine: sa.Engine

    def entitle(self, *arguments: str, **settings: str) -> Result:
        """The command line; what it raises is raised here."""
        own = {"ENTITLE_DATABASE_URL": self.url, "ENTITLE_SCHEMA": SCHEMA, **settings}
        return called(self.source, *arguments, **own)

    def rebuild(self, *arguments: str) -> dict[str, Any]:
        """`entitle rebuild` with these arguments; what it says with --json."""
        done = self.entitle("rebuild", *arguments, "--yes", "--json")
        assert done.exit_code == 0, done.output
        found = json.loads(done.stdout)
        assert isinstance(found, dict)
        return found

    def built(self) -> None:
        """A rebuild that has caught up."""
        self.rebuild("--no-follow", "--processes", "1")

    def consume(self, groups: Sequence[Group[Any]] = GROUPS) -> None:
        """The live consumers read the log to its end."""
        with self.own() as database:
            run(groups, self.source, database, SCHEMA, until=ends_of(self.source, [EVENTS, OPERATOR_COMMANDS]))

    @contextmanager
    def consuming(self, groups: Sequence[Group[Any]] = GROUPS) -> Iterator[None]:
        """A live consumer at work, as its process runs it."""
        stop = threading.Event()

        def work() -> None:
            with self.own() as database:
                run(groups, self.source, database, SCHEMA, stop=stop)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(PATIENCE_S)
            assert not thread.is_alive()

    @contextmanager
    def own(self, schema: str = SCHEMA, **settings: Any) -> Iterator[sa.Engine]:
        """An engine of one's own, as processes have it."""
        made = sa.make_url(self.url).set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)
        found = engine(made, schema, settings_schema=SETTINGS_SCHEMA, **settings)
        try:
            yield found
        finally:
            found.dispose()

    def facts(self, schema: str = SCHEMA) -> dict[str, list[tuple[Any, ...]]]:
        """Every table of facts in *schema*, whole."""
        with self.own(schema) as database, database.connect() as connection:
            return {
                table.name: [tuple(row) for row in connection.execute(sa.select(table).order_by(table.c.digest))]
                for table in TABLE_OF.values()
            }

    def provenance(self, schema: str = SCHEMA) -> list[tuple[Any, ...]]:
        """But for whether a record was the first to say so and when it was read."""
        columns = [each for each in ledger.provenance.c if each.name not in ("outcome", "recorded_at")]
        query = sa.select(*columns).order_by(*ledger.provenance.primary_key.columns)
        with self.own(schema) as database, database.connect() as connection:
            return [tuple(row) for row in connection.execute(query)]

    def shape(self, schema: str = SCHEMA) -> list[str]:
        """Its indexes and constraints, as PostgreSQL spells them."""
        with self.engine.connect() as connection:
            found = connection.execute(_SHAPE, {"schema": schema}).scalars()
            return sorted(str(each).replace(f"{schema}.", "") for each in found)

    def offsets(self, schema: str = SCHEMA) -> tuple[ledger.Position, ...]:
        with self.engine.connect() as connection:
            return ledger.positions(connection, schema=schema)

    def schemas(self) -> set[str]:
        """Those there are, but for the settings'."""
        query = sa.text("SELECT nspname FROM pg_namespace WHERE starts_with(nspname, :name)")
        with self.engine.connect() as connection:
            return set(connection.execute(query, {"name": SCHEMA}).scalars())


_SHAPE = sa.text("""
SELECT indexdef FROM pg_indexes WHERE schemaname = :schema
UNION ALL
SELECT conrelid::regclass::text || ' ' || conname || ' ' || pg_get_constraintdef(pg_constraint.oid) FROM pg_constraint
JOIN pg_namespace ON pg_namespace.oid = connamespace WHERE nspname = :schema
""")


@contextmanager
def ground(source: Source, url: str) -> Iterator[Ground]:
    """An empty database of that URL, migrated."""
    with fed(url) as database:
        yield Ground(source=source, url=url, engine=database)


def prepare(bootstrap: str) -> Source:
    """The topics, and a catalog in them."""
    source = Source(bootstrap=bootstrap)
    make_topics(source, WANTED, lambda _: None)
    publish_catalog(source, catalog(), applied_by="ann", in_force_from=None, at=datetime.now(UTC))
    return source


def put(source: Source, *events: Mapping[str, Any]) -> None:
    """Events of Stripe's, as ingest publishes them, partition by partition."""
    with producing(source) as send:
        send(events)


@contextmanager
def producing(source: Source) -> Iterator[Callable[[Sequence[Mapping[str, Any]]], None]]:
    """The same again and again; each time Kafka has them."""
    producer = KafkaProducer(bootstrap_servers=source.bootstrap, linger_ms=5, batch_size=512 * 1024)

    def send(events: Sequence[Mapping[str, Any]]) -> None:
        for number, each in enumerate(events):
            key, value, headers = encode_stripe(integration="main", event=dict(each))
            producer.send(EVENTS, key=key, value=value, headers=headers, partition=number % PARTITIONS)
        producer.flush(timeout=PATIENCE_S)

    try:
        yield send
    finally:
        producer.close()


def billed(count: int, *, customers: int, prefix: str = "in", customer: str = "cus") -> list[dict[str, Any]]:
    """Finalized and paid: two events for each invoice, each of one of the customers."""
    bills: list[Bill] = [
        paid(Line(id=f"il_{prefix}_{number}"), id=f"{prefix}_{number}", customer=f"{customer}_{number % customers}")
        for number in range(count)
    ]
    return [{**each, "id": f"evt_{prefix}_{number}"} for number, each in enumerate(events(*bills))]


def misreading(customers: Collection[str], *, missed: Collection[str] = ()) -> tuple[Group[Any], ...]:
    """All groups, of a version that takes no invoice of *customers* for paid, and does not see those *missed*."""
    return tuple(replace(each, decide=_wrong(each.decide, customers, missed)) for each in GROUPS)


def _wrong(
    decide: Callable[[Message], Sequence[Fact]], customers: Collection[str], missed: Collection[str]
) -> Callable[[Message], Sequence[Fact]]:
    def decided(message: Message) -> Sequence[Fact]:
        return [
            fact
            for fact in decide(message)
            if fact.customer not in missed
            and not (fact.customer in customers and getattr(fact, "status", None) is InvoiceStatus.PAID)
        ]

    return decided
