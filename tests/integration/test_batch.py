"""A batch of the real groups on a real PostgreSQL: what it costs in round trips, and what is there afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from consumers.batch import Recorder, take, transaction_on
from consumers.record import Record
from consumers.verdicts import Positions
from entitlements import ledger, reading, store
from entitlements.domain.facts import Fact
from entitlements.domain.reversals import RefundStated, SubscriptionEnded
from entitlements.ledger import Outcome, Position
from ops.database import engine, migrate
from ops.processes import group
from schemas.codec import Message, StripeMessage
from schemas.topics import CONSUMER_GROUPS, EVENTS
from tests.pure_core import facts_of
from tests.pure_core import record as remembered
from tests.stripe_builders import Json, events, paid

SCHEMA = "entitlements"
PLACE = (EVENTS, 0)

OF_A_PAID_INVOICE = facts_of(remembered({}, events(paid())))
GRANT, SNAPSHOT = OF_A_PAID_INVOICE.grants[0], OF_A_PAID_INVOICE.invoices[0]
REFUND = RefundStated(
    integration="main",
    refund="re_1",
    charge="ch_1",
    payment_intent=None,
    amount=5,
    status="succeeded",
    stated_at=GRANT.stated_at,
)
ENDED = SubscriptionEnded(
    integration="main",
    customer="cus_1",
    subscription="sub_1",
    ended_at=GRANT.stated_at,
    stated_at=GRANT.stated_at,
)


@pytest.fixture
def database(fresh_database: str) -> Iterator[sa.Engine]:
    """As the consumers have it."""
    on = engine(fresh_database.replace("postgresql://", "postgresql+psycopg2://"), SCHEMA, ask_first=False)
    migrate(on, SCHEMA)
    yield on
    on.dispose()


@pytest.fixture
def starts(database: sa.Engine) -> Positions:
    """Every group has read nothing yet."""
    each = [
        Position(group=name, topic=EVENTS, partition=0, next_offset=0, cluster_id="cluster", topic_id="topic")
        for name in CONSUMER_GROUPS
    ]
    with database.begin() as connection:
        ledger.begin(connection, each)
    return {(start.group, PLACE): start for start in each}


@pytest.fixture
def said(database: sa.Engine) -> list[str]:
    """What has been said to PostgreSQL, but for what a session prepares once."""
    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith("PREPARE"):
            found.append(statement)

    sa.event.listen(database, "before_cursor_execute", note)
    return found


def records(of: list[Json]) -> list[Record]:
    return [
        Record(
            topic=EVENTS,
            partition=0,
            offset=offset,
            timestamp=0,
            key=None,
            value=b"",
            headers=(("at", b"%d" % offset),),
        )
        for offset in range(len(of))
    ]


def read_from(of: list[Json], _topic: str, _value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> Message:
    [(_, offset)] = headers
    return StripeMessage(integration="main", event=of[int(offset)])


def test_a_batch_is_said_in_two_messages_beside_its_transaction(
    database: sa.Engine, starts: Positions, said: list[str]
) -> None:
    """The facts of all groups and kinds; then provenance, changes and offsets: whatever there is, it is recorded."""
    stripe_events = list(events(paid()))
    recorder = Recorder(
        transaction=partial(transaction_on, database, SCHEMA),
        decode=partial(read_from, stripe_events),
        groups=[group(name) for name in CONSUMER_GROUPS],
        limit=0,
    )

    said.clear()
    taken = take(recorder, records(stripe_events), starts)
    told = [*said]
    with database.connect() as connection:
        found = reading.facts_of(connection, integration="main", customer="cus_1")
        noted = connection.execute(sa.select(ledger.provenance.c.outcome)).scalars().all()
        changed = connection.execute(sa.select(ledger.changes.c.customer)).scalars().all()
        moved = {position.next_offset for position in ledger.positions(connection)}

    assert len(told) == 2, told
    wanted = facts_of(remembered({}, stripe_events))
    assert (set(found.grants), set(found.invoices), found.named) == (set(wanted.grants), set(wanted.invoices), True)
    assert {type(fact) for facts in taken.learnt.values() for fact in facts} > {type(found.grants[0])}
    assert len(noted) == len(CONSUMER_GROUPS) * len(stripe_events)
    assert Outcome.RECORDED in noted
    assert changed == ["cus_1"]
    assert moved == {len(stripe_events)}


def test_an_engine_on_another_schema_is_led_to_the_one_that_is_meant(database: sa.Engine) -> None:
    """A rebuild writes beside the schema that its connections see; afterwards they see their own again."""
    migrate(database, "beside")
    with transaction_on(database, "beside") as connection:
        inside = connection.execute(sa.text("SELECT current_schema()")).scalar_one()
    with database.connect() as connection:
        afterwards = connection.execute(sa.text("SELECT current_schema()")).scalar_one()

    assert (inside, afterwards) == ("beside", SCHEMA)


def test_what_the_database_itself_sets_leads_no_session_astray(fresh_database: str) -> None:
    """The path of a role or a database counts for nothing, whether or not a pooler hands on a connection's options."""
    url = sa.make_url(fresh_database).set(drivername="postgresql+psycopg2")
    on = engine(url.render_as_string(hide_password=False), "beside", ask_first=False, statement_timeout_s=7.0)
    migrate(on, SCHEMA)
    migrate(on, "beside")
    with on.begin() as connection:
        connection.exec_driver_sql(f'ALTER DATABASE "{url.database}" SET search_path TO {SCHEMA}')
    on.dispose()
    with transaction_on(on, "beside") as connection:
        seen = connection.execute(sa.text("SELECT current_schema(), current_setting('statement_timeout')")).one()
        given = connection.connection.dbapi_connection.info.options  # type: ignore[union-attr]  # psycopg2's own
    on.dispose()

    assert (tuple(seen), given) == (("beside", "7s"), "")


