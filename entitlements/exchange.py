"""
Two schemas of facts change places in one transaction. Edge: Postgres, on a connection that is handed in.

All tables of both are locked against everybody first. So no statement and no transaction can see half of each: who has
touched a table that serves must end before, and who waits for one finds its name anew, and what is behind it now. (What
a session has prepared PostgreSQL analyses anew once a schema was renamed.) A wait is cut short: a question waits behind
it, and one that holds one table and waits for another would wait for us for ever.

What follows the name and not the facts changes places once more: the feed, which says what gateways were told, under
numbers that go on. And everybody in it is looked at again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from entitlements import beside, feed, ledger
from entitlements.beside import TABLES, Names
from entitlements.rows import quoted

WAIT_MS = 100
"""How long questions may have to wait for a try that fails."""

DEADLOCK_MS = 20
"""How soon PostgreSQL looks for one, and tells its own autovacuum to make way, where it lets us say so."""

BUSY = frozenset({"57014", "40P01", "55P03"})
"""PostgreSQL's codes for a wait that was cut short: by its time, by a deadlock, by a lock that is not free."""


WAIT_FIRST = f"LOCK TABLE {TABLES[0].name} IN ACCESS SHARE MODE"
"""
What a question says ahead of its first statement. Who waits for an exchange must take its snapshot afterwards: else it
finds the tables that came, without what the exchange itself has recorded in them. LOCK TABLE takes no snapshot; a
transaction of one moment keeps that of its first statement, and EXECUTE, unlike SELECT, takes its own before it waits.
It is the table that an exchange locks first, so who waits here holds up nobody.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A session that has touched a table, and since when."""

    pid: int
    application: str
    state: str
    since: datetime | None
    tables: tuple[str, ...]


