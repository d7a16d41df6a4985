"""The step to 0008 on a real PostgreSQL and a real Kafka: disputes are read again, with what closed them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command

from consumers.extent import ends_of
from consumers.runner import run
from consumers.verdicts import Group
from entitlements import ledger, store
from entitlements.domain.facts import Fact
from entitlements.domain.reversals import DisputeStated
from entitlements.reversal_tables import disputes
from ingest.delivery import record_of
from ops import database, processes
from schemas import codec
from schemas.topics import EVENTS
from tests.taking_back import closed
from tests.yard import Yard

SCHEMA = "entitlements"
BEFORE = sa.table("disputes", *(sa.column(each.name) for each in disputes.c if each is not disputes.c.is_closing))


@pytest.fixture
def engine(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> Iterator[sa.Engine]:
    """A database of step 0007 which knows a dispute that was lost; its event is on the topic."""
    sent = record_of({**closed("lost", at="01-06"), "livemode": False}, "main", None)
    yard.make_topic()
    yard.put([(sent.key, sent.value, list(sent.headers))])
    url = sa.make_url(yard.url).set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)
    found = database.engine(url, SCHEMA)
    upgrade = command.upgrade
    with monkeypatch.context() as patched:
        patched.setattr(command, "upgrade", lambda configuration, _: upgrade(configuration, "0007"))
        database.migrate(found, SCHEMA)
    consume(yard, found, "revocations", before=True)
    consume(yard, found, "grants")
    assert (len(rows(found, BEFORE)), offsets(found)) == (1, {"grants": 1, "revocations": 1})
    yield found
    found.dispose()


def consume(yard: Yard, engine: sa.Engine, name: str, *, before: bool = False) -> None:
    """The consumer of that name reads to the topic's end; as it was *before*, it knows of no closings."""
    group: Group[Any] = replace(processes.group(name), topics=(yard.topic,))
    run(
        [replace(group, record=record_as_before) if before else group],
        yard.source(),
        engine,
        SCHEMA,
        until=ends_of(yard.source(), [yard.topic]),
        decode=lambda _, value, headers: codec.decode(EVENTS, value, headers),
    )


def record_as_before(connection: sa.Connection, facts: Sequence[Fact]) -> frozenset[bytes]:
    """As the store did, with the digest as it is now: nobody compares it here."""
    stated = [fact for fact in facts if isinstance(fact, DisputeStated)]
    for fact in stated:
        connection.execute(sa.insert(BEFORE).values({each.name: getattr(fact, each.name) for each in BEFORE.c}))
    others = store.record(connection, [fact for fact in facts if fact not in stated])
    return others | {fact.digest for fact in stated}


def rows(engine: sa.Engine, table: sa.FromClause) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(sa.select(table)).mappings()]


def offsets(engine: sa.Engine) -> dict[str, int]:
    return {row["consumer_group"]: row["next_offset"] for row in rows(engine, ledger.consumer_offsets)}


def test_disputes_are_read_again_from_the_beginning(yard: Yard, engine: sa.Engine) -> None:
    """None is known until the consumer comes, which begins anew and says what closed them; others go on."""
    database.migrate(engine, SCHEMA)
    meanwhile = rows(engine, disputes), offsets(engine)

    consume(yard, engine, "revocations")

    (found,) = rows(engine, disputes)
    assert meanwhile == ([], {"grants": 1})
    assert (found["dispute"], found["status"], found["is_closing"]) == ("du_1", "lost", True)
    assert offsets(engine) == {"grants": 1, "revocations": 1}


def test_a_consumer_of_before_that_still_runs_sets_disputes_aside(yard: Yard, engine: sa.Engine) -> None:
    """Why it is to be stopped first: what it reads again it can't record, and its successor goes on behind that."""
    database.migrate(engine, SCHEMA)

    consume(yard, engine, "revocations", before=True)
    consume(yard, engine, "revocations")

    (letter,) = rows(engine, ledger.dead_letters)
    assert "is_closing" in letter["reason"]
    assert (rows(engine, disputes), offsets(engine)["revocations"]) == ([], 1)