def test_what_one_record_states_and_postgres_refuses_is_set_aside_alone(database: sa.Engine, starts: Positions) -> None:
    """Of all that a batch of the real groups states at once; the other groups keep what they make of that record."""
    stripe_events = list(events(paid()))
    bad = json.loads(json.dumps(stripe_events[-1]).replace(f'"{GRANT.price}"', '"\\u0000"'))
    assert bad != stripe_events[-1]
    with_a_bad_one = [*stripe_events[:-1], bad, stripe_events[-1]]
    recorder = Recorder(
        transaction=partial(transaction_on, database, SCHEMA),
        decode=partial(read_from, with_a_bad_one),
        groups=[group(name) for name in CONSUMER_GROUPS],
        limit=5,
    )

    take(recorder, records(with_a_bad_one), starts)
    with database.connect() as connection:
        found = reading.facts_of(connection, integration="main", customer="cus_1")
        set_aside = connection.execute(sa.select(ledger.dead_letters.c.consumer_group, ledger.dead_letters.c.offset))
        letters = [tuple(letter) for letter in set_aside]
        noted = connection.execute(sa.select(sa.func.count()).select_from(ledger.provenance)).scalar_one()
        moved = {position.next_offset for position in ledger.positions(connection)}

    wanted = facts_of(remembered({}, stripe_events))
    assert (set(found.grants), set(found.invoices)) == (set(wanted.grants), set(wanted.invoices))
    assert letters == [("grants", len(stripe_events) - 1)]
    assert noted == len(CONSUMER_GROUPS) * len(with_a_bad_one)
    assert moved == {len(with_a_bad_one)}


def test_what_comes_seldom_has_a_statement_of_its_own(database: sa.Engine, said: list[str]) -> None:
    """What comes often is recorded together; all else by itself, so that no mixture needs a statement more."""
    batches: list[list[Fact]] = [
        [REFUND],
        [ENDED, SNAPSHOT, GRANT],
        [GRANT, REFUND, ENDED, SNAPSHOT],
        [GRANT, SNAPSHOT],
    ]
    with database.connect() as connection:
        said.clear()
        told = [store.record(connection, batch) for batch in batches]
        messages = len(said)
        prepared = [name for name in connection.info["prepared"] if name.startswith("record_")]
        kept = reading.facts_with(connection, [each.digest for each in batches[2]])

    assert told == [{REFUND.digest}, {ENDED.digest, GRANT.digest, SNAPSHOT.digest}, frozenset(), frozenset()]
    assert {*kept} == {*batches[2]}
    assert (len(prepared), messages) == (3, 1 + 2 + 3 + 1)


def test_who_states_one_kind_waits_for_no_other_s_table(database: sa.Engine) -> None:
    """A refund is recorded while an index is made on the grants; a grant is not."""
    with database.connect() as connection, database.connect() as other:
        other.exec_driver_sql("LOCK TABLE grants IN SHARE MODE")
        connection.exec_driver_sql("SET LOCAL lock_timeout = '200ms'")
        told = store.record(connection, [REFUND])
        with pytest.raises(sa.exc.OperationalError, match="lock timeout"):
            store.record(connection, [GRANT])

    assert told == {REFUND.digest}