def lock(connection: Connection, names: Sequence[str]) -> None:
    """
    Hold every table of these schemas until the transaction ends, against readers too.

    Raises SQLAlchemy's `OperationalError` where `is_busy`, after `WAIT_MS` at the latest.
    """
    connection.execute(_SOON, {"deadlock": str(DEADLOCK_MS), "wait": str(WAIT_MS)})
    tables = ", ".join(f"{quoted(name)}.{quoted(table.name)}" for name in names for table in TABLES)
    connection.exec_driver_sql(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE")
    connection.exec_driver_sql("SET LOCAL statement_timeout = '30s'")


_SOON = text("""
SELECT set_config('statement_timeout', :wait, true),
    CASE WHEN has_parameter_privilege('deadlock_timeout', 'SET')
        THEN set_config('deadlock_timeout', :deadlock, true) END
""")


def is_busy(error: DBAPIError) -> bool:
    """Whether a lock was not to be had in time; then try again."""
    return getattr(error.orig, "pgcode", None) in BUSY


def holders(connection: Connection, names: Sequence[str]) -> tuple[Holder, ...]:
    """Who has touched a table of these schemas in a transaction that goes on, the longest first."""
    rows = connection.execute(_HOLDERS, {"names": list(names)}).mappings()
    return tuple(Holder(**{**row, "tables": tuple(row["tables"])}) for row in rows)


_HOLDERS = text("""
SELECT held.pid, coalesce(nullif(session.application_name, ''), session.backend_type, 'unknown') AS application,
    coalesce(session.state, 'at work') AS state, session.xact_start AS since,
    array_agg(DISTINCT tables.relname::text ORDER BY tables.relname::text) AS tables
FROM pg_locks AS held
JOIN pg_class AS tables ON tables.oid = held.relation AND tables.relkind = 'r'
JOIN pg_namespace AS schemas ON schemas.oid = tables.relnamespace
LEFT JOIN pg_stat_activity AS session ON session.pid = held.pid
WHERE schemas.nspname = ANY (:names) AND held.granted AND held.pid <> pg_backend_pid()
    AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
GROUP BY held.pid, session.application_name, session.backend_type, session.state, session.xact_start
ORDER BY session.xact_start NULLS LAST
""")


def foretell(connection: Connection, names: Names, coming: str) -> int:
    """
    Changes for whoever is named in the schema *coming* and of whom gateways were never told, for the relay to take up
    once it serves; how many they are. To be called before the tables are locked, since it reads all of them.
    """
    found = connection.exec_driver_sql(
        _FORETELL.format(coming=quoted(coming), live=quoted(names.live)), {"group": GROUP}
    )
    return found.rowcount


_FORETELL = """
INSERT INTO {coming}.changes (consumer_group, integration, customer)
SELECT %(group)s, integration, customer FROM (
    SELECT integration, customer FROM {coming}.customers
    UNION SELECT integration, customer FROM {coming}.grants
    UNION SELECT integration, customer FROM {coming}.manual_grants
) AS named
WHERE NOT EXISTS (SELECT FROM {live}.feed WHERE (feed.integration, feed.customer) = (named.integration, named.customer))
    AND NOT EXISTS (SELECT FROM {coming}.changes WHERE NOT relayed
        AND (changes.integration, changes.customer) = (named.integration, named.customer))
ORDER BY integration, customer
"""

GROUP = "rebuild"
"""Who says so in `changes`."""


def exchange(connection: Connection, names: Names, coming: str, *, at: datetime) -> None:
    """
    What serves is kept as `names.before`, the schema *coming* serves in its place; the tables of both are locked.

    What was kept before becomes `names.older`, which must not be there. The transaction must see the schema of settings
    alone, or none.
    """
    was, is_coming = beside.find(connection, names.live), beside.find(connection, coming)
    _rename(connection, coming, names.passing)
    if coming != names.before and beside.find(connection, names.before) is not None:
        _rename(connection, names.before, names.older)
    _rename(connection, names.live, names.before)
    _rename(connection, names.passing, names.live)
    for schema, held, is_in in ((names.live, is_coming, True), (names.before, was, False)):
        noted = None if held is None else held.note
        _note(connection, schema, noted, at=at, is_in=is_in)
    connection.exec_driver_sql(_WAITING.format(live=quoted(names.live), before=quoted(names.before)))
    _hand_on_the_feed(connection, names)
    connection.execute(text("SELECT set_config('search_path', :path, true)"), {"path": quoted(names.live)})
    feed.look_at_everybody(connection)
    connection.execute(text("SELECT pg_notify(:channel, '')"), {"channel": ledger.CHANGES_CHANNEL})


_WAITING = """
INSERT INTO {live}.changes (consumer_group, integration, customer, payment)
SELECT consumer_group, integration, customer, payment FROM {before}.changes WHERE NOT relayed ORDER BY id
"""


def _note(connection: Connection, schema: str, noted: beside.Note | None, *, at: datetime, is_in: bool) -> None:
    known = noted or beside.Note(by="", begun_at=at, version="")
    beside.note(
        connection,
        schema,
        beside.Note(
            by=known.by,
            begun_at=known.begun_at,
            version=known.version,
            swapped_in_at=at if is_in else known.swapped_in_at,
            swapped_out_at=known.swapped_out_at if is_in else at,
        ),
    )


def _hand_on_the_feed(connection: Connection, names: Names) -> None:
    """The feed's tables stay where the name is: that of what was swapped out comes back, the empty one goes there."""
    connection.exec_driver_sql(f"CREATE SCHEMA {quoted(names.passing)}")
    for table in (feed.feed.name, feed.feed_position.name):
        for of, to in ((names.live, names.passing), (names.before, names.live), (names.passing, names.before)):
            connection.exec_driver_sql(f"ALTER TABLE {quoted(of)}.{table} SET SCHEMA {quoted(to)}")
    connection.exec_driver_sql(f"DROP SCHEMA {quoted(names.passing)}")


def _rename(connection: Connection, name: str, to: str) -> None:
    connection.exec_driver_sql(f"ALTER SCHEMA {quoted(name)} RENAME TO {quoted(to)}")
