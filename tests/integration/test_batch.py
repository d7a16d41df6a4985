"""A batch of the real groups on a real PostgreSQL: what it costs in round trips, and what is there afterwards."""

from __future__ import annotations

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


def test_what_comes_seldom_shares_one_statement(database: sa.Engine) -> None:
    """However kinds are mixed, a session does not prepare one for each mixture; all is recorded, and told, by it."""
    grant = facts_of(remembered({}, events(paid()))).grants[0]
    refund = RefundStated(
        integration="main",
        refund="re_1",
        charge="ch_1",
        payment_intent=None,
        amount=5,
        status="succeeded",
        stated_at=grant.stated_at,
    )
    ended = SubscriptionEnded(
        integration="main",
        customer="cus_1",
        subscription="sub_1",
        ended_at=grant.stated_at,
        stated_at=grant.stated_at,
    )
    batches: list[list[Fact]] = [[refund], [ended, grant], [grant, refund, ended]]
    with database.connect() as connection:
        told = [store.record(connection, batch) for batch in batches]
        prepared = [name for name in connection.info["prepared"] if name.startswith("record_")]
        kept = reading.facts_with(connection, [each.digest for each in (grant, refund, ended)])

    assert told == [{refund.digest}, {ended.digest, grant.digest}, frozenset()]
    assert {*kept} == {grant, refund, ended}
    assert len(prepared) == 1
