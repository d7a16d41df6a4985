"""What is new since a look, on a real PostgreSQL: how much of it is read, whatever there is."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from entitlements import tail
from entitlements.everyone import CustomerName
from entitlements.tail import EVERYTHING, Learnt, look
from ops.database import SETTINGS, migrate
from tests.asking import SETTINGS_SCHEMA, on

MOST = 20


@pytest.fixture
def connection(fresh_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[sa.Connection]:
    """One in autocommit on a migrated database; of more than twenty rows everything is said."""
    monkeypatch.setattr(tail, "MOST_ROWS", MOST)
    with on(fresh_database) as engine:
        migrate(engine, "public")
        migrate(engine, SETTINGS_SCHEMA, SETTINGS)
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            yield connection


def changed(connection: sa.Connection, times: int) -> None:
    """So many rows about one customer, each of a transaction of its own."""
    for _ in range(times):
        connection.execute(
            sa.text("INSERT INTO changes (integration, customer, consumer_group) VALUES ('main', 'cus_1', 'grants')")
        )


def test_a_look_locks_tables_in_the_order_of_an_exchange(connection: sa.Connection) -> None:
    """While somebody has the feed's position for itself it waits with nothing in its hands, so nobody waits for it."""
    look(connection, None)
    pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    held = sa.text(
        "SELECT granted, array_agg(relation::regclass::text ORDER BY 1) FROM pg_locks "
        "WHERE pid = :pid AND locktype = 'relation' GROUP BY granted"
    )
    waits = sa.text("SELECT EXISTS (SELECT FROM pg_locks WHERE pid = :pid AND NOT granted)")
    with connection.engine.connect() as other, ThreadPoolExecutor(1) as threads:
        other.exec_driver_sql("BEGIN")
        other.exec_driver_sql("LOCK TABLE feed_position IN ACCESS EXCLUSIVE MODE")
        looking = threads.submit(look, connection, None)
        while not other.execute(waits, {"pid": pid}).scalar_one():
            assert not looking.done()
        found = [tuple(row) for row in other.execute(held, {"pid": pid})]
        other.exec_driver_sql("ROLLBACK")
        looking.result()

    assert found == [(False, ["feed_position"])]


def test_rows_are_counted_before_they_are_told_apart(connection: sa.Connection) -> None:
    """As many rows as are read, all about one customer, concern that one; one more, and nobody knows whom else."""
    seen, _ = look(connection, None)
    changed(connection, MOST)
    seen, few = look(connection, seen)
    changed(connection, MOST + 1)
    seen, many = look(connection, seen)

    assert few == Learnt(customers=frozenset({CustomerName(integration="main", customer="cus_1")}))
    assert many == EVERYTHING
    assert look(connection, seen)[1] == Learnt()


def test_rows_that_another_cluster_wrote_are_not_new(connection: sa.Connection) -> None:
    """A dump brings rows with the numbers of its own transactions, which may be far ahead of this cluster's."""
    for insert in (
        "INSERT INTO changes (integration, customer, consumer_group, xid) VALUES ('main', 'cus_1', 'grants', '{}')",
        "INSERT INTO orgs (integration, org, customer, set_by, xid) VALUES ('main', 'initech', 'cus_1', 'ann', '{}')",
    ):
        connection.exec_driver_sql(insert.format(10**12))
    seen, _ = look(connection, None)
    seen, before = look(connection, seen)
    changed(connection, 1)
    _, after = look(connection, seen)

    assert before == Learnt()
    assert after == Learnt(customers=frozenset({CustomerName(integration="main", customer="cus_1")}))
