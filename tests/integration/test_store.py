"""The store and the migrations on a real PostgreSQL: facts in, facts out, the same whatever the order."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from consumers import grants, invoices, revocations
from entitlements import feed, keys, letters, orgs, reading, replays, store
from entitlements.domain.facts import CatalogRevision, Fact, Grant, InvoiceSnapshot, Revocation
from entitlements.domain.identity import canonical_json
from ops.database import SETTINGS, engine, migrate
from schemas.codec import StripeMessage
from tests.pure_core import catalog, facts_of, record
from tests.stripe_builders import Bill, Line, events, one_off, paid

SCHEMA = "entitlements"


@pytest.fixture
def database(fresh_database: str) -> Iterator[sa.Engine]:
    """An engine on a migrated database of the test's own."""
    on = engine(url(fresh_database), SCHEMA)
    migrate(on, SCHEMA)
    yield on
    on.dispose()


def test_the_migrations_make_what_the_tables_say(database: sa.Engine) -> None:
    """After all migrations the database has the tables, columns, types and indexes that the code declares."""
    with database.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "migrations", "compare_type": True})
        with pytest.warns(sa.exc.SAWarning, match="xid8"):
            differences = compare_metadata(context, feed.feed.metadata)

    assert differences == []


def test_the_settings_migrations_make_what_the_tables_say(fresh_database: str) -> None:
    """So has the settings' own schema, whatever schema the engine is on that migrated it."""
    facts, settings = engine(url(fresh_database), SCHEMA), engine(url(fresh_database), "settings")
    migrate(facts, "settings", SETTINGS)
    with settings.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "migrations", "compare_type": True})
        [declared] = {table.metadata for table in (keys.api_keys, letters.letter_acts, orgs.orgs, replays.replays)}
        with pytest.warns(sa.exc.SAWarning, match="xid8"):
            differences = compare_metadata(context, declared)
        tables = sa.inspect(connection).get_table_names()
    facts.dispose()
    settings.dispose()

    wanted = ["api_keys", "letter_acts", "migrations", "orgs", "replay_steps", "replays"]
    assert (differences, sorted(tables)) == ([], wanted)


def test_migrating_again_and_at_once_changes_nothing(fresh_database: str) -> None:
    """Several processes may migrate an empty database at the same moment; each ends well."""
    failed: list[BaseException] = []

    def run() -> None:
        on = engine(url(fresh_database), SCHEMA)
        try:
            migrate(on, SCHEMA)
        except BaseException as error:
            failed.append(error)
        finally:
            on.dispose()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert failed == []


def test_what_is_recorded_is_read_back_whole(database: sa.Engine) -> None:
    """Every column of every kind of fact comes back as it was given."""
    bills = (
        paid(Line(price_metadata={"entitlement_plan": "x"}), one_off(id="il_2", quantity=None)),
        Bill(
            id="in_2", lines=(Line(id="il_3"),), finalized="02-01", uncollectible="02-02", voided="02-03", due="02-09"
        ),
        paid(
            Line(id="il_4", amount=-100, proration=True, credited=("in_1", ("il_2", "il_1"))),
            Line(id="il_5"),
            id="in_4",
            at="03-01",
        ),
    )
    memory = record({}, events(*bills))
    with database.begin() as connection:
        recorded = store.record(connection, memory.values())
    with database.connect() as connection:
        found = reading.facts_of(connection, integration="main", customer="cus_1")

    wanted = facts_of(memory)
    assert set(memory) == recorded
    assert wanted.named is found.named
    assert set(wanted.grants) == set(found.grants)
    assert set(wanted.revocations) == set(found.revocations)
    assert set(wanted.invoices) == set(found.invoices)


def test_facts_are_found_by_their_digests(database: sa.Engine) -> None:
    """Of each kind those that are asked for, and no others."""
    memory = record({}, events(paid(), Bill(id="in_2", lines=(Line(id="il_2"),), finalized="02-01", voided="02-03")))
    one_of_each = {type(fact): digest for digest, fact in memory.items()}
    with database.begin() as connection:
        store.record(connection, memory.values())
        found = reading.facts_with(connection, one_of_each.values())

    assert {memory[digest] for digest in one_of_each.values()} == set(found)
    assert len(one_of_each) == 4


def test_only_what_is_new_counts_as_recorded(database: sa.Engine) -> None:
    """A fact said again is a duplicate; said by an earlier event it is recorded again, and keeps the earlier time."""
    (fact,) = (each for each in found_in(paid(at="01-05")) if isinstance(each, Grant) and each.status == "paid")
    earlier = replace(fact, stated_at=fact.stated_at - timedelta(seconds=1))
    with database.begin() as connection:
        outcomes = [store.record(connection, [each]) for each in (fact, fact, earlier, fact)]
        (kept,) = reading.facts_of(connection, integration="main", customer="cus_1").grants

    digest = frozenset({fact.digest})
    assert [digest, frozenset(), digest, frozenset()] == outcomes
    assert earlier.stated_at == kept.stated_at


def test_a_batch_may_say_a_thing_twice(database: sa.Engine) -> None:
    """Within one batch the smallest time counts, whichever comes first."""
    (fact,) = (each for each in found_in(paid(at="01-05")) if isinstance(each, Grant) and each.status == "paid")
    earlier = replace(fact, stated_at=fact.stated_at - timedelta(seconds=1))
    with database.begin() as connection:
        store.record(connection, [fact, earlier, fact])
        (kept,) = reading.facts_of(connection, integration="main", customer="cus_1").grants

    assert earlier.stated_at == kept.stated_at


def test_integrations_never_meet(database: sa.Engine) -> None:
    """The same customer id in another integration is another customer, of whom nothing is known."""
    with database.begin() as connection:
        store.record(connection, found_in(paid()))
        other = reading.facts_of(connection, integration="other", customer="cus_1")

    assert not other.named
    assert other.grants == ()


def test_two_writers_of_the_same_facts_do_not_wait_for_each_other(database: sa.Engine) -> None:
    """Facts are written in the order of their digests, so two transactions over the same ones can't deadlock."""
    facts = found_in(paid(*(Line(id=f"il_{number}") for number in range(200))))
    failed: list[BaseException] = []

    def write(batch: list[Fact]) -> None:
        try:
            for _ in range(5):
                with database.begin() as connection:
                    store.record(connection, [shifted(fact) for fact in batch])
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(batch,)) for batch in (facts, facts[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert failed == []


def test_of_two_revisions_of_one_number_one_counts_for_everyone(database: sa.Engine) -> None:
    """Two catalogs published under one number: the one of the smaller digest, whichever was recorded first."""
    revisions = [
        CatalogRevision(number=1, in_force_from=None, applied_by=who, document=canonical_json(catalog()))
        for who in ("ann", "bob")
    ]
    with database.begin() as connection:
        store.record(connection, revisions)
        found = reading.catalog_revisions_in(connection)

    assert (min(revisions, key=lambda revision: revision.digest),) == found
    assert [revision.number for revision in store.as_revisions(found).revisions] == [1]


def test_people_are_shown_each_line_once(database: sa.Engine) -> None:
    """The view joins a line's snapshots, its plan in the newest catalog, and when its invoice was voided."""
    bills = (
        paid(Line(quantity=3)),
        Bill(id="in_2", lines=(Line(id="il_2", price="price_x"),), finalized="02-01", voided="02-02"),
    )
    revision = CatalogRevision(number=1, in_force_from=None, applied_by="ann", document=canonical_json(catalog()))
    with database.begin() as connection:
        store.record(connection, [*found_in(*bills), revision])
        shown = connection.execute(
            sa.text("SELECT line, plan, quantity, paid_at, voided_at FROM billed_lines ORDER BY line")
        ).all()

    assert [
        ("il_1", "enterprise", 3, datetime(2026, 1, 1, tzinfo=UTC), None),
        ("il_2", None, 1, None, datetime(2026, 2, 2, tzinfo=UTC)),
    ] == [tuple(row) for row in shown]


def found_in(*bills: Bill) -> list[Fact]:
    """What all three consumers find in the events of invoices."""
    deciders: Any = (grants.decide, revocations.decide, invoices.decide)
    return [
        fact
        for event in events(*bills)
        for decide in deciders
        for fact in decide(StripeMessage(integration="main", event=event))
    ]


def shifted(fact: Fact) -> Fact:
    """The same said a second earlier, so that its row is locked for the change."""
    if isinstance(fact, Grant | Revocation | InvoiceSnapshot):
        return replace(fact, stated_at=fact.stated_at - timedelta(seconds=1))
    return fact


def url(text: str) -> str:
    """A test database's URL with the driver that the program uses."""
    return sa.make_url(text).set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)
